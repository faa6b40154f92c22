/* Fault points: places at which a test build can be made to die, sleep, stop or fail. A release build has none of them
 * (tests/layering looks).
 *
 *   FAULT_POINTS=after_commit=crash@3,in_revoke=delay:500   the third time crash (SIGKILL); each time 500 ms late
 *   actions: crash, stop (SIGSTOP), delay:<ms>, error, error:retriable, error:fatal; @<n>: only the n-th time, else
 *            every time. error imitates the servers at that place: the connection to PostgreSQL is cut, Redis's
 *            answer is lost, Kafka refuses the call or its answer is lost. Kafka's calls have two more kinds:
 *            retriable (not now) and fatal (the handle is of no use any more).
 *   FAULT_POINTS=random=crash:5,random=delay:20:50          each reach of any point: with a probability of 5 in 1,000
 *            it crashes; with one of 50 in 1,000 it is 20 ms late
 *   FAULT_SEED=7                                            random faults are drawn from it; printed at the start
 *
 *   FAULT_COMMAND=<id>                                      crash whenever the command with this id is decoded
 *
 * Reproducible   whether the n-th reach of a point fires follows from the seed, the point's name and n alone, whatever
 *                other threads and points do. Which command and which thread it meets does not: that is up to the
 *                scheduler. Counts begin at 0 in each process, so one that is started again needs another seed.
 *
 * A point between statements that are only queued (FAULT_POINT_QUEUED, worker/postgres/pipeline.h) first has the server
 * execute them: the step that the point is named after is done when it fires.
 *
 * Threads    any; counted over all of them.
 * Failure    a FAULT_POINTS that cannot be read ends the program at its start, saying so: a fault that is not there
 * would make a test prove nothing.
 */
#ifndef WORKER_BASE_FAULT_POINT_H
#define WORKER_BASE_FAULT_POINT_H

#include <stddef.h>

/* X(symbol, name, errors): in the order in which a command meets them. Errors: NO, nothing can fail there; YES; KAFKA,
 * in all three kinds. */
#define FAULT_POINTS(X) \
    X(IN_TAKEOVER, "in_takeover", YES)       /* before a partition's transaction */ \
    X(AFTER_TAKEOVER, "after_takeover", YES) /* it is committed, nobody else knows */ \
    X(AFTER_POLL, "after_poll", YES)         /* messages are about to go to the lanes */ \
    X(AFTER_LOCK, "after_lock", YES)         /* Redis has the names */ \
    X(AFTER_BEGIN, "after_begin", YES)       /* PostgreSQL has executed BEGIN */ \
    X(AFTER_FENCES, "after_fences", YES)     /* and holds the partitions' locks */ \
    X(AFTER_LOAD, "after_load", YES)         /* and the rows', and has said so */ \
    X(AFTER_UPDATE, "after_update", YES)     /* it has written the rows of the domain */ \
    X(AFTER_INBOX, "after_inbox", YES)       /* and the inbox */ \
    X(BEFORE_COMMIT, "before_commit", YES)   /* and all the rest; COMMIT is not sent */ \
    X(COMMIT_SENT, "commit_sent", YES)       /* it has committed; the answer is not read */ \
    X(PIPELINE_SENT, "pipeline_sent", YES)   /* of either pipeline: sent, no answer read; COMMIT is in every second */ \
    X(AFTER_COMMIT, "after_commit", YES)     /* answered, nobody else knows */ \
    X(BEFORE_BEGIN_TXN, "before_begin_txn", KAFKA) /* the publisher has a prefix */ \
    X(AFTER_BEGIN_TXN, "after_begin_txn", KAFKA)   /* Kafka's transaction is open here */ \
    X(AFTER_SEND_OFFSETS, "after_send_offsets", KAFKA) \
    X(MID_PRODUCE, "mid_produce", KAFKA)             /* before each event */ \
    X(BEFORE_COMMIT_TXN, "before_commit_txn", KAFKA) /* every event is delivered */ \
    X(AFTER_COMMIT_TXN, "after_commit_txn", YES)     /* Kafka has it, nobody else knows */ \
    X(IN_REVOKE, "in_revoke", YES)                   /* in the rebalance callback, and at the end */ \
    X(IN_CLOSE, "in_close", NO)                      /* the consumer is about to be closed */ \
    X(AFTER_CLAIM, "after_claim", YES)               /* parked commands are claimed, none is published */ \
    X(AFTER_RETURN, "after_return", NO)              /* each is with librdkafka */ \
    X(REDRIVE_PUT, "redrive_put", NO)                /* the verb has put commands back; COMMIT is not sent */ \
    X(REDRIVE_COMMITTED, "redrive_committed", NO)    /* it has committed, and told nobody */

enum fault_point
{
#define X(symbol, name, errors) FAULT_##symbol,
    FAULT_POINTS(X)
#undef X
    FAULT__COUNT,
};

enum fault_error
{
    FAULT_NO_ERROR,
    FAULT_ERROR,
    FAULT_RETRIABLE,
    FAULT_FATAL,
};

#ifdef INTERLOCK_TEST_BUILD

#include <stdbool.h>

/* Draws the fault for one reach of a point, and counts the reach. */
struct fault
{
    enum fault_action
    {
        FAULT_NOTHING,
        FAULT_CRASH,
        FAULT_STOP,
        FAULT_DELAY,
        FAULT_FAIL,
    } action;
    enum fault_error error;
    long delay_ms;
    long at;        /* the n-th time; 0: every time */
    long per_mille; /* of a random one */
};

struct fault fault_point_draw(enum fault_point point);
enum fault_error fault_point_do(const struct fault *fault);
enum fault_error fault_point_reach(enum fault_point point); /* both */
void fault_point_command(const char *id, size_t size);

/* For a place that cannot fail, or does not; and for one that can: which error it is to meet now, if any. */
#define FAULT_POINT(symbol) ((void)fault_point_reach(FAULT_##symbol))
#define FAULT_POINT_FAILS(symbol) fault_point_reach(FAULT_##symbol)
#define FAULT_COMMAND(id) fault_point_command((id).at, (id).size)

#else

#define FAULT_POINT(symbol) ((void)0)
#define FAULT_POINT_FAILS(symbol) FAULT_NO_ERROR
#define FAULT_COMMAND(id) ((void)0)

#endif

#endif
