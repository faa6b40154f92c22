/* Readiness: the session of a lane, its pauses, and whether the lane is ready or why it is not. */
#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/lane/lane_private.h"

enum
{
    LOG_EVERY_US = 60 * 1000000, /* a state that lasts is logged once a minute */
    LOG_NEW_EVERY_US = 5 * 1000000,
    RECONNECT_DELAY_MAX_US = 2000000,
};

/* --- waiting ----------------------------------------------------------------------------------------------------- */

void lane_pause(struct lane *lane, int64_t delay_us)
{
    int64_t until_us = monotonic_us() + delay_us;

    lane_assert_owner(lane); /* revocations_seen is its own */
    mutex_lock(&lane->mutex);
    while (monotonic_us() < until_us && lane->revocations_asked == lane->revocations_seen)
    {
        if (atomic_load(&lane->stopping) && lane->stop_deadline_us < until_us)
            until_us = lane->stop_deadline_us;
        mutex_wait(&lane->mutex, &lane->work, until_us);
    }
    mutex_unlock(&lane->mutex);
}

/* --- readiness --------------------------------------------------------------------------------------------------- */

/* Bits of the states that a state may become; each may also stay and change its reason. */
#define TO(state) (1u << (state))

static const unsigned next_states[LANE__STATES] = {
    [LANE_CONNECTING] = TO(LANE_CONNECTING) | TO(LANE_READY),
    [LANE_READY] = TO(LANE_READY) | TO(LANE_CONNECTING) | TO(LANE_STUCK) | TO(LANE_FENCED),
    [LANE_STUCK] = TO(LANE_STUCK) | TO(LANE_READY) | TO(LANE_CONNECTING) | TO(LANE_REFUSED) | TO(LANE_FENCED),
    [LANE_REFUSED] = TO(LANE_REFUSED) | TO(LANE_READY) | TO(LANE_STUCK) | TO(LANE_CONNECTING),
    [LANE_FENCED] = TO(LANE_FENCED) | TO(LANE_READY) | TO(LANE_CONNECTING) | TO(LANE_STUCK),
};

/* `why` NULL: the reason stays. */
static void change_state(struct lane *lane, enum lane_state state, const char *why)
{
    lane_assert_owner(lane);
    mutex_lock(&lane->mutex);
    assert(next_states[lane->state] & TO(state));
    lane->state = state;
    if (why)
        snprintf(lane->why, sizeof(lane->why), "%s", why);
    mutex_unlock(&lane->mutex);
}

void lane_become(struct lane *lane, enum lane_state state, const char *why)
{
    bool outlasted = state == LANE_CONNECTING || state == LANE_STUCK || state == LANE_FENCED;

    change_state(lane, lane->state == LANE_REFUSED && outlasted ? LANE_REFUSED : state, why);
}

void lane_begin_run(struct lane *lane)
{
    lane_assert_owner(lane);
    lane->stuck = (struct lane_stuck){ 0 };
    if (lane->state == LANE_REFUSED)
        change_state(lane, LANE_STUCK, NULL);
}

void lane_forget_refusal(struct lane *lane)
{
    if (pipeline_is_connected(lane->pipeline))
        lane_become(lane, LANE_READY, "");
    else if (lane->state == LANE_REFUSED)
        change_state(lane, LANE_CONNECTING, NULL);
}

bool lane_connect(struct lane *lane, int attempt, const atomic_bool *stop)
{
    mutex_assert_free(&lane->mutex); /* it takes seconds */
    if (pipeline_connect(lane->pipeline, stop))
    {
        if (attempt > 0)
        {
            metrics_add(METRIC_RECONNECTS, 1);
            log_info("%s: connected to PostgreSQL at %s", lane->name, pipeline_where(lane->pipeline));
        }
        if (lane->state != LANE_REFUSED)
            lane_become(lane, LANE_READY, "");
        return true;
    }
    if (stop && atomic_load(stop))
        return false; /* an interrupted try says nothing about PostgreSQL */
    const struct failure *failure = pipeline_failure(lane->pipeline);
    char why[256];
    snprintf(why, sizeof(why), "PostgreSQL does not answer (%s%s%s)", failure->sqlstate,
             failure->sqlstate[0] ? ": " : "", failure->message);
    lane_become(lane, LANE_CONNECTING, why);
    if (log_allowed(&lane->connect_rate, LOG_EVERY_US))
        log_warning("%s: waiting for PostgreSQL, database.url: %s", lane->name, why);
    int64_t delay_us = 50000 << (attempt < 6 ? attempt : 6);
    delay_us = delay_us < RECONNECT_DELAY_MAX_US ? delay_us : RECONNECT_DELAY_MAX_US;
    lane_show(lane, monotonic_us() + delay_us, why);
    lane_pause(lane, delay_us);
    return false;
}

/* --- for people -------------------------------------------------------------------------------------------------- */

void lane_say_failure(const struct failure *failure, char *into, size_t into_size)
{
    snprintf(into, into_size, "%s, SQLSTATE %s: %s", failure_class_name(failure->class),
             failure->sqlstate[0] ? failure->sqlstate : "none", failure->message);
}

void lane_tell_trouble(struct lane *lane, enum batch_end end, int count, int64_t delay_us)
{
    char why[256];

    lane_assert_owner(lane);
    lane_say_failure(pipeline_failure(lane->pipeline), why, sizeof(why));
    lane_show(lane, monotonic_us() + delay_us, why);
    if (end == BATCH_STUCK)
    {
        char where_and_why[sizeof(lane->why)];
        snprintf(where_and_why, sizeof(where_and_why), "PostgreSQL at %.60s refuses to work (%.160s)",
                 pipeline_where(lane->pipeline), why);
        lane_become(lane, LANE_STUCK, where_and_why);
        if (log_allowed(&lane->stuck_rate, LOG_EVERY_US))
            log_error(
                "%s: holding %d commands, PostgreSQL at %s refuses to work (%s); no command is lost, they resume when "
                "PostgreSQL accepts work again",
                lane->name, count, pipeline_where(lane->pipeline), why);
    }
    else if (log_allowed(&lane->again_rate, LOG_EVERY_US))
        log_info("%s: batch of %d runs again (%s)", lane->name, count, why);
}

/* Nothing stops without Redis (PROTOCOL P5), so nothing else would tell why everything got slower. */
void lane_tell_redis(struct lane *lane)
{
    enum batch_locking locking = batch_locking(lane->batch);

    if (locking == BATCH_LOCKS_NONE)
        return;
    bool without = metrics_get(METRIC_WITHOUT_REDIS) != 0;
    if (without != (locking == BATCH_LOCKS_DEGRADED))
        metrics_set(METRIC_WITHOUT_REDIS, without ? 0 : monotonic_us());
    const char *why = lock_reason(lane->lock);
    /* The first reason is often only that a connection broke; the reason why there is no other one comes after it. */
    bool is_new = strncmp(why, lane->redis_why, sizeof(lane->redis_why) - 1) != 0;
    if (locking == BATCH_LOCKS_DEGRADED && *why &&
        log_allowed(&lane->redis_rate, is_new ? LOG_NEW_EVERY_US : LOG_EVERY_US))
    {
        lane->without_redis = true;
        snprintf(lane->redis_why, sizeof(lane->redis_why), "%s", why);
        log_warning("%s: going on without Redis, redis.url: %s", lane->name, why);
    }
    else if (locking == BATCH_LOCKS_TAKEN && lane->without_redis)
    {
        lane->without_redis = false;
        log_info("%s: Redis locks again", lane->name);
    }
}
