/* Parked commands, for operators: which wait, for what and behind whom; released, or cancelled. Nothing is published
 * here: what is released or cancelled is due, and the returner brings it back (PROTOCOL L4).
 *
 * Threads    one owner per connection; no state.
 * Ownership  texts of the filter are borrowed; results are the caller's (PQclear).
 * Failure    NULL or -1, and one line in *reterr. Nothing was changed.
 */
#ifndef WORKER_ADMIN_PARKED_COMMANDS_H
#define WORKER_ADMIN_PARKED_COMMANDS_H

#include <libpq-fe.h>

#include "worker/admin/operator_action.h"

/* Each NULL: no such condition. Numbers and times are texts, as PostgreSQL reads them. */
struct parked_filter
{
    const char *places; /* an array of PostgreSQL: {12,15} */
    const char *key, *type, *source, *id, *tenant, *reason, *pause;
    const char *before;        /* parked at or before this time */
    const char *not_cancelled; /* "true": and not cancelled */
};

enum parked_column
{
    PARKED_PLACE,
    PARKED_AGGREGATE,
    PARKED_REASON,
    PARKED_DUE,    /* RFC 3339; NULL: not before its pause ends */
    PARKED_BEHIND, /* the place of the command that it waits for; NULL: none */
    PARKED_RETURNS,
    PARKED_PARKINGS,
    PARKED_TYPE,
    PARKED_SOURCE,
    PARKED_ID,
    PARKED_TENANT,
    PARKED_PARKED_AT,
    PARKED_PAUSE,
    PARKED_TOPIC,
    PARKED_PARTITION,
    PARKED_OFFSET,
    PARKED_RETURNED_AT,
    PARKED_RELEASED_BY,
    PARKED_CANCELLED_BY,
    PARKED__COLUMNS,
};

struct parked_column_name
{
    const char *name;
    bool number; /* of JSON */
};

extern const struct parked_column_name parked_columns[PARKED__COLUMNS];

/* By place; `limit` as text. */
PGresult *parked_commands_list(PGconn *connection, const struct parked_filter *filter, const char *limit,
                               struct buffer *reterr);
/* One row for each reason: the reason and the count. */
PGresult *parked_commands_count(PGconn *connection, const struct parked_filter *filter, struct buffer *reterr);

enum parked_act
{
    PARKED_RELEASE, /* it returns as soon as its turn in its aggregate has come, whatever time or pause it waited for */
    PARKED_CANCEL,  /* it returns, and is rejected as cancelled */
};

/* Within the caller's transaction: locks what the filter names, and acts on it under `action`. Returns how many there
 * were. A command that is cancelled already is left alone. */
int64_t parked_commands_lock(PGconn *connection, const struct parked_filter *filter, struct buffer *reterr);
int64_t parked_commands_act(PGconn *connection, const struct parked_filter *filter, enum parked_act act, int64_t action,
                            struct buffer *reterr);

/* How many of those that the action cancelled are still to return. */
int64_t parked_commands_left(PGconn *connection, int64_t action, struct buffer *reterr);

#endif
