/* Cell, private: what cell.c (the poll thread and its life), consumers/poll/cell_reading.c (one round of messages) and
 * consumers/poll/cell_view.c (what others may ask) share. Nobody else includes it. */
#ifndef CONSUMERS_POLL_CELL_PRIVATE_H
#define CONSUMERS_POLL_CELL_PRIVATE_H

#include <librdkafka/rdkafka.h>

#include "consumers/kafka/problem.h"
#include "consumers/message/delivery_pool.h"
#include "consumers/message/spread.h"
#include "consumers/poll/assignment.h"
#include "consumers/poll/cell.h"
#include "consumers/poll/reach.h"
#include "consumers/poll/watchdog.h"
#include "consumers/publish/publisher.h"
#include "worker/base/mutex.h"

/* ARCHITECTURE.md, "States", draws them. cell_enter alone changes the state. */
enum cell_state
{
    CELL_NEW,       /* its poll thread does not run yet */
    CELL_WAITING,   /* without a consumer: for the slot, Kafka and the topics */
    CELL_SERVING,   /* a member of the group */
    CELL_REPLACING, /* its consumer has to be replaced; the round in hand ends first */
    CELL_FENCED,    /* as CELL_REPLACING, and another process has taken this member's place */
    CELL_LEAVING,   /* drains, gives its partitions back, closes its consumer */
    CELL_STOPPED,   /* its poll thread does nothing more */
};

struct cell
{
    const struct settings *settings;
    int number;
    struct slot *slot;
    struct delivery_pool *delivery_pool;
    struct lanes *lanes;
    struct publisher *publisher;
    struct assignment *assignment;
    char lock_owner[300];
    pthread_t thread;
    /* enum cell_state. Writer: main up to the start of the poll thread, then the poll thread; readers: main, HTTP. */
    atomic_int state;

    /* Writer: main. Reader: poll thread. */
    atomic_bool quiet, stopping;
    atomic_int_fast64_t stop_deadline_us;
    /* Writer: poll thread. Readers: main and HTTP. */
    atomic_int_fast64_t seen_us;
    atomic_int_fast64_t left; /* messages that were received and not published when it had ended */

    struct mutex mutex;      /* guards what follows */
    pthread_cond_t cond;     /* room, or a takeover ended, or stop */
    bool waiting;            /* the poll thread, on cond */
    rd_kafka_queue_t *queue; /* the consumer's, while there is one: to cut a poll short */

    struct problem problem;
    struct watchdog watchdog;
    struct reach reach; /* poll thread */

    /* Poll thread. */
    pthread_t me;
    rd_kafka_t *consumer;
    int slot_number;          /* that the consumer was made for */
    int64_t away_until_us;    /* no consumer is made before */
    int64_t opening_since_us; /* the first of the attempts to make one; 0: there is one */
    struct pressure counted;  /* as the metrics have it */
    int64_t full_since_us;    /* 0: there is room */
    int64_t read_bytes;       /* since the last nudge */
    int64_t largest_bytes;    /* of a message since there was room: a batch that expands may hold one of any size */
    struct spread spread;
    int64_t error_us; /* when librdkafka last complained */
};

static inline enum cell_state cell_state(const struct cell *cell)
{
    return (enum cell_state)atomic_load_explicit(&cell->state, memory_order_acquire);
}

/* For assertions: the caller is the poll thread. */
static inline bool cell_is_mine(const struct cell *cell)
{
    return pthread_equal(cell->me, pthread_self());
}

static inline bool cell_is_stopping(const struct cell *cell)
{
    return atomic_load_explicit(&cell->stopping, memory_order_acquire);
}

/* The transition is asserted. The writer of the state calls it. */
void cell_enter(struct cell *cell, enum cell_state next);

/* consumers/poll/cell_reading.c: waits for messages, and gives up to `limit` of them to the lanes. */
void cell_read_round(struct cell *cell, int64_t limit);

/* consumers/poll/cell_view.c: logs which keys are held back. */
void held_keys_log(int cell, const struct held_keys *held);

#endif
