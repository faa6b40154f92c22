/* interlock action list | show | stop: who did what to the pool, and why; and the way to take back what an action put
 * back (worker/admin/action_query.h). */
#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/action_query.h"
#include "worker/base/shown.h"
#include "worker/cli/operator.h"

static const char usage[] =
    "usage: interlock action list [--verb V] [--by NAME] [--since T] [--limit N] [--output json]\n"
    "                             the newest N (100) actions: who, what, how many, what became of them, why\n"
    "       interlock action show ID [--limit N] [--output json]   one of them, with each of its subjects (1000)\n"
    "       interlock action stop ID [--execute --reason TEXT [--as NAME] [--expect N]]\n"
    "                             takes back the commands that the action put back and that have not returned yet: "
    "they\n"
    "                             are dead letters, or missing, again. Without --execute it counts them\n"
    "\n"
    "T: 2026-11-24T09:00:00Z, or 2h for 2 hours ago.\n"
    "Roles: interlock_reader; stop: interlock_operator.\n";

enum
{
    ID_DIGITS_MAX = 18,
    LIMIT_DIGITS_MAX = 7,
};

static void add_cell(struct buffer *into, const char *text, int width)
{
    size_t before = into->size;

    shown_add(into, span_of(text ? text : "-"));
    for (size_t size = into->size - before; size < (size_t)width; size++)
        buffer_add_byte(into, ' ');
    buffer_add_text(into, "  ");
}

static int print_list(const struct invocation *invocation, const PGresult *rows)
{
    struct buffer out = BUFFER_EMPTY;
    int count = PQntuples(rows);

    buffer_add_text(&out, invocation->json ? "{\"actions\":[" : count == 0 ? "no actions\n" : "");
    for (int row = 0; row < count; row++)
    {
        if (invocation->json)
        {
            buffer_add_text(&out, row > 0 ? ",\n" : "\n");
            buffer_add_text(&out, query_text(rows, row, ACTION_JSON));
            continue;
        }
        add_cell(&out, query_text(rows, row, ACTION_ID), 5);
        add_cell(&out, query_text(rows, row, ACTION_AGO), 10);
        add_cell(&out, query_text(rows, row, ACTION_VERB), 13);
        add_cell(&out, query_text(rows, row, ACTION_WHO), 20);
        add_cell(&out, query_text(rows, row, ACTION_OUTCOME), 24);
        shown_add(&out, span_of(query_text(rows, row, ACTION_REASON)));
        buffer_add_byte(&out, '\n');
    }
    if (invocation->json)
        buffer_add_text(&out, "\n]}\n");
    else if (count > 0)
    {
        buffer_add_text(&out, "\nnext: interlock action show ");
        buffer_add_text(&out, query_text(rows, 0, ACTION_ID));
        buffer_add_byte(&out, '\n');
    }
    int code = verb_print(invocation, &out);
    buffer_done(&out);
    return code;
}

static int run_list(struct invocation *invocation)
{
    struct action_filter filter = { 0 };
    struct buffer fault = BUFFER_EMPTY;
    char since[VERB_TIME_TEXT_MAX];
    const struct verb_option options[] = { { "--verb", &filter.verb, NULL },
                                           { "--by", &filter.actor, NULL },
                                           { "--since", &filter.since, NULL },
                                           { "--limit", &filter.limit, NULL },
                                           { NULL, NULL, NULL } };

    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(usage, "action list takes no operands");
    if (filter.limit && !verb_is_number(filter.limit, LIMIT_DIGITS_MAX))
        return verb_usage_error(usage, "action list: --limit %s: accepted is a number up to 9999999", filter.limit);
    if (!verb_read_time("action list", "--since", &filter.since, since))
        return 1;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    QUERY_RESULT rows = connection ? action_query_list(connection, &filter, &fault) : NULL;
    if (rows == NULL)
        return operator_fail_with(invocation, false, &fault);
    buffer_done(&fault);
    return print_list(invocation, rows);
}

static void add_line(struct buffer *into, const char *name, const char *text)
{
    char label[16];

    if (text == NULL)
        return;
    snprintf(label, sizeof(label), "%-9s", name);
    buffer_add_text(into, label);
    shown_add(into, span_of(text));
    buffer_add_byte(into, '\n');
}

static int print_one(const struct invocation *invocation, const PGresult *rows, const PGresult *items)
{
    struct buffer out = BUFFER_EMPTY;

    if (invocation->json)
    {
        const char *json = query_text(rows, 0, ACTION_JSON);
        buffer_add(&out, json, strlen(json) - 1); /* without its last brace */
        buffer_add_text(&out, ", \"subjects\":[");
        for (int row = 0; row < PQntuples(items); row++)
        {
            buffer_add_text(&out, row > 0 ? ",\n" : "\n");
            buffer_add_text(&out, query_text(items, row, ACTION_ITEM_JSON));
        }
        buffer_add_text(&out, "]}\n");
    }
    else
    {
        buffer_add_text(&out, "action ");
        buffer_add_text(&out, query_text(rows, 0, ACTION_ID));
        buffer_add_text(&out, ": ");
        shown_add(&out, span_of(query_text(rows, 0, ACTION_VERB)));
        buffer_add_text(&out, " by ");
        shown_add(&out, span_of(query_text(rows, 0, ACTION_WHO)));
        buffer_add_text(&out, ", ");
        buffer_add_text(&out, query_text(rows, 0, ACTION_AGO));
        buffer_add_byte(&out, '\n');
        add_line(&out, "why", query_text(rows, 0, ACTION_REASON));
        add_line(&out, "at", query_text(rows, 0, ACTION_AT));
        add_line(&out, "from", query_text(rows, 0, ACTION_HOST));
        add_line(&out, "filter", query_text(rows, 0, ACTION_FILTER));
        add_line(&out, "bounds", query_text(rows, 0, ACTION_EXPECTED));
        add_line(&out, "outcome", query_text(rows, 0, ACTION_OUTCOME));
        for (int row = 0; row < PQntuples(items); row++)
        {
            buffer_add_text(&out, "  ");
            buffer_add_text(&out, query_text(items, row, ACTION_ITEM_AT));
            buffer_add_text(&out, "  ");
            shown_add(&out, span_of(query_text(items, row, ACTION_ITEM_SUBJECT)));
            buffer_add_text(&out, "  ");
            shown_add(&out, span_of(query_text(items, row, ACTION_ITEM_OUTCOME)));
            buffer_add_byte(&out, '\n');
        }
        bool waits = atoll(query_text(rows, 0, ACTION_WAITS)) > 0;
        buffer_add_text(&out, waits ? "next: " : "next: nothing to do\n");
        if (waits)
        {
            buffer_add_text(&out, query_text(rows, 0, ACTION_WAITS));
            buffer_add_text(&out, " commands have not returned yet: wait, or interlock action stop ");
            buffer_add_text(&out, query_text(rows, 0, ACTION_ID));
            buffer_add_byte(&out, '\n');
        }
    }
    int code = verb_print(invocation, &out);
    buffer_done(&out);
    return code;
}

static const char *find_id(struct invocation *invocation)
{
    if (invocation->argc == 2 && verb_is_number(invocation->argv[1], ID_DIGITS_MAX))
        return invocation->argv[1];
    verb_usage_error(usage, "%s: accepted is the number of an action", invocation->argv[0]);
    return NULL;
}

static int run_show(struct invocation *invocation)
{
    const char *limit = NULL;
    const struct verb_option options[] = { { "--limit", &limit, NULL }, { NULL, NULL, NULL } };
    struct buffer fault = BUFFER_EMPTY;

    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (limit && !verb_is_number(limit, LIMIT_DIGITS_MAX))
        return verb_usage_error(usage, "action show: --limit %s: accepted is a number up to 9999999", limit);
    const char *id = find_id(invocation);
    if (id == NULL)
        return 1;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    QUERY_RESULT rows = connection ? action_query_one(connection, id, &fault) : NULL;
    QUERY_RESULT items = rows ? action_query_items(connection, id, limit ? limit : "1000", &fault) : NULL;
    if (items == NULL)
        return operator_fail_with(invocation, false, &fault);
    buffer_done(&fault);
    if (PQntuples(rows) == 0)
        return verb_fail(invocation, "there is no action %s: interlock action list", id);
    return print_one(invocation, rows, items);
}

/* --- stop -------------------------------------------------------------------------------------------------------- */

static int report_stop(const struct invocation *invocation, const struct intent *intent, const char *id,
                       int64_t waiting, int64_t taken, int64_t by)
{
    struct buffer out = BUFFER_EMPTY;

    if (invocation->json)
    {
        buffer_add_text(&out, intent->execute ? "{\"executed\":true,\"action\":" : "{\"executed\":false,\"action\":");
        buffer_add_text(&out, id);
        buffer_add_text(&out, ",\"waiting\":");
        buffer_add_int64(&out, waiting);
        buffer_add_text(&out, ",\"taken_back\":");
        buffer_add_int64(&out, taken);
        if (by > 0)
        {
            buffer_add_text(&out, ",\"by\":");
            buffer_add_int64(&out, by);
        }
        buffer_add_text(&out, "}\n");
    }
    else if (intent->execute)
    {
        buffer_add_text(&out, "action ");
        buffer_add_int64(&out, by);
        buffer_add_text(&out, ": ");
        buffer_add_int64(&out, taken);
        buffer_add_text(&out, " commands of action ");
        buffer_add_text(&out, id);
        buffer_add_text(&out, " are taken back; those that had returned stay\n");
    }
    else
    {
        buffer_add_int64(&out, waiting);
        buffer_add_text(&out, " commands of action ");
        buffer_add_text(&out, id);
        buffer_add_text(&out, " have not returned yet and would be taken back\n");
        buffer_add_text(&out, waiting > 0 ? "to do it:\n  " : "");
        if (waiting > 0)
            operator_add_to_do(&out, invocation, intent, waiting);
        buffer_add_text(&out, waiting > 0 ? "\n" : "");
    }
    int code = verb_print(invocation, &out);
    buffer_done(&out);
    return code;
}

static bool stop(PGconn *connection, const struct intent *intent, const char *id, int64_t *ret_waiting,
                 int64_t *ret_taken, int64_t *ret_by, struct buffer *fault)
{
    QUERY_RESULT begin = intent->execute ? query_run(connection, TRANSACTION_BEGIN, 0, NULL, fault) : NULL;
    if (intent->execute && begin == NULL)
        return false;
    QUERY_RESULT waiting = action_query_waiting(connection, id, intent->execute, fault);
    if (waiting == NULL)
        return false;
    *ret_waiting = PQntuples(waiting);
    if (!intent->execute)
        return true;
    if (!operator_agrees(intent, *ret_waiting, fault))
        return false;
    *ret_by = operator_begin_act(intent, connection, "action stop", fault);
    if (*ret_by < 0)
        return false;
    *ret_taken = action_take_back(connection, *ret_by, waiting, fault);
    return *ret_taken >= 0 && query_commit(connection, fault);
}

static int run_stop(struct invocation *invocation)
{
    struct intent intent = INTENT_EMPTY;
    const struct verb_option own[] = { { NULL, NULL, NULL } };
    struct buffer fault = BUFFER_EMPTY;
    int64_t waiting = 0, taken = 0, by = 0;

    if (!operator_parse(invocation, &intent, own, usage))
        return OPERATOR_NOT_DONE;
    const char *id = find_id(invocation);
    QUERY_CONNECTION connection = id ? operator_connect(invocation, intent.execute, &fault) : NULL;
    QUERY_RESULT rows = connection ? action_query_one(connection, id, &fault) : NULL;
    int code = OPERATOR_NOT_DONE;
    if (rows && PQntuples(rows) == 0)
        verb_fail(invocation, "there is no action %s: interlock action list", id);
    else if (rows && operator_note_now(&intent, connection, &fault) &&
             stop(connection, &intent, id, &waiting, &taken, &by, &fault))
        code = report_stop(invocation, &intent, id, waiting, taken, by);
    else if (id)
        operator_fail_with(invocation, true, &fault);
    buffer_done(&fault);
    operator_done(&intent);
    return code;
}

int verb_action(struct invocation *invocation)
{
    static char list[] = "action list", show[] = "action show", end[] = "action stop";
    static const struct verb_part parts[] = {
        { "list", list, run_list }, { "show", show, run_show }, { "stop", end, run_stop }, { NULL, NULL, NULL }
    };

    return verb_run_part(invocation, parts, usage);
}
