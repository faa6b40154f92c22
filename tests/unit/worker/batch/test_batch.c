#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/engine.h"

/* The rows and answers of a batch for each outcome, on a real PostgreSQL. */

static struct delivery *escalate_with(int arrival, const char *id, const char *more)
{
    char key[32], data[64];
    snprintf(key, sizeof(key), "ticket/%d", arrival);
    snprintf(data, sizeof(data), "{\"ticket_id\":%d}", arrival);
    return engine_command(key, id, "ticket.escalate", more, data);
}

static struct delivery *transition(int arrival, const char *id, const char *status)
{
    char key[32], data[96];
    snprintf(key, sizeof(key), "ticket/%d", arrival);
    snprintf(data, sizeof(data), "{\"ticket_id\":%d,\"status\":\"%s\"}", arrival, status);
    return engine_command(key, id, "ticket.transition", "", data);
}

/* --- outcomes ---------------------------------------------------------------------------------------------------- */

static void an_applied_command_leaves_its_rows_and_its_event(void **state)
{
    (void)state;
    engine_run_one(engine_create(42));
    struct delivery *delivery =
        escalate_with(42, "e-1", "\"actor\":\"user/9\",\"correlationid\":\"c-17\",\"traceparent\":\"00-aa-bb-01\",");
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    assert_sql("1 t 2 user/9 1", "SELECT level || ' ' || left(escalated::text, 1) || ' ' || version || ' ' || "
                                 "modified_by || ' ' || history_count FROM interlock.ticket WHERE id = 42");
    assert_sql("ESCALATION user/9 0", "SELECT action || ' ' || who || ' ' || (previous_state->>'level') "
                                      "FROM interlock.ticket_history WHERE ticket_id = 42 AND action = 'ESCALATION'");
    assert_sql("2", "SELECT count(*) FROM interlock.inbox");
    assert_sql("1 1 1 f", "SELECT partition_id || ' ' || kafka_offset || ' ' || fence || ' ' || left(parked::text, 1) "
                          "FROM interlock.inbox WHERE kafka_offset = 1");
    assert_event(delivery, "data.operation", "\"ESCALATION\"");
    assert_event(delivery, "data.version", "{\"from\":1,\"to\":2}");
    assert_event(delivery, "data.status", "{\"old\":\"NEW\",\"new\":\"NEW\"}");
    assert_event(delivery, "data.metadata",
                 "{\"history_count\":{\"old\":0,\"new\":1},\"level\":{\"old\":0,\"new\":1},\"escalated\":{\"old\":"
                 "false,\"new\":true}}");
    assert_event(delivery, "subject", "\"ticket/42\"");
    assert_event(delivery, "correlationid", "\"c-17\"");
    assert_event(delivery, "causationid", "\"e-1\"");
    assert_string_equal(delivery->event_key, "ticket/42");
    /* The row of the audit and the row of the ticket say the same time, and it is the event's. */
    assert_sql("t",
               "SELECT a.changed_at = t.modified_at AND h.occurred_at = t.modified_at FROM interlock.audit_event a, "
               "interlock.ticket t, interlock.ticket_history h WHERE a.kafka_offset = 1 AND h.action = 'ESCALATION'");
    char expected[64];
    snprintf(expected, sizeof(expected), "\"%s\"",
             engine_ask("SELECT to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
                        "FROM interlock.audit_event WHERE kafka_offset = 1"));
    assert_event(delivery, "time", expected);
}

static void a_created_row_goes_from_version_0_to_1(void **state)
{
    (void)state;
    struct delivery *delivery = engine_create(7);
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    assert_event(delivery, "data.version", "{\"from\":0,\"to\":1}");
    assert_event(delivery, "data.status", "{\"old\":null,\"new\":\"NEW\"}");
    assert_event(delivery, "data.operation", "\"CREATION\"");
    assert_sql("t", "SELECT created_at = modified_at AND modified_at BETWEEN now() - interval '1 minute' AND now() "
                    "FROM interlock.ticket WHERE id = 7");
}

static void an_unchanged_command_writes_nothing_but_its_record(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *delivery = transition(7, "t-1", "NEW");
    engine_run_one(delivery);
    assert_outcome(delivery, "unchanged");
    assert_event(delivery, "data.version", "{\"from\":1,\"to\":1}");
    assert_event(delivery, "data.status", "{\"old\":\"NEW\",\"new\":\"NEW\"}");
    assert_sql("1", "SELECT version FROM interlock.ticket WHERE id = 7");
    assert_sql("2", "SELECT count(*) FROM interlock.audit_event");
}

static void a_refused_transition_leaves_no_trace_in_the_row(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    char before[512];
    snprintf(before, sizeof(before), "%s", engine_ask("SELECT t::text FROM interlock.ticket t WHERE id = 7"));
    struct delivery *delivery = transition(7, "t-1", "CLOSED");
    engine_run_one(delivery);
    assert_outcome(delivery, "rejected:invalid_transition");
    assert_event(delivery, "data.version", "{\"from\":1,\"to\":1}");
    assert_event(delivery, "data.metadata", "{\"from\":\"NEW\",\"to\":\"CLOSED\"}");
    assert_string_equal(engine_ask("SELECT t::text FROM interlock.ticket t WHERE id = 7"), before);
    assert_sql("rejected invalid_transition",
               "SELECT outcome || ' ' || reason FROM interlock.audit_event WHERE kafka_offset = 1");
}

static void a_missing_aggregate_is_not_found_and_has_no_version(void **state)
{
    (void)state;
    struct delivery *delivery = engine_escalate(404, "e-1");
    engine_run_one(delivery);
    assert_outcome(delivery, "rejected:not_found");
    assert_event(delivery, "data.version", "null");
    assert_event(delivery, "subject", "\"ticket/404\"");
    assert_sql("1", "SELECT count(*) FROM interlock.inbox");
}

static void an_expected_version_is_checked_before_the_transition(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *stale = escalate_with(7, "e-1", "\"expectedversion\":5,");
    struct delivery *absent = escalate_with(7, "e-2", "\"expectedversion\":0,");
    struct delivery *right = escalate_with(7, "e-3", "\"expectedversion\":1,");
    struct delivery *late = engine_command("ticket/7", "t-1", "ticket.transition", "\"expectedversion\":1,",
                                           "{\"ticket_id\":7,\"status\":\"CLOSED\"}");
    struct delivery *given[] = { stale, absent, right, late };
    engine_run(given, 4);
    assert_outcome(stale, "rejected:stale_object");
    assert_event(stale, "data.version", "{\"from\":1,\"to\":1}");
    assert_outcome(absent, "rejected:stale_object");
    assert_outcome(right, "applied");
    assert_outcome(late, "rejected:stale_object"); /* the transition would be refused, too */
    assert_event(late, "data.version", "{\"from\":2,\"to\":2}");
}

static void expected_version_0_means_that_it_must_not_exist(void **state)
{
    (void)state;
    struct delivery *first = engine_command("ticket/7", "c-1", "ticket.create", "\"expectedversion\":0,",
                                            "{\"ticket_id\":7,\"priority\":\"LOW\"}");
    struct delivery *second = engine_command("ticket/7", "c-2", "ticket.create", "\"expectedversion\":0,",
                                             "{\"ticket_id\":7,\"priority\":\"LOW\"}");
    struct delivery *third =
        engine_command("ticket/7", "c-3", "ticket.create", "", "{\"ticket_id\":7,\"priority\":\"LOW\"}");
    struct delivery *given[] = { first, second, third };
    engine_run(given, 3);
    assert_outcome(first, "applied");
    assert_outcome(second, "rejected:stale_object");
    assert_outcome(third, "rejected:already_exists");
}

static void wrong_data_and_unknown_types_are_recorded_without_a_row(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *wrong = engine_command("ticket/7", "w-1", "ticket.escalate", "", "{\"ticket_id\":\"seven\"}");
    struct delivery *unknown = engine_command("ticket/7", "w-2", "ticket.explode", "", "{}");
    struct delivery *given[] = { wrong, unknown };
    engine_run(given, 2);
    assert_outcome(wrong, "rejected:invalid_data");
    assert_event(wrong, "data.metadata.parameter", "\"/ticket_id\"");
    assert_event(wrong, "data.operation", "\"ESCALATION\"");
    assert_outcome(unknown, "rejected:unknown_type");
    assert_event(unknown, "data.operation", "null");
    assert_event(unknown, "data.command.type", "\"ticket.explode\"");
    assert_sql("3", "SELECT count(*) FROM interlock.inbox");
}

/* --- ids that are drawn ------------------------------------------------------------------------------------------ */

static void a_created_ticket_without_an_id_gets_the_next_one_that_is_free(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    engine_run_one(engine_create(3));
    struct delivery *given[3];
    for (int i = 0; i < 3; i++)
    {
        char id[16];
        snprintf(id, sizeof(id), "c-%d", i);
        given[i] = engine_command(NULL, id, "ticket.create", "", "{\"priority\":\"HIGH\"}");
    }
    engine_run(given, 3);
    assert_event(given[0], "subject", "\"ticket/2\"");
    assert_event(given[1], "subject", "\"ticket/4\"");
    assert_event(given[2], "subject", "\"ticket/5\"");
    assert_string_equal(given[2]->event_key, "ticket/5");
    assert_event(given[2], "data.version", "{\"from\":0,\"to\":1}");
    assert_sql("5", "SELECT count(*) FROM interlock.ticket");
    assert_sql("3",
               "SELECT count(*) FROM interlock.audit_event WHERE aggregate IN ('ticket/2', 'ticket/4', 'ticket/5')");
}

/* The sequence cannot see what the batch itself is about to insert. */
static void a_drawn_id_is_never_one_that_the_batch_names_itself(void **state)
{
    enum
    {
        NAMED = 30,
    };
    struct delivery *given[NAMED + 2];
    (void)state;
    for (int i = 0; i < NAMED; i++)
        given[i] = engine_create(1 + i);
    given[NAMED] = engine_command(NULL, "c-1", "ticket.create", "", "{\"priority\":\"LOW\"}");
    given[NAMED + 1] = engine_command(NULL, "c-2", "ticket.create", "", "{\"priority\":\"LOW\"}");
    /* The first try draws 1 and 2; the second one draws enough. */
    assert_int_equal(engine_run_as(given, NAMED + 2, (struct batch_mode){ .waiting = false }), BATCH_AGAIN);
    assert_sql("0", "SELECT count(*) FROM interlock.ticket");
    engine_run(given, NAMED + 2);
    for (int i = 0; i < NAMED + 2; i++)
        assert_outcome(given[i], "applied");
    assert_sql("32 32", "SELECT count(*) || ' ' || count(DISTINCT aggregate) FROM interlock.audit_event");
}

/* --- children and further aggregates ----------------------------------------------------------------------------- */

static const char tour[] = "{\"jobneed_id\":10,\"identifier\":\"INTERNALTOUR\",\"type\":\"SCHEDULE\","
                           "\"starts_at\":\"2026-11-24T08:00:00Z\",\"checkpoints\":["
                           "{\"jobneed_id\":11,\"asset_id\":1,\"question_set_id\":1,\"seq\":1},"
                           "{\"asset_id\":2,\"question_set_id\":1,\"seq\":2}]}";

static void a_tour_and_its_checkpoints_are_one_aggregate(void **state)
{
    (void)state;
    struct delivery *created = engine_command("jobneed/10", "j-1", "job.create", "", tour);
    engine_run_one(created);
    assert_outcome(created, "applied");
    assert_event(created, "data.also", "[]");
    assert_event(created, "data.version", "{\"from\":0,\"to\":1}");
    assert_sql("2", "SELECT count(*) FROM interlock.jobneed WHERE parent_id = 10 AND status = 'ASSIGNED'");
    struct delivery *changed = engine_command("jobneed/10", "j-2", "job.update_checkpoint", "",
                                              "{\"jobneed_id\":11,\"parent_id\":10,\"status\":\"INPROGRESS\"}");
    engine_run_one(changed);
    assert_outcome(changed, "applied");
    assert_event(changed, "data.version", "{\"from\":1,\"to\":2}");
    assert_event(changed, "data.also", "[]");
    assert_sql("INPROGRESS", "SELECT status FROM interlock.jobneed WHERE id = 11");
    assert_sql("t", "SELECT p.version = 2 AND p.modified_at = c.modified_at FROM interlock.jobneed p, "
                    "interlock.jobneed c WHERE p.id = 10 AND c.id = 11");
}

static void an_autoclose_names_the_ticket_that_it_raised_and_raises_it_once(void **state)
{
    (void)state;
    engine_run_one(engine_command("jobneed/10", "j-1", "job.create", "", tour));
    struct delivery *closed = engine_command("jobneed/10", "j-2", "job.autoclose", "",
                                             "{\"jobneed_id\":10,\"notify\":\"RAISETICKETNOTIFY\"}");
    engine_run_one(closed);
    assert_outcome(closed, "applied");
    assert_event(closed, "data.status", "{\"old\":\"ASSIGNED\",\"new\":\"AUTOCLOSED\"}");
    char expected[160];
    snprintf(
        expected, sizeof(expected),
        "[{\"aggregate\":\"ticket/%s\",\"version\":{\"from\":0,\"to\":1},\"status\":{\"old\":null,\"new\":\"NEW\"},"
        "\"metadata\":{}}]",
        engine_ask("SELECT id FROM interlock.ticket WHERE jobneed_id = 10"));
    assert_event(closed, "data.also", expected);
    assert_sql("1 0 1",
               "SELECT count(*) || ' ' || min(version_from) || ' ' || min(version_to) FROM interlock.audit_also "
               "WHERE aggregate = (SELECT 'ticket/' || id FROM interlock.ticket)");
    struct delivery *again = engine_command("jobneed/10", "j-3", "job.autoclose", "",
                                            "{\"jobneed_id\":10,\"notify\":\"RAISETICKETNOTIFY\"}");
    engine_run_one(again);
    assert_sql("1", "SELECT count(*) FROM interlock.ticket");
}

static void a_bulk_command_lists_the_others_sorted(void **state)
{
    (void)state;
    struct delivery *given[] = { engine_create(3), engine_create(20), engine_create(100) };
    engine_run(given, 3);
    struct delivery *bulk =
        engine_command("ticket/3", "b-1", "ticket.bulk_update", "", "{\"ticket_ids\":[100,3,20],\"status\":\"OPEN\"}");
    engine_run_one(bulk);
    assert_outcome(bulk, "applied");
    assert_event(bulk, "subject", "\"ticket/3\"");
    assert_event(bulk, "data.also.0.aggregate", "\"ticket/100\"");
    assert_event(bulk, "data.also.1.aggregate", "\"ticket/20\"");
    assert_event(bulk, "data.also.1.status", "{\"old\":\"NEW\",\"new\":\"OPEN\"}");
    assert_event(bulk, "data.also.2", "(none)");
    assert_sql("2", "SELECT count(*) FROM interlock.audit_also");
    struct delivery *refused = engine_command("ticket/3", "b-2", "ticket.bulk_update", "",
                                              "{\"ticket_ids\":[3,20,404],\"status\":\"RESOLVED\"}");
    engine_run_one(refused);
    assert_outcome(refused, "rejected:not_found");
    assert_sql("3", "SELECT count(*) FROM interlock.ticket WHERE status = 'OPEN'");
}

static void expected_versions_are_refused_where_there_is_no_one_root(void **state)
{
    (void)state;
    engine_run_one(engine_create(3));
    struct delivery *bulk = engine_command("ticket/3", "b-1", "ticket.bulk_update", "\"expectedversion\":1,",
                                           "{\"ticket_ids\":[3],\"status\":\"OPEN\"}");
    struct delivery *counter =
        engine_command("face-model/1", "f-1", "face.record_verification", "\"expectedversion\":0,",
                       "{\"verification_id\":1,\"model_id\":1,\"user_id\":1,\"result\":\"SUCCESS\"}");
    struct delivery *given[] = { bulk, counter };
    engine_run(given, 2);
    assert_outcome(bulk, "rejected:invalid_data");
    assert_outcome(counter, "rejected:invalid_data");
}

/* PROTOCOL B8. */
static void counters_are_summed_over_the_batch_and_raise_no_version(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.face_model (id) VALUES (5), (6)");
    engine_ask("INSERT INTO interlock.face_embedding (id, user_id, model_id) VALUES (50, 9, 5)");
    struct delivery *given[20];
    for (int i = 0; i < 20; i++)
    {
        char id[16], data[128];
        snprintf(id, sizeof(id), "f-%d", i);
        snprintf(data, sizeof(data), "{\"verification_id\":%d,\"model_id\":%d,\"user_id\":9%s,\"result\":\"%s\"}",
                 1 + i, 5 + i % 2, i % 2 ? "" : ",\"embedding_id\":50", i % 4 == 0 ? "SUCCESS" : "FAILED");
        given[i] = engine_command(i % 2 ? "face-model/6" : "face-model/5", id, "face.record_verification", "", data);
    }
    engine_run(given, 20);
    for (int i = 0; i < 20; i++)
    {
        assert_outcome(given[i], "applied");
        assert_event(given[i], "data.version", "null");
    }
    assert_sql("10 5",
               "SELECT verification_count || ' ' || successful_verifications FROM interlock.face_model WHERE id = 5");
    assert_sql("10 0",
               "SELECT verification_count || ' ' || successful_verifications FROM interlock.face_model WHERE id = 6");
    assert_sql("10 5",
               "SELECT verification_count || ' ' || successful_verifications FROM interlock.face_embedding_counter");
    assert_sql("20", "SELECT count(*) FROM interlock.face_verification_log");
    assert_sql("t", "SELECT m.last_used = max(a.changed_at) FROM interlock.face_model m, interlock.audit_event a "
                    "WHERE m.id = 5 AND a.aggregate = 'face-model/5' GROUP BY m.last_used");
}

/* --- time -------------------------------------------------------------------------------------------------------- */

/* PROTOCOL R4. */
static void changed_at_never_stands_still_or_goes_back(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine_ask("UPDATE interlock.ticket SET modified_at = '2100-01-01T00:00:00Z'");
    struct delivery *given[] = { engine_escalate(7, "e-1"), engine_escalate(7, "e-2") };
    engine_run(given, 2);
    assert_event(given[0], "time", "\"2100-01-01T00:00:00.000001Z\"");
    assert_event(given[1], "time", "\"2100-01-01T00:00:00.000002Z\"");
    engine_ask("UPDATE interlock.ticket SET modified_at = '2000-01-01T00:00:00Z'");
    struct delivery *many[50];
    for (int i = 0; i < 50; i++)
    {
        char id[16];
        snprintf(id, sizeof(id), "m-%d", i);
        many[i] = engine_escalate(7, id);
    }
    engine_run(many, 50);
    assert_sql("50 50", "SELECT count(*) || ' ' || count(DISTINCT changed_at) FROM interlock.audit_event "
                        "WHERE kafka_offset > 2");
    assert_sql("t",
               "SELECT bool_and(later) FROM (SELECT changed_at > lag(changed_at) OVER (ORDER BY kafka_offset) AS later "
               "FROM interlock.audit_event WHERE kafka_offset > 2) o");
}

static void changed_at_is_later_than_that_of_every_aggregate_it_changes(void **state)
{
    (void)state;
    struct delivery *given[] = { engine_create(1), engine_create(2) };
    engine_run(given, 2);
    engine_ask("UPDATE interlock.ticket SET modified_at = '2100-01-01T00:00:00Z' WHERE id = 2");
    struct delivery *bulk =
        engine_command("ticket/1", "b-1", "ticket.bulk_update", "", "{\"ticket_ids\":[1,2],\"priority\":\"HIGH\"}");
    engine_run_one(bulk);
    assert_event(bulk, "time", "\"2100-01-01T00:00:00.000001Z\"");
    assert_sql("1", "SELECT count(DISTINCT modified_at) FROM interlock.ticket");
}

static void a_misrouted_command_is_applied_and_its_event_has_the_right_key(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *delivery = engine_command("somewhere else", "e-1", "ticket.escalate", "", "{\"ticket_id\":7}");
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    assert_string_equal(delivery->event_key, "ticket/7");
}

static void a_refused_command_has_its_event_under_a_well_formed_subject_else_its_key(void **state)
{
    static const struct
    {
        const char *key, *more, *expected;
    } cases[] = {
        { "ticket/3", "\"subject\":\"ticket/2\",", "ticket/2" },
        { "ticket/3", "\"subject\":\"whatever\",", "ticket/3" },
        { "k", "\"subject\":\"whatever\",", "" },
        { "attendance/0C5C7FD0-1234-4E6F-9F00-00112233445A", "", "attendance/0c5c7fd0-1234-4e6f-9f00-00112233445a" },
    };
    (void)state;
    for (int i = 0; i < 4; i++)
    {
        char id[16], subject[80];
        snprintf(id, sizeof(id), "w-%d", i);
        snprintf(subject, sizeof(subject), cases[i].expected[0] ? "\"%s\"" : "(none)", cases[i].expected);
        struct delivery *delivery = engine_command(cases[i].key, id, "no.such.type", cases[i].more, "{}");
        engine_run_one(delivery);
        assert_outcome(delivery, "rejected:unknown_type");
        assert_string_equal(delivery->event_key, cases[i].expected);
        assert_event(delivery, "subject", subject);
        assert_event(delivery, "data.version", "null");
    }
}

static void a_refused_creation_has_its_publisher_s_key(void **state)
{
    (void)state;
    engine_run_one(engine_command("ticket/5", "w-1", "ticket.create", "", "{\"priority\":\"LOW\"}"));
    struct delivery *other = engine_command("ticket/5", "w-1", "ticket.create", "", "{\"priority\":\"HIGH\"}");
    engine_run_one(other);
    assert_outcome(other, "rejected:id_reused");
    assert_string_equal(other->event_key, "ticket/5");
}

/* Each set of columns is a statement of its own; the server must not keep one for every set there ever was. */
static void the_statements_of_a_session_are_bounded(void **state)
{
    static const char *const members[] = {
        "\"site_id\":1",      "\"client_id\":2",          "\"category\":\"lift\"",     "\"asset_id\":3",
        "\"comments\":\"c\"", "\"assigned_person_id\":4", "\"source\":\"USERDEFINED\""
    };
    char data[512], id[16];
    (void)state;
    for (int set = 0; set < 300; set++)
    {
        int size = snprintf(data, sizeof(data), "{\"ticket_id\":%d,\"priority\":\"LOW\"", set + 1);
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
            if (set >> i & 1)
                size += snprintf(data + size, sizeof(data) - (size_t)size, ",%s", members[i]);
        snprintf(data + size, sizeof(data) - (size_t)size, "}");
        snprintf(id, sizeof(id), "s-%d", set);
        struct delivery *delivery =
            engine_command(NULL, id, "ticket.create", set & 128 ? "\"correlationid\":\"x\"," : "", data);
        engine_run_one(delivery);
        assert_outcome(delivery, "applied");
    }
    assert_true(pipeline_send_text(engine.pipeline, "SELECT count(*) FROM pg_prepared_statements"));
    assert_true(pipeline_sync(engine.pipeline));
    int64_t count = array_read_int64(PQgetvalue(pipeline_result(engine.pipeline, 0), 0, 0));
    assert_in_range(count, 1, PIPELINE_PREPARED_MAX);
    assert_sql("300", "SELECT count(*) FROM interlock.ticket");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(an_applied_command_leaves_its_rows_and_its_event),
        ENGINE_TEST(a_created_row_goes_from_version_0_to_1),
        ENGINE_TEST(an_unchanged_command_writes_nothing_but_its_record),
        ENGINE_TEST(a_refused_transition_leaves_no_trace_in_the_row),
        ENGINE_TEST(a_missing_aggregate_is_not_found_and_has_no_version),
        ENGINE_TEST(an_expected_version_is_checked_before_the_transition),
        ENGINE_TEST(expected_version_0_means_that_it_must_not_exist),
        ENGINE_TEST(wrong_data_and_unknown_types_are_recorded_without_a_row),
        ENGINE_TEST(a_created_ticket_without_an_id_gets_the_next_one_that_is_free),
        ENGINE_TEST(a_drawn_id_is_never_one_that_the_batch_names_itself),
        ENGINE_TEST(a_tour_and_its_checkpoints_are_one_aggregate),
        ENGINE_TEST(an_autoclose_names_the_ticket_that_it_raised_and_raises_it_once),
        ENGINE_TEST(a_bulk_command_lists_the_others_sorted),
        ENGINE_TEST(expected_versions_are_refused_where_there_is_no_one_root),
        ENGINE_TEST(counters_are_summed_over_the_batch_and_raise_no_version),
        ENGINE_TEST(changed_at_never_stands_still_or_goes_back),
        ENGINE_TEST(changed_at_is_later_than_that_of_every_aggregate_it_changes),
        ENGINE_TEST(a_misrouted_command_is_applied_and_its_event_has_the_right_key),
        ENGINE_TEST(a_refused_command_has_its_event_under_a_well_formed_subject_else_its_key),
        ENGINE_TEST(a_refused_creation_has_its_publisher_s_key),
        ENGINE_TEST(the_statements_of_a_session_are_bounded),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
