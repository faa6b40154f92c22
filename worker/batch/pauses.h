/* Pauses: which commands are not to be decided now (PROTOCOL L5). They are read by a batch whenever parking.pause_epoch
 * differs from the one that its lane has seen last, and kept with the lane until then: a batch that begins after the
 * commit of a pause obeys it, with no message to anybody.
 *
 * Threads    the lane's.
 * Ownership  the list is freed by pauses_done.
 * Failure    false: the database or memory; the batch is given up.
 */
#ifndef WORKER_BATCH_PAUSES_H
#define WORKER_BATCH_PAUSES_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct command;

enum pause_scope
{
    PAUSE_TYPE,
    PAUSE_TENANT,
    PAUSE_KEY,
};

struct pause
{
    int32_t id;
    bool keeps_order;
    int64_t ends_us; /* Unix microseconds, by PostgreSQL's clock; INT64_MAX: when it is resumed */
    enum pause_scope scope;
    char *target;
    size_t target_size;
};

struct pauses
{
    int64_t epoch; /* of parking, when they were read; 0: there has never been one */
    struct pause *at;
    int count;
};

/* Columns: id, keeps_order, ends_at, scope, target. Parameter-free. */
extern const char pauses_sql[];

/* Takes the answer of pauses_sql, which was asked for under `epoch`. */
bool pauses_take(struct pauses *pauses, int64_t epoch, const PGresult *rows);
void pauses_done(struct pauses *pauses);

/* The pause that the command waits for at this time, or NULL. The one that keeps order comes before one that does not. */
const struct pause *pauses_find(const struct pauses *pauses, const struct command *command, int64_t now_us);

#endif
