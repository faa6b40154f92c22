/* Dlq redrive: what the two halves of `interlock dlq redrive` share: looking (dlq_redrive.c) and acting (dlq_put_back.c).
 *
 * Threads    main.
 * Ownership  everything belongs to the verb's call.
 * Failure    false, and one line in *fault.
 */
#ifndef WORKER_CLI_DLQ_REDRIVE_H
#define WORKER_CLI_DLQ_REDRIVE_H

#include "consumers/admin/trial.h"
#include "worker/admin/redrive.h"
#include "worker/cli/dlq.h"

struct delivery_pool;

/* A letter of the selection, by its row. */
struct candidate
{
    struct partition partition;
    struct delivery *returned; /* as it would be parked; NULL: there are no bytes */
    const struct trial_result *trial;
    int of_bytes;
    char why[TRIAL_TEXT_MAX + 80]; /* it is left out; empty: it is not */
};

struct redrive
{
    struct invocation *invocation;
    struct intent intent;
    struct letter_filter filter;
    bool keep_going, no_child, max_redrives_given;
    const char *with;
    struct buffer with_bytes;
    struct span with_value; /* null: the letter's own */
    int canary, max_redrives;
    int64_t every_us, wait_us;

    PGresult *rows; /* letters_select */
    int count, good;
    struct candidate *candidates;
    struct letter_bytes *bytes;
    struct delivery_pool *pool;
    struct delivery **tried;
    struct trial_result *results;
    int tried_count;
};

/* Selects, reads and tries the letters; nothing is written. */
bool redrive_look_at(struct redrive *redrive, PGconn *connection, struct buffer *fault);

/* Puts back what is not left out, waits and reports; returns the exit code. OPERATOR_NOT_DONE: why is in *fault. */
int redrive_execute(struct redrive *redrive, PGconn *connection, struct buffer *fault);

#endif
