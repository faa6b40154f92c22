/* fake: pq */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fakes/pq.h"
#include "worker/postgres/session.h"
#include "worker/settings/settings.h"

/* One statement at a time, each with its time, and what ends a wait. */

enum
{
    SECOND_US = 1000000,
    WAKE = 2000, /* a descriptor that main would be woken by */
};

#define TERMS_SET PQ_SENDS(NULL), PQ_TELLS("22")
#define TERMS_MET PQ_SENDS(NULL), PQ_TELLS("")

static struct settings settings;
static struct session *session;

static int set_up(void **state)
{
    static char url[] = "postgresql://db.example/interlock";
    (void)state;
    memset(&settings, 0, sizeof(settings));
    settings.database.url = url;
    settings.database.connect_timeout_us = 5 * SECOND_US;
    settings.protections.session_terms = true;
    session = session_new(&settings, "interlock test");
    return session ? 0 : -1;
}

static int tear_down(void **state)
{
    static const struct pq_row closing[] = { PQ_FINISHES, PQ_END };
    (void)state;
    if (session_is_open(session))
        pq_play(closing);
    session_free(session);
    pq_end();
    return 0;
}

static void connect_well(void)
{
    static const struct pq_row rows[] = { PQ_STARTS, TERMS_SET, TERMS_MET, PQ_END };
    pq_play(rows);
    assert_true(session_connect(session, NULL));
}

static void assert_closed(const char *problem)
{
    assert_false(session_is_open(session));
    assert_int_equal(session_socket(session), -1);
    assert_string_equal(session_problem(session), problem);
}

/* --- opening (PROTOCOL O6) --------------------------------------------------------------------------------------- */

static void a_session_stands_once_its_terms_are_set_and_met(void **state)
{
    (void)state;
    assert_string_equal(session_where(session), "PostgreSQL");
    connect_well();
    assert_true(session_is_open(session));
    assert_true(session_socket(session) >= 0);
    assert_string_equal(session_where(session), "PostgreSQL at db.example:5432");
}

static void with_the_terms_off_they_are_only_looked_at(void **state)
{
    static const struct pq_row rows[] = { PQ_STARTS, TERMS_MET, PQ_END };
    (void)state;
    settings.protections.session_terms = false;
    pq_play(rows);
    assert_true(session_connect(session, NULL));
}

static void a_server_that_does_not_meet_the_terms_is_unfit_and_left(void **state)
{
    static const struct pq_row rows[] = { PQ_STARTS,   TERMS_SET, PQ_SENDS(NULL), PQ_TELLS("it is a standby"),
                                          PQ_FINISHES, PQ_END };
    (void)state;
    pq_play(rows);
    assert_false(session_connect(session, NULL));
    assert_closed("it is a standby");
    assert_true(session_is_unfit(session));
    connect_well(); /* the next one may be another server */
    assert_false(session_is_unfit(session));
}

static void terms_that_are_refused_are_no_judgement_of_the_server(void **state)
{
    static const struct pq_row rows[] = { PQ_STARTS, PQ_SENDS(NULL), PQ_REFUSES("42501", "permission denied"),
                                          PQ_FINISHES, PQ_END };
    (void)state;
    pq_play(rows);
    assert_false(session_connect(session, NULL));
    assert_closed("permission denied (SQLSTATE 42501)");
    assert_false(session_is_unfit(session));
}

static void a_refused_connection_says_why_on_one_line(void **state)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll",
          .status = PGRES_POLLING_FAILED,
          .message = "connection to server failed: FATAL:  28P01: no",
          .breaks = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    pq_play(rows);
    assert_false(session_connect(session, NULL));
    assert_closed("connection to server failed: FATAL:  28P01: no");
}

static void a_server_that_says_nothing_is_left_at_the_connect_timeout(void **state)
{
    static char url[] = "postgresql://a:1,b:2/interlock";
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll", .status = PGRES_POLLING_READING },
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    (void)state;
    settings.database.url = url;
    pq_play(rows);
    int64_t begun_us = pq_now_us();
    assert_false(session_connect(session, NULL));
    assert_closed("no answer within the time allowed");
    assert_true(pq_now_us() - begun_us >= 5 * SECOND_US && pq_now_us() - begun_us < 6 * SECOND_US);
    connect_well();
    assert_string_equal(pq_hosts(), "host=b,a port=2,1"); /* the silent one comes last */
}

/* --- statements -------------------------------------------------------------------------------------------------- */

static void a_statement_is_sent_with_its_values_and_answered(void **state)
{
    static const struct pq_row rows[] = { PQ_SENDS("SELECT $1"), PQ_TELLS("seven"), PQ_END };
    const char *values[] = { "7" };
    (void)state;
    connect_well();
    pq_play(rows);
    PGresult *result = session_run(session, "SELECT $1", 1, values, SECOND_US, NULL);
    assert_non_null(result);
    assert_false(session_is_refused(session, result, NULL));
    assert_int_equal(pq_parameter_count(), 1);
    assert_true(span_is(pq_parameter(0), "7"));
    PQclear(result);
}

static void a_refused_statement_is_a_result_and_the_session_stays(void **state)
{
    static const struct pq_row rows[] = { PQ_SENDS("LOCK"), PQ_REFUSES("55P03", "canceling\n  statement"), PQ_END };
    const char *sqlstate = "";
    (void)state;
    connect_well();
    pq_play(rows);
    PGresult *result = session_run(session, "LOCK", 0, NULL, SECOND_US, NULL);
    assert_true(session_is_refused(session, result, &sqlstate));
    assert_string_equal(sqlstate, "55P03");
    assert_string_equal(session_problem(session), "canceling   statement (SQLSTATE 55P03)");
    assert_true(session_is_open(session));
    PQclear(result);
}

static void an_answer_that_takes_too_long_ends_the_session(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    (void)state;
    connect_well();
    pq_play(rows);
    int64_t begun_us = pq_now_us();
    assert_null(session_run(session, "SELECT 1", 0, NULL, 2 * SECOND_US, NULL));
    assert_closed("no answer within the time allowed");
    assert_true(pq_now_us() - begun_us >= 2 * SECOND_US && pq_now_us() - begun_us < 3 * SECOND_US);
}

static void a_connection_that_breaks_ends_the_session(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        { .function = "PQconsumeInput", .fails = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    connect_well();
    pq_play(rows);
    assert_null(session_run(session, "SELECT 1", 0, NULL, SECOND_US, NULL));
    assert_closed("connection to server was lost");
}

static void a_result_does_not_count_when_the_connection_broke_behind_it(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("COMMIT"),
        PQ_RESULT(.status = PGRES_FATAL_ERROR, .sqlstate = "57P01", .message = "terminating", .breaks = true),
        PQ_NO_MORE,
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    connect_well();
    pq_play(rows);
    assert_null(session_run(session, "COMMIT", 0, NULL, SECOND_US, NULL));
    assert_closed("connection to server was lost");
}

static void without_a_session_nothing_is_sent(void **state)
{
    PGresult *result = NULL;
    (void)state;
    assert_null(session_run(session, "SELECT 1", 0, NULL, SECOND_US, NULL));
    assert_closed("not connected");
    assert_false(session_send(session, "SELECT 1", 0, NULL));
    assert_int_equal(session_collect(session, &result), SESSION_LOST);
    assert_false(session_listen(session));
}

/* --- what ends a wait -------------------------------------------------------------------------------------------- */

static void assert_stopped(const struct session_stop *stop, const char *problem, int64_t within_us)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    connect_well();
    pq_play(rows);
    int64_t begun_us = pq_now_us();
    assert_null(session_run(session, "SELECT 1", 0, NULL, 60 * (int64_t)SECOND_US, stop));
    assert_closed(problem);
    assert_true(pq_now_us() - begun_us <= within_us);
}

static void a_wait_ends_when_its_owner_raises_the_flag(void **state)
{
    atomic_bool flag = true;
    struct session_stop stop = { .flag = &flag, .fd = -1 };
    (void)state;
    assert_stopped(&stop, "stopped", 0);
}

static void a_wait_ends_when_somebody_writes_to_the_descriptor(void **state)
{
    struct session_stop stop = { .fd = WAKE };
    (void)state;
    pq_wake(WAKE);
    assert_stopped(&stop, "stopped", 0);
}

static void a_wait_ends_at_the_deadline_of_the_process(void **state)
{
    struct session_stop stop = { .fd = -1 };
    (void)state;
    connect_well(); /* the clock of the script begins with it */
    stop.deadline_us = pq_now_us() + SECOND_US;
    static const struct pq_row closing[] = { PQ_FINISHES, PQ_STARTS, TERMS_SET, TERMS_MET, PQ_END };
    pq_play(closing);
    assert_true(session_connect(session, NULL)); /* replaces the session that is open */
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    pq_play(rows);
    int64_t begun_us = pq_now_us();
    assert_null(session_run(session, "SELECT 1", 0, NULL, 60 * (int64_t)SECOND_US, &stop));
    assert_closed("no answer within the time allowed");
    assert_true(pq_now_us() - begun_us < 2 * SECOND_US);
}

/* --- without waiting --------------------------------------------------------------------------------------------- */

static void a_statement_that_was_sent_is_collected_when_it_is_there(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("SELECT 1"),
        PQ_RESULT(.status = PGRES_TUPLES_OK, .value = "1", .delay_us = SECOND_US),
        PQ_NO_MORE,
        PQ_END,
    };
    PGresult *result = NULL;
    (void)state;
    connect_well();
    assert_int_equal(session_collect(session, &result), SESSION_NONE_SENT);
    pq_play(rows);
    assert_true(session_send(session, "SELECT 1", 0, NULL));
    assert_int_equal(session_collect(session, &result), SESSION_BUSY);
    pq_pass(SECOND_US);
    assert_int_equal(session_collect(session, &result), SESSION_ANSWERED);
    assert_non_null(result);
    PQclear(result);
    assert_int_equal(session_collect(session, &result), SESSION_NONE_SENT);
}

static void a_statement_that_is_out_is_waited_for_by_the_next_one(void **state)
{
    static const struct pq_row rows[] = {
        PQ_SENDS("UPDATE"), PQ_RESULT(.status = PGRES_COMMAND_OK, .value = "UPDATE 1", .delay_us = SECOND_US),
        PQ_NO_MORE,         PQ_SENDS("SELECT 2"),
        PQ_TELLS("2"),      PQ_END,
    };
    (void)state;
    connect_well();
    pq_play(rows);
    assert_true(session_send(session, "UPDATE", 0, NULL));
    PGresult *result = session_run(session, "SELECT 2", 0, NULL, 5 * SECOND_US, NULL);
    assert_string_equal(PQgetvalue(result, 0, 0), "2");
    PQclear(result);
}

static void a_session_that_the_server_closed_is_noticed_unasked(void **state)
{
    static const struct pq_row rows[] = { { .function = "hangup" }, PQ_FINISHES, PQ_END };
    (void)state;
    connect_well();
    assert_true(session_listen(session));
    pq_play(rows);
    assert_false(session_listen(session));
    assert_closed("the server closed the session");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_session_stands_once_its_terms_are_set_and_met),
        TEST(with_the_terms_off_they_are_only_looked_at),
        TEST(a_server_that_does_not_meet_the_terms_is_unfit_and_left),
        TEST(terms_that_are_refused_are_no_judgement_of_the_server),
        TEST(a_refused_connection_says_why_on_one_line),
        TEST(a_server_that_says_nothing_is_left_at_the_connect_timeout),
        TEST(a_statement_is_sent_with_its_values_and_answered),
        TEST(a_refused_statement_is_a_result_and_the_session_stays),
        TEST(an_answer_that_takes_too_long_ends_the_session),
        TEST(a_connection_that_breaks_ends_the_session),
        TEST(a_result_does_not_count_when_the_connection_broke_behind_it),
        TEST(without_a_session_nothing_is_sent),
        TEST(a_wait_ends_when_its_owner_raises_the_flag),
        TEST(a_wait_ends_when_somebody_writes_to_the_descriptor),
        TEST(a_wait_ends_at_the_deadline_of_the_process),
        TEST(a_statement_that_was_sent_is_collected_when_it_is_there),
        TEST(a_statement_that_is_out_is_waited_for_by_the_next_one),
        TEST(a_session_that_the_server_closed_is_noticed_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
