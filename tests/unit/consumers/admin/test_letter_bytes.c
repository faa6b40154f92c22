/* Letter bytes: where the messages of dead letters are found, on a broker within librdkafka, and what is taken off them
 * on their way back. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "consumers/admin/letter_bytes.h"
#include "consumers/message/delivery_pool.h"
#include "tests/fixtures/kafka_mock.h"
#include "workflows/describe/dead_letter_headers.h"

enum
{
    LETTERS_MAX = 4,
    BYTES_MAX = 1000000,
};

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    struct delivery_pool *pool;
    struct letter_bytes letters[LETTERS_MAX];
    int count;
    bool full;
    struct buffer fault;
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.pool = delivery_pool_new();
    kafka_mock_begin(&scene.kafka);
    kafka_mock_settings(&scene.kafka, "orders", &scene.settings);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 2, 1);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders.dlq", 2, 1);
    return scene.pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < scene.count; i++)
        if (scene.letters[i].delivery)
            delivery_pool_give_back(scene.pool, scene.letters[i].delivery);
    delivery_pool_free(scene.pool);
    buffer_done(&scene.fault);
    settings_done(&scene.settings);
    kafka_mock_end(&scene.kafka);
    return 0;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* A letter about the value at a position. It failed so early that its topic is read from the beginning. */
static void ask_for(int32_t partition, int64_t offset, const char *value)
{
    struct letter_bytes *letter = &scene.letters[scene.count++];
    struct span whole = span_of(value);

    assert_true(scene.count <= LETTERS_MAX);
    snprintf(letter->topic, sizeof(letter->topic), "orders");
    letter->partition = partition;
    letter->offset = offset;
    letter->failed_us = 1;
    assert_true(digest_sha256(&whole, 1, letter->digest));
}

static void write_command(int32_t partition, const char *value)
{
    kafka_mock_write(&scene.kafka, "orders", partition, SPAN_LITERAL("ticket/1"), span_of(value), NULL);
}

static void write_letter(const char *partition, const char *offset, const char *value, const char *cut)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);

    rd_kafka_header_add(headers, DEAD_LETTER_TOPIC, -1, "orders", -1);
    rd_kafka_header_add(headers, DEAD_LETTER_PARTITION, -1, partition, -1);
    rd_kafka_header_add(headers, DEAD_LETTER_OFFSET, -1, offset, -1);
    if (cut)
        rd_kafka_header_add(headers, DEAD_LETTER_TRUNCATED, -1, cut, -1);
    kafka_mock_write(&scene.kafka, "orders.dlq", 1, SPAN_LITERAL("ticket/1"), span_of(value), headers);
}

static void read_with(size_t bytes_max)
{
    if (!letter_bytes_read(&scene.settings, scene.pool, scene.letters, scene.count, bytes_max, &scene.full,
                           &scene.fault))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static void assert_found(int letter, enum letter_place place, const char *value)
{
    assert_int_equal(scene.letters[letter].place, place);
    if (value == NULL)
        assert_null(scene.letters[letter].delivery);
    else if (scene.letters[letter].delivery == NULL || !span_is(scene.letters[letter].delivery->value, value))
        fail_msg("letter %d is not %s", letter, value);
}

static void letters_are_taken_from_the_command_topic_in_any_order(void **state)
{
    (void)state;
    write_command(0, "zero");
    write_command(0, "one");
    write_command(0, "two");
    write_command(1, "other");
    ask_for(0, 2, "two");
    ask_for(1, 0, "other");
    ask_for(0, 0, "zero");
    ask_for(0, 1, "one");
    read_with(BYTES_MAX);
    assert_found(0, LETTER_IN_COMMANDS, "two");
    assert_found(1, LETTER_IN_COMMANDS, "other");
    assert_found(2, LETTER_IN_COMMANDS, "zero");
    assert_found(3, LETTER_IN_COMMANDS, "one");
    assert_int_equal(scene.letters[3].delivery->offset, 1);
    assert_true(span_is(scene.letters[3].delivery->key, "ticket/1"));
    assert_false(scene.full);
}

/* The topic was made again since: the position has another message. */
static void where_the_bytes_differ_the_dead_letter_has_them(void **state)
{
    (void)state;
    write_command(0, "another");
    write_letter("1", "0", "of another partition", NULL);
    write_letter("0", "0", "of a former topic", NULL);
    write_letter("0", "0", "mine", NULL);
    ask_for(0, 0, "mine");
    read_with(BYTES_MAX);
    assert_found(0, LETTER_IN_DLQ, "mine");
    assert_int_equal(scene.letters[0].dlq_partition, 1);
    assert_int_equal(scene.letters[0].dlq_offset, 2);
}

static void behind_the_end_of_a_partition_the_next_letter_is_found_still(void **state)
{
    (void)state;
    write_command(0, "zero");
    ask_for(0, 7, "seven");
    ask_for(0, 0, "zero");
    read_with(BYTES_MAX);
    assert_found(0, LETTER_NOWHERE, NULL);
    assert_found(1, LETTER_IN_COMMANDS, "zero");
}

static void a_letter_that_was_cut_is_said_to_be(void **state)
{
    (void)state;
    write_letter("0", "5", "half of it", "true");
    ask_for(0, 5, "half of it, and the other half");
    read_with(BYTES_MAX);
    assert_found(0, LETTER_CUT, "half of it");
}

static void a_letter_that_is_in_neither_topic_is_nowhere(void **state)
{
    (void)state;
    write_command(0, "another");
    write_letter("0", "0", "another", NULL);
    ask_for(0, 0, "mine");
    read_with(BYTES_MAX);
    assert_found(0, LETTER_NOWHERE, NULL);
    assert_false(scene.full);
}

static void past_the_bytes_that_are_wanted_nothing_is_looked_for(void **state)
{
    (void)state;
    write_command(0, "zero");
    write_command(0, "one");
    ask_for(0, 0, "zero");
    ask_for(0, 1, "one");
    read_with(3);
    assert_true(scene.full);
    assert_found(0, LETTER_IN_COMMANDS, "zero");
    assert_found(1, LETTER_NOWHERE, NULL);
}

/* --- on the way back --------------------------------------------------------------------------------------------- */

static struct delivery *original_with(const char *const (*headers)[2], int count, struct span value)
{
    rd_kafka_headers_t *made = rd_kafka_headers_new(8);

    for (int i = 0; i < count; i++)
        rd_kafka_header_add(made, headers[i][0], -1, headers[i][1], headers[i][1] ? -1 : 0);
    struct delivery *original = delivery_pool_copy(scene.pool, SPAN_LITERAL("ticket/1"), value, made);
    original->offset = 41;
    rd_kafka_headers_destroy(made);
    return original;
}

static void assert_headers(const struct delivery *delivery, const char *expected)
{
    char text[512] = "";
    size_t used = 0;
    struct span name, value;

    for (size_t cursor = 0; delivery_header(delivery, &cursor, &name, &value);)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%.*s=%.*s;", (int)name.size, name.at,
                                 value.at ? (int)value.size : 4, value.at ? value.at : "null");
    assert_string_equal(text, expected);
}

static void a_message_comes_back_without_what_was_added_to_it(void **state)
{
    static const char *const headers[][2] = { { "traceparent", "00-1" },
                                              { DEAD_LETTER_REASON, "not_json" },
                                              { DEAD_LETTER_TOPIC, "orders" },
                                              { DEAD_LETTER_REDRIVE_COUNT, "1" },
                                              { DELIVERY_RETURN_HEADER, "token" },
                                              { "empty", "" },
                                              { "nothing", NULL } };
    struct delivery *original = original_with(headers, 7, SPAN_LITERAL("value"));
    (void)state;

    struct delivery *back = letter_bytes_returned(scene.pool, original, SPAN_NULL, NULL, 2, false);
    assert_headers(back, "interlock.redrive-count=2;traceparent=00-1;empty=;nothing=null;");
    assert_true(span_is(back->key, "ticket/1"));
    assert_true(span_is(back->value, "value"));
    assert_int_equal(back->offset, 41);
    delivery_pool_give_back(scene.pool, back);
    back = letter_bytes_returned(scene.pool, original, SPAN_LITERAL("edited"), NULL, 3, true);
    assert_headers(back, "interlock.redrive-count=3;interlock.untried=true;traceparent=00-1;empty=;nothing=null;");
    assert_true(span_is(back->value, "edited"));
    delivery_pool_give_back(scene.pool, back);
    delivery_pool_give_back(scene.pool, original);
}

static void an_edited_copy_in_binary_mode_has_its_cause_in_a_header(void **state)
{
    static const char *const headers[][2] = { { "ce_specversion", "1.0" }, { "ce_causationid", "before" } };
    struct delivery *original = original_with(headers, 2, SPAN_LITERAL("{}"));
    (void)state;

    struct delivery *back = letter_bytes_returned(scene.pool, original, SPAN_LITERAL("{\"a\":1}"), "cause", 1, false);
    assert_headers(back, "interlock.redrive-count=1;ce_specversion=1.0;ce_causationid=cause;");
    assert_true(span_is(back->value, "{\"a\":1}"));
    delivery_pool_give_back(scene.pool, back);
    delivery_pool_give_back(scene.pool, original);
}

static void an_edited_copy_in_structured_mode_has_its_cause_as_first_member(void **state)
{
    struct delivery *original = original_with(NULL, 0, SPAN_LITERAL("{}"));
    (void)state;

    struct delivery *back =
        letter_bytes_returned(scene.pool, original, SPAN_LITERAL(" {\"id\":\"1\"}"), "say \"hi\"", 1, false);
    assert_true(span_is(back->value, " {\"causationid\":\"say \\\"hi\\\"\",\"id\":\"1\"}"));
    assert_headers(back, "interlock.redrive-count=1;");
    delivery_pool_give_back(scene.pool, back);
    back = letter_bytes_returned(scene.pool, original, SPAN_LITERAL("no object"), "cause", 1, false);
    assert_true(span_is(back->value, "no object"));
    delivery_pool_give_back(scene.pool, back);
    delivery_pool_give_back(scene.pool, original);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(letters_are_taken_from_the_command_topic_in_any_order),
        TEST(where_the_bytes_differ_the_dead_letter_has_them),
        TEST(behind_the_end_of_a_partition_the_next_letter_is_found_still),
        TEST(a_letter_that_was_cut_is_said_to_be),
        TEST(a_letter_that_is_in_neither_topic_is_nowhere),
        TEST(past_the_bytes_that_are_wanted_nothing_is_looked_for),
        TEST(a_message_comes_back_without_what_was_added_to_it),
        TEST(an_edited_copy_in_binary_mode_has_its_cause_in_a_header),
        TEST(an_edited_copy_in_structured_mode_has_its_cause_as_first_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
