/* Producer guard: sees the answers to a producer's requests, and remembers that one did not arrive.
 *
 * No librdkafka speaks KIP-890's part 2: an EndTxn or produce request that was lost on the way and sent again may land
 * in the next transaction, and rd_kafka_commit_transaction says OK about it. So after any transport error or time-out
 * of a transactional request the producer is suspect: it is thrown away before the next begin, and init_transactions of
 * the next one fences the request that is still under way.
 *
 * Threads    written by librdkafka's threads, read by the publisher.
 * Ownership  the guard must outlive the handle.
 * Failure    none.
 */
#ifndef CONSUMERS_PRODUCER_PRODUCER_GUARD_H
#define CONSUMERS_PRODUCER_PRODUCER_GUARD_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

struct producer_guard
{
    atomic_bool suspect;
};

void producer_guard_init(struct producer_guard *guard);

/* Before rd_kafka_new. False: librdkafka refused. */
bool producer_guard_watch(struct producer_guard *guard, rd_kafka_conf_t *conf);

bool producer_guard_is_suspect(const struct producer_guard *guard);

#endif
