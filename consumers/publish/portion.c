#include "consumers/publish/portion.h"

#include <assert.h>

static bool shrink(struct portion *portion, int64_t bytes)
{
    assert(portion->bytes > 0);
    int64_t least = bytes < 1 ? 1 : bytes;
    bool smaller = least < portion->bytes;

    if (smaller)
        portion->bytes = least;
    return smaller;
}

static void grow(struct portion *portion, int64_t sent)
{
    int64_t bytes = sent > portion->bytes && sent < PORTION_FIRST ? sent : portion->bytes;

    portion->bytes = bytes + (bytes < PORTION_FIRST ? bytes : bytes / 4);
    if (portion->bytes > PORTION_MAX)
        portion->bytes = PORTION_MAX;
    assert(portion->bytes > 0);
}

bool portion_note_done(struct portion *portion, int64_t sent, bool quick, int64_t muted_us)
{
    if (muted_us > PORTION_MUTED_US)
        return shrink(portion, sent * PORTION_MUTED_US / muted_us);
    /* An attempt below the portion says nothing about a larger one. */
    if (quick && muted_us <= PORTION_MUTED_MUCH_US && sent >= portion->bytes)
        grow(portion, sent);
    return false;
}

bool portion_note_failed(struct portion *portion, int64_t sent, int64_t muted_us)
{
    if (sent == 0)
        return false; /* offsets alone */
    return shrink(portion, muted_us > 0 ? 1 : (sent < portion->bytes ? sent : portion->bytes) / 2);
}
