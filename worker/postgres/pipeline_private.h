/* Pipeline, private: shared by worker/postgres/pipeline.c, pipeline_connect.c (how its session begins) and
 * pipeline_fault.c. No other file includes it. */
#ifndef WORKER_POSTGRES_PIPELINE_PRIVATE_H
#define WORKER_POSTGRES_PIPELINE_PRIVATE_H

#include "worker/postgres/connect.h"
#include "worker/postgres/session_terms.h"
#include "worker/postgres/pipeline.h"

enum
{
    STATEMENT_BUCKETS = 256,
};

struct pipeline
{
    const struct settings *settings;
    char application_name[64];
    char where[192];
    PGconn *connection;
    enum session_kind kind;
    struct connect_attempt connect_attempt;
    struct statement *statements[STATEMENT_BUCKETS];
    int statement_count, prepared_count;
    uint64_t sends;

    /* The pipeline since the last sync: one entry a send; a statement that was prepared on the way, or given up, has an
     * answer of its own. */
    struct
    {
        bool with_prepare, with_deallocate;
        PGresult *result;
    } sent[PIPELINE_PIPELINE_MAX];
    int sent_count;
    bool synced; /* the entries are answered: the next send starts a new pipeline */

    struct failure failure;
    int failed_at;
    bool unreplicated;
};

/* Pushes out what is queued, taking in what the server says meanwhile: with large batches both sides could otherwise
 * wait for the other to read. */
bool pipeline_flush(struct pipeline *pipeline, int64_t deadline_us);

/* Until the socket is ready for `events`; false: the session is closed, because the time is over, or `stop` is set. */
bool pipeline_wait_socket(struct pipeline *pipeline, short events, int64_t deadline_us, const atomic_bool *stop);

/* The failure of the session, which is closed; always false. */
bool pipeline_fail_session(struct pipeline *pipeline, const char *message);
bool pipeline_fail_connection(struct pipeline *pipeline);
/* That of the statement `index`, -1: of none. */
void pipeline_fail_result(struct pipeline *pipeline, const PGresult *result, int index);

/* For PQsetNoticeReceiver. */
void pipeline_on_notice(void *pipeline, const PGresult *result);

/* The next result; *ret NULL at the end of a statement's results. */
bool pipeline_next(struct pipeline *pipeline, int64_t deadline_us, PGresult **ret);

#endif
