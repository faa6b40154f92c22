/* Item: a delivery within its batch; and the batch, as its steps share it. Only worker/batch/ and its tests include
 * this.
 *
 * Threads    the lane's.
 * Ownership  everything lives in the batch's arena until the next batch_run; the deliveries are the lane's.
 * Failure    false: the batch is given up. batch_end_of or the arena tells why.
 */
#ifndef WORKER_BATCH_ITEM_H
#define WORKER_BATCH_ITEM_H

#include "worker/batch/audit.h"
#include "worker/batch/batch.h"
#include "worker/batch/pauses.h"
#include "workflows/workflow.h"

/* The knowledge about an item. item_become asserts the transitions; ARCHITECTURE.md, "States", draws them. */
enum item_state
{
    ITEM_NEW,        /* a command that nothing is known of: to be decided */
    ITEM_UNREADABLE, /* not readable as a command, or put to the dead letters before */
    ITEM_KNOWN,      /* the inbox knows the identity */
    ITEM_REPEATED,   /* an earlier item of this batch has the identity */
    ITEM_FENCED,     /* its partition is not ours any more (PROTOCOL O4) */
    ITEM__STATES,
};

/* The end of an item, decided once (item_conclude) and read by the write. */
enum verdict
{
    VERDICT_OPEN,      /* not decided yet */
    VERDICT_RECORD,    /* a record of its own is written, and its event published */
    VERDICT_REPRINT,   /* its record is there: the event once more, or nothing where it is published */
    VERDICT_DUPLICATE, /* a record of another position answers it: nothing */
    VERDICT_LATER,     /* it came back from parking too early: nothing, it comes again */
    VERDICT_DEAD,      /* the dead letter, written unless it is recorded */
    VERDICT_PARK,      /* its bytes go to PostgreSQL, or stay there longer */
    VERDICT_HOLD,      /* nothing of it is written; it goes back to the lane */
    VERDICT_FENCED,    /* nothing of it is written; its partition is not ours any more */
};

/* Why a command waits in PostgreSQL (PROTOCOL L4). */
enum park_reason
{
    PARK_NOT,
    PARK_EARLY,  /* its notbefore has not come */
    PARK_HELD,   /* held too long */
    PARK_BEHIND, /* behind a parked command of its aggregate */
    PARK_PAUSED, /* an operator paused its type, tenant or key */
};

/* The answers of PostgreSQL about an item that may have to be parked, or was (PROTOCOL L4). */
struct parked
{
    struct span aggregate; /* as printed; null: it has none before it is decided, so nothing stands before it */
    bool known;            /* its inbox row says parked: it has no outcome yet */
    bool others_parked;    /* a command of the aggregate is parked: afterparked ones go behind it */
    bool others_block;     /* one of those is a command that every later one goes behind */
    bool rows_loaded;      /* its rows were asked for: it can be decided in this batch */
    bool returns;          /* it came back with its token: to be decided now, unless `ahead` are left */
    bool waits, blocks;    /* of its parked row */
    bool released;         /* by an operator: it waits for its turn only */
    int64_t cancelled_by;  /* the action that cancelled it; 0: none */
    int32_t pause_id;      /* PARK_PAUSED: the pause that it waits for */
    bool by_operator;      /* an action brought it back, and is told the outcome */
    int32_t part;          /* where it stands: its partition, or 0: its whole aggregate, for which it waits */
    int64_t rank, ahead;
};

struct item
{
    struct delivery *delivery;
    struct command command;
    enum item_state state;
    enum verdict verdict;
    enum hold_reason hold;     /* VERDICT_HOLD: why; before the verdict: why it may have to be held */
    struct item *twin;         /* ITEM_REPEATED: the first one */
    struct inbox_record inbox; /* ITEM_KNOWN: the row; else the row to write */
    enum park_reason park;     /* VERDICT_PARK: why */
    struct parked parked;      /* of its own parked row, and of others of its aggregate */
    bool recorded;             /* `record` was loaded, to be printed again */
    bool recorded_dead;
    bool published; /* the recorded answer is on the topic already */
    struct audit_record record;
    struct audit_also *also; /* further aggregates, `also_count` of them */
    int also_count;
    uint8_t dead_digest[32];
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
    BATCH_ARRAYS = 4,
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
    bool any_returned;    /* a parked command came back (PROTOCOL L4): it has waited for its lock long enough */
    bool any_parked;      /* PostgreSQL keeps parked commands, of any worker */
    int64_t pause_epoch;  /* of the pauses that this transaction obeys */
    struct pauses pauses; /* in force, from one batch to the next */
    bool drew_short;      /* the try before found no id that its own commands had not named: draw more */
    bool fence_failed;    /* the statements of pipeline 1 that failed were those of the fence (PROTOCOL B4) */

    struct lock_name *locks;
    int lock_count;
    int64_t lock_wait_us, lock_valid_until_us;
    bool lock_degraded;

    int64_t begun_us;   /* monotonic: BEGIN was sent */
    int64_t clock_us;   /* PROTOCOL R4: Unix microseconds, of the last statement of pipeline 1 */
    int64_t changed_us; /* the last changed_at given out */

    struct array *arrays;   /* BATCH_ARRAYS parameter buffers */
    struct buffer metadata; /* of the decision being made */
    struct buffer text;     /* events and metadata are printed here first */
};

/* Changes the state. Asserts that the transition is one of the drawing. */
void item_become(struct item *item, enum item_state state);

/* Decides the item, once. `answer` means nothing for VERDICT_HOLD. Asserts that it was open, and that verdict, reasons
 * and answer fit. */
void item_conclude(struct item *item, enum verdict verdict, enum answer answer);

/* Whether this transaction answers the delivery. */
static inline bool item_is_answered(const struct item *item)
{
    return item->verdict != VERDICT_OPEN && item->verdict != VERDICT_HOLD && item->verdict != VERDICT_FENCED;
}

/* Whether the item writes a row of the inbox: a command that is recorded for the first time. */
static inline bool item_writes_inbox(const struct item *item)
{
    return item->verdict == VERDICT_RECORD && item->state == ITEM_NEW;
}

/* Past this a batch of several is given up and run in halves: its rows, or the texts made of them, may be a thousand
 * times as long as its commands. */
bool batch_is_heavy(const struct batch *batch);

/* The root entity of a kind of aggregate, or NULL. */
const struct entity *batch_root_entity(enum aggregate_kind kind);

/* Read again, a command that was put to the dead letters because it ended the worker is readable, and the inbox does
 * not know it, or not as that: the dead letters are asked for it, by its value's digest. */
bool item_may_be_quarantined(const struct item *item);

/* The name of the command's aggregate, in the arena; null: it has none before it is decided. */
struct span item_print_aggregate(struct batch *batch, const struct command *command);

/* --- the steps, in their order ----------------------------------------------------------------------------------- */

/* decode.c: the deliveries become items, which say which rows they need. */
enum batch_end batch_decode(struct batch *batch, struct delivery *const *deliveries, int count);
/* redis_locks.c (PROTOCOL L2): taken before pipeline 1, watched before pipeline 2, released after it. */
void batch_lock(struct batch *batch);
void batch_watch_lease(struct batch *batch);
void batch_unlock(struct batch *batch);
/* Whether Redis refused a lock of this name. */
bool batch_is_lock_refused(const struct batch *batch, struct span name);
/* load.c: pipeline 1. */
bool batch_load(struct batch *batch);
/* records.c (PROTOCOL R2): loads recorded answers; concludes an item that is known or repeated. */
bool batch_look_recorded(struct batch *batch);
void batch_answer_known(struct batch *batch, struct item *item);
/* park.c (PROTOCOL L5): reads the pauses where there are others than the batch before knew. */
bool batch_look_pauses(struct batch *batch);
/* park.c (PROTOCOL L4): looks for parked commands of the batch's aggregates; concludes an item that is to be parked, or
 * says false; counts an item that came back down for those behind it. */
bool batch_look_parked(struct batch *batch);
bool batch_park(struct batch *batch, struct item *item);
void batch_advance_parked(struct batch *batch, const struct item *item);
/* park_write.c: sends the statements of pipeline 2 for parked commands, counted in *next. */
bool batch_send_parked(struct batch *batch, int *next);
/* letters.c: the outcomes of commands that operators brought back, before their parked rows go; dead letters. Statements
 * of pipeline 2, counted in *next. */
bool batch_send_outcomes(struct batch *batch, int *next);
bool batch_send_letters(struct batch *batch, int *next);
/* decide.c: concludes all items, one after another; and fills the record of a refusal. */
void batch_decide(struct batch *batch);
void batch_reject(struct batch *batch, struct item *item, const char *reason, struct span metadata);
/* write.c: pipeline 2. */
enum batch_end batch_write(struct batch *batch);

#endif
