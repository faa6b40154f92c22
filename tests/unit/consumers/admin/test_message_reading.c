/* Message reading: ranges of command topics on a broker within librdkafka. Ranges by time are for a real one, which
 * knows the times of messages: tests/system/test_replay_lost.py. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/admin/message_reading.h"
#include "tests/fixtures/kafka_mock.h"

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    struct message_ranges ranges;
    struct buffer fault;
    char seen[512];
    int until; /* so many are seen; 0: all */
    int count;
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    kafka_mock_begin(&scene.kafka);
    kafka_mock_settings(&scene.kafka, "orders, tickets", &scene.settings);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 2, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    message_ranges_done(&scene.ranges);
    buffer_done(&scene.fault);
    settings_done(&scene.settings);
    kafka_mock_end(&scene.kafka);
    return 0;
}

static void write_command(const char *topic, int32_t partition, const char *id)
{
    char value[256];

    snprintf(value, sizeof(value),
             "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/test\",\"type\":\"ticket.escalate\","
             "\"data\":{\"ticket_id\":1}}",
             id);
    kafka_mock_write(&scene.kafka, topic, partition, SPAN_LITERAL("ticket/1"), span_of(value), NULL);
}

static void fill(void)
{
    rd_kafka_mock_topic_create(scene.kafka.cluster, "tickets", 1, 1);
    write_command("orders", 0, "a");
    write_command("orders", 1, "b");
    write_command("orders", 1, "c");
    kafka_mock_write(&scene.kafka, "orders", 1, SPAN_LITERAL("ticket/1"), SPAN_LITERAL("no command"), NULL);
    write_command("tickets", 0, "d");
}

static void read_ranges(void)
{
    if (!message_ranges_read(&scene.settings, &scene.ranges, &scene.fault))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static struct message_range *range_of(const char *topic, int32_t partition)
{
    for (int i = 0; i < scene.ranges.count; i++)
        if (strcmp(scene.ranges.at[i].topic, topic) == 0 && scene.ranges.at[i].partition == partition)
            return &scene.ranges.at[i];
    fail_msg("no range of %s/%d", topic, partition);
    return NULL;
}

static bool note(void *owner, const struct message_seen *seen)
{
    size_t used = strlen(scene.seen);
    struct span what = seen->command ? seen->command->id : span_of(seen->delivery->dead_reason);

    assert_ptr_equal(owner, &scene);
    snprintf(scene.seen + used, sizeof(scene.seen) - used, "%s/%d/%lld=%.*s ", seen->range->topic,
             seen->range->partition, (long long)seen->delivery->offset, (int)what.size, what.at);
    return ++scene.count != scene.until;
}

static void read_all(void)
{
    if (!message_read(&scene.settings, &scene.ranges, note, &scene, &scene.fault))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static void assert_fault(const char *part)
{
    buffer_add_byte(&scene.fault, '\0');
    if (strstr(scene.fault.at, part) == NULL)
        fail_msg("without \"%s\": %s", part, scene.fault.at);
}

static void every_partition_of_every_command_topic_is_a_range(void **state)
{
    (void)state;
    fill();
    read_ranges();
    assert_int_equal(scene.ranges.count, 3);
    assert_int_equal(range_of("orders", 0)->from, 0);
    assert_int_equal(range_of("orders", 0)->to, 1);
    assert_int_equal(range_of("orders", 1)->to, 3);
    assert_int_equal(range_of("tickets", 0)->to, 1);
}

static void a_command_topic_that_is_not_there_is_a_failure(void **state)
{
    (void)state;
    assert_false(message_ranges_read(&scene.settings, &scene.ranges, &scene.fault));
    assert_fault("tickets: the topic is not there");
}

static void messages_are_seen_in_order_and_decoded(void **state)
{
    (void)state;
    fill();
    read_ranges();
    read_all();
    assert_string_equal(scene.seen, "orders/0/0=a orders/1/0=b orders/1/1=c orders/1/2=not_json tickets/0/0=d ");
}

static void only_the_offsets_of_a_range_are_seen(void **state)
{
    (void)state;
    fill();
    read_ranges();
    range_of("orders", 0)->to = 0;
    range_of("orders", 1)->from = 1;
    range_of("orders", 1)->to = 2;
    range_of("tickets", 0)->from = 1;
    read_all();
    assert_string_equal(scene.seen, "orders/1/1=c ");
}

static void who_has_seen_enough_ends_the_reading(void **state)
{
    (void)state;
    fill();
    read_ranges();
    scene.until = 2;
    read_all();
    assert_string_equal(scene.seen, "orders/0/0=a orders/1/0=b ");
}

/* A read_committed reader gets no further. */
static void a_range_that_goes_past_the_end_ends_there(void **state)
{
    (void)state;
    fill();
    read_ranges();
    range_of("orders", 0)->to = 100;
    read_all();
    assert_int_equal(scene.count, 5);
}

static void a_range_whose_start_is_gone_is_a_failure(void **state)
{
    (void)state;
    fill();
    read_ranges();
    range_of("orders", 0)->from = 50;
    range_of("orders", 0)->to = 51;
    assert_false(message_read(&scene.settings, &scene.ranges, note, &scene, &scene.fault));
    assert_fault("orders: the start of the range is past the topic's retention");
    assert_string_equal(scene.seen, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_partition_of_every_command_topic_is_a_range),
        TEST(a_command_topic_that_is_not_there_is_a_failure),
        TEST(messages_are_seen_in_order_and_decoded),
        TEST(only_the_offsets_of_a_range_are_seen),
        TEST(who_has_seen_enough_ends_the_reading),
        TEST(a_range_that_goes_past_the_end_ends_there),
        TEST(a_range_whose_start_is_gone_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
