/* Partition: one that this cell owns, from one takeover to the loss of it. Deliveries belong to an owned partition;
 * results of an ended one are dropped, so a late result of a former owned partition never touches the next (PROTOCOL
 * O4, O5).
 *
 * Threads    made by the poll thread; fields are grouped by the thread that owns them.
 * Ownership  counted: the poll thread and the publisher hold one reference each, every delivery one. The last one
 *            frees.
 */
#ifndef CONSUMERS_PARTITION_PARTITION_H
#define CONSUMERS_PARTITION_PARTITION_H

#include <assert.h>

#include "consumers/kafka/topic_ids.h"
#include "consumers/partition/backlog.h"
#include "consumers/partition/watermark.h"
#include "worker/base/topic_name.h"
#include "worker/delivery.h"

/* ARCHITECTURE.md, "States", draws them. `owned_change` alone changes the state. */
enum partition_state
{
    PARTITION_REQUESTED, /* the publisher is to take it over */
    PARTITION_CANCELLED, /* revoked before that: the publisher drops it, or drains it where it was just taking it */
    PARTITION_OWNED,     /* ours in PostgreSQL; start_offset is known: messages may be fetched */
    PARTITION_DRAINING,  /* revoked: lanes begin nothing more of it, the publisher may publish until give_up_us */
    PARTITION_LOST,      /* nothing is published any more, the poll thread is to ask again: the fence says another owner
                            (PROTOCOL O4), or an answer could not be kept */
    PARTITION_GIVEN_UP,  /* nothing is published any more */
};

enum partition_change
{
    PARTITION_TAKE,   /* publisher: it is taken over */
    PARTITION_REVOKE, /* poll thread: it is not assigned any more, or has to be taken over again */
    PARTITION_LOSE,   /* publisher */
    PARTITION_END,    /* publisher: it was published to its end, or its time is over */
};

enum
{
    OFFSET_NONE = -1, /* no offset is committed: the earliest message */
    COMMIT_MARK_SIZE = 64,
};

struct arrears;

struct owned_partition
{
    /* Lanes see this. Filled by the takeover, constant from PARTITION_OWNED on. */
    struct partition partition;
    char topic[TOPIC_NAME_MAX + 1];
    int64_t start_offset; /* of the first message to fetch, or OFFSET_NONE; written by the takeover */
    /* The same: parking.pause_epoch, and whether an operator had paused it (PROTOCOL L5). */
    int64_t pause_epoch;
    bool begins_on_pause;

    bool forget_committed; /* written before it is asked for: the committed offset means nothing (PROTOCOL O5) */
    atomic_int references;

    struct
    {
        atomic_int state;    /* enum partition_state; writer: owned_change; readers: poll thread, publisher, HTTP */
        atomic_bool revoked; /* writer: poll thread, by owned_revoke; readers: lanes, publisher */
        /* Monotonic; past it nothing of the partition is published any more. Writer: poll thread */
        atomic_int_fast64_t give_up_us;

        /* Back-pressure (PROTOCOL L3). In flight = received and not published. Added to by the poll thread, taken from
         * by the publisher, read by the poll thread. */
        atomic_int_fast64_t in_flight, in_flight_bytes;
        atomic_int_fast64_t dropped;   /* received, and given back unpublished: read again. Writer: publisher */
        atomic_int_fast64_t moved_us;  /* when the watermark last moved; monotonic; writer: publisher */
        atomic_int_fast64_t committed; /* offset committed to Kafka, for people; OFFSET_NONE: none yet */
        /* Monotonic, 0: nothing. Since when answers wait behind one that is not there, which lanes look at (PROTOCOL
         * L3); and since when the first answer waits to be published, for any reason. Writer: publisher */
        atomic_int_fast64_t blocked_us, unpublished_us;
        atomic_bool on_pause; /* by an operator (PROTOCOL L5). Writer: poll thread; readers: lanes, HTTP */
        atomic_bool paused;   /* by us: nothing else is ever resumed. Writer: poll thread; readers: lanes, HTTP */

        /* Kafka has another topic of this name now. Writer: publisher; reader: poll thread, which reads both ids then.
         */
        atomic_bool recreated;
        char topic_id[TOPIC_ID_SIZE]; /* of its topic; "": not told yet */
        char present_id[TOPIC_ID_SIZE];
    } shared;

    struct backlog backlog; /* for people; it has its own rules about threads */

    struct
    {
        uint64_t next_sequence;
        int64_t last_offset; /* of the last message received; -1: none */
    } poll;

    struct
    {
        struct watermark watermark;
        uint64_t settled;            /* the first sequence that is not published */
        int64_t published_known;     /* the value of partition_published.published, as far as it is known */
        int64_t published_reached;   /* the value it may be raised to: committed to Kafka */
        char mark[COMMIT_MARK_SIZE]; /* its commits carry it: "<schema id>:<fence>" (PROTOCOL R1) */
        int64_t topic_fence;         /* commits under a lower one are of a former topic of this name */
        struct arrears *arrears;     /* taken in PostgreSQL, and not known yet what was published; else NULL */
        bool taken;                  /* by the takeover round in progress */
    } publisher;
};

struct owned_partition *owned_new(const char *topic, int32_t partition, uint64_t epoch);
struct owned_partition *owned_retain(struct owned_partition *owned, int count); /* further references */
void owned_release(struct owned_partition *owned, int count);                   /* gives references back */

/* Makes the change and returns the state after it. A change that comes after one of the other thread may have no effect
 * (see the table in partition.c); one that its own thread cannot ask for in this state is a bug, and ends the process.
 */
enum partition_state owned_change(struct owned_partition *owned, enum partition_change change);

/* The poll thread: PARTITION_REVOKE, and the lanes drop what they have not begun. Nothing is published past
 * `give_up_us`. */
void owned_revoke(struct owned_partition *owned, int64_t give_up_us);

/* How many messages were received and not published; logs them where there are any. Any thread. */
int64_t owned_log_unpublished(const struct owned_partition *owned, int cell);

/* Drops one reference of each that was revoked and takes it out of the list; returns how many are left. */
int owned_release_revoked(struct owned_partition **owned_partitions, int count);

static inline struct owned_partition *owned_of(const struct delivery *delivery)
{
    return delivery->partition->slot;
}

/* `count` deliveries are given back unpublished. */
static inline void owned_note_dropped(struct owned_partition *owned, int64_t count)
{
    atomic_fetch_add_explicit(&owned->shared.dropped, count, memory_order_relaxed);
}

/* One delivery is no longer in flight, and was not published. */
static inline void owned_land_unpublished(struct owned_partition *owned, int64_t bytes)
{
    atomic_fetch_sub_explicit(&owned->shared.in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&owned->shared.in_flight_bytes, bytes, memory_order_relaxed);
    owned_note_dropped(owned, 1);
}

/* The next offset to be read; OFFSET_NONE: the earliest message. The poll thread only. */
static inline int64_t owned_position(const struct owned_partition *owned)
{
    assert(owned);
    return owned->poll.last_offset >= 0 ? owned->poll.last_offset + 1 : owned->start_offset;
}

static inline enum partition_state owned_state(const struct owned_partition *owned)
{
    /* Acquire: what the takeover wrote before PARTITION_OWNED is seen. */
    return (enum partition_state)atomic_load_explicit(&owned->shared.state, memory_order_acquire);
}

/* It is taken over and nothing has ended it, so its answers count. Only the publisher ends that. */
static inline bool owned_is_live(const struct owned_partition *owned)
{
    enum partition_state state = owned_state(owned);
    return state == PARTITION_OWNED || state == PARTITION_DRAINING;
}

/* It is or was ours in PostgreSQL, and is not to be taken over again. */
static inline bool owned_is_taken(const struct owned_partition *owned)
{
    return owned_is_live(owned) || owned_state(owned) == PARTITION_GIVEN_UP;
}

static inline bool owned_is_given_up(const struct owned_partition *owned, int64_t now_us)
{
    return atomic_load_explicit(&owned->shared.give_up_us, memory_order_acquire) <= now_us;
}

static inline bool owned_is_recreated(const struct owned_partition *owned)
{
    return atomic_load_explicit(&owned->shared.recreated, memory_order_acquire);
}

static inline bool owned_is_revoked(const struct owned_partition *owned)
{
    return atomic_load_explicit(&owned->shared.revoked, memory_order_acquire);
}

#endif
