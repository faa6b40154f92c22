/* Lock link: the connection of one lock to Redis, with its circuit breaker. It never lets a dead or silent Redis cost a
 * lane more than a few milliseconds every few seconds: a connection is opened and greeted without waiting, a step at
 * each use. Only the very first attempt is waited for, so that a pool that starts beside a healthy Redis locks from its
 * first batch on.
 *
 * Sockets are non-blocking and every wait has a deadline of our own, so nothing depends on hiredis 0.14.1 keeping a
 * timeout over a reconnect (it does not). Names of hosts are looked up by getaddrinfo, which has its own timeouts: an
 * address spares them.
 *
 * Threads    one owner. A write to a closed connection raises SIGPIPE: the process ignores it, or its threads block it.
 * Ownership  replies are the caller's: freeReplyObject.
 * Failure    any: the connection is dropped, lock_link_reason says why, the next attempt is 100 ms to 5 s away.
 */
#ifndef WORKER_REDIS_CONNECTION_H
#define WORKER_REDIS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lock_link;
struct redisReply;

enum
{
    LOCK_LINK_ATTEMPT_WAIT_US = 5000, /* of a later attempt; what takes longer is looked at by the next use */
};

struct lock_link *lock_link_new(const char *url, int64_t connect_timeout_us, int64_t command_timeout_us);
void lock_link_free(struct lock_link *link);

/* Whether it is open and has answered. Goes on with what it takes to get there. */
bool lock_link_use(struct lock_link *link);
/* The same, without doing anything for it. */
bool lock_link_is_open(const struct lock_link *link);

/* Adds bytes of a request; they leave with lock_link_flush or lock_link_receive. False: out of memory, link dropped. */
bool lock_link_append(struct lock_link *link, const char *bytes, size_t size);

/* Writes what the socket takes at once, without waiting. */
bool lock_link_flush(struct lock_link *link);

/* Writes what is left, and waits for the next reply up to the command timeout. NULL: the link is dropped. */
struct redisReply *lock_link_receive(struct lock_link *link);

/* The answer was what was asked for: the next failure begins with the shortest pause again. */
void lock_link_praise(struct lock_link *link);

/* Drops the connection because of its answer. `what` of `what_size` bytes is outside text. */
void lock_link_drop(struct lock_link *link, const char *what, size_t what_size);

const char *lock_link_reason(const struct lock_link *link);

#endif
