/* Fault points inside of a pipeline, in test builds (worker/base/fault_point.h). */
#include "worker/postgres/pipeline_private.h"

#ifdef INTERLOCK_TEST_BUILD

#include <sys/socket.h>

#include "worker/base/clock.h"

static const int64_t ANSWER_US = 5000000;

/* Who dies or is cut off reads the answers, so that all of it was executed; they are no use to him. Others read them
 * when their turn comes. */
static void push(struct database *database, bool read)
{
    int64_t deadline_us = monotonic_us() + ANSWER_US;
    PGresult *result = NULL;

    if (PQsendFlushRequest(database->connection) != 1 || !database_flush(database, deadline_us))
        return;
    for (int i = 0, sent = database->synced ? 0 : database->sent_count; read && i < sent; i++)
        for (int part = database->sent[i].with_prepare ? 0 : 2; part < 4; part++, PQclear(result))
            if (!database_next(database, deadline_us, &result))
                return;
}

void database_cut(struct database *database)
{
    if (database->connection)
        shutdown(PQsocket(database->connection), SHUT_RDWR);
}

void database_reach(struct database *database, enum fault_point point)
{
    struct fault fault = fault_point_draw(point);

    if (fault.action != FAULT_NOTHING && database->connection)
        push(database, fault.action == FAULT_CRASH || fault.action == FAULT_FAIL);
    if (fault_point_do(&fault))
        database_cut(database);
}

#else

/* ISO C wants something in every file. */
typedef int database_fault_nothing;

#endif
