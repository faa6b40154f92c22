/* Pipeline: one PostgreSQL session of one lane, in pipeline mode: statements are sent without waiting, results are read
 * after the Sync. Prepared statements are kept by their text and prepared again after a reconnect; of more than
 * PIPELINE_PREPARED_MAX the one that was not used for longest is given up.
 *
 * Threads    one owner.
 * Ownership  results belong to the pipeline until the next pipeline_send after a pipeline_sync, or pipeline_free.
 * Failure    every call that talks to the server returns false and fills pipeline_failure(); the caller decides. A
 *            session that is lost is closed; pipeline_connect opens a new one.
 */
#ifndef WORKER_POSTGRES_PIPELINE_H
#define WORKER_POSTGRES_PIPELINE_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "worker/base/fault_point.h"
#include "worker/postgres/array.h"
#include "worker/postgres/failure.h"

struct settings;
struct pipeline;

enum
{
    PIPELINE_PIPELINE_MAX = 64,  /* statements between two Syncs */
    PIPELINE_PREPARED_MAX = 128, /* of a session; each takes some 30 KiB of the server's memory */
    STATEMENT_PARAMETERS_MAX = 40,
};

/* A statement text made once per session owner; `name` is its prepared name. */
struct statement
{
    char name[16];
    char *sql;
    int parameter_count;
    bool prepared; /* in the present session */
    uint64_t used; /* the number of the send that used it last */
    struct statement *next;
    uint64_t key[3]; /* its purpose, see statements.c */
};

struct parameter_value
{
    const char *at; /* binary; NULL is SQL null */
    int size;
};

struct pipeline *pipeline_new(const struct settings *settings, const char *application_name);
void pipeline_only_try(struct pipeline *pipeline); /* its sessions are SESSION_TRIAL, not SESSION_LANE */
void pipeline_free(struct pipeline *pipeline);

/* Opens a session (PROTOCOL O6: timeouts and synchronous_commit are set and read back). `stop`, when not NULL and set,
 * ends the wait. */
bool pipeline_connect(struct pipeline *pipeline, const atomic_bool *stop);
bool pipeline_is_connected(const struct pipeline *pipeline);
void pipeline_close(struct pipeline *pipeline);

/* Adds a statement to the pipeline; prepares it first when needed. */
bool pipeline_send(struct pipeline *pipeline, struct statement *statement, const struct parameter_value *values,
                   int count);
bool pipeline_send_text(struct pipeline *pipeline, const char *sql); /* no parameters, not prepared: BEGIN, COMMIT */

/* Ends the pipeline and waits for every answer. False: some statement failed; pipeline_failed_at says which (in the
 * order of the sends since the last sync, or -1 when the session died between). */
bool pipeline_sync(struct pipeline *pipeline);
const PGresult *pipeline_result(const struct pipeline *pipeline, int index);
/* The command tag of a result: COMMIT of a failed transaction has the tag ROLLBACK. */
bool pipeline_is_tagged(const struct pipeline *pipeline, int index, const char *tag);
const struct failure *pipeline_failure(const struct pipeline *pipeline);
void pipeline_forget_failure(struct pipeline *pipeline);
int pipeline_failed_at(const struct pipeline *pipeline);

/* Rolls back the open transaction, if there is one. False: the session is lost. */
bool pipeline_rollback(struct pipeline *pipeline);

/* PROTOCOL R6: the last sync carried a warning that a commit may not have been replicated. */
bool pipeline_is_unreplicated(const struct pipeline *pipeline);

/* Makes or finds a statement by key. */
struct statement *pipeline_statement(struct pipeline *pipeline, const uint64_t key[3]);
struct statement *pipeline_add_statement(struct pipeline *pipeline, const uint64_t key[3], char *sql, int parameters);

/* Test builds: a fault point between statements that are queued; the server executes them first. Its error is a cut
 * connection, which the next call finds. pipeline_cut is that error alone. */
#ifdef INTERLOCK_TEST_BUILD
void pipeline_reach(struct pipeline *pipeline, enum fault_point point);
void pipeline_cut(struct pipeline *pipeline);
#define FAULT_POINT_QUEUED(symbol, pipeline) pipeline_reach(pipeline, FAULT_##symbol)
#define FAULT_POINT_CUTS(symbol, pipeline) (FAULT_POINT_FAILS(symbol) ? pipeline_cut(pipeline) : (void)0)
#else
#define FAULT_POINT_QUEUED(symbol, pipeline) ((void)0)
#define FAULT_POINT_CUTS(symbol, pipeline) ((void)0)
#endif

/* host:port of the present or last session, for operators. */
const char *pipeline_where(const struct pipeline *pipeline);

#endif
