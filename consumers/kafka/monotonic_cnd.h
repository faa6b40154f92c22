/* Monotonic cnd: librdkafka's waits, on a clock that does not jump.
 *
 * librdkafka 2.0.2 waits with C11's cnd_timedwait until a time of the wall clock (librdkafka issue 2145). When that
 * clock is set back by an hour, a thread of it that waits for a second sleeps for an hour more: no heartbeats, the
 * group forgets the member, and the member learns of it only when the hour is over. The program's own cnd_timedwait,
 * defined here, is the one that the library finds: it takes the time that is left when it is called, and waits for that
 * on the monotonic clock.
 *
 * Threads    any.
 * Failure    a library that brings its own cnd_timedwait is not reached, and a C library without pthread_cond_clockwait
 *            (musl) has no other wait to offer: monotonic_cnd_is_found says so.
 */
#ifndef CONSUMERS_KAFKA_MONOTONIC_CND_H
#define CONSUMERS_KAFKA_MONOTONIC_CND_H

#include <stdbool.h>

/* Whether the libraries of this process use it. Clients are made only after it was asked, which also links it. */
bool monotonic_cnd_is_found(void);

/* Without it, for tests: the wall clock again, as the C library does. */
void monotonic_cnd_use(bool use);

#endif
