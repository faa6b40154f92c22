#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/admin/bounds.h"
#include "consumers/poll/cell.h"
#include "worker/settings/key.h"
#include "worker/settings/settings.h"

static struct
{
    struct settings settings;
    struct bounds bounds;
    struct buffer text;
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.text = BUFFER_EMPTY;
    if (!settings_load(&scene.settings, NULL, &scene.text))
        return -1;
    scene.settings.consumers.count = 2;
    scene.settings.worker.lanes = 5;
    scene.settings.redis.enabled = true;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    settings_done(&scene.settings);
    buffer_done(&scene.text);
    return 0;
}

static const int64_t *derive(void)
{
    if (!bounds_derive(&scene.settings, &scene.bounds, &scene.text))
        fail_msg("%.*s", (int)scene.text.size, scene.text.at);
    return scene.bounds.total;
}

static const struct bound_line *line_of(const char *what)
{
    for (int i = 0; i < scene.bounds.count; i++)
        if (strstr(scene.bounds.lines[i].what, what))
            return &scene.bounds.lines[i];
    fail_msg("no line about %s", what);
    return NULL;
}

static void use_bootstrap(const char *list)
{
    free(scene.settings.kafka.bootstrap);
    scene.settings.kafka.bootstrap = strdup(list);
}

static void totals_are_the_sums_of_their_lines(void **state)
{
    int64_t sums[BOUND__COUNT] = { 0 };
    const int64_t *totals = derive();
    (void)state;

    assert_true(scene.bounds.count > 0 && scene.bounds.count < BOUND_LINES_MAX); /* at the limit one would be missing */
    for (int i = 0; i < scene.bounds.count; i++)
        sums[scene.bounds.lines[i].kind] += scene.bounds.lines[i].each * scene.bounds.lines[i].times;
    for (int kind = 0; kind < BOUND__COUNT; kind++)
    {
        assert_true(totals[kind] > 0);
        assert_true(totals[kind] == sums[kind]);
    }
}

static void sessions_follow_from_cells_and_lanes(void **state)
{
    (void)state;
    assert_int_equal(derive()[BOUND_POSTGRESQL], 2 + 2 + 2 * 5);
    assert_int_equal(scene.bounds.total[BOUND_REDIS], 2 * 5);
    scene.settings.redis.enabled = false;
    assert_int_equal(derive()[BOUND_REDIS], 0);
}

static void connections_and_threads_follow_from_the_brokers(void **state)
{
    enum
    {
        CLIENTS = 2 * 6 + 2,
    };
    (void)state;
    use_bootstrap("one:9092");
    assert_int_equal(derive()[BOUND_KAFKA], CLIENTS * (BOUND_BROKERS_MIN + 1));
    use_bootstrap("one:9092,two:9092,three:9092,four:9092,five:9092");
    assert_int_equal(derive()[BOUND_KAFKA], CLIENTS * (5 + 1));
    assert_int_equal(scene.bounds.total[BOUND_THREADS], 4 + 2 * 4 + 2 * 5 + CLIENTS * (3 + 5));
    assert_int_equal(line_of("Kafka, and the wake-up")->times, CLIENTS * (5 + 1) + CLIENTS);
}

static void memory_follows_from_the_caps(void **state)
{
    int64_t before = derive()[BOUND_MEMORY];
    (void)state;

    scene.settings.consumers.in_flight_bytes += 1000000;
    int64_t more = CELL_BYTES_TIMES * INT64_C(1000000) * 2;
    assert_int_equal(derive()[BOUND_MEMORY] - before, more + more / 4); /* and malloc's quarter */
    before = scene.bounds.total[BOUND_MEMORY];
    scene.settings.worker.lanes++;
    assert_true(derive()[BOUND_MEMORY] > before);
}

static void memory_follows_from_the_operators_pairs(void **state)
{
    int64_t before = derive()[BOUND_MEMORY];
    (void)state;

    assert_true(settings_set_pair(&scene.settings.kafka.producer, "queue.buffering.max.kbytes", "1048576"));
    assert_true(derive()[BOUND_MEMORY] > before + 2 * (INT64_C(1) << 30) - (INT64_C(1) << 28));
    assert_true(line_of("events being published")->each == INT64_C(1) << 30);
}

static void pairs_that_librdkafka_refuses_are_told(void **state)
{
    (void)state;
    assert_true(settings_set_pair(&scene.settings.kafka.consumer, "fetch.max.bytes", "many"));
    assert_false(bounds_derive(&scene.settings, &scene.bounds, &scene.text));
    buffer_add_byte(&scene.text, '\0');
    assert_non_null(strstr(scene.text.at, "fetch.max.bytes"));
}

static void a_table_and_json_show_each_line(void **state)
{
    (void)state;
    scene.bounds = (struct bounds){ .count = 2 };
    scene.bounds.lines[0] = (struct bound_line){ BOUND_MEMORY, "a \"batch\"", "fixed", 300, 2 };
    scene.bounds.lines[1] = (struct bound_line){ BOUND_REDIS, "lanes", "worker.lanes", 1, 5 };
    scene.bounds.total[BOUND_MEMORY] = 600;
    scene.bounds.total[BOUND_REDIS] = 5;
    bounds_print(&scene.bounds, false, &scene.text);
    buffer_add_byte(&scene.text, '\0');
    assert_non_null(strstr(scene.text.at, "memory, in bytes (MemoryMax): 600\n"
                                          "           600 =         300 x 2    a \"batch\" (fixed)\n"
                                          "file descriptors (LimitNOFILE): 0\n"));
    buffer_clear(&scene.text);
    bounds_print(&scene.bounds, true, &scene.text);
    buffer_add_byte(&scene.text, '\0');
    assert_non_null(strstr(scene.text.at,
                           "{\"memory\":{\"total\":600,\"lines\":[\n{\"what\":\"a \\\"batch\\\"\",\"setting\":"
                           "\"fixed\",\"each\":300,\"times\":2}]},\n\"descriptors\":{\"total\":0,\"lines\":[]}"));
    assert_non_null(strstr(scene.text.at, "\"redis\":{\"total\":5,\"lines\":[\n{\"what\":\"lanes\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(totals_are_the_sums_of_their_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sessions_follow_from_cells_and_lanes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(connections_and_threads_follow_from_the_brokers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_follows_from_the_caps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_follows_from_the_operators_pairs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pairs_that_librdkafka_refuses_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_and_json_show_each_line, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
