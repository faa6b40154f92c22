/* wrap: clock_gettime */
/* Operator events: the actions of operators on PostgreSQL, published to a broker within librdkafka. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "consumers/parking/operator_events.h"
#include "tests/fixtures/engine.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/base/clock.h"

enum
{
    PRODUCE = 0, /* the key of its request */
    WAIT_US = 60000000,
    READ_MAX = 2,
};

static struct
{
    struct kafka_mock kafka;
    rd_kafka_t *producer, *reader;
    rd_kafka_topic_t *topic; /* as the reader reads it */
    struct operator_events *events;
    int reports, others;
    int64_t ahead_us; /* of our clock */
    rd_kafka_message_t *read[READ_MAX];
    int read_count;
} scene;

__typeof__(clock_gettime) __real_clock_gettime, __wrap_clock_gettime;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int code = __real_clock_gettime(clock, ret);
    ret->tv_sec += scene.ahead_us / 1000000;
    return code;
}

static PGresult *ask(void *owner, const char *sql, int count, const char *const *values)
{
    PGresult *rows = PQexecParams(engine.sql, sql, count, NULL, values, NULL, NULL, 0);

    assert_ptr_equal(owner, &scene);
    if (PQresultStatus(rows) != PGRES_TUPLES_OK && PQresultStatus(rows) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(engine.sql));
    return rows;
}

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *owner)
{
    (void)producer;
    (void)owner;
    if (operator_events_report(scene.events, message))
        scene.reports++;
    else
        scene.others++;
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char problem[256];

    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(scene.kafka.cluster), problem,
                      sizeof(problem));
    rd_kafka_t *made = rd_kafka_new(type, conf, problem, sizeof(problem));
    assert_non_null(made);
    return made;
}

static int set_up(void **state)
{
    int code = engine_set_up(state);

    memset(&scene, 0, sizeof(scene));
    kafka_mock_begin(&scene.kafka);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "audit", 1, 1);
    rd_kafka_conf_t *conf = kafka_mock_conf();
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    scene.producer = client(RD_KAFKA_PRODUCER, conf);
    scene.reader = client(RD_KAFKA_CONSUMER, kafka_mock_conf());
    scene.topic = rd_kafka_topic_new(scene.reader, "audit", NULL);
    assert_int_equal(rd_kafka_consume_start(scene.topic, 0, RD_KAFKA_OFFSET_BEGINNING), 0);
    scene.events = operator_events_new("audit", ask, &scene);
    assert_non_null(scene.events);
    return code;
}

static int tear_down(void **state)
{
    rd_kafka_destroy(scene.producer);
    for (int i = 0; i < scene.read_count; i++)
        rd_kafka_message_destroy(scene.read[i]);
    rd_kafka_consume_stop(scene.topic, 0);
    rd_kafka_topic_destroy(scene.topic);
    rd_kafka_destroy(scene.reader);
    kafka_mock_end(&scene.kafka);
    operator_events_free(scene.events);
    return engine_tear_down(state);
}

static void act(const char *verb)
{
    engine_ask("INSERT INTO interlock.operator_action (verb, actor, host, version, reason, filter, expected, before) "
               "VALUES ('%s', 'anna', 'host', '1', 'say \"hi\"', '{\"key\":\"ticket/1\"}', 3, '2026-11-24T09:00:00Z')",
               verb);
}

/* A round, and the reports of what it published. */
static void round_of(int reports)
{
    int64_t deadline_us = monotonic_us() + WAIT_US;
    int before = scene.reports;

    operator_events_step(scene.events, scene.producer);
    while (scene.reports < before + reports && monotonic_us() < deadline_us)
        rd_kafka_poll(scene.producer, 100);
    assert_int_equal(scene.reports, before + reports);
    assert_int_equal(rd_kafka_outq_len(scene.producer), 0);
}

/* The next message of the topic; it lives as long as the test. */
static const rd_kafka_message_t *read_one(void)
{
    int64_t deadline_us = monotonic_us() + WAIT_US;

    assert_true(scene.read_count < READ_MAX);
    while (monotonic_us() < deadline_us)
    {
        rd_kafka_message_t *message = rd_kafka_consume(scene.topic, 0, 100);
        if (message && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return scene.read[scene.read_count++] = message;
        if (message)
            rd_kafka_message_destroy(message);
    }
    fail_msg("no message came");
    return NULL;
}

static void assert_member(const json_t *object, const char *name, const char *text)
{
    const char *found = json_string_value(json_object_get(object, name));
    assert_non_null(found);
    assert_string_equal(found, text);
}

static void an_action_becomes_an_event_and_is_forgotten(void **state)
{
    (void)state;
    act("pause");
    round_of(1);
    const rd_kafka_message_t *message = read_one();
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    assert_int_equal(rd_kafka_message_headers(message, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_header_get_last(headers, "content-type", &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_string_equal(value, "application/cloudevents+json");
    assert_int_equal(message->key_len, strlen("operator/1"));
    assert_memory_equal(message->key, "operator/1", message->key_len);
    json_t *event = json_loadb(message->payload, message->len, JSON_REJECT_DUPLICATES, NULL);
    json_t *data = json_object_get(event, "data");
    assert_member(event, "type", "interlock.operator");
    assert_member(event, "subject", "operator/1");
    assert_member(event, "id",
                  engine_ask("SELECT 'operator/1/' || (extract(epoch FROM at) * 1000000)::bigint "
                             "FROM interlock.operator_action"));
    assert_member(data, "verb", "pause");
    assert_member(data, "actor", "anna");
    assert_member(data, "reason", "say \"hi\"");
    assert_member(json_object_get(data, "filter"), "key", "ticket/1");
    assert_int_equal(json_integer_value(json_object_get(data, "action")), 1);
    assert_int_equal(json_integer_value(json_object_get(data, "expected")), 3);
    assert_member(data, "before", "2026-11-24T09:00:00.000000Z");
    json_decref(event);
    assert_sql("1", "SELECT count(*) FROM interlock.operator_outbox");
    scene.ahead_us += 2000000;
    round_of(0);
    assert_sql("0", "SELECT count(*) FROM interlock.operator_outbox");
}

/* Readers of command events pass over an event by its first bytes. */
static void the_bytes_are_the_same_every_time(void **state)
{
    static const char first_bytes[] = "{\"specversion\" : \"1.0\", \"type\" : ";
    (void)state;
    act("pause");
    round_of(1);
    engine_ask("UPDATE interlock.operator_outbox SET claimed_at = now() - interval '31 s'");
    struct operator_events *other = operator_events_new("audit", ask, &scene);
    struct operator_events *first = scene.events;
    scene.events = other;
    round_of(1);
    const rd_kafka_message_t *one = read_one(), *two = read_one();
    assert_int_equal(one->len, two->len);
    assert_memory_equal(one->payload, two->payload, one->len);
    assert_memory_equal(one->payload, first_bytes, sizeof(first_bytes) - 1);
    operator_events_free(other);
    scene.events = first;
}

static void an_event_that_was_not_confirmed_is_published_again_half_a_minute_later(void **state)
{
    (void)state;
    act("pause");
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    round_of(1);
    scene.ahead_us += 2000000;
    round_of(0);
    assert_sql("1", "SELECT count(*) FROM interlock.operator_outbox");
    engine_ask("UPDATE interlock.operator_outbox SET claimed_at = now() - interval '31 s'");
    scene.ahead_us += 2000000;
    round_of(1);
    scene.ahead_us += 2000000;
    round_of(0);
    assert_sql("0", "SELECT count(*) FROM interlock.operator_outbox");
}

static void actions_that_another_process_has_claimed_are_left_to_it(void **state)
{
    (void)state;
    act("pause");
    engine_ask("UPDATE interlock.operator_outbox SET claimed_at = now() - interval '20 s'");
    round_of(0);
}

static void rounds_are_a_second_apart_and_wait_for_their_reports(void **state)
{
    (void)state;
    act("pause");
    operator_events_step(scene.events, scene.producer);
    act("resume");
    scene.ahead_us += 2000000;
    operator_events_step(scene.events, scene.producer); /* the report of the first has not been taken */
    assert_sql("1", "SELECT count(*) FROM interlock.operator_outbox WHERE claimed_at IS NULL");
    int64_t deadline_us = monotonic_us() + WAIT_US;
    while (scene.reports < 1 && monotonic_us() < deadline_us)
        rd_kafka_poll(scene.producer, 100);
    round_of(1);
    act("prune");
    round_of(0); /* too soon */
    assert_sql("1", "SELECT count(*) FROM interlock.operator_outbox WHERE claimed_at IS NULL");
    scene.ahead_us += 2000000;
    round_of(1);
}

static void reports_of_other_messages_are_not_taken(void **state)
{
    int something;
    (void)state;

    rd_kafka_producev(scene.producer, RD_KAFKA_V_TOPIC("audit"), RD_KAFKA_V_OPAQUE(&something), RD_KAFKA_V_END);
    rd_kafka_producev(scene.producer, RD_KAFKA_V_TOPIC("audit"), RD_KAFKA_V_END);
    int64_t deadline_us = monotonic_us() + WAIT_US;
    while (scene.others < 2 && monotonic_us() < deadline_us)
        rd_kafka_poll(scene.producer, 100);
    assert_int_equal(scene.others, 2);
    assert_int_equal(scene.reports, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_action_becomes_an_event_and_is_forgotten),
        TEST(the_bytes_are_the_same_every_time),
        TEST(an_event_that_was_not_confirmed_is_published_again_half_a_minute_later),
        TEST(actions_that_another_process_has_claimed_are_left_to_it),
        TEST(rounds_are_a_second_apart_and_wait_for_their_reports),
        TEST(reports_of_other_messages_are_not_taken),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
