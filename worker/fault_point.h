/* Fault points: places at which a test build can be made to die, sleep or stop. A release build has none of them
 * (tests/layering looks).
 *
 *   FAULT_POINTS=after_commit=crash@3,in_revoke=delay:500   the third time crash (SIGKILL); each time 500 ms late
 *   actions: crash, stop (SIGSTOP), delay:<ms>; @<n>: only the n-th time, else every time
 *
 *   FAULT_COMMAND=<id>                                       crash whenever the command with this id is decoded
 *
 * Threads    any; counted over all of them.
 * Failure    a FAULT_POINTS that cannot be read ends the program at its first point, saying so: a fault that is not
 *            there would make a test prove nothing.
 */
#ifndef WORKER_FAULT_POINT_H
#define WORKER_FAULT_POINT_H

#include <stddef.h>

/* X(symbol, name): in the order in which a command meets them. */
#define FAULT_POINTS(X)                                                                                                \
    X(AFTER_POLL, "after_poll")             /* messages are with the lanes, or about to be */                          \
    X(AFTER_LOCK, "after_lock")             /* Redis has the names */                                                  \
    X(AFTER_LOAD, "after_load")             /* PostgreSQL has BEGIN and the row locks */                               \
    X(BEFORE_COMMIT, "before_commit")       /* nothing of pipeline 2 is sent */                                        \
    X(PIPELINE_SENT, "pipeline_sent")       /* of either pipeline: sent, not answered; COMMIT is in every second */    \
    X(AFTER_COMMIT, "after_commit")         /* answered, nobody else knows */                                          \
    X(BEFORE_BEGIN_TXN, "before_begin_txn") /* the publisher has a prefix */                                           \
    X(AFTER_BEGIN_TXN, "after_begin_txn")   /* Kafka's transaction is open here */                                     \
    X(AFTER_SEND_OFFSETS, "after_send_offsets")                                                                        \
    X(MID_PRODUCE, "mid_produce")             /* before each event */                                                  \
    X(BEFORE_COMMIT_TXN, "before_commit_txn") /* every event is delivered */                                           \
    X(AFTER_COMMIT_TXN, "after_commit_txn")   /* Kafka has it, nobody else knows */                                    \
    X(IN_TAKEOVER, "in_takeover")             /* before a partition's transaction */                                   \
    X(IN_REVOKE, "in_revoke")                 /* in the rebalance callback */                                          \
    X(IN_CLOSE, "in_close")                   /* the consumer is about to be closed */                                 \
    X(AFTER_CLAIM, "after_claim")             /* parked commands are claimed, none is published */                     \
    X(AFTER_RETURN, "after_return")           /* each is with librdkafka */

enum fault_point
{
#define X(symbol, name) FAULT_##symbol,
    FAULT_POINTS(X)
#undef X
    FAULT__COUNT,
};

#ifdef INTERLOCK_TEST_BUILD
void fault_point_reach(enum fault_point point);
void fault_point_command(const char *id, size_t size);
#define FAULT_POINT(symbol) fault_point_reach(FAULT_##symbol)
#define FAULT_COMMAND(id) fault_point_command((id).at, (id).size)
#else
#define FAULT_POINT(symbol) ((void)0)
#define FAULT_COMMAND(id) ((void)0)
#endif

#endif
