/* Mailbox: the deliveries and requests that lanes and poll thread have given to the publisher.
 *
 * Threads    mailbox_answer: lanes. mailbox_ask, mailbox_finish: the poll thread. mailbox_stop: main.
 *            mailbox_take, mailbox_wait, mailbox_finished: the publisher.
 * Locks      one, held for a few instructions.
 * Ownership  deliveries and references on owned partitions pass through.
 * Failure    none; a process that cannot have a list of pointers ends.
 */
#ifndef CONSUMERS_PUBLISH_MAILBOX_H
#define CONSUMERS_PUBLISH_MAILBOX_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"

struct mailbox;

struct mailbox *mailbox_new(void);
void mailbox_free(struct mailbox *mailbox); /* gives back what is still asked for; nothing may be answered any more */

void mailbox_answer(struct mailbox *mailbox, struct delivery *chain);

/* Holds a reference on each owned partition; `group` may be NULL. */
void mailbox_ask(struct mailbox *mailbox, struct owned_partition *const *owned_partitions, int count,
                 rd_kafka_consumer_group_metadata_t *group);

/* Asks for the end of everything and waits until it is there or the deadline; false: not yet. */
bool mailbox_finish(struct mailbox *mailbox, int64_t deadline_us);

void mailbox_stop(struct mailbox *mailbox);

struct mail
{
    struct delivery *chain;
    struct owned_partition **asked; /* malloc'd, with a reference each */
    int asked_count;
    rd_kafka_consumer_group_metadata_t *group;
    uint64_t finish_wanted; /* for mailbox_finished */
    bool finish, stopping;
};

/* Everything, as soon as there is something, or after `wait_us`. */
struct mail mailbox_take(struct mailbox *mailbox, int64_t wait_us);

/* Only what was answered, waiting as above. *ret_wanted: something else is there too; NULL: that ends no wait. */
struct delivery *mailbox_wait(struct mailbox *mailbox, int64_t wait_us, bool *ret_wanted);

void mailbox_finished(struct mailbox *mailbox, uint64_t wanted);

bool mailbox_is_stopping(struct mailbox *mailbox);

#endif
