/* Explain on PostgreSQL: the verdict on one command, its story, and the page of an aggregate. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/engine.h"
#include "worker/admin/explain.h"

static PGresult *rows; /* of the last question */
static struct buffer fault;

static int set_up(void **state)
{
    rows = NULL;
    fault = BUFFER_EMPTY;
    return engine_set_up(state);
}

static int tear_down(void **state)
{
    PQclear(rows);
    buffer_done(&fault);
    return engine_tear_down(state);
}

static void take(PGresult *answer)
{
    PQclear(rows);
    rows = answer;
    if (rows == NULL)
        fail_msg("%.*s", (int)fault.size, fault.at);
}

static void ask(struct explain_target target)
{
    take(explain_command(engine.sql, &target, &fault));
    assert_int_equal(PQntuples(rows), 1);
    assert_int_equal(PQnfields(rows), EXPLAIN_COLUMN__COUNT);
}

static void ask_id(const char *id)
{
    ask((struct explain_target){ .source = "/test", .id = id });
}

static const char *field(int column)
{
    const char *text = query_text(rows, 0, column);
    return text ? text : "(null)";
}

static void assert_has(int column, const char *part)
{
    if (strstr(field(column), part) == NULL)
        fail_msg("column %d without \"%s\": %s", column, part, field(column));
}

static void publish_below(long long offset)
{
    engine_ask("INSERT INTO interlock.partition_published (partition_id, fence, published) "
               "SELECT id, fence, %lld FROM interlock.partition_owner ON CONFLICT (partition_id) "
               "DO UPDATE SET published = excluded.published",
               offset);
}

static long long act(const char *verb)
{
    return strtoll(engine_ask("INSERT INTO interlock.operator_action (verb, actor, host, version, reason) "
                              "VALUES ('%s', 'anna', 'host', '1', 'because') RETURNING id",
                              verb),
                   NULL, 10);
}

static void park(const char *id, const char *reason, const char *sets)
{
    engine_ask("INSERT INTO interlock.parked_command (identity, kafka_offset, fence, partition_id, due_at, blocks, "
               "waits, reason, aggregate, command_source, command_id, command_type, value) VALUES "
               "(encode(substr(sha256('/test'::bytea || '\\x00'::bytea || '%s'::bytea), 1, 16), 'hex')::uuid, 200, 1, "
               "%d, now() + interval '1 hour', true, false, '%s', 'ticket/7', '/test', '%s', 'ticket.escalate', "
               "'bytes')",
               id, (int)engine.partitions[0].partition_id, reason, id);
    if (sets)
        engine_ask("UPDATE interlock.parked_command SET %s WHERE command_id = '%s'", sets, id);
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void an_applied_command_is_found_by_identity_position_and_event(void **state)
{
    char event[64];
    (void)state;

    engine_run_one(engine_create(7));
    publish_below(1);
    snprintf(event, sizeof(event), "%s", engine_ask("SELECT event_id FROM interlock.audit_event"));
    const struct explain_target targets[] = { { .source = "/test", .id = "create-7" },
                                              { .topic = "commands", .partition = "0", .offset = "0" },
                                              { .event = event } };
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++)
    {
        ask(targets[i]);
        assert_string_equal(field(EXPLAIN_VERDICT), "applied");
        assert_has(EXPLAIN_HEADLINE, ": ticket/7");
        assert_has(EXPLAIN_HEADLINE, "; its event is published");
        assert_string_equal(field(EXPLAIN_NEXT), "nothing to do; its aggregate: interlock explain --key ticket/7");
        assert_has(EXPLAIN_STORY, "  applied in ");
        assert_string_equal(field(EXPLAIN_TOPIC), "commands");
        assert_string_equal(field(EXPLAIN_PARTITION), "0");
        assert_string_equal(field(EXPLAIN_OFFSET), "0");
        assert_string_equal(field(EXPLAIN_AGGREGATE), "ticket/7");
        assert_string_equal(field(EXPLAIN_ANSWERED), "t");
        assert_string_equal(field(EXPLAIN_EVENT), event);
        assert_string_equal(field(EXPLAIN_SOURCE), "/test");
        assert_string_equal(field(EXPLAIN_ID), "create-7");
    }
}

static void an_answer_that_is_not_out_yet_is_not_published(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    publish_below(0);
    ask_id("create-7");
    assert_string_equal(field(EXPLAIN_VERDICT), "answered but not published");
    assert_string_equal(field(EXPLAIN_ANSWERED), "f");
    assert_string_equal(field(EXPLAIN_NEXT), "interlock status");
}

static void a_refusal_says_its_reason_in_detail_to_those_who_may_read_it(void **state)
{
    (void)state;
    engine_run_one(engine_escalate(99, "e-1"));
    publish_below(1);
    ask_id("e-1");
    assert_string_equal(field(EXPLAIN_VERDICT), "rejected");
    assert_has(EXPLAIN_HEADLINE, "ticket/99: not_found, no row was found");
    char event[64];
    snprintf(event, sizeof(event), "%s", field(EXPLAIN_EVENT));
    take(explain_metadata(engine.sql, event, &fault));
    assert_int_equal(PQntuples(rows), 1);
    engine_ask("CREATE ROLE explain_nobody_%d", (int)PQbackendPID(engine.sql));
    engine_ask("GRANT USAGE ON SCHEMA interlock TO explain_nobody_%d", (int)PQbackendPID(engine.sql));
    engine_ask("SET ROLE explain_nobody_%d", (int)PQbackendPID(engine.sql));
    PGresult *none = explain_metadata(engine.sql, event, &fault);
    engine_ask("RESET ROLE");
    engine_ask("DROP OWNED BY explain_nobody_%d", (int)PQbackendPID(engine.sql));
    engine_ask("DROP ROLE explain_nobody_%d", (int)PQbackendPID(engine.sql));
    assert_null(none);
    assert_int_equal(fault.size, 0);
}

static void a_command_that_nobody_knows_has_no_verdict(void **state)
{
    (void)state;
    ask_id("c-1");
    assert_string_equal(field(EXPLAIN_VERDICT), "(null)");
    ask((struct explain_target){ .topic = "commands", .partition = "0", .offset = "5" });
    assert_string_equal(field(EXPLAIN_VERDICT), "(null)");
}

/* --- parked ------------------------------------------------------------------------------------------------------ */

static void a_parked_command_says_what_it_waits_for(void **state)
{
    static const struct
    {
        const char *reason, *verdict, *headline, *next;
    } cases[] = {
        { "notbefore", "parked early", "ticket/7, due ", "wait; or let it return now: interlock parked release" },
        { "held", "parked held", "its row was busy when it was tried 1 times", "end the session that holds the row" },
        { "behind", "parked behind", "behind nothing any more: it returns now", "interlock explain --key ticket/7" },
        { "redriven", "in flight", "brought back by an operator, not returned yet", NULL },
        { "replayed", "in flight", "not returned yet", NULL },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        park("p-1", cases[i].reason, NULL);
        ask_id("p-1");
        assert_string_equal(field(EXPLAIN_VERDICT), cases[i].verdict);
        assert_has(EXPLAIN_HEADLINE, cases[i].headline);
        assert_has(EXPLAIN_NEXT, cases[i].next ? cases[i].next : "");
        assert_has(EXPLAIN_STORY, "parked: ");
        assert_string_equal(field(EXPLAIN_ANSWERED), "f");
        engine_ask("DELETE FROM interlock.parked_command");
    }
}

static void the_command_in_front_is_named(void **state)
{
    (void)state;
    park("p-1", "notbefore", NULL);
    park("p-2", "behind", NULL);
    ask_id("p-2");
    assert_has(EXPLAIN_HEADLINE, "behind /test p-1 (notbefore)");
}

static void a_paused_command_names_its_pause(void **state)
{
    char sets[64];
    (void)state;

    long long action = act("pause");
    snprintf(sets, sizeof(sets), "pause_id = %s",
             engine_ask("INSERT INTO interlock.pause (action_id, scope, target) VALUES (%lld, 'type', "
                        "'ticket.escalate') RETURNING id",
                        action));
    park("p-1", "paused", sets);
    ask_id("p-1");
    assert_string_equal(field(EXPLAIN_VERDICT), "paused");
    assert_has(EXPLAIN_HEADLINE, "type ticket.escalate by anna: because, until it is resumed");
    assert_string_equal(field(EXPLAIN_NEXT), "interlock resume 1");
}

static void a_cancelled_command_returns_to_be_rejected(void **state)
{
    char sets[64];
    (void)state;

    snprintf(sets, sizeof(sets), "cancelled_by = %lld", act("parked cancel"));
    park("p-1", "notbefore", sets);
    ask_id("p-1");
    assert_string_equal(field(EXPLAIN_VERDICT), "in flight");
    assert_has(EXPLAIN_HEADLINE, "it returns to be rejected as cancelled: action 1 (parked cancel by anna, ");
}

static void a_parked_command_is_found_where_its_copy_is(void **state)
{
    (void)state;
    park("p-1", "notbefore", "returned_at = now(), returned_offset = 300");
    ask((struct explain_target){ .topic = "commands", .partition = "0", .offset = "300" });
    assert_string_equal(field(EXPLAIN_VERDICT), "parked early");
    assert_string_equal(field(EXPLAIN_OFFSET), "200");
    ask((struct explain_target){ .topic = "commands", .partition = "1", .offset = "300" });
    assert_string_equal(field(EXPLAIN_VERDICT), "(null)");
}

/* --- dead letters, and what is forgotten ------------------------------------------------------------------------- */

static void put_in_dead_letters(long long offset, const char *state)
{
    engine_ask(
        "INSERT INTO interlock.dead_letter (kafka_offset, fence, partition_id, digest, reason, says, key, state) "
        "VALUES (%lld, 1, %d, sha256('x'), 'not_json', 'a comma is missing', 'ticket/7', '%s')",
        offset, (int)engine.partitions[0].partition_id, state);
}

static void a_dead_letter_says_its_reason_and_its_state(void **state)
{
    (void)state;
    put_in_dead_letters(200, "open");
    ask((struct explain_target){ .topic = "commands", .partition = "0", .offset = "200" });
    assert_string_equal(field(EXPLAIN_VERDICT), "dead letter");
    assert_has(EXPLAIN_HEADLINE, "(open) since ");
    assert_has(EXPLAIN_HEADLINE, ": not_json: a comma is missing");
    assert_string_equal(field(EXPLAIN_NEXT), "interlock dlq show commands/0/200");
}

static void the_letter_of_an_answered_command_is_part_of_its_story(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    publish_below(1);
    put_in_dead_letters(0, "resolved");
    ask((struct explain_target){ .topic = "commands", .partition = "0", .offset = "0" });
    assert_string_equal(field(EXPLAIN_VERDICT), "applied");
    assert_has(EXPLAIN_STORY, "dead letter commands/0/0, not_json\n");
}

static void an_answer_whose_inbox_row_was_pruned_is_forgotten(void **state)
{
    const struct explain_target target = { .source = "/test", .id = "create-7" };
    (void)state;

    engine_run_one(engine_create(7));
    publish_below(1);
    engine_ask("DELETE FROM interlock.inbox");
    ask(target);
    assert_string_equal(field(EXPLAIN_VERDICT), "(null)");
    take(explain_forgotten(engine.sql, &target, &fault));
    assert_int_equal(PQntuples(rows), 0); /* nothing was ever pruned */
    engine_ask("UPDATE interlock.partition_published SET pruned_below = 1 WHERE partition_id = %d",
               (int)engine.partitions[0].partition_id);
    act("prune");
    take(explain_forgotten(engine.sql, &target, &fault));
    assert_int_equal(PQntuples(rows), 1);
    assert_string_equal(field(EXPLAIN_VERDICT), "forgotten");
    assert_has(EXPLAIN_HEADLINE, "applied ");
    assert_has(EXPLAIN_HEADLINE, "its inbox row was pruned: action 1 by anna, ");
    assert_string_equal(field(EXPLAIN_NEXT), "nothing to do; sent again, it would be a new command");
    assert_string_equal(field(EXPLAIN_ANSWERED), "t");
}

/* --- positions --------------------------------------------------------------------------------------------------- */

static void a_position_says_what_was_published_and_pruned(void **state)
{
    const struct explain_target target = { .topic = "commands", .partition = "0" },
                                unknown = { .topic = "none", .partition = "0" };
    (void)state;

    take(explain_place(engine.sql, &unknown, &fault));
    assert_string_equal(field(EXPLAIN_PLACE_PUBLISHED), "(null)");
    assert_string_equal(field(EXPLAIN_PLACE_PRUNED), "0");
    assert_string_equal(field(EXPLAIN_PLACE_PRUNE), "(null)");
    publish_below(42);
    engine_ask("UPDATE interlock.partition_published SET pruned_below = 7");
    act("prune");
    take(explain_place(engine.sql, &target, &fault));
    assert_string_equal(field(EXPLAIN_PLACE_PUBLISHED), "42");
    assert_string_equal(field(EXPLAIN_PLACE_PRUNED), "7");
    assert_has(EXPLAIN_PLACE_PRUNE, "action 1 by anna, ");
    assert_string_equal(field(EXPLAIN_PLACE_PAUSE), "(null)");
}

static void a_pause_of_the_position_is_named_while_it_is_in_force(void **state)
{
    static const struct
    {
        const char *scope, *target, *ends, *says;
    } cases[] = { { "all", "", "NULL", "all by anna: because, until it is resumed" },
                  { "topic", "commands", "now() + interval '1 hour'", "topic commands by anna: because, until 2" },
                  { "partition", "commands/0", "NULL", "partition commands/0 by anna" },
                  { "partition", "commands/1", "NULL", "(null)" },
                  { "topic", "others", "NULL", "(null)" },
                  { "type", "ticket.create", "NULL", "(null)" },
                  { "all", "", "now() - interval '1 s'", "(null)" } };
    const struct explain_target target = { .topic = "commands", .partition = "0" };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        engine_ask("INSERT INTO interlock.pause (action_id, scope, target, ends_at) VALUES (%lld, '%s', '%s', %s)",
                   act("pause"), cases[i].scope, cases[i].target, cases[i].ends);
        take(explain_place(engine.sql, &target, &fault));
        assert_has(EXPLAIN_PLACE_PAUSE, cases[i].says);
        engine_ask("UPDATE interlock.pause SET resumed_at = now()");
    }
}

/* --- workers ----------------------------------------------------------------------------------------------------- */

static void only_workers_that_were_seen_lately_are_asked(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.worker_seen (slot, pid, started_at, seen_at, ready, host, version, http) VALUES "
               "(2, 1, now(), now(), true, 'h', '1', 'two:1'), (1, 1, now(), now(), true, 'h', '1', 'one:1'), "
               "(3, 1, now(), now() - interval '61 s', true, 'h', '1', 'three:1'), "
               "(4, 1, now(), now(), true, 'h', '1', NULL)");
    take(explain_workers(engine.sql, &fault));
    assert_int_equal(PQntuples(rows), 2);
    assert_string_equal(PQgetvalue(rows, 0, 0), "one:1");
    assert_string_equal(PQgetvalue(rows, 1, 1), "2");
}

static const char status[] =
    "{\"cells\":[{\"waits_for\":null,\"held\":{\"keys\":0,\"longest\":[]},\"partitions\":[{\"topic\":\"commands\","
    "\"partition\":1,\"taken\":false,\"watermark\":1,\"in_flight\":1}]},{\"waits_for\":\"Kafka\",\"held\":{\"keys\":1,"
    "\"longest\":[{\"key\":\"ticket/7\",\"held_s\":3,\"reason\":\"busy\",\"topic\":\"commands\",\"partition\":0,"
    "\"offset\":41,\"commands\":2}]},\"partitions\":[{\"topic\":\"commands\",\"partition\":0,\"taken\":true,"
    "\"watermark\":40,\"in_flight\":5}]}]}";

static void the_owner_of_a_partition_says_where_it_is(void **state)
{
    struct explain_target target = { .topic = "commands", .partition = "0", .offset = "50" };
    (void)state;

    take(explain_owner(engine.sql, status, &target, "ticket/8", &fault));
    assert_int_equal(PQntuples(rows), 1);
    assert_string_equal(field(EXPLAIN_OWNER_WATERMARK), "40");
    assert_string_equal(field(EXPLAIN_OWNER_IN_FLIGHT), "5");
    assert_string_equal(field(EXPLAIN_OWNER_WAITS_FOR), "Kafka");
    assert_string_equal(field(EXPLAIN_OWNER_HELD_KEY), "(null)");
    take(explain_owner(engine.sql, status, &target, "ticket/7", &fault));
    assert_string_equal(field(EXPLAIN_OWNER_HELD_KEY), "ticket/7");
    assert_string_equal(field(EXPLAIN_OWNER_HELD_S), "3");
    assert_string_equal(field(EXPLAIN_OWNER_HELD_WHY), "busy");
    assert_string_equal(field(EXPLAIN_OWNER_HELD_OFFSET), "41");
    assert_string_equal(field(EXPLAIN_OWNER_HELD_COMMANDS), "2");
    target.offset = "41";
    take(explain_owner(engine.sql, status, &target, NULL, &fault));
    assert_string_equal(field(EXPLAIN_OWNER_HELD_KEY), "ticket/7");
    target.partition = "1"; /* which is not taken */
    take(explain_owner(engine.sql, status, &target, NULL, &fault));
    assert_int_equal(PQntuples(rows), 0);
}

static void a_worker_says_whether_it_holds_a_command_back(void **state)
{
    (void)state;
    assert_true(explain_holds_back(engine.sql, status));
    assert_false(explain_holds_back(engine.sql, "{\"cells\":[{\"held\":{\"keys\":0}}]}"));
    assert_false(explain_holds_back(engine.sql, "no JSON"));
}

/* --- an aggregate ------------------------------------------------------------------------------------------------ */

/* The kinds of the page of ticket/7, in their order. */
static const char *kinds(const char *last)
{
    static char text[128];
    size_t used = 0;

    take(explain_key(engine.sql, "ticket/7", last, &fault));
    text[0] = '\0';
    for (int row = 0; row < PQntuples(rows); row++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", row ? " " : "",
                                 PQgetvalue(rows, row, EXPLAIN_KEY_KIND));
    return text;
}

static void the_page_of_an_aggregate_has_its_answers_letters_and_parked_commands(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine_run_one(engine_escalate(7, "e-1"));
    engine_run_one(engine_escalate(7, "e-2"));
    put_in_dead_letters(200, "open");
    put_in_dead_letters(201, "discarded");
    park("p-1", "notbefore", NULL);
    assert_string_equal(kinds("2"), "head answer answer letter parked");
    assert_string_equal(field(EXPLAIN_KEY_LINE),
                        "parked notbefore: 1 commands wait; ticket/7 is at version 3, 1 open dead letters");
    assert_string_equal(field(EXPLAIN_KEY_NEXT), "interlock explain --source /test --id p-1");
    assert_string_equal(field(EXPLAIN_KEY_LOOK), "t");
    assert_non_null(strstr(PQgetvalue(rows, 1, EXPLAIN_KEY_LINE), "version 1->2  ticket.escalate  /test e-1"));
    assert_non_null(strstr(PQgetvalue(rows, 2, EXPLAIN_KEY_LINE), "version 2->3  ticket.escalate  /test e-2"));
    assert_non_null(strstr(PQgetvalue(rows, 3, EXPLAIN_KEY_LINE), "dead letter not_json  commands/0/200"));
    assert_non_null(strstr(PQgetvalue(rows, 4, EXPLAIN_KEY_LINE), "notbefore, due "));
}

static void the_page_of_an_aggregate_begins_with_what_is_to_do(void **state)
{
    (void)state;
    assert_string_equal(kinds("20"), "head");
    assert_string_equal(field(EXPLAIN_KEY_LINE), "not found: ticket/7 has no answer, 0 open dead letters");
    assert_string_equal(field(EXPLAIN_KEY_LOOK), "t");
    engine_run_one(engine_create(7));
    assert_string_equal(kinds("20"), "head answer");
    assert_string_equal(field(EXPLAIN_KEY_LINE), "nothing waits: ticket/7 is at version 1, 0 open dead letters");
    assert_string_equal(field(EXPLAIN_KEY_NEXT), "nothing to do");
    assert_string_equal(field(EXPLAIN_KEY_LOOK), "f");
    put_in_dead_letters(200, "open");
    assert_string_equal(kinds("20"), "head answer letter");
    assert_string_equal(field(EXPLAIN_KEY_NEXT), "interlock dlq show commands/0/200");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_applied_command_is_found_by_identity_position_and_event),
        TEST(an_answer_that_is_not_out_yet_is_not_published),
        TEST(a_refusal_says_its_reason_in_detail_to_those_who_may_read_it),
        TEST(a_command_that_nobody_knows_has_no_verdict),
        TEST(a_parked_command_says_what_it_waits_for),
        TEST(the_command_in_front_is_named),
        TEST(a_paused_command_names_its_pause),
        TEST(a_cancelled_command_returns_to_be_rejected),
        TEST(a_parked_command_is_found_where_its_copy_is),
        TEST(a_dead_letter_says_its_reason_and_its_state),
        TEST(the_letter_of_an_answered_command_is_part_of_its_story),
        TEST(an_answer_whose_inbox_row_was_pruned_is_forgotten),
        TEST(a_position_says_what_was_published_and_pruned),
        TEST(a_pause_of_the_position_is_named_while_it_is_in_force),
        TEST(only_workers_that_were_seen_lately_are_asked),
        TEST(the_owner_of_a_partition_says_where_it_is),
        TEST(a_worker_says_whether_it_holds_a_command_back),
        TEST(the_page_of_an_aggregate_has_its_answers_letters_and_parked_commands),
        TEST(the_page_of_an_aggregate_begins_with_what_is_to_do),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
