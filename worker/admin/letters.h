/* Letters: dead letters in PostgreSQL, for verbs. A letter's id is the place of its message: topic/partition/offset.
 *
 * Threads    one owner per connection; no state.
 * Ownership  texts are borrowed; results are the caller's.
 * Failure    NULL, false or -1, and one line in *reterr (query.h).
 */
#ifndef WORKER_ADMIN_LETTERS_H
#define WORKER_ADMIN_LETTERS_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

/* The letters that a command line means. NULL: not asked for. */
struct letter_filter
{
    const char *state; /* one of dead_letter.state; NULL: all */
    const char *cause, *key, *type, *topic;
    const char *since, *before;                /* RFC 3339: failed not before, not after */
    struct buffer topics, partitions, offsets; /* letters by id, as arrays of PostgreSQL; empty: no such list */
};

/* Adds the letter of an id; false: the text is no such id. */
bool letter_filter_add(struct letter_filter *filter, const char *id);
/* Whether anything but a state says which letters. */
bool letter_filter_is_given(const struct letter_filter *filter);
void letter_filter_done(struct letter_filter *filter);

/* The columns of letters_select. */
enum letter_column
{
    LETTER_ID,
    LETTER_FAILED_AT,
    LETTER_AGE_S,
    LETTER_CAUSE,
    LETTER_KEY,
    LETTER_TYPE,
    LETTER_SOURCE,
    LETTER_COMMAND_ID,
    LETTER_SAYS,
    LETTER_STATE,
    LETTER_STATE_AT,
    LETTER_BYTES,
    LETTER_ATTEMPTS,
    LETTER_REDRIVES,
    LETTER_ACTION,
    LETTER_IDENTITY,
    LETTER_SHOWN__COUNT,
    LETTER_DIGEST = LETTER_SHOWN__COUNT, /* hex */
    LETTER_PARTITION_ID,
    LETTER_OFFSET,
    LETTER_TOPIC,
    LETTER_PARTITION,
    LETTER_FENCE, /* of the partition now */
    LETTER_FAILED_US,
    LETTER_COLUMN__COUNT,
};

struct letter_column_name
{
    const char *name;
    bool is_number;
};
extern const struct letter_column_name letter_columns[LETTER_SHOWN__COUNT];

enum letter_order
{
    LETTERS_NEWEST,   /* the newest `limit`, newest first */
    LETTERS_IN_TOPIC, /* by topic, partition, offset */
    LETTERS_LOCKED,   /* the same, FOR UPDATE */
};

PGresult *letters_select(PGconn *connection, const struct letter_filter *filter, enum letter_order order, int64_t limit,
                         struct buffer *reterr);

/* Of all letters: state, number. */
PGresult *letters_count(PGconn *connection, struct buffer *reterr);
/* Of the filtered ones; -1: failed. */
int64_t letters_count_filtered(PGconn *connection, const struct letter_filter *filter, struct buffer *reterr);
/* Of the filtered ones by "cause", "type" or "key": value or null, number, the oldest and the newest time of failure. */
PGresult *letters_group(PGconn *connection, const struct letter_filter *filter, const char *by, int64_t limit,
                        struct buffer *reterr);

/* Gives the filtered letters another state and the action an item for each. Returns how many. */
int64_t letters_move(PGconn *connection, const struct letter_filter *filter, const char *state, const char *outcome,
                     int64_t action, struct buffer *reterr);

/* The actions on a letter: action, time, actor, verb, outcome, reason. */
PGresult *letters_history(PGconn *connection, const char *id, struct buffer *reterr);

/* Commands of the aggregate that were applied since the letter failed: number, first and last version. */
PGresult *letters_applied_since(PGconn *connection, const char *aggregate, const char *failed_at,
                                struct buffer *reterr);

#endif
