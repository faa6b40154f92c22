#include "tests/fakes/producer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/cmocka.h"
#include "worker/base/clock.h"

#define MARK "e1c4a8d2-0000-4000-8000-000000000001:7"

static const int64_t BOUND_US = 20000000; /* a test that waits longer has failed */

struct fake_producer fake_producer;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(fake_producer.log);

    va_start(arguments, format);
    vsnprintf(fake_producer.log + used, sizeof(fake_producer.log) - used, format, arguments);
    va_end(arguments);
    pthread_cond_broadcast(&fake_producer.changed);
}

/* --- the test's side -------------------------------------------------------------------------------------------- */

void fake_producer_begin(void)
{
    pthread_condattr_t attributes;

    memset(&fake_producer, 0, sizeof(fake_producer));
    pthread_mutex_init(&fake_producer.mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fake_producer.changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void fake_producer_end(void)
{
    pthread_cond_destroy(&fake_producer.changed);
    pthread_mutex_destroy(&fake_producer.mutex);
}

bool fake_producer_wait(int64_t until_us)
{
    struct timespec until = monotonic_timespec(until_us);
    return pthread_cond_timedwait(&fake_producer.changed, &fake_producer.mutex, &until) == 0;
}

void fake_producer_await_log(const char *expected)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_producer.mutex);
    while (strcmp(fake_producer.log, expected) != 0 && fake_producer_wait(until_us))
        continue;
    pthread_mutex_unlock(&fake_producer.mutex); /* a test that fails goes on with its teardown */
    assert_string_equal(fake_producer.log, expected);
}

void fake_producer_wake(void)
{
    pthread_mutex_lock(&fake_producer.mutex);
    pthread_cond_broadcast(&fake_producer.changed);
    pthread_mutex_unlock(&fake_producer.mutex);
}

void fake_producer_let_commit(int failing)
{
    pthread_mutex_lock(&fake_producer.mutex);
    fake_producer.commits_failing += failing;
    fake_producer.hold_commit = false;
    pthread_cond_broadcast(&fake_producer.changed);
    pthread_mutex_unlock(&fake_producer.mutex);
}

/* --- the producer, and what a takeover asks Kafka ------------------------------------------------------------------
 */

enum producer_result __wrap_producer_open(struct producer *producer, const char *transactional_id, int64_t wait_us)
{
    (void)producer, (void)transactional_id, (void)wait_us;
    pthread_mutex_lock(&fake_producer.mutex);
    fake_producer.opened += !fake_producer.open;
    fake_producer.open = true;
    pthread_mutex_unlock(&fake_producer.mutex);
    return PRODUCER_DONE;
}

void __wrap_producer_close(struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&fake_producer.mutex);
    fake_producer.closed += fake_producer.open;
    fake_producer.open = fake_producer.suspect = false;
    pthread_mutex_unlock(&fake_producer.mutex);
}

bool __wrap_producer_is_open(const struct producer *producer)
{
    (void)producer;
    return fake_producer.open;
}

bool __wrap_producer_is_suspect(const struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&fake_producer.mutex);
    bool suspect = fake_producer.suspect;
    pthread_mutex_unlock(&fake_producer.mutex);
    return suspect;
}

enum producer_result __wrap_producer_begin(struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&fake_producer.mutex);
    note("begin ");
    pthread_mutex_unlock(&fake_producer.mutex);
    return PRODUCER_DONE;
}

enum producer_result __wrap_producer_send_offsets(struct producer *producer,
                                                  const rd_kafka_topic_partition_list_t *offsets,
                                                  const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us)
{
    (void)producer, (void)group, (void)deadline_us;
    pthread_mutex_lock(&fake_producer.mutex);
    for (int p = 0; p < FAKE_PARTITIONS; p++)
        for (int i = 0; i < offsets->cnt; i++)
            if (offsets->elems[i].partition == p)
            {
                fake_producer.sent[p] = offsets->elems[i].offset;
                note("%d=%lld ", p, (long long)offsets->elems[i].offset);
            }
    pthread_mutex_unlock(&fake_producer.mutex);
    return PRODUCER_DONE;
}

enum producer_result __wrap_producer_send(struct producer *producer, const struct delivery *delivery)
{
    (void)producer;
    pthread_mutex_lock(&fake_producer.mutex);
    note("%d/%lld%s ", delivery->partition->number, (long long)delivery->offset,
         delivery->answer == ANSWER_DEAD_LETTER ? "!" : "");
    pthread_mutex_unlock(&fake_producer.mutex);
    return PRODUCER_DONE;
}

enum producer_result __wrap_producer_commit(struct producer *producer, int64_t deadline_us)
{
    (void)producer, (void)deadline_us;
    pthread_mutex_lock(&fake_producer.mutex);
    while (fake_producer.hold_commit)
        pthread_cond_wait(&fake_producer.changed, &fake_producer.mutex);
    bool fails = fake_producer.commits_failing > 0;
    fake_producer.commits_failing -= fails;
    if (!fails || fake_producer.failing_reach_kafka)
        memcpy(fake_producer.committed, fake_producer.sent, sizeof(fake_producer.committed));
    note(fails ? "broken " : "done ");
    pthread_mutex_unlock(&fake_producer.mutex);
    return fails ? PRODUCER_BROKEN : PRODUCER_DONE;
}

void __wrap_producer_idle(struct producer *producer)
{
    (void)producer;
}

int64_t __wrap_producer_muted_us(const struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&fake_producer.mutex);
    int64_t left_us = fake_producer.muted_until_us - monotonic_us();
    pthread_mutex_unlock(&fake_producer.mutex);
    return left_us > 0 ? left_us : 0;
}

const char *__wrap_producer_problem(const struct producer *producer)
{
    (void)producer;
    return "scripted";
}

int __wrap_takeover_round(struct takeover *takeover, const struct takeover_means *means,
                          struct owned_partition **owned_partitions, int count)
{
    (void)takeover, (void)means;
    for (int i = 0; i < count; i++)
        snprintf(owned_partitions[i]->publisher.mark, sizeof(owned_partitions[i]->publisher.mark), MARK);
    return 0; /* all are ours */
}

bool __wrap_takeover_read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets)
{
    (void)takeover;
    pthread_mutex_lock(&fake_producer.mutex);
    bool known = fake_producer.unknown == 0;
    fake_producer.unknown -= !known;
    note(known ? "look " : "unknown ");
    for (int i = 0; i < offsets->cnt; i++)
    {
        offsets->elems[i].offset = fake_producer.committed[offsets->elems[i].partition] - fake_producer.forgets;
        free(offsets->elems[i].metadata);
        offsets->elems[i].metadata = fake_producer.foreign ? NULL : strdup(MARK);
        offsets->elems[i].metadata_size = fake_producer.foreign ? 0 : strlen(MARK);
    }
    pthread_mutex_unlock(&fake_producer.mutex);
    return known;
}

void __wrap_takeover_raise_published(struct takeover *takeover, const struct takeover_means *means,
                                     struct owned_partition *const *owned_partitions, int count, int64_t wait_us)
{
    (void)takeover, (void)means, (void)owned_partitions, (void)count;
    pthread_mutex_lock(&fake_producer.mutex);
    fake_producer.raised += wait_us > 0;
    pthread_mutex_unlock(&fake_producer.mutex);
}

const char *__wrap_takeover_problem(const struct takeover *takeover)
{
    (void)takeover;
    return "scripted";
}
