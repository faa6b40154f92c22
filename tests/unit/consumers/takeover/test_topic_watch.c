/* wrap: topic_ids_are_told topic_ids_ask topic_ids_take clients_conf clients_new clients_destroy
 * rd_kafka_queue_destroy */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "consumers/takeover/topic_watch.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

/* PROTOCOL O5: Kafka as a table of one topic's id, and a library that tells it or does not. */

static struct
{
    struct settings settings;
    struct topic_watch watch;
    struct owned_partition *owned[2]; /* of "commands" */
    bool tells;                       /* the library */
    const char *id;                   /* Kafka's answer; NULL: there is none yet */
    int asked;
    int64_t now_us;
} scene;

static int client, answer; /* their addresses stand for handles */

__typeof__(topic_ids_are_told) __wrap_topic_ids_are_told;
__typeof__(topic_ids_ask) __wrap_topic_ids_ask;
__typeof__(topic_ids_take) __wrap_topic_ids_take;
__typeof__(clients_conf) __wrap_clients_conf;
__typeof__(clients_new) __wrap_clients_new;
__typeof__(clients_destroy) __wrap_clients_destroy;
__typeof__(rd_kafka_queue_destroy) __wrap_rd_kafka_queue_destroy;

bool __wrap_topic_ids_are_told(void)
{
    return scene.tells;
}

rd_kafka_queue_t *__wrap_topic_ids_ask(const struct settings *settings, rd_kafka_t *by, int64_t wait_us)
{
    (void)settings, (void)wait_us;
    assert_ptr_equal(by, &client);
    scene.asked++;
    return (rd_kafka_queue_t *)(void *)&answer;
}

bool __wrap_topic_ids_take(rd_kafka_queue_t *queue, int64_t wait_us, topic_id_fn *tell, void *owner)
{
    (void)wait_us;
    assert_ptr_equal(queue, &answer);
    if (scene.id)
    {
        tell(owner, "commands", scene.id);
        tell(owner, "others", "of no concern");
    }
    return scene.id != NULL;
}

rd_kafka_conf_t *__wrap_clients_conf(const struct settings *settings, enum client_kind kind, struct buffer *reterr)
{
    (void)settings, (void)kind, (void)reterr;
    return (rd_kafka_conf_t *)(void *)&client;
}

rd_kafka_t *__wrap_clients_new(enum client_kind kind, rd_kafka_conf_t *conf, struct buffer *reterr)
{
    (void)kind, (void)conf, (void)reterr;
    return (rd_kafka_t *)(void *)&client;
}

bool __wrap_clients_destroy(rd_kafka_t *destroyed, int64_t wait_us)
{
    (void)destroyed, (void)wait_us;
    return true;
}

void __wrap_rd_kafka_queue_destroy(rd_kafka_queue_t *queue)
{
    assert_ptr_equal(queue, &answer);
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.settings.protections.topic_ids = true;
    scene.watch.settings = &scene.settings;
    scene.tells = true;
    scene.now_us = monotonic_us();
    for (int i = 0; i < 2; i++)
        scene.owned[i] = owned_new("commands", i, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    topic_watch_done(&scene.watch);
    for (int i = 0; i < 2; i++)
        owned_release(scene.owned[i], 1);
    return 0;
}

/* So many seconds later. */
static void step(int seconds)
{
    scene.now_us += seconds * INT64_C(1000000);
    topic_watch_step(&scene.watch, scene.owned, 2, scene.now_us);
}

static void learn(const char *id)
{
    scene.id = id;
    topic_watch_learn(&scene.watch, scene.owned, 2, 1000);
}

static void a_topic_with_another_id_is_noticed_with_both(void **state)
{
    (void)state;
    learn("former");
    step(TOPIC_WATCH_S + 1);
    step(0);
    assert_false(owned_is_recreated(scene.owned[0]));
    scene.id = "present";
    step(TOPIC_WATCH_S + 1);
    step(0);
    for (int i = 0; i < 2; i++)
    {
        assert_true(owned_is_recreated(scene.owned[i]));
        assert_string_equal(scene.owned[i]->shared.topic_id, "former");
        assert_string_equal(scene.owned[i]->shared.present_id, "present");
    }
}

static void a_takeover_that_was_told_no_id_takes_the_first_one_after_it(void **state)
{
    (void)state;
    learn(NULL);
    assert_string_equal(scene.owned[0]->shared.topic_id, "");
    scene.id = "first";
    step(TOPIC_WATCH_S + 1);
    step(0);
    assert_string_equal(scene.owned[0]->shared.topic_id, "first");
    assert_false(owned_is_recreated(scene.owned[0]));
    scene.id = "second";
    step(TOPIC_WATCH_S + 1);
    step(0);
    assert_true(owned_is_recreated(scene.owned[0]));
}

/* The answer may be of before that. */
static void a_question_of_before_a_takeover_is_forgotten(void **state)
{
    (void)state;
    learn("former");
    scene.id = NULL;
    step(TOPIC_WATCH_S + 1);
    assert_non_null(scene.watch.answer);
    learn("present");
    assert_null(scene.watch.answer);
}

static void one_question_is_out_at_a_time_and_none_too_soon(void **state)
{
    (void)state;
    learn("former");
    assert_int_equal(scene.asked, 1);
    step(TOPIC_WATCH_S - 1);
    assert_int_equal(scene.asked, 1);
    scene.id = NULL;
    step(TOPIC_WATCH_S);
    step(2 * TOPIC_WATCH_S);
    assert_int_equal(scene.asked, 2);
}

static void nobody_is_asked_where_ids_are_not_told(void **state)
{
    (void)state;
    scene.tells = false;
    learn("former");
    step(TOPIC_WATCH_S + 1);
    assert_int_equal(scene.asked, 0);
    assert_null(scene.watch.client);
    scene.tells = true;
    scene.settings.protections.topic_ids = false;
    step(TOPIC_WATCH_S + 1);
    assert_int_equal(scene.asked, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_topic_with_another_id_is_noticed_with_both),
        TEST(a_takeover_that_was_told_no_id_takes_the_first_one_after_it),
        TEST(a_question_of_before_a_takeover_is_forgotten),
        TEST(one_question_is_out_at_a_time_and_none_too_soon),
        TEST(nobody_is_asked_where_ids_are_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
