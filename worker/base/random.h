/* Random: splitmix64, for jitter and for draws that a seed repeats; nothing here is hard to guess.
 *
 * Threads    pure functions; the state is the caller's.
 */
#ifndef WORKER_BASE_RANDOM_H
#define WORKER_BASE_RANDOM_H

#include <stdint.h>

#define RANDOM_STEP UINT64_C(0x9E3779B97F4A7C15)

static inline uint64_t random_mix(uint64_t bits)
{
    bits = (bits ^ bits >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94D049BB133111EB);
    return bits ^ bits >> 31;
}

static inline uint64_t random_draw(uint64_t *state)
{
    return random_mix(*state += RANDOM_STEP);
}

/* Uniform in [0, 1). Jitter needs no better source: it only keeps the retries of many holders apart. */
static inline double random_fraction(uint64_t *state)
{
    return (double)(random_draw(state) >> 11) * 0x1p-53;
}

#endif
