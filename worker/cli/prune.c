/* interlock prune: forgets inbox and dead letter rows whose messages Kafka no longer has (PROTOCOL R8,
 * worker/admin/prune.h). A dry run until --execute. */
#include <stdio.h>

#include "consumers/kafka/topics.h"
#include "worker/admin/prune.h"
#include "worker/base/progress.h"
#include "worker/cli/operator.h"
#include "worker/postgres/query.h"

static const char usage[] =
    "usage: interlock prune --older-than 720h [--execute --reason TEXT [--as NAME]] [--output json]\n"
    "\n"
    "Counts the inbox and dead letter rows of commands that were published and that Kafka no "
    "longer has; with --execute\n"
    "they are deleted. Audit rows stay. A command that is sent again after its row is gone is "
    "a new command: the age must\n"
    "be longer than any publisher's memory, and than the retention of the command topics.\n"
    "\n"
    "  --older-than T   rows written at least so long ago, at least 24h; h, min, s\n"
    "  --execute        delete; without it they are counted\n"
    "  --reason TEXT    why: it is recorded with who did it (interlock action)\n"
    "  --as NAME        who does it; default: the login name\n"
    "\n"
    "The role interlock_pruner may do this.\n";

static void see_start(void *owner, const char *topic, int32_t partition, int64_t log_start, int64_t log_end)
{
    (void)log_end;
    prune_log_starts_add(owner, topic, partition, log_start);
}

static void print_count(struct buffer *out, const char *table, int64_t gone, bool executes, bool json, bool first)
{
    if (json)
    {
        buffer_add_text(out, first ? "\"" : ",\"");
        buffer_add_text(out, table);
        buffer_add_text(out, "\":");
        buffer_add_int64(out, gone);
        return;
    }
    buffer_add_int64(out, gone);
    buffer_add_text(out, " rows of ");
    buffer_add_text(out, table);
    buffer_add_text(out, executes ? " deleted\n" : " would be deleted; add --execute to delete them\n");
}

struct pruning
{
    int64_t older_than_us;
    const char *older_than, *reason, *as;
    bool executes;
};

static int64_t record(PGconn *connection, const struct pruning *pruning, struct buffer *fault)
{
    char actor[4 * OPERATOR_NAME_MAX + 1];
    struct buffer filter = BUFFER_EMPTY;

    buffer_add_text(&filter, "{\"older_than\":");
    buffer_add_json_string(&filter, span_of(pruning->older_than));
    buffer_add(&filter, "}", 2);
    const struct operator_action action = { .verb = "prune",
                                            .actor = operator_actor(pruning->as, actor),
                                            .reason = pruning->reason,
                                            .filter = buffer_failed(&filter) ? NULL : filter.at };
    int64_t id = operator_action_insert(connection, &action, fault);
    buffer_done(&filter);
    return id;
}

static bool prune(struct invocation *invocation, const struct pruning *pruning, struct buffer *out,
                  struct buffer *fault)
{
    struct prune_log_starts starts = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    progress_stage("asking PostgreSQL and Kafka");
    QUERY_CONNECTION connection = query_connect(invocation->settings, SESSION_WRITES, "interlock prune", fault);
    bool good = connection && topics_logs(invocation->settings, see_start, &starts, fault),
         executes = pruning->executes;
    int64_t action = PRUNE_COUNTS;
    prune_log_starts_end(&starts);
    if (good && executes)
        good = (action = record(connection, pruning, fault)) > 0;
    if (invocation->json)
        buffer_add_text(out, executes ? "{\"executed\":true," : "{\"executed\":false,");
    for (const char *const *table = prune_tables; good && *table; table++)
    {
        int64_t gone = prune_run(connection, *table, &starts, pruning->older_than_us, action, fault);
        good = gone >= 0;
        if (good)
            print_count(out, *table, gone, executes, invocation->json, table == prune_tables);
    }
    if (invocation->json)
        buffer_add_text(out, "}\n");
    prune_log_starts_done(&starts);
    return good;
}

int verb_prune(struct invocation *invocation)
{
    struct pruning pruning = { 0 };
    const struct verb_option options[] = {
        { "--older-than", &pruning.older_than, NULL },
        { "--reason", &pruning.reason, NULL },
        { "--as", &pruning.as, NULL },
        { "--execute", NULL, &pruning.executes },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc > 1)
        return verb_usage_error(usage, "prune: unknown argument %s", invocation->argv[1]);
    if (!pruning.older_than || !settings_parse_duration(pruning.older_than, &pruning.older_than_us) ||
        pruning.older_than_us <= 0)
        return verb_usage_error(usage, "prune: --older-than %s: give an age such as 720h",
                                pruning.older_than ? pruning.older_than : "is missing");
    if (pruning.executes && !pruning.reason)
        return verb_usage_error(usage, "prune: --execute needs a --reason");
    if (!operator_may_act(invocation, pruning.executes))
        return 1;
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    progress_begin("prune");
    bool good = prune(invocation, &pruning, &out, &fault);
    progress_end();
    operator_add_role(&fault, "interlock_pruner");
    int code = good ? verb_print(invocation, &out) : verb_fail_with(invocation, &fault);
    buffer_done(&out);
    buffer_done(&fault);
    return code;
}
