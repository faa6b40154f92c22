/* Session (fake): a scripted session of rare statements, for those that have one: the slot, the takeover. A test reads
 * as the conversation with the server: one row per statement or connect, in order. The clock is the fake's too: a wait
 * costs no time.
 *
 * wrap: session_new session_free session_connect session_is_open session_is_unfit session_close session_socket
 * session_run session_run_binary session_send session_collect session_listen session_problem session_where
 * session_is_refused PQcmdStatus poll clock_gettime
 *
 * Threads    the test's.
 * Failure    a statement that is not the next row fails the test, and so does a row that was not used
 *            (fake_session_end).
 */
#ifndef TESTS_FAKES_SESSION_H
#define TESTS_FAKES_SESSION_H

#include <poll.h>
#include <stdint.h>
#include <time.h>

#include "worker/postgres/session.h"

enum
{
    FAKE_VALUES_MAX = 8,
};

struct session_row
{
    const char *sql; /* a part of the expected statement; "connect": session_connect; NULL ends the script */
    /* Its result: rows of one text, columns separated by '|', rows by a line feed; NULL: a command without rows. */
    const char *rows;
    const char *tag;      /* of a command, "COMMIT" */
    const char *sqlstate; /* the statement is refused with it */
    const char *problem;  /* of a refusal, of a lost session, or of a server that was refused */
    bool lost;            /* the session is gone, or was not had */
    bool unfit;           /* of "connect": for its terms */
    int times;            /* so many statements in a row get this; 0: one */
};

#define SESSION_CONNECTS \
    { \
        .sql = "connect" \
    }
#define SESSION_TELLS(part, text) \
    { \
        .sql = (part), .rows = (text) \
    }
#define SESSION_DOES(part) \
    { \
        .sql = (part), .tag = (part) \
    }
#define SESSION_REFUSES(part, code, why) \
    { \
        .sql = (part), .sqlstate = (code), .problem = (why) \
    }
#define SESSION_LOSES(part) \
    { \
        .sql = (part), .lost = true, .problem = "the server closed the session" \
    }
#define SESSION_END \
    { \
        .sql = NULL \
    }

/* The conversation from here on. Unused rows of the last one fail the test. */
void fake_session_play(const struct session_row *rows);
/* Every row was used; forgets everything. */
void fake_session_end(void);

/* The values of the last statement that had some. */
const char *fake_session_value(int index);
/* The deadline of the process that the last call was given; 0: none. */
int64_t fake_session_deadline_us(void);

/* The server closes the session: session_listen says so. */
void fake_session_close(void);
/* From now on nothing that is sent is answered. */
void fake_session_fall_silent(void);

int64_t fake_session_now_us(void);

__typeof__(session_new) __wrap_session_new;
__typeof__(session_free) __wrap_session_free;
__typeof__(session_connect) __wrap_session_connect;
__typeof__(session_is_open) __wrap_session_is_open;
__typeof__(session_is_unfit) __wrap_session_is_unfit;
__typeof__(session_close) __wrap_session_close;
__typeof__(session_socket) __wrap_session_socket;
__typeof__(session_run) __wrap_session_run;
__typeof__(session_run_binary) __wrap_session_run_binary;
__typeof__(session_send) __wrap_session_send;
__typeof__(session_collect) __wrap_session_collect;
__typeof__(session_listen) __wrap_session_listen;
__typeof__(session_problem) __wrap_session_problem;
__typeof__(session_where) __wrap_session_where;
__typeof__(session_is_refused) __wrap_session_is_refused;
__typeof__(PQcmdStatus) __wrap_PQcmdStatus;

int __wrap_poll(struct pollfd *waited, nfds_t count, int timeout_ms); /* poll itself says that it reads nothing there */
__typeof__(clock_gettime) __wrap_clock_gettime;

#endif
