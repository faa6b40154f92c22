/* Redrive: dead letters go back to the pool as parked commands (schema/0019_operators.up.sql, put_back).
 *
 * Threads    one owner per connection; no state.
 * Ownership  texts and spans are borrowed.
 * Failure    false or -1, and one line in *reterr. The caller rolls back.
 */
#ifndef WORKER_ADMIN_REDRIVE_H
#define WORKER_ADMIN_REDRIVE_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"
#include "workflows/parameters/command.h"

/* Of a command that was put aside without an answer: it may come back. */
#define REDRIVE_KNOWN "known, without an answer"

enum
{
    REDRIVE_SAYS_MAX = 160,
};

/* One letter on its way back. Texts: "" is null. */
struct redrive_letter
{
    const char *partition_id, *offset, *digest; /* of its row; the digest in hex */
    const char *fence;                          /* of its partition now */
    const uint8_t *identity, *body_digest;      /* DIGEST_SIZE bytes */
    const char *aggregate, *source, *id, *type, *tenant;
    struct span key, headers, value;
    int64_t delay_us; /* after the transaction's begin */
    bool edited;      /* another command in its place: the letter is replaced at once */
};

/* The knowledge of PostgreSQL about a command: "", or "already parked", "already answered: applied", "known, without an answer".
 */
bool redrive_look(PGconn *connection, const uint8_t identity[DIGEST_SIZE], const char *source, const char *id,
                  char into[REDRIVE_SAYS_MAX], struct buffer *reterr);

/* Puts it back, in the transaction of the action. A letter that is not open any more, or a command that is not to come
 * back, is a failure. */
bool redrive_put_back(PGconn *connection, int64_t action, const struct redrive_letter *letter, struct buffer *reterr);

/* How far an action is: commands that have not come back, and the outcomes so far in *ret_outcomes (outcome, number). */
int64_t redrive_left(PGconn *connection, int64_t action, PGresult **ret_outcomes, struct buffer *reterr);

/* Takes back what has not been sent yet, under an action of its own. Returns how many. */
int64_t redrive_take_back(PGconn *connection, int64_t action, int64_t of_action, struct buffer *reterr);

#endif
