/* Portion: how large a publication may be. A publication is sent whole or again (PROTOCOL K3), so it must fit into the
 * time that one attempt has, over a slow line and under a producer's quota: it is halved when an attempt failed or was
 * slow, down to a single delivery, and grows again while attempts are quick.
 *
 * A quota lets about ten seconds' worth through at once; from then on a broker answers and reads nothing for as long as
 * the bytes were too many. Hence the slow growth beyond the beginning: what is on its way when the quota is first met
 * is a fifth of all that was sent. After an attempt that failed of it, one delivery alone asks how long the rest of
 * that time is: it is one request, which waits for no other.
 *
 * Threads    a value of the publisher; no clock of its own.
 */
#ifndef CONSUMERS_PORTION_H
#define CONSUMERS_PORTION_H

#include <stdbool.h>
#include <stdint.h>

enum
{
    PORTION_MAX = 8 * 1024 * 1024, /* bytes; copies of these lie in librdkafka meanwhile */
    PORTION_FIRST = 256 * 1024,
    PORTION_SLOW = 16 * 1024, /* smaller ones are not slow because of their size */
    PORTION_SLOW_US = 1000000,
    PORTION_QUICK_US = 250000,
};

struct portion
{
    int64_t bytes; /* that a publication gathers up to; never below 1, so that it has one delivery */
};

#define PORTION_NEW ((struct portion){ PORTION_FIRST })

/* Both answer true where it is smaller than before. `sent`: bytes of the publication. `muted_us`: for how long the
 * brokers read nothing now, because of a quota. */
bool portion_note_done(struct portion *portion, int64_t sent, int64_t took_us, int64_t muted_us);
bool portion_note_failed(struct portion *portion, int64_t sent, int64_t muted_us);

#endif
