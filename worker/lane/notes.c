/* Notes: commands that may have ended the worker run alone, and each is noted in PostgreSQL before it runs
 * (worker/batch/quarantine.h). */
#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/batch/quarantine.h"
#include "worker/lane/lane_private.h"
#include "worker/settings/settings.h"

enum
{
    CARE_PAUSE_US = 2000,
};

/* One suspect at a time in the process, so that a crash has one possible cause. Held while servers are
 * talked to; whoever waits for it looks after revocations meanwhile. */
static pthread_mutex_t care = PTHREAD_MUTEX_INITIALIZER;

/* A note that stays without a crash is one of three that put a command to the dead letters. Where PostgreSQL is away at
 * the end of its run it is taken back later. */
static void owe_note(struct lane *lane, int32_t partition_id, int64_t offset)
{
    lane_assert_owner(lane);
    if (lane->notes_to_retract_count == LANE_OWED_MAX)
        memmove(lane->notes_to_retract, lane->notes_to_retract + 1,
                (size_t)--lane->notes_to_retract_count * sizeof(lane->notes_to_retract[0]));
    lane->notes_to_retract[lane->notes_to_retract_count++] =
        (struct lane_notes_to_retract){ .partition_id = partition_id, .offset = offset };
}

bool lane_retract_notes(struct lane *lane)
{
    lane_assert_owner(lane);
    for (; lane->notes_to_retract_count > 0; lane->notes_to_retract_count--)
    {
        const struct lane_notes_to_retract *last = &lane->notes_to_retract[lane->notes_to_retract_count - 1];
        if (!pipeline_is_connected(lane->pipeline) ||
            !quarantine_take_back(lane->pipeline, lane->statements, last->partition_id, last->offset))
            return false;
    }
    return true;
}

/* The note could not be written. Where the session broke it may have been, else surely not. */
static void await_note(struct lane *lane, const struct delivery *delivery)
{
    const struct failure *failure = pipeline_failure(lane->pipeline);

    if (failure->class == FAILURE_SESSION)
        owe_note(lane, delivery->partition->partition_id, delivery->offset);
    lane_tell_trouble(lane, batch_end_of(failure), 1, LANE_PROBE_US);
    lane_pause(lane, LANE_PROBE_US);
    if (failure->class == FAILURE_OURS)
        pipeline_close(lane->pipeline); /* as in run_until_settled */
}

/* It ended the worker before, so it is not read without its note. That it has no name yet is no trouble of the lane's:
 * the next statement meets it. */
static void name_suspect(struct lane *lane, struct delivery *delivery)
{
    struct arena arena;
    struct command command;

    arena_init(&arena);
    memset(&command, 0, sizeof(command));
    if (lane->decode(delivery, &arena, &command) == DECODE_COMMAND)
        (void)quarantine_name(lane->pipeline, lane->statements, delivery, &command);
    arena_done(&arena);
}

/* False: dropped meanwhile. */
static bool note(struct lane *lane, struct delivery **one)
{
    int crashes = 0;

    for (int attempt = 0;; attempt++)
    {
        if (lane_drop_revoked(lane, one, 1) == 0)
            return false;
        if (!pipeline_is_connected(lane->pipeline))
            lane_connect(lane, attempt, &lane->interrupted);
        else if (!lane_retract_notes(lane))
            lane_pause(lane, LANE_PROBE_US);
        else if (quarantine_note(lane->pipeline, lane->statements, one[0], &crashes))
            break;
        else
            await_note(lane, one[0]);
    }
    one[0]->suspect = true;
    if (crashes < quarantine_limit(one[0]))
    {
        if (crashes > 0)
            name_suspect(lane, one[0]);
        return true;
    }
    one[0]->quarantined = true;
    metrics_add(METRIC_QUARANTINED, 1);
    log_error("%s: %s/%d at offset %lld ended the worker %d times in a row: it goes to the dead letters (%s)",
              lane->name, one[0]->partition->topic.at, one[0]->partition->number, (long long)one[0]->offset, crashes,
              QUARANTINE_REASON);
    return true;
}

void lane_run_as_suspect(struct lane *lane, struct delivery *delivery, enum lane_turn turn)
{
    struct delivery *one[1] = { delivery };
    int32_t partition_id = delivery->partition->partition_id;
    int64_t offset = delivery->offset;

    lane_assert_owner(lane);
    while (pthread_mutex_trylock(&care) != 0)
    {
        if (lane_drop_revoked(lane, one, 1) == 0)
            return;
        lane_pause(lane, CARE_PAUSE_US);
    }
    /* A crash within a call to Redis must not count against the command: Redis rests meanwhile, after at most one
     * timeout. */
    while (delivery->partition->solo_until_us > 0 && !lock_rest_until(delivery->partition->solo_until_us))
        lane_pause(lane, CARE_PAUSE_US);
    bool noted = note(lane, one);
    lane->unanswered_in_run = false;
    if (noted)
        lane_run_whole(lane, one, 1, turn);
    /* The delivery may belong to another thread now: use the saved position. Take the note back before the next suspect
     * runs, or its crash would count against this command. */
    if (noted && lane->unanswered_in_run)
    {
        owe_note(lane, partition_id, offset);
        (void)lane_retract_notes(lane);
    }
    pthread_mutex_unlock(&care);
}
