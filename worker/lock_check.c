#include "worker/lock_check.h"

#include <stdio.h>

#include <hiredis/hiredis.h>

#include "worker/lock_link.h"

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

static const char info_server[] = "*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n";
static const char info_memory[] = "*2\r\n$4\r\nINFO\r\n$6\r\nmemory\r\n";
static const char script[] = "*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 7\r\n$1\r\n0\r\n";

const char *lock_check_library(void)
{
    return VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

static void link_freep(struct lock_link **link)
{
    lock_link_free(*link);
}

static void reply_freep(redisReply **reply)
{
    if (*reply)
        freeReplyObject(*reply);
}

static redisReply *ask(struct lock_link *link, const char *request)
{
    return lock_link_append(link, request, strlen(request)) ? lock_link_receive(link) : NULL;
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

/* A server's words go to a terminal: only what can be shown. */
static void add_shown(struct buffer *into, struct span text)
{
    for (size_t i = 0; i < text.size && i < 120; i++)
        buffer_add_byte(into, text.at[i] >= ' ' && text.at[i] <= '~' ? text.at[i] : '?');
}

static bool check_script(struct lock_link *link, struct buffer *report)
{
    __attribute__((cleanup(reply_freep))) redisReply *reply = ask(link, script);
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 7)
        return true;
    buffer_add_text(report, "it runs no scripts, which every lock is: ");
    add_shown(report,
              reply && reply->str ? (struct span){ reply->str, (size_t)reply->len } : span_of(lock_link_reason(link)));
    buffer_add_text(report, "; allow eval, evalsha and script|load to this user");
    return false;
}

static bool check_policy(struct lock_link *link, struct buffer *report)
{
    __attribute__((cleanup(reply_freep))) redisReply *reply = ask(link, info_memory);
    struct span policy = reply && reply->type == REDIS_REPLY_STRING ? find_field(reply, "maxmemory_policy") : SPAN_NULL;
    if (!policy.at)
    {
        buffer_add_text(report, ", its maxmemory-policy may not be asked (allow info): see that it is noeviction");
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

bool lock_check(const struct lock_options *options, struct buffer *report)
{
    __attribute__((cleanup(link_freep))) struct lock_link *link =
        lock_link_new(options->url, options->connect_timeout_us, options->command_timeout_us);
    if (!link || !lock_link_use(link))
    {
        buffer_add_text(report, link ? lock_link_reason(link) : "out of memory");
        buffer_add_text(report, ": start it or correct redis.url; until then workers go on without the outer lock");
        return false;
    }
    if (!check_script(link, report))
        return false;
    __attribute__((cleanup(reply_freep))) redisReply *reply = ask(link, info_server);
    struct span version = reply && reply->type == REDIS_REPLY_STRING ? find_field(reply, "redis_version") : SPAN_NULL;
    buffer_add_text(report, "version ");
    add_shown(report, version.at ? version : SPAN_LITERAL("unknown"));
    return check_policy(link, report);
}
