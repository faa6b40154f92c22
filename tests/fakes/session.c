#include "tests/fakes/session.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/cmocka.h"

enum
{
    COLUMNS_MAX = 8,
    SOCKET = 1000, /* never touched: poll is ours */
};

static struct
{
    const struct session_row *next;
    int times; /* that the row of `next` was used */
    bool open, unfit, closed, silent, sent;
    int64_t now_us, deadline_us;
    char problem[320], sqlstate[6];
    char values[FAKE_VALUES_MAX][128];
    struct session_row answered; /* the row of the last result */
} fake = { .now_us = 1000000 };

static char session; /* stands for the one that there is */

/* --- the script -------------------------------------------------------------------------------------------------- */

static void assert_used_up(void)
{
    if (fake.next)
        fail_msg("\"%s\" was expected and never came", fake.next->sql);
}

void fake_session_play(const struct session_row *rows)
{
    assert_used_up();
    fake.next = rows;
    fake.times = 0;
}

void fake_session_end(void)
{
    assert_used_up();
    memset(&fake, 0, sizeof(fake));
    fake.now_us = 1000000;
}

static const struct session_row *take(const char *sql)
{
    const struct session_row *row = fake.next;

    if (row == NULL || strstr(sql, row->sql) == NULL)
        fail_msg("%s\nwas asked, expected was \"%s\"", sql, row ? row->sql : "nothing more");
    if (++fake.times >= row->times)
    {
        fake.next = fake.next[1].sql ? fake.next + 1 : NULL; /* a script may be gone once it was played */
        fake.times = 0;
    }
    if (row->problem)
        snprintf(fake.problem, sizeof(fake.problem), "%s", row->problem);
    fake.open = fake.open && !row->lost;
    fake.answered = *row;
    return row;
}

const char *fake_session_value(int index)
{
    return fake.values[index];
}

int64_t fake_session_deadline_us(void)
{
    return fake.deadline_us;
}

void fake_session_close(void)
{
    fake.closed = true;
}

void fake_session_fall_silent(void)
{
    fake.silent = true;
}

int64_t fake_session_now_us(void)
{
    return fake.now_us;
}

/* --- a result of libpq's own ------------------------------------------------------------------------------------- */

static void set_row(PGresult *result, int row, char *text)
{
    int column = 0;
    for (char *cell = text; cell; column++)
    {
        char *bar = strchr(cell, '|');
        if (bar)
            *bar++ = '\0';
        assert_true(PQsetvalue(result, row, column, cell, (int)strlen(cell)));
        cell = bar;
    }
}

static PGresult *make_result(const struct session_row *row)
{
    static char name[] = "column";
    PGresAttDesc columns[COLUMNS_MAX];
    char text[4096];
    int count = 1, number = 0;

    if (row->sqlstate || row->rows == NULL)
        return PQmakeEmptyPGresult(NULL, row->sqlstate ? PGRES_FATAL_ERROR : PGRES_COMMAND_OK);
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    snprintf(text, sizeof(text), "%s", row->rows);
    for (const char *c = text; *c && *c != '\n'; c++)
        count += *c == '|';
    assert_true(count <= COLUMNS_MAX);
    memset(columns, 0, sizeof(columns));
    for (int i = 0; i < count; i++)
        columns[i].name = name;
    assert_true(PQsetResultAttrs(result, count, columns));
    for (char *rest = text, *line; *text && (line = strsep(&rest, "\n"));)
        set_row(result, number++, line);
    return result;
}

/* --- the session ------------------------------------------------------------------------------------------------- */

struct session *__wrap_session_new(const struct settings *settings, const char *application_name)
{
    (void)settings, (void)application_name;
    return (struct session *)(void *)&session;
}

void __wrap_session_free(struct session *freed)
{
    (void)freed;
    fake.open = false;
}

bool __wrap_session_connect(struct session *asked, const struct session_stop *stop)
{
    (void)asked;
    const struct session_row *row = take("connect");
    fake.deadline_us = stop ? stop->deadline_us : 0;
    fake.unfit = row->unfit;
    fake.closed = fake.silent = fake.sent = false;
    fake.open = !row->lost && !row->unfit;
    return fake.open;
}

bool __wrap_session_is_open(const struct session *asked)
{
    (void)asked;
    return fake.open;
}

bool __wrap_session_is_unfit(const struct session *asked)
{
    (void)asked;
    return fake.unfit;
}

void __wrap_session_close(struct session *asked)
{
    (void)asked;
    fake.open = fake.sent = false;
}

int __wrap_session_socket(const struct session *asked)
{
    (void)asked;
    return fake.open ? SOCKET : -1;
}

static void keep_values(int count, const char *const *values)
{
    assert_true(count <= FAKE_VALUES_MAX);
    for (int i = 0; i < count; i++)
        snprintf(fake.values[i], sizeof(fake.values[i]), "%s", values[i] ? values[i] : "(null)");
}

PGresult *__wrap_session_run(struct session *asked, const char *sql, int count, const char *const *values,
                             int64_t wait_us, const struct session_stop *stop)
{
    (void)asked, (void)wait_us;
    assert_true(fake.open);
    keep_values(count, values);
    fake.deadline_us = stop ? stop->deadline_us : 0;
    const struct session_row *row = take(sql);
    return row->lost ? NULL : make_result(row);
}

PGresult *__wrap_session_run_binary(struct session *asked, const char *sql, int count, const char *const *values,
                                    int64_t wait_us, const struct session_stop *stop)
{
    return __wrap_session_run(asked, sql, count, values, wait_us, stop);
}

bool __wrap_session_send(struct session *asked, const char *sql, int count, const char *const *values)
{
    (void)asked;
    keep_values(count, values);
    fake.sent = true;
    return !take(sql)->lost;
}

enum session_answer __wrap_session_collect(struct session *asked, PGresult **ret)
{
    (void)asked;
    if (!fake.sent)
        return SESSION_NONE_SENT;
    if (fake.silent)
        return SESSION_BUSY;
    fake.sent = false;
    *ret = make_result(&fake.answered);
    return SESSION_ANSWERED;
}

bool __wrap_session_listen(struct session *asked)
{
    (void)asked;
    if (fake.closed)
    {
        snprintf(fake.problem, sizeof(fake.problem), "the server closed the session");
        fake.open = false;
    }
    return fake.open;
}

const char *__wrap_session_problem(const struct session *asked)
{
    (void)asked;
    return fake.problem;
}

const char *__wrap_session_where(const struct session *asked)
{
    (void)asked;
    return "PostgreSQL at db.example:5432";
}

bool __wrap_session_is_refused(struct session *asked, const PGresult *result, const char **ret_sqlstate)
{
    (void)asked;
    if (PQresultStatus(result) != PGRES_FATAL_ERROR)
        return false;
    snprintf(fake.sqlstate, sizeof(fake.sqlstate), "%s", fake.answered.sqlstate);
    if (ret_sqlstate)
        *ret_sqlstate = fake.sqlstate;
    return true;
}

char *__wrap_PQcmdStatus(PGresult *result)
{
    static char tag[64];
    (void)result;
    snprintf(tag, sizeof(tag), "%s", fake.answered.tag ? fake.answered.tag : "");
    return tag;
}

/* --- time -------------------------------------------------------------------------------------------------------- */

/* Nothing is ever heard: all of the time passes, unless the second descriptor is 0, which is always readable. */
int __wrap_poll(struct pollfd *waited, nfds_t count, int timeout_ms)
{
    assert_int_equal(count, 2);
    if (waited[1].fd == 0)
    {
        waited[1].revents = POLLIN;
        return 1;
    }
    fake.now_us += (int64_t)timeout_ms * 1000;
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    (void)clock;
    *ret = (struct timespec){ .tv_sec = fake.now_us / 1000000, .tv_nsec = fake.now_us % 1000000 * 1000 };
    return 0;
}
