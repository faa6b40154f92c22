#include "worker/lane/linger.h"

#include <assert.h>

void linger_note_taken(struct linger *linger, int count, int64_t now_us)
{
    assert(count > 0 && now_us > 0);
    int64_t gap_us = (now_us - linger->taken_us) / count + 1;

    if (linger->taken_us > 0)
        linger->gap_us = linger->gap_us == 0 ? gap_us : (linger->gap_us * 3 + gap_us) / 4;
    linger->taken_us = now_us;
}

void linger_note_run(struct linger *linger, int count, int64_t took_us)
{
    assert(took_us >= 0);
    if (count > 0 && count <= LINGER_RUN_SHORT)
        linger->run_us = linger->run_us == 0 ? took_us : (linger->run_us * 3 + took_us) / 4;
}

int64_t linger_until_us(const struct linger *linger, int64_t longest_us, int64_t seen_us, int64_t now_us)
{
    int64_t until_us = now_us, begin_us = seen_us - linger->run_us * 3 / 2; /* most batches end in time */

    if (longest_us == 0)
        return now_us;
    if (linger->gap_us > 0 && linger->gap_us * LINGER_FOR <= longest_us)
        until_us += longest_us;
    if (begin_us > now_us + LINGER_MAX_US)
        begin_us = now_us + LINGER_MAX_US;
    return begin_us > until_us ? begin_us : until_us;
}
