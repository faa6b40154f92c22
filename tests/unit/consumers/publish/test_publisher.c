/* wrap: producer_open producer_close producer_is_open producer_is_suspect producer_begin producer_send_offsets
 * producer_send producer_commit producer_idle producer_problem takeover_round takeover_read_committed
 * takeover_raise_published takeover_problem producer_muted_us */
#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/message/delivery_pool.h"
#include "consumers/producer/producer.h"
#include "consumers/publish/publisher.h"
#include "consumers/takeover/takeover.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

/* What the publisher does, with a scripted producer and a scripted Kafka behind it. Everything scripted runs on the
 * publisher's thread; the test waits for what it has done. */

enum
{
    PARTITIONS = 2,
    MESSAGES = 64,
    LOG_MAX = 512,
};

#define MARK "e1c4a8d2-0000-4000-8000-000000000001:7"

static const int64_t BOUND_US = 20000000; /* a test that waits longer has failed */

static struct
{
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct settings settings;
    struct delivery_pool *delivery_pool;
    struct publisher *publisher;
    struct owned_partition *owned_partitions[PARTITIONS];
    struct delivery *deliveries[PARTITIONS][MESSAGES];

    /* Under the mutex. */
    bool open;
    bool suspect;
    int opened, closed, wakes;
    char log[LOG_MAX];        /* what the producer did: a word a call */
    int commits_failing;      /* so many commits fail, and do not reach Kafka */
    bool failing_reach_kafka; /* ... or do */
    bool hold_commit;         /* a commit waits until this is false */
    int64_t committed[PARTITIONS], sent[PARTITIONS];
    int64_t muted_until_us;
    int unknown;  /* so many questions about committed offsets get no answer */
    bool foreign; /* somebody else committed them */
} world;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(world.log);

    va_start(arguments, format);
    vsnprintf(world.log + used, sizeof(world.log) - used, format, arguments);
    va_end(arguments);
    pthread_cond_broadcast(&world.cond);
}

/* --- the script -------------------------------------------------------------------------------------------------- */

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

enum producer_result __wrap_producer_open(struct producer *producer, const char *transactional_id, int64_t wait_us)
{
    (void)producer, (void)transactional_id, (void)wait_us;
    pthread_mutex_lock(&world.mutex);
    world.opened += !world.open;
    world.open = true;
    pthread_mutex_unlock(&world.mutex);
    return PRODUCER_DONE;
}

void __wrap_producer_close(struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&world.mutex);
    world.closed += world.open;
    world.open = world.suspect = false;
    pthread_mutex_unlock(&world.mutex);
}

bool __wrap_producer_is_open(const struct producer *producer)
{
    (void)producer;
    return world.open;
}

bool __wrap_producer_is_suspect(const struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&world.mutex);
    bool suspect = world.suspect;
    pthread_mutex_unlock(&world.mutex);
    return suspect;
}

enum producer_result __wrap_producer_begin(struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&world.mutex);
    note("begin ");
    pthread_mutex_unlock(&world.mutex);
    return PRODUCER_DONE;
}

enum producer_result __wrap_producer_send_offsets(struct producer *producer,
                                                  const rd_kafka_topic_partition_list_t *offsets,
                                                  const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us)
{
    (void)producer, (void)group, (void)deadline_us;
    pthread_mutex_lock(&world.mutex);
    for (int p = 0; p < PARTITIONS; p++)
        for (int i = 0; i < offsets->cnt; i++)
            if (offsets->elems[i].partition == p)
            {
                world.sent[p] = offsets->elems[i].offset;
                note("%d=%lld ", p, (long long)offsets->elems[i].offset);
            }
    pthread_mutex_unlock(&world.mutex);
    return PRODUCER_DONE;
}

enum producer_result __wrap_producer_send(struct producer *producer, const struct delivery *delivery)
{
    (void)producer;
    pthread_mutex_lock(&world.mutex);
    note("%d/%lld%s ", delivery->partition->number, (long long)delivery->offset,
         delivery->answer == ANSWER_DEAD_LETTER ? "!" : "");
    pthread_mutex_unlock(&world.mutex);
    return PRODUCER_DONE;
}

enum producer_result __wrap_producer_commit(struct producer *producer, int64_t deadline_us)
{
    (void)producer, (void)deadline_us;
    pthread_mutex_lock(&world.mutex);
    while (world.hold_commit)
        pthread_cond_wait(&world.cond, &world.mutex);
    bool fails = world.commits_failing > 0;
    world.commits_failing -= fails;
    if (!fails || world.failing_reach_kafka)
        memcpy(world.committed, world.sent, sizeof(world.committed));
    note(fails ? "broken " : "done ");
    pthread_mutex_unlock(&world.mutex);
    return fails ? PRODUCER_BROKEN : PRODUCER_DONE;
}

void __wrap_producer_idle(struct producer *producer)
{
    (void)producer;
}

int64_t __wrap_producer_muted_us(const struct producer *producer)
{
    (void)producer;
    pthread_mutex_lock(&world.mutex);
    int64_t left_us = world.muted_until_us - monotonic_us();
    pthread_mutex_unlock(&world.mutex);
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
        snprintf(owned_partitions[i]->mark, sizeof(owned_partitions[i]->mark), MARK);
    return 0; /* all are ours */
}

bool __wrap_takeover_read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets)
{
    (void)takeover;
    pthread_mutex_lock(&world.mutex);
    bool known = world.unknown == 0;
    world.unknown -= !known;
    note(known ? "look " : "unknown ");
    for (int i = 0; i < offsets->cnt; i++)
    {
        offsets->elems[i].offset = world.committed[offsets->elems[i].partition];
        free(offsets->elems[i].metadata);
        offsets->elems[i].metadata = world.foreign ? NULL : strdup(MARK);
        offsets->elems[i].metadata_size = world.foreign ? 0 : strlen(MARK);
    }
    pthread_mutex_unlock(&world.mutex);
    return known;
}

void __wrap_takeover_raise_published(struct takeover *takeover, const struct takeover_means *means,
                                     struct owned_partition *const *owned_partitions, int count, int64_t wait_us)
{
    (void)takeover, (void)means, (void)owned_partitions, (void)count, (void)wait_us;
}

const char *__wrap_takeover_problem(const struct takeover *takeover)
{
    (void)takeover;
    return "scripted";
}

static void on_wake(void *owner, bool news)
{
    (void)owner, (void)news;
    pthread_mutex_lock(&world.mutex);
    world.wakes++;
    pthread_cond_broadcast(&world.cond);
    pthread_mutex_unlock(&world.mutex);
}

/* --- the test's side --------------------------------------------------------------------------------------------- */

static bool wait_changed(int64_t until_us)
{
    struct timespec until = monotonic_timespec(until_us);
    return pthread_cond_timedwait(&world.cond, &world.mutex, &until) == 0;
}

static void await_log(const char *expected)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&world.mutex);
    while (strcmp(world.log, expected) != 0 && wait_changed(until_us))
        continue;
    assert_string_equal(world.log, expected);
    pthread_mutex_unlock(&world.mutex);
}

static void await_in_flight(int partition, int64_t expected)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    /* Woken by the publisher's wake, which comes behind every release. */
    pthread_mutex_lock(&world.mutex);
    while (atomic_load(&world.owned_partitions[partition]->in_flight) != expected && wait_changed(until_us))
        continue;
    assert_int_equal(atomic_load(&world.owned_partitions[partition]->in_flight), expected);
    pthread_mutex_unlock(&world.mutex);
}

/* A message as the poll thread hands it to the lanes. */
static struct delivery *receive(int partition, int64_t offset)
{
    struct owned_partition *owned = world.owned_partitions[partition];
    struct delivery *delivery = delivery_pool_copy(world.delivery_pool, span_of("key"), span_of("value"), NULL);

    delivery->partition = &owned->partition;
    delivery->offset = offset;
    delivery->received_us = monotonic_us();
    delivery->sequence = owned->next_sequence++;
    atomic_fetch_add(&owned->in_flight, 1);
    atomic_fetch_add(&owned->in_flight_bytes, (int64_t)delivery_size(delivery));
    owned_retain(owned, 1);
    return delivery;
}

/* ... and as a lane answers it. */
static void answer(struct delivery *delivery, enum answer with)
{
    delivery->answer = with;
    if (with == ANSWER_EVENT)
    {
        delivery->event = strdup("event");
        delivery->event_size = 5;
    }
    delivery->next = NULL;
    publisher_complete(world.publisher, delivery);
}

static void begin_partitions(void)
{
    for (int p = 0; p < PARTITIONS; p++)
        world.owned_partitions[p] = owned_new("commands", p, 1);
    publisher_take_over(world.publisher, world.owned_partitions, PARTITIONS,
                        rd_kafka_consumer_group_metadata_new("group"));
    for (int64_t until_us = monotonic_us() + BOUND_US; monotonic_us() < until_us;)
    {
        int taken = 0;
        pthread_mutex_lock(&world.mutex);
        for (int p = 0; p < PARTITIONS; p++)
            taken += atomic_load(&world.owned_partitions[p]->state) == PARTITION_OWNED;
        if (taken < PARTITIONS)
            wait_changed(until_us);
        pthread_mutex_unlock(&world.mutex);
        if (taken == PARTITIONS)
            return;
    }
    fail();
}

static int set_up(void **state)
{
    static char text[] = "text";
    const char *why = "";
    pthread_condattr_t attributes;
    (void)state;

    memset(&world, 0, sizeof(world));
    pthread_mutex_init(&world.mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&world.cond, &attributes);
    pthread_condattr_destroy(&attributes);
    world.settings.kafka.group = text;
    world.settings.kafka.exactly_once = true;
    world.settings.consumers.transaction_timeout_us = 10000000;
    world.delivery_pool = delivery_pool_new();
    struct publisher_options options = { .settings = &world.settings,
                                         .delivery_pool = world.delivery_pool,
                                         .wake = on_wake };
    world.publisher = publisher_new(&options, &why);
    if (world.publisher == NULL)
        return -1;
    begin_partitions();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    publisher_free(world.publisher);
    for (int p = 0; p < PARTITIONS; p++)
        owned_release(world.owned_partitions[p], 1);
    delivery_pool_free(world.delivery_pool);
    pthread_cond_destroy(&world.cond);
    pthread_mutex_destroy(&world.mutex);
    return 0;
}

/* --- what is published ------------------------------------------------------------------------------------------- */

static void an_answer_is_published_with_the_offset_behind_it(void **state)
{
    (void)state;

    answer(receive(0, 41), ANSWER_EVENT);
    await_log("begin 0=42 0/41 done ");
    await_in_flight(0, 0);
    assert_int_equal(atomic_load(&world.owned_partitions[0]->committed), 42);
    assert_int_equal(atomic_load(&world.owned_partitions[0]->in_flight_bytes), 0);
}

/* PROTOCOL K2: the prefix and its offsets, nothing else. */
static void an_answer_waits_for_those_that_were_received_before(void **state)
{
    struct delivery *first = receive(0, 10), *second = receive(0, 11);
    (void)state;

    answer(second, ANSWER_EVENT);
    answer(receive(1, 5), ANSWER_EVENT);
    await_log("begin 1=6 1/5 done ");
    answer(first, ANSWER_EVENT);
    await_log("begin 1=6 1/5 done begin 0=12 0/10 0/11 done ");
}

static void duplicates_move_the_offset_and_publish_nothing(void **state)
{
    (void)state;

    answer(receive(0, 7), ANSWER_NOTHING);
    await_log("begin 0=8 done ");
}

static void dead_letters_go_out_with_the_events(void **state)
{
    struct delivery *event = receive(0, 1), *dead = receive(0, 2);
    (void)state;

    answer(dead, ANSWER_DEAD_LETTER);
    answer(event, ANSWER_EVENT);
    await_log("begin 0=3 0/1 0/2! done ");
}

static void what_is_answered_during_a_transaction_goes_out_with_the_next(void **state)
{
    (void)state;

    world.hold_commit = true;
    answer(receive(0, 1), ANSWER_EVENT);
    await_log("begin 0=2 0/1 ");
    answer(receive(0, 2), ANSWER_EVENT);
    answer(receive(0, 3), ANSWER_NOTHING);
    answer(receive(0, 4), ANSWER_EVENT);
    pthread_mutex_lock(&world.mutex);
    world.hold_commit = false;
    pthread_cond_broadcast(&world.cond);
    pthread_mutex_unlock(&world.mutex);
    await_log("begin 0=2 0/1 done begin 0=5 0/2 0/4 done ");
}

/* --- PROTOCOL K3 ------------------------------------------------------------------------------------------------- */

static void a_broken_commit_that_did_not_reach_kafka_is_published_again(void **state)
{
    (void)state;

    world.commits_failing = 1;
    answer(receive(0, 1), ANSWER_EVENT);
    await_log("begin 0=2 0/1 broken look begin 0=2 0/1 done ");
    assert_int_equal(world.closed, 1);
    assert_int_equal(world.opened, 2);
}

static void a_broken_commit_that_did_reach_kafka_is_not_published_again(void **state)
{
    (void)state;

    world.commits_failing = 1;
    world.failing_reach_kafka = true;
    answer(receive(0, 1), ANSWER_EVENT);
    await_in_flight(0, 0);
    await_log("begin 0=2 0/1 broken look ");
}

static void nothing_is_published_before_it_is_known_what_reached_kafka(void **state)
{
    (void)state;

    world.commits_failing = 1;
    world.failing_reach_kafka = true;
    world.unknown = 2;
    answer(receive(0, 1), ANSWER_EVENT);
    await_in_flight(0, 0);
    await_log("begin 0=2 0/1 broken unknown unknown look ");
}

static void commits_that_break_again_and_again_are_published_once(void **state)
{
    (void)state;

    world.commits_failing = 3;
    answer(receive(0, 1), ANSWER_EVENT);
    await_log("begin 0=2 0/1 broken look begin 0=2 0/1 broken look begin 0=2 0/1 broken look begin 0=2 0/1 done ");
}

static void a_publication_that_failed_is_sent_again_in_halves_down_to_one_delivery(void **state)
{
    struct delivery *received[4];
    (void)state;

    world.commits_failing = 2;
    for (int i = 0; i < 4; i++)
        received[i] = receive(0, i);
    for (int i = 3; i >= 0; i--)
        answer(received[i], ANSWER_EVENT);
    /* Quick ones grow again: one, then as many as fit. */
    await_log("begin 0=4 0/0 0/1 0/2 0/3 broken look begin 0=2 0/0 0/1 broken look begin 0=1 0/0 done "
              "begin 0=3 0/1 0/2 done begin 0=4 0/3 done ");
    await_in_flight(0, 0);
}

static void what_is_left_of_a_publication_that_failed_is_given_back_at_the_end(void **state)
{
    struct delivery *received[4];
    (void)state;

    world.commits_failing = 2;
    for (int i = 0; i < 4; i++)
        received[i] = receive(0, i);
    world.hold_commit = true;
    for (int i = 3; i >= 0; i--)
        answer(received[i], ANSWER_EVENT);
    await_log("begin 0=4 0/0 0/1 0/2 0/3 ");
    atomic_store(&world.owned_partitions[0]->give_up_us, 0);
    pthread_mutex_lock(&world.mutex);
    world.hold_commit = false;
    pthread_cond_broadcast(&world.cond);
    pthread_mutex_unlock(&world.mutex);
    await_log("begin 0=4 0/0 0/1 0/2 0/3 broken ");
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_int_equal(atomic_load(&world.owned_partitions[0]->in_flight), 0);
}

/* A quota: the broker reads nothing meanwhile, and a transaction would be open all the time. */
static void nothing_is_begun_while_the_brokers_make_the_producer_wait(void **state)
{
    int64_t until_us = monotonic_us() + 300000;
    (void)state;

    world.muted_until_us = until_us;
    answer(receive(0, 1), ANSWER_EVENT);
    await_log("begin 0=2 0/1 done ");
    assert_true(monotonic_us() >= until_us);
}

static void a_suspect_producer_is_replaced_before_the_next_begin(void **state)
{
    (void)state;

    answer(receive(0, 1), ANSWER_EVENT);
    await_log("begin 0=2 0/1 done ");
    pthread_mutex_lock(&world.mutex);
    world.suspect = true;
    pthread_mutex_unlock(&world.mutex);
    answer(receive(0, 2), ANSWER_EVENT);
    await_log("begin 0=2 0/1 done begin 0=3 0/2 done ");
    assert_int_equal(world.closed, 1);
    assert_int_equal(world.opened, 2);
}

/* --- ends of owned partitions ------------------------------------------------------------------------------------ */

static void revoke(int64_t give_up_us)
{
    for (int p = 0; p < PARTITIONS; p++)
    {
        atomic_store(&world.owned_partitions[p]->give_up_us, give_up_us);
        atomic_store(&world.owned_partitions[p]->revoked, true);
    }
}

static void the_end_publishes_the_prefix_and_gives_the_rest_back(void **state)
{
    struct delivery *first = receive(0, 1), *second = receive(0, 2), *third = receive(0, 3);
    (void)state;

    answer(third, ANSWER_EVENT);
    answer(first, ANSWER_EVENT);
    revoke(monotonic_us() + BOUND_US);
    answer(second, ANSWER_DROPPED);
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_string_equal(world.log, "begin 0=2 0/1 done ");
    assert_int_equal(atomic_load(&world.owned_partitions[0]->in_flight), 0);
}

static void an_answer_that_comes_after_the_end_is_given_back(void **state)
{
    struct delivery *late = receive(0, 1);
    (void)state;

    revoke(monotonic_us() + BOUND_US);
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    answer(late, ANSWER_EVENT);
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_string_equal(world.log, "");
    assert_int_equal(atomic_load(&world.owned_partitions[0]->in_flight), 0);
}

static void a_lost_assignment_publishes_nothing(void **state)
{
    struct delivery *answered = receive(0, 1);
    (void)state;

    revoke(0);
    answer(answered, ANSWER_EVENT);
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_string_equal(world.log, "");
    assert_int_equal(atomic_load(&world.owned_partitions[0]->in_flight), 0);
}

static void a_revoke_that_waits_no_longer_leaves_the_publisher_behind(void **state)
{
    (void)state;

    world.hold_commit = true;
    answer(receive(0, 1), ANSWER_EVENT);
    await_log("begin 0=2 0/1 ");
    revoke(monotonic_us());
    assert_false(publisher_finish(world.publisher, monotonic_us()));
    pthread_mutex_lock(&world.mutex);
    world.commits_failing = 1;
    world.hold_commit = false;
    pthread_cond_broadcast(&world.cond);
    pthread_mutex_unlock(&world.mutex);
    /* What broke past its time is not sent again. */
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_string_equal(world.log, "begin 0=2 0/1 broken ");
}

static void a_partition_that_another_owns_is_lost_and_the_other_goes_on(void **state)
{
    struct delivery *first = receive(0, 1), *second = receive(0, 2);
    int64_t until_us = monotonic_us() + BOUND_US;
    (void)state;

    answer(second, ANSWER_EVENT);
    answer(first, ANSWER_NOT_OWNER);
    pthread_mutex_lock(&world.mutex);
    while (atomic_load(&world.owned_partitions[0]->state) != PARTITION_LOST && wait_changed(until_us))
        continue;
    pthread_mutex_unlock(&world.mutex);
    assert_int_equal(atomic_load(&world.owned_partitions[0]->state), PARTITION_LOST);
    answer(receive(1, 1), ANSWER_EVENT);
    await_log("begin 1=2 1/1 done ");
    await_in_flight(0, 0);
}

static void a_partition_that_was_revoked_before_it_was_taken_over_is_let_go(void **state)
{
    struct owned_partition *owned = owned_new("commands", 1, 2);
    (void)state;

    atomic_store(&owned->revoked, true);
    publisher_take_over(world.publisher, &owned, 1, NULL);
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_true(publisher_finish(world.publisher, monotonic_us() + BOUND_US));
    assert_int_equal(atomic_load(&owned->references), 1);
    assert_int_equal(atomic_load(&owned->state), PARTITION_REQUESTED);
    owned_release(owned, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_published_with_the_offset_behind_it),
        TEST(an_answer_waits_for_those_that_were_received_before),
        TEST(duplicates_move_the_offset_and_publish_nothing),
        TEST(dead_letters_go_out_with_the_events),
        TEST(what_is_answered_during_a_transaction_goes_out_with_the_next),
        TEST(a_broken_commit_that_did_not_reach_kafka_is_published_again),
        TEST(a_broken_commit_that_did_reach_kafka_is_not_published_again),
        TEST(nothing_is_published_before_it_is_known_what_reached_kafka),
        TEST(commits_that_break_again_and_again_are_published_once),
        TEST(a_publication_that_failed_is_sent_again_in_halves_down_to_one_delivery),
        TEST(what_is_left_of_a_publication_that_failed_is_given_back_at_the_end),
        TEST(nothing_is_begun_while_the_brokers_make_the_producer_wait),
        TEST(a_suspect_producer_is_replaced_before_the_next_begin),
        TEST(the_end_publishes_the_prefix_and_gives_the_rest_back),
        TEST(an_answer_that_comes_after_the_end_is_given_back),
        TEST(a_lost_assignment_publishes_nothing),
        TEST(a_revoke_that_waits_no_longer_leaves_the_publisher_behind),
        TEST(a_partition_that_another_owns_is_lost_and_the_other_goes_on),
        TEST(a_partition_that_was_revoked_before_it_was_taken_over_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
