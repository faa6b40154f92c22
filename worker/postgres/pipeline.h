/* Database: one PostgreSQL session of one lane, in pipeline mode: statements are sent without waiting, results are read
 * after the Sync. Prepared statements are kept by their text and prepared again after a reconnect; of more than
 * DATABASE_PREPARED_MAX the one that was not used for longest is given up.
 *
 * Threads    one owner.
 * Ownership  results belong to the database until the next database_send after a database_sync, or database_free.
 * Failure    every call that talks to the server returns false and fills database_failure(); the caller decides. A
 *            session that is lost is closed; database_connect opens a new one.
 */
#ifndef WORKER_POSTGRES_PIPELINE_H
#define WORKER_POSTGRES_PIPELINE_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "worker/base/fault_point.h"
#include "worker/postgres/array.h"
#include "worker/postgres/failure.h"

struct settings;
struct database;

enum
{
    DATABASE_PIPELINE_MAX = 64,  /* statements between two Syncs */
    DATABASE_PREPARED_MAX = 128, /* of a session; each takes some 30 KiB of the server's memory */
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
    uint64_t key[3]; /* what it was made for, see statements.c */
};

struct parameter_value
{
    const char *at; /* binary; NULL is SQL null */
    int size;
};

struct database *database_new(const struct settings *settings, const char *application_name);
void database_free(struct database *database);

/* Opens a session (PROTOCOL O6: timeouts and synchronous_commit are set and read back). `stop`, when not NULL and set,
 * ends the wait. */
bool database_connect(struct database *database, const atomic_bool *stop);
bool database_is_connected(const struct database *database);
void database_close(struct database *database);

/* Adds a statement to the pipeline; prepares it first when needed. */
bool database_send(struct database *database, struct statement *statement, const struct parameter_value *values,
                   int count);
bool database_send_text(struct database *database, const char *sql); /* no parameters, not prepared: BEGIN, COMMIT */

/* Ends the pipeline and waits for every answer. False: some statement failed; database_failed_at says which (in the
 * order of the sends since the last sync, or -1 when the session died between). */
bool database_sync(struct database *database);
const PGresult *database_result(const struct database *database, int index);
/* The command tag of a result: COMMIT of a failed transaction has the tag ROLLBACK. */
bool database_is_tagged(const struct database *database, int index, const char *tag);
const struct failure *database_failure(const struct database *database);
void database_forget_failure(struct database *database);
int database_failed_at(const struct database *database);

/* Rolls back what is open, if anything. False: the session is lost. */
bool database_rollback(struct database *database);

/* PROTOCOL R6: the last sync carried a warning that a commit may not have been replicated. */
bool database_is_unreplicated(const struct database *database);

/* Makes or finds a statement by key. */
struct statement *database_statement(struct database *database, const uint64_t key[3]);
struct statement *database_add_statement(struct database *database, const uint64_t key[3], char *sql, int parameters);

/* Test builds: a fault point between statements that are queued; the server executes them first. Its error is a cut
 * connection, which the next call finds. database_cut is that error alone. */
#ifdef INTERLOCK_TEST_BUILD
void database_reach(struct database *database, enum fault_point point);
void database_cut(struct database *database);
#define FAULT_POINT_QUEUED(symbol, database) database_reach(database, FAULT_##symbol)
#define FAULT_POINT_CUTS(symbol, database) (FAULT_POINT_FAILS(symbol) ? database_cut(database) : (void)0)
#else
#define FAULT_POINT_QUEUED(symbol, database) ((void)0)
#define FAULT_POINT_CUTS(symbol, database) ((void)0)
#endif

/* host:port of the present or last session, for operators. */
const char *database_where(const struct database *database);

#endif
