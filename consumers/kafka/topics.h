/* Topics: those that the settings name, as the broker has them, and the making of what is missing. Nothing that is
 * there is ever changed.
 *
 * Threads    runs on the caller's thread.
 * Failure    false, with a message.
 */
#ifndef CONSUMERS_KAFKA_TOPICS_H
#define CONSUMERS_KAFKA_TOPICS_H

#include <stdint.h>

#include "consumers/kafka/topic_ids.h"
#include "worker/base/topic_name.h"
#include "workflows/base/buffer.h"

/* Of dead letters, 30 days: a letter whose bytes are gone cannot be brought back. */
#define TOPICS_DLQ_RETENTION_MS "2592000000"

enum
{
    TOPICS_REPORTED_MAX = 32,
};

struct topic_state
{
    char name[TOPIC_NAME_MAX + 1];
    const char *role; /* "commands", "audit", "dead letters" */
    bool exists;
    bool forbidden;        /* it may be there: it may not be looked at */
    bool settings_unknown; /* they may not be asked, which no worker needs: policy, retention and size are not known */
    char in_the_way[80];   /* of a topic that does not serve yet: what the broker says of it; empty: nothing */
    int partitions;
    int replication;
    char cleanup_policy[64];
    int64_t retention_ms;      /* -1: for ever */
    int64_t max_message_bytes; /* of the topic */
    char id[TOPIC_ID_SIZE];    /* of a command topic; "": not told */
};

struct topics_report
{
    struct topic_state at[TOPICS_REPORTED_MAX];
    int count;
    int brokers;
};

bool topics_inspect(const struct settings *settings, struct topics_report *ret, struct buffer *reterr);

/* The same after topics were made: their brokers list them a moment later. Waits until each topic is there and has its
 * leaders, for 15 s at most; then the report has what is in the way. */
bool topics_await(const struct settings *settings, struct topics_report *ret, struct buffer *reterr);

/* Appends a sentence about the fault of a topic that exists; false: it has no fault. */
bool topics_find_fault(const struct topic_state *topic, struct buffer *into);

/* Makes the topics of the report that do not exist. `partitions` of command topics; a dead-letter topic has as many as
 * its command topic. An audit topic wants few: a Kafka transaction writes a marker into each one that it touched. */
bool topics_create(const struct settings *settings, const struct topics_report *report, int partitions,
                   int audit_partitions, struct buffer *reterr);

/* The first offset that a partition of a command topic still has, and the one after its last. */
typedef void topics_log_fn(void *owner, const char *topic, int32_t partition, int64_t log_start, int64_t log_end);

/* Of every partition of every command topic, as the brokers answer now. */
bool topics_logs(const struct settings *settings, topics_log_fn *see, void *owner, struct buffer *reterr);

#endif
