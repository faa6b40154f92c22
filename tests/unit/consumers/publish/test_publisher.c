/* fake: producer */
#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/message/delivery_pool.h"
#include "consumers/publish/publisher.h"
#include "tests/fakes/producer.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

/* The publisher with a scripted producer and a scripted Kafka behind it. Everything scripted runs on the
 * publisher's thread; the test waits for what it has done. */

enum
{
    PARTITIONS = FAKE_PARTITIONS,
};

static const int64_t BOUND_US = 20000000; /* a test that waits longer has failed */

static struct settings settings;
static struct delivery_pool *delivery_pool;
static struct publisher *publisher;
static struct owned_partition *owned_partitions[PARTITIONS];

static void on_wake(void *owner, bool news)
{
    (void)owner, (void)news;
    fake_producer_wake();
}

static void await_in_flight(int partition, int64_t expected)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    /* Woken by the publisher's wake, which comes behind every release. */
    pthread_mutex_lock(&fake_producer.mutex);
    while (atomic_load(&owned_partitions[partition]->shared.in_flight) != expected && fake_producer_wait(until_us))
        continue;
    assert_int_equal(atomic_load(&owned_partitions[partition]->shared.in_flight), expected);
    pthread_mutex_unlock(&fake_producer.mutex);
}

/* A message as the poll thread hands it to the lanes. */
static struct delivery *receive(int partition, int64_t offset)
{
    struct owned_partition *owned = owned_partitions[partition];
    struct delivery *delivery = delivery_pool_copy(delivery_pool, span_of("key"), span_of("value"), NULL);

    delivery->partition = &owned->partition;
    delivery->offset = offset;
    delivery->received_us = monotonic_us();
    delivery->sequence = owned->poll.next_sequence++;
    atomic_fetch_add(&owned->shared.in_flight, 1);
    atomic_fetch_add(&owned->shared.in_flight_bytes, (int64_t)delivery_size(delivery));
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
    publisher_complete(publisher, delivery);
}

static void begin_partitions(void)
{
    for (int p = 0; p < PARTITIONS; p++)
        owned_partitions[p] = owned_new("commands", p, 1);
    publisher_take_over(publisher, owned_partitions, PARTITIONS, rd_kafka_consumer_group_metadata_new("group"));
    for (int64_t until_us = monotonic_us() + BOUND_US; monotonic_us() < until_us;)
    {
        int taken = 0;
        pthread_mutex_lock(&fake_producer.mutex);
        for (int p = 0; p < PARTITIONS; p++)
            taken += owned_state(owned_partitions[p]) == PARTITION_OWNED;
        if (taken < PARTITIONS)
            fake_producer_wait(until_us);
        pthread_mutex_unlock(&fake_producer.mutex);
        if (taken == PARTITIONS)
            return;
    }
    fail();
}

static int set_up(void **state)
{
    static char text[] = "text";
    const char *why = "";
    (void)state;

    fake_producer_begin();
    settings.kafka.group = text;
    settings.kafka.exactly_once = true;
    settings.consumers.transaction_timeout_us = 10000000;
    delivery_pool = delivery_pool_new();
    struct publisher_options options = { .settings = &settings, .delivery_pool = delivery_pool, .wake = on_wake };
    publisher = publisher_new(&options, &why);
    if (publisher == NULL)
        return -1;
    begin_partitions();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    publisher_free(publisher);
    for (int p = 0; p < PARTITIONS; p++)
        owned_release(owned_partitions[p], 1);
    delivery_pool_free(delivery_pool);
    fake_producer_end();
    return 0;
}

/* --- what is published ------------------------------------------------------------------------------------------- */

static void an_answer_is_published_with_the_offset_behind_it(void **state)
{
    (void)state;

    answer(receive(0, 41), ANSWER_EVENT);
    fake_producer_await_log("begin 0=42 0/41 done ");
    await_in_flight(0, 0);
    assert_int_equal(atomic_load(&owned_partitions[0]->shared.committed), 42);
    assert_int_equal(atomic_load(&owned_partitions[0]->shared.in_flight_bytes), 0);
}

/* PROTOCOL K2: the prefix and its offsets, nothing else. */
static void an_answer_waits_for_those_that_were_received_before(void **state)
{
    struct delivery *first = receive(0, 10), *second = receive(0, 11);
    (void)state;

    answer(second, ANSWER_EVENT);
    answer(receive(1, 5), ANSWER_EVENT);
    fake_producer_await_log("begin 1=6 1/5 done ");
    answer(first, ANSWER_EVENT);
    fake_producer_await_log("begin 1=6 1/5 done begin 0=12 0/10 0/11 done ");
}

static void duplicates_move_the_offset_and_publish_nothing(void **state)
{
    (void)state;

    answer(receive(0, 7), ANSWER_NOTHING);
    fake_producer_await_log("begin 0=8 done ");
}

static void dead_letters_go_out_with_the_events(void **state)
{
    struct delivery *event = receive(0, 1), *dead = receive(0, 2);
    (void)state;

    answer(dead, ANSWER_DEAD_LETTER);
    answer(event, ANSWER_EVENT);
    fake_producer_await_log("begin 0=3 0/1 0/2! done ");
}

static void an_answer_during_a_transaction_goes_out_with_the_next_one(void **state)
{
    (void)state;

    fake_producer.hold_commit = true;
    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 ");
    answer(receive(0, 2), ANSWER_EVENT);
    answer(receive(0, 3), ANSWER_NOTHING);
    answer(receive(0, 4), ANSWER_EVENT);
    fake_producer_let_commit(0);
    fake_producer_await_log("begin 0=2 0/1 done begin 0=5 0/2 0/4 done ");
}

/* --- PROTOCOL K3 ------------------------------------------------------------------------------------------------- */

static void a_broken_commit_that_did_not_reach_kafka_is_published_again(void **state)
{
    (void)state;

    fake_producer.commits_failing = 1;
    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 broken look begin 0=2 0/1 done ");
    assert_int_equal(fake_producer.closed, 1);
    assert_int_equal(fake_producer.opened, 2);
}

static void a_broken_commit_that_did_reach_kafka_is_not_published_again(void **state)
{
    (void)state;

    fake_producer.commits_failing = 1;
    fake_producer.failing_reach_kafka = true;
    answer(receive(0, 1), ANSWER_EVENT);
    await_in_flight(0, 0);
    fake_producer_await_log("begin 0=2 0/1 broken look ");
}

static void nothing_is_published_before_it_is_known_what_reached_kafka(void **state)
{
    (void)state;

    fake_producer.commits_failing = 1;
    fake_producer.failing_reach_kafka = true;
    fake_producer.unknown = 2;
    answer(receive(0, 1), ANSWER_EVENT);
    await_in_flight(0, 0);
    fake_producer_await_log("begin 0=2 0/1 broken unknown unknown look ");
}

static void await_lost(int partition)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_producer.mutex);
    while (owned_state(owned_partitions[partition]) != PARTITION_LOST && fake_producer_wait(until_us))
        continue;
    pthread_mutex_unlock(&fake_producer.mutex);
    assert_int_equal(owned_state(owned_partitions[partition]), PARTITION_LOST);
}

/* Its answer says nothing about the last attempt: what is on the audit topic already must not be published again. */
static void a_partition_is_taken_over_again_where_kafka_forgot_a_commit(void **state)
{
    (void)state;

    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 done ");
    fake_producer.commits_failing = 1;
    fake_producer.forgets = true;
    answer(receive(0, 2), ANSWER_EVENT);
    await_lost(0);
    await_in_flight(0, 0);
    assert_int_equal(fake_producer.raised, 1);
    answer(receive(1, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 done begin 0=3 0/2 broken look begin 1=2 1/1 done ");
}

static void commits_that_break_again_and_again_are_published_once(void **state)
{
    (void)state;

    fake_producer.commits_failing = 3;
    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log(
        "begin 0=2 0/1 broken look begin 0=2 0/1 broken look begin 0=2 0/1 broken look begin 0=2 0/1 done ");
}

static void a_publication_that_failed_is_sent_again_in_halves_down_to_one_delivery(void **state)
{
    struct delivery *received[4];
    (void)state;

    fake_producer.commits_failing = 2;
    for (int i = 0; i < 4; i++)
        received[i] = receive(0, i);
    for (int i = 3; i >= 0; i--)
        answer(received[i], ANSWER_EVENT);
    /* Quick ones grow again: one, then as many as fit. */
    fake_producer_await_log("begin 0=4 0/0 0/1 0/2 0/3 broken look begin 0=2 0/0 0/1 broken look begin 0=1 0/0 done "
                            "begin 0=3 0/1 0/2 done begin 0=4 0/3 done ");
    await_in_flight(0, 0);
}

static void the_rest_of_a_failed_publication_is_given_back_at_the_end(void **state)
{
    struct delivery *received[4];
    (void)state;

    fake_producer.commits_failing = 2;
    for (int i = 0; i < 4; i++)
        received[i] = receive(0, i);
    fake_producer.hold_commit = true;
    for (int i = 3; i >= 0; i--)
        answer(received[i], ANSWER_EVENT);
    fake_producer_await_log("begin 0=4 0/0 0/1 0/2 0/3 ");
    owned_revoke(owned_partitions[0], 0);
    fake_producer_let_commit(0);
    fake_producer_await_log("begin 0=4 0/0 0/1 0/2 0/3 broken ");
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_int_equal(atomic_load(&owned_partitions[0]->shared.in_flight), 0);
}

/* A quota: the broker reads nothing meanwhile, and a transaction would be open all the time. */
static void nothing_is_begun_while_the_brokers_make_the_producer_wait(void **state)
{
    int64_t until_us = monotonic_us() + 300000;
    (void)state;

    fake_producer.muted_until_us = until_us;
    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 done ");
    assert_true(monotonic_us() >= until_us);
}

static void a_suspect_producer_is_replaced_before_the_next_begin(void **state)
{
    (void)state;

    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 done ");
    pthread_mutex_lock(&fake_producer.mutex);
    fake_producer.suspect = true;
    pthread_mutex_unlock(&fake_producer.mutex);
    answer(receive(0, 2), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 done begin 0=3 0/2 done ");
    assert_int_equal(fake_producer.closed, 1);
    assert_int_equal(fake_producer.opened, 2);
}

/* --- ends of owned partitions ------------------------------------------------------------------------------------ */

static void revoke(int64_t give_up_us)
{
    for (int p = 0; p < PARTITIONS; p++)
        owned_revoke(owned_partitions[p], give_up_us);
}

static void the_end_publishes_the_prefix_and_gives_the_rest_back(void **state)
{
    struct delivery *first = receive(0, 1), *second = receive(0, 2), *third = receive(0, 3);
    (void)state;

    answer(third, ANSWER_EVENT);
    answer(first, ANSWER_EVENT);
    revoke(monotonic_us() + BOUND_US);
    answer(second, ANSWER_DROPPED);
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_string_equal(fake_producer.log, "begin 0=2 0/1 done ");
    assert_int_equal(atomic_load(&owned_partitions[0]->shared.in_flight), 0);
}

static void an_answer_that_comes_after_the_end_is_given_back(void **state)
{
    struct delivery *late = receive(0, 1);
    (void)state;

    revoke(monotonic_us() + BOUND_US);
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    answer(late, ANSWER_EVENT);
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_string_equal(fake_producer.log, "");
    assert_int_equal(atomic_load(&owned_partitions[0]->shared.in_flight), 0);
}

static void a_lost_assignment_publishes_nothing(void **state)
{
    struct delivery *answered = receive(0, 1);
    (void)state;

    revoke(0);
    answer(answered, ANSWER_EVENT);
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_string_equal(fake_producer.log, "");
    assert_int_equal(atomic_load(&owned_partitions[0]->shared.in_flight), 0);
}

/* A broker that crashed may have less of it: the next owner compares its answer with what PostgreSQL knows. */
static void the_published_offset_of_a_lost_assignment_is_known_to_its_next_owner(void **state)
{
    (void)state;

    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 done ");
    await_in_flight(0, 0);
    revoke(0);
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_true(fake_producer.raised >= 2); /* for those that were lost, once or twice; at the end, for the others */
}

static void a_revoke_that_waits_no_longer_leaves_the_publisher_behind(void **state)
{
    (void)state;

    fake_producer.hold_commit = true;
    answer(receive(0, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 0=2 0/1 ");
    revoke(monotonic_us());
    assert_false(publisher_finish(publisher, monotonic_us()));
    fake_producer_let_commit(1);
    /* A producer that broke past its time sends nothing again. */
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_string_equal(fake_producer.log, "begin 0=2 0/1 broken ");
}

static void a_partition_that_another_owns_is_lost_and_the_other_goes_on(void **state)
{
    struct delivery *first = receive(0, 1), *second = receive(0, 2);
    (void)state;

    answer(second, ANSWER_EVENT);
    answer(first, ANSWER_NOT_OWNER);
    await_lost(0);
    answer(receive(1, 1), ANSWER_EVENT);
    fake_producer_await_log("begin 1=2 1/1 done ");
    await_in_flight(0, 0);
}

static void a_partition_that_was_revoked_before_it_was_taken_over_is_let_go(void **state)
{
    struct owned_partition *owned = owned_new("commands", 1, 2);
    (void)state;

    owned_revoke(owned, INT64_MAX);
    publisher_take_over(publisher, &owned, 1, NULL);
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_true(publisher_finish(publisher, monotonic_us() + BOUND_US));
    assert_int_equal(atomic_load(&owned->references), 1);
    assert_int_equal(owned_state(owned), PARTITION_CANCELLED);
    owned_release(owned, 1);
}

static void an_assignment_without_partitions_brings_its_group_alone(void **state)
{
    (void)state;

    publisher_take_over(publisher, owned_partitions, 0, rd_kafka_consumer_group_metadata_new("group"));
    answer(receive(0, 41), ANSWER_EVENT);
    fake_producer_await_log("begin 0=42 0/41 done ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_published_with_the_offset_behind_it),
        TEST(an_answer_waits_for_those_that_were_received_before),
        TEST(duplicates_move_the_offset_and_publish_nothing),
        TEST(dead_letters_go_out_with_the_events),
        TEST(an_answer_during_a_transaction_goes_out_with_the_next_one),
        TEST(a_broken_commit_that_did_not_reach_kafka_is_published_again),
        TEST(a_broken_commit_that_did_reach_kafka_is_not_published_again),
        TEST(nothing_is_published_before_it_is_known_what_reached_kafka),
        TEST(a_partition_is_taken_over_again_where_kafka_forgot_a_commit),
        TEST(commits_that_break_again_and_again_are_published_once),
        TEST(a_publication_that_failed_is_sent_again_in_halves_down_to_one_delivery),
        TEST(the_rest_of_a_failed_publication_is_given_back_at_the_end),
        TEST(nothing_is_begun_while_the_brokers_make_the_producer_wait),
        TEST(a_suspect_producer_is_replaced_before_the_next_begin),
        TEST(the_end_publishes_the_prefix_and_gives_the_rest_back),
        TEST(an_answer_that_comes_after_the_end_is_given_back),
        TEST(a_lost_assignment_publishes_nothing),
        TEST(the_published_offset_of_a_lost_assignment_is_known_to_its_next_owner),
        TEST(a_revoke_that_waits_no_longer_leaves_the_publisher_behind),
        TEST(a_partition_that_another_owns_is_lost_and_the_other_goes_on),
        TEST(a_partition_that_was_revoked_before_it_was_taken_over_is_let_go),
        TEST(an_assignment_without_partitions_brings_its_group_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
