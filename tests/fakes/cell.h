/* Cell (fake): everything around a poll thread: the consumer, the assignment, the lanes, the publisher, the slot. The
 * calls of the cell are written down, a word or two each; a word that is written again and again stands once:
 * "open <slot>.<cell>", "submit 0/5 1/7" (partition/offset), "end 0 forget" of a partition, "pause", "resume", "revoke"
 * of the lanes, "leave", "leave lost", "quit" of the group, "close".
 *
 * wrap: consumer_open consumer_leave consumer_close slot_is_held slot_number publisher_new publisher_free
 * publisher_set_consumer publisher_complete publisher_problem lanes_new lanes_free lanes_submit lanes_revoke
 * lanes_is_ready lanes_held assignment_new assignment_free assignment_join assignment_step assignment_find
 * assignment_end_partition assignment_leave assignment_pressure assignment_largest assignment_balance
 * assignment_pause_all assignment_resume_all assignment_nudge assignment_measure assignment_extent assignment_is_ready
 * watchdog_step watchdog_rest_us watchdog_is_content reach_step spread_note delivery_pool_make rd_kafka_consumer_poll
 * rd_kafka_message_destroy rd_kafka_message_errstr rd_kafka_fatal_error rd_kafka_queue_get_consumer
 * rd_kafka_queue_destroy rd_kafka_queue_yield
 *
 * Threads    the cell's calls come on its poll thread; the test sets the script under the mutex.
 */
#ifndef TESTS_FAKES_CELL_H
#define TESTS_FAKES_CELL_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#include "consumers/message/spread.h"
#include "consumers/poll/assignment.h"
#include "consumers/poll/reach.h"
#include "consumers/publish/publisher.h"
#include "worker/lane/held_keys.h"
#include "worker/lane/lanes.h"
#include "worker/slot.h"

enum
{
    FAKE_CELL_PARTITIONS = 2,
    FAKE_CELL_LOG_MAX = 2048,
};

struct fake_cell
{
    pthread_mutex_t mutex; /* over what follows */
    pthread_cond_t changed;
    char log[FAKE_CELL_LOG_MAX];
    int polls, looks; /* of the consumer; at the pressure, once a round */

    bool slot_held;
    int slot_number;
    const char *refusal; /* no consumer can be made: why */
    struct pressure pressure;
    const char *lanes_problem; /* PostgreSQL is away */
    bool rebuild;              /* the watchdog wants another consumer, once */
    int64_t rest_us;           /* and so long without one */
    enum reach_state reach;    /* the next state of Kafka's reach */
    bool publisher_is_stuck;   /* assignment_leave cannot wait for it */
    int64_t left;              /* messages that were not published when it left */
    char lock_owner[300];      /* of the lanes */
    struct owned_partition *owned[FAKE_CELL_PARTITIONS];
    struct delivery_pool *pool;

    /* The publisher's. */
    void (*wake)(void *owner, bool news);
    void *wake_owner;
};

extern struct fake_cell fake_cell;

/* Begins a test: a slot that is held, number 3, two partitions of epoch 1, nothing in flight. */
void fake_cell_begin(void);
void fake_cell_end(void);

/* The answers to the next polls, in order. An error has no offset of its own. */
void fake_cell_message(int partition, int64_t offset);
void fake_cell_error(rd_kafka_resp_err_t error, int partition);

/* Fails the test when the log does not become this within far more time than it ever takes. */
void fake_cell_await_log(const char *expected);
/* Waits until everything that was to be polled was, and what it led to is over. */
void fake_cell_await_polls(void);
/* Waits for a change, until a time of monotonic_us; the mutex is held. False: it is reached. */
bool fake_cell_wait(int64_t until_us);

#endif
