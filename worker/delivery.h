/* Delivery: one message on its way through the pool, and what became of it.
 *
 *   poll thread (new) -> a lane (decode, decide, commit) -> the cell's publisher (publish, watermark, free)
 *
 * Threads    handed from owner to owner by queues; only the owner touches it.
 * Ownership  the cell's consumers/ code makes and frees it; `message` is its own opaque handle, and key and value point
 *            into that message. `event` is malloc'd by the lane and freed with the delivery.
 */
#ifndef WORKER_DELIVERY_H
#define WORKER_DELIVERY_H

#include <stdatomic.h>

#include "workflows/parameters/command.h"

/* A partition as its present owner holds it (PROTOCOL O3, O4). Constant once handed to the lanes; one per assignment
 * epoch and takeover. It outlives every delivery that points at it. */
struct partition
{
    int32_t partition_id; /* partition_owner.id */
    int64_t fence;
    uint8_t token[16];
    struct span topic;     /* NUL-terminated */
    int32_t number;        /* of the partition in its topic */
    uint64_t epoch;        /* assignment epoch of the cell */
    int64_t solo_until_us; /* monotonic; before it commands run alone and are noted first (worker/batch/quarantine.h) */
    bool quarantined;      /* a command of it was put to the dead letters once, and may be read again */
    atomic_bool *revoked;  /* writer: poll thread; reader: lanes, which drop deliveries of a revoked epoch */
    /* May be NULL. Writer: poll thread: paused, nothing moves. Held commands are parked (PROTOCOL L3). */
    atomic_bool *full;
    atomic_bool *on_pause; /* may be NULL. The same, because an operator wants it to be still (PROTOCOL L5) */
    /* May be NULL. Monotonic, since when answers wait behind one that is missing; 0: no answer waits. Writer: publisher
     * (PROTOCOL L3) */
    atomic_int_fast64_t *blocked_us;
    void *slot; /* the cell's own */
};

enum answer
{
    ANSWER_EVENT,       /* publish `event` under `event_key` */
    ANSWER_NOTHING,     /* nothing to publish: duplicate, or published before; the watermark moves on */
    ANSWER_DEAD_LETTER, /* publish the message to the dead letters, with dead_reason and dead_message */
    ANSWER_DROPPED,     /* not ours any more: no publication, no watermark */
    ANSWER_NOT_OWNER,   /* as dropped, and the fence in PostgreSQL says another owner: take over again (PROTOCOL O4) */
};

/* A command that an operator brought back from the dead letters. It runs with care at once. */
enum redriven
{
    REDRIVEN_NOT,
    REDRIVEN_TRIED,   /* it was decided in a child process before (consumers/admin/trial.h) */
    REDRIVEN_UNTRIED, /* it was not: one crash puts it back */
};

struct delivery
{
    struct delivery *next; /* in whatever queue holds it */
    const struct partition *partition;
    void *message;
    struct span key;     /* Kafka key; null when the message has none */
    struct span value;   /* null: a tombstone */
    struct span headers; /* as the delivery pool keeps them; the pool does not look inside */
    int64_t offset;
    uint64_t sequence;    /* order of receipt within the partition and epoch, from 0 (PROTOCOL K1) */
    uint64_t lane_hash;   /* PROTOCOL L1 */
    int64_t received_us;  /* monotonic */
    int64_t timestamp_us; /* of the message, Unix microseconds, for latency; 0 unknown */
    enum redriven redriven;

    /* The lane's. */
    uint64_t arrival; /* order of arrival in the lane, from 1 */
    int attempts;
    int64_t held_since_us;  /* monotonic; 0 = never held */
    int64_t wait_us;        /* the longest wait of its lock class, known once it was held */
    int64_t stuck_since_us; /* monotonic; as held_since_us, but a turn of its own does not set it back (PROTOCOL L4) */
    bool suspect;           /* noted, and to be taken off the list with its answer */
    bool quarantined;       /* read no further than its token: it ended the worker too often */
    bool has_return_token;  /* known once decoded: the message says that it is a parked command coming back */
    struct id return_token;

    /* The answer. */
    enum answer answer;
    char *event;
    size_t event_size;
    char event_key[136];     /* NUL-terminated; empty: no key. Rows of earlier versions have up to 128 bytes */
    const char *dead_reason; /* static: not_json, too_deep, ... */
    char dead_message[160];  /* for people */
    int64_t first_failed_us; /* Unix microseconds, of the dead letter's row */
};

/* How consumers/ turns the message into a command.
 *   DECODE_COMMAND  *ret filled; it may carry a refusal
 *   DECODE_DEAD     not readable as a command: delivery->dead_reason and dead_message are set
 *   DECODE_MEMORY   the arena is exhausted: try again */
enum decode_result
{
    DECODE_COMMAND,
    DECODE_DEAD,
    DECODE_MEMORY,
};

typedef enum decode_result delivery_decode_fn(struct delivery *delivery, struct arena *arena, struct command *ret);

#endif
