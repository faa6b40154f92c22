/* Bounds: the most that a running pool may use, derived from its settings: memory, file descriptors, threads,
 * connections. `interlock describe bounds` prints the derivation; the unit's MemoryMax and LimitNOFILE come from it,
 * and the fault tests hold every worker to it.
 *
 * Threads    no state.
 * Failure    false, with a message: librdkafka refuses the operator's own settings.
 */
#ifndef CONSUMERS_ADMIN_BOUNDS_H
#define CONSUMERS_ADMIN_BOUNDS_H

#include "workflows/base/buffer.h"

struct settings;

enum bound_kind
{
    BOUND_MEMORY, /* bytes */
    BOUND_DESCRIPTORS,
    BOUND_THREADS,
    BOUND_POSTGRESQL, /* sessions */
    BOUND_REDIS,      /* connections */
    BOUND_KAFKA,      /* connections, with all brokers */
    BOUND__COUNT,
};

enum
{
    BOUND_LINES_MAX = 40,
    BOUND_BROKERS_MIN = 3, /* counted where kafka.bootstrap names fewer */
};

/* One line of the derivation: each * times. */
struct bound_line
{
    enum bound_kind kind;
    const char *what;    /* for people */
    const char *setting; /* the setting that it follows from */
    int64_t each, times;
};

struct bounds
{
    struct bound_line lines[BOUND_LINES_MAX];
    int count;
    int64_t total[BOUND__COUNT];
};

bool bounds_derive(const struct settings *settings, struct bounds *ret, struct buffer *reterr);

/* A table for people, or JSON: {"memory":{"total":N,"lines":[{"what","setting","each","times"}]}, ...}. */
void bounds_print(const struct bounds *bounds, bool json, struct buffer *into);

#endif
