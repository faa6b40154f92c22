/* Handover: what lanes and poll thread have given to the publisher and it has not looked at yet.
 *
 * Threads    handover_answer: lanes. handover_ask, handover_finish: the poll thread. handover_stop: main.
 * handover_take, handover_wait, handover_finished: the publisher. Locks      one, held for a few instructions.
 * Ownership  deliveries and references on tenures pass through.
 * Failure    none; a process that cannot have a list of pointers ends.
 */
#ifndef CONSUMERS_PUBLISH_MAILBOX_H
#define CONSUMERS_PUBLISH_MAILBOX_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"

struct handover;

struct handover *handover_new(void);
void handover_free(
    struct handover *handover); /* gives back what is still asked for; nothing may be answered any more */

void handover_answer(struct handover *handover, struct delivery *chain);

/* Holds a reference on each tenure; `group` may be NULL. */
void handover_ask(struct handover *handover, struct tenure *const *tenures, int count,
                  rd_kafka_consumer_group_metadata_t *group);

/* Asks for the end of everything and waits until it is there or the deadline; false: not yet. */
bool handover_finish(struct handover *handover, int64_t deadline_us);

void handover_stop(struct handover *handover);

struct handed
{
    struct delivery *chain;
    struct tenure **asked; /* malloc'd, with a reference each */
    int asked_count;
    rd_kafka_consumer_group_metadata_t *group;
    uint64_t finish_wanted; /* for handover_finished */
    bool finish, stopping;
};

/* Everything, as soon as there is something, or after `wait_us`. */
struct handed handover_take(struct handover *handover, int64_t wait_us);

/* Only what was answered, waiting as above. *ret_wanted: something else is there too; NULL: that ends no wait. */
struct delivery *handover_wait(struct handover *handover, int64_t wait_us, bool *ret_wanted);

void handover_finished(struct handover *handover, uint64_t wanted);

bool handover_is_stopping(struct handover *handover);

#endif
