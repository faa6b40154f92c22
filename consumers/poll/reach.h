/* Reach: whether Kafka answers the consumer, and since when not. librdkafka tries for ever and tells a failure once;
 * an idle consumer does not notice at all that it has no broker until its session is over.
 *
 * Threads    one owner, the poll thread.
 * Failure    none; while in doubt it asks again every 2 s, which takes up to half a second.
 */
#ifndef CONSUMERS_POLL_REACH_H
#define CONSUMERS_POLL_REACH_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct settings;

struct reach
{
    int64_t silent_since_us; /* 0: nothing is in doubt */
    int64_t next_us;         /* the next question */
    bool told;               /* it did not answer */
};

enum reach_state
{
    REACH_SAME,
    REACH_SILENT, /* asked, and no answer: `why` says who, where and for how long */
    REACH_BACK,   /* it was silent, and has answered */
};

#define REACH_NEW ((struct reach){ 0, 0, false })

/* Something hints that no broker has answered since then. */
void reach_doubt(struct reach *reach, int64_t since_us, int64_t now_us);

enum reach_state reach_step(struct reach *reach, const struct settings *settings, rd_kafka_t *consumer, int64_t now_us,
                            char *why, size_t why_size);

#endif
