/* Spin brake: a rest for librdkafka's main thread, which spins before each of its timers.
 *
 * Up to 2.3 its loop (rd_kafka_thread_main) waits for the whole milliseconds until its next timer, sleeptime / 1000, and
 * asks again and again, without a wait, in the last one. Each transaction starts such timers, and
 * cost 2 ms of CPU by it. The program's own mtx_lock, defined here, is the one that the library finds. A main thread
 * that locks the same two mutexes in turn, and nothing else, is in that loop: it gets a short sleep now and then. It
 * holds no mutex at that moment, and what it is asked for meanwhile waits no longer than the sleep.
 *
 * Threads    any.
 * Failure    a library that brings its own mtx_lock is not reached: it spins as before.
 */
#ifndef CONSUMERS_KAFKA_SPIN_BRAKE_H
#define CONSUMERS_KAFKA_SPIN_BRAKE_H

#include <stdbool.h>
#include <stdint.h>

enum
{
    SPIN_LOCKS = 32,    /* as many in a row of two mutexes: a spin; a loop has three */
    SPIN_REST_US = 120, /* each sleep, to which Linux adds its timer slack of 50 */
};

/* Whether the libraries of this process use it. Clients are made only after it was asked, which also links it. */
bool spin_brake_is_found(void);

/* The thread is about to wait, so it does not spin. */
void spin_brake_note_wait(void);

/* By default it is used with a librdkafka that spins. */
void spin_brake_use(bool use);

/* The sleeps so far, of all threads. */
int64_t spin_brake_rests(void);

#endif
