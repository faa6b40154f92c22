/* The pauses of partitions (PROTOCOL L5): the partition stays in the group and owned, nothing of it is fetched, and what is
 * in flight is finished. Its owner says so, on the board, once nothing is. */
#include <assert.h>
#include <string.h>

#include "consumers/partition/partition.h"
#include "consumers/poll/assignment_private.h"
#include "worker/base/log.h"

void assignment_use_board(struct assignment *assignment, struct pause_board *board)
{
    assignment->board = board;
}

/* The takeover read the pauses too, under the partition's lock: what it saw counts until the board knows as much. */
static bool is_covered(struct assignment *assignment, const struct assigned *assigned, int64_t *ret_epoch)
{
    const struct owned_partition *owned = assigned->owned;
    bool covered = pause_board_covers(assignment->board, assigned->topic, assigned->partition, ret_epoch);

    if (pause_board_version(assignment->board) > 0 && *ret_epoch >= owned->pause_epoch)
        return covered;
    *ret_epoch = owned->pause_epoch;
    return owned->begins_on_pause;
}

static void tell(const struct assignment *assignment, const struct assigned *assigned)
{
    log_info("cell %d: %s/%d: %s", assignment->cell, assigned->topic, assigned->partition,
             assigned->on_pause ? "an operator paused it: what is in flight is finished, nothing else is read"
                                : "its pause has ended");
}

static void note_obeyed(struct assignment *assignment, struct assigned *assigned, int64_t epoch)
{
    struct owned_partition *owned = assigned->owned;
    struct pause_obeyed obeyed = { .partition_id = owned->partition.partition_id,
                                   .fence = owned->partition.fence,
                                   .epoch = epoch };

    memcpy(obeyed.token, owned->partition.token, sizeof(obeyed.token));
    if (pause_board_note_obeyed(assignment->board, &obeyed))
        assigned->obeyed_epoch = epoch;
}

void assignment_obey(struct assignment *assignment, struct assigned *assigned)
{
    int64_t epoch;

    assert(assigned->owned && owned_state(assigned->owned) == PARTITION_OWNED);
    if (assignment->board == NULL)
        return;
    bool covered = is_covered(assignment, assigned, &epoch);
    if (covered != assigned->on_pause)
    {
        assigned->on_pause = covered;
        atomic_store_explicit(&assigned->owned->shared.on_pause, covered, memory_order_relaxed);
        /* Messages that librdkafka fetched ahead are left out from here on, and read again later. */
        assignment->changed = assignment->changed || assigned->fetching;
        assigned->fetching = assigned->fetching && !covered;
        tell(assignment, assigned);
    }
    bool in_flight = atomic_load_explicit(&assigned->owned->shared.in_flight, memory_order_acquire) > 0;
    if (covered && !in_flight && assigned->obeyed_epoch < epoch)
        note_obeyed(assignment, assigned, epoch);
}
