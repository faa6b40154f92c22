/* Claims on PostgreSQL: which parked commands may return now (PROTOCOL L4, L5), and where their copies are then. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/parking/claims.h"
#include "tests/fixtures/engine.h"
#include "worker/postgres/advisory_locks.h"

static struct claims *claims;

static PGresult *ask(void *owner, const char *sql, int count, const char *const *values)
{
    PGresult *rows = PQexecParams(engine.sql, sql, count, NULL, values, NULL, NULL, 0);
    (void)owner;

    if (PQresultStatus(rows) != PGRES_TUPLES_OK && PQresultStatus(rows) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(engine.sql));
    return rows;
}

static int set_up(void **state)
{
    int code = engine_set_up(state);
    claims = claims_new(ask, NULL);
    engine_ask("INSERT INTO interlock.partition_published (partition_id, fence, published) "
               "SELECT id, fence, 0 FROM interlock.partition_owner");
    return code || claims == NULL;
}

static int tear_down(void **state)
{
    claims_free(claims);
    return engine_tear_down(state);
}

/* Parked on partition 0, due for a minute, and nothing waits behind it. `sets`: what is different. */
static void park(int number, const char *aggregate, const char *reason, const char *sets)
{
    engine_ask("INSERT INTO interlock.parked_command (identity, kafka_offset, fence, partition_id, due_at, blocks, "
               "waits, reason, aggregate, command_source, command_id, command_type, tenant, value) VALUES "
               "(lpad('%d', 32, '0')::uuid, %d, 1, %d, now() - interval '1 minute', true, false, '%s', '%s', '/test', "
               "'c-%d', 'ticket.escalate', 'acme', 'bytes')",
               number, number, (int)engine.partitions[0].partition_id, reason, aggregate, number);
    if (sets)
        engine_ask("UPDATE interlock.parked_command SET %s WHERE command_id = 'c-%d'", sets, number);
}

/* The numbers of the commands that a look claims, in its order. */
static const char *take(void)
{
    static char text[256];
    size_t used = 0;
    PGresult *rows = claims_take(claims);

    text[0] = '\0';
    for (int row = 0; row < PQntuples(rows); row++)
        if (strcmp(PQgetvalue(rows, row, CLAIM_KIND), CLAIM_COPY) == 0)
            used += (size_t)snprintf(text + used, sizeof(text) - used, used ? " %lld" : "%lld",
                                     strtoll(PQgetvalue(rows, row, CLAIM_IDENTITY) + 24, NULL, 10));
    PQclear(rows);
    return text;
}

/* As time would: everything has its turn again. */
static void pass_time(void)
{
    engine_ask("UPDATE interlock.parked_command SET next_at = NULL");
}

static void pause_commands(const char *scope, const char *target)
{
    engine_ask("INSERT INTO interlock.operator_action (verb, actor, host, version, reason) "
               "VALUES ('pause', 'anna', 'host', '1', 'because')");
    engine_ask("INSERT INTO interlock.pause (action_id, scope, target) "
               "SELECT max(id), '%s', '%s' FROM interlock.operator_action",
               scope, target);
}

static const char *row_of(int number, const char *columns)
{
    return engine_ask("SELECT concat_ws(' ', %s) FROM interlock.parked_command WHERE command_id = 'c-%d'", columns,
                      number);
}

/* --- turns ------------------------------------------------------------------------------------------------------- */

static void commands_that_are_due_are_claimed_once_in_their_order(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    park(2, "ticket/2", "redriven", NULL);
    park(3, "ticket/3", "notbefore", "due_at = now() + interval '1 hour'");
    assert_string_equal(take(), "1 2");
    assert_string_equal(row_of(1, "returns, returned_fence, returned_offset IS NULL, next_at > now()"), "1 1 t t");
    assert_string_equal(row_of(3, "returns, returned_at IS NULL, next_at IS NULL"), "0 t t");
    assert_string_equal(take(), "");
}

static void a_claimed_row_has_all_that_its_copy_is_made_of(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", "kafka_key = 'key', headers = 'headers'");
    PGresult *rows = claims_take(claims);
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_KIND), CLAIM_COPY);
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_RETURNS), "1");
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_TOPIC), "commands");
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_PARTITION), "0");
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_TOKEN), engine_ask("SELECT token FROM interlock.parked_command"));
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_KEY), "\\x6b6579");
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_HEADERS), "\\x68656164657273");
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_VALUE), "\\x6279746573");
    PQclear(rows);
}

static void only_one_returner_of_the_group_looks_at_a_time(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    PGconn *other =
        engine_hold("SELECT pg_advisory_xact_lock(%d, 'interlock'::regnamespace::oid::int)", RETURNER_LOCK_CLASS);
    assert_string_equal(take(), "");
    engine_let_go(other);
    assert_string_equal(take(), "1");
}

static void without_an_owner_nothing_returns_unless_the_partition_is_gone(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    engine_ask("UPDATE interlock.partition_owner SET owner_token = NULL WHERE partition = 0");
    assert_string_equal(take(), "");
    assert_string_equal(row_of(1, "next_at > now() + interval '3 s', returned_at IS NULL"), "t t");
    pass_time();
    assert_string_equal(take(), "");
}

static int no_partitions(void *owner, const char *topic)
{
    (void)owner;
    assert_string_equal(topic, "commands");
    return 0;
}

static void the_commands_of_a_partition_that_is_gone_return(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    engine_ask("UPDATE interlock.partition_owner SET owner_token = NULL WHERE partition = 0");
    claims_find_gone(claims, no_partitions);
    assert_string_equal(take(), "1");
}

/* --- the order within an aggregate ------------------------------------------------------------------------------- */

static void commands_behind_another_wait_while_it_comes_later(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", "due_at = now() + interval '20 s'");
    park(2, "ticket/1", "behind", NULL);
    park(3, "ticket/2", "behind", NULL);
    assert_string_equal(take(), "3");
    assert_string_equal(row_of(2, "next_at = (SELECT due_at FROM interlock.parked_command WHERE command_id = 'c-1')"),
                        "t");
    engine_ask("UPDATE interlock.parked_command SET due_at = now() WHERE command_id = 'c-1'");
    pass_time();
    assert_string_equal(take(), "1");
    assert_string_equal(take(), "2");
}

static void one_that_does_not_block_is_passed_by_all_but_those_that_wait(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", "due_at = now() + interval '20 s', blocks = false");
    park(2, "ticket/1", "behind", NULL);
    park(3, "ticket/1", "behind", "waits = true");
    assert_string_equal(take(), "2");
}

static void one_that_was_held_goes_alone(void **state)
{
    (void)state;
    park(1, "ticket/1", "held", NULL);
    park(2, "ticket/1", "behind", NULL);
    assert_string_equal(take(), "1");
    assert_string_equal(take(), "");
}

static void a_cancelled_one_waits_for_nothing_before_it(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", "due_at = now() + interval '1 hour'");
    pause_commands("type", "job.create");
    park(2, "ticket/1", "behind", "cancelled_by = (SELECT max(id) FROM interlock.operator_action)");
    assert_string_equal(take(), "2");
}

/* --- pauses (PROTOCOL L5) ---------------------------------------------------------------------------------------- */

static void a_paused_command_stays(void **state)
{
    static const struct
    {
        const char *scope, *target;
    } pauses[] = {
        { "all", "" },        { "topic", "commands" }, { "partition", "commands/0" }, { "type", "ticket.escalate" },
        { "tenant", "acme" }, { "key", "ticket/1" }
    };
    (void)state;

    park(1, "ticket/1", "notbefore", NULL);
    for (size_t i = 0; i < sizeof(pauses) / sizeof(*pauses); i++)
    {
        pause_commands(pauses[i].scope, pauses[i].target);
        pass_time();
        assert_string_equal(take(), "");
        engine_ask("UPDATE interlock.pause SET resumed_at = now()");
    }
    pass_time();
    assert_string_equal(take(), "1");
}

static void a_pause_of_something_else_or_one_that_has_ended_keeps_nothing(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    pause_commands("partition", "commands/1");
    pause_commands("key", "ticket/2");
    pause_commands("all", "");
    engine_ask("UPDATE interlock.pause SET ends_at = now() - interval '1 s' WHERE scope = 'all'");
    assert_string_equal(take(), "1");
}

static void a_released_command_passes_a_pause_of_its_type_but_not_of_its_partition(void **state)
{
    (void)state;
    pause_commands("type", "ticket.escalate");
    park(1, "ticket/1", "paused", "released_by = (SELECT max(id) FROM interlock.operator_action)");
    park(2, "ticket/2", "paused", NULL);
    assert_string_equal(take(), "1");
    engine_ask("UPDATE interlock.parked_command SET returned_at = NULL, returns = 0");
    pause_commands("topic", "commands");
    pass_time();
    assert_string_equal(take(), "");
}

/* --- copies ------------------------------------------------------------------------------------------------------ */

/* One whose copy was sent to the offset. */
static void return_one(int64_t offset)
{
    park(1, "ticket/1", "notbefore", NULL);
    assert_string_equal(take(), "1");
    claims_add(claims, "00000000-0000-0000-0000-000000000001", "1", offset, -1);
    claims_report(claims);
    pass_time();
}

static void while_its_copy_is_unread_no_other_is_sent(void **state)
{
    (void)state;
    return_one(41);
    assert_string_equal(row_of(1, "returned_offset, returned_partition_id IS NULL"), "41 t");
    engine_ask("UPDATE interlock.partition_published SET published = 41");
    assert_string_equal(take(), "");
    pass_time();
    engine_ask("UPDATE interlock.partition_published SET published = 42");
    assert_string_equal(take(), "1");
    assert_string_equal(row_of(1, "returns"), "2");
}

static void after_a_rewind_the_place_of_a_copy_says_nothing(void **state)
{
    (void)state;
    return_one(41);
    engine_rewind(0, 100);
    assert_string_equal(take(), "1");
}

static void a_copy_that_was_not_sent_is_tried_again_later_and_later(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", "returns = 4");
    assert_string_equal(take(), "1");
    claims_add(claims, "00000000-0000-0000-0000-000000000001", "5", CLAIM_NOT_SENT, -1);
    claims_report(claims);
    assert_string_equal(row_of(1, "returned_at IS NULL, next_at BETWEEN now() + interval '30 s' AND now() + interval "
                                  "'32 s'"),
                        "t t");
}

static void a_report_of_an_earlier_copy_changes_nothing(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", "returns = 4");
    assert_string_equal(take(), "1");
    claims_add(claims, "00000000-0000-0000-0000-000000000001", "4", 41, -1);
    claims_report(claims);
    assert_string_equal(row_of(1, "returned_offset IS NULL, returned_at IS NOT NULL"), "t t");
}

static void a_copy_in_another_partition_is_remembered_there(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    assert_string_equal(take(), "1");
    claims_add(claims, "00000000-0000-0000-0000-000000000001", "1", 5, 2);
    claims_report(claims);
    pass_time();
    assert_string_equal(row_of(1, "returned_partition_id"),
                        engine_ask("SELECT id FROM interlock.partition_owner WHERE partition = 2"));
    engine_ask("UPDATE interlock.partition_published SET published = 6 WHERE partition_id = %d",
               (int)engine.partitions[0].partition_id);
    assert_string_equal(take(), "");
    pass_time();
    engine_ask("UPDATE interlock.partition_published SET published = 6 WHERE partition_id = %d",
               (int)engine.partitions[2].partition_id);
    assert_string_equal(take(), "1");
}

/* Its partition's end is asked for then. */
static void a_copy_without_a_report_is_named_half_a_minute_later(void **state)
{
    (void)state;
    park(1, "ticket/1", "notbefore", NULL);
    assert_string_equal(take(), "1");
    pass_time();
    PGresult *rows = claims_take(claims);
    assert_string_equal(PQgetvalue(rows, 0, CLAIM_KIND), "last");
    PQclear(rows);
    engine_ask("UPDATE interlock.parked_command SET returned_at = now() - interval '36 s', next_at = NULL");
    rows = claims_take(claims);
    assert_int_equal(PQntuples(rows), 2);
    int unknown = strcmp(PQgetvalue(rows, 0, CLAIM_KIND), CLAIM_UNKNOWN) == 0 ? 0 : 1;
    assert_string_equal(PQgetvalue(rows, unknown, CLAIM_KIND), CLAIM_UNKNOWN);
    assert_string_equal(PQgetvalue(rows, unknown, CLAIM_IDENTITY), "00000000-0000-0000-0000-000000000001");
    assert_string_equal(PQgetvalue(rows, unknown, CLAIM_TOPIC), "commands");
    PQclear(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_that_are_due_are_claimed_once_in_their_order),
        TEST(a_claimed_row_has_all_that_its_copy_is_made_of),
        TEST(only_one_returner_of_the_group_looks_at_a_time),
        TEST(without_an_owner_nothing_returns_unless_the_partition_is_gone),
        TEST(the_commands_of_a_partition_that_is_gone_return),
        TEST(commands_behind_another_wait_while_it_comes_later),
        TEST(one_that_does_not_block_is_passed_by_all_but_those_that_wait),
        TEST(one_that_was_held_goes_alone),
        TEST(a_cancelled_one_waits_for_nothing_before_it),
        TEST(a_paused_command_stays),
        TEST(a_pause_of_something_else_or_one_that_has_ended_keeps_nothing),
        TEST(a_released_command_passes_a_pause_of_its_type_but_not_of_its_partition),
        TEST(while_its_copy_is_unread_no_other_is_sent),
        TEST(after_a_rewind_the_place_of_a_copy_says_nothing),
        TEST(a_copy_that_was_not_sent_is_tried_again_later_and_later),
        TEST(a_report_of_an_earlier_copy_changes_nothing),
        TEST(a_copy_in_another_partition_is_remembered_there),
        TEST(a_copy_without_a_report_is_named_half_a_minute_later),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
