/* Assignment: the partitions that the group gave to this consumer, from the ASSIGN callback to the REVOKE callback.
 *
 *   ASSIGN    group metadata is taken, an empty list is assigned (nothing is fetched), the publisher is asked to take
 *             the partitions over; when it has, they are assigned with explicit offsets, outside of the callback
 *   REVOKE    lanes drop what waits, batches in flight end, the prefix is published, all bounded; then nothing is
 *             assigned
 *   lost      everything is dropped at once
 *
 * Eager only (range): the member rejoins when the callback has ended, so metadata taken in ASSIGN is right until
 * REVOKE.
 *
 * Threads    the poll thread; rd_kafka_consumer_poll calls assignment_on_rebalance on it. assignment_print,
 *            assignment_report, assignment_tell_left: any.
 * Locks      one, around the list of owned partitions, because the status page reads it.
 * Ownership  holds one reference on each owned partition while it is assigned.
 * Failure    a partition that cannot be kept is taken over again after a pause with jitter (PROTOCOL O4, O5).
 */
#ifndef CONSUMERS_POLL_ASSIGNMENT_H
#define CONSUMERS_POLL_ASSIGNMENT_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"
#include "consumers/poll/partition_report.h"
#include "consumers/poll/watchdog.h"
#include "workflows/base/buffer.h"

struct settings;
struct lanes;
struct pause_board;
struct publisher;
struct assignment;

struct assignment *assignment_new(const struct settings *settings, int cell, struct lanes *lanes,
                                  struct publisher *publisher);
void assignment_free(struct assignment *assignment);

/* The pauses that it obeys; before a consumer joins. */
void assignment_use_board(struct assignment *assignment, struct pause_board *board);

/* A consumer joins the group. */
void assignment_join(struct assignment *assignment);

/* The consumer's rebalance callback; its opaque must be the assignment's owner, see cell.c. */
void assignment_on_rebalance(struct assignment *assignment, rd_kafka_t *consumer, rd_kafka_resp_err_t what,
                             rd_kafka_topic_partition_list_t *partitions);

/* Called between polls: begins to fetch what has been taken over, asks again for what was lost. `now_us` monotonic. */
void assignment_step(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us);

/* The owned partition that a message belongs to; NULL: none, the message is of the past. */
struct owned_partition *assignment_find(struct assignment *assignment, const rd_kafka_message_t *message);

/* Ends our ownership of a partition that is still assigned: its deliveries in flight are dropped, and it is taken over
 * again. `forget`: the committed offset no longer means anything (PROTOCOL O5). */
void assignment_end_partition(struct assignment *assignment, rd_kafka_t *consumer, struct owned_partition *owned,
                              bool forget, const char *why);

/* Leaves everything as REVOKE does, without a callback: for the end of the cell, or of its consumer. `lost`: the group
 * has given the place to another one, nothing can be published any more. False: the publisher is not done yet.
 * *ret_left: how many messages were received and not published; the log has them by partition. */
bool assignment_leave(struct assignment *assignment, rd_kafka_t *consumer, int64_t deadline_us, bool lost,
                      int64_t *ret_left);

/* The same without leaving, for an end by force. */
int64_t assignment_tell_left(struct assignment *assignment);

/* Back-pressure (PROTOCOL L3). Sums up what is in flight. */
struct pressure
{
    int64_t commands, bytes;
};
struct pressure assignment_pressure(const struct assignment *assignment);
/* The one that has most bytes in flight; NULL: none. */
struct owned_partition *assignment_largest(const struct assignment *assignment);
/* Pauses partitions that are at their share and do not move, resumes those that have drained to half of it. */
void assignment_balance(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us);
/* Pauses everything until resumed: the cell was full for too long, or is quiet. */
void assignment_pause_all(struct assignment *assignment, rd_kafka_t *consumer);
void assignment_resume_all(struct assignment *assignment, rd_kafka_t *consumer);

/* Ends the pause that librdkafka 2.0.2 makes when its queue was full: its broker threads look at their queues again
 * when they have something to send, so each is given a question. Waits for the answers, `wait_ms` at the most. */
void assignment_nudge(struct assignment *assignment, rd_kafka_t *consumer, int wait_ms);

/* Finds out how much of each partition is unread, as far as it is due (consumers/partition/backlog.h). The fetcher knows
 * the end of what it fetches; of paused partitions Kafka is asked, every 5 s, which takes up to a tenth of a second. */
void assignment_measure(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us);

/* The extent of the group's assignment, and its epoch. The poll thread only. */
enum extent assignment_extent(const struct assignment *assignment, uint64_t *ret_epoch);

/* Assigned, and every partition taken over. Whether that is all that it should have, the watchdog knows. */
bool assignment_is_ready(struct assignment *assignment, char *why, size_t why_size);

/* An array of JSON objects, one per partition. Any thread. */
void assignment_print(struct assignment *assignment, const struct stall_causes *causes, struct buffer *json);
/* Adds a report of each partition. Any thread. */
void assignment_report(struct assignment *assignment, const struct stall_causes *causes,
                       struct partition_reports *into);

#endif
