/* Hash: FNV-1a, the same in every process and on every machine.
 *
 * Threads    pure functions.
 */
#ifndef WORKER_BASE_HASH_H
#define WORKER_BASE_HASH_H

#include "workflows/base/span.h"

#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_add_byte(uint64_t hash, char byte)
{
    return (hash ^ (unsigned char)byte) * UINT64_C(0x100000001b3);
}

/* `hash`: HASH_START, or the hash of the bytes before. */
static inline uint64_t hash_add(uint64_t hash, struct span bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        hash = hash_add_byte(hash, bytes.at[i]);
    return hash;
}

#endif
