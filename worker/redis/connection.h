/* Redis connection: the connection of one lock to Redis, with its circuit breaker. It never lets a dead or silent Redis
 * cost a lane more than a few milliseconds every few seconds: a connection is opened and greeted without waiting, a
 * step at each use. Only the very first attempt is waited for, so that a pool that starts beside a healthy Redis locks
 * from its first batch on.
 *
 * Sockets are non-blocking and every wait has a deadline of our own, so nothing depends on hiredis 0.14.1 keeping a
 * timeout over a reconnect (it does not). Names of hosts are looked up by getaddrinfo, which has its own timeouts: an
 * address spares them.
 *
 * Threads    one owner. A write to a closed connection raises SIGPIPE: the process ignores it, or its threads block it.
 * Ownership  replies are the caller's: freeReplyObject.
 * Failure    any: the connection is dropped, redis_connection_reason says why, the next attempt is 100 ms to 5 s away.
 */
#ifndef WORKER_REDIS_CONNECTION_H
#define WORKER_REDIS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_connection;
struct redisReply;

enum
{
    REDIS_CONNECTION_ATTEMPT_WAIT_US = 5000, /* of a later attempt; the next use looks at one that takes longer */
};

struct redis_connection *redis_connection_new(const char *url, int64_t connect_timeout_us, int64_t command_timeout_us);
void redis_connection_free(struct redis_connection *link);

/* Whether it is open and has answered. Takes the next step towards that. */
bool redis_connection_use(struct redis_connection *link);
/* The same, without doing anything for it. */
bool redis_connection_is_open(const struct redis_connection *link);

/* Adds bytes of a request; they leave with redis_connection_flush or redis_connection_receive. False: out of memory,
 * link dropped. */
bool redis_connection_append(struct redis_connection *link, const char *bytes, size_t size);

/* Writes as much as the socket takes at once, without waiting. */
bool redis_connection_flush(struct redis_connection *link);

/* Writes the rest, and waits for the next reply up to the command timeout. NULL: the link is dropped. */
struct redisReply *redis_connection_receive(struct redis_connection *link);

/* The answer was the expected one: the next failure begins with the shortest pause again. */
void redis_connection_reset_backoff(struct redis_connection *link);

/* Drops the connection because of its answer. `what` of `what_size` bytes is outside text. */
void redis_connection_drop(struct redis_connection *link, const char *what, size_t what_size);

const char *redis_connection_reason(const struct redis_connection *link);

#endif
