#include "consumers/audit_merge.h"

#include <libpq-fe.h>

#include "worker/base/clock.h"

static const char merge_sql[] = "SELECT interlock.merge_audit_indexes()";

enum
{
    MANY = 20000, /* rows: a list of some 3 MB, a fifth of its limit */
    REST = 4,     /* times as long as the last merge took */
};

static const int64_t FEW_WAIT_US = 5000000;

static bool is_due(const struct audit_merge *merge, int64_t committed, int64_t now_us)
{
    int64_t rows = committed - merge->merged;
    return now_us >= merge->next_us && (rows >= MANY || (rows > 0 && now_us - merge->waiting_since_us >= FEW_WAIT_US));
}

void audit_merge_round(struct audit_merge *merge, int64_t committed, int64_t now_us, returner_ask_fn *ask, void *asker)
{
    if (committed > merge->merged && merge->waiting_since_us == 0)
        merge->waiting_since_us = now_us;
    if (!is_due(merge, committed, now_us))
        return;
    PGresult *merged = ask(asker, merge_sql, 0, NULL);
    int64_t ended_us = monotonic_us();

    merge->next_us = ended_us + REST * (ended_us - now_us);
    if (merged == NULL)
        return;
    merge->merged = committed;
    merge->waiting_since_us = 0;
    PQclear(merged);
}
