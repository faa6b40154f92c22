/* Room in PostgreSQL's table of locks. Each lane's batch locks its partitions (PROTOCOL O4): all lanes together may
 * hold lanes x partitions at once, in however many processes, as the partitions are shared out among those. When the
 * table is full every session of the server is refused, not ours alone. */
#include <stdlib.h>

#include "consumers/kafka/topics.h"
#include "worker/cli/check.h"
#include "worker/postgres/query.h"

/* Half of the table is left to tables and indexes, and to other databases. The smallest power of two that is enough. */
static long long locks_wanted(long long locks, long long sessions)
{
    long long wanted = 64;

    while (wanted * sessions < 2 * locks)
        wanted *= 2;
    return wanted;
}

static long long count_partitions(const struct topics_report *report)
{
    long long partitions = 0;

    for (int i = 0; i < report->count; i++)
        if (strcmp(report->at[i].role, "commands") == 0 && report->at[i].exists)
            partitions += report->at[i].partitions;
    return partitions;
}

void check_locks(struct check *check, const struct settings *settings, const struct topics_report *report)
{
    static const char sql[] = "SELECT current_setting('max_locks_per_transaction'), "
                              "current_setting('max_connections')::bigint + "
                              "current_setting('max_prepared_transactions')::bigint";
    struct buffer fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = query_connect(settings, SESSION_CHECKS, "interlock check", &fault);
    QUERY_RESULT result = connection ? query_run(connection, sql, 0, NULL, &fault) : NULL;

    buffer_done(&fault); /* an unreachable server has its line already */
    if (result == NULL)
        return;
    long long each = atoll(query_text(result, 0, 0)), sessions = atoll(query_text(result, 0, 1));
    long long partitions = count_partitions(report), lanes = settings->worker.lanes;
    if (2 * lanes * partitions <= each * sessions)
        check_add(check, CHECK_OK, "locks", "%lld lanes x %lld partitions; the server has room for %lld locks", lanes,
                  partitions, each * sessions);
    else
        check_add(check, CHECK_FIX, "locks",
                  "%lld lanes x %lld partitions may hold %lld locks at once; the server has room for %lld "
                  "(max_locks_per_transaction = %lld, for %lld sessions), for all databases and tables: set "
                  "max_locks_per_transaction = %lld and restart it, or lower worker.lanes",
                  lanes, partitions, lanes * partitions, each * sessions, each, sessions,
                  locks_wanted(lanes * partitions, sessions));
}
