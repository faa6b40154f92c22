#include "consumers/publish/pacing.h"

#include <assert.h>

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

void pacing_begin(struct pacing *pacing, int64_t now_us)
{
    assert(pacing->begun_us == 0);
    pacing->begun_us = now_us;
}

void pacing_end(struct pacing *pacing, int64_t now_us)
{
    int64_t took_us = now_us - pacing->begun_us;

    assert(pacing->begun_us > 0 && took_us >= 0);
    pacing->took_us = pacing->took_us == 0 ? took_us : (pacing->took_us * 3 + took_us) / 4;
    pacing->begun_us = 0;
    pacing->ended_us = now_us;
}

int64_t pacing_next_us(const struct pacing *pacing)
{
    if (pacing->begun_us)
        return pacing->begun_us + pacing->took_us + PACING_REST_US;
    return pacing->ended_us ? pacing->ended_us + PACING_REST_US : 0;
}

int64_t pacing_due_us(const struct pacing *pacing, int64_t linger_us)
{
    int64_t wait_us = (pacing->oldest_age_us - PACING_YOUNG_US) / 4;
    int64_t rested_us = pacing_next_us(pacing);

    if (pacing->answered >= PACING_ENOUGH)
        return pacing->since_us;
    if (wait_us > PACING_MAX_US)
        wait_us = PACING_MAX_US;
    if (wait_us < linger_us)
        wait_us = linger_us;
    int64_t due_us = pacing->since_us + (wait_us > 0 ? wait_us : 0);
    return due_us > rested_us ? due_us : rested_us;
}
