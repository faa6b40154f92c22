/* Settling: a run is brought to its end (PROTOCOL B4): whole, then in halves in order, then alone, until each delivery
 * is answered, held or dropped. */
#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/lane/lane_private.h"
#include "worker/settings/settings.h"

enum
{
    ALONE_TRIES_MAX = 3,         /* PROTOCOL B4: loaded and decided again before a refusal is recorded */
    LATE_MAX = 2,                /* deadlines of our own in a row: then the batch is the cause, not the server */
    LOG_EVERY_US = 60 * 1000000, /* a state that lasts is logged once a minute */
};

/* --- giving back ------------------------------------------------------------------------------------------------- */

void lane_drop(struct lane *lane, struct delivery *chain)
{
    mutex_assert_free(&lane->mutex); /* `complete` may take other mutexes */
    for (struct delivery *delivery = chain; delivery; delivery = delivery->next)
        delivery->answer = ANSWER_DROPPED;
    if (chain)
        lane->complete(lane->owner, chain);
}

int lane_drop_revoked(struct lane *lane, struct delivery **deliveries, int count)
{
    struct delivery *dropped = NULL;
    int kept = 0;

    lane_assert_owner(lane);
    mutex_lock(&lane->mutex);
    bool all = atomic_load(&lane->stopping) && monotonic_us() >= lane->stop_deadline_us;
    lane->revocations_seen = lane->revocations_asked;
    atomic_store(&lane->interrupted, false);
    mutex_unlock(&lane->mutex);

    for (int i = 0; i < count; i++)
    {
        if (!all && !atomic_load(deliveries[i]->partition->revoked))
        {
            deliveries[kept++] = deliveries[i];
            continue;
        }
        deliveries[i]->next = dropped;
        dropped = deliveries[i];
        lane->unanswered_in_run = true;
    }
    lane_drop(lane, dropped);
    return kept;
}

/* With protections.retry off, as only tests have it, a command that cannot be applied now is forgotten, as in the old
 * system. */
static void forget(struct lane *lane, struct delivery *delivery)
{
    lane_assert_owner(lane);
    delivery->answer = ANSWER_NOTHING;
    delivery->next = NULL;
    lane->complete(lane->owner, delivery);
}

/* `why` is for people, and kept for the first of a key: the others stand behind it. */
static void hold_delivery(struct lane *lane, struct delivery *delivery, enum retry_kind kind, const char *why)
{
    int64_t now_us = monotonic_us();
    int64_t due_us = now_us;

    assert(delivery->next == NULL && delivery->arrival > 0); /* it is in no chain, and came through the queue */
    if (!lane->settings->protections.retry)
    {
        forget(lane, delivery);
        return;
    }
    lane->unanswered_in_run = true;
    if (!retry_queue_blocks(lane->retry_queue, delivery))
    {
        delivery->attempts++;
        due_us += retry_delay_us(&lane->settings->retries[kind], delivery->attempts, &lane->random_state);
        if (delivery->stuck_since_us == 0)
            delivery->stuck_since_us = now_us; /* a follower is not stuck itself */
    }
    if (delivery->held_since_us == 0)
        delivery->held_since_us = now_us;
    while (!retry_queue_put(lane->retry_queue, delivery, due_us))
        lane_pause(lane, LANE_PROBE_US); /* out of memory: no delivery may be dropped, so the lane waits for some */
    retry_queue_say(lane->retry_queue, delivery, why);
}

static void tell_parked(struct lane *lane, const struct delivery *delivery)
{
    if (!log_allowed(&lane->parked_rate, LOG_EVERY_US))
        return;
    if (delivery->stuck_since_us == 0)
        log_warning("%s: %s/%d at offset %lld came back and is busy again: it is parked again", lane->name,
                    delivery->partition->topic.at, delivery->partition->number, (long long)delivery->offset);
    else
        log_warning("%s: %s/%d at offset %lld is parked: held for %lld s, %d attempts; it comes back through its topic",
                    lane->name, delivery->partition->topic.at, delivery->partition->number, (long long)delivery->offset,
                    (long long)(monotonic_us() - delivery->stuck_since_us) / 1000000, delivery->attempts);
}

/* After a commit: the answered ones go back as one chain, the held ones wait with their key. */
static void settle(struct lane *lane, struct delivery *const *deliveries, int count)
{
    struct delivery *first = NULL, **end = &first;
    struct batch_result result;

    lane_assert_owner(lane);
    for (int i = 0; i < count; i++)
    {
        struct delivery *delivery = deliveries[i];
        batch_result(lane->batch, i, &result);
        if (result.hold == HOLD_NOT)
        {
            if (delivery->answer == ANSWER_NOT_OWNER)
                lane->unanswered_in_run = true;
            if (result.parked)
                tell_parked(lane, delivery);
            *end = delivery;
            end = &delivery->next;
            continue;
        }
        /* An item that only queues behind another waits for no row, so it never gets a turn of its own. */
        if (result.wait_us > 0)
            delivery->wait_us = result.wait_us;
        hold_delivery(lane, delivery, result.retry, result.why);
        if (result.hold == HOLD_FULL)
            delivery->stuck_since_us = 0; /* to park it is what there is no room for */
    }
    *end = NULL;
    if (first)
        lane->complete(lane->owner, first);
}

/* --- running ----------------------------------------------------------------------------------------------------- */

/* A delivery behind a held key joins it (PROTOCOL B4: a rejection commits before any later command of its key). */
static int divert_held(struct lane *lane, struct delivery **deliveries, int count)
{
    int kept = 0;

    lane_assert_owner(lane);
    if (retry_queue_keys(lane->retry_queue) == 0)
        return count;
    for (int i = 0; i < count; i++)
        if (retry_queue_blocks(lane->retry_queue, deliveries[i]))
            hold_delivery(lane, deliveries[i], RETRY_DEFAULT, ""); /* its key's first one has the delay */
        else
            deliveries[kept++] = deliveries[i];
    return kept;
}

static void note_stuck(struct lane *lane, struct delivery *const *deliveries, int count)
{
    struct lane_stuck *stuck = &lane->stuck;

    stuck->deliveries = deliveries;
    stuck->count = count;
    stuck->attempts++;
    if (stuck->since_us == 0)
        stuck->since_us = monotonic_us();
}

/* One batch until it is committed, dropped, or has to be split. Returns BATCH_DONE when nothing is left to do. */
static enum batch_end run_until_settled(struct lane *lane, struct delivery **deliveries, int *count,
                                        struct batch_mode mode)
{
    const struct retry_policy *policy = &lane->settings->retries[RETRY_DATABASE_OPERATION];

    assert(*count > 0);
    lane_begin_run(lane);
    for (int attempt = 0, connects = 0, lost = 0, late = 0;;)
    {
        lane->stuck.count = 0;
        *count = lane_drop_revoked(lane, deliveries, *count);
        if (*count == 0)
        {
            lane_forget_refusal(lane);
            return BATCH_DONE;
        }
        if (!pipeline_is_connected(lane->pipeline))
        {
            note_stuck(lane, deliveries, *count);
            lane_connect(lane, connects++, &lane->interrupted);
            continue;
        }
        enum batch_end end = batch_run(lane->batch, deliveries, *count, mode);
        lane_note_fence(lane, end);
        lane_tell_redis(lane);
        const struct failure *failure = pipeline_failure(lane->pipeline);
        if (end == BATCH_DONE)
        {
            lane_become(lane, LANE_READY, "");
            settle(lane, deliveries, *count);
            return BATCH_DONE;
        }
        late = end == BATCH_SESSION && failure->late ? late + 1 : 0;
        if (end == BATCH_SPLIT || (end == BATCH_AGAIN && mode.waiting && failure->class == FAILURE_TRANSIENT) ||
            late == LATE_MAX)
            return BATCH_SPLIT;
        if (end == BATCH_AGAIN && failure->class == FAILURE_TRANSIENT && !lane->settings->protections.retry)
        {
            for (int i = 0; i < *count; i++)
                forget(lane, deliveries[i]);
            return BATCH_DONE;
        }
        int64_t delay_us = LANE_PROBE_US;
        if (end == BATCH_AGAIN)
            delay_us = retry_delay_us(policy, ++attempt, &lane->random_state);
        else if (end == BATCH_SESSION)
        {
            /* A batch that costs its session every time must not drive PostgreSQL from one recovery into the next. */
            connects = 1;
            delay_us = lost++ > 0 ? retry_delay_us(policy, lost, &lane->random_state) : 0;
        }
        bool refused = failure->class == FAILURE_OURS;
        note_stuck(lane, deliveries, *count);
        lane_tell_trouble(lane, end, *count, delay_us);
        lane_tell_fence(lane);
        metrics_add(METRIC_BATCH_RETRIES, 1);
        if (delay_us > 0)
            lane_pause(lane, delay_us);
        if (refused)
        {
            /* A plan from before a migration, or statements that somebody deallocated, are refused for as long as the
             * session lasts. */
            if (end == BATCH_STUCK)
                lane_become(lane, LANE_REFUSED, NULL);
            pipeline_close(lane->pipeline);
            connects = 0;
        }
    }
}

/* A command that failed alone: it is held, or refused for good. */
static void run_alone(struct lane *lane, struct delivery *delivery, enum lane_turn turn)
{
    struct failure failure = *pipeline_failure(lane->pipeline);
    enum retry_kind policy =
        failure.class == FAILURE_TRANSIENT ? batch_retry_kind(lane->batch, 0) : RETRY_DATABASE_OPERATION;
    struct delivery *one[1] = { delivery };
    int count = 1;
    char why[256];

    assert(failure.class != FAILURE_NONE); /* or it is held without a reason that anybody could remove */
    lane_tell_fence(lane);
    for (int tries = 1;; tries++)
    {
        lane_say_failure(&failure, why, sizeof(why));
        if (failure.class != FAILURE_COMMAND)
        {
            if (turn == TURN_WAIT)
                delivery->held_since_us = 0; /* it had its turn; the next one is after another longest wait */
            hold_delivery(lane, delivery, policy, why);
            return;
        }
        bool last = !failure_may_pass(&failure) || tries > ALONE_TRIES_MAX || !lane->settings->protections.retry;
        struct batch_mode mode = { .waiting = turn == TURN_WAIT,
                                   .wait_us = lane->turn_wait_us,
                                   .refused = last ? &failure : NULL };
        if (run_until_settled(lane, one, &count, mode) == BATCH_DONE)
            return;
        failure = *pipeline_failure(lane->pipeline);
        if (last)
        {
            /* Even the record was refused: the command is never dropped but held, and metrics and log say so. */
            lane_tell_trouble(lane, BATCH_STUCK, 1, 0);
            hold_delivery(lane, delivery, RETRY_DATABASE_OPERATION, why);
            return;
        }
    }
}

void lane_run_whole(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn)
{
    struct batch_mode mode = { .waiting = turn == TURN_WAIT, .wait_us = lane->turn_wait_us, .park = turn == TURN_PARK };
    if (run_until_settled(lane, deliveries, &count, mode) == BATCH_DONE)
        return;
    if (count == 1)
    {
        run_alone(lane, deliveries[0], turn);
        return;
    }
    metrics_add(METRIC_BATCH_SPLITS, 1);
    lane_run(lane, deliveries, count / 2, turn);
    lane_run(lane, deliveries + count / 2, count - count / 2, turn);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static bool is_solo(const struct delivery *delivery)
{
    if (delivery->redriven != REDRIVEN_NOT)
        return true;
    return delivery->partition->solo_until_us > 0 && monotonic_us() < delivery->partition->solo_until_us;
}

static bool any_solo(struct delivery *const *deliveries, int count)
{
    for (int i = 0; i < count; i++)
        if ((deliveries[i]->redriven != REDRIVEN_NOT || deliveries[i]->partition->solo_until_us > 0) &&
            is_solo(deliveries[i]))
            return true;
    return false;
}

void lane_run(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn)
{
    lane_assert_owner(lane);
    if (turn == TURN_COMMON)
        count = divert_held(lane, deliveries, count);
    if (count == 0)
        return;
    if (!lane->settings->protections.quarantine || !any_solo(deliveries, count))
    {
        lane_run_whole(lane, deliveries, count, turn);
        return;
    }
    for (int i = 0; i < count; i++)
    {
        /* It may be behind one that was held in this loop. */
        if (turn == TURN_COMMON && divert_held(lane, deliveries + i, 1) == 0)
            continue;
        if (is_solo(deliveries[i]))
            lane_run_as_suspect(lane, deliveries[i], turn);
        else
            lane_run_whole(lane, deliveries + i, 1, turn);
    }
}
