#include "consumers/publish/pacing.h"

void gathering_note(struct gathering *gathering, int64_t received_us, int64_t now_us)
{
    /* The first of a chain stands for it: a lane's batch is about of one age. */
    int64_t age_us = now_us - received_us;

    if (gathering->answered == 0)
    {
        gathering->since_us = now_us;
        gathering->oldest_age_us = 0;
    }
    if (age_us > gathering->oldest_age_us)
        gathering->oldest_age_us = age_us;
}

void gathering_rest(struct gathering *gathering, int64_t now_us)
{
    gathering->ended_us = now_us;
}

int64_t gathering_due_us(const struct gathering *gathering, int64_t linger_us)
{
    int64_t wait_us = (gathering->oldest_age_us - GATHERING_YOUNG_US) / 4;

    int64_t rested_us = gathering->ended_us ? gathering->ended_us + GATHERING_REST_US : 0;

    if (gathering->answered >= GATHERING_ENOUGH)
        return gathering->since_us;
    if (wait_us > GATHERING_MAX_US)
        wait_us = GATHERING_MAX_US;
    if (wait_us < linger_us)
        wait_us = linger_us;
    int64_t due_us = gathering->since_us + (wait_us > 0 ? wait_us : 0);
    return due_us > rested_us ? due_us : rested_us;
}
