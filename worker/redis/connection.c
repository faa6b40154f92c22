#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <hiredis/hiredis.h>

#include "worker/base/clock.h"
#include "worker/base/retry.h"
#include "worker/redis/connection.h"
#include "worker/redis/reply.h"
#include "worker/settings/redis_url.h"

enum link_state
{
    LINK_CLOSED,     /* until next_attempt_us */
    LINK_CONNECTING, /* until deadline_us */
    LINK_GREETING,   /* AUTH, SELECT, PING are out, until deadline_us */
    LINK_OPEN,
};

enum
{
    READ_MAX = 16 * 1024,
};

enum greeting
{
    GREETING_AUTH,
    GREETING_SELECT,
    GREETING_PING,
    GREETING__COUNT,
};

static const char *const greeting_names[GREETING__COUNT] = { "AUTH", "SELECT", "PING" };

struct redis_connection
{
    struct redis_url url;
    int64_t connect_timeout_us, command_timeout_us;
    enum link_state state;
    redisContext *context;                    /* NULL: closed */
    enum greeting greetings[GREETING__COUNT]; /* whose replies are awaited, in order */
    int greeting_count, greeted;
    int64_t deadline_us, next_attempt_us;
    int failures; /* one after another */
    bool tried;   /* at least once */
    uint64_t random_state;
    char where[128];
    char reason[320];
    size_t received_size;
    char received[LOCK_REPLY_MAX]; /* and not made a reply of yet */
};

/* PROTOCOL P5: a dead Redis costs time only, and little. */
static const struct retry_policy reconnect_policy = { "redis", 6, 100000, 2.0, 5000000, 0.2 };

struct redis_connection *redis_connection_new(const char *url, int64_t connect_timeout_us, int64_t command_timeout_us)
{
    struct redis_connection *link = calloc(1, sizeof(*link));
    const char *problem = "";

    if (link == NULL)
        return NULL;
    link->connect_timeout_us = connect_timeout_us;
    link->command_timeout_us = command_timeout_us;
    link->random_state = (uint64_t)monotonic_us() ^ (uint64_t)(uintptr_t)link;
    if (url == NULL || *url == '\0')
        snprintf(link->reason, sizeof(link->reason), "Redis is not set");
    else if (!redis_url_parse(url, &link->url, &problem))
        snprintf(link->reason, sizeof(link->reason), "redis.url: %s", problem);
    else
        redis_url_print_where(&link->url, link->where, sizeof(link->where));
    return link;
}

void redis_connection_free(struct redis_connection *link)
{
    if (link == NULL)
        return;
    if (link->context)
        redisFree(link->context);
    redis_url_done(&link->url);
    free(link);
}

void redis_connection_drop(struct redis_connection *link, const char *what, size_t what_size)
{
    int64_t delay_us = retry_delay_us(&reconnect_policy, ++link->failures, &link->random_state);
    int size = snprintf(link->reason, sizeof(link->reason), "%s: %.*s", link->where,
                        what_size < sizeof(link->reason) ? (int)what_size : (int)sizeof(link->reason), what);

    /* A server's message may hold any byte; the reason goes to a log line. */
    for (int i = 0; i < size && i < (int)sizeof(link->reason); i++)
        if ((unsigned char)link->reason[i] < ' ' || link->reason[i] == 0x7F)
            link->reason[i] = link->reason[i] ? ' ' : '\0';
    if (link->context)
        redisFree(link->context);
    link->context = NULL;
    link->received_size = 0;
    link->state = LINK_CLOSED;
    if (link->failures > reconnect_policy.retries)
        link->failures = reconnect_policy.retries; /* the count stays small; the longest delay was reached */
    link->next_attempt_us = monotonic_us() + delay_us;
}

static bool drop(struct redis_connection *link, const char *what)
{
    redis_connection_drop(link, what, strlen(what));
    return false;
}

static bool drop_late(struct redis_connection *link, const char *what, int64_t limit_us)
{
    char text[96];
    snprintf(text, sizeof(text), "%s within %lld ms", what, (long long)limit_us / 1000);
    return drop(link, text);
}

/* True when the socket is ready for one of the events before the deadline. */
static bool await_socket(const struct redis_connection *link, short events, int64_t deadline_us)
{
    for (;;)
    {
        int64_t left_us = deadline_us - monotonic_us();
        struct timespec left = monotonic_timespec(left_us > 0 ? left_us : 0);
        struct pollfd socket = { .fd = link->context->fd, .events = events };
        int ready = ppoll(&socket, 1, &left, NULL);
        if (ready != -1 || errno != EINTR)
            return ready == 1;
    }
}

/* --- getting there ----------------------------------------------------------------------------------------------- */

static bool open_socket(struct redis_connection *link)
{
    const struct redis_url *url = &link->url;

    link->tried = true;
    link->context = url->path ? redisConnectUnixNonBlock(url->path) : redisConnectNonBlock(url->host, url->port);
    if (link->context == NULL)
        return drop(link, "out of memory");
    if (link->context->err)
    {
        char error[sizeof(link->context->errstr)];
        memcpy(error, link->context->errstr, sizeof(error));
        return drop(link, error);
    }
    link->state = LINK_CONNECTING;
    link->deadline_us = monotonic_us() + link->connect_timeout_us;
    return true;
}

static void greet_with(struct redis_connection *link, enum greeting greeting, int count, const char *const *words)
{
    const char *argv[3] = { greeting_names[greeting] };
    size_t sizes[3] = { strlen(greeting_names[greeting]) };

    for (int i = 0; i < count; i++)
    {
        argv[i + 1] = words[i];
        sizes[i + 1] = strlen(words[i]);
    }
    if (redisAppendCommandArgv(link->context, count + 1, argv, sizes) == REDIS_OK)
        link->greetings[link->greeting_count++] = greeting;
}

static bool connect_finish(struct redis_connection *link, int64_t wait_until_us)
{
    const struct redis_url *url = &link->url;
    int error = 0;
    socklen_t size = sizeof(error);

    if (!await_socket(link, POLLOUT, wait_until_us))
        return monotonic_us() >= link->deadline_us && drop_late(link, "no connection", link->connect_timeout_us);
    if (getsockopt(link->context->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
        return drop(link, strerror(error ? error : errno));
    if (url->host)
        redisEnableKeepAlive(link->context); /* a refusal costs nothing but a late notice of a dead peer */
    link->context->err = 0;
    link->received_size = 0;
    link->greeting_count = link->greeted = 0;
    const char *credentials[2] = { url->user ? url->user : url->password, url->password };
    if (url->password)
        greet_with(link, GREETING_AUTH, url->user ? 2 : 1, credentials);
    char database[16];
    snprintf(database, sizeof(database), "%d", url->database);
    if (url->database)
        greet_with(link, GREETING_SELECT, 1, (const char *const[]){ database });
    greet_with(link, GREETING_PING, 0, NULL);
    link->state = LINK_GREETING;
    link->deadline_us = monotonic_us() + link->command_timeout_us;
    return link->greeting_count == (url->password != NULL) + (url->database != 0) + 1 || drop(link, "out of memory");
}

/* Takes the reply of one greeting. */
static bool take_greeting(struct redis_connection *link, const redisReply *reply)
{
    enum greeting greeting = link->greetings[link->greeted++];
    char text[128];

    if (reply->type == REDIS_REPLY_STATUS)
        return true;
    /* A server that does not know AUTH repeats its words, the password among them: only the first one is shown. */
    int shown = reply->type == REDIS_REPLY_ERROR && reply->str ? (int)strcspn(reply->str, " \r\n") : 0;
    if (reply->type == REDIS_REPLY_ERROR && greeting != GREETING_AUTH && reply->str)
        shown = (int)strlen(reply->str);
    snprintf(text, sizeof(text), "%s: %.*s", greeting_names[greeting], shown ? shown : 17,
             shown ? reply->str : "unexpected answer");
    return drop(link, text);
}

static bool drop_by_context(struct redis_connection *link)
{
    char error[sizeof(link->context->errstr)];

    memcpy(error, link->context->errstr, sizeof(error));
    error[sizeof(error) - 1] = '\0';
    return drop(link, *error ? error : "connection lost");
}

/* The first reply among the received bytes. 1: it is complete; 0: more has to come; -1: the link is dropped. */
static int take_reply(struct redis_connection *link, redisReply **ret)
{
    const char *why = "";
    void *reply = NULL;
    size_t size;

    switch (redis_reply_measure((struct span){ link->received, link->received_size }, &size, &why))
    {
    case LOCK_REPLY_PART:
        return 0;
    case LOCK_REPLY_REFUSED:
        return drop(link, why) - 1;
    case LOCK_REPLY_WHOLE:
        break;
    }
    if (redisReaderFeed(link->context->reader, link->received, size) != REDIS_OK ||
        redisReaderGetReply(link->context->reader, &reply) != REDIS_OK || reply == NULL)
        return drop(link, "a reply that cannot be read") - 1;
    link->received_size -= size;
    memmove(link->received, link->received + size, link->received_size);
    *ret = reply;
    return 1;
}

/* One read, of the bytes that have arrived. */
static bool receive(struct redis_connection *link)
{
    size_t room = sizeof(link->received) - link->received_size;
    ssize_t size =
        recv(link->context->fd, link->received + link->received_size, room < READ_MAX ? room : READ_MAX, MSG_DONTWAIT);

    if (size == 0)
        return drop(link, "Server closed the connection");
    if (size < 0)
        return errno == EAGAIN || errno == EINTR || drop(link, strerror(errno));
    link->received_size += (size_t)size;
    return true;
}

/* Waits for a reply up to `wait_until_us`, which is looked at before every read but the first: a server that always has
 * something to say would never be late. 1: got it; 0: not yet; -1: the link is dropped. */
static int await_reply(struct redis_connection *link, int64_t wait_until_us, redisReply **ret)
{
    int done = 0, got;

    for (bool first = true;; first = false)
    {
        if (redisBufferWrite(link->context, &done) != REDIS_OK)
            return drop_by_context(link) - 1;
        if ((got = take_reply(link, ret)) != 0)
            return got;
        if ((!first && monotonic_us() >= wait_until_us) ||
            !await_socket(link, (short)(done ? POLLIN : POLLIN | POLLOUT), wait_until_us))
            return 0;
        if (!receive(link))
            return -1;
    }
}

/* Unrequested bytes would be taken for the next answer. */
static bool is_quiet(struct redis_connection *link)
{
    return link->received_size == 0 || drop(link, "more bytes than were asked for");
}

static bool greet_finish(struct redis_connection *link, int64_t wait_until_us)
{
    while (link->greeted < link->greeting_count)
    {
        redisReply *reply = NULL;
        int got = await_reply(link, wait_until_us, &reply);
        if (got < 0)
            return false;
        if (got == 0)
            return monotonic_us() >= link->deadline_us && drop_late(link, "no answer", link->command_timeout_us);
        bool good = take_greeting(link, reply);
        freeReplyObject(reply);
        if (!good)
            return false;
    }
    if (!is_quiet(link))
        return false;
    link->state = LINK_OPEN;
    return true;
}

bool redis_connection_is_open(const struct redis_connection *link)
{
    return link->state == LINK_OPEN;
}

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return a_us < b_us ? a_us : b_us;
}

bool redis_connection_use(struct redis_connection *link)
{
    if (link->state == LINK_OPEN)
        return true;
    if (link->where[0] == '\0')
        return false;
    int64_t now_us = monotonic_us(), patience_us = 0;
    if (link->state == LINK_CLOSED)
    {
        if (now_us < link->next_attempt_us)
            return false;
        patience_us =
            link->tried ? REDIS_CONNECTION_ATTEMPT_WAIT_US : link->connect_timeout_us + link->command_timeout_us;
        if (!open_socket(link))
            return false;
    }
    if (link->state == LINK_CONNECTING && !connect_finish(link, earlier(link->deadline_us, now_us + patience_us)))
        return false;
    return link->state == LINK_GREETING && greet_finish(link, earlier(link->deadline_us, now_us + patience_us));
}

/* --- using it ---------------------------------------------------------------------------------------------------- */

bool redis_connection_append(struct redis_connection *link, const char *bytes, size_t size)
{
    assert(link->state == LINK_OPEN);
    return redisAppendFormattedCommand(link->context, bytes, size) == REDIS_OK || drop(link, "out of memory");
}

bool redis_connection_flush(struct redis_connection *link)
{
    int done;

    return redisBufferWrite(link->context, &done) == REDIS_OK || drop_by_context(link);
}

struct redisReply *redis_connection_receive(struct redis_connection *link)
{
    redisReply *reply = NULL;

    assert(link->state == LINK_OPEN);
    int got = await_reply(link, monotonic_us() + link->command_timeout_us, &reply);
    if (got == 0)
        drop_late(link, "no answer", link->command_timeout_us);
    if (got == 1 && !is_quiet(link))
    {
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

void redis_connection_reset_backoff(struct redis_connection *link)
{
    link->failures = 0;
    link->reason[0] = '\0';
}

const char *redis_connection_reason(const struct redis_connection *link)
{
    return link->reason;
}
