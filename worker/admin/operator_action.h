/* Operator action: who did something to the pool, why, what they asked for, and the outcome of each of its subjects.
 * Every verb that changes something writes one, in the transaction that acts (schema/0019_operators.up.sql); the rows are
 * never changed. The returner publishes each on the audit topic.
 *
 * Threads    one owner per connection; no state.
 * Ownership  texts are borrowed; the connection is borrowed (query.h).
 * Failure    -1 or false, and one line in *reterr. The caller rolls back: nothing was done.
 */
#ifndef WORKER_ADMIN_OPERATOR_ACTION_H
#define WORKER_ADMIN_OPERATOR_ACTION_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

enum
{
    OPERATOR_NAME_MAX = 128,    /* characters, as the table's CHECK has it */
    OPERATOR_REASON_MAX = 1024, /* the same */
};

struct operator_action
{
    const char *verb;     /* "dlq redrive" */
    const char *actor;    /* claimed: see operator_actor */
    const char *reason;   /* from --reason */
    const char *filter;   /* a JSON object: what was asked for, never the data of a command; NULL: {} */
    const char *before;   /* RFC 3339; NULL: no such bound */
    const char *expected; /* a number, as the dry run had printed it; NULL: not said */
};

/* Who acts: `claimed` (--as), else INTERLOCK_OPERATOR, SUDO_USER, the login name, the user's number. Copied into `into`,
 * with control characters replaced, cut to OPERATOR_NAME_MAX characters. PostgreSQL adds session_user, which it vouches
 * for. */
const char *operator_actor(const char *claimed, char into[4 * OPERATOR_NAME_MAX + 1]);

/* Inserts the action. Returns its id. The reason and the actor are checked for length and encoding. */
int64_t operator_action_insert(PGconn *connection, const struct operator_action *action, struct buffer *reterr);

/* Adds the outcome of one subject: a letter topic/partition/offset, a command `source id`, `pause 7`, a table. */
bool operator_action_add_item(PGconn *connection, int64_t action, const char *subject, const char *outcome,
                              struct buffer *reterr);

/* Where the fault is a right that is missing, or a role whose sessions are read-only: says which role has it. */
void operator_add_role(struct buffer *fault, const char *role);

#endif
