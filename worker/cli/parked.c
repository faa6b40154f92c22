/* interlock parked list | show | release | cancel: the commands that wait in PostgreSQL (PROTOCOL L4,
 * worker/admin/parked_commands.h). Kafka is not asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/admin/parked_commands.h"
#include "worker/base/clock.h"
#include "worker/base/shown.h"
#include "worker/cli/operator.h"
#include "worker/postgres/query.h"

static const char usage[] =
    "usage: interlock parked list [FILTER] [--before T] [--limit 100] [--output json]\n"
    "       interlock parked show PLACE [--output json]\n"
    "       interlock parked release PLACE... | FILTER | --all [--execute --reason TEXT] [OPTION...]\n"
    "       interlock parked cancel  PLACE... | FILTER | --all [--execute --reason TEXT] [--wait 30s] [OPTION...]\n"
    "\n"
    "  release   it returns as soon as its turn in its aggregate has come, whatever time or pause it waited for\n"
    "  cancel    it returns, and is rejected with the reason `cancelled`; there is no way back\n"
    "\n"
    "PLACE is the number of the list's first column. FILTER is one or more of\n"
    "  --key ticket/42  --type ticket.escalate  --source S  --id I  --tenant T  --pause ID\n"
    "  --reason-is R    notbefore, held, behind, paused, redriven, replayed\n"
    "\n"
    "  --execute        do it; without it, what would be done is listed, and the command that does it and nothing "
    "else\n"
    "  --reason TEXT    why: it is recorded with the action\n"
    "  --as NAME        who; default: INTERLOCK_OPERATOR, SUDO_USER, the login name\n"
    "  --before T       leave alone what was parked later: 2026-11-24T09:00:00Z, or 5min for 5 minutes ago\n"
    "  --expect N       do nothing unless there are exactly so many\n"
    "  --wait T         cancel: wait so long until all are answered; 0s: not at all\n"
    "exit 0: done, or looked; 1: not done; 2: cancelled, and not all are answered within --wait\n";

static const int64_t wait_default_us = 30000000, wait_max_us = 3600000000;

enum
{
    TEXT_ROWS = 20, /* of a dry run */
    LIMIT_DIGITS_MAX = 7,
    PLACE_DIGITS_MAX = 18,
};

struct parked_request
{
    struct parked_filter filter;
    struct buffer places;
    const char *limit, *wait;
};

/* --- the command line -------------------------------------------------------------------------------------------- */

#define FILTER_OPTIONS(filter) \
    { "--key", &(filter).key, NULL }, { "--type", &(filter).type, NULL }, { "--source", &(filter).source, NULL }, \
        { "--id", &(filter).id, NULL }, { "--tenant", &(filter).tenant, NULL }, { "--pause", &(filter).pause, NULL }, \
    { \
        "--reason-is", &(filter).reason, NULL \
    }

static bool check_filter(struct invocation *invocation, const struct parked_filter *filter)
{
    static const char *const reasons[] = { "notbefore", "held", "behind", "paused", "redriven", "replayed" };
    bool known = filter->reason == NULL;

    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        known = known || strcmp(filter->reason, reasons[i]) == 0;
    if (!known)
        verb_usage_error(usage, "%s: --reason-is %s: accepted are notbefore, held, behind, paused, redriven, replayed",
                         invocation->argv[0], filter->reason);
    else if (filter->pause && !verb_is_number(filter->pause, 9))
        verb_usage_error(usage, "%s: --pause %s: accepted is the number of a pause", invocation->argv[0],
                         filter->pause);
    else
        return true;
    return false;
}

/* The operands, as an array of PostgreSQL. */
static bool read_places(struct invocation *invocation, struct parked_request *request)
{
    for (int i = 1; i < invocation->argc; i++)
    {
        if (!verb_is_number(invocation->argv[i], PLACE_DIGITS_MAX))
        {
            verb_usage_error(usage, "%s: %s: accepted is a number of `parked list`", invocation->argv[0],
                             invocation->argv[i]);
            return false;
        }
        buffer_add_byte(&request->places, i == 1 ? '{' : ',');
        buffer_add_text(&request->places, invocation->argv[i]);
    }
    if (invocation->argc == 1)
        return true;
    buffer_add(&request->places, "}", 2);
    request->filter.places = buffer_failed(&request->places) ? "{}" : request->places.at;
    return true;
}

static bool is_filtered(const struct parked_filter *filter)
{
    return filter->places || filter->key || filter->type || filter->source || filter->id || filter->tenant ||
           filter->reason || filter->pause;
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static void add_json_row(const PGresult *rows, int row, struct buffer *into)
{
    for (int column = 0; column < PARKED__COLUMNS; column++)
    {
        const char *text = query_text(rows, row, column);
        buffer_add_text(into, column > 0 ? ",\"" : "{\"");
        buffer_add_text(into, parked_columns[column].name);
        buffer_add_text(into, "\":");
        if (text && parked_columns[column].number)
            buffer_add_text(into, text);
        else
            buffer_add_json_string(into, span_of(text));
    }
    buffer_add_byte(into, '}');
}

static void add_cell(struct buffer *into, const char *text, int width)
{
    size_t before = into->size;

    shown_add(into, span_of(text && *text ? text : "-"));
    for (size_t size = into->size - before; size < (size_t)width; size++)
        buffer_add_byte(into, ' ');
    buffer_add_text(into, "  ");
}

static const char *waits_for(const PGresult *rows, int row)
{
    if (query_text(rows, row, PARKED_CANCELLED_BY))
        return "cancelled";
    if (query_text(rows, row, PARKED_DUE))
        return PQgetvalue(rows, row, PARKED_DUE);
    return "at its resume";
}

static void add_rows(const PGresult *rows, int max, struct buffer *into)
{
    buffer_add_text(into, "PLACE     AGGREGATE           REASON     DUE                       BEHIND    RETURNS  "
                          "PARKINGS  TYPE                  SOURCE ID\n");
    for (int row = 0; row < PQntuples(rows) && row < max; row++)
    {
        add_cell(into, PQgetvalue(rows, row, PARKED_PLACE), 8);
        add_cell(into, query_text(rows, row, PARKED_AGGREGATE), 18);
        add_cell(into, PQgetvalue(rows, row, PARKED_REASON), 9);
        add_cell(into, waits_for(rows, row), 24);
        add_cell(into, query_text(rows, row, PARKED_BEHIND), 8);
        add_cell(into, PQgetvalue(rows, row, PARKED_RETURNS), 7);
        add_cell(into, PQgetvalue(rows, row, PARKED_PARKINGS), 8);
        add_cell(into, PQgetvalue(rows, row, PARKED_TYPE), 20);
        shown_add(into, span_of(PQgetvalue(rows, row, PARKED_SOURCE)));
        buffer_add_byte(into, ' ');
        shown_add(into, span_of(PQgetvalue(rows, row, PARKED_ID)));
        buffer_add_byte(into, '\n');
    }
}

static int64_t add_counts(const PGresult *counts, bool json, struct buffer *into)
{
    int64_t all = 0;

    for (int row = 0; row < PQntuples(counts); row++)
        all += strtoll(PQgetvalue(counts, row, 1), NULL, 10);
    if (json)
        buffer_add_text(into, "\"count\":");
    buffer_add_int64(into, all);
    if (!json)
        buffer_add_text(into, all == 1 ? " parked command" : " parked commands");
    buffer_add_text(into, json ? ",\"by_reason\":{" : all > 0 ? ": " : "");
    for (int row = 0; row < PQntuples(counts); row++)
    {
        if (row > 0)
            buffer_add_text(into, json ? "," : ", ");
        if (json)
            buffer_add_json_string(into, span_of(PQgetvalue(counts, row, 0)));
        buffer_add_text(into, json ? ":" : "");
        buffer_add_text(into, PQgetvalue(counts, row, 1));
        buffer_add_text(into, json ? "" : " ");
        buffer_add_text(into, json ? "" : PQgetvalue(counts, row, 0));
    }
    buffer_add_text(into, json ? "}" : "\n");
    return all;
}

static void add_list(const PGresult *rows, const PGresult *counts, bool json, int max, struct buffer *into)
{
    buffer_add_text(into, json ? "{" : "");
    int64_t all = add_counts(counts, json, into);

    if (json)
    {
        buffer_add_text(into, ",\"parked\":[");
        for (int row = 0; row < PQntuples(rows); row++)
        {
            buffer_add_text(into, row > 0 ? ",\n" : "\n");
            add_json_row(rows, row, into);
        }
        buffer_add_byte(into, ']');
        return;
    }
    if (PQntuples(rows) == 0)
        return;
    buffer_add_byte(into, '\n');
    add_rows(rows, max, into);
    int shown = PQntuples(rows) < max ? PQntuples(rows) : max;
    if (all > shown)
    {
        buffer_add_text(into, "and ");
        buffer_add_int64(into, all - shown);
        buffer_add_text(into, " more\n");
    }
}

/* --- list, show -------------------------------------------------------------------------------------------------- */

static int run_list(struct invocation *invocation)
{
    struct parked_request request = { .limit = NULL };
    struct parked_filter *filter = &request.filter;
    char before[VERB_TIME_TEXT_MAX];
    const struct verb_option options[] = {
        FILTER_OPTIONS(*filter),
        { "--before", &filter->before, NULL },
        { "--limit", &request.limit, NULL },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, options, usage) || !check_filter(invocation, filter) ||
        !verb_read_time(invocation->argv[0], "--before", &filter->before, before))
        return OPERATOR_NOT_DONE;
    if (invocation->argc > 1)
        return verb_usage_error(usage, "parked list takes no operands");
    if (request.limit && !verb_is_number(request.limit, LIMIT_DIGITS_MAX))
        return verb_usage_error(usage, "parked list: --limit %s: accepted is a number up to 9999999", request.limit);
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    QUERY_RESULT counts = connection ? parked_commands_count(connection, filter, &fault) : NULL;
    QUERY_RESULT rows =
        counts ? parked_commands_list(connection, filter, request.limit ? request.limit : "100", &fault) : NULL;
    if (rows)
    {
        add_list(rows, counts, invocation->json, INT32_MAX, &out);
        buffer_add_text(&out, invocation->json ? "}\n" : "");
    }
    return operator_end(invocation, false, rows != NULL, &out, &fault);
}

static int print_one(const struct invocation *invocation, const PGresult *rows)
{
    struct buffer text = BUFFER_EMPTY;

    if (invocation->json)
        add_json_row(rows, 0, &text);
    for (int column = 0; column < PARKED__COLUMNS && !invocation->json; column++)
    {
        const char *value = column == PARKED_DUE ? waits_for(rows, 0) : query_text(rows, 0, column);
        add_cell(&text, parked_columns[column].name, 14);
        shown_add(&text, span_of(value ? value : "-"));
        buffer_add_byte(&text, '\n');
    }
    buffer_add_text(&text, invocation->json ? "\n" : "");
    int code = verb_print(invocation, &text);
    buffer_done(&text);
    return code;
}

static int run_show(struct invocation *invocation)
{
    struct parked_request request = { .limit = NULL };
    const struct verb_option options[] = { { NULL, NULL, NULL } };

    if (!verb_parse_options(invocation, options, usage))
        return OPERATOR_NOT_DONE;
    if (invocation->argc != 2)
        return verb_usage_error(usage, "parked show takes one number of `parked list`");
    if (!read_places(invocation, &request))
        return OPERATOR_NOT_DONE;
    struct buffer fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    QUERY_RESULT rows = connection ? parked_commands_list(connection, &request.filter, "1", &fault) : NULL;
    int code = OPERATOR_NOT_DONE;
    if (rows == NULL)
        operator_fail_with(invocation, false, &fault);
    else if (PQntuples(rows) == 0)
        verb_fail(invocation, "no parked command has the place %s: it has returned and is answered, or there was none",
                  invocation->argv[1]);
    else
        code = print_one(invocation, rows);
    buffer_done(&request.places);
    buffer_done(&fault);
    return code;
}

/* --- release, cancel --------------------------------------------------------------------------------------------- */

struct act
{
    enum parked_act act;
    const char *done, *would;
};

static const struct act acts[] = {
    [PARKED_RELEASE] = { PARKED_RELEASE, "released", "would be released" },
    [PARKED_CANCEL] = { PARKED_CANCEL, "cancelled",
                        "would be cancelled: each is rejected when it returns; there is no way back" },
};

static bool look(struct invocation *invocation, const struct act *act, struct intent *intent,
                 struct parked_request *request, struct buffer *out, struct buffer *fault)
{
    QUERY_CONNECTION connection = operator_connect(invocation, false, fault);

    if (connection == NULL || !operator_note_now(intent, connection, fault))
        return false;
    request->filter.before = intent->before_text;
    request->filter.not_cancelled = "true";
    QUERY_RESULT counts = parked_commands_count(connection, &request->filter, fault);
    QUERY_RESULT rows =
        counts ? parked_commands_list(connection, &request->filter, invocation->json ? "1000" : "20", fault) : NULL;
    if (rows == NULL)
        return false;
    int64_t count = 0;
    for (int row = 0; row < PQntuples(counts); row++)
        count += strtoll(PQgetvalue(counts, row, 1), NULL, 10);
    struct buffer line = BUFFER_EMPTY;
    add_list(rows, counts, invocation->json, TEXT_ROWS, out);
    operator_add_to_do(&line, invocation, intent, count);
    if (invocation->json)
    {
        buffer_add_text(out, ",\"executed\":false,\"to_do\":");
        buffer_add_json_string(out, buffer_span(&line));
        buffer_add_text(out, "}\n");
    }
    else if (count > 0)
    {
        buffer_add_int64(out, count);
        buffer_add_byte(out, ' ');
        buffer_add_text(out, act->would);
        buffer_add_text(out, "\nto do it:\n  ");
        buffer_add_span(out, buffer_span(&line));
        buffer_add_byte(out, '\n');
    }
    buffer_done(&line);
    return true;
}

/* One transaction. Returns the number; -1: nothing was done. */
static int64_t execute(PGconn *connection, const struct act *act, const char *verb, struct intent *intent,
                       const struct parked_filter *filter, int64_t *ret_action, struct buffer *fault)
{
    QUERY_RESULT begun = query_run(connection, TRANSACTION_BEGIN, 0, NULL, fault);
    int64_t found = begun ? parked_commands_lock(connection, filter, fault) : -1;

    if (found < 0 || !operator_agrees(intent, found, fault))
        return -1;
    *ret_action = 0;
    if (found == 0)
        return 0;
    *ret_action = operator_begin_act(intent, connection, verb, fault);
    int64_t done = *ret_action > 0 ? parked_commands_act(connection, filter, act->act, *ret_action, fault) : -1;
    if (done >= 0 && done != found)
        buffer_add_text(fault, "the parked commands changed while they were locked");
    return done == found && query_commit(connection, fault) ? done : -1;
}

/* How many are still to return at the end of the wait; -1: not known. */
static int64_t await_answers(PGconn *connection, int64_t action, int64_t wait_us, struct buffer *fault)
{
    const struct timespec pause = { .tv_nsec = 100000000 };
    int64_t until_us = monotonic_us() + wait_us;

    for (;;)
    {
        int64_t left = parked_commands_left(connection, action, fault);
        if (left <= 0 || monotonic_us() >= until_us)
            return left;
        nanosleep(&pause, NULL);
    }
}

static void add_done(const struct invocation *invocation, const struct intent *intent, const struct act *act,
                     int64_t action, int64_t done, int64_t left, struct buffer *out)
{
    if (invocation->json)
    {
        buffer_add_text(out, "{\"executed\":true,\"action\":");
        buffer_add_int64(out, action);
        buffer_add_text(out, ",\"count\":");
        buffer_add_int64(out, done);
        buffer_add_text(out, ",\"left\":");
        buffer_add_int64(out, left);
        buffer_add_text(out, "}\n");
        return;
    }
    if (done == 0)
    {
        buffer_add_text(out, "nothing matches: nothing was done\n");
        return;
    }
    buffer_add_text(out, "action ");
    buffer_add_int64(out, action);
    buffer_add_text(out, " by ");
    shown_add(out, span_of(intent->actor));
    buffer_add_text(out, ": ");
    buffer_add_int64(out, done);
    buffer_add_byte(out, ' ');
    buffer_add_text(out, act->done);
    if (act->act == PARKED_CANCEL)
    {
        buffer_add_text(out, ", ");
        buffer_add_int64(out, done - left);
        buffer_add_text(out, " answered");
    }
    buffer_add_byte(out, '\n');
    if (left > 0)
    {
        buffer_add_int64(out, left);
        buffer_add_text(out, " are still to return: they are answered when the partition's worker reads them\n");
    }
}

static int act(struct invocation *invocation, const struct act *act, struct intent *intent,
               struct parked_request *request, int64_t wait_us)
{
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    int64_t action = 0, left = 0;
    bool good;

    if (!intent->execute)
        good = look(invocation, act, intent, request, &out, &fault);
    else
    {
        QUERY_CONNECTION connection = operator_connect(invocation, true, &fault);
        request->filter.before = intent->before;
        int64_t done =
            connection ? execute(connection, act, invocation->argv[0], intent, &request->filter, &action, &fault) : -1;
        if (done > 0 && act->act == PARKED_CANCEL)
            left = await_answers(connection, action, wait_us, &fault);
        good = done >= 0 && left >= 0;
        if (good)
            add_done(invocation, intent, act, action, done, left, &out);
    }
    int code = operator_end(invocation, intent->execute, good, &out, &fault);
    return code == OPERATOR_DONE && left > 0 && wait_us > 0 ? OPERATOR_STOPPED : code;
}

static int run_act(struct invocation *invocation, const struct act *which)
{
    struct intent intent = INTENT_EMPTY;
    struct parked_request request = { .limit = NULL };
    int64_t wait_us = wait_default_us;
    const struct verb_option options[] = {
        FILTER_OPTIONS(request.filter),
        { "--wait", &request.wait, NULL },
        { NULL, NULL, NULL },
    };
    int code = OPERATOR_NOT_DONE;
    if (operator_parse(invocation, &intent, options, usage) && check_filter(invocation, &request.filter) &&
        read_places(invocation, &request) &&
        operator_check_filter(invocation, &intent, is_filtered(&request.filter), usage))
    {
        if (request.wait && (!settings_parse_duration(request.wait, &wait_us) || wait_us > wait_max_us))
            verb_usage_error(usage, "%s: --wait %s: accepted is a time up to 1h", invocation->argv[0], request.wait);
        else
            code = act(invocation, which, &intent, &request, wait_us);
    }
    operator_done(&intent);
    buffer_done(&request.places);
    return code;
}

static int run_release(struct invocation *invocation)
{
    return run_act(invocation, &acts[PARKED_RELEASE]);
}

static int run_cancel(struct invocation *invocation)
{
    return run_act(invocation, &acts[PARKED_CANCEL]);
}

int verb_parked(struct invocation *invocation)
{
    static char list[] = "parked list", show[] = "parked show", release[] = "parked release",
                cancel[] = "parked cancel";
    static const struct
    {
        const char *name;
        char *whole_name; /* for messages */
        int (*run)(struct invocation *invocation);
    } verbs[] = { { "list", list, run_list },
                  { "show", show, run_show },
                  { "release", release, run_release },
                  { "cancel", cancel, run_cancel } };
    const char *name = invocation->argc > 1 ? invocation->argv[1] : "";

    if (strcmp(name, "--help") == 0)
    {
        fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
    {
        if (strcmp(verbs[i].name, name) != 0)
            continue;
        struct invocation inner = *invocation;
        inner.argc--;
        inner.argv++;
        inner.argv[0] = verbs[i].whole_name;
        return verbs[i].run(&inner);
    }
    return verb_usage_error(usage, "parked %s: accepted are list, show, release, cancel", name);
}
