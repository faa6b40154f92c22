/* Audit change: what a command changed in a row that it had loaded, as members of the event's metadata: of every column
 * {"old":...,"new":...}. Left out are the columns that the engine keeps itself: version, times of writing, author,
 * which the event has elsewhere.
 *
 * A JSON column is shown by its top-level keys, in AUDIT_JSON_MAX bytes; a value that does not fit is shown by its size
 * and digest, {"bytes":...,"sha256":"..."}, and where there are too many keys for that, so is the whole column.
 * The text depends on the rows alone, not on whether they came from PostgreSQL or from an earlier command of the
 * batch (PROTOCOL B3): JSON is printed in a form of its own (json_text_print_plain).
 *
 * Threads    pure functions.
 * Failure    no memory: the arena or the buffer has failed.
 */
#ifndef WORKER_BATCH_AUDIT_CHANGE_H
#define WORKER_BATCH_AUDIT_CHANGE_H

#include "workflows/base/arena.h"
#include "workflows/model/entity.h"

enum
{
    AUDIT_JSON_MAX = 4096, /* bytes that are shown of a JSON column */
};

/* How much is shown, the most first: the event has to stay within its limit (PROTOCOL R5). */
enum audit_detail
{
    AUDIT_WHOLE,
    AUDIT_SHORT,  /* long texts by their size and digest */
    AUDIT_DIGEST, /* and each list of children, each further aggregate by the digest of its whole text */
    AUDIT_DETAIL__COUNT,
};

/* Adds the members of the columns in which the row before and after differ to an object that is open: it ends with its
 * brace or with a member. `after` NULL: the row was deleted, which every column that had a value shows. */
void audit_change_print(const struct entity *entity, const void *before, const void *after, enum audit_detail detail,
                        struct arena *arena, struct buffer *into);

/* The comma where one is needed, the name, the colon. */
void audit_change_begin_member(struct buffer *into, const char *name);

/* {"bytes":70000,"sha256":"..."} of a text. */
void audit_change_print_digest(struct span text, struct buffer *into);

#endif
