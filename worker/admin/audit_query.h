/* Audit query: the audit's four questions (by aggregate, operation, author, status change, each in time), and one
 * command's record.
 *
 * Each question is one statement whose WHERE has the first columns of an index; `plan` shows how PostgreSQL answers it.
 *
 * Threads    one owner per connection; no state.
 * Ownership  the connection is borrowed, the result is the caller's (query.h).
 * Failure    NULL, and one line in *reterr.
 */
#ifndef WORKER_ADMIN_AUDIT_QUERY_H
#define WORKER_ADMIN_AUDIT_QUERY_H

#include "worker/postgres/query.h"

struct audit_filter /* NULL and 0: any */
{
    const char *aggregate;
    const char *operation;
    const char *author;
    const char *status_from, *status_to;
    const char *since, *until; /* RFC 3339 */
    const char *limit;         /* a number; the newest so many */
};

/* Columns of every answer, in this order. */
enum audit_column
{
    AUDIT_TIME,
    AUDIT_OPERATION,
    AUDIT_OUTCOME,
    AUDIT_REASON,
    AUDIT_AGGREGATE,
    AUDIT_VERSION_FROM,
    AUDIT_VERSION_TO,
    AUDIT_STATUS_OLD,
    AUDIT_STATUS_NEW,
    AUDIT_PERSON_OLD,
    AUDIT_PERSON_NEW,
    AUDIT_GROUP_OLD,
    AUDIT_GROUP_NEW,
    AUDIT_CHANGED_BY,
    AUDIT_COMMAND_TYPE,
    AUDIT_COMMAND_SOURCE,
    AUDIT_COMMAND_ID,
    AUDIT_EVENT_ID,
    AUDIT_CORRELATION_ID,
    AUDIT_TRACEPARENT,
    AUDIT_LOCK_WAIT_US,
    AUDIT_TRANSACTION_US,
    AUDIT_METADATA,
    AUDIT_ALSO,
    AUDIT_TOPIC,
    AUDIT_PARTITION,
    AUDIT_OFFSET,
    AUDIT_FENCE,
    AUDIT_COLUMN__COUNT,
};

enum audit_column_kind
{
    AUDIT_COLUMN_TEXT,
    AUDIT_COLUMN_NUMBER,
    AUDIT_COLUMN_JSON, /* JSON text, printed as it is */
};

struct audit_column_name
{
    const char *name; /* in JSON */
    enum audit_column_kind kind;
    const char *sql; /* over audit_event e and partition_owner p */
};

extern const struct audit_column_name audit_columns[AUDIT_COLUMN__COUNT];

/* Whether the role may read the metadata of events. Where it may not, that column of every answer is null. */
bool audit_query_metadata(PGconn *connection, bool *ret, struct buffer *reterr);

/* Oldest first. With `plan`: PostgreSQL's plan, one line a row. */
PGresult *audit_query_list(PGconn *connection, const struct audit_filter *filter, bool plan, struct buffer *reterr);

/* By the command's identity, through the inbox: at most one row. */
PGresult *audit_query_command(PGconn *connection, const char *source, const char *id, struct buffer *reterr);

/* By the event's id, which no index has: reads the table. */
PGresult *audit_query_event(PGconn *connection, const char *event_id, struct buffer *reterr);

#endif
