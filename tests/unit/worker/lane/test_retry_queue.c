#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include "worker/lane/retry_queue.h"

enum
{
    DELIVERIES_MAX = 64,
};

static struct
{
    struct retry_queue *retry_queue;
    struct delivery deliveries[DELIVERIES_MAX];
    struct partition mine, taken;
    atomic_bool not_revoked, revoked;
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.retry_queue = retry_queue_new();
    scene.mine.topic = scene.taken.topic = (struct span){ "topic", 5 };
    scene.mine.revoked = &scene.not_revoked;
    scene.taken.revoked = &scene.revoked;
    atomic_store(&scene.revoked, true);
    for (int i = 0; i < DELIVERIES_MAX; i++)
    {
        scene.deliveries[i].partition = &scene.mine;
        scene.deliveries[i].arrival = (uint64_t)i;
    }
    return scene.retry_queue ? 0 : -1;
}

static int tear_down(void **state)
{
    int count;
    (void)state;
    while (retry_queue_take_due(scene.retry_queue, INT64_MAX, INT32_MAX, &count))
        ;
    assert_int_equal(retry_queue_keys(scene.retry_queue), 0);
    retry_queue_free(scene.retry_queue);
    return 0;
}

static struct delivery *delivery_of(uint64_t key, int arrival)
{
    scene.deliveries[arrival].lane_hash = key;
    scene.deliveries[arrival].next = NULL; /* out of the chain that it was taken in */
    return &scene.deliveries[arrival];
}

static void put(uint64_t key, int arrival, int64_t due_us)
{
    assert_true(retry_queue_put(scene.retry_queue, delivery_of(key, arrival), due_us));
}

/* The chain's tickets are exactly these, -1 ends the list. */
static void assert_chain(const struct delivery *chain, int count, ...)
{
    va_list expected;
    int counted = 0;

    va_start(expected, count);
    for (int arrival = va_arg(expected, int); arrival >= 0; arrival = va_arg(expected, int), counted++)
    {
        assert_non_null(chain);
        assert_int_equal(chain->arrival, arrival);
        chain = chain->next;
    }
    va_end(expected);
    assert_null(chain);
    assert_int_equal(counted, count);
}

static void deliveries_of_a_key_come_out_in_order_of_arrival(void **state)
{
    int count;
    (void)state;
    put(5, 3, 100);
    put(5, 9, 0);
    put(5, 6, 0);
    put(5, 1, 50);
    struct delivery *chain = retry_queue_take_due(scene.retry_queue, 50, 10, &count);
    assert_chain(chain, count, 1, 3, 6, 9, -1);
    assert_int_equal(retry_queue_keys(scene.retry_queue), 0);
}

static void a_key_is_due_when_its_first_is(void **state)
{
    int count;
    (void)state;
    put(5, 3, 100);
    put(5, 4, 10); /* a follower's time says nothing */
    assert_null(retry_queue_take_due(scene.retry_queue, 99, 10, &count));
    assert_int_equal(count, 0);
    assert_true(retry_queue_next_due(scene.retry_queue) == 100);
    assert_chain(retry_queue_take_due(scene.retry_queue, 100, 10, &count), 2, 3, 4, -1);
}

static void one_that_is_held_again_goes_back_to_the_front_with_its_new_time(void **state)
{
    int count;
    (void)state;
    put(5, 1, 10);
    put(5, 2, 10);
    put(5, 3, 10);
    struct delivery *first = retry_queue_take_due(scene.retry_queue, 10, 1, &count);
    assert_chain(first, count, 1, -1);
    put(5, 1, 500);
    assert_null(retry_queue_take_due(scene.retry_queue, 499, 10, &count));
    assert_chain(retry_queue_take_due(scene.retry_queue, 500, 10, &count), 3, 1, 2, 3, -1);
}

static void the_rest_of_a_key_is_due_at_once(void **state)
{
    int count;
    (void)state;
    for (int i = 1; i <= 5; i++)
        put(5, i, 70);
    assert_chain(retry_queue_take_due(scene.retry_queue, 70, 2, &count), 2, 1, 2, -1);
    assert_int_equal(retry_queue_keys(scene.retry_queue), 1);
    assert_true(retry_queue_next_due(scene.retry_queue) <= 70);
    assert_chain(retry_queue_take_due(scene.retry_queue, 70, 10, &count), 3, 3, 4, 5, -1);
    assert_true(retry_queue_next_due(scene.retry_queue) == INT64_MAX);
}

static void several_deliveries_that_are_held_again_keep_their_places(void **state)
{
    int count;
    (void)state;
    for (int i = 1; i <= 6; i++)
        put(5, i, 0);
    struct delivery *chain = retry_queue_take_due(scene.retry_queue, 0, 4, &count);
    assert_chain(chain, count, 1, 2, 3, 4, -1);
    put(5, 2, 9);
    put(5, 3, 9);
    put(5, 4, 9);
    assert_chain(retry_queue_take_due(scene.retry_queue, 9, 10, &count), 5, 2, 3, 4, 5, 6, -1);
}

static void only_the_delivery_behind_a_held_one_of_its_key_is_blocked(void **state)
{
    (void)state;
    put(5, 4, 0);
    assert_true(retry_queue_blocks(scene.retry_queue, delivery_of(5, 7)));
    assert_false(retry_queue_blocks(scene.retry_queue, delivery_of(6, 8)));
    assert_false(retry_queue_blocks(scene.retry_queue, delivery_of(5, 3)));    /* came before it */
    assert_false(retry_queue_blocks(scene.retry_queue, delivery_of(1029, 9))); /* the same bucket, another key */
}

static void keys_of_one_bucket_are_told_apart(void **state)
{
    int count;
    (void)state;
    put(1, 1, 30);
    put(1025, 2, 10);
    put(2049, 3, 20);
    assert_int_equal(retry_queue_keys(scene.retry_queue), 3);
    assert_true(retry_queue_next_due(scene.retry_queue) == 10);
    assert_chain(retry_queue_take_due(scene.retry_queue, 10, 9, &count), 1, 2, -1);
    assert_chain(retry_queue_take_due(scene.retry_queue, 20, 9, &count), 1, 3, -1);
    assert_chain(retry_queue_take_due(scene.retry_queue, 30, 9, &count), 1, 1, -1);
}

static void revoked_deliveries_are_taken_and_the_others_stay_in_order(void **state)
{
    int count;
    (void)state;
    put(5, 1, 40);
    put(5, 2, 0);
    put(5, 3, 0);
    put(6, 4, 40);
    put(7, 5, 40);
    scene.deliveries[1].partition = &scene.taken;
    scene.deliveries[3].partition = &scene.taken;
    scene.deliveries[4].partition = &scene.taken;
    bool taken[DELIVERIES_MAX] = { false };
    int taken_count = 0;
    for (struct delivery *at = retry_queue_take_revoked(scene.retry_queue); at; at = at->next, taken_count++)
        taken[at->arrival] = true;
    assert_int_equal(taken_count, 3);
    assert_true(taken[1] && taken[3] && taken[4]);
    assert_int_equal(retry_queue_keys(scene.retry_queue), 2);
    put(5, 6, 0); /* after those that stayed */
    assert_true(retry_queue_next_due(scene.retry_queue) == 40);
    struct delivery *chain = retry_queue_take_due(scene.retry_queue, 40, 9, &count);
    if (chain->lane_hash == 5)
        assert_chain(chain, count, 2, 6, -1);
    else
        assert_chain(chain, count, 5, -1);
}

static void an_empty_hold_has_nothing_due(void **state)
{
    int count = 7;
    (void)state;
    assert_true(retry_queue_next_due(scene.retry_queue) == INT64_MAX);
    assert_null(retry_queue_take_due(scene.retry_queue, INT64_MAX, 10, &count));
    assert_int_equal(count, 0);
    assert_null(retry_queue_take_revoked(scene.retry_queue));
}

static void every_key_is_shown_by_its_first_delivery(void **state)
{
    struct held_keys held;
    int count;
    (void)state;
    held_keys_clear(&held);
    for (int i = 1; i <= 3; i++)
        put(5, i, 70);
    put(6, 4, 90);
    scene.deliveries[1].stuck_since_us = 20;
    scene.deliveries[1].attempts = 9;
    scene.deliveries[1].offset = 111;
    scene.deliveries[2].held_since_us = 25;
    scene.deliveries[4].held_since_us = 30;
    retry_queue_say(scene.retry_queue, &scene.deliveries[1], "busy");
    retry_queue_say(scene.retry_queue, &scene.deliveries[2], "not the first: not told");
    retry_queue_show(scene.retry_queue, "lane-0.0", &held);
    assert_int_equal(held.keys, 2);
    assert_int_equal(held.oldest_us, 20);
    assert_int_equal(held.longest[0].commands, 3);
    assert_int_equal(held.longest[0].next_us, 70);
    assert_int_equal(held.longest[0].attempts, 9);
    assert_int_equal(held.longest[0].offset, 111);
    assert_string_equal(held.longest[0].reason, "busy");
    assert_int_equal(held.longest[1].since_us, 30);

    /* The one behind it was not held for that reason. */
    assert_non_null(retry_queue_take_due(scene.retry_queue, 70, 1, &count));
    held_keys_clear(&held);
    retry_queue_show(scene.retry_queue, "lane-0.0", &held);
    assert_int_equal(held.longest[0].since_us, 25);
    assert_int_equal(held.longest[0].commands, 2);
    assert_string_equal(held.longest[0].reason, "next of its key");
}

/* A model: a sorted list per key. Every key's deliveries must come out in order, each once, whatever is put back. */
static void any_mixture_of_puts_and_takes_keeps_every_key_in_order(void **state)
{
    enum
    {
        KEYS = 5,
        ROUNDS = 4000,
    };
    int next[KEYS], count, finished = 0;
    unsigned seed = 12345;

    (void)state;
    for (int i = 0; i < DELIVERIES_MAX; i++)
        put((uint64_t)(i % KEYS), i, 0);
    for (int key = 0; key < KEYS; key++)
        next[key] = key;
    for (int round = 0; round < ROUNDS && finished < DELIVERIES_MAX; round++)
    {
        struct delivery *chain = retry_queue_take_due(scene.retry_queue, round, 1 + rand_r(&seed) % 6, &count);
        bool put_back = false;
        for (struct delivery *at = chain, *after; at; at = after)
        {
            after = at->next;
            at->next = NULL;
            int key = (int)at->lane_hash;
            put_back = put_back || rand_r(&seed) % 3 == 0;
            if (put_back)
            {
                assert_true(retry_queue_put(scene.retry_queue, at, round + rand_r(&seed) % 5));
                continue;
            }
            assert_int_equal(at->arrival, next[key]);
            next[key] += KEYS;
            finished++;
        }
    }
    assert_int_equal(finished, DELIVERIES_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(deliveries_of_a_key_come_out_in_order_of_arrival),
        TEST(a_key_is_due_when_its_first_is),
        TEST(one_that_is_held_again_goes_back_to_the_front_with_its_new_time),
        TEST(the_rest_of_a_key_is_due_at_once),
        TEST(several_deliveries_that_are_held_again_keep_their_places),
        TEST(only_the_delivery_behind_a_held_one_of_its_key_is_blocked),
        TEST(keys_of_one_bucket_are_told_apart),
        TEST(revoked_deliveries_are_taken_and_the_others_stay_in_order),
        TEST(an_empty_hold_has_nothing_due),
        TEST(every_key_is_shown_by_its_first_delivery),
        TEST(any_mixture_of_puts_and_takes_keeps_every_key_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
