/* A lane whose batches wait for the locks of their partitions (PROTOCOL O4). A takeover holds them for moments; a
 * foreign session may hold them for as long as it likes, and nothing is applied meanwhile: that must not be silent. */
#include <stdio.h>

#include "worker/base/clock.h"
#include "worker/lane/lane_private.h"

static const int64_t FENCED_LONG_US = 5000000;
static const int64_t LOG_EVERY_US = 30000000;

void lane_note_fence(struct lane *lane, enum batch_end end)
{
    int64_t since_us = batch_fenced_since_us(lane->batch, end);

    lane_assert_owner(lane);
    if (since_us == 0)
        lane->fenced_since_us = 0;
    else if (lane->fenced_since_us == 0)
        lane->fenced_since_us = since_us;
}

void lane_tell_fence(struct lane *lane)
{
    int64_t since_us = lane->fenced_since_us;
    char who[192], why[sizeof(lane->why)];

    lane_assert_owner(lane);
    if (since_us == 0 || monotonic_us() - since_us < FENCED_LONG_US || !pipeline_is_connected(lane->pipeline))
        return;
    batch_ask_fence_holders(lane->batch, who, sizeof(who));
    snprintf(why, sizeof(why), "the lock of a partition is held in PostgreSQL by %s",
             who[0] ? who : "a session that has ended since");
    lane_become(lane, LANE_FENCED, why);
    if (log_allowed(&lane->fence_rate, LOG_EVERY_US))
        log_warning("%s: nothing is applied for %lld s: %s: end that session, or take its right to advisory locks away "
                    "(schema/roles.sql)",
                    lane->name, (long long)(monotonic_us() - since_us) / 1000000, why);
}
