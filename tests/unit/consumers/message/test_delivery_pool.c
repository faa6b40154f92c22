#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include <librdkafka/rdkafka.h>

#include "consumers/message/delivery_pool.h"
#include "workflows/describe/dead_letter_headers.h"

static struct delivery_pool *delivery_pool;

static int set_up(void **state)
{
    (void)state;
    delivery_pool = delivery_pool_new();
    return delivery_pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    delivery_pool_free(delivery_pool);
    return 0;
}

static void the_bytes_are_copies(void **state)
{
    char key[] = "ticket/1", value[] = "value";
    (void)state;

    struct delivery *delivery = delivery_pool_copy(delivery_pool, span_of(key), span_of(value), NULL);
    memset(key, 'x', sizeof(key));
    memset(value, 'x', sizeof(value));
    assert_true(span_is(delivery->key, "ticket/1"));
    assert_true(span_is(delivery->value, "value"));
    assert_int_equal(delivery_size(delivery), 13);
    delivery_pool_give_back(delivery_pool, delivery);
}

static void a_missing_payload_differs_from_an_empty_one(void **state)
{
    (void)state;

    struct delivery *nothing = delivery_pool_copy(delivery_pool, SPAN_NULL, SPAN_NULL, NULL);
    struct delivery *empty = delivery_pool_copy(delivery_pool, SPAN_LITERAL(""), SPAN_LITERAL(""), NULL);
    assert_null(nothing->key.at);
    assert_null(nothing->value.at);
    assert_non_null(empty->key.at);
    assert_non_null(empty->value.at);
    delivery_pool_give_back(delivery_pool, nothing);
    delivery_pool_give_back(delivery_pool, empty);
}

static void a_large_message_has_memory_of_its_own(void **state)
{
    enum
    {
        SIZE = 1000000,
    };
    char *value = malloc(SIZE);
    (void)state;

    memset(value, 'v', SIZE);
    struct delivery *delivery = delivery_pool_copy(delivery_pool, span_of("k"), (struct span){ value, SIZE }, NULL);
    assert_int_equal(delivery->value.size, SIZE);
    assert_memory_equal(delivery->value.at, value, SIZE);
    delivery_pool_give_back(delivery_pool, delivery);
    free(value);
}

static void headers_come_back_as_they_were(void **state)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    struct span name, value;
    size_t cursor = 0;
    (void)state;

    rd_kafka_header_add(headers, "ce_id", -1, "1", 1);
    rd_kafka_header_add(headers, "none", -1, NULL, 0);
    rd_kafka_header_add(headers, "empty", -1, "", 0);
    rd_kafka_header_add(headers, "ce_id", -1, "22", 2);
    struct delivery *delivery = delivery_pool_copy(delivery_pool, span_of("k"), span_of("v"), headers);
    rd_kafka_headers_destroy(headers);
    assert_true(delivery_header(delivery, &cursor, &name, &value));
    assert_true(span_is(name, "ce_id") && span_is(value, "1"));
    assert_true(delivery_header(delivery, &cursor, &name, &value));
    assert_true(span_is(name, "none") && value.at == NULL);
    assert_true(delivery_header(delivery, &cursor, &name, &value));
    assert_true(span_is(name, "empty") && value.size == 0);
    assert_true(delivery_header(delivery, &cursor, &name, &value));
    assert_false(delivery_header(delivery, &cursor, &name, &value));
    assert_true(span_is(delivery_header_last(delivery, "ce_id"), "22"));
    assert_null(delivery_header_last(delivery, "ce_type").at);
    delivery_pool_give_back(delivery_pool, delivery);
}

static int count_headers(const struct delivery *delivery)
{
    struct span name, value;
    int count = 0;

    for (size_t cursor = 0; delivery_header(delivery, &cursor, &name, &value);)
        count++;
    return count;
}

/* PROTOCOL L4. */
static void the_header_of_a_return_pushes_out_no_other_header(void **state)
{
    (void)state;

    for (int returns = 0; returns <= 3; returns++)
    {
        static const enum redriven redriven[] = { REDRIVEN_NOT, REDRIVEN_NOT, REDRIVEN_TRIED, REDRIVEN_UNTRIED };
        rd_kafka_headers_t *headers = rd_kafka_headers_new(200);
        char name[16];
        if (returns)
            rd_kafka_header_add(headers, DELIVERY_RETURN_HEADER, -1, "token", -1);
        if (returns > 1)
            rd_kafka_header_add(headers, DEAD_LETTER_REDRIVE_COUNT, -1, "1", -1);
        if (returns > 2)
            rd_kafka_header_add(headers, DELIVERY_UNTRIED_HEADER, -1, "1", -1);
        for (int i = 0; i < 200; i++)
        {
            snprintf(name, sizeof(name), "h%d", i);
            rd_kafka_header_add(headers, name, -1, "1", 1);
        }
        struct delivery *delivery = delivery_pool_copy(delivery_pool, span_of("k"), span_of("v"), headers);
        rd_kafka_headers_destroy(headers);
        assert_int_equal(count_headers(delivery), 128 + returns);
        assert_non_null(delivery_header_last(delivery, "h127").at);
        assert_null(delivery_header_last(delivery, "h128").at);
        assert_int_equal(delivery_header_last(delivery, DELIVERY_RETURN_HEADER).at != NULL, returns > 0);
        assert_int_equal(delivery->redriven, redriven[returns]);
        delivery_pool_give_back(delivery_pool, delivery);
    }
}

static void a_delivery_that_was_given_back_is_used_again_and_clean(void **state)
{
    (void)state;

    for (int i = 0; i < 10000; i++)
    {
        struct delivery *first = delivery_pool_copy(delivery_pool, span_of("a"), span_of("b"), NULL);
        struct delivery *second = delivery_pool_copy(delivery_pool, span_of("c"), span_of("d"), NULL);
        assert_null(first->event);
        assert_int_equal(first->attempts, 0);
        assert_int_equal(first->held_since_us, 0);
        assert_string_equal(first->event_key, "");
        assert_string_equal(first->dead_message, "");
        first->event = malloc(10);
        first->attempts = 7;
        first->held_since_us = 9;
        strcpy(first->event_key, "key");
        strcpy(first->dead_message, "message");
        first->next = second;
        delivery_pool_give_back(delivery_pool, first);
    }
}

static void equal_keys_have_one_lane(void **state)
{
    (void)state;

    struct delivery *first = delivery_pool_copy(delivery_pool, span_of("ticket/1"), span_of("a"), NULL);
    struct delivery *second = delivery_pool_copy(delivery_pool, span_of("ticket/1"), span_of("b"), NULL);
    struct delivery *other = delivery_pool_copy(delivery_pool, span_of("ticket/2"), span_of("b"), NULL);
    assert_true(first->lane_hash == second->lane_hash);
    assert_true(first->lane_hash != other->lane_hash);
    delivery_pool_give_back(delivery_pool, first);
    delivery_pool_give_back(delivery_pool, second);
    delivery_pool_give_back(delivery_pool, other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_bytes_are_copies),
        TEST(a_missing_payload_differs_from_an_empty_one),
        TEST(a_large_message_has_memory_of_its_own),
        TEST(headers_come_back_as_they_were),
        TEST(the_header_of_a_return_pushes_out_no_other_header),
        TEST(a_delivery_that_was_given_back_is_used_again_and_clean),
        TEST(equal_keys_have_one_lane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
