/* interlock resume: ends a pause (PROTOCOL L5, worker/admin/pause.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/admin/pause.h"
#include "worker/cli/operator.h"
#include "worker/cli/pause_shown.h"
#include "worker/postgres/query.h"

static const char usage[] =
    "usage: interlock resume ID [--rate 20] [--expect N] [--execute --reason TEXT] [--output json]\n"
    "\n"
    "Ends a pause of `interlock pause list`: what waits for it returns in the order in which it came, by aggregate.\n"
    "\n"
    "  --rate N        so many a second at most; default: at once\n"
    "  --execute       do it; without it, what would return is shown\n"
    "  --reason TEXT   why: it is recorded with the action\n"
    "  --as NAME       who; default: INTERLOCK_OPERATOR, SUDO_USER, the login name\n"
    "  --expect N      do nothing unless exactly so many wait\n";

enum
{
    ID_DIGITS_MAX = 9,
    RATE_DIGITS_MAX = 6,
};

static int64_t count_waiting(PGconn *connection, const char *id, struct buffer *out, bool json, struct buffer *fault)
{
    QUERY_RESULT rows = pause_list(connection, true, id, fault);

    if (rows == NULL)
        return -1;
    if (PQntuples(rows) == 0 || query_text(rows, 0, PAUSE_RESUMED))
    {
        buffer_add_text(fault, PQntuples(rows) == 0 ? "there is no pause " : "it has ended already: pause ");
        buffer_add_text(fault, id);
        return -1;
    }
    if (json)
    {
        buffer_add_text(out, "{\"executed\":false,\"pause\":");
        pause_shown_json(rows, 0, out);
    }
    else
        pause_shown_text(rows, 0, out);
    return strtoll(PQgetvalue(rows, 0, PAUSE_COMMANDS), NULL, 10);
}

static int look_resume(const struct invocation *invocation, struct intent *intent, const char *id)
{
    struct buffer out = BUFFER_EMPTY, line = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    int64_t waiting = connection ? count_waiting(connection, id, &out, invocation->json, &fault) : -1;

    if (waiting >= 0)
    {
        buffer_add_text(&line, "interlock resume ");
        buffer_add_span(&line, buffer_span(&intent->words));
        buffer_add_text(&line, " --execute --reason \"...\"");
        buffer_add_text(&out, invocation->json ? ",\"to_do\":" : "to do it:\n  ");
        if (invocation->json)
            buffer_add_json_string(&out, buffer_span(&line));
        else
            buffer_add_span(&out, buffer_span(&line));
        buffer_add_text(&out, invocation->json ? "}\n" : "\n");
    }
    buffer_done(&line);
    return operator_end(invocation, false, waiting >= 0, &out, &fault);
}

/* One transaction. Returns how many return; -1: nothing was done. */
static int64_t end_pause(PGconn *connection, const struct intent *intent, const char *id, int64_t rate,
                         struct buffer *fault)
{
    char subject[32];
    QUERY_RESULT begun = query_run(connection, TRANSACTION_BEGIN, 0, NULL, fault);
    int locked = begun ? pause_lock(connection, id, fault) : -1;

    if (locked <= 0)
    {
        if (fault->size == 0)
        {
            buffer_add_text(fault, locked < 0 ? "there is no pause " : "it has ended already: pause ");
            buffer_add_text(fault, id);
        }
        return -1;
    }
    int64_t action = operator_begin_act(intent, connection, "resume", fault);
    int64_t count = action > 0 ? pause_resume(connection, id, action, rate, fault) : -1;
    snprintf(subject, sizeof(subject), "pause %.20s", id);
    if (count < 0 || !operator_agrees(intent, count, fault) ||
        !operator_action_add_item(connection, action, subject, "resumed", fault) || !query_commit(connection, fault))
        return -1;
    return count;
}

static int execute_resume(const struct invocation *invocation, const struct intent *intent, const char *id,
                          int64_t rate)
{
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(invocation, true, &fault);
    int64_t count = connection ? end_pause(connection, intent, id, rate, &fault) : -1;

    if (count >= 0)
    {
        buffer_add_text(&out, invocation->json ? "{\"executed\":true,\"pause\":" : "pause ");
        buffer_add_text(&out, id);
        buffer_add_text(&out, invocation->json ? ",\"commands\":" : " is ended: ");
        buffer_add_int64(&out, count);
        buffer_add_text(&out, invocation->json ? "}\n" : " commands return\n");
    }
    return operator_end(invocation, true, count >= 0, &out, &fault);
}

int verb_resume(struct invocation *invocation)
{
    struct intent intent = INTENT_EMPTY;
    const char *rate = NULL;
    const struct verb_option options[] = { { "--rate", &rate, NULL }, { NULL, NULL, NULL } };
    int code = OPERATOR_NOT_DONE;

    if (operator_parse(invocation, &intent, options, usage))
    {
        const char *id = invocation->argc == 2 ? invocation->argv[1] : "";
        if (!verb_is_number(id, ID_DIGITS_MAX) || intent.all)
            verb_usage_error(usage, "resume takes one number of `interlock pause list`");
        else if (rate && (!verb_is_number(rate, RATE_DIGITS_MAX) || atol(rate) == 0))
            verb_usage_error(usage, "resume: --rate %s: accepted is a number of commands a second", rate);
        else
            code = intent.execute ? execute_resume(invocation, &intent, id, rate ? atol(rate) : 0)
                                  : look_resume(invocation, &intent, id);
    }
    operator_done(&intent);
    return code;
}
