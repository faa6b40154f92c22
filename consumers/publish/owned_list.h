/* Owned list: the partitions that the publisher was asked to take over, and those that it has. An answer comes to its
 * partition here, and goes back to the delivery pool when the partition has ended.
 *
 * Threads    one owner, the publisher.
 * Ownership  a reference on each partition of either list; answers are held by the partitions' watermarks.
 * Failure    a partition that cannot keep an answer is lost, since nothing may be left out. A process that cannot have
 *            a list of pointers ends.
 */
#ifndef CONSUMERS_PUBLISH_OWNED_LIST_H
#define CONSUMERS_PUBLISH_OWNED_LIST_H

#include "consumers/message/delivery_pool.h"
#include "consumers/partition/partition.h"

struct owned_list
{
    struct delivery_pool *delivery_pool;
    struct owned_partition **owned; /* taken over */
    int count, capacity;
    struct owned_partition **asked; /* not taken over yet */
    int asked_count;
};

/* Takes the references over. */
void owned_list_ask(struct owned_list *list, struct owned_partition *const *asked, int count);

/* Those asked for from number `first` on are taken over: they are owned. */
void owned_list_begin(struct owned_list *list, int first);

enum answered
{
    ANSWERED_KEPT,     /* by the watermark, until it is published */
    ANSWERED_RETURNED, /* to the delivery pool: its partition has ended, or a lane dropped it */
    ANSWERED_LOST,     /* to the delivery pool, and its partition is lost by it */
};

enum answered owned_list_answer(struct owned_list *list, struct delivery *delivery, int64_t now_us);

/* The partition publishes nothing any more; its answers go back. It stays in the list. */
void owned_list_end(struct owned_list *list, struct owned_partition *owned);

/* So does it here, and has to be taken over again. */
void owned_list_lose(struct owned_list *list, struct owned_partition *owned);

/* Whether the time of a partition is over, of which more is published than PostgreSQL knows. */
bool owned_list_has_unknown(const struct owned_list *list, int64_t now_us);

/* Ends those whose time is over, and drops the ended ones. */
void owned_list_drop_ended(struct owned_list *list, int64_t now_us);

/* Ends and drops all that are owned. */
void owned_list_end_all(struct owned_list *list);

/* Tells lanes and people how long answers wait, and people what is undecided. */
void owned_list_note_waits(const struct owned_list *list);

/* The owned ones must have been ended. */
void owned_list_done(struct owned_list *list);

#endif
