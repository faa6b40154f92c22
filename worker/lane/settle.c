#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/batch/quarantine.h"
#include "worker/lane/lane_private.h"
#include "worker/settings/settings.h"

enum
{
    ALONE_TRIES_MAX = 3,         /* PROTOCOL B4: loaded and decided again before a refusal is recorded */
    LATE_MAX = 2,                /* deadlines of our own in a row: then it is the batch, not the server */
    LOG_EVERY_US = 60 * 1000000, /* a state that lasts is told once a minute */
    LOG_NEW_EVERY_US = 5 * 1000000,
    RECONNECT_DELAY_MAX_US = 2000000,
    CARE_PAUSE_US = 2000,
};

/* --- waiting ----------------------------------------------------------------------------------------------------- */

void lane_wait_until(struct lane *lane, int64_t until_us)
{
    struct timespec until = monotonic_timespec(until_us);

    if (until_us == INT64_MAX)
        pthread_cond_wait(&lane->work, &lane->mutex);
    else
        pthread_cond_timedwait(&lane->work, &lane->mutex, &until);
}

void lane_pause(struct lane *lane, int64_t delay_us)
{
    int64_t until_us = monotonic_us() + delay_us;

    pthread_mutex_lock(&lane->mutex);
    while (monotonic_us() < until_us && lane->revocations_asked == lane->revocations_seen)
    {
        if (atomic_load(&lane->stopping) && lane->stop_deadline_us < until_us)
            until_us = lane->stop_deadline_us;
        lane_wait_until(lane, until_us);
    }
    pthread_mutex_unlock(&lane->mutex);
}

void lane_set_ready(struct lane *lane, bool ready, const char *why)
{
    pthread_mutex_lock(&lane->mutex);
    lane->ready = ready;
    snprintf(lane->why, sizeof(lane->why), "%s", why);
    pthread_mutex_unlock(&lane->mutex);
}

/* --- giving back ------------------------------------------------------------------------------------------------- */

void lane_drop(struct lane *lane, struct delivery *chain)
{
    for (struct delivery *delivery = chain; delivery; delivery = delivery->next)
        delivery->answer = ANSWER_DROPPED;
    if (chain)
        lane->complete(lane->owner, chain);
}

/* Drops the revoked ones of the run; all of them once the lane is past its end. Order is kept. */
static int drop_revoked(struct lane *lane, struct delivery **deliveries, int count)
{
    struct delivery *dropped = NULL;
    int kept = 0;

    pthread_mutex_lock(&lane->mutex);
    bool all = atomic_load(&lane->stopping) && monotonic_us() >= lane->stop_deadline_us;
    lane->revocations_seen = lane->revocations_asked;
    atomic_store(&lane->interrupted, false);
    pthread_mutex_unlock(&lane->mutex);

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

/* With protections.retry off, which only tests do, what cannot be done now is forgotten, as the old system did. */
static void forget(struct lane *lane, struct delivery *delivery)
{
    delivery->answer = ANSWER_NOTHING;
    delivery->next = NULL;
    lane->complete(lane->owner, delivery);
}

/* `why` is for people, and of the first of a key: the others stand behind it. */
static void hold_delivery(struct lane *lane, struct delivery *delivery, enum retry_kind kind, const char *why)
{
    int64_t now_us = monotonic_us();
    int64_t due_us = now_us;

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
            delivery->stuck_since_us = now_us; /* what only stands behind it is not stuck itself */
    }
    if (delivery->held_since_us == 0)
        delivery->held_since_us = now_us;
    while (!retry_queue_put(lane->retry_queue, delivery, due_us))
        lane_pause(lane, LANE_PROBE_US); /* out of memory: nothing may be dropped, so it waits for some */
    retry_queue_say(lane->retry_queue, delivery, why);
}

/* The delays of a command's own failures are those of the policy that its workflow names (PROTOCOL B5). */
static enum retry_kind own_policy(const struct item *item)
{
    return item && item->command.workflow ? workflow_retry(item->command.workflow) : RETRY_DEFAULT;
}

/* Whose the row is PostgreSQL does not say to one who skips it; a lock that Redis refused is known by its name: true.
 */
static bool say_why_busy(const struct batch *batch, const struct item *item, char *into, size_t into_size)
{
    char name[AGGREGATE_KEY_MAX];
    size_t size = 0;
    bool refused = false;

    /* Not named yet: the id is drawn with the row. */
    if (item->command.aggregate.kind != AGGREGATE_NONE)
        size = aggregate_print(item->command.aggregate, name);
    for (int i = 0; i < batch->lock_count && !refused; i++)
        refused = batch->locks[i].refused && span_equal(batch->locks[i].name, (struct span){ name, size });
    if (refused)
        snprintf(into, into_size, "busy: the Redis lock of %.*s is held by another", (int)size, name);
    else
        snprintf(into, into_size, "busy: %.*s%sa row of it, is locked by another session", (int)size, name,
                 size > 0 ? ", or " : "");
    return refused;
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

/* After a commit: what is answered goes back as one chain, what is held waits with its key. */
static void settle(struct lane *lane)
{
    struct delivery *first = NULL, **end = &first;
    char why[192];

    for (int i = 0; i < lane->batch.count; i++)
    {
        struct item *item = &lane->batch.items[i];
        if (item->hold == HOLD_NOT)
        {
            if (item->delivery->answer == ANSWER_NOT_OWNER)
                lane->unanswered_in_run = true;
            if (item->park == PARK_HELD)
                tell_parked(lane, item->delivery);
            *end = item->delivery;
            end = &item->delivery->next;
            continue;
        }
        /* What only stands behind another one waits for no row, so it needs no turn of its own either. */
        if (item->command.workflow && item->hold == HOLD_BUSY)
            item->delivery->wait_us = lane->settings->locks[item->command.workflow->lock_class].wait_us;
        bool refused = item->hold == HOLD_BUSY && say_why_busy(&lane->batch, item, why, sizeof(why));
        hold_delivery(lane, item->delivery, refused ? RETRY_LOCK_ACQUISITION : own_policy(item),
                      item->hold == HOLD_BUSY ? why : "behind a command that is held");
    }
    *end = NULL;
    if (first)
        lane->complete(lane->owner, first);
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

bool lane_connect(struct lane *lane, int attempt, const atomic_bool *stop)
{
    if (pipeline_connect(lane->pipeline, stop))
    {
        if (attempt > 0)
        {
            metrics_add(METRIC_RECONNECTS, 1);
            log_info("%s: connected to PostgreSQL at %s", lane->name, pipeline_where(lane->pipeline));
        }
        if (!lane->stuck.refused)
            lane_set_ready(lane, true, "");
        return true;
    }
    if (stop && atomic_load(stop))
        return false; /* that says nothing about PostgreSQL */
    const struct failure *failure = pipeline_failure(lane->pipeline);
    char why[256];
    snprintf(why, sizeof(why), "PostgreSQL does not answer (%s%s%s)", failure->sqlstate,
             failure->sqlstate[0] ? ": " : "", failure->message);
    lane_set_ready(lane, false, why);
    if (log_allowed(&lane->connect_rate, LOG_EVERY_US))
        log_warning("%s: waiting for PostgreSQL, database.url: %s", lane->name, why);
    int64_t delay_us = 50000 << (attempt < 6 ? attempt : 6);
    delay_us = delay_us < RECONNECT_DELAY_MAX_US ? delay_us : RECONNECT_DELAY_MAX_US;
    lane_show(lane, monotonic_us() + delay_us, why);
    lane_pause(lane, delay_us);
    return false;
}

/* --- running ----------------------------------------------------------------------------------------------------- */

/* What stands behind a held key joins it (PROTOCOL B4: a rejection commits before any later command of its key). */
static int divert_held(struct lane *lane, struct delivery **deliveries, int count)
{
    int kept = 0;

    if (retry_queue_keys(lane->retry_queue) == 0)
        return count;
    for (int i = 0; i < count; i++)
        if (retry_queue_blocks(lane->retry_queue, deliveries[i]))
            hold_delivery(lane, deliveries[i], RETRY_DEFAULT, ""); /* its key's first one has the delay */
        else
            deliveries[kept++] = deliveries[i];
    return kept;
}

static void say_failure(const struct failure *failure, char *into, size_t into_size)
{
    snprintf(into, into_size, "%s, SQLSTATE %s: %s", failure_class_name(failure->class),
             failure->sqlstate[0] ? failure->sqlstate : "none", failure->message);
}

static void tell_trouble(struct lane *lane, enum batch_end end, int count, int64_t delay_us)
{
    char why[256];

    say_failure(pipeline_failure(lane->pipeline), why, sizeof(why));
    lane_show(lane, monotonic_us() + delay_us, why);
    if (end == BATCH_STUCK)
    {
        char where_and_why[sizeof(lane->why)];
        snprintf(where_and_why, sizeof(where_and_why), "PostgreSQL at %.60s refuses to work (%.160s)",
                 pipeline_where(lane->pipeline), why);
        lane_set_ready(lane, false, where_and_why);
        if (log_allowed(&lane->stuck_rate, LOG_EVERY_US))
            log_error(
                "%s: holding %d commands, PostgreSQL at %s refuses to work (%s); nothing is lost, they go on when "
                "it is mended",
                lane->name, count, pipeline_where(lane->pipeline), why);
    }
    else if (log_allowed(&lane->again_rate, LOG_EVERY_US))
        log_info("%s: batch of %d runs again (%s)", lane->name, count, why);
}

/* Nothing stops for it (PROTOCOL P5), so nothing else would tell why everything got slower. */
static void tell_lock(struct lane *lane)
{
    const struct batch *batch = &lane->batch;

    if (batch->tools.lock == NULL || batch->lock_count == 0)
        return;
    const char *why = lock_reason(batch->tools.lock);
    /* The first reason is often only that a connection broke; why there is no other one comes after it. */
    bool is_new = strncmp(why, lane->redis_why, sizeof(lane->redis_why) - 1) != 0;
    if (batch->lock_degraded && *why && log_allowed(&lane->redis_rate, is_new ? LOG_NEW_EVERY_US : LOG_EVERY_US))
    {
        lane->without_redis = true;
        snprintf(lane->redis_why, sizeof(lane->redis_why), "%s", why);
        log_warning("%s: going on without Redis, redis.url: %s", lane->name, why);
    }
    else if (!batch->lock_degraded && lane->without_redis)
    {
        lane->without_redis = false;
        log_info("%s: Redis locks again", lane->name);
    }
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

/* What PostgreSQL would not do was taken away: whether it still would not, the next command finds out. */
static void forget_refusal(struct lane *lane)
{
    lane->stuck.refused = false;
    if (pipeline_is_connected(lane->pipeline))
        lane_set_ready(lane, true, "");
}

/* One batch until it is committed, dropped, or has to be split. Returns BATCH_DONE when nothing is left to do. */
static enum batch_end run_until_settled(struct lane *lane, struct delivery **deliveries, int *count,
                                        struct batch_mode mode)
{
    const struct retry_policy *policy = &lane->settings->retries[RETRY_DATABASE_OPERATION];

    lane->stuck = (struct lane_stuck){ 0 };
    for (int attempt = 0, connects = 0, lost = 0, late = 0;;)
    {
        lane->stuck.count = 0;
        *count = drop_revoked(lane, deliveries, *count);
        if (*count == 0)
        {
            forget_refusal(lane);
            return BATCH_DONE;
        }
        if (!pipeline_is_connected(lane->pipeline))
        {
            note_stuck(lane, deliveries, *count);
            lane_connect(lane, connects++, &lane->interrupted);
            continue;
        }
        enum batch_end end = batch_run(&lane->batch, deliveries, *count, mode);
        lane_note_fence(lane, end);
        tell_lock(lane);
        const struct failure *failure = pipeline_failure(lane->pipeline);
        if (end == BATCH_DONE)
        {
            lane_set_ready(lane, true, "");
            settle(lane);
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
        tell_trouble(lane, end, *count, delay_us);
        lane_tell_fence(lane);
        metrics_add(METRIC_BATCH_RETRIES, 1);
        if (delay_us > 0)
            lane_pause(lane, delay_us);
        if (refused)
        {
            /* A plan from before a migration, or statements that somebody deallocated, are refused for as long as the
             * session lasts. */
            lane->stuck.refused = true;
            pipeline_close(lane->pipeline);
            connects = 0;
        }
    }
}

/* A command that failed alone: its turn is not now, or it is refused for good. */
static void run_alone(struct lane *lane, struct delivery *delivery, enum lane_turn turn)
{
    struct failure failure = *pipeline_failure(lane->pipeline);
    const struct batch *batch = &lane->batch;
    enum retry_kind policy =
        failure.class == FAILURE_TRANSIENT && batch->items ? own_policy(batch->items) : RETRY_DATABASE_OPERATION;
    struct delivery *one[1] = { delivery };
    int count = 1;
    char why[256];

    lane_tell_fence(lane);
    for (int tries = 1;; tries++)
    {
        say_failure(&failure, why, sizeof(why));
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
                                   .verdict = last ? &failure : NULL };
        if (run_until_settled(lane, one, &count, mode) == BATCH_DONE)
            return;
        failure = *pipeline_failure(lane->pipeline);
        if (last)
        {
            /* Even the record was refused: never drop; hold and say so through the metrics and the log. */
            tell_trouble(lane, BATCH_STUCK, 1, 0);
            hold_delivery(lane, delivery, RETRY_DATABASE_OPERATION, why);
            return;
        }
    }
}

static void run(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn)
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

/* --- with care (worker/batch/quarantine.h)
 * ----------------------------------------------------------------------------- */

/* One command with care at a time in the process: whose crash it was must be beyond doubt. Held while servers are
 * talked to; whoever waits for it looks after revocations meanwhile. */
static pthread_mutex_t care = PTHREAD_MUTEX_INITIALIZER;

static bool is_solo(const struct delivery *delivery)
{
    return delivery->partition->solo_until_us > 0 && monotonic_us() < delivery->partition->solo_until_us;
}

/* A note that stays without a crash is one of three that put a command to the dead letters. Where PostgreSQL is away at
 * the end of its run it is owed. */
static void owe_note(struct lane *lane, int32_t partition_id, int64_t offset)
{
    if (lane->notes_to_retract_count == LANE_OWED_MAX)
        memmove(lane->notes_to_retract, lane->notes_to_retract + 1,
                (size_t)--lane->notes_to_retract_count * sizeof(lane->notes_to_retract[0]));
    lane->notes_to_retract[lane->notes_to_retract_count++] =
        (struct lane_notes_to_retract){ .partition_id = partition_id, .offset = offset };
}

bool lane_retract_notes(struct lane *lane)
{
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
    tell_trouble(lane, batch_end_of(failure), 1, LANE_PROBE_US);
    lane_pause(lane, LANE_PROBE_US);
    if (failure->class == FAILURE_OURS)
        pipeline_close(lane->pipeline); /* as in run_until_settled */
}

/* False: dropped meanwhile. */
static bool note(struct lane *lane, struct delivery **one)
{
    int crashes = 0;

    for (int attempt = 0;; attempt++)
    {
        if (drop_revoked(lane, one, 1) == 0)
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
    if (crashes < QUARANTINE_CRASHES)
        return true;
    one[0]->quarantined = true;
    metrics_add(METRIC_QUARANTINED, 1);
    log_error("%s: %s/%d at offset %lld ended the worker %d times in a row: it goes to the dead letters (%s)",
              lane->name, one[0]->partition->topic.at, one[0]->partition->number, (long long)one[0]->offset, crashes,
              QUARANTINE_REASON);
    return true;
}

static void run_as_suspect(struct lane *lane, struct delivery *delivery, enum lane_turn turn)
{
    struct delivery *one[1] = { delivery };
    int32_t partition_id = delivery->partition->partition_id;
    int64_t offset = delivery->offset;

    while (pthread_mutex_trylock(&care) != 0)
    {
        if (drop_revoked(lane, one, 1) == 0)
            return;
        lane_pause(lane, CARE_PAUSE_US);
    }
    /* Nor may it be Redis that ended the worker. A call takes no longer than its timeout. */
    while (!lock_rest_until(delivery->partition->solo_until_us))
        lane_pause(lane, CARE_PAUSE_US);
    bool noted = note(lane, one);
    lane->unanswered_in_run = false;
    if (noted)
        run(lane, one, 1, turn);
    /* The delivery is another's by now, or held, or dropped. Before the next one is tried, whose crash this were. */
    if (noted && lane->unanswered_in_run)
    {
        owe_note(lane, partition_id, offset);
        (void)lane_retract_notes(lane);
    }
    pthread_mutex_unlock(&care);
}

static bool any_solo(struct delivery *const *deliveries, int count)
{
    for (int i = 0; i < count; i++)
        if (deliveries[i]->partition->solo_until_us > 0 && is_solo(deliveries[i]))
            return true;
    return false;
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

void lane_run(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn)
{
    if (turn == TURN_COMMON)
        count = divert_held(lane, deliveries, count);
    if (count == 0)
        return;
    if (!lane->settings->protections.quarantine || !any_solo(deliveries, count))
    {
        run(lane, deliveries, count, turn);
        return;
    }
    for (int i = 0; i < count; i++)
    {
        /* Behind one that was held just now. */
        if (turn == TURN_COMMON && divert_held(lane, deliveries + i, 1) == 0)
            continue;
        if (is_solo(deliveries[i]))
            run_as_suspect(lane, deliveries[i], turn);
        else
            run(lane, deliveries + i, 1, turn);
    }
}
