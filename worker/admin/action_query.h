/* Action query: the actions of operators as they are recorded (worker/admin/operator_action.h), and the one that takes
 * another back: what that put back and what has not returned yet becomes again what it was.
 *
 * Threads    one owner per connection; no state.
 * Ownership  the connection is borrowed, results are the caller's (query.h).
 * Failure    NULL, false or -1, and one line in *reterr.
 */
#ifndef WORKER_ADMIN_ACTION_QUERY_H
#define WORKER_ADMIN_ACTION_QUERY_H

#include "worker/postgres/query.h"

/* How long ago a time is, as people say it: SQL text. */
#define SQL_SECONDS_AGO(time) "greatest(extract(epoch FROM clock_timestamp() - " time "), 0)::bigint"
#define SQL_AGO(time) \
    "(SELECT CASE WHEN s < 120 THEN s || ' s' WHEN s < 7200 THEN s / 60 || ' min' WHEN s < 172800 THEN " \
    "s / 3600 || ' h' ELSE s / 86400 || ' d' END || ' ago' FROM (SELECT " SQL_SECONDS_AGO(time) " AS s) ago)"
#define SQL_TIME(time) "to_char(" time " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

struct action_filter /* NULL: any */
{
    const char *verb, *actor, *since, *limit;
};

enum action_column
{
    ACTION_ID,
    ACTION_AGO,
    ACTION_VERB,
    ACTION_WHO,     /* the claimed name, and the role where it is another */
    ACTION_OUTCOME, /* "12: 10 applied, 2 rejected" */
    ACTION_REASON,
    ACTION_AT,
    ACTION_HOST, /* and the program's version */
    ACTION_FILTER,
    ACTION_EXPECTED, /* and --before; null: neither was said */
    ACTION_WAITS,    /* commands that have not come back yet */
    ACTION_JSON,
    ACTION_COLUMN__COUNT,
};

/* Newest first. */
PGresult *action_query_list(PGconn *connection, const struct action_filter *filter, struct buffer *reterr);

/* At most one row, with the same columns. */
PGresult *action_query_one(PGconn *connection, const char *id, struct buffer *reterr);

enum action_item_column
{
    ACTION_ITEM_AT,
    ACTION_ITEM_SUBJECT,
    ACTION_ITEM_OUTCOME,
    ACTION_ITEM_JSON,
};

/* In the order in which they happened, the first `limit`. */
PGresult *action_query_items(PGconn *connection, const char *id, const char *limit, struct buffer *reterr);

/* The commands that the action put back and that have not returned: a row each with identity and subject. `locks`: within the
 * caller's transaction. */
PGresult *action_query_waiting(PGconn *connection, const char *id, bool locks, struct buffer *reterr);

/* Takes those back, in the transaction of the action `by`, with an item for each. -1: nothing may be committed. */
int64_t action_take_back(PGconn *connection, int64_t by, const PGresult *waiting, struct buffer *reterr);

#endif
