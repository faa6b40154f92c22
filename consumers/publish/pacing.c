#include "consumers/publish/pacing.h"

void pacing_note(struct pacing *pacing, int64_t received_us, int64_t now_us)
{
    /* The first of a chain stands for it: a lane's batch is about of one age. */
    int64_t age_us = now_us - received_us;

    if (pacing->answered == 0)
    {
        pacing->since_us = now_us;
        pacing->oldest_age_us = 0;
    }
    if (age_us > pacing->oldest_age_us)
        pacing->oldest_age_us = age_us;
}

void pacing_rest(struct pacing *pacing, int64_t now_us)
{
    pacing->ended_us = now_us;
}

int64_t pacing_due_us(const struct pacing *pacing, int64_t linger_us)
{
    int64_t wait_us = (pacing->oldest_age_us - PACING_YOUNG_US) / 4;

    int64_t rested_us = pacing->ended_us ? pacing->ended_us + PACING_REST_US : 0;

    if (pacing->answered >= PACING_ENOUGH)
        return pacing->since_us;
    if (wait_us > PACING_MAX_US)
        wait_us = PACING_MAX_US;
    if (wait_us < linger_us)
        wait_us = linger_us;
    int64_t due_us = pacing->since_us + (wait_us > 0 ? wait_us : 0);
    return due_us > rested_us ? due_us : rested_us;
}
