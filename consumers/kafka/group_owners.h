/* Group owners: whether every partition of the command topics has an owner in the consumer group, as the group's
 * coordinator tells it to a client of its own (PROTOCOL O7). Asked rarely, and only by a cell that has nothing of some
 * topic.
 *
 * Threads    one owner, the poll thread.
 * Ownership  makes a client for the question and ends it.
 * Failure    GROUP_SILENT: Kafka did not answer in time; `why` says who and what.
 */
#ifndef CONSUMERS_KAFKA_GROUP_OWNERS_H
#define CONSUMERS_KAFKA_GROUP_OWNERS_H

#include <stddef.h>

struct settings;

enum group_answer
{
    GROUP_SILENT,  /* nobody answered */
    GROUP_MOVING,  /* answered; who owns what is not settled, or may not be known */
    GROUP_OWNED,   /* every partition has an owner */
    GROUP_UNOWNED, /* some have none */
};

/* Bounded by about 3 s. *ret_unowned: how many, with GROUP_UNOWNED. */
enum group_answer group_owners_ask(const struct settings *settings, int *ret_unowned, char *why, size_t why_size);

#endif
