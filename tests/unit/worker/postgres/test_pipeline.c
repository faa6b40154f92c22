/* fake: pq */
#include "tests/fixtures/pipeline.h"

#include <string.h>

#include "workflows/base/utf8.h"

/* --- the pipeline ------------------------------------------------------------------------------------------------ */

static void a_pipeline_is_sent_whole_and_then_read_in_order(void **state)
{
    static const struct pq_row rows[] = { PQ_PREPARES("SELECT 1"), PQ_EXECUTES("s0"), PQ_SENDS("COMMIT"), PQ_SYNCS,
                                          PQ_DOES("PREPARE"), PQ_TELLS("1"), PQ_DOES("COMMIT"), PQ_ENDS(PQTRANS_IDLE),
                                          /* the second time it is prepared already */
                                          PQ_EXECUTES("s0"), PQ_SYNCS, PQ_TELLS("2"), PQ_ENDS(PQTRANS_IDLE), PQ_END };
    (void)state;
    connect_and_play(rows);
    assert_true(send_statement("SELECT 1"));
    assert_true(pipeline_send_text(pipeline, "COMMIT"));
    assert_true(pipeline_sync(pipeline));
    assert_string_equal(PQgetvalue(pipeline_result(pipeline, 0), 0, 0), "1");
    assert_true(pipeline_is_tagged(pipeline, 1, "COMMIT"));
    assert_true(send_statement("SELECT 1"));
    assert_true(pipeline_sync(pipeline));
    assert_string_equal(PQgetvalue(pipeline_result(pipeline, 0), 0, 0), "2");
    assert_failure(FAILURE_NONE, "");
}

static void an_error_says_which_statement_and_the_skipped_ones_are_not_taken_for_it(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"),
        PQ_SENDS("INSERT"),
        PQ_SENDS("COMMIT"),
        PQ_SYNCS,
        PQ_DOES("BEGIN"),
        PQ_RESULT(.status = PGRES_FATAL_ERROR, .sqlstate = "23505", .message = "duplicate key", .constraint = "t_pkey",
                  .column = "id"),
        PQ_NO_MORE,
        PQ_SKIPS,
        PQ_ENDS(PQTRANS_INERROR),
        PQ_ROLLS_BACK,
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_true(pipeline_send_text(pipeline, "INSERT"));
    assert_true(pipeline_send_text(pipeline, "COMMIT"));
    assert_false(pipeline_sync(pipeline));
    assert_int_equal(pipeline_failed_at(pipeline), 1);
    assert_true(pipeline_rollback(pipeline));
    /* The rollback went well, and what failed before it is still known. */
    assert_failure(FAILURE_COMMAND, "23505");
    assert_string_equal(pipeline_failure(pipeline)->constraint, "t_pkey");
    assert_string_equal(pipeline_failure(pipeline)->column, "id");
    assert_int_equal(pipeline_failed_at(pipeline), 1);
    assert_true(pipeline_is_connected(pipeline));
}

static void a_commit_answered_with_rollback_has_not_committed(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("COMMIT"), PQ_SYNCS, PQ_DOES("ROLLBACK"), PQ_ENDS(PQTRANS_IDLE), PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "COMMIT"));
    assert_true(pipeline_sync(pipeline)); /* PostgreSQL reports success */
    assert_false(pipeline_is_tagged(pipeline, 0, "COMMIT"));
}

static void a_session_lost_in_the_pipeline_has_no_code_and_is_closed(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"),
        PQ_SENDS("COMMIT"),
        PQ_SYNCS,
        PQ_DOES("BEGIN"),
        /* libpq's own error: no SQLSTATE; then it has nothing more to give */
        PQ_RESULT(.status = PGRES_FATAL_ERROR, .message = "server closed the connection unexpectedly", .breaks = true),
        PQ_NO_MORE,
        PQ_NO_MORE,
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_true(pipeline_send_text(pipeline, "COMMIT"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_SESSION, "");
    assert_false(pipeline_is_connected(pipeline));
    assert_false(pipeline_rollback(pipeline));
    assert_false(pipeline_send_text(pipeline, "BEGIN"));
    assert_failure(FAILURE_SESSION, "");
    assert_false(pipeline_sync(pipeline));
    connect_well();
}

static void a_terminated_backend_is_a_lost_session_though_libpq_thinks_it_is_there(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"),     PQ_SYNCS,    PQ_REFUSES("57P01", "terminating connection due to administrator command"),
        PQ_ENDS(PQTRANS_IDLE), PQ_FINISHES, PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_SESSION, "57P01");
    assert_false(pipeline_is_connected(pipeline));
}

static void a_connection_that_breaks_while_input_is_taken_in_is_a_lost_session(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"), PQ_SYNCS, { .function = "PQconsumeInput", .fails = true }, PQ_FINISHES, PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_SESSION, "");
}

static void a_send_that_fails_closes_the_session_and_forgets_what_was_prepared(void **state)
{
    static const struct pq_row rows[] = {
        PQ_PREPARES("SELECT 1"),
        PQ_EXECUTES("s0"),
        PQ_SYNCS,
        PQ_DOES("PREPARE"),
        PQ_TELLS("1"),
        PQ_ENDS(PQTRANS_IDLE),
        { .function = "PQsendQueryPrepared", .text = "s0", .fails = true },
        PQ_FINISHES,
        PQ_END,
    };
    static const struct pq_row again[] = {
        PQ_PREPARES("SELECT 1"), PQ_EXECUTES("s0"),     PQ_SYNCS, PQ_DOES("PREPARE"),
        PQ_TELLS("1"),           PQ_ENDS(PQTRANS_IDLE), PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(send_statement("SELECT 1"));
    assert_true(pipeline_sync(pipeline));
    assert_false(send_statement("SELECT 1"));
    assert_failure(FAILURE_SESSION, "");
    connect_well();
    pq_play(again);
    assert_true(send_statement("SELECT 1"));
    assert_true(pipeline_sync(pipeline));
}

static void without_a_transaction_each_statement_ends_by_itself(void **state)
{
    static const struct pq_row rows[] = {
        PQ_PREPARES("SELECT 1"),
        PQ_EXECUTES("s0"),
        PQ_SYNCS,
        PQ_SENDS("UPDATE a"),
        PQ_SYNCS,
        PQ_SENDS("UPDATE b"),
        PQ_SYNCS,
        PQ_SYNCS,
        PQ_DOES("PREPARE"),
        PQ_TELLS("1"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_REFUSES("23505", "duplicate key"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_DOES("UPDATE 1"), /* the statement after the failure is done all the same */
        PQ_ENDS(PQTRANS_IDLE),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_SENDS("DEALLOCATE ALL"),
        PQ_SYNCS,
        PQ_SYNCS,
        PQ_DOES("DEALLOCATE ALL"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_END,
    };
    (void)state;
    settings.protections.transaction = false;
    connect_and_play(rows);
    assert_true(send_statement("SELECT 1"));
    assert_true(pipeline_send_text(pipeline, "UPDATE a"));
    assert_true(pipeline_send_text(pipeline, "UPDATE b"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_COMMAND, "23505");
    assert_int_equal(pipeline_failed_at(pipeline), 1);
}

static void a_prepare_that_fails_is_sent_again_the_next_time(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"),
        PQ_PREPARES("SELECT good"),
        PQ_EXECUTES("s0"),
        PQ_PREPARES("SELECT bad"),
        PQ_EXECUTES("s1"),
        PQ_SYNCS,
        PQ_DOES("BEGIN"),
        PQ_DOES("PREPARE"),
        PQ_TELLS("1"),
        PQ_REFUSES("42P01", "relation does not exist"),
        PQ_SKIPS,
        PQ_ENDS(PQTRANS_INERROR),
        /* which of them the server kept is not asked: none is kept */
        PQ_ROLLS_BACK,
        PQ_SENDS("DEALLOCATE ALL"),
        PQ_SYNCS,
        PQ_DOES("DEALLOCATE ALL"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_PREPARES("SELECT good"),
        PQ_EXECUTES("s0"),
        PQ_PREPARES("SELECT bad"),
        PQ_EXECUTES("s1"),
        PQ_SYNCS,
        PQ_DOES("PREPARE"),
        PQ_TELLS("1"),
        PQ_DOES("PREPARE"),
        PQ_TELLS("2"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_true(send_statement("SELECT good"));
    assert_true(send_statement("SELECT bad"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_OURS, "42P01");
    assert_int_equal(pipeline_failed_at(pipeline), 2);
    assert_true(pipeline_rollback(pipeline)); /* nothing is open any more, so nothing is said */
    assert_failure(FAILURE_OURS, "42P01");
    assert_true(send_statement("SELECT good"));
    assert_true(send_statement("SELECT bad"));
    assert_true(pipeline_sync(pipeline));
    assert_string_equal(PQgetvalue(pipeline_result(pipeline, 1), 0, 0), "2");
}

static void a_session_lost_while_statements_are_forgotten_is_closed(void **state)
{
    static const struct pq_row rows[] = {
        PQ_PREPARES("SELECT bad"),
        PQ_EXECUTES("s0"),
        PQ_SYNCS,
        PQ_REFUSES("22012", "division by zero"),
        PQ_SKIPS,
        PQ_ENDS(PQTRANS_IDLE),
        PQ_SENDS("DEALLOCATE ALL"),
        PQ_SYNCS,
        PQ_RESULT(.status = PGRES_FATAL_ERROR, .message = "gone", .breaks = true),
        PQ_NO_MORE,
        PQ_RESULT(.status = PQ_NULL),
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(send_statement("SELECT bad"));
    assert_false(pipeline_sync(pipeline));
    assert_false(pipeline_is_connected(pipeline));
    assert_failure(FAILURE_COMMAND, "22012"); /* the statement had been answered before that */
}

static void a_server_that_falls_silent_is_left_at_the_deadline(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT pg_sleep(1000)"),
        PQ_SYNCS,
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    int64_t begun_us = pq_now_us();
    assert_true(pipeline_send_text(pipeline, "SELECT pg_sleep(1000)"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_SESSION, "");
    assert_false(pipeline_is_connected(pipeline));
    /* Later than the server's own limit for a statement, but not for ever. */
    assert_true(pq_now_us() - begun_us > settings.database.statement_timeout_us);
    assert_true(pq_now_us() - begun_us < 5 * settings.database.statement_timeout_us);
}

static void a_slow_answer_is_waited_for(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        PQ_SYNCS,
        PQ_RESULT(.status = PGRES_TUPLES_OK, .value = "1", .delay_us = 3 * SECOND_US),
        PQ_NO_MORE,
        PQ_ENDS(PQTRANS_IDLE),
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "SELECT 1"));
    assert_true(pipeline_sync(pipeline));
}

static void a_full_socket_is_waited_for_and_meanwhile_input_is_taken_in(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        PQ_SYNCS,
        { .function = "PQflush", .status = 1 },
        { .function = "PQconsumeInput" },
        { .function = "PQflush", .status = 1 },
        { .function = "PQconsumeInput" },
        PQ_TELLS("1"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_SENDS("SELECT 2"),
        PQ_SYNCS,
        { .function = "PQflush", .fails = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "SELECT 1"));
    assert_true(pipeline_sync(pipeline));
    assert_true(pipeline_send_text(pipeline, "SELECT 2"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_SESSION, "");
}

static void a_pipeline_without_its_end_is_a_lost_session(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"), PQ_SYNCS, PQ_TELLS("1"), PQ_NO_MORE, PQ_FINISHES, PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "SELECT 1"));
    assert_false(pipeline_sync(pipeline));
    assert_failure(FAILURE_SESSION, "");
}

/* --- rolling back ------------------------------------------------------------------------------------------------ */

static void nothing_is_rolled_back_where_nothing_is_open(void **state)
{
    (void)state;
    connect_well();
    assert_true(pipeline_rollback(pipeline));
}

/* Memory ran out between two sends: what was sent is unsynced, and a statement of it fails only now. */
static void a_rollback_that_was_skipped_with_a_failed_pipeline_is_said_again(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"),
        PQ_SENDS("SELECT bad"),
        PQ_SENDS("ROLLBACK"),
        PQ_SYNCS,
        PQ_DOES("BEGIN"),
        PQ_REFUSES("22012", "division by zero"),
        PQ_SKIPS,
        PQ_ENDS(PQTRANS_INERROR),
        PQ_ROLLS_BACK,
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_true(pipeline_send_text(pipeline, "SELECT bad"));
    assert_true(pipeline_rollback(pipeline));
    assert_failure(FAILURE_NONE, "");
}

static void a_rollback_on_a_dying_session_says_that_it_is_lost(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("BEGIN"),
        PQ_SYNCS,
        PQ_DOES("BEGIN"),
        PQ_ENDS(PQTRANS_INTRANS),
        { .function = "PQsendQueryParams", .text = "ROLLBACK", .fails = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "BEGIN"));
    assert_true(pipeline_sync(pipeline));
    assert_false(pipeline_rollback(pipeline));
    assert_false(pipeline_is_connected(pipeline));
}

/* --- what the server says unasked -------------------------------------------------------------------------------- */

static const char not_replicated[] =
    "The transaction has already committed locally, but might not have been replicated "
    "to the standby.";

/* PROTOCOL R6, and whatever the language of the server is. */
static void a_commit_that_may_not_be_replicated_is_known_until_the_next_one(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("COMMIT"),
        PQ_SYNCS,
        { .function = "notice", .severity = "WARNING", .sqlstate = "01000", .detail = not_replicated },
        PQ_DOES("COMMIT"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_SENDS("COMMIT"),
        PQ_SYNCS,
        PQ_DOES("COMMIT"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_SENDS("COMMIT"),
        PQ_SYNCS,
        { .function = "notice", .severity = "WARNING", .sqlstate = "57P01", .detail = "auf Deutsch" },
        PQ_DOES("COMMIT"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_END,
    };
    static const bool expected[] = { true, false, true };
    (void)state;
    connect_and_play(rows);
    for (int i = 0; i < 3; i++)
    {
        assert_true(pipeline_send_text(pipeline, "COMMIT"));
        assert_true(pipeline_sync(pipeline));
        assert_int_equal(pipeline_is_unreplicated(pipeline), expected[i]);
    }
}

static void other_notices_are_of_no_account(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("COMMIT"),
        PQ_SYNCS,
        { .function = "notice", .severity = "WARNING", .sqlstate = "25P01" },
        { .function = "notice", .severity = "NOTICE", .sqlstate = "00000", .detail = "a detail" },
        { .function = "notice", .severity = "WARNING", .sqlstate = "01000" },
        PQ_DOES("COMMIT"),
        PQ_ENDS(PQTRANS_IDLE),
        PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "COMMIT"));
    assert_true(pipeline_sync(pipeline));
    assert_false(pipeline_is_unreplicated(pipeline));
}

/* It becomes part of an event: a cut in the middle of a letter would make a rejection that cannot be recorded. */
static void a_long_message_is_cut_between_letters(void **state)
{
    static char message[400];
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"), PQ_SYNCS, PQ_REFUSES("P0001", message), PQ_ENDS(PQTRANS_IDLE), PQ_END,
    };
    (void)state;
    connect_well();
    for (int lead = 0; lead < 4; lead++)
    {
        size_t at = 0;
        while (at < (size_t)lead)
            message[at++] = 'x';
        while (at + 4 < sizeof(message))
        {
            memcpy(message + at, "\xF0\x9F\x94\x92", 4);
            at += 4;
        }
        message[at] = '\0';
        pq_play(rows);
        assert_true(pipeline_send_text(pipeline, "SELECT 1"));
        assert_false(pipeline_sync(pipeline));
        const char *kept = pipeline_failure(pipeline)->message;
        assert_true(utf8_is_valid(kept, strlen(kept)));
        assert_true(strlen(kept) > 150);
    }
}

static void bytes_of_a_message_that_are_not_utf8_are_replaced(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"), PQ_SYNCS, PQ_REFUSES("P0001", "a\xFF\nb\xC3"), PQ_ENDS(PQTRANS_IDLE), PQ_END,
    };
    (void)state;
    connect_and_play(rows);
    assert_true(pipeline_send_text(pipeline, "SELECT 1"));
    assert_false(pipeline_sync(pipeline));
    assert_string_equal(pipeline_failure(pipeline)->message, "a? b?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPELINE_TEST(a_pipeline_is_sent_whole_and_then_read_in_order),
        PIPELINE_TEST(an_error_says_which_statement_and_the_skipped_ones_are_not_taken_for_it),
        PIPELINE_TEST(a_commit_answered_with_rollback_has_not_committed),
        PIPELINE_TEST(a_session_lost_in_the_pipeline_has_no_code_and_is_closed),
        PIPELINE_TEST(a_terminated_backend_is_a_lost_session_though_libpq_thinks_it_is_there),
        PIPELINE_TEST(a_connection_that_breaks_while_input_is_taken_in_is_a_lost_session),
        PIPELINE_TEST(a_send_that_fails_closes_the_session_and_forgets_what_was_prepared),
        PIPELINE_TEST(without_a_transaction_each_statement_ends_by_itself),
        PIPELINE_TEST(a_prepare_that_fails_is_sent_again_the_next_time),
        PIPELINE_TEST(a_session_lost_while_statements_are_forgotten_is_closed),
        PIPELINE_TEST(a_server_that_falls_silent_is_left_at_the_deadline),
        PIPELINE_TEST(a_slow_answer_is_waited_for),
        PIPELINE_TEST(a_full_socket_is_waited_for_and_meanwhile_input_is_taken_in),
        PIPELINE_TEST(a_pipeline_without_its_end_is_a_lost_session),
        PIPELINE_TEST(nothing_is_rolled_back_where_nothing_is_open),
        PIPELINE_TEST(a_rollback_that_was_skipped_with_a_failed_pipeline_is_said_again),
        PIPELINE_TEST(a_rollback_on_a_dying_session_says_that_it_is_lost),
        PIPELINE_TEST(a_commit_that_may_not_be_replicated_is_known_until_the_next_one),
        PIPELINE_TEST(other_notices_are_of_no_account),
        PIPELINE_TEST(a_long_message_is_cut_between_letters),
        PIPELINE_TEST(bytes_of_a_message_that_are_not_utf8_are_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
