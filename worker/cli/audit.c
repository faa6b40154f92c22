/* interlock audit list | show | verify */
#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/audit_query.h"
#include "worker/base/shown.h"
#include "worker/cli/explaining.h"
#include "worker/cli/verbs.h"
#include "workflows/model/names.h"

static const char usage[] =
    "usage: interlock audit list [--aggregate ticket/42] [--operation O] [--author A] [--status-from S] [--status-to "
    "S]\n"
    "                            [--since T] [--until T] [--limit N] [--plan] [--output json]\n"
    "                            the newest N (100) that match, oldest first. T: 2026-11-24T09:00:00Z, or 2h for 2 "
    "hours\n"
    "                            ago; --plan: PostgreSQL's plan instead\n"
    "       interlock audit show --source S --id I [--output json]   the result of one command\n"
    "       interlock audit show EVENT_ID [--output json]            the same, by its event (reads the whole table)\n"
    "       interlock audit verify ...                               see interlock audit verify --help\n";

enum
{
    STATUS_TEXT_MAX = 64,
    LIMIT_DIGITS_MAX = 7,
};

/* --- printing ---------------------------------------------------------------------------------------------------- */

static void add_json_row(const PGresult *rows, int row, struct buffer *into)
{
    for (int column = 0; column < AUDIT_COLUMN__COUNT; column++)
    {
        const char *text = query_text(rows, row, column);
        buffer_add_text(into, column > 0 ? ",\"" : "{\"");
        buffer_add_text(into, audit_columns[column].name);
        buffer_add_text(into, "\":");
        if (text && audit_columns[column].kind != AUDIT_COLUMN_TEXT)
            buffer_add_text(into, text);
        else
            buffer_add_json_string(into, span_of(text));
    }
    buffer_add_text(into, "}");
}

static void add_shown(struct buffer *into, const char *text)
{
    shown_add(into, span_of(text));
}

static void add_change(const PGresult *rows, int row, const char *label, int from, int to, struct buffer *into)
{
    const char *old = query_text(rows, row, from), *new = query_text(rows, row, to);
    if ((!old && !new) || (old && new &&strcmp(old, new) == 0))
        return;
    buffer_add_text(into, " ");
    buffer_add_text(into, label);
    add_shown(into, old ? old : "none");
    buffer_add_text(into, "->");
    add_shown(into, new ? new : "none");
}

static void add_part(const PGresult *rows, int row, const char *label, int column, struct buffer *into)
{
    const char *text = query_text(rows, row, column);
    if (!text)
        return;
    buffer_add_text(into, " ");
    buffer_add_text(into, label);
    add_shown(into, text);
}

static void add_text_row(const PGresult *rows, int row, struct buffer *into)
{
    buffer_add_text(into, query_text(rows, row, AUDIT_TIME));
    add_part(rows, row, "", AUDIT_AGGREGATE, into);
    add_part(rows, row, "", AUDIT_OPERATION, into);
    add_part(rows, row, "", AUDIT_OUTCOME, into);
    add_part(rows, row, "", AUDIT_REASON, into);
    add_change(rows, row, "version ", AUDIT_VERSION_FROM, AUDIT_VERSION_TO, into);
    add_change(rows, row, "", AUDIT_STATUS_OLD, AUDIT_STATUS_NEW, into);
    add_change(rows, row, "person ", AUDIT_PERSON_OLD, AUDIT_PERSON_NEW, into);
    add_change(rows, row, "group ", AUDIT_GROUP_OLD, AUDIT_GROUP_NEW, into);
    add_part(rows, row, "by ", AUDIT_CHANGED_BY, into);
    add_part(rows, row, "| ", AUDIT_COMMAND_TYPE, into);
    add_part(rows, row, "", AUDIT_COMMAND_SOURCE, into);
    add_part(rows, row, "", AUDIT_COMMAND_ID, into);
    buffer_add_text(into, "\n");
}

static int print_list(const struct invocation *invocation, const PGresult *rows)
{
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, invocation->json ? "{\"events\":[" : "");
    for (int row = 0; row < PQntuples(rows); row++)
    {
        if (!invocation->json)
        {
            add_text_row(rows, row, &text);
            continue;
        }
        buffer_add_text(&text, row > 0 ? ",\n" : "\n");
        add_json_row(rows, row, &text);
    }
    buffer_add_text(&text, invocation->json ? "\n]}\n" : "");
    int code = verb_print(invocation, &text);
    buffer_done(&text);
    return code;
}

static int print_plan(const struct invocation *invocation, const PGresult *rows)
{
    struct buffer text = BUFFER_EMPTY;
    for (int row = 0; row < PQntuples(rows); row++)
    {
        buffer_add_text(&text, PQgetvalue(rows, row, 0));
        buffer_add_text(&text, "\n");
    }
    int code = verb_print(invocation, &text);
    buffer_done(&text);
    return code;
}

static int print_one(const struct invocation *invocation, const PGresult *rows)
{
    struct buffer text = BUFFER_EMPTY;
    if (invocation->json)
        add_json_row(rows, 0, &text);
    for (int column = 0; column < AUDIT_COLUMN__COUNT && !invocation->json; column++)
    {
        const char *value = query_text(rows, 0, column);
        char name[32];
        snprintf(name, sizeof(name), "%-16s", audit_columns[column].name);
        buffer_add_text(&text, name);
        add_shown(&text, value ? value : "-");
        buffer_add_text(&text, "\n");
    }
    buffer_add_text(&text, invocation->json ? "\n" : "");
    int code = verb_print(invocation, &text);
    buffer_done(&text);
    return code;
}

/* --- options ----------------------------------------------------------------------------------------------------- */

static void add_word(struct buffer *into, const char *word)
{
    buffer_add_byte(into, ' ');
    buffer_add_text(into, word);
}

static bool is_operation(const char *text)
{
    for (int i = OPERATION_NONE + 1; i < OPERATION__COUNT; i++)
        if (strcmp(operation_name((enum operation)i), text) == 0)
            return true;
    struct buffer accepted = BUFFER_EMPTY;
    for (int i = OPERATION_NONE + 1; i < OPERATION__COUNT; i++)
        add_word(&accepted, operation_name((enum operation)i));
    verb_tell("interlock: audit: --operation %s: accepted are%.*s", text, (int)accepted.size, accepted.at);
    buffer_done(&accepted);
    return false;
}

static bool is_status(const char *text)
{
    static const struct names *const sets[] = { &names_ticket_status, &names_jobneed_status };
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
        if (names_find(sets[i], span_of(text)) > 0)
            return true;
    struct buffer accepted = BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof(sets) / sizeof(*sets); i++)
        for (int name = 1; name < sets[i]->count; name++)
            add_word(&accepted, sets[i]->names[name]);
    verb_tell("interlock: audit: status %s: accepted are%.*s", text, (int)accepted.size, accepted.at);
    buffer_done(&accepted);
    return false;
}

/* As it is recorded: a uuid may be given in either case. */
static bool read_aggregate(const char **text, char into[AGGREGATE_KEY_MAX])
{
    struct aggregate aggregate;
    if (*text == NULL)
        return true;
    if (aggregate_parse(span_of(*text), &aggregate))
    {
        aggregate_print(aggregate, into);
        *text = into;
        return true;
    }
    verb_tell("interlock: audit: --aggregate %s: accepted is a key such as ticket/42, jobneed/7", *text);
    return false;
}

static bool is_limit(const char *text)
{
    if (verb_is_number(text, LIMIT_DIGITS_MAX))
        return true;
    verb_tell("interlock: audit: --limit %s: accepted is a number up to 9999999", text);
    return false;
}

/* "NEW:OPEN" is --status-from NEW --status-to OPEN; either side may be left out. */
static bool split_status(const char *text, char into[STATUS_TEXT_MAX], struct audit_filter *filter)
{
    if (!text)
        return true;
    snprintf(into, STATUS_TEXT_MAX, "%s", text);
    char *colon = strchr(into, ':');
    if (!colon || filter->status_from || filter->status_to)
    {
        verb_tell("interlock: audit: --status %s: accepted is FROM:TO, without --status-from and --status-to", text);
        return false;
    }
    *colon = '\0';
    filter->status_from = *into ? into : NULL;
    filter->status_to = colon[1] ? colon + 1 : NULL;
    return true;
}

/* --- verbs ------------------------------------------------------------------------------------------------------- */

static PGconn *connect_to_read(struct invocation *invocation, struct buffer *fault)
{
    PGconn *connection = query_connect(invocation->settings, SESSION_READS, "interlock audit", fault);
    if (!connection)
        return NULL;
    QUERY_RESULT ready = query_run_script(connection,
                                          "SET default_transaction_read_only = on; SET search_path = pg_catalog;"
                                          " SET statement_timeout = '60s'; SET client_encoding = 'UTF8'",
                                          "session", fault);
    if (!ready)
        query_closep(&connection);
    return connection;
}

/* The answer is without what the role may not read: said, so that nobody takes it for a command without metadata. */
static void tell_withheld(PGconn *connection, const char *verb)
{
    struct buffer fault = BUFFER_EMPTY;
    bool metadata = true;

    if (audit_query_metadata(connection, &metadata, &fault) && !metadata)
        verb_tell("interlock %s: metadata is not shown: %s may not read it, interlock_payload_reader may", verb,
                  PQuser(connection));
    buffer_done(&fault);
}

static bool check_filter(const struct audit_filter *filter)
{
    return (!filter->operation || is_operation(filter->operation)) &&
           (!filter->status_from || is_status(filter->status_from)) &&
           (!filter->status_to || is_status(filter->status_to)) && (!filter->limit || is_limit(filter->limit));
}

static int run_list(struct invocation *invocation)
{
    struct audit_filter filter = { 0 };
    const char *status = NULL;
    bool plan = false;
    char since[VERB_TIME_TEXT_MAX], until[VERB_TIME_TEXT_MAX], statuses[STATUS_TEXT_MAX], aggregate[AGGREGATE_KEY_MAX];
    const struct verb_option options[] = {
        { "--aggregate", &filter.aggregate, NULL },
        { "--operation", &filter.operation, NULL },
        { "--author", &filter.author, NULL },
        { "--status-from", &filter.status_from, NULL },
        { "--status-to", &filter.status_to, NULL },
        { "--status", &status, NULL },
        { "--since", &filter.since, NULL },
        { "--until", &filter.until, NULL },
        { "--limit", &filter.limit, NULL },
        { "--plan", NULL, &plan },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(usage, "audit list takes no operands");
    if (!split_status(status, statuses, &filter) || !read_aggregate(&filter.aggregate, aggregate) ||
        !check_filter(&filter) || !verb_read_time("audit", "--since", &filter.since, since) ||
        !verb_read_time("audit", "--until", &filter.until, until))
        return 1;
    struct buffer fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = connect_to_read(invocation, &fault);
    QUERY_RESULT rows = connection ? audit_query_list(connection, &filter, plan, &fault) : NULL;
    if (!rows)
        return verb_fail_with(invocation, &fault);
    buffer_done(&fault);
    tell_withheld(connection, invocation->argv[0]);
    return plan ? print_plan(invocation, rows) : print_list(invocation, rows);
}

/* `source` and `id` NULL: it was asked for by an event, and no other row knows that. */
static int tell_not_recorded(struct invocation *invocation, PGconn *connection, const char *source, const char *id)
{
    struct explaining explaining = { .invocation = invocation,
                                     .connection = connection,
                                     .target = { .source = source, .id = id },
                                     .scan = EXPLAINING_SCAN };
    struct buffer shown = BUFFER_EMPTY;

    if (source)
        explaining_find_holders(&explaining);
    shown_add(&shown, buffer_span(&explaining.holders));
    int code = verb_fail(invocation,
                         "no event is recorded for it%s%.*s: interlock explain, with the same words, says where it is",
                         shown.size > 0 ? ": its row is " : "", (int)shown.size, shown.at ? shown.at : "");
    buffer_done(&shown);
    explaining_done(&explaining);
    return code;
}

static int run_show(struct invocation *invocation)
{
    const char *source = NULL, *id = NULL;
    struct id event;
    const struct verb_option options[] = { { "--source", &source, NULL }, { "--id", &id, NULL }, { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, options, usage))
        return 1;
    const char *event_id = invocation->argc == 2 ? invocation->argv[1] : NULL;
    if (invocation->argc > 2 || (event_id ? source || id : !source || !id))
        return verb_usage_error(usage, "audit show takes --source and --id, or one event id");
    if (event_id && !id_parse_uuid(span_of(event_id), &event))
        return verb_usage_error(usage, "audit show %s: accepted is an event's id, a uuid", event_id);
    struct buffer fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = connect_to_read(invocation, &fault);
    QUERY_RESULT rows = !connection ? NULL
                        : event_id  ? audit_query_event(connection, event_id, &fault)
                                    : audit_query_command(connection, source, id, &fault);
    if (!rows)
        return verb_fail_with(invocation, &fault);
    buffer_done(&fault);
    if (PQntuples(rows) == 0)
        return tell_not_recorded(invocation, connection, source, id);
    tell_withheld(connection, invocation->argv[0]);
    return print_one(invocation, rows);
}

int verb_audit(struct invocation *invocation)
{
    static char list[] = "audit list", show[] = "audit show", verify[] = "audit verify";
    static const struct verb_part parts[] = {
        { "list", list, run_list }, { "show", show, run_show }, { "verify", verify, verify_run }, { NULL, NULL, NULL }
    };
    return verb_run_part(invocation, parts, usage);
}
