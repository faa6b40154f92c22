#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/engine.h"
#include "worker/base/metrics.h"
#include "worker/batch/item.h"
#include "worker/postgres/advisory_locks.h"
#include "workflows/ticket/ticket.h"

/* Refusals of a real PostgreSQL, and sessions that die (ARCHITECTURE.md, failures; PROTOCOL B4, R5).
 */

static const struct batch_mode plain;

/* --- workflows with a defect ------------------------------------------------------------------------------------- */

static void want_ticket(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_ticket, command->aggregate.id);
}

/* Does not mirror the CHECK of its column. */
static void decide_nobody(const struct command *command, struct rows *rows, struct decision *decision)
{
    struct ticket_row *arrival = rows_edit(rows, &entity_ticket, command->aggregate.id);
    arrival->assigned_person_id = int_of(1);
    decision_apply(decision);
}

static const struct workflow nobody = {
    .type = "test.nobody", .operation = OPERATION_ESCALATION, .needs = want_ticket, .decide = decide_nobody
};

/* Says more than an event may hold. */
static void decide_talkative(const struct command *command, struct rows *rows, struct decision *decision)
{
    struct ticket_row *arrival = rows_edit(rows, &entity_ticket, command->aggregate.id);
    static char words[AUDIT_EVENT_SIZE_MAX];
    memset(words, 'w', sizeof(words));
    arrival->level = int_of(99);
    decision_add_text(decision, "words", (struct span){ words, sizeof(words) });
    decision_apply(decision);
}

static const struct workflow talkative = {
    .type = "test.talkative", .operation = OPERATION_ESCALATION, .needs = want_ticket, .decide = decide_talkative
};

static struct aggregate arrival(int id)
{
    return ticket_aggregate(id);
}

/* --- one command's fault ----------------------------------------------------------------------------------------- */

static void a_refused_row_makes_the_batch_split_and_leaves_nothing_behind(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_command_of("ticket/1", "x-1", &nobody, arrival(1)) };
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_SPLIT);
    assert_int_equal(pipeline_failure(engine.pipeline)->class, FAILURE_COMMAND);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "23514");
    assert_sql("0 1", "SELECT level || ' ' || version FROM interlock.ticket WHERE id = 1");
    assert_sql("1", "SELECT count(*) FROM interlock.inbox");
}

static void only_the_culprit_is_rejected_and_its_key_stays_in_order(void **state)
{
    struct delivery *given[20];
    char id[16];
    (void)state;
    for (int i = 0; i < 4; i++)
        given[i] = engine_create(1 + i);
    engine_run(given, 4);
    int64_t defects = metrics_get(METRIC_DEFECT_CHECKS);
    for (int i = 0; i < 20; i++)
    {
        snprintf(id, sizeof(id), "e-%d", i);
        given[i] = i == 9 ? engine_command_of("ticket/2", "x-1", &nobody, arrival(2)) : engine_escalate(1 + i % 4, id);
    }
    engine_run_in_pool(given, 20);
    for (int i = 0; i < 20; i++)
        assert_outcome(given[i], i == 9 ? "rejected:constraint:ticket_assigned_person_id_check" : "applied");
    assert_string_equal(engine_event(given[9], "data.metadata.sqlstate"), "\"23514\"");
    assert_sql("5,4,5,5", "SELECT string_agg(level::text, ',' ORDER BY id) FROM interlock.ticket");
    assert_sql("24 24",
               "SELECT (SELECT count(*) FROM interlock.inbox) || ' ' || (SELECT count(*) FROM interlock.audit_event)");
    /* decide should have known: it is counted as a defect of ours. */
    assert_int_equal(metrics_get(METRIC_DEFECT_CHECKS) - defects, 1);
    /* The rejection stands in its place: versions of the key never go back. */
    assert_sql("t",
               "SELECT bool_and(later) FROM (SELECT version_to > lag(version_to) OVER (ORDER BY kafka_offset) AS later "
               "FROM interlock.audit_event WHERE aggregate = 'ticket/2' AND outcome = 'applied') o");
    /* A rejected command seen again answers from its record. */
    struct delivery *again = engine_escalate(2, "last");
    engine_run_one(again);
    assert_outcome(again, "applied");
}

static void the_message_of_a_trigger_is_recorded_in_whole_letters(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    engine_ask("CREATE FUNCTION interlock.test_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "IF NEW.level > 0 THEN RAISE EXCEPTION '%%', 'x' || repeat('€', 200); END IF; RETURN NEW; END $$");
    engine_ask("CREATE TRIGGER test_refuse BEFORE UPDATE ON interlock.ticket FOR EACH ROW "
               "EXECUTE FUNCTION interlock.test_refuse()");
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_create(2) };
    engine_run_in_pool(given, 2);
    engine_ask("DROP FUNCTION interlock.test_refuse CASCADE");
    assert_outcome(given[0], "rejected:invalid_data");
    assert_string_equal(engine_event(given[0], "data.metadata.sqlstate"), "\"P0001\"");
    assert_outcome(given[1], "applied");
}

static void an_event_that_is_too_large_is_a_rejection(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    struct delivery *given[] = { engine_command_of("ticket/1", "x-1", &talkative, arrival(1)),
                                 engine_escalate(1, "a-1") };
    engine_run(given, 2);
    assert_outcome(given[0], "rejected:too_large");
    assert_true(given[0]->event_size < AUDIT_EVENT_SIZE_MAX);
    assert_string_equal(engine_event(given[0], "data.version"), "{\"from\":1,\"to\":1}");
    assert_string_equal(engine_event(given[0], "data.metadata"), "{}");
    assert_outcome(given[1], "applied");
    assert_sql("1", "SELECT level FROM interlock.ticket WHERE id = 1");
}

/* --- two who create the same ------------------------------------------------------------------------------------- */

static void create_elsewhere(void)
{
    engine_ask("INSERT INTO interlock.ticket (id, version) VALUES (5, 1)");
}

static void a_row_created_meanwhile_is_found_by_the_next_try(void **state)
{
    struct delivery *given[] = { engine_create(4), engine_create(5), engine_create(6) };
    (void)state;
    engine_interrupt("create-4", create_elsewhere);
    engine_run_in_pool(given, 3);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "rejected:already_exists");
    assert_outcome(given[2], "applied");
    assert_sql("3", "SELECT count(*) FROM interlock.ticket");
}

static void draw_elsewhere(void)
{
    engine_ask("INSERT INTO interlock.ticket (id, version) SELECT currval, 1 FROM (SELECT last_value AS currval FROM "
               "interlock.ticket_id_seq) s");
}

static void a_drawn_id_that_somebody_named_meanwhile_is_drawn_again(void **state)
{
    (void)state;
    struct delivery *delivery = engine_command(NULL, "c-1", "ticket.create", "", "{\"priority\":\"LOW\"}");
    engine_interrupt("c-1", draw_elsewhere);
    engine_run_in_pool(&delivery, 1);
    assert_outcome(delivery, "applied");
    assert_string_equal(engine_event(delivery, "subject"), "\"ticket/2\"");
}

static void delete_the_job(void)
{
    engine_ask("DELETE FROM interlock.job");
}

static void a_command_whose_referenced_row_is_gone_meanwhile_is_decided_again(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.job (id) VALUES (3)");
    struct delivery *delivery =
        engine_command("jobneed/10", "j-1", "job.create", "",
                       "{\"jobneed_id\":10,\"job_id\":3,\"identifier\":\"TASK\",\"type\":\"ADHOC\","
                       "\"starts_at\":\"2026-11-24T08:00:00Z\"}");
    engine_interrupt("j-1", delete_the_job);
    engine_run_in_pool(&delivery, 1);
    assert_outcome(delivery, "rejected:not_found");
}

/* --- sessions that die ------------------------------------------------------------------------------------------- */

static void kill_the_session(void)
{
    engine_ask("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND "
               "pid <> pg_backend_pid()");
}

static void a_session_killed_between_the_pipelines_costs_a_second_run(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_create(2) };
    engine_interrupt("a-1", kill_the_session);
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_SESSION);
    assert_false(pipeline_is_connected(engine.pipeline));
    assert_sql("1", "SELECT count(*) FROM interlock.inbox");
    assert_true(pipeline_connect(engine.pipeline, NULL));
    engine_run(given, 2);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "applied");
    assert_sql("1,0", "SELECT string_agg(level::text, ',' ORDER BY id) FROM interlock.ticket");
    assert_sql("3", "SELECT count(*) FROM interlock.audit_event");
}

static void the_pool_gets_over_a_killed_session(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_escalate(1, "a-2"), engine_create(2) };
    engine_interrupt("a-2", kill_the_session);
    engine_run_in_pool(given, 3);
    for (int i = 0; i < 3; i++)
        assert_outcome(given[i], "applied");
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 1");
    assert_sql("4", "SELECT count(*) FROM interlock.audit_event");
}

/* The ambiguous COMMIT. The ghost is an earlier run of the same batch that PostgreSQL has not finished with: it holds
 * the rows it wrote. */
static PGconn *ghost_of(struct delivery *delivery)
{
    PGconn *ghost = engine_session();
    uint8_t identity[16];
    char text[33];
    struct arena arena;
    struct command command;
    arena_init(&arena);
    assert_int_equal(engine.batch->tools.decode(delivery, &arena, &command), DECODE_COMMAND);
    memcpy(identity, command.identity, sizeof(identity));
    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", identity[i]);
    engine_ask_on(ghost, "BEGIN");
    engine_ask_on(ghost,
                  "INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id) "
                  "VALUES ('%s', '%s', %lld, 1, 1)",
                  text, text, (long long)delivery->offset);
    arena_done(&arena);
    return ghost;
}

static void a_ghost_of_an_ambiguous_commit_is_waited_for_and_then_answers(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    engine.settings.database.lock_timeout_us = 200000;
    pipeline_close(engine.pipeline);
    assert_true(pipeline_connect(engine.pipeline, NULL));
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_create(2) };
    PGconn *ghost = ghost_of(given[0]);
    /* Its inbox row is in the way: nobody's fault, so the batch is not split. */
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_AGAIN);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "55P03");
    assert_sql("1", "SELECT count(*) FROM interlock.ticket");
    engine_ask_on(ghost, "COMMIT");
    PQfinish(ghost);
    engine_run(given, 2);
    assert_int_equal(engine.batch->items[0].state, ITEM_KNOWN);
    assert_outcome(given[1], "applied");
    assert_sql("0", "SELECT level FROM interlock.ticket WHERE id = 1"); /* applied by the ghost, if at all */
}

static PGconn *late_ghost;

static void commit_the_ghost(void)
{
    engine_ask_on(late_ghost, "COMMIT");
}

static void a_ghost_that_ends_meanwhile_makes_the_whole_batch_run_again(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_create(2) };
    late_ghost = ghost_of(given[0]);
    engine_interrupt("a-1", commit_the_ghost);
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_AGAIN);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "23505");
    PQfinish(late_ghost);
    engine_run(given, 2);
    assert_outcome(given[1], "applied");
    assert_sql("1", "SELECT count(*) FROM interlock.inbox WHERE kafka_offset = 1");
}

/* --- all of it at once ------------------------------------------------------------------------------------------- */

static atomic_bool stormy;

static void *kill_sessions(void *other)
{
    while (atomic_load(&stormy))
    {
        engine_ask_on(other,
                      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
                      "application_name LIKE 'lane-%%' ORDER BY random() LIMIT 1");
        engine_await_progress(); /* a slow machine may need longer to connect than any fixed time between two kills */
    }
    return NULL;
}

/* Commands of ten tickets under keys of no meaning, so that four lanes meet at the rows, and sessions that die at any
 * moment, also while their COMMIT is out. */
static void every_command_counts_once_whatever_becomes_of_the_sessions(void **state)
{
    enum
    {
        COUNT = 1500,
        TICKETS = 10,
    };
    static struct delivery *given[COUNT];
    struct delivery *created[TICKETS];
    pthread_t thread;
    unsigned seed = 7;
    (void)state;
    for (int i = 0; i < TICKETS; i++)
        created[i] = engine_create(1 + i);
    engine_run(created, TICKETS);
    for (int i = 0; i < COUNT; i++)
    {
        char key[16], id[16], data[64];
        snprintf(key, sizeof(key), "key-%d", rand_r(&seed) % 40);
        snprintf(id, sizeof(id), "e-%d", i);
        snprintf(data, sizeof(data), "{\"ticket_id\":%d}", 1 + i % TICKETS);
        given[i] = i % 10 == 9 ? engine_duplicate(given[rand_r(&seed) % i])
                               : engine_command(key, id, "ticket.escalate", "", data);
    }
    PGconn *other = engine_session();
    engine.settings.worker.lanes = 4;
    engine.settings.worker.batch_max = 40;
    int64_t reconnects = metrics_get(METRIC_RECONNECTS);
    atomic_store(&stormy, true);
    assert_int_equal(pthread_create(&thread, NULL, kill_sessions, other), 0);
    engine_run_in_pool(given, COUNT);
    atomic_store(&stormy, false);
    pthread_join(thread, NULL);
    PQfinish(other);
    assert_true(metrics_get(METRIC_RECONNECTS) > reconnects);
    assert_sql("1350", "SELECT sum(level) FROM interlock.ticket");
    assert_sql("1360 1360",
               "SELECT (SELECT count(*) FROM interlock.inbox) || ' ' || (SELECT count(DISTINCT event_id) FROM "
               "interlock.audit_event)");
    assert_sql("1360", "SELECT count(*) FROM interlock.audit_event");
    assert_sql("0",
               "SELECT count(*) FROM (SELECT version_from, lag(version_to, 1, 0::bigint) OVER (PARTITION BY aggregate "
               "ORDER BY version_to) AS before FROM interlock.audit_event) v WHERE version_from <> before");
}

/* --- faults of ours ---------------------------------------------------------------------------------------------- */

static void a_missing_table_rejects_nobody(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    engine_ask("ALTER TABLE interlock.ticket_history RENAME TO away");
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_escalate(1, "a-2") };
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_STUCK);
    assert_int_equal(pipeline_failure(engine.pipeline)->class, FAILURE_OURS);
    engine_ask("ALTER TABLE interlock.away RENAME TO ticket_history");
    engine_run(given, 2);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "applied");
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 1");
}

/* PROTOCOL B4: a batch whose rows cannot be loaded in time is tried in halves, and a command alone is held; only the
 * fence's statements are nobody's. */
static void a_table_that_somebody_alters_is_waited_for(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    engine.settings.database.lock_timeout_us = 200000;
    pipeline_close(engine.pipeline);
    assert_true(pipeline_connect(engine.pipeline, NULL));
    PGconn *other = engine_hold("LOCK TABLE interlock.ticket IN ACCESS EXCLUSIVE MODE");
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_escalate(1, "a-2") };
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_SPLIT);
    assert_int_equal(engine_run_as(given, 1, plain), BATCH_SPLIT);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "55P03");
    engine_let_go(other);
    engine_run(given, 2);
    assert_outcome(given[1], "applied");
}

static void a_fence_that_somebody_holds_is_nobodys_fault(void **state)
{
    (void)state;
    engine_run_one(engine_create(1));
    engine.settings.database.lock_timeout_us = 200000;
    pipeline_close(engine.pipeline);
    assert_true(pipeline_connect(engine.pipeline, NULL));
    PGconn *other = engine_hold("SELECT pg_advisory_xact_lock(%d, %d)", PARTITION_OWNER_LOCK_CLASS,
                                engine.partitions[0].partition_id);
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_escalate(1, "a-2") };
    assert_int_equal(engine_run_as(given, 2, plain), BATCH_AGAIN);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "55P03");
    PQfinish(other);
    engine_run(given, 2);
    assert_outcome(given[1], "applied");
}

/* A newer migration knows a status that this program does not: its row is read, never written over, and hurts nobody.
 */
static void a_word_that_the_program_does_not_know_stays_as_it_is(void **state)
{
    (void)state;
    struct delivery *created[] = { engine_create(1), engine_create(2) };
    engine_run(created, 2);
    engine_ask("ALTER TABLE interlock.ticket DROP CONSTRAINT ticket_status");
    engine_ask("UPDATE interlock.ticket SET status = 'ESCHEWED' WHERE id = 1");
    struct delivery *given[] = {
        engine_escalate(1, "a-1"),
        engine_command("ticket/2", "t-1", "ticket.transition", "", "{\"ticket_id\":2,\"status\":\"OPEN\"}"),
        engine_command("ticket/1", "t-2", "ticket.transition", "", "{\"ticket_id\":1,\"status\":\"OPEN\"}")
    };
    engine_run(given, 3);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "applied");
    assert_outcome(given[2], "rejected:invalid_transition");
    assert_sql("ESCHEWED 1,OPEN 0", "SELECT string_agg(status || ' ' || level, ',' ORDER BY id) FROM interlock.ticket");
    engine_ask("UPDATE interlock.ticket SET status = 'NEW'");
    engine_ask("ALTER TABLE interlock.ticket ADD CONSTRAINT ticket_status CHECK (status IN ('NEW', 'OPEN', 'ONHOLD', "
               "'RESOLVED', 'CLOSED', 'CANCELLED'))");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(a_refused_row_makes_the_batch_split_and_leaves_nothing_behind),
        ENGINE_TEST(only_the_culprit_is_rejected_and_its_key_stays_in_order),
        ENGINE_TEST(the_message_of_a_trigger_is_recorded_in_whole_letters),
        ENGINE_TEST(an_event_that_is_too_large_is_a_rejection),
        ENGINE_TEST(a_row_created_meanwhile_is_found_by_the_next_try),
        ENGINE_TEST(a_drawn_id_that_somebody_named_meanwhile_is_drawn_again),
        ENGINE_TEST(a_command_whose_referenced_row_is_gone_meanwhile_is_decided_again),
        ENGINE_TEST(a_session_killed_between_the_pipelines_costs_a_second_run),
        ENGINE_TEST(the_pool_gets_over_a_killed_session),
        ENGINE_TEST(a_ghost_of_an_ambiguous_commit_is_waited_for_and_then_answers),
        ENGINE_TEST(a_ghost_that_ends_meanwhile_makes_the_whole_batch_run_again),
        ENGINE_TEST(every_command_counts_once_whatever_becomes_of_the_sessions),
        ENGINE_TEST(a_missing_table_rejects_nobody),
        ENGINE_TEST(a_table_that_somebody_alters_is_waited_for),
        ENGINE_TEST(a_fence_that_somebody_holds_is_nobodys_fault),
        ENGINE_TEST(a_word_that_the_program_does_not_know_stays_as_it_is),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
