#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdlib.h>

#include "consumers/publish/mailbox.h"
#include "worker/base/clock.h"

/* Deliveries from lanes and poll thread to the publisher, and how either side waits for the other. */

enum
{
    MESSAGES = 8,
    PARTITIONS = 3,
    BOUND_US = 20000000, /* a test that waits longer has failed */
};

static struct mailbox *mailbox;
static struct delivery deliveries[MESSAGES];
static struct owned_partition *owned[PARTITIONS];

static int set_up(void **state)
{
    (void)state;
    memset(deliveries, 0, sizeof(deliveries));
    mailbox = mailbox_new();
    for (int i = 0; i < PARTITIONS; i++)
        owned[i] = owned_new("commands", i, 1);
    return mailbox ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mailbox_free(mailbox);
    for (int i = 0; i < PARTITIONS; i++)
    {
        assert_int_equal(atomic_load(&owned[i]->references), 1);
        owned_release(owned[i], 1);
    }
    return 0;
}

/* The deliveries from `first` to `last` as a chain. */
static struct delivery *chain_of(int first, int last)
{
    for (int i = first; i < last; i++)
        deliveries[i].next = &deliveries[i + 1];
    return &deliveries[first];
}

static void assert_chain(const struct delivery *chain, int first, int last)
{
    for (int i = first; i <= last; i++, chain = chain->next)
        assert_ptr_equal(chain, &deliveries[i]);
    assert_null(chain);
}

static void drop(struct mail *mail)
{
    for (int i = 0; i < mail->asked_count; i++)
        owned_release(mail->asked[i], 1);
    free(mail->asked);
    if (mail->group)
        rd_kafka_consumer_group_metadata_destroy(mail->group);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void answers_come_out_in_the_order_they_were_given(void **state)
{
    bool wanted = true;
    (void)state;
    mailbox_answer(mailbox, chain_of(0, 2));
    mailbox_answer(mailbox, NULL);
    mailbox_answer(mailbox, chain_of(3, 3));
    mailbox_answer(mailbox, chain_of(4, 6));
    assert_chain(mailbox_wait(mailbox, 0, &wanted), 0, 6);
    assert_false(wanted);
    assert_null(mailbox_wait(mailbox, 0, &wanted));
}

static void an_answer_that_is_there_ends_a_wait_at_once(void **state)
{
    (void)state;
    mailbox_answer(mailbox, chain_of(0, 0));
    struct mail mail = mailbox_take(mailbox, INT64_C(1000) * BOUND_US);
    assert_chain(mail.chain, 0, 0);
    drop(&mail);
}

static void a_wait_for_nothing_ends_when_its_time_has_passed(void **state)
{
    int64_t begun_us = monotonic_us();
    (void)state;
    struct mail mail = mailbox_take(mailbox, 20000);
    assert_true(monotonic_us() - begun_us >= 20000);
    assert_null(mail.chain);
    assert_int_equal(mail.asked_count, 0);
    assert_false(mail.finish || mail.stopping);
    drop(&mail);
}

static void *answer_one(void *unused)
{
    (void)unused;
    mailbox_answer(mailbox, chain_of(0, 0));
    return NULL;
}

static void an_answer_from_another_thread_wakes_the_publisher(void **state)
{
    pthread_t lane;
    (void)state;
    int64_t begun_us = monotonic_us();
    assert_int_equal(pthread_create(&lane, NULL, answer_one, NULL), 0);
    assert_chain(mailbox_wait(mailbox, BOUND_US, NULL), 0, 0);
    assert_true(monotonic_us() - begun_us < BOUND_US);
    pthread_join(lane, NULL);
}

/* --- takeovers --------------------------------------------------------------------------------------------------- */

static void each_partition_that_is_asked_for_has_a_reference(void **state)
{
    (void)state;
    mailbox_ask(mailbox, owned, 2, NULL);
    mailbox_ask(mailbox, owned + 2, 1, NULL);
    for (int i = 0; i < PARTITIONS; i++)
        assert_int_equal(atomic_load(&owned[i]->references), 2);
    struct mail mail = mailbox_take(mailbox, BOUND_US);
    assert_int_equal(mail.asked_count, PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        assert_ptr_equal(mail.asked[i], owned[i]);
    drop(&mail);
    mail = mailbox_take(mailbox, 0);
    assert_int_equal(mail.asked_count, 0);
    drop(&mail);
}

/* tear_down looks at the references. */
static void partitions_that_nobody_took_are_given_back_at_the_end(void **state)
{
    (void)state;
    mailbox_ask(mailbox, owned, PARTITIONS, rd_kafka_consumer_group_metadata_new("group"));
    assert_int_equal(atomic_load(&owned[0]->references), 2);
}

static void the_newest_generation_of_the_group_counts(void **state)
{
    (void)state;
    rd_kafka_consumer_group_metadata_t *newest = rd_kafka_consumer_group_metadata_new("group");
    mailbox_ask(mailbox, owned, 1, rd_kafka_consumer_group_metadata_new("group"));
    mailbox_ask(mailbox, owned, 0, newest);
    mailbox_ask(mailbox, owned + 1, 1, NULL); /* which says nothing of the generation */
    struct mail mail = mailbox_take(mailbox, 0);
    assert_ptr_equal(mail.group, newest);
    assert_int_equal(mail.asked_count, 2);
    drop(&mail);
    mail = mailbox_take(mailbox, 0);
    assert_null(mail.group);
    drop(&mail);
}

static void a_request_is_told_to_whoever_waits_for_answers_and_stays(void **state)
{
    bool wanted = false;
    (void)state;
    mailbox_ask(mailbox, owned, 1, NULL);
    assert_null(mailbox_wait(mailbox, BOUND_US, &wanted));
    assert_true(wanted);
    struct mail mail = mailbox_take(mailbox, 0);
    assert_int_equal(mail.asked_count, 1);
    drop(&mail);
}

/* Within a publication nothing but answers, or the end, is of use. */
static void a_wait_for_answers_alone_is_ended_by_no_request(void **state)
{
    int64_t begun_us = monotonic_us();
    (void)state;
    mailbox_ask(mailbox, owned, 1, NULL);
    assert_null(mailbox_wait(mailbox, 20000, NULL));
    assert_true(monotonic_us() - begun_us >= 20000);
    mailbox_stop(mailbox);
    begun_us = monotonic_us();
    assert_null(mailbox_wait(mailbox, BOUND_US, NULL));
    assert_true(monotonic_us() - begun_us < BOUND_US);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

/* The publisher: says that everything has ended, as often as it is asked to. */
static void *finish_once(void *unused)
{
    (void)unused;
    struct mail mail = mailbox_take(mailbox, BOUND_US);
    bool asked = mail.finish;
    mailbox_finished(mailbox, mail.finish_wanted);
    drop(&mail);
    return asked ? mailbox : NULL;
}

static void the_end_is_there_when_the_publisher_says_so(void **state)
{
    pthread_t publisher;
    void *asked = NULL;
    (void)state;
    assert_int_equal(pthread_create(&publisher, NULL, finish_once, NULL), 0);
    assert_true(mailbox_finish(mailbox, monotonic_us() + BOUND_US));
    pthread_join(publisher, &asked);
    assert_non_null(asked);
}

static void the_end_is_waited_for_until_the_deadline_and_stays_asked_for(void **state)
{
    (void)state;
    assert_false(mailbox_finish(mailbox, monotonic_us()));
    struct mail first = mailbox_take(mailbox, 0);
    assert_true(first.finish);
    assert_false(mailbox_finish(mailbox, monotonic_us()));
    mailbox_finished(mailbox, first.finish_wanted); /* which is not the end that was asked for last */
    struct mail second = mailbox_take(mailbox, 0);
    assert_true(second.finish);
    mailbox_finished(mailbox, second.finish_wanted);
    struct mail third = mailbox_take(mailbox, 0);
    assert_false(third.finish);
    drop(&first);
    drop(&second);
    drop(&third);
}

static void a_stop_is_seen_by_every_call(void **state)
{
    bool wanted = false;
    (void)state;
    assert_false(mailbox_is_stopping(mailbox));
    mailbox_stop(mailbox);
    assert_true(mailbox_is_stopping(mailbox));
    assert_null(mailbox_wait(mailbox, BOUND_US, &wanted));
    assert_true(wanted);
    struct mail mail = mailbox_take(mailbox, BOUND_US);
    assert_true(mail.stopping);
    drop(&mail);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answers_come_out_in_the_order_they_were_given),
        TEST(an_answer_that_is_there_ends_a_wait_at_once),
        TEST(a_wait_for_nothing_ends_when_its_time_has_passed),
        TEST(an_answer_from_another_thread_wakes_the_publisher),
        TEST(each_partition_that_is_asked_for_has_a_reference),
        TEST(partitions_that_nobody_took_are_given_back_at_the_end),
        TEST(the_newest_generation_of_the_group_counts),
        TEST(a_request_is_told_to_whoever_waits_for_answers_and_stays),
        TEST(a_wait_for_answers_alone_is_ended_by_no_request),
        TEST(the_end_is_there_when_the_publisher_says_so),
        TEST(the_end_is_waited_for_until_the_deadline_and_stays_asked_for),
        TEST(a_stop_is_seen_by_every_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
