/* Producer (fake): a scripted producer and a scripted Kafka behind it, for the tests of the publisher. Each act of
 * the producer is written down, a word a call: "begin", "0=43" for the offset of partition 0, "0/42" for its delivery
 * at 42, with an exclamation mark for a dead letter, "done" or "broken" for the commit, "look" or "unknown" for a
 * question.
 *
 * wrap: producer_open producer_close producer_is_open producer_is_suspect producer_begin producer_send_offsets
 * producer_send producer_commit producer_idle producer_problem takeover_round takeover_read_committed
 * takeover_raise_published takeover_problem producer_muted_us
 *
 * Threads    calls come on the publisher's thread; the test waits for them, and sets the script under the mutex or
 *            before anything is answered.
 */
#ifndef TESTS_FAKES_PRODUCER_H
#define TESTS_FAKES_PRODUCER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "consumers/producer/producer.h"
#include "consumers/takeover/takeover.h"

enum
{
    FAKE_PARTITIONS = 2,
    FAKE_LOG_MAX = 512,
};

struct fake_producer
{
    pthread_mutex_t mutex; /* over all of it */
    pthread_cond_t changed;
    char log[FAKE_LOG_MAX];
    int opened, closed;
    bool open, suspect;
    int commits_failing;      /* so many commits fail, and do not reach Kafka */
    bool failing_reach_kafka; /* ... or do */
    bool hold_commit;         /* a commit waits until this is false */
    int64_t committed[FAKE_PARTITIONS], sent[FAKE_PARTITIONS];
    int64_t muted_until_us;
    int unknown;  /* so many questions about committed offsets get no answer */
    bool foreign; /* somebody else committed them */
    bool forgets; /* Kafka has less than it acknowledged */
    int raised;   /* how often `published` was raised and waited for */
};

extern struct fake_producer fake_producer;

/* Begins a test: everything is as new. */
void fake_producer_begin(void);
void fake_producer_end(void);

/* With the mutex held: waits for a change, until a time of monotonic_us. False: it is reached. */
bool fake_producer_wait(int64_t until_us);
/* Fails the test when the log does not become this within far more time than it ever takes. */
void fake_producer_await_log(const char *expected);
/* Whoever waits looks again. */
void fake_producer_wake(void);
void fake_producer_let_commit(int failing); /* ends `hold_commit`; so many of the next ones fail */

__typeof__(producer_open) __wrap_producer_open;
__typeof__(producer_close) __wrap_producer_close;
__typeof__(producer_is_open) __wrap_producer_is_open;
__typeof__(producer_is_suspect) __wrap_producer_is_suspect;
__typeof__(producer_begin) __wrap_producer_begin;
__typeof__(producer_send_offsets) __wrap_producer_send_offsets;
__typeof__(producer_send) __wrap_producer_send;
__typeof__(producer_commit) __wrap_producer_commit;
__typeof__(producer_idle) __wrap_producer_idle;
__typeof__(producer_problem) __wrap_producer_problem;
__typeof__(producer_muted_us) __wrap_producer_muted_us;
__typeof__(takeover_round) __wrap_takeover_round;
__typeof__(takeover_read_committed) __wrap_takeover_read_committed;
__typeof__(takeover_raise_published) __wrap_takeover_raise_published;
__typeof__(takeover_problem) __wrap_takeover_problem;

#endif
