/* wrap: delivery_decode */
/* Trials: what a child process says of each command, and what is said when one ends it. */
#include "tests/fixtures/cmocka.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumers/admin/trial.h"
#include "consumers/message/delivery_pool.h"
#include "tests/fixtures/engine.h"
#include "worker/base/identity.h"

enum
{
    LETTERS_MAX = 8,
};

static struct
{
    struct delivery_pool *pool;
    struct delivery *deliveries[LETTERS_MAX];
    int count;
    struct trial_result *results;
    struct buffer fault;
} scene;

/* A decoder with defects: some values end the process that reads them. */
delivery_decode_fn __real_delivery_decode, __wrap_delivery_decode;

enum decode_result __wrap_delivery_decode(struct delivery *delivery, struct arena *arena, struct command *ret)
{
    if (span_is(delivery->value, "kill"))
        raise(SIGKILL);
    if (span_is(delivery->value, "exit"))
        _exit(7);
    if (span_is(delivery->value, "exhaust"))
        return DECODE_MEMORY;
    return __real_delivery_decode(delivery, arena, ret);
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.pool = delivery_pool_new();
    return scene.pool ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    trials_free(scene.results, scene.count);
    for (int i = 0; i < scene.count; i++)
        delivery_pool_give_back(scene.pool, scene.deliveries[i]);
    delivery_pool_free(scene.pool);
    buffer_done(&scene.fault);
    return 0;
}

static void add_value(const char *value)
{
    struct delivery *delivery = delivery_pool_copy(scene.pool, SPAN_NULL, span_of(value), NULL);

    assert_true(scene.count < LETTERS_MAX);
    delivery->partition = &engine.partitions[0];
    delivery->offset = scene.count;
    scene.deliveries[scene.count++] = delivery;
}

static void add_escalation(const char *id, int ticket, const char *more)
{
    char value[512];

    snprintf(value, sizeof(value),
             "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/test\",\"type\":\"ticket.escalate\",%s"
             "\"tenant\":\"acme\",\"data\":{\"ticket_id\":%d}}",
             id, more, ticket);
    add_value(value);
}

static void run(const struct settings *settings, bool decides)
{
    scene.results = trials_run(settings, "test", scene.deliveries, scene.count, decides, &scene.fault);
    if (scene.results == NULL)
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static void assert_result(int index, enum trial_kind kind, const char *says)
{
    const struct trial_result *result = &scene.results[index];

    if (result->kind != kind || strcmp(result->says, says) != 0)
        fail_msg("%d: kind %d, \"%s\"", index, (int)result->kind, result->says);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void a_command_that_can_be_read_is_named(void **state)
{
    uint8_t identity[DIGEST_SIZE];
    (void)state;

    add_escalation("e-1", 7, "");
    run(&engine.settings, false);
    assert_result(0, TRIAL_READ, "");
    const struct trial_result *result = &scene.results[0];
    assert_true(result->has_names);
    assert_true(identity_make(SPAN_LITERAL("/test"), SPAN_LITERAL("e-1"), identity));
    assert_memory_equal(result->identity, identity, DIGEST_SIZE);
    assert_string_equal(result->aggregate, "ticket/7");
    assert_string_equal(result->source, "/test");
    assert_string_equal(result->id, "e-1");
    assert_string_equal(result->type, "ticket.escalate");
    assert_string_equal(result->tenant, "acme");
}

static void a_message_that_is_no_command_says_why(void **state)
{
    (void)state;
    add_value("no command");
    run(&engine.settings, false);
    assert_result(0, TRIAL_UNREADABLE, "not_json");
    assert_false(scene.results[0].has_names);
}

static void the_second_letter_of_a_command_is_a_repetition(void **state)
{
    (void)state;
    add_escalation("e-1", 7, "");
    add_value("no command");
    add_escalation("e-2", 7, "");
    add_escalation("e-1", 7, "");
    run(&engine.settings, false);
    assert_result(2, TRIAL_READ, "");
    assert_result(3, TRIAL_REPEATED, "");
}

static void without_memory_a_command_is_undecided(void **state)
{
    (void)state;
    add_value("exhaust");
    run(&engine.settings, false);
    assert_result(0, TRIAL_UNDECIDED, "out of memory");
}

static void the_end_of_a_child_is_told_and_the_next_child_goes_on(void **state)
{
    (void)state;
    add_escalation("e-1", 7, "");
    add_value("kill");
    add_escalation("e-2", 7, "");
    add_value("exit");
    add_escalation("e-1", 7, "");
    run(&engine.settings, false);
    assert_result(0, TRIAL_READ, "");
    assert_result(1, TRIAL_ENDS, "signal 9 in reading");
    assert_result(2, TRIAL_READ, "");
    assert_result(3, TRIAL_ENDS, "exit 7 in reading");
    assert_result(4, TRIAL_REPEATED, "");
}

/* --- deciding ---------------------------------------------------------------------------------------------------- */

static int set_up_engine(void **state)
{
    return engine_set_up(state) || set_up(state);
}

static int tear_down_engine(void **state)
{
    return tear_down(state) || engine_tear_down(state);
}

static void a_command_is_decided_on_the_rows_of_now_and_writes_nothing(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    add_escalation("e-1", 7, "");
    run(&engine.settings, true);
    assert_result(0, TRIAL_DECIDED, "applied");
    assert_true(scene.results[0].has_versions);
    assert_int_equal(scene.results[0].version_from, 1);
    assert_int_equal(scene.results[0].version_to, 2);
    assert_sql("0 1", "SELECT level || ' ' || version FROM interlock.ticket WHERE id = 7");
    assert_sql("1", "SELECT count(*) FROM interlock.inbox");
}

static void commands_of_an_aggregate_are_decided_one_after_another(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine_run_one(engine_create(8));
    add_escalation("e-1", 7, "");
    add_escalation("e-2", 8, "");
    add_escalation("e-3", 7, "");
    run(&engine.settings, true);
    assert_int_equal(scene.results[1].version_to, 2);
    assert_result(2, TRIAL_DECIDED, "applied");
    assert_int_equal(scene.results[2].version_from, 2);
    assert_int_equal(scene.results[2].version_to, 3);
}

static void a_refusal_has_its_reason(void **state)
{
    (void)state;
    add_escalation("e-1", 99, "");
    run(&engine.settings, true);
    assert_result(0, TRIAL_DECIDED, "rejected: not_found");
    assert_false(scene.results[0].has_versions);
}

static void a_command_that_is_early_waits(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    add_escalation("e-1", 7, "\"notbefore\":\"2999-01-01T00:00:00Z\",");
    run(&engine.settings, true);
    assert_int_equal(scene.results[0].kind, TRIAL_WAITS);
}

static void only_what_can_be_read_is_decided(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    add_value("no command");
    add_value("kill");
    add_escalation("e-1", 7, "");
    run(&engine.settings, true);
    assert_result(0, TRIAL_UNREADABLE, "not_json");
    assert_result(1, TRIAL_ENDS, "signal 9 in reading");
    assert_result(2, TRIAL_DECIDED, "applied");
}

static void without_postgresql_every_command_is_undecided(void **state)
{
    static char nowhere[] = "postgresql://127.0.0.1:1/none";
    struct settings settings = engine.settings;
    (void)state;

    settings.database.url = nowhere;
    add_escalation("e-1", 7, "");
    add_escalation("e-2", 7, "");
    run(&settings, true);
    for (int i = 0; i < 2; i++)
    {
        assert_int_equal(scene.results[i].kind, TRIAL_UNDECIDED);
        assert_true(*scene.results[i].says != '\0');
    }
}

#define READING(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define DECIDING(name) cmocka_unit_test_setup_teardown(name, set_up_engine, tear_down_engine)

int main(void)
{
    const struct CMUnitTest reading[] = {
        READING(a_command_that_can_be_read_is_named),
        READING(a_message_that_is_no_command_says_why),
        READING(the_second_letter_of_a_command_is_a_repetition),
        READING(without_memory_a_command_is_undecided),
        READING(the_end_of_a_child_is_told_and_the_next_child_goes_on),
    };
    const struct CMUnitTest deciding[] = {
        DECIDING(a_command_is_decided_on_the_rows_of_now_and_writes_nothing),
        DECIDING(commands_of_an_aggregate_are_decided_one_after_another),
        DECIDING(a_refusal_has_its_reason),
        DECIDING(a_command_that_is_early_waits),
        DECIDING(only_what_can_be_read_is_decided),
        DECIDING(without_postgresql_every_command_is_undecided),
    };
    signal(SIGXFSZ, SIG_IGN); /* as the program does: a child writes no file */
    int failed = cmocka_run_group_tests(reading, NULL, NULL);
    return failed || !engine_has_postgresql()
               ? failed
               : cmocka_run_group_tests(deciding, engine_group_set_up, engine_group_tear_down);
}
