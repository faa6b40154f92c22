/* Producer (fake): a scripted producer and a scripted Kafka behind it, for the tests of the publisher. What the
 * producer did is written down, a word a call: "begin", "0=43" for the offset of partition 0, "0/42" for its delivery
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

enum producer_result __wrap_producer_open(struct producer *producer, const char *transactional_id, int64_t wait_us);
void __wrap_producer_close(struct producer *producer);
bool __wrap_producer_is_open(const struct producer *producer);
bool __wrap_producer_is_suspect(const struct producer *producer);
enum producer_result __wrap_producer_begin(struct producer *producer);
enum producer_result __wrap_producer_send_offsets(struct producer *producer,
                                                  const rd_kafka_topic_partition_list_t *offsets,
                                                  const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us);
enum producer_result __wrap_producer_send(struct producer *producer, const struct delivery *delivery);
enum producer_result __wrap_producer_commit(struct producer *producer, int64_t deadline_us);
void __wrap_producer_idle(struct producer *producer);
const char *__wrap_producer_problem(const struct producer *producer);
int64_t __wrap_producer_muted_us(const struct producer *producer);
int __wrap_takeover_round(struct takeover *takeover, const struct takeover_means *means,
                          struct owned_partition **owned_partitions, int count);
bool __wrap_takeover_read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets);
void __wrap_takeover_raise_published(struct takeover *takeover, const struct takeover_means *means,
                                     struct owned_partition *const *owned_partitions, int count, int64_t wait_us);
const char *__wrap_takeover_problem(const struct takeover *takeover);

#endif
