/* Batch: the unit of work. Some commands of one lane become one PostgreSQL transaction in two pipelined round trips.
 *
 * Threads    one owner, the lane.
 * Ownership  deliveries stay the lane's; the batch answers them in place. Everything else lives in the batch's arena
 *            until the next batch_run.
 * Failure    a decision for the lane, enum batch_end; the session's failure says more (pipeline.h). Nothing is lost: a
 *            delivery that is neither answered nor held runs again.
 */
#ifndef WORKER_BATCH_BATCH_H
#define WORKER_BATCH_BATCH_H

#include "worker/batch/audit.h"
#include "worker/delivery.h"
#include "worker/postgres/statements.h"
#include "worker/redis/lock.h"
#include "workflows/workflow.h"

enum batch_end
{
    BATCH_DONE,    /* committed: every item is answered or held */
    BATCH_AGAIN,   /* nobody's fault: the same commands again after a delay (PROTOCOL B4) */
    BATCH_SPLIT,   /* one command's fault or turn: again in halves, then alone */
    BATCH_SESSION, /* the session is gone, maybe while COMMIT was out: connect, then again */
    BATCH_STUCK,   /* resources or our own fault: again after a longer delay, not ready, loudly */
};

enum hold_reason
{
    HOLD_NOT,
    HOLD_BUSY,   /* a row, or its Redis lock, is another's (PROTOCOL B2, L2) */
    HOLD_BEHIND, /* behind a held command of its key */
};

enum item_state
{
    ITEM_NEW,        /* to be decided */
    ITEM_UNREADABLE, /* not readable as a command */
    ITEM_KNOWN,      /* the inbox knows the identity */
    ITEM_REPEATED,   /* an earlier item of this batch has the identity */
    ITEM_FENCED,     /* its partition is not ours any more (PROTOCOL O4) */
};

/* Why a command waits in PostgreSQL (PROTOCOL L4). */
enum park_reason
{
    PARK_NOT,
    PARK_EARLY,  /* its notbefore has not come */
    PARK_HELD,   /* held too long */
    PARK_BEHIND, /* behind a parked command of its aggregate */
};

/* What PostgreSQL says of an item that may have to be parked, or was (PROTOCOL L4). */
struct parked
{
    struct span aggregate; /* as printed; null: none that is known before it is decided, so nothing stands before it */
    bool known;            /* its inbox row says parked: it has no outcome yet */
    bool others_parked;    /* a command of the aggregate is parked: afterparked ones go behind it */
    bool others_block;     /* one that every later command goes behind */
    bool rows_loaded;      /* its rows were asked for: it can be decided in this batch */
    bool returns;          /* it came back with its token: to be decided now, unless `ahead` are left */
    bool waits, blocks;    /* of its parked row */
    int32_t part;          /* where it stands: its partition, or 0: its whole aggregate, for which it waits */
    int64_t rank, ahead;
};

struct item
{
    struct delivery *delivery;
    struct command command;
    enum item_state state;
    enum hold_reason hold;
    struct item *twin;         /* ITEM_REPEATED: the first one */
    struct inbox_record inbox; /* ITEM_KNOWN: the row; else the row to write */
    bool writes_inbox, writes_record;
    enum park_reason park;
    struct parked parked; /* what is known of what is parked of its aggregate, and of itself */
    bool recorded;        /* ITEM_KNOWN, ITEM_UNREADABLE or id_reused again: `record` was loaded, to be printed again */
    bool recorded_dead;
    bool published; /* the recorded answer is on the topic already */
    struct audit_record record;
    struct audit_also *also; /* further aggregates, `also_count` of them */
    int also_count;
    uint8_t dead_digest[32];
};

/* How the lane wants this run. */
struct batch_mode
{
    bool waiting;                  /* wait for rows, go on without a refused Redis lock: alone, past the longest wait */
    int64_t wait_us;               /* then: for so long at most; 0: a quarter of database.lock_timeout */
    const struct failure *verdict; /* alone: PostgreSQL refused it for good; record that */
    bool park;                     /* held too long, all of it goes to PostgreSQL until later (PROTOCOL L4) */
};

/* What a batch works with; the lane's. */
struct batch_tools
{
    const struct settings *settings;
    struct pipeline *pipeline;
    struct statements *statements;
    struct lock *lock; /* NULL: Redis is switched off */
    delivery_decode_fn *decode;
};

/* A partition among the batch's commands. */
struct batch_partition
{
    const struct partition *partition;
    bool ours;
};

enum
{
    BATCH_PARTITIONS_MAX = 4096,
    BATCH_ARENA_KEEP = 4 * 1024 * 1024, /* bytes kept from one batch to the next */
    BATCH_ARENA_MAX =
        16 * 1024 * 1024, /* a parsed document may be 40 times its text: past this a batch runs in halves */
};

struct batch
{
    struct batch_tools tools;
    struct batch_mode mode;
    struct arena arena;
    struct rows *rows;
    struct item *items;
    int count;
    struct item **by_identity; /* hash table of items, `identity_slots` long */
    uint32_t identity_slots;
    struct batch_partition *partitions;
    int partition_count;
    int fence_at; /* the place in pipeline 1 of the statement that waits for the partitions' locks; -1: none was sent */
    bool any_busy;
    bool any_returned; /* a parked command came back (PROTOCOL L4): it has waited for its lock long enough */
    bool any_parked;   /* PostgreSQL keeps parked commands, of any worker */
    bool drew_short;   /* the try before found no id that its own commands had not named: draw more */
    bool fence_failed; /* what failed in pipeline 1 were the statements of the fence (PROTOCOL B4) */

    struct lock_name *locks;
    int lock_count;
    int64_t lock_wait_us, lock_valid_until_us;
    bool lock_degraded;

    int64_t begun_us;   /* monotonic: BEGIN was sent */
    int64_t clock_us;   /* PROTOCOL R4: Unix microseconds, of the last statement of pipeline 1 */
    int64_t changed_us; /* the last changed_at given out */
    bool reads_only;    /* nothing to write: only recorded answers (PROTOCOL R6) */

    struct array *arrays;   /* BATCH_ARRAYS parameter buffers */
    struct buffer metadata; /* of the decision being made */
    struct buffer text;     /* events and metadata are printed here first */
};

enum
{
    BATCH_ARRAYS = 4,
};

bool batch_init(struct batch *batch, const struct batch_tools *tools);
void batch_done(struct batch *batch);

/* The whole life of a batch: see batch.c. `deliveries` in order of receipt. */
enum batch_end batch_run(struct batch *batch, struct delivery *const *deliveries, int count, struct batch_mode mode);

/* --- the steps, each in its own file; for batch.c ---------------------------------------------------------------- */

/* worker/batch/load.c: pipeline 1. Whether the dead letters are asked for it: then its value's digest is wanted. */
bool batch_load(struct batch *batch);
bool batch_may_be_quarantined(const struct delivery *delivery);
/* worker/batch/records.c: PROTOCOL R2. */
bool batch_look_recorded(struct batch *batch);
bool batch_answer_seen(struct batch *batch, struct item *item);
/* worker/batch/park.c: PROTOCOL L4. What is parked of the batch's aggregates; whether an item is to be parked now,
 * which then is its answer; what an item that came back leaves to the ones behind it; the statements of pipeline 2,
 * counted in *next. */
bool batch_look_parked(struct batch *batch);
bool batch_park(struct batch *batch, struct item *item);
void batch_advance_parked(struct batch *batch, const struct item *item);
bool batch_send_parked(struct batch *batch, int *next);
/* worker/batch/decide.c */
void batch_decide(struct batch *batch);
void batch_reject(struct batch *batch, struct item *item, const char *reason, struct span metadata);
/* worker/batch/write.c: pipeline 2. */
enum batch_end batch_write(struct batch *batch);

/* What a failed call of the database means for the batch as a whole. */
enum batch_end batch_end_of(const struct failure *failure);

/* Past this a batch of several is given up and run in halves: its rows, or what is made of them, may be a thousand
 * times what its commands said. */
static inline bool batch_is_heavy(const struct batch *batch)
{
    return batch->arena.total > BATCH_ARENA_MAX && batch->count > 1;
}

/* The root entity of a kind of aggregate, or NULL. */
const struct entity *batch_root_entity(enum aggregate_kind kind);

#endif
