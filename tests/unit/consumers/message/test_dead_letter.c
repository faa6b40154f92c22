#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include "consumers/message/dead_letter.h"
#include "consumers/message/delivery_pool.h"

static struct
{
    struct delivery_pool *delivery_pool;
    struct partition partition;
    rd_kafka_headers_t *headers; /* of the message */
} scene;

static int set_up(void **state)
{
    (void)state;
    scene.delivery_pool = delivery_pool_new();
    scene.headers = rd_kafka_headers_new(4);
    scene.partition = (struct partition){ .topic = span_of("interlock.commands"), .number = 7 };
    return scene.delivery_pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    rd_kafka_headers_destroy(scene.headers);
    delivery_pool_free(scene.delivery_pool);
    return 0;
}

static struct delivery *make_dead(struct span key, struct span value)
{
    struct delivery *delivery = delivery_pool_copy(scene.delivery_pool, key, value, scene.headers);

    assert_non_null(delivery);
    delivery->partition = &scene.partition;
    delivery->offset = 4711;
    delivery->answer = ANSWER_DEAD_LETTER;
    delivery->dead_reason = "not_json";
    strcpy(delivery->dead_message, "byte 0: expected a value");
    delivery->first_failed_us = INT64_C(1700000000123456);
    return delivery;
}

static void assert_header(const struct dead_letter *letter, const char *name, const char *expected)
{
    const void *value;
    size_t size;

    assert_int_equal(rd_kafka_header_get_last(letter->headers, name, &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(value, expected, size);
}

static int count_headers(const struct dead_letter *letter, const char *name)
{
    const void *value;
    size_t size;
    int count = 0;

    while (rd_kafka_header_get(letter->headers, (size_t)count, name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR)
        count++;
    return count;
}

static void a_dead_letter_carries_the_raw_bytes_and_the_reason(void **state)
{
    struct delivery *delivery = make_dead(span_of("ticket/1"), span_of("garbage"));
    struct dead_letter letter;
    (void)state;

    assert_true(dead_letter_make(delivery, "interlock", 1000000, &letter));
    assert_true(span_is(letter.key, "ticket/1"));
    assert_true(span_is(letter.value, "garbage"));
    assert_header(&letter, "__dlq.errors.topic", "interlock.commands");
    assert_header(&letter, "__dlq.errors.partition", "7");
    assert_header(&letter, "__dlq.errors.offset", "4711");
    assert_header(&letter, "__dlq.errors.group", "interlock");
    assert_header(&letter, "__dlq.errors.message", "byte 0: expected a value");
    assert_header(&letter, "interlock.reason", "not_json");
    assert_header(&letter, "interlock.first-failed-at", "2023-11-14T22:13:20.123456Z");
    assert_header(&letter, "interlock.attempts", "1");
    assert_header(&letter, "interlock.redrive-count", "0");
    assert_int_equal(count_headers(&letter, "interlock.truncated"), 0);
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
}

static void a_tombstone_and_a_message_without_key_stay_what_they_are(void **state)
{
    struct delivery *delivery = make_dead(SPAN_NULL, SPAN_NULL);
    struct dead_letter letter;
    (void)state;

    assert_true(dead_letter_make(delivery, "interlock", 1000000, &letter));
    assert_null(letter.key.at);
    assert_null(letter.value.at);
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
}

static void headers_of_the_message_are_kept_in_order(void **state)
{
    const char *name;
    const void *value;
    size_t size;
    struct dead_letter letter;
    (void)state;

    rd_kafka_header_add(scene.headers, "b", -1, "1", 1);
    rd_kafka_header_add(scene.headers, "a", -1, NULL, 0);
    rd_kafka_header_add(scene.headers, "b", -1, "2", 1);
    struct delivery *delivery = make_dead(span_of("k"), span_of("v"));
    assert_true(dead_letter_make(delivery, "interlock", 1000000, &letter));
    const char *const names[] = { "b", "a", "b" };
    for (size_t i = 0; i < 3; i++)
    {
        assert_int_equal(rd_kafka_header_get_all(letter.headers, i, &name, &value, &size), 0);
        assert_string_equal(name, names[i]);
        assert_int_equal(value == NULL, i == 1);
    }
    assert_header(&letter, "b", "2");
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
}

static void headers_of_an_earlier_dead_letter_are_replaced_and_the_redrive_count_is_kept(void **state)
{
    struct dead_letter letter;
    (void)state;

    rd_kafka_header_add(scene.headers, "interlock.reason", -1, "too_deep", -1);
    rd_kafka_header_add(scene.headers, "__dlq.errors.offset", -1, "1", -1);
    rd_kafka_header_add(scene.headers, "interlock.redrive-count", -1, "3", -1);
    struct delivery *delivery = make_dead(span_of("k"), span_of("v"));
    assert_true(dead_letter_make(delivery, "interlock", 1000000, &letter));
    assert_int_equal(count_headers(&letter, "interlock.reason"), 1);
    assert_header(&letter, "interlock.reason", "not_json");
    assert_int_equal(count_headers(&letter, "__dlq.errors.offset"), 1);
    assert_header(&letter, "__dlq.errors.offset", "4711");
    assert_header(&letter, "interlock.redrive-count", "3");
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
}

static void a_redrive_count_that_is_no_number_counts_as_none(void **state)
{
    struct dead_letter letter;
    (void)state;

    rd_kafka_header_add(scene.headers, "interlock.redrive-count", -1, "many", -1);
    struct delivery *delivery = make_dead(span_of("k"), span_of("v"));
    assert_true(dead_letter_make(delivery, "interlock", 1000000, &letter));
    assert_header(&letter, "interlock.redrive-count", "0");
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
}

static size_t total_size(const struct dead_letter *letter)
{
    const char *name;
    const void *value;
    size_t size, total = letter->key.size + letter->value.size;

    for (size_t i = 0; !rd_kafka_header_get_all(letter->headers, i, &name, &value, &size); i++)
        total += strlen(name) + size + 12;
    return total;
}

/* PROTOCOL R5. */
static void a_dead_letter_over_the_producer_s_limit_is_cut_and_says_so(void **state)
{
    struct dead_letter letter;
    enum
    {
        LIMIT = 100000,
        SIZE = 300000,
    };
    char *value = calloc(1, SIZE), *header = calloc(1, SIZE);
    (void)state;

    memset(value, 'x', SIZE);
    memset(header, 'h', SIZE);
    rd_kafka_header_add(scene.headers, "small", -1, "1", 1);
    rd_kafka_header_add(scene.headers, "large", -1, header, SIZE);
    struct delivery *delivery = make_dead((struct span){ header, SIZE }, (struct span){ value, SIZE });
    assert_true(dead_letter_make(delivery, "interlock", LIMIT, &letter));
    assert_true(total_size(&letter) < LIMIT);
    assert_true(letter.value.size > LIMIT / 3);
    assert_true(letter.key.size > 0);
    assert_header(&letter, "small", "1");
    assert_int_equal(count_headers(&letter, "large"), 0);
    assert_header(&letter, "interlock.truncated", "true");
    assert_header(&letter, "interlock.length", "300000");
    /* sha256 of 300,000 times the letter x */
    assert_header(&letter, "interlock.sha256", "29927e273accc68286005017f7fa6e4f27bddb4db3083ff8b8d4c3667905b7fa");
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
    free(value);
    free(header);
}

static void a_tombstone_with_a_large_key_is_cut_too(void **state)
{
    struct dead_letter letter;
    char *key = calloc(1, 200000);
    (void)state;

    struct delivery *delivery = make_dead((struct span){ key, 200000 }, SPAN_NULL);
    assert_true(dead_letter_make(delivery, "interlock", 100000, &letter));
    assert_true(total_size(&letter) < 100000);
    assert_null(letter.value.at);
    assert_header(&letter, "interlock.length", "0");
    dead_letter_done(&letter);
    delivery_pool_give_back(scene.delivery_pool, delivery);
    free(key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_dead_letter_carries_the_raw_bytes_and_the_reason),
        TEST(a_tombstone_and_a_message_without_key_stay_what_they_are),
        TEST(headers_of_the_message_are_kept_in_order),
        TEST(headers_of_an_earlier_dead_letter_are_replaced_and_the_redrive_count_is_kept),
        TEST(a_redrive_count_that_is_no_number_counts_as_none),
        TEST(a_dead_letter_over_the_producer_s_limit_is_cut_and_says_so),
        TEST(a_tombstone_with_a_large_key_is_cut_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
