/* Replay judge: what PostgreSQL knows of messages that were read again, and the way back for those that it has lost:
 * they are parked by interlock.put_back, in the order in which they are given (PROTOCOL L4).
 *
 * Threads    one owner per connection.
 * Ownership  copies what it keeps of a command, its bytes too.
 * Failure    false or -1, and one line in *reterr.
 */
#ifndef WORKER_ADMIN_REPLAY_JUDGE_H
#define WORKER_ADMIN_REPLAY_JUDGE_H

#include <libpq-fe.h>

#include "worker/delivery.h"
#include "workflows/base/buffer.h"

enum replay_class
{
    REPLAY_ANSWERED,
    REPLAY_DUPLICATE, /* answered, or waiting, at another position */
    REPLAY_PARKED,
    REPLAY_LETTER,
    REPLAY_MISSING,    /* passed, and in no table: lost */
    REPLAY_UNREADABLE, /* as missing, but no command: nothing can be put back */
    REPLAY_PRUNED,     /* in no table, and prune may have taken it */
    REPLAY_NOT_YET,    /* not passed */
    REPLAY_CLASS__COUNT,
};

extern const char *const replay_class_names[REPLAY_CLASS__COUNT];

/* A message that is missing. */
struct replay_missing
{
    char *topic, *source, *id, *type, *tenant, *aggregate; /* tenant, aggregate: NULL without */
    int32_t partition;
    int64_t offset;
    uint8_t identity[DIGEST_SIZE], body_digest[DIGEST_SIZE];
    struct buffer key, headers, value;
    bool has_key, has_bytes; /* has_bytes: key, headers and value were kept */
};

struct replay_judge;

/* At most `limit` missing ones are kept; more are counted. Their bytes are kept up to `bytes_max` in all. */
struct replay_judge *replay_judge_new(PGconn *connection, int64_t limit, int64_t bytes_max);
void replay_judge_free(struct replay_judge *judge);

/* A message, in the order of the range; `command` NULL: it cannot be read as one. */
bool replay_judge_add(struct replay_judge *judge, const char *topic, int32_t partition, const struct delivery *delivery,
                      const struct command *command, struct buffer *reterr);
/* After the last. */
bool replay_judge_finish(struct replay_judge *judge, struct buffer *reterr);

int64_t replay_judge_count(const struct replay_judge *judge, enum replay_class class);
int replay_judge_missing(const struct replay_judge *judge, const struct replay_missing **ret);

/* Parks what is missing, in the transaction of the action, with an item for each. Returns how many were parked; those
 * that were answered or parked meanwhile are not. -1: nothing may be committed. */
int64_t replay_put_back(PGconn *connection, int64_t action, const struct replay_judge *judge, struct buffer *reterr);

#endif
