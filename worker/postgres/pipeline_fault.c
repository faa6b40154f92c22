/* Fault points inside of a pipeline, in test builds (worker/base/fault_point.h). */
#include "worker/postgres/pipeline_private.h"

#ifdef INTERLOCK_TEST_BUILD

#include <sys/socket.h>

#include "worker/base/clock.h"

static const int64_t ANSWER_US = 5000000;

/* Who dies or is cut off reads the answers, so that all of it was executed; they are no use to him. Others read them
 * when their turn comes. */
static void push(struct pipeline *pipeline, bool read)
{
    int64_t deadline_us = monotonic_us() + ANSWER_US;
    PGresult *result = NULL;

    if (PQsendFlushRequest(pipeline->connection) != 1 || !pipeline_flush(pipeline, deadline_us))
        return;
    for (int i = 0, sent = pipeline->synced ? 0 : pipeline->sent_count; read && i < sent; i++)
        for (int part = pipeline->sent[i].with_prepare ? 0 : 2; part < 4; part++, PQclear(result))
            if (!pipeline_next(pipeline, deadline_us, &result))
                return;
}

void pipeline_cut(struct pipeline *pipeline)
{
    if (pipeline->connection)
        shutdown(PQsocket(pipeline->connection), SHUT_RDWR);
}

void pipeline_reach(struct pipeline *pipeline, enum fault_point point)
{
    struct fault fault = fault_point_draw(point);

    if (fault.action != FAULT_NOTHING && pipeline->connection)
        push(pipeline, fault.action == FAULT_CRASH || fault.action == FAULT_FAIL);
    if (fault_point_do(&fault))
        pipeline_cut(pipeline);
}

#else

/* ISO C wants something in every file. */
typedef int pipeline_fault_nothing;

#endif
