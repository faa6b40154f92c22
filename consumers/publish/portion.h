/* Portion: how large a publication may be. A publication is sent whole or again (PROTOCOL K3), so it must fit into the
 * time that one attempt has, over a slow line and under a producer's quota: it is halved when an attempt failed, down
 * to a single delivery, and grows again while attempts take less than half of their time. A slow attempt alone does not
 * make it smaller: a broker that takes a second for everything would take it for each small piece.
 *
 * A quota lets about ten seconds' worth through at once; from then on a broker answers and reads nothing for as long as
 * the bytes were too many. So the portion grows slowly past its beginning: the bytes on their way when the quota is
 * first met are a fifth of all that was sent. After an attempt that failed because of it, one
 * delivery alone asks how long the rest of that time is: it is one request, which waits for no other.
 *
 * Threads    a value of the publisher; no clock of its own.
 */
#ifndef CONSUMERS_PUBLISH_PORTION_H
#define CONSUMERS_PUBLISH_PORTION_H

#include <stdbool.h>
#include <stdint.h>

enum
{
    PORTION_MAX = 8 * 1024 * 1024, /* bytes; copies of these lie in librdkafka meanwhile */
    PORTION_FIRST = 256 * 1024,
    PORTION_MUTED_US = 1000000,     /* the pause that a quota may ask for after one publication */
    PORTION_MUTED_MUCH_US = 250000, /* with a longer one the next is not larger */
};

struct portion
{
    int64_t bytes; /* that a publication gathers up to; never below 1, so that it has one delivery */
};

#define PORTION_NEW ((struct portion){ PORTION_FIRST })

/* Both answer true where it is smaller than before. `sent`: bytes of the publication. `quick`: it took less than half
 * of the time that it had. `muted_us`: for how long the brokers read nothing now, because of a quota. */
bool portion_note_done(struct portion *portion, int64_t sent, bool quick, int64_t muted_us);
bool portion_note_failed(struct portion *portion, int64_t sent, int64_t muted_us);

#endif
