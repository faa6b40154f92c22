/* wrap: pipeline_is_unreplicated */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/engine.h"
#include "worker/batch/item.h"

/* PROTOCOL R6: a COMMIT that may not have reached the standby is not committed for Kafka's purposes. The standby is the
 * test's word; all else is real. */

static int warnings_left, asked;
static void (*on_warning)(void);

__typeof__(pipeline_is_unreplicated) __wrap_pipeline_is_unreplicated;
bool __wrap_pipeline_is_unreplicated(const struct pipeline *pipeline)
{
    (void)pipeline;
    asked++;
    if (warnings_left == 0)
        return false;
    warnings_left--;
    if (on_warning)
        on_warning();
    return true;
}

static void begin(int warnings, void (*then)(void))
{
    warnings_left = warnings;
    on_warning = then;
    asked = 0;
}

static void answers_are_kept_until_a_later_commit_comes_without_the_warning(void **state)
{
    (void)state;
    begin(3, NULL);
    struct delivery *delivery = engine_create(1);
    const char *before = engine_ask("SELECT pg_current_wal_insert_lsn()");
    engine_run_one(delivery);
    assert_int_equal(asked, 4);
    assert_outcome(delivery, "applied");
    assert_sql("t", "SELECT pg_current_wal_insert_lsn() > '%s'", before);
    assert_sql("1", "SELECT count(*) FROM interlock.audit_event");
    assert_sql(
        "0",
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'");
}

static void kill_the_session(void)
{
    on_warning = NULL;
    engine_ask("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND "
               "pid <> pg_backend_pid()");
}

static void a_session_that_dies_meanwhile_answers_from_its_records_later(void **state)
{
    (void)state;
    begin(1, kill_the_session);
    struct delivery *delivery = engine_create(1);
    assert_int_equal(engine_run_as(&delivery, 1, (struct batch_mode){ .waiting = false }), BATCH_SESSION);
    assert_true(pipeline_connect(engine.pipeline, NULL));
    begin(0, NULL);
    engine_run_one(delivery);
    assert_int_equal(engine.batch->items[0].state, ITEM_KNOWN);
    assert_outcome(delivery, "applied");
    assert_sql("1", "SELECT count(*) FROM interlock.audit_event");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(answers_are_kept_until_a_later_commit_comes_without_the_warning),
        ENGINE_TEST(a_session_that_dies_meanwhile_answers_from_its_records_later),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
