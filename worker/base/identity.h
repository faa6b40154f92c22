/* Identity: which command it is, as the inbox and every other table have it: the first 128 bits of sha256(source, NUL,
 * id). The SQL of worker/admin/explain.c computes the same.
 *
 * Threads    any (digest.h).
 * Failure    false: no memory, or OpenSSL has no such algorithm.
 */
#ifndef WORKER_BASE_IDENTITY_H
#define WORKER_BASE_IDENTITY_H

#include "workflows/parameters/command.h"

bool identity_make(struct span source, struct span id, uint8_t ret[DIGEST_SIZE]);

#endif
