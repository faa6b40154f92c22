/* fake: pq */
#include "tests/fixtures/pipeline.h"

#include <errno.h>

#include "worker/postgres/session_terms.h"

/* Opening a session (PROTOCOL O6). */

static void a_connection_that_is_refused_is_a_lost_session(void **state)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll", .status = PGRES_POLLING_FAILED, .breaks = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
    assert_string_equal(pipeline_failure(pipeline)->message, "connection to server was lost");
    assert_false(pipeline_is_connected(pipeline));
    connect_well(); /* and the next one may go well */
}

static void why_a_server_refused_is_told_with_its_sqlstate_and_without_what_stands_beside(void **state)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll",
          .status = PGRES_POLLING_FAILED,
          .message = "connection to server at \"a\", port 1 failed: Connection refused\n\tIs the server running?\n"
                     "connection to server at \"b\", port 2 failed: FATAL:  53300: sorry\nDETAIL:  secret\n"
                     "LOCATION:  InitProcess, proc.c:359",
          .breaks = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "53300");
    assert_string_equal(pipeline_failure(pipeline)->message,
                        "connection to server at \"a\", port 1 failed: Connection refused; "
                        "connection to server at \"b\", port 2 failed: FATAL:  53300: sorry");
}

static void fall_silent(void)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll", .status = PGRES_POLLING_READING },
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
}

static void a_silent_host_of_several_is_the_last_of_the_next_attempt(void **state)
{
    static char url[] = "postgresql://a:1,b:2,c:3/interlock";
    static const struct pq_row refused[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll", .status = PGRES_POLLING_FAILED, .breaks = true },
        PQ_FINISHES,
        PQ_END,
    };
    (void)state;
    settings.database.url = url;
    fall_silent();
    assert_string_equal(pq_hosts(), "");
    fall_silent();
    assert_string_equal(pq_hosts(), "host=b,c,a port=2,3,1");
    pq_play(refused); /* libpq itself went through all of them */
    assert_false(pipeline_connect(pipeline, NULL));
    assert_string_equal(pq_hosts(), "host=c,a,b port=3,1,2");
    fall_silent();
    assert_string_equal(pq_hosts(), "host=c,a,b port=3,1,2");
    connect_well();
    assert_string_equal(pq_hosts(), "host=a,b,c port=1,2,3");
}

static void one_port_is_every_host_s_and_one_host_stays_the_first(void **state)
{
    static char several[] = "postgresql://a,b/interlock?port=7", single[] = "postgresql://a:1/interlock";
    (void)state;
    settings.database.url = several;
    fall_silent();
    settings.database.url = single;
    connect_well();
    assert_string_equal(pq_hosts(), "");
}

static void a_url_that_cannot_be_read_is_a_lost_session(void **state)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams", .status = CONNECTION_BAD },
        PQ_FINISHES,
        PQ_END,
    };
    static const struct pq_row no_memory[] = { { .function = "PQconnectStartParams", .fails = true }, PQ_END };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
    pq_play(no_memory);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
}

static void a_server_that_accepts_and_says_nothing_is_left_at_the_deadline(void **state)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" },
        { .function = "PQconnectPoll", .status = PGRES_POLLING_READING },
        { .function = "PQconnectPoll", .status = PGRES_POLLING_READING, .delay_us = SECOND_US },
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    (void)state;
    pq_play(rows);
    int64_t begun_us = pq_now_us();
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
    assert_true(pq_now_us() - begun_us >= 5 * SECOND_US);
    assert_true(pq_now_us() - begun_us < 6 * SECOND_US);
}

static void connecting_ends_when_a_stop_is_asked_for(void **state)
{
    static const struct pq_row rows[] = { { .function = "PQconnectStartParams" }, PQ_FINISHES, PQ_END };
    atomic_bool stop = true;
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, &stop));
    assert_failure(FAILURE_SESSION, "");
    assert_string_equal(pipeline_failure(pipeline)->message, "stopped");
}

static void an_interrupted_wait_goes_on(void **state)
{
    static const struct pq_row rows[] = { { .function = "PQconnectStartParams" },
                                          { .function = "poll", .status = EINTR },
                                          { .function = "PQconnectPoll", .status = PGRES_POLLING_OK },
                                          PQ_SETS_UP,
                                          PQ_END };
    (void)state;
    pq_play(rows);
    assert_true(pipeline_connect(pipeline, NULL));
}

static void a_wait_that_fails_is_a_lost_session(void **state)
{
    static const struct pq_row rows[] = {
        { .function = "PQconnectStartParams" }, { .function = "poll", .status = EINVAL }, PQ_FINISHES, PQ_END
    };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
}

static void a_server_that_falls_silent_while_the_session_is_set_up_is_left(void **state)
{
    static const struct pq_row rows[] = {
        PQ_STARTS,
        PQ_SENDS(NULL),
        { .function = "PQfinish", .delay_us = PQ_SILENT },
        PQ_END,
    };
    (void)state;
    pq_play(rows);
    int64_t begun_us = pq_now_us();
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
    assert_true(pq_now_us() - begun_us < 6 * SECOND_US);
}

static void a_session_that_dies_while_it_is_set_up_is_left(void **state)
{
    static const struct pq_row rows[] = {
        PQ_STARTS,   PQ_SENDS(NULL), PQ_TELLS("22"), { .function = "PQsendQueryParams", .fails = true },
        PQ_FINISHES, PQ_END,
    };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_SESSION, "");
    assert_false(pipeline_is_connected(pipeline));
}

static void a_session_that_does_not_keep_what_was_set_is_refused_by_name(void **state)
{
    static const struct pq_row rows[] = {
        PQ_STARTS,   PQ_SENDS(NULL), PQ_TELLS("22"), PQ_SENDS(NULL), PQ_TELLS("synchronous_commit is off"),
        PQ_FINISHES, PQ_END,
    };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_failure(FAILURE_OURS, "");
    assert_string_equal(pipeline_failure(pipeline)->message, "synchronous_commit is off");
    assert_false(pipeline_is_connected(pipeline));
}

static void a_setting_that_the_server_refuses_says_why(void **state)
{
    static const struct pq_row rows[] = {
        PQ_STARTS,   PQ_SENDS(NULL), PQ_REFUSES("22023", "invalid value for parameter \"lock_timeout\""),
        PQ_FINISHES, PQ_END,
    };
    (void)state;
    pq_play(rows);
    assert_false(pipeline_connect(pipeline, NULL));
    assert_string_equal(pipeline_failure(pipeline)->sqlstate, "22023");
    assert_false(pipeline_is_connected(pipeline));
}

/* PROTOCOL O6. */
static void the_session_s_terms_are_set_and_then_looked_at(void **state)
{
    struct buffer set = BUFFER_EMPTY, look = BUFFER_EMPTY;
    (void)state;
    assert_true(session_terms_write_set(SESSION_LANE, &settings, &set));
    assert_true(session_terms_write_look(SESSION_LANE, &settings, &look));
    const struct pq_row rows[] = {
        PQ_STARTS,      PQ_SENDS(set.at),
        PQ_TELLS("22"), PQ_SENDS(look.at),
        PQ_TELLS(""),   { .function = "PQenterPipelineMode" },
        PQ_END,
    };
    pq_play(rows);
    assert_true(pipeline_connect(pipeline, NULL));
    assert_string_equal(pipeline_where(pipeline), "db.example:5432");
    pq_end();
    buffer_done(&set);
    buffer_done(&look);
}

static void without_the_protection_they_are_only_looked_at(void **state)
{
    static const struct pq_row rows[] = {
        PQ_STARTS, PQ_SENDS(NULL), PQ_TELLS(""), { .function = "PQenterPipelineMode" }, PQ_END,
    };
    (void)state;
    settings.protections.session_terms = false;
    pq_play(rows);
    assert_true(pipeline_connect(pipeline, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PIPELINE_TEST(a_connection_that_is_refused_is_a_lost_session),
        PIPELINE_TEST(why_a_server_refused_is_told_with_its_sqlstate_and_without_what_stands_beside),
        PIPELINE_TEST(a_silent_host_of_several_is_the_last_of_the_next_attempt),
        PIPELINE_TEST(one_port_is_every_host_s_and_one_host_stays_the_first),
        PIPELINE_TEST(a_url_that_cannot_be_read_is_a_lost_session),
        PIPELINE_TEST(a_server_that_accepts_and_says_nothing_is_left_at_the_deadline),
        PIPELINE_TEST(connecting_ends_when_a_stop_is_asked_for),
        PIPELINE_TEST(an_interrupted_wait_goes_on),
        PIPELINE_TEST(a_wait_that_fails_is_a_lost_session),
        PIPELINE_TEST(a_server_that_falls_silent_while_the_session_is_set_up_is_left),
        PIPELINE_TEST(a_session_that_dies_while_it_is_set_up_is_left),
        PIPELINE_TEST(a_session_that_does_not_keep_what_was_set_is_refused_by_name),
        PIPELINE_TEST(a_setting_that_the_server_refuses_says_why),
        PIPELINE_TEST(the_session_s_terms_are_set_and_then_looked_at),
        PIPELINE_TEST(without_the_protection_they_are_only_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
