#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/engine.h"
#include "worker/batch/audit.h"

/* The operation and the changes in an event: DOMAIN.md, "Operations" and "Metadata" (PROTOCOL B7,
 * R5). */

static struct delivery *tell(const char *key, const char *type, const char *data)
{
    static int next;
    char id[32];
    snprintf(id, sizeof(id), "m-%d", next++);
    struct delivery *delivery = engine_command(key, id, type, "", data);
    engine_run_one(delivery);
    return delivery;
}

static void put_tickets(void)
{
    engine_ask("INSERT INTO interlock.ticket (id, version, status, priority, comments) VALUES "
               "(1, 1, 'NEW', 'LOW', 'old'), (2, 4, 'OPEN', 'HIGH', NULL), (3, 1, 'OPEN', 'HIGH', 'new')");
}

static void a_bulk_update_is_what_it_changed_and_tells_of_each_ticket(void **state)
{
    (void)state;
    put_tickets();
    struct delivery *told =
        tell("ticket/1", "ticket.bulk_update", "{\"ticket_ids\":[3,2,1],\"priority\":\"HIGH\",\"comments\":\"new\"}");
    assert_outcome(told, "applied");
    assert_event(told, "data.operation", "\"FIELD_UPDATE\"");
    assert_event(told, "data.metadata",
                 "{\"count\":2,\"unchanged\":1,\"history_count\":{\"old\":0,\"new\":1},\"priority\":{\"old\":\"LOW\","
                 "\"new\":\"HIGH\"},\"comments\":{\"old\":\"old\",\"new\":\"new\"}}");
    assert_event(told, "data.also",
                 "[{\"aggregate\":\"ticket/2\",\"version\":{\"from\":4,\"to\":5},\"status\":{\"old\":\"OPEN\",\"new\":"
                 "\"OPEN\"},\"metadata\":{\"history_count\":{\"old\":0,\"new\":1},\"comments\":{\"old\":null,\"new\":"
                 "\"new\"}}}]");
    told = tell("ticket/1", "ticket.bulk_update",
                "{\"ticket_ids\":[2,1],\"assigned_person_id\":7,\"assigned_group_id\":8}");
    assert_event(told, "data.operation", "\"ASSIGNMENT_CHANGE\"");
    assert_event(told, "data.also.0.metadata.assigned_person_id", "{\"old\":null,\"new\":7}");
    assert_event(told, "data.also.0.metadata.assigned_group_id", "{\"old\":null,\"new\":8}");
    /* The subject has the status already; another one gets it. */
    told = tell("ticket/2", "ticket.bulk_update", "{\"ticket_ids\":[2,1],\"status\":\"OPEN\",\"priority\":\"LOW\"}");
    assert_event(told, "data.operation", "\"STATUS_CHANGE\"");
    assert_event(told, "data.metadata.status", "{\"old\":\"NEW\",\"new\":\"OPEN\"}");
    /* Status first where both changed; of tickets that have the status, what else changed. */
    told =
        tell("ticket/2", "ticket.bulk_update", "{\"ticket_ids\":[2],\"status\":\"ONHOLD\",\"assigned_person_id\":9}");
    assert_event(told, "data.operation", "\"STATUS_CHANGE\"");
    told =
        tell("ticket/2", "ticket.bulk_update", "{\"ticket_ids\":[2],\"status\":\"ONHOLD\",\"assigned_person_id\":10}");
    assert_event(told, "data.operation", "\"ASSIGNMENT_CHANGE\"");
    assert_sql("STATUS_CHANGE,ASSIGNMENT_CHANGE",
               "SELECT string_agg(action, ',' ORDER BY seq) FROM interlock.ticket_history WHERE ticket_id = 2 "
               "AND seq > 3");
}

static void a_creation_does_not_repeat_its_row(void **state)
{
    (void)state;
    struct delivery *told =
        tell("ticket/5", "ticket.create", "{\"ticket_id\":5,\"priority\":\"LOW\",\"comments\":\"c\"}");
    assert_event(told, "data.operation", "\"CREATION\"");
    assert_event(told, "data.metadata", "{}");
}

static void a_checkpoint_has_its_old_and_new_beside_its_id(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.jobneed (id, version, starts_at, identifier, type, status) VALUES "
               "(1, 1, '2026-11-24', 'INTERNALTOUR', 'SCHEDULE', 'ASSIGNED')");
    engine_ask("INSERT INTO interlock.jobneed (id, parent_id, starts_at, identifier, type, asset_id, seq) VALUES "
               "(12, 1, '2026-11-24', 'INTERNALTOUR', 'SCHEDULE', 1, 1), "
               "(11, 1, '2026-11-24', 'INTERNALTOUR', 'SCHEDULE', 2, 2)");
    struct delivery *told = tell("jobneed/1", "job.update_checkpoint",
                                 "{\"jobneed_id\":11,\"parent_id\":1,\"seq\":5,\"expires_at\":"
                                 "\"2026-11-25T00:00:00.25Z\",\"remarks\":\"wet \\\"floor\\\"\"}");
    assert_event(told, "data.operation", "\"CHECKPOINT_UPDATE\"");
    assert_event(told, "data.metadata",
                 "{\"jobneed_id\":11,\"expires_at\":{\"old\":null,\"new\":\"2026-11-25T00:00:00.250000Z\"},"
                 "\"seq\":{\"old\":2,\"new\":5},\"remarks\":{\"old\":null,\"new\":\"wet \\\"floor\\\"\"}}");
    told = tell("jobneed/1", "job.autoclose", "{\"jobneed_id\":1,\"notify\":\"RAISETICKETNOTIFY\"}");
    assert_event(told, "data.operation", "\"AUTOCLOSE\"");
    assert_event(told, "data.also.0.metadata", "{}");
    assert_event(told, "data.metadata.other_info",
                 "{\"autoclosed_by_server\":{\"old\":null,\"new\":true},\"email_sent\":{\"old\":null,\"new\":false},"
                 "\"ticket_generated\":{\"old\":null,\"new\":true}}");
    assert_event(told, "data.metadata.checkpoints",
                 "[{\"jobneed_id\":11,\"status\":{\"old\":\"ASSIGNED\",\"new\":\"AUTOCLOSED\"},\"other_info\":"
                 "{\"autoclosed_by_server\":{\"old\":null,\"new\":true}}},"
                 "{\"jobneed_id\":12,\"status\":{\"old\":\"ASSIGNED\",\"new\":\"AUTOCLOSED\"},\"other_info\":"
                 "{\"autoclosed_by_server\":{\"old\":null,\"new\":true}}}]");
}

static void a_json_field_has_old_and_new_by_key_as_jsonb_compares_them(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.jobneed (id, version, starts_at, identifier, type, other_info) VALUES "
               "(1, 1, '2026-11-24', 'TASK', 'SCHEDULE', '{\"a\": 100, \"b\": {\"c\": 1.50}, \"gone\": [1, 2]}')");
    struct delivery *told = tell("jobneed/1", "json.replace",
                                 "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\",\"value\":"
                                 "{\"b\":{\"c\":25e-2},\"a\":1e2,\"n\":null}}");
    assert_event(told, "data.operation", "\"JSON_UPDATE\"");
    assert_event(told, "data.metadata",
                 "{\"field\":\"other_info\",\"other_info\":{\"b\":{\"old\":{\"c\":1.5},\"new\":{\"c\":0.25}},"
                 "\"gone\":{\"old\":[1,2],\"new\":null},\"n\":{\"old\":null,\"new\":null}}}");
}

static void a_large_json_value_is_told_by_its_size_and_digest(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.jobneed (id, version, starts_at, identifier, type) VALUES "
               "(1, 1, '2026-11-24', 'TASK', 'SCHEDULE')");
    char *data = malloc(70000);
    assert_non_null(data);
    int size =
        snprintf(data, 70000, "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\",\"value\":{\"few\":1,\"l\":\"");
    memset(data + size, 'x', 5000);
    snprintf(data + size + 5000, 64, "\",\"s\":\"%s\"}}", "short");
    struct delivery *told = tell("jobneed/1", "json.merge", data);
    assert_event(told, "data.metadata.other_info.few", "{\"old\":null,\"new\":1}");
    assert_event(told, "data.metadata.other_info.s", "{\"old\":null,\"new\":\"short\"}");
    assert_event(told, "data.metadata.other_info.l.old", "null");
    assert_event(told, "data.metadata.other_info.l.new.bytes", "5002");
    assert_sql("t", "SELECT metadata::json #>> '{other_info,l,new,sha256}' = encode(sha256(convert_to('\"' || "
                    "repeat('x', 5000) || '\"', 'UTF8')), 'hex') FROM interlock.audit_event");
    /* So many keys that not even their digests fit. */
    size = snprintf(data, 70000, "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\",\"value\":{");
    for (int i = 0; i < 1000; i++)
        size += snprintf(data + size, 70000 - (size_t)size, "%s\"key-%d\":%d", i ? "," : "", i, i);
    snprintf(data + size, 70000 - (size_t)size, "}}");
    told = tell("jobneed/1", "json.replace", data);
    assert_outcome(told, "applied");
    assert_event(told, "data.metadata.other_info.old.bytes", "5028");
    assert_true(atoi(engine_event(told, "data.metadata.other_info.new.bytes")) > 10000);
    assert_sql("t", "SELECT max(length(metadata)) < 4200 FROM interlock.audit_event");
    free(data);
}

static void five_hundred_tickets_with_long_comments_fit_an_event(void **state)
{
    (void)state;
    engine_ask(
        "INSERT INTO interlock.ticket (id, version, comments, assigned_person_id) SELECT i, 1, repeat('o', 16000), "
        "1000000000 + i FROM generate_series(1, 500) i");
    char *data = malloc(70000);
    assert_non_null(data);
    int size = snprintf(data, 70000, "{\"ticket_ids\":[");
    for (int i = 1; i <= 500; i++)
        size += snprintf(data + size, 70000 - (size_t)size, "%s%d", i > 1 ? "," : "", i);
    size += snprintf(data + size, 70000 - (size_t)size, "],\"priority\":\"CRITICAL\",\"comments\":\"");
    memset(data + size, 'n', 16000);
    snprintf(data + size + 16000, 64, "\"}");
    struct delivery *told = tell("ticket/1", "ticket.bulk_update", data);
    assert_outcome(told, "applied");
    assert_event(told, "data.metadata.count", "500");
    assert_event(told, "data.metadata.priority", "{\"old\":\"LOW\",\"new\":\"CRITICAL\"}");
    assert_event(told, "data.metadata.comments.old.bytes", "16000");
    assert_event(told, "data.also.498.metadata.priority", "{\"old\":\"LOW\",\"new\":\"CRITICAL\"}");
    assert_event(told, "data.also.498.metadata.comments.new.bytes", "16000");
    assert_true(told->event_size < AUDIT_EVENT_SIZE_MAX);
    free(data);
}

static void a_removal_tells_what_was_there(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.job (id, version, identifier) VALUES (1, 3, 'INTERNALTOUR')");
    engine_ask("INSERT INTO interlock.job (id, parent_id, identifier, asset_id, question_set_id, name) VALUES "
               "(7, 1, 'INTERNALTOUR', 2, 3, 'gate'), (8, 1, 'INTERNALTOUR', 2, 4, NULL)");
    engine_ask("INSERT INTO interlock.jobneed (id, version, starts_at, identifier, type, job_id) VALUES "
               "(9, 1, '2026-11-24', 'TASK', 'SCHEDULE', 8)");
    struct delivery *told =
        tell("job/1", "job.save_checkpoint", "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":7}");
    assert_event(told, "data.operation", "\"DELETION\"");
    assert_event(told, "data.version", "{\"from\":3,\"to\":4}");
    assert_event(told, "data.metadata.job_id", "7");
    assert_event(told, "data.metadata.asset_id", "{\"old\":2,\"new\":null}");
    assert_event(told, "data.metadata.name", "{\"old\":\"gate\",\"new\":null}");
    /* A command that PostgreSQL refuses has the operation that it was to have, and the version that it met. */
    told = engine_command("job/1", "refused", "job.save_checkpoint", "",
                          "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":8}");
    engine_run_in_pool(&told, 1);
    assert_outcome(told, "rejected:constraint:jobneed_job_id_fkey");
    assert_event(told, "data.operation", "\"DELETION\"");
    assert_event(told, "data.version", "{\"from\":4,\"to\":4}");
    assert_sql("1", "SELECT count(*) FROM interlock.job WHERE id = 8");
}

static void counters_carry_their_increments(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.face_model (id) VALUES (1)");
    struct delivery *told = tell("face-model/1", "face.record_verification",
                                 "{\"verification_id\":5,\"model_id\":1,\"user_id\":7,\"result\":\"SUCCESS\"}");
    assert_event(told, "data.operation", "\"COUNTER_UPDATE\"");
    assert_event(told, "data.metadata",
                 "{\"verification_id\":5,\"result\":\"SUCCESS\",\"increments\":{\"verification_count\":1,"
                 "\"successful_verifications\":1}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(a_bulk_update_is_what_it_changed_and_tells_of_each_ticket),
        ENGINE_TEST(a_creation_does_not_repeat_its_row),
        ENGINE_TEST(a_checkpoint_has_its_old_and_new_beside_its_id),
        ENGINE_TEST(a_json_field_has_old_and_new_by_key_as_jsonb_compares_them),
        ENGINE_TEST(a_large_json_value_is_told_by_its_size_and_digest),
        ENGINE_TEST(five_hundred_tickets_with_long_comments_fit_an_event),
        ENGINE_TEST(a_removal_tells_what_was_there),
        ENGINE_TEST(counters_carry_their_increments),
    };
    return engine_has_postgresql() ? cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down) : 0;
}
