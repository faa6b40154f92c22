#include "worker/redis/check.h"

#include <stdio.h>

#include <hiredis/hiredis.h>

#include "worker/redis/connection.h"

#define QUOTE(number) #number
#define VERSION_TEXT(major, minor, patch) QUOTE(major) "." QUOTE(minor) "." QUOTE(patch)

static const char info_server[] = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";
static const char info_memory[] = "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n";
static const int64_t LEASE_US = 1000000;

const char *redis_check_library(void)
{
    return VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

static void link_freep(struct redis_connection **link)
{
    redis_connection_free(*link);
}

static void reply_freep(redisReply **reply)
{
    if (*reply)
        freeReplyObject(*reply);
}

static redisReply *ask(struct redis_connection *link, const char *request)
{
    return redis_connection_append(link, request, strlen(request)) ? redis_connection_receive(link) : NULL;
}

/* The value of "name:value\r\n" in INFO's text. */
static struct span find_field(const redisReply *reply, const char *name)
{
    size_t size = strlen(name);
    const char *end = reply->str + reply->len;
    for (const char *at = reply->str; at && at < end;)
    {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        size_t line = line_end ? (size_t)(line_end - at) : (size_t)(end - at);
        if (line > size && memcmp(at, name, size) == 0 && at[size] == ':')
            return (struct span){ at + size + 1, line - size - 1 };
        const char *next = memchr(at, '\n', (size_t)(end - at));
        at = next ? next + 1 : NULL;
    }
    return SPAN_NULL;
}

/* A server's words go to a terminal: only printable ASCII passes. */
static void add_shown(struct buffer *into, struct span text)
{
    for (size_t i = 0; i < text.size && i < 120; i++)
        buffer_add_byte(into, text.at[i] >= ' ' && text.at[i] <= '~' ? text.at[i] : '?');
}

/* The meaning of its answers for the administrator; the first word that matches counts. */
static const struct
{
    const char *sign, *hint;
} remedies[] = {
    { "READONLY", "it is a replica, and locks are written: give redis.url the primary" },
    { "NOPERM",
      "allow this user eval, evalsha, mget, set, pexpire and del, and the keys that begin with redis.prefix" },
    { "can't run this command", "allow this user eval, evalsha, mget, set, pexpire and del" },
    { "CROSSSLOT", "a cluster keeps the locks of one batch apart: use a Redis without cluster mode" },
    { "MOVED", "a cluster keeps the locks of one batch apart: use a Redis without cluster mode" },
    { "CLUSTERDOWN", "it is a cluster, and no node serves its slots: use a Redis without cluster mode" },
    { "unknown command", "every lock is a script: let it run eval and evalsha" },
    { "OOM", "its maxmemory is used up: raise it" },
};

static bool refuse(struct buffer *report, const char *reason)
{
    buffer_add_text(report, "no lock can be taken: ");
    add_shown(report, span_of(reason));
    for (size_t i = 0; i < sizeof(remedies) / sizeof(*remedies); i++)
        if (strstr(reason, remedies[i].sign))
        {
            buffer_add_text(report, "; ");
            buffer_add_text(report, remedies[i].hint);
            break;
        }
    return false;
}

static void lock_freep(struct lock **lock)
{
    lock_free(*lock);
}

/* Two names, as a batch has: taken, extended, released, with the scripts of every batch and under the prefix of all.
 * The answer to a release is read by the call after it. */
static bool check_locks(const struct lock_options *options, struct buffer *report)
{
    struct lock_name names[] = { { .name = SPAN_LITERAL("check/1"), .lease_us = LEASE_US },
                                 { .name = SPAN_LITERAL("check/2"), .lease_us = LEASE_US } };
    __attribute__((cleanup(lock_freep))) struct lock *lock = lock_new(options);
    int64_t valid_until_us;

    if (lock == NULL)
        return refuse(report, "out of memory");
    if (lock_acquire(lock, names, 2, &valid_until_us) == LOCK_DEGRADED ||
        lock_extend(lock, names, 2, &valid_until_us) == LOCK_DEGRADED)
        return refuse(report, lock_reason(lock));
    lock_release_send(lock, names, 2);
    if (lock_acquire(lock, names, 2, &valid_until_us) == LOCK_DEGRADED)
        return refuse(report, lock_reason(lock));
    lock_release_send(lock, names, 2);
    return true;
}

static bool check_policy(struct redis_connection *link, struct buffer *report)
{
    __attribute__((cleanup(reply_freep))) redisReply *reply = ask(link, info_memory);
    struct span policy = reply && reply->type == REDIS_REPLY_STRING ? find_field(reply, "maxmemory_policy") : SPAN_NULL;
    if (!policy.at)
    {
        buffer_add_text(report, ", its maxmemory-policy cannot be read (allow info): make sure that it is noeviction");
        return true;
    }
    if (span_is(policy, "noeviction"))
    {
        buffer_add_text(report, ", noeviction");
        return true;
    }
    buffer_clear(report);
    buffer_add_text(report, "maxmemory-policy is ");
    add_shown(report, policy);
    buffer_add_text(report, ": locks could be evicted while they are held; set it to noeviction");
    return false;
}

bool redis_check(const struct lock_options *options, struct buffer *report)
{
    __attribute__((cleanup(link_freep))) struct redis_connection *link =
        redis_connection_new(options->url, options->connect_timeout_us, options->command_timeout_us);
    if (!link || !redis_connection_use(link))
    {
        buffer_add_text(report, link ? redis_connection_reason(link) : "out of memory");
        buffer_add_text(report, ": start it or correct redis.url; until then workers continue without the outer lock");
        return false;
    }
    if (!check_locks(options, report))
        return false;
    __attribute__((cleanup(reply_freep))) redisReply *reply = ask(link, info_server);
    struct span version = reply && reply->type == REDIS_REPLY_STRING ? find_field(reply, "redis_version") : SPAN_NULL;
    buffer_add_text(report, "version ");
    add_shown(report, version.at ? version : SPAN_LITERAL("unknown"));
    return check_policy(link, report);
}
