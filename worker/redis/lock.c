#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "worker/base/clock.h"
#include "worker/base/digest.h"
#include "worker/redis/connection.h"
#include "worker/redis/lock.h"
#include "workflows/base/buffer.h"
#include "workflows/base/hex.h"

enum
{
    /* Lua's unpack of Redis 7 ends at 7,999 values. More names than this go in several calls. */
    CALL_NAMES_MAX = 4000,
    SHA_TEXT_SIZE = 2 * DIGEST_SHA1_SIZE,
    US_PER_MS = 1000,
};

/* The scripts are constant: Redis knows them by their digest. One read of all values first, since most batches meet no
 * value at all; every call out of Lua costs as much as several names. The answer is a string of '1' (taken, extended)
 * and '0', not an array: Redis writes it, and we read it, in one piece.
 *
 * ARGV: the owner; the lengths of its group/slot/ and group/slot/nonce/ (PROTOCOL L2: a value with the first but not
 * the second is a lock that a former process of our slot left); the lease in ms, one for all or one a name. */
static const char acquire_source[] =
    "local call, keys = redis.call, KEYS\n"
    "local owner, slot, nonce, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]\n"
    "local many = #ARGV > 4\n"
    "local values = call('MGET', unpack(keys))\n"
    "local answer = false\n"
    "for i = 1, #keys do\n"
    "  local value = values[i]\n"
    "  if value and value ~= owner and\n"
    "     (slot == 0 or string.sub(value, 1, slot) ~= string.sub(owner, 1, slot) or\n"
    "      string.sub(value, 1, nonce) == string.sub(owner, 1, nonce)) then\n"
    "    if not answer then\n"
    "      answer = {}\n"
    "      for j = 1, #keys do answer[j] = '1' end\n"
    "    end\n"
    "    answer[i] = '0'\n"
    "  else\n"
    "    call('SET', keys[i], owner, 'PX', many and ARGV[3 + i] or lease)\n"
    "  end\n"
    "end\n"
    "return answer and table.concat(answer) or string.rep('1', #keys)\n";

/* ARGV: the owner; the lease in ms, one for all or one a name. */
static const char extend_source[] = "local call, keys, owner, lease = redis.call, KEYS, ARGV[1], ARGV[2]\n"
                                    "local many = #ARGV > 2\n"
                                    "local values = call('MGET', unpack(keys))\n"
                                    "local answer = {}\n"
                                    "for i = 1, #keys do\n"
                                    "  local ours = values[i] == owner\n"
                                    "  if ours then call('PEXPIRE', keys[i], many and ARGV[1 + i] or lease) end\n"
                                    "  answer[i] = ours and '1' or '0'\n"
                                    "end\n"
                                    "return table.concat(answer)\n";

/* ARGV: the owner. Answers how many were deleted. */
static const char release_source[] = "local keys, owner = KEYS, ARGV[1]\n"
                                     "local values = redis.call('MGET', unpack(keys))\n"
                                     "local ours, count = {}, 0\n"
                                     "for i = 1, #keys do\n"
                                     "  if values[i] == owner then count = count + 1; ours[count] = keys[i] end\n"
                                     "end\n"
                                     "if count > 0 then redis.call('DEL', unpack(ours)) end\n"
                                     "return count\n";

enum script
{
    SCRIPT_ACQUIRE,
    SCRIPT_EXTEND,
    SCRIPT_RELEASE,
    SCRIPT__COUNT,
};

static const struct
{
    const char *source;
    size_t size;
} scripts[SCRIPT__COUNT] = {
    [SCRIPT_ACQUIRE] = { acquire_source, sizeof(acquire_source) - 1 },
    [SCRIPT_EXTEND] = { extend_source, sizeof(extend_source) - 1 },
    [SCRIPT_RELEASE] = { release_source, sizeof(release_source) - 1 },
};

/* One call of a script for some of the caller's names. The body, keys and arguments, is kept until it is answered,
 * because a Redis that has forgotten the script wants it again with the text. */
struct call
{
    enum script script;
    struct buffer body;
    int first, end;   /* of the caller's names; those that the script does not concern are left out */
    int names, words; /* keys; keys and arguments */
};

struct lock
{
    struct redis_connection *link;
    char *prefix, *owner;
    size_t prefix_size, owner_size, slot_size, nonce_size;
    char digests[SCRIPT__COUNT][SHA_TEXT_SIZE + 1];
    struct call call, release;
    bool release_is_out;         /* its answer was not read yet */
    char answer[CALL_NAMES_MAX]; /* of the last call: '1' or '0' a name */
};

static bool digest_scripts(struct lock *lock)
{
    for (int i = 0; i < SCRIPT__COUNT; i++)
    {
        const struct span source = { scripts[i].source, scripts[i].size };
        uint8_t digest[DIGEST_SHA1_SIZE];
        if (!digest_sha1(&source, 1, digest))
            return false;
        hex_print(digest, sizeof(digest), lock->digests[i]);
        lock->digests[i][SHA_TEXT_SIZE] = '\0';
    }
    return true;
}

/* The size of the first `parts` parts of the owner, their slashes included; 0 when it has fewer. */
static size_t owner_head(const char *owner, int parts)
{
    const char *at = owner;

    for (; parts > 0 && (at = strchr(at, '/')) != NULL; parts--)
        at++;
    return at ? (size_t)(at - owner) : 0;
}

struct lock *lock_new(const struct lock_options *options)
{
    struct lock *lock = calloc(1, sizeof(*lock));

    if (lock == NULL)
        return NULL;
    lock->call.body = lock->release.body = BUFFER_EMPTY;
    lock->prefix = strdup(options->prefix ? options->prefix : "");
    lock->owner = strdup(options->owner);
    lock->link = redis_connection_new(options->url, options->connect_timeout_us, options->command_timeout_us);
    if (!lock->prefix || !lock->owner || !lock->link || !digest_scripts(lock))
    {
        lock_free(lock);
        return NULL;
    }
    lock->prefix_size = strlen(lock->prefix);
    lock->owner_size = strlen(lock->owner);
    lock->slot_size = owner_head(lock->owner, 2);
    lock->nonce_size = owner_head(lock->owner, 3);
    if (lock->nonce_size == 0)
        lock->slot_size = 0;
    return lock;
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static void add_word(struct buffer *body, const char *at, size_t size)
{
    buffer_add_byte(body, '$');
    buffer_add_int64(body, (int64_t)size);
    buffer_add(body, "\r\n", 2);
    buffer_add(body, at, size);
    buffer_add(body, "\r\n", 2);
}

static void add_key(struct lock *lock, struct call *call, struct span name)
{
    struct buffer *body = &call->body;

    buffer_add_byte(body, '$');
    buffer_add_int64(body, (int64_t)(lock->prefix_size + name.size));
    buffer_add(body, "\r\n", 2);
    buffer_add(body, lock->prefix, lock->prefix_size);
    buffer_add(body, name.at, name.size);
    buffer_add(body, "\r\n", 2);
    call->names++;
    call->words++;
}

static void add_number(struct call *call, int64_t value)
{
    char text[24];
    int size = snprintf(text, sizeof(text), "%lld", (long long)value);

    add_word(&call->body, text, (size_t)size);
    call->words++;
}

static void add_owner(struct lock *lock, struct call *call)
{
    add_word(&call->body, lock->owner, lock->owner_size);
    call->words++;
}

static bool is_concerned(const struct call *call, const struct lock_name *name)
{
    return call->script == SCRIPT_ACQUIRE || name->taken;
}

/* Keys of the next names from `first` on. False when there are none left, or memory is out. */
static bool call_begin(struct lock *lock, struct call *call, enum script script, const struct lock_name *names,
                       int first, int count)
{
    call->script = script;
    call->names = call->words = 0;
    call->first = first;
    buffer_clear(&call->body);
    for (call->end = first; call->end < count && call->names < CALL_NAMES_MAX; call->end++)
        if (is_concerned(call, &names[call->end]))
            add_key(lock, call, names[call->end].name);
    add_owner(lock, call);
    return call->names > 0;
}

/* Milliseconds, at least 1: Redis refuses a lease of 0. */
static int64_t lease_ms(const struct lock_name *name)
{
    int64_t ms = name->lease_us / US_PER_MS;
    return ms > 0 ? ms : 1;
}

/* The leases, once when all are equal. Returns the shortest, in microseconds. */
static int64_t add_leases(struct call *call, const struct lock_name *names)
{
    int64_t shortest_ms = INT64_MAX, longest_ms = 0;

    for (int i = call->first; i < call->end; i++)
        if (is_concerned(call, &names[i]))
        {
            int64_t ms = lease_ms(&names[i]);
            shortest_ms = ms < shortest_ms ? ms : shortest_ms;
            longest_ms = ms > longest_ms ? ms : longest_ms;
        }
    if (shortest_ms == longest_ms)
        add_number(call, shortest_ms);
    for (int i = call->first; shortest_ms != longest_ms && i < call->end; i++)
        if (is_concerned(call, &names[i]))
            add_number(call, lease_ms(&names[i]));
    return shortest_ms * US_PER_MS;
}

static bool call_send(struct lock *lock, const struct call *call, bool with_text)
{
    const char *verb = with_text ? "EVAL" : "EVALSHA";
    const char *script = with_text ? scripts[call->script].source : lock->digests[call->script];
    size_t script_size = with_text ? scripts[call->script].size : SHA_TEXT_SIZE;
    char head[64], number[32];

    if (buffer_failed(&call->body))
    {
        redis_connection_drop(lock->link, "out of memory", 13);
        return false;
    }
    int head_size =
        snprintf(head, sizeof(head), "*%d\r\n$%zu\r\n%s\r\n$%zu\r\n", 3 + call->words, strlen(verb), verb, script_size);
    int digits = snprintf(number, sizeof(number), "%d", call->names);
    int number_size = snprintf(number, sizeof(number), "\r\n$%d\r\n%d\r\n", digits, call->names);
    return redis_connection_append(lock->link, head, (size_t)head_size) &&
           redis_connection_append(lock->link, script, script_size) &&
           redis_connection_append(lock->link, number, (size_t)number_size) &&
           redis_connection_append(lock->link, call->body.at, call->body.size) && redis_connection_flush(lock->link);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void free_reply(redisReply **reply)
{
    if (*reply)
        freeReplyObject(*reply);
    *reply = NULL;
}

/* A string of '1' and '0' as long as the call has names; of a release a number of them. */
static bool is_answer(const struct call *call, const redisReply *reply)
{
    if (call->script == SCRIPT_RELEASE)
        return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0 && reply->integer <= call->names;
    return reply->type == REDIS_REPLY_STRING && reply->len == (size_t)call->names &&
           strspn(reply->str, "01") == (size_t)call->names;
}

/* Reads the answer to a call that is out. Anything but what the script answers ends the connection: what came next
 * might be anything, and a Redis that refuses (BUSY, READONLY, OOM, NOAUTH) will refuse the next batch as well. */
static bool call_receive(struct lock *lock, const struct call *call)
{
    __attribute__((cleanup(free_reply))) redisReply *reply = redis_connection_receive(lock->link);

    if (reply && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0)
    {
        free_reply(&reply);
        reply = call_send(lock, call, true) ? redis_connection_receive(lock->link) : NULL;
    }
    if (reply == NULL)
        return false;
    if (!is_answer(call, reply))
    {
        bool says = reply->type == REDIS_REPLY_ERROR;
        redis_connection_drop(lock->link, says ? reply->str : "unexpected answer", says ? (size_t)reply->len : 17);
        return false;
    }
    if (call->script != SCRIPT_RELEASE)
        memcpy(lock->answer, reply->str, (size_t)call->names);
    redis_connection_reset_backoff(lock->link);
    return true;
}

/* The answer of a release that was sent and not waited for. By now it has come, unless Redis is in trouble. */
static bool settle_release(struct lock *lock)
{
    bool was_out = lock->release_is_out;

    lock->release_is_out = false;
    return redis_connection_is_open(lock->link) && (!was_out || call_receive(lock, &lock->release));
}

/* --- rest -------------------------------------------------------------------------------------------------------- */

/* Whoever calls counts himself first and looks then; whoever begins a rest sets it first and looks then: one of the two
 * sees the other. */
static atomic_int_fast64_t rest_until_us;
static atomic_int callers;

bool lock_rest_until(int64_t until_us)
{
    int_fast64_t before = atomic_load(&rest_until_us);

    while (before < until_us && !atomic_compare_exchange_weak(&rest_until_us, &before, until_us))
        ;
    return atomic_load(&callers) == 0;
}

static bool begin_call(void)
{
    atomic_fetch_add(&callers, 1);
    int_fast64_t until_us = atomic_load(&rest_until_us);
    if (until_us == 0 || monotonic_us() >= until_us)
        return true;
    atomic_fetch_sub(&callers, 1);
    return false;
}

static void end_call(void)
{
    atomic_fetch_sub(&callers, 1);
}

/* --- the three calls --------------------------------------------------------------------------------------------- */

static enum lock_result acquire(struct lock *lock, struct lock_name *names, int count, int64_t *ret_valid_until_us)
{
    struct call *call = &lock->call;
    bool good = redis_connection_use(lock->link) && settle_release(lock);

    *ret_valid_until_us = INT64_MAX;
    for (int next = 0; good && next < count && call_begin(lock, call, SCRIPT_ACQUIRE, names, next, count);
         next = call->end)
    {
        add_number(call, (int64_t)lock->slot_size);
        add_number(call, (int64_t)lock->nonce_size);
        int64_t valid_until_us = monotonic_us() + add_leases(call, names);
        if (valid_until_us < *ret_valid_until_us)
            *ret_valid_until_us = valid_until_us;
        good = call_send(lock, call, false) && call_receive(lock, call);
        for (int i = 0; good && i < call->names; i++)
        {
            names[call->first + i].taken = lock->answer[i] == '1';
            names[call->first + i].refused = lock->answer[i] == '0';
        }
    }
    if (good)
        return LOCK_TAKEN;
    /* A lock that an earlier call took ends with its lease, or is found to be ours the next time. */
    for (int i = 0; i < count; i++)
        names[i].taken = names[i].refused = false;
    *ret_valid_until_us = 0;
    return LOCK_DEGRADED;
}

enum lock_result lock_acquire(struct lock *lock, struct lock_name *names, int count, int64_t *ret_valid_until_us)
{
    if (!begin_call())
    {
        *ret_valid_until_us = 0;
        return LOCK_AT_REST;
    }
    enum lock_result result = acquire(lock, names, count, ret_valid_until_us);
    end_call();
    return result;
}

static enum lock_result extend(struct lock *lock, const struct lock_name *names, int count, int64_t *ret_valid_until_us)
{
    struct call *call = &lock->call;
    bool good = redis_connection_use(lock->link) && settle_release(lock), all_ours = true;
    int64_t shortest_us = INT64_MAX;

    for (int next = 0; good && next < count && call_begin(lock, call, SCRIPT_EXTEND, names, next, count);
         next = call->end)
    {
        int64_t valid_until_us = monotonic_us() + add_leases(call, names);
        shortest_us = valid_until_us < shortest_us ? valid_until_us : shortest_us;
        good = call_send(lock, call, false) && call_receive(lock, call);
        all_ours = all_ours && good && memchr(lock->answer, '0', (size_t)call->names) == NULL;
    }
    *ret_valid_until_us = good && all_ours ? shortest_us : 0;
    return good ? LOCK_TAKEN : LOCK_DEGRADED;
}

enum lock_result lock_extend(struct lock *lock, const struct lock_name *names, int count, int64_t *ret_valid_until_us)
{
    if (!begin_call())
    {
        *ret_valid_until_us = 0;
        return LOCK_AT_REST;
    }
    enum lock_result result = extend(lock, names, count, ret_valid_until_us);
    end_call();
    return result;
}

static void release_send(struct lock *lock, const struct lock_name *names, int count)
{
    struct call *call = &lock->release;

    /* Only the last call stays unanswered; a closed link has nothing to release with: the leases end. */
    for (int next = 0; next < count && settle_release(lock); next = call->end)
    {
        if (!call_begin(lock, call, SCRIPT_RELEASE, names, next, count))
            return;
        lock->release_is_out = call_send(lock, call, false);
    }
}

/* At rest nothing is sent: the leases end. */
void lock_release_send(struct lock *lock, const struct lock_name *names, int count)
{
    if (!begin_call())
        return;
    release_send(lock, names, count);
    end_call();
}

const char *lock_reason(const struct lock *lock)
{
    return redis_connection_reason(lock->link);
}

void lock_free(struct lock *lock)
{
    if (lock == NULL)
        return;
    /* Closing a socket with an unread answer may reset it, and the release be lost with it. */
    if (lock->link && lock->release_is_out && begin_call())
    {
        settle_release(lock);
        end_call();
    }
    redis_connection_free(lock->link);
    buffer_done(&lock->call.body);
    buffer_done(&lock->release.body);
    free(lock->prefix);
    free(lock->owner);
    free(lock);
}
