/* Retry kinds: the retry policies that DOMAIN.md names. Their delays are settings (worker/base/retry.h).
 *
 * Threads    constants.
 */
#ifndef WORKFLOWS_RETRY_KIND_H
#define WORKFLOWS_RETRY_KIND_H

/* X(symbol, name) */
#define RETRY_KINDS(X) \
    X(DEFAULT, "default") \
    X(AGGRESSIVE, "aggressive") \
    X(CONSERVATIVE, "conservative") \
    X(DATABASE_OPERATION, "database_operation") \
    X(LOCK_ACQUISITION, "lock_acquisition")

enum retry_kind
{
#define X(symbol, name) RETRY_##symbol,
    RETRY_KINDS(X)
#undef X
    RETRY__COUNT,
};

#endif
