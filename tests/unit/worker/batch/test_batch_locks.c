#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/engine.h"
#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/batch/item.h"

/* Rows that somebody else holds (PROTOCOL B1, B2), and the effects of the Redis lock (L2). */

enum
{
    PATIENCE_US = 20000000,
};

static void create_tickets(int count)
{
    struct delivery *given[16];
    for (int i = 0; i < count; i++)
        given[i] = engine_create(1 + i);
    engine_run(given, count);
}

/* For tests of waits that another thread ends: no timeout of ours does, however busy the machine is. The tables are
 * empty afterwards. */
static void be_patient(void)
{
    engine.settings.database.lock_timeout_us = 4 * PATIENCE_US; /* a turn waits for a quarter of it */
    engine.settings.database.statement_timeout_us = 5 * PATIENCE_US;
    for (int class = 0; class < LOCK__COUNT; class ++)
        engine.settings.locks[class].lease_us = 5 * PATIENCE_US;
    engine_restart();
}

static void assert_hold(int item, enum hold_reason reason)
{
    assert_int_equal(engine.batch->items[item].hold, reason);
}

/* --- busy rows --------------------------------------------------------------------------------------------------- */

static void a_busy_row_holds_back_its_own_key_and_nothing_of_it_is_written(void **state)
{
    (void)state;
    create_tickets(3);
    PGconn *other = engine_hold("SELECT 1 FROM interlock.ticket WHERE id = 2 FOR UPDATE");
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_escalate(2, "b-1"), engine_escalate(3, "c-1"),
                                 engine_escalate(2, "b-2"), engine_escalate(1, "a-2") };
    engine_run(given, 5);
    assert_hold(0, HOLD_NOT);
    assert_hold(1, HOLD_BUSY);
    assert_hold(2, HOLD_NOT);
    assert_hold(3, HOLD_BEHIND);
    assert_hold(4, HOLD_NOT);
    assert_outcome(given[0], "applied");
    assert_outcome(given[2], "applied");
    assert_outcome(given[4], "applied");
    assert_null(given[1]->event);
    assert_sql("2,0,1", "SELECT string_agg(level::text, ',' ORDER BY id) FROM interlock.ticket");
    assert_sql("6", "SELECT count(*) FROM interlock.inbox");
    assert_sql("6", "SELECT count(*) FROM interlock.audit_event");
    engine_let_go(other);
    struct delivery *later[] = { given[1], given[3] };
    engine_run(later, 2);
    assert_outcome(given[1], "applied");
    assert_sql("2,2,1", "SELECT string_agg(level::text, ',' ORDER BY id) FROM interlock.ticket");
}

static void a_row_that_only_a_foreign_key_looks_at_is_not_busy(void **state)
{
    (void)state;
    create_tickets(1);
    PGconn *other = engine_hold("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR KEY SHARE");
    struct delivery *delivery = engine_escalate(1, "a-1");
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    engine_let_go(other);
}

static void a_command_answered_by_a_record_needs_no_row(void **state)
{
    (void)state;
    create_tickets(1);
    struct delivery *first = engine_escalate(1, "a-1");
    engine_run_one(first);
    PGconn *other = engine_hold("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE");
    struct delivery *again = engine_again(first);
    engine_run_one(again);
    assert_hold(0, HOLD_NOT);
    assert_outcome(again, "applied");
    engine_let_go(other);
}

static void a_refused_command_needs_no_row_but_keeps_its_place(void **state)
{
    (void)state;
    create_tickets(1);
    PGconn *other = engine_hold("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE");
    struct delivery *wrong = engine_command("ticket/1", "w-1", "ticket.escalate", "", "{\"ticket_id\":1,\"level\":-1}");
    struct delivery *given[] = { wrong, engine_escalate(1, "a-1"),
                                 engine_command("ticket/1", "w-2", "ticket.escalate", "", "{}") };
    engine_run(given, 3);
    assert_outcome(wrong, "rejected:invalid_data");
    assert_hold(1, HOLD_BUSY);
    assert_hold(2, HOLD_BEHIND);
    engine_let_go(other);
}

static void a_command_of_several_rows_is_held_whole(void **state)
{
    (void)state;
    create_tickets(4);
    PGconn *other = engine_hold("SELECT 1 FROM interlock.ticket WHERE id = 3 FOR UPDATE");
    struct delivery *bulk =
        engine_command("ticket/1", "b-1", "ticket.bulk_update", "", "{\"ticket_ids\":[1,2,3],\"priority\":\"HIGH\"}");
    struct delivery *given[] = { bulk, engine_escalate(2, "a-1"), engine_escalate(4, "d-1") };
    engine_run(given, 3);
    assert_hold(0, HOLD_BUSY);
    assert_outcome(given[1], "applied");
    assert_outcome(given[2], "applied");
    assert_sql("0", "SELECT count(*) FROM interlock.ticket WHERE priority = 'HIGH'");
    assert_sql("0", "SELECT count(*) FROM interlock.audit_also");
    engine_let_go(other);
    engine_run_one(bulk);
    assert_outcome(bulk, "applied");
    assert_sql("3", "SELECT count(*) FROM interlock.ticket WHERE priority = 'HIGH'");
}

static void a_busy_child_makes_its_root_busy(void **state)
{
    static const char tour[] = "{\"jobneed_id\":10,\"identifier\":\"INTERNALTOUR\",\"type\":\"SCHEDULE\","
                               "\"starts_at\":\"2026-11-24T08:00:00Z\",\"checkpoints\":["
                               "{\"jobneed_id\":11,\"asset_id\":1,\"question_set_id\":1,\"seq\":1},"
                               "{\"jobneed_id\":12,\"asset_id\":2,\"question_set_id\":1,\"seq\":2}]}";
    (void)state;
    create_tickets(1);
    engine_run_one(engine_command("jobneed/10", "j-1", "job.create", "", tour));
    PGconn *other = engine_hold("SELECT 1 FROM interlock.jobneed WHERE id = 12 FOR UPDATE");
    struct delivery *close = engine_command("jobneed/10", "j-2", "job.autoclose", "", "{\"jobneed_id\":10}");
    struct delivery *update = engine_command("jobneed/10", "j-3", "job.update_checkpoint", "",
                                             "{\"jobneed_id\":12,\"parent_id\":10,\"seq\":5}");
    struct delivery *given[] = { close, update, engine_escalate(1, "a-1") };
    engine_run(given, 3);
    assert_hold(0, HOLD_BUSY);
    assert_hold(1, HOLD_BEHIND);
    assert_outcome(given[2], "applied");
    assert_sql("ASSIGNED,ASSIGNED,ASSIGNED", "SELECT string_agg(status, ',') FROM interlock.jobneed");
    engine_run_one(update);
    assert_hold(0, HOLD_BUSY);
    engine_let_go(other);
    other = engine_hold("SELECT 1 FROM interlock.jobneed WHERE id = 10 FOR UPDATE");
    engine_run_one(close);
    assert_hold(0, HOLD_BUSY);
    engine_run_one(update);
    assert_hold(0, HOLD_BUSY);
    engine_let_go(other);
    struct delivery *both[] = { close, update };
    engine_run(both, 2);
    assert_outcome(close, "applied");
    assert_sql("3", "SELECT count(*) FROM interlock.jobneed WHERE status = 'AUTOCLOSED'");
}

/* A row that another session has made and not committed does not exist: its creator decides. */
static void a_row_that_another_session_is_creating_is_not_there_yet(void **state)
{
    (void)state;
    PGconn *other = engine_hold("INSERT INTO interlock.ticket (id) VALUES (9)");
    struct delivery *delivery = engine_escalate(9, "a-1");
    engine_run_one(delivery);
    assert_outcome(delivery, "rejected:not_found");
    engine_let_go(other);
}

/* --- a turn of its own ------------------------------------------------------------------------------------------- */

/* Ends the other session's transaction once somebody waits for it. */
static void *commit_when_waited_for(void *other)
{
    engine_await_on(other, "t",
                    "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND "
                    "pg_backend_pid() = ANY (pg_blocking_pids(pid))");
    engine_ask_on(other, "COMMIT");
    return NULL;
}

static void in_its_turn_a_command_waits_and_sees_what_the_other_did(void **state)
{
    pthread_t thread;
    (void)state;
    be_patient();
    create_tickets(1);
    PGconn *other = engine_hold("UPDATE interlock.ticket SET level = 40, version = 7 WHERE id = 1");
    struct delivery *delivery = engine_escalate(1, "a-1");
    assert_int_equal(pthread_create(&thread, NULL, commit_when_waited_for, other), 0);
    enum batch_end ended = engine_run_as(&delivery, 1, (struct batch_mode){ .waiting = true });
    pthread_join(thread, NULL);
    PQfinish(other);
    assert_int_equal(ended, BATCH_DONE);
    assert_outcome(delivery, "applied");
    assert_string_equal(engine_event(delivery, "data.version"), "{\"from\":7,\"to\":8}");
    /* The row had moved while it was waited for, and the update found it where it is now. */
    assert_sql("41 8", "SELECT level || ' ' || version FROM interlock.ticket WHERE id = 1");
}

static void a_command_waits_for_children_too_in_its_turn(void **state)
{
    static const char tour[] = "{\"jobneed_id\":10,\"identifier\":\"INTERNALTOUR\",\"type\":\"SCHEDULE\","
                               "\"starts_at\":\"2026-11-24T08:00:00Z\",\"checkpoints\":["
                               "{\"jobneed_id\":11,\"asset_id\":1,\"question_set_id\":1,\"seq\":1}]}";
    pthread_t thread;
    (void)state;
    be_patient();
    engine_run_one(engine_command("jobneed/10", "j-1", "job.create", "", tour));
    PGconn *other = engine_hold("UPDATE interlock.jobneed SET seq = 77 WHERE id = 11");
    struct delivery *delivery = engine_command("jobneed/10", "j-2", "job.autoclose", "", "{\"jobneed_id\":10}");
    assert_int_equal(pthread_create(&thread, NULL, commit_when_waited_for, other), 0);
    enum batch_end ended = engine_run_as(&delivery, 1, (struct batch_mode){ .waiting = true });
    pthread_join(thread, NULL);
    PQfinish(other);
    assert_int_equal(ended, BATCH_DONE);
    assert_outcome(delivery, "applied");
    assert_sql("AUTOCLOSED 77", "SELECT status || ' ' || seq FROM interlock.jobneed WHERE id = 11");
}

static void a_turn_without_success_is_transient_and_leaves_nothing(void **state)
{
    (void)state;
    create_tickets(1);
    engine.settings.database.lock_timeout_us = 200000;
    PGconn *other = engine_hold("SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE");
    struct delivery *delivery = engine_escalate(1, "a-1");
    assert_int_equal(engine_run_as(&delivery, 1, (struct batch_mode){ .waiting = true }), BATCH_SPLIT);
    assert_int_equal(pipeline_failure(engine.pipeline)->class, FAILURE_TRANSIENT);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "55P03");
    assert_sql("1", "SELECT count(*) FROM interlock.inbox");
    engine_let_go(other);
    /* The short timeout was that transaction's alone. */
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
}

static void a_command_behind_a_row_that_is_held_for_long_gets_its_turn_in_the_end(void **state)
{
    pthread_t thread;
    struct delivery *given[6];
    (void)state;
    create_tickets(2);
    PGconn *other = engine_hold("UPDATE interlock.ticket SET level = 40 WHERE id = 1");
    for (int i = 0; i < 6; i++)
    {
        char id[16];
        snprintf(id, sizeof(id), "e-%d", i);
        given[i] = engine_escalate(1 + i % 2, id);
    }
    assert_int_equal(pthread_create(&thread, NULL, commit_when_waited_for, other), 0);
    engine_run_in_pool(given, 6);
    pthread_join(thread, NULL);
    PQfinish(other);
    for (int i = 0; i < 6; i++)
        assert_outcome(given[i], "applied");
    assert_sql("43,3", "SELECT string_agg(level::text, ',' ORDER BY id) FROM interlock.ticket");
}

/* PROTOCOL B8: additions commute, so nobody is held back by them; who comes second waits and adds to what is there. */
static void counters_that_two_add_to_at_once_count_both(void **state)
{
    pthread_t thread;
    (void)state;
    be_patient();
    engine_ask("INSERT INTO interlock.face_model (id) VALUES (5)");
    PGconn *other =
        engine_hold("UPDATE interlock.face_model SET verification_count = verification_count + 10 WHERE id = 5");
    struct delivery *delivery =
        engine_command("face-model/5", "f-1", "face.record_verification", "",
                       "{\"verification_id\":1,\"model_id\":5,\"user_id\":9,\"result\":\"SUCCESS\"}");
    assert_int_equal(pthread_create(&thread, NULL, commit_when_waited_for, other), 0);
    engine_run_one(delivery);
    pthread_join(thread, NULL);
    PQfinish(other);
    assert_outcome(delivery, "applied");
    assert_sql("11 1", "SELECT verification_count || ' ' || successful_verifications FROM interlock.face_model");
}

/* --- the Redis lock ---------------------------------------------------------------------------------------------- */

static struct lock *lock_of(const char *owner)
{
    struct lock *lock = lock_new(&(struct lock_options){ .url = getenv("REDIS_URL"),
                                                         .prefix = "interlock-test:",
                                                         .owner = owner,
                                                         .connect_timeout_us = PATIENCE_US,
                                                         .command_timeout_us = PATIENCE_US });
    assert_non_null(lock);
    return lock;
}

/* A release is sent without waiting for its answer, so Redis may read it after a question of another connection. */
static void assert_becomes_free(struct lock *lock, const char *name)
{
    struct lock_name names[] = { { .name = span_of(name), .lease_us = PATIENCE_US } };
    int64_t deadline_us = monotonic_us() + PATIENCE_US, valid_until_us;

    do
        assert_int_equal(lock_acquire(lock, names, 1, &valid_until_us), LOCK_TAKEN);
    while (!names[0].taken && monotonic_us() < deadline_us);
    assert_true(names[0].taken);
    lock_release_send(lock, names, 1);
}

static void a_refused_lock_holds_its_command_back_until_its_turn(void **state)
{
    (void)state;
    if (getenv("REDIS_URL") == NULL)
        skip();
    create_tickets(2);
    struct lock *other = lock_of("test/1/x/0/0");
    struct lock_name names[] = { { .name = SPAN_LITERAL("ticket/1"), .lease_us = 20000000 } };
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(other, names, 1, &valid_until_us), LOCK_TAKEN);
    assert_true(names[0].taken);
    engine.batch->tools.lock = lock_of("test/0/y/0/0");
    struct delivery *given[] = { engine_escalate(1, "a-1"), engine_escalate(2, "b-1"), engine_escalate(1, "a-2") };
    engine_run(given, 3);
    assert_hold(0, HOLD_BUSY);
    assert_outcome(given[1], "applied");
    assert_hold(2, HOLD_BEHIND);
    /* Past the longest wait PostgreSQL decides alone. */
    struct delivery *turn = given[0];
    int64_t degraded = metrics_get(METRIC_LOCK_DEGRADED);
    assert_int_equal(engine_run_as(&turn, 1, (struct batch_mode){ .waiting = true }), BATCH_DONE);
    assert_outcome(turn, "applied");
    assert_int_equal(metrics_get(METRIC_LOCK_DEGRADED) - degraded, 1);
    /* The other's lock is still the other's; our own are released. */
    struct lock *third = lock_of("test/2/z/0/0");
    struct lock_name same[] = { { .name = SPAN_LITERAL("ticket/1"), .lease_us = PATIENCE_US } };
    assert_int_equal(lock_acquire(third, same, 1, &valid_until_us), LOCK_TAKEN);
    assert_true(same[0].refused);
    lock_free(third);
    lock_release_send(other, names, 1);
    assert_becomes_free(other, "ticket/1");
    assert_becomes_free(other, "ticket/2");
    lock_free(other);
    lock_free(engine.batch->tools.lock);
}

struct attempt
{
    PGconn *other; /* that the batch waits for */
    struct lock *lock;
    struct lock_name names[1];
    enum lock_result result;
};

/* Tries for the lock of ticket 1 once the batch waits for the other session, which then gives up. */
static void *try_the_lock_meanwhile(void *of)
{
    struct attempt *attempt = of;
    int64_t valid_until_us;

    engine_await_on(
        attempt->other, "t",
        "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))");
    attempt->result = lock_acquire(attempt->lock, attempt->names, 1, &valid_until_us);
    engine_ask_on(attempt->other, "ROLLBACK");
    return NULL;
}

/* Lock, begin, commit, release: the last statement of the transaction still finds the lock held. */
static void the_lock_is_held_until_the_commit(void **state)
{
    pthread_t thread;
    (void)state;
    if (getenv("REDIS_URL") == NULL)
        skip();
    be_patient();
    create_tickets(1);
    struct attempt attempt = { .other = engine_hold("LOCK TABLE interlock.audit_event IN SHARE MODE"),
                               .lock = lock_of("test/1/x/0/0"),
                               .names = { { .name = SPAN_LITERAL("ticket/1"), .lease_us = PATIENCE_US } } };
    assert_becomes_free(attempt.lock, "ticket/1"); /* connected, and nothing of an earlier test is left */
    engine.batch->tools.lock = lock_of("test/0/y/0/0");
    struct delivery *delivery = engine_escalate(1, "a-1");
    assert_int_equal(pthread_create(&thread, NULL, try_the_lock_meanwhile, &attempt), 0);
    engine_run_one(delivery);
    pthread_join(thread, NULL);
    PQfinish(attempt.other);
    assert_outcome(delivery, "applied");
    assert_int_equal(attempt.result, LOCK_TAKEN);
    assert_true(attempt.names[0].refused);
    lock_free(attempt.lock);
    lock_free(engine.batch->tools.lock);
}

static void without_redis_the_batch_goes_on(void **state)
{
    (void)state;
    create_tickets(1);
    engine.batch->tools.lock = lock_new(&(struct lock_options){ .url = "redis://127.0.0.1:1",
                                                                .prefix = "interlock-test:",
                                                                .owner = "test/0/y/0/0",
                                                                .connect_timeout_us = 100000,
                                                                .command_timeout_us = 100000 });
    assert_non_null(engine.batch->tools.lock);
    struct delivery *delivery = engine_escalate(1, "a-1");
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    lock_free(engine.batch->tools.lock);
}

/* --- with the protection off ------------------------------------------------------------------------------------- */

static bool escalated_elsewhere;

static void escalate_elsewhere(void)
{
    PGconn *other = engine_session();
    engine_ask_on(other, "SET lock_timeout = '100ms'");
    PGresult *result = PQexec(other, "UPDATE interlock.ticket SET level = level + 1 WHERE id = 1");
    escalated_elsewhere = PQresultStatus(result) == PGRES_COMMAND_OK; /* refused while the row is locked */
    PQclear(result);
    PQfinish(other);
}

static void a_change_between_reading_and_writing_is_shut_out_by_the_row_lock(void **state)
{
    (void)state;
    create_tickets(1);
    engine_interrupt("a-1", escalate_elsewhere);
    engine_run_one(engine_escalate(1, "a-1"));
    assert_false(escalated_elsewhere);
    assert_sql("1", "SELECT level FROM interlock.ticket WHERE id = 1"); /* the other one was told to wait */
}

static void with_row_locks_off_such_a_change_is_lost(void **state)
{
    (void)state;
    create_tickets(1);
    engine.settings.protections.row_locks = false;
    engine_interrupt("a-1", escalate_elsewhere);
    engine_run_one(engine_escalate(1, "a-1"));
    assert_true(escalated_elsewhere);
    assert_sql("1", "SELECT level FROM interlock.ticket WHERE id = 1"); /* two were done */
}

static void without_a_transaction_row_locks_end_too_early_and_it_is_lost_as_well(void **state)
{
    (void)state;
    create_tickets(1);
    engine.settings.protections.transaction = false;
    engine_interrupt("a-1", escalate_elsewhere);
    engine_run_one(engine_escalate(1, "a-1"));
    assert_true(escalated_elsewhere);
    assert_sql("1", "SELECT level FROM interlock.ticket WHERE id = 1"); /* two were done */
}

static void without_a_transaction_a_batch_of_held_commands_writes_nothing(void **state)
{
    struct delivery *held;
    PGconn *other = engine_session();
    (void)state;
    create_tickets(1);
    PQclear(PQexec(other, "BEGIN; SELECT 1 FROM interlock.ticket WHERE id = 1 FOR UPDATE"));
    engine.settings.protections.transaction = false;
    held = engine_escalate(1, "a-1");
    engine_run_one(held);
    assert_int_equal(engine.batch->items[0].hold, HOLD_BUSY);
    PQfinish(other);
    assert_sql("0", "SELECT level FROM interlock.ticket WHERE id = 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(a_busy_row_holds_back_its_own_key_and_nothing_of_it_is_written),
        ENGINE_TEST(a_row_that_only_a_foreign_key_looks_at_is_not_busy),
        ENGINE_TEST(a_command_answered_by_a_record_needs_no_row),
        ENGINE_TEST(a_refused_command_needs_no_row_but_keeps_its_place),
        ENGINE_TEST(a_command_of_several_rows_is_held_whole),
        ENGINE_TEST(a_busy_child_makes_its_root_busy),
        ENGINE_TEST(a_row_that_another_session_is_creating_is_not_there_yet),
        ENGINE_TEST(in_its_turn_a_command_waits_and_sees_what_the_other_did),
        ENGINE_TEST(a_command_waits_for_children_too_in_its_turn),
        ENGINE_TEST(a_turn_without_success_is_transient_and_leaves_nothing),
        ENGINE_TEST(a_command_behind_a_row_that_is_held_for_long_gets_its_turn_in_the_end),
        ENGINE_TEST(counters_that_two_add_to_at_once_count_both),
        ENGINE_TEST(a_refused_lock_holds_its_command_back_until_its_turn),
        ENGINE_TEST(the_lock_is_held_until_the_commit),
        ENGINE_TEST(without_redis_the_batch_goes_on),
        ENGINE_TEST(a_change_between_reading_and_writing_is_shut_out_by_the_row_lock),
        ENGINE_TEST(with_row_locks_off_such_a_change_is_lost),
        ENGINE_TEST(without_a_transaction_row_locks_end_too_early_and_it_is_lost_as_well),
        ENGINE_TEST(without_a_transaction_a_batch_of_held_commands_writes_nothing),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
