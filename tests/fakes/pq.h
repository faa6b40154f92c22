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

PGconn *__wrap_PQconnectStartParams(const char *const *keywords, const char *const *values, int expand_dbname);
PostgresPollingStatusType __wrap_PQconnectPoll(PGconn *conn);
ConnStatusType __wrap_PQstatus(const PGconn *conn);
PGTransactionStatusType __wrap_PQtransactionStatus(const PGconn *conn);
char *__wrap_PQerrorMessage(const PGconn *conn);
PGVerbosity __wrap_PQsetErrorVerbosity(PGconn *conn, PGVerbosity verbosity);
int __wrap_PQsocket(const PGconn *conn);
char *__wrap_PQhost(const PGconn *conn);
char *__wrap_PQport(const PGconn *conn);
void __wrap_PQfinish(PGconn *conn);
int __wrap_PQsetnonblocking(PGconn *conn, int arg);
int __wrap_PQenterPipelineMode(PGconn *conn);
PQnoticeReceiver __wrap_PQsetNoticeReceiver(PGconn *conn, PQnoticeReceiver proc, void *arg);
int __wrap_PQsendQueryParams(PGconn *conn, const char *command, int count, const Oid *types, const char *const *values,
                             const int *lengths, const int *formats, int format);
int __wrap_PQsendPrepare(PGconn *conn, const char *name, const char *query, int count, const Oid *types);
int __wrap_PQsendQueryPrepared(PGconn *conn, const char *name, int count, const char *const *values, const int *lengths,
                               const int *formats, int format);
int __wrap_PQpipelineSync(PGconn *conn);
int __wrap_PQflush(PGconn *conn);
int __wrap_PQconsumeInput(PGconn *conn);
int __wrap_PQisBusy(PGconn *conn);
PGresult *__wrap_PQgetResult(PGconn *conn);
ExecStatusType __wrap_PQresultStatus(const PGresult *result);
char *__wrap_PQresultErrorField(const PGresult *result, int field);
char *__wrap_PQcmdStatus(PGresult *result);
char *__wrap_PQgetvalue(const PGresult *result, int row, int field);
void __wrap_PQclear(PGresult *result);

struct pollfd;
int __wrap_poll(struct pollfd *waited, unsigned long count, int timeout_ms);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

#endif
