/* Pq (fake): a scripted libpq. A test reads as the conversation with the server: one row per call, in strict order.
 *
 * Scripted are the calls that say or hear something (connect, send, sync, result) and those that fail; the rest answers
 * by the state that the rows leave. The clock is the fake's too: waiting costs no time.
 *
 * wrap: PQconnectStartParams PQconnectPoll PQstatus PQtransactionStatus PQerrorMessage PQsetErrorVerbosity PQsocket
 * PQhost PQport PQfinish PQsetnonblocking PQenterPipelineMode PQsetNoticeReceiver PQsendQueryParams PQsendPrepare
 * PQsendQueryPrepared PQpipelineSync PQflush PQconsumeInput PQisBusy PQgetResult PQresultStatus PQresultErrorField
 * PQcmdStatus PQgetvalue PQclear poll clock_gettime
 *
 * Threads    the test's.
 * Failure    a call that is not the next row fails the test, and so does a row that was not used (pq_end).
 */
#ifndef TESTS_FAKES_PQ_H
#define TESTS_FAKES_PQ_H

#include <libpq-fe.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "workflows/base/span.h"

enum
{
    PQ_NULL = -1,   /* PQgetResult: NULL */
    PQ_SILENT = -1, /* delay: no answer ever comes */
    PQ_PARAMETERS_MAX = 64,
};

struct pq_row
{
    const char *function; /* NULL ends the script */
    const char *text;     /* expected: the SQL, or the prepared name */
    int status;           /* ExecStatusType of a result, PostgresPollingStatusType, CONNECTION_BAD */
    const char *value;    /* of a result: its command tag, or its only field */
    const char *sqlstate, *message, *detail, *severity, *constraint, *column;
    PGTransactionStatusType transaction; /* after the end of a pipeline */
    int64_t delay_us;                    /* before a result is there */
    bool fails;                          /* the call returns its failure, and the connection is bad */
    bool breaks;                         /* after this row the connection is bad */
};

#define PQ_SENDS(sql) \
    { \
        .function = "PQsendQueryParams", .text = (sql) \
    }
#define PQ_PREPARES(sql) \
    { \
        .function = "PQsendPrepare", .text = (sql) \
    }
#define PQ_EXECUTES(name) \
    { \
        .function = "PQsendQueryPrepared", .text = (name) \
    }
#define PQ_SYNCS \
    { \
        .function = "PQpipelineSync" \
    }
#define PQ_RESULT(...) \
    { \
        .function = "PQgetResult", __VA_ARGS__ \
    }
#define PQ_NO_MORE PQ_RESULT(.status = PQ_NULL)
#define PQ_DOES(tag) PQ_RESULT(.status = PGRES_COMMAND_OK, .value = (tag)), PQ_NO_MORE
#define PQ_TELLS(field) PQ_RESULT(.status = PGRES_TUPLES_OK, .value = (field)), PQ_NO_MORE
#define PQ_REFUSES(code, text) PQ_RESULT(.status = PGRES_FATAL_ERROR, .sqlstate = (code), .message = (text)), PQ_NO_MORE
#define PQ_SKIPS PQ_RESULT(.status = PGRES_PIPELINE_ABORTED), PQ_NO_MORE
#define PQ_ENDS(state) PQ_RESULT(.status = PGRES_PIPELINE_SYNC, .transaction = (state))
#define PQ_ROLLS_BACK PQ_SENDS("ROLLBACK"), PQ_SYNCS, PQ_DOES("ROLLBACK"), PQ_ENDS(PQTRANS_IDLE)
#define PQ_FINISHES \
    { \
        .function = "PQfinish" \
    }
#define PQ_END \
    { \
        .function = NULL \
    }

/* The beginning of every session. The rows after PQ_STARTS are those of the set-up of the session. */
#define PQ_STARTS \
    { .function = "PQconnectStartParams" }, \
    { \
        .function = "PQconnectPoll", .status = PGRES_POLLING_OK \
    }
#define PQ_SETS_UP \
    PQ_SENDS(NULL), PQ_TELLS("22"), PQ_SENDS(NULL), PQ_TELLS(""), \
    { \
        .function = "PQenterPipelineMode" \
    }

/* The conversation from here on. Unused rows of the last one fail the test. */
void pq_play(const struct pq_row *rows);
/* Every row was used; forgets everything. */
void pq_end(void);

int64_t pq_now_us(void);
void pq_pass(int64_t us);
/* Is readable from now on, where a wait looks at a second descriptor. */
void pq_wake(int descriptor);

/* The parameters of the last send that had some. */
int pq_parameter_count(void);
struct span pq_parameter(int index);

/* The parameters of the last attempt to connect beside its URL: "host=... port=..."; "" where that was enough. */
const char *pq_hosts(void);

__typeof__(PQconnectStartParams) __wrap_PQconnectStartParams;
__typeof__(PQconnectPoll) __wrap_PQconnectPoll;
__typeof__(PQstatus) __wrap_PQstatus;
__typeof__(PQtransactionStatus) __wrap_PQtransactionStatus;
__typeof__(PQerrorMessage) __wrap_PQerrorMessage;
__typeof__(PQsetErrorVerbosity) __wrap_PQsetErrorVerbosity;
__typeof__(PQsocket) __wrap_PQsocket;
__typeof__(PQhost) __wrap_PQhost;
__typeof__(PQport) __wrap_PQport;
__typeof__(PQfinish) __wrap_PQfinish;
__typeof__(PQsetnonblocking) __wrap_PQsetnonblocking;
__typeof__(PQenterPipelineMode) __wrap_PQenterPipelineMode;
__typeof__(PQsetNoticeReceiver) __wrap_PQsetNoticeReceiver;
__typeof__(PQsendQueryParams) __wrap_PQsendQueryParams;
__typeof__(PQsendPrepare) __wrap_PQsendPrepare;
__typeof__(PQsendQueryPrepared) __wrap_PQsendQueryPrepared;
__typeof__(PQpipelineSync) __wrap_PQpipelineSync;
__typeof__(PQflush) __wrap_PQflush;
__typeof__(PQconsumeInput) __wrap_PQconsumeInput;
__typeof__(PQisBusy) __wrap_PQisBusy;
__typeof__(PQgetResult) __wrap_PQgetResult;
__typeof__(PQresultStatus) __wrap_PQresultStatus;
__typeof__(PQresultErrorField) __wrap_PQresultErrorField;
__typeof__(PQcmdStatus) __wrap_PQcmdStatus;
__typeof__(PQgetvalue) __wrap_PQgetvalue;
__typeof__(PQclear) __wrap_PQclear;

int __wrap_poll(struct pollfd *waited, nfds_t count, int timeout_ms); /* poll itself says that it reads nothing there */
__typeof__(clock_gettime) __wrap_clock_gettime;

#endif
