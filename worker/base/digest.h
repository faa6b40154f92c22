/* Digest: SHA-256 and SHA-1 of a few spans, with contexts that each thread makes once (EVP_Digest would fetch the
 * algorithm and allocate on every call: 390 ns instead of 120).
 *
 * Threads    any; a thread's contexts are its own and end with it.
 * Failure    false: no memory, or OpenSSL has no such algorithm. The next call tries again.
 */
#ifndef WORKER_BASE_DIGEST_H
#define WORKER_BASE_DIGEST_H

#include "workflows/base/span.h"

enum
{
    DIGEST_SHA256_SIZE = 32,
    DIGEST_SHA1_SIZE = 20,
};

/* The digest of the parts, in their order. */
bool digest_sha256(const struct span *parts, int count, uint8_t ret[DIGEST_SHA256_SIZE]);
bool digest_sha1(const struct span *parts, int count, uint8_t ret[DIGEST_SHA1_SIZE]);

#endif
