/* Assignment, private: what assignment.c, consumers/poll/assignment_backlog.c (how much is unread) and
 * consumers/poll/assignment_view.c (what others may ask) share. Nobody else includes it. */
#ifndef CONSUMERS_POLL_ASSIGNMENT_PRIVATE_H
#define CONSUMERS_POLL_ASSIGNMENT_PRIVATE_H

#include "consumers/parking/pause_board.h"
#include "consumers/poll/assignment.h"
#include "consumers/poll/topic_index.h"
#include "worker/base/mutex.h"
#include "worker/base/topic_name.h"

/* One assigned partition. Its owned partition may end and begin again. */
struct assigned
{
    char topic[TOPIC_NAME_MAX + 1];
    int32_t partition;
    struct owned_partition *owned; /* NULL while it waits for `retake_us` */
    int64_t retake_us;
    /* Since when it has not been ours; 0: it is. Writer: poll thread; reader: HTTP */
    atomic_int_fast64_t waits_since_us;
    bool forget;
    bool fetching;        /* assigned to librdkafka with an offset */
    bool on_pause;        /* an operator paused it: nothing is fetched (PROTOCOL L5) */
    int64_t obeyed_epoch; /* up to which the board knows that it obeys */
};

struct assignment
{
    const struct settings *settings;
    int cell;
    struct lanes *lanes;
    struct publisher *publisher;
    struct pause_board *board; /* NULL: nobody pauses partitions (unit tests) */
    uint64_t epoch;            /* of the last ASSIGN; 0: none yet */
    bool assigned;
    bool full;           /* it has a partition of every command topic */
    int64_t assigned_us; /* when */
    bool pending;        /* some owned partition is asked for and not fetched yet, or waits to be asked for */
    bool all_paused;
    bool changed;      /* a partition that librdkafka fetches is not to be fetched any more */
    bool left;         /* the group is being left: librdkafka's main thread answers no more questions about it */
    int64_t assign_us; /* when librdkafka last got a list of partitions to fetch */
    int64_t next_measure_us, next_ends_us;
    uint64_t random_state;

    pthread_t me; /* the poll thread, once `joined` */
    bool joined;

    struct mutex mutex; /* held to change `places` and `count`, and to read them on another thread */
    struct assigned *assigned_partitions;
    int count;

    struct topic_index index; /* of places */
};

/* The caller is the poll thread. */
static inline void assignment_assert_owner(const struct assignment *assignment)
{
    assert(assignment->joined && pthread_equal(assignment->me, pthread_self()));
}

/* consumers/poll/assignment_pause.c: looks at the pauses of one owned partition. */
void assignment_obey(struct assignment *assignment, struct assigned *assigned);

#endif
