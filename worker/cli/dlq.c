/* interlock dlq list | show | redrive | discard | restore */
#include "worker/cli/dlq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/shown.h"
#include "worker/postgres/query.h"

const char dlq_usage[] =
    "usage: interlock dlq list [FILTER] [--state S|all] [--group-by cause|type|key] [--limit N] [--check] [--output "
    "json]\n"
    "                          the newest N (100) open letters; --check: exit 3 if there are any\n"
    "       interlock dlq show LETTER [--data] [--raw FILE] [--output json]   one letter, and what to do with it\n"
    "       interlock dlq redrive FILTER|LETTER... [--canary N] [--rate 20/s] [--keep-going] [--wait T] [--no-child]\n"
    "                             [--max-redrives N]\n"
    "       interlock dlq redrive LETTER --with FILE             an edited copy, with an id of its own, in its place\n"
    "       interlock dlq discard FILTER|LETTER...               not to be looked at any more; its bytes stay\n"
    "       interlock dlq restore FILTER|LETTER...               a discarded one is open again\n"
    "\n"
    "LETTER: topic/partition/offset of the message.\n"
    "FILTER: [--cause R] [--key ticket/42] [--type T] [--topic T] [--since T] [--before T]; T: 2026-11-24T09:00:00Z,\n"
    "or 2h for 2 hours ago. Redrive, discard and restore need one, or --all.\n"
    "\n"
    "Redrive, discard and restore are dry runs that print the command to type. With it:\n"
    "  --execute --reason TEXT [--as NAME] [--before T] [--expect N]   recorded; if there are not N, nothing "
    "is done\n"
    "exit 0: done, or looked; 1: not done; of redrive: 2: some not answered within --wait, they come back all the "
    "same; 3: some "
    "are dead again\n";

static const char *const states[] = { "open", "redriving", "resolved", "replaced", "discarded" };

enum
{
    STATE_COUNT = sizeof(states) / sizeof(*states),
    LIST_COLUMNS = 6,
    LIMIT_DIGITS_MAX = 7,
    LIMIT = 100,
};

/* --- shared ------------------------------------------------------------------------------------------------------ */

bool dlq_take_letters(struct invocation *invocation, struct letter_filter *filter)
{
    for (int i = 1; i < invocation->argc; i++)
        if (!letter_filter_add(filter, invocation->argv[i]))
        {
            verb_usage_error(dlq_usage, "%s: %s is no letter: topic/partition/offset, as dlq list prints it",
                             invocation->argv[0], invocation->argv[i]);
            return false;
        }
    return true;
}

void dlq_place_letter(const PGresult *rows, int row, struct letter_bytes *into)
{
    memset(into, 0, sizeof(*into));
    snprintf(into->topic, sizeof(into->topic), "%s", PQgetvalue(rows, row, LETTER_TOPIC));
    into->partition = (int32_t)strtol(PQgetvalue(rows, row, LETTER_PARTITION), NULL, 10);
    into->offset = strtoll(PQgetvalue(rows, row, LETTER_OFFSET), NULL, 10);
    into->failed_us = strtoll(PQgetvalue(rows, row, LETTER_FAILED_US), NULL, 10);
    const char *digits = PQgetvalue(rows, row, LETTER_DIGEST);
    for (size_t i = 0; i < sizeof(into->digest) && digits[2 * i] && digits[2 * i + 1]; i++)
    {
        const char pair[3] = { digits[2 * i], digits[2 * i + 1], '\0' };
        into->digest[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
}

void dlq_add_age(struct buffer *into, int64_t age_s)
{
    static const struct
    {
        int64_t seconds;
        const char *unit;
    } units[] = { { 86400, " d ago" }, { 3600, " h ago" }, { 60, " min ago" }, { 1, " s ago" } };
    int unit = 0;

    while (unit < 3 && age_s < units[unit].seconds)
        unit++;
    buffer_add_int64(into, age_s / units[unit].seconds);
    buffer_add_text(into, units[unit].unit);
}

void dlq_add_shown(struct buffer *into, const char *text)
{
    shown_add(into, span_of(text ? text : "-"));
}

void dlq_add_json(struct buffer *into, const char *name, const char *text, bool is_number, bool first)
{
    buffer_add_text(into, first ? "\"" : ",\"");
    buffer_add_text(into, name);
    buffer_add_text(into, "\":");
    if (text && is_number)
        buffer_add_text(into, text);
    else
        buffer_add_json_string(into, span_of(text));
}

void dlq_add_json_letter(struct buffer *into, const PGresult *rows, int row)
{
    for (int column = 0; column < LETTER_SHOWN__COUNT; column++)
        dlq_add_json(into, letter_columns[column].name, query_text(rows, row, column), letter_columns[column].is_number,
                     column == 0);
}

/* --- options ----------------------------------------------------------------------------------------------------- */

static bool is_one_of(const char *option, const char *text, const char *const *words, int count)
{
    struct buffer accepted = BUFFER_EMPTY;

    for (int i = 0; i < count; i++)
    {
        if (strcmp(words[i], text) == 0)
        {
            buffer_done(&accepted);
            return true;
        }
        buffer_add_text(&accepted, i > 0 ? ", " : "");
        buffer_add_text(&accepted, words[i]);
    }
    verb_tell("interlock: dlq: %s %s: accepted are %.*s", option, text, (int)accepted.size,
              accepted.at ? accepted.at : "");
    buffer_done(&accepted);
    return false;
}

static bool read_limit(const char *text, int64_t *ret)
{
    *ret = LIMIT;
    if (text == NULL)
        return true;
    if (verb_is_number(text, LIMIT_DIGITS_MAX))
    {
        *ret = strtoll(text, NULL, 10);
        return true;
    }
    verb_tell("interlock: dlq: --limit %s: accepted is a number up to 9999999", text);
    return false;
}

/* --- list -------------------------------------------------------------------------------------------------------- */

struct listing
{
    struct invocation *invocation;
    struct letter_filter filter;
    const char *group_by;
    int64_t limit;
    int64_t counts[STATE_COUNT];
    bool check;
};

static void read_counts(struct listing *listing, const PGresult *counted)
{
    for (int row = 0; row < PQntuples(counted); row++)
        for (int i = 0; i < STATE_COUNT; i++)
            if (strcmp(PQgetvalue(counted, row, 0), states[i]) == 0)
                listing->counts[i] = strtoll(PQgetvalue(counted, row, 1), NULL, 10);
}

/* Where nothing but a state is asked for, they are counted already: of 100,000 letters a count is what takes time. */
static int64_t count_found(const struct listing *listing, PGconn *connection, struct buffer *fault)
{
    const char *state = listing->filter.state;
    int64_t found = 0;

    if (letter_filter_is_given(&listing->filter) || listing->filter.before)
        return letters_count_filtered(connection, &listing->filter, fault);
    for (int i = 0; i < STATE_COUNT; i++)
        found += state == NULL || strcmp(states[i], state) == 0 ? listing->counts[i] : 0;
    return found;
}

/* "3 open dead letters; 2 redriving, 14 resolved are not shown (--state all)" */
static void add_headline(struct buffer *into, const struct listing *listing, int64_t found)
{
    const char *state = listing->filter.state;
    const char *separator = "; ";

    if (found == 0)
        buffer_add_text(into, "no");
    else
        buffer_add_int64(into, found);
    buffer_add_text(into, " ");
    buffer_add_text(into, state ? state : "");
    buffer_add_text(into, state ? " " : "");
    buffer_add_text(into, found == 1 ? "dead letter" : "dead letters");
    buffer_add_text(into, letter_filter_is_given(&listing->filter) || listing->filter.before ? " of this filter" : "");
    for (int i = 0; state && i < STATE_COUNT; i++)
    {
        if (listing->counts[i] == 0 || strcmp(states[i], state) == 0)
            continue;
        buffer_add_text(into, separator);
        buffer_add_int64(into, listing->counts[i]);
        buffer_add_text(into, " ");
        buffer_add_text(into, states[i]);
        separator = ", ";
    }
    buffer_add_text(into, *separator == ',' ? " are not shown (--state all)\n" : "\n");
}

/* Columns as wide as their widest field; the last one is not padded. */
static void add_table(struct buffer *into, const struct buffer *cells, int rows, int columns)
{
    size_t widths[LIST_COLUMNS + 1] = { 0 };

    for (int i = 0; i < rows * columns; i++)
        if (cells[i].size > widths[i % columns])
            widths[i % columns] = cells[i].size;
    for (int i = 0; i < rows * columns; i++)
    {
        bool last = (i + 1) % columns == 0;
        buffer_add_span(into, buffer_span(&cells[i]));
        for (size_t pad = cells[i].size; !last && pad < widths[i % columns] + 2; pad++)
            buffer_add_byte(into, ' ');
        if (last)
            buffer_add_byte(into, '\n');
    }
}

static void add_letters(struct buffer *into, const PGresult *rows, bool with_state)
{
    static const char *const heads[] = { "LETTER", "FAILED", "CAUSE", "KEY", "TYPE", "STATE", "SAYS" };
    int columns = with_state ? LIST_COLUMNS + 1 : LIST_COLUMNS, count = PQntuples(rows) + 1;
    struct buffer *cells = calloc((size_t)count * (size_t)columns, sizeof(*cells));

    for (int i = 0, column = 0; cells && i < LIST_COLUMNS + 1; i++)
        if (with_state || i != LIST_COLUMNS - 1)
            buffer_add_text(&cells[column++], heads[i]);
    for (int row = 0; cells && row < count - 1; row++)
    {
        struct buffer *cell = cells + (row + 1) * columns;
        dlq_add_shown(cell++, query_text(rows, row, LETTER_ID));
        dlq_add_age(cell++, strtoll(PQgetvalue(rows, row, LETTER_AGE_S), NULL, 10));
        dlq_add_shown(cell++, query_text(rows, row, LETTER_CAUSE));
        dlq_add_shown(cell++, query_text(rows, row, LETTER_KEY));
        dlq_add_shown(cell++, query_text(rows, row, LETTER_TYPE));
        if (with_state)
            dlq_add_shown(cell++, query_text(rows, row, LETTER_STATE));
        dlq_add_shown(cell, query_text(rows, row, LETTER_SAYS));
    }
    if (cells == NULL)
        into->failed = true;
    else
        add_table(into, cells, count, columns);
    for (int i = 0; cells && i < count * columns; i++)
    {
        into->failed = into->failed || buffer_failed(&cells[i]);
        buffer_done(&cells[i]);
    }
    free(cells);
}

static void print_text(const struct listing *listing, const PGresult *rows, int64_t found, struct buffer *out)
{
    add_headline(out, listing, found);
    if (found == 0)
        return;
    buffer_add_text(out, "\n");
    if (listing->group_by)
    {
        for (int row = 0; row < PQntuples(rows); row++)
        {
            char number[32];
            snprintf(number, sizeof(number), "%8s  ", PQgetvalue(rows, row, 1));
            buffer_add_text(out, number);
            dlq_add_shown(out, query_text(rows, row, 0));
            buffer_add_text(out, "  ");
            buffer_add_text(out, PQgetvalue(rows, row, 2));
            buffer_add_text(out, " to ");
            buffer_add_text(out, PQgetvalue(rows, row, 3));
            buffer_add_text(out, "\n");
        }
        return;
    }
    add_letters(out, rows, listing->filter.state == NULL);
    if (found > PQntuples(rows))
    {
        buffer_add_text(out, "... and ");
        buffer_add_int64(out, found - PQntuples(rows));
        buffer_add_text(out, " older ones (--limit N, --group-by cause)\n");
    }
    if (PQntuples(rows) > 0)
    {
        buffer_add_text(out, "\nnext: interlock dlq show ");
        dlq_add_shown(out, query_text(rows, 0, LETTER_ID));
        buffer_add_text(out, "\n");
    }
}

static void print_json(const struct listing *listing, const PGresult *rows, int64_t found, struct buffer *out)
{
    buffer_add_text(out, "{\"found\":");
    buffer_add_int64(out, found);
    buffer_add_text(out, ",\"states\":{");
    for (int i = 0; i < STATE_COUNT; i++)
    {
        buffer_add_text(out, i > 0 ? ",\"" : "\"");
        buffer_add_text(out, states[i]);
        buffer_add_text(out, "\":");
        buffer_add_int64(out, listing->counts[i]);
    }
    buffer_add_text(out, listing->group_by ? "},\"groups\":[" : "},\"letters\":[");
    for (int row = 0; row < PQntuples(rows); row++)
    {
        buffer_add_text(out, row > 0 ? ",\n{" : "\n{");
        if (listing->group_by)
        {
            dlq_add_json(out, listing->group_by, query_text(rows, row, 0), false, true);
            dlq_add_json(out, "count", query_text(rows, row, 1), true, false);
            dlq_add_json(out, "oldest", query_text(rows, row, 2), false, false);
            dlq_add_json(out, "newest", query_text(rows, row, 3), false, false);
        }
        else
            dlq_add_json_letter(out, rows, row);
        buffer_add_text(out, "}");
    }
    buffer_add_text(out, "\n]}\n");
}

static int list_letters(struct listing *listing)
{
    struct buffer fault = BUFFER_EMPTY, out = BUFFER_EMPTY;
    struct invocation *invocation = listing->invocation;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    QUERY_RESULT counted = connection ? letters_count(connection, &fault) : NULL;
    QUERY_RESULT rows = NULL;

    if (counted)
        read_counts(listing, counted);
    int64_t found = counted ? count_found(listing, connection, &fault) : -1;

    if (found >= 0)
        rows = listing->group_by
                   ? letters_group(connection, &listing->filter, listing->group_by, listing->limit, &fault)
                   : letters_select(connection, &listing->filter, LETTERS_NEWEST, listing->limit, &fault);
    if (rows)
        (invocation->json ? print_json : print_text)(listing, rows, found, &out);
    int code = operator_end(invocation, false, rows != NULL, &out, &fault);
    return code == 0 && listing->check && found > 0 ? OPERATOR_SOMETHING : code;
}

static int run_list(struct invocation *invocation)
{
    static const char *const groups[] = { "cause", "type", "key" };
    static const char *const more_states[] = { "open", "redriving", "resolved", "replaced", "discarded", "all" };
    struct listing listing = { .invocation = invocation };
    struct letter_filter *filter = &listing.filter;
    const char *limit = NULL;
    char since[VERB_TIME_TEXT_MAX], before[VERB_TIME_TEXT_MAX];
    const struct verb_option options[] = {
        { "--state", &filter->state, NULL },
        { "--cause", &filter->cause, NULL },
        { "--key", &filter->key, NULL },
        { "--type", &filter->type, NULL },
        { "--topic", &filter->topic, NULL },
        { "--since", &filter->since, NULL },
        { "--before", &filter->before, NULL },
        { "--group-by", &listing.group_by, NULL },
        { "--limit", &limit, NULL },
        { "--check", NULL, &listing.check },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, options, dlq_usage) || !dlq_take_letters(invocation, filter))
        return 1;
    int code = 1;
    if ((!filter->state || is_one_of("--state", filter->state, more_states, STATE_COUNT + 1)) &&
        (!listing.group_by || is_one_of("--group-by", listing.group_by, groups, 3)) &&
        read_limit(limit, &listing.limit) && verb_read_time("dlq list", "--since", &filter->since, since) &&
        verb_read_time("dlq list", "--before", &filter->before, before))
    {
        if (filter->state == NULL && filter->topics.size == 0)
            filter->state = "open";
        else if (filter->state && strcmp(filter->state, "all") == 0)
            filter->state = NULL;
        code = list_letters(&listing);
    }
    letter_filter_done(filter);
    return code;
}

/* --- discard, restore -------------------------------------------------------------------------------------------- */

struct move
{
    const char *from, *to;
    const char *would, *did; /* "would be discarded", "discarded" */
};

static void print_moved(const struct invocation *invocation, const struct intent *intent, const struct move *move,
                        int64_t count, int64_t action, struct buffer *out)
{
    bool json = invocation->json;

    buffer_add_text(out, json ? "{\"executed\":" : "");
    buffer_add_text(out, !json ? "" : action > 0 ? "true,\"action\":" : "false,\"letters\":");
    if (action > 0)
    {
        buffer_add_text(out, json ? "" : "action ");
        buffer_add_int64(out, action);
        buffer_add_text(out, json ? ",\"letters\":" : " by ");
        if (!json)
            dlq_add_shown(out, intent->actor);
        buffer_add_text(out, json ? "" : ": ");
    }
    buffer_add_int64(out, count);
    if (!json)
    {
        buffer_add_text(out, count == 1 ? " letter " : " letters ");
        buffer_add_text(out, action > 0 ? move->did : move->would);
    }
    if (action == 0 && count > 0)
    {
        struct buffer to_do = BUFFER_EMPTY;
        operator_add_to_do(&to_do, invocation, intent, count);
        buffer_add_text(out, json ? ",\"to_do\":" : "\nto do it:\n  ");
        if (json)
            buffer_add_json_string(out, buffer_span(&to_do));
        else
            buffer_add_span(out, buffer_span(&to_do));
        buffer_done(&to_do);
    }
    buffer_add_text(out, json ? "}\n" : "\n");
}

/* False: nothing was done. */
static bool move_letters(struct invocation *invocation, struct intent *intent, struct letter_filter *filter,
                         const struct move *move, struct buffer *out, struct buffer *fault)
{
    QUERY_CONNECTION connection = operator_connect(invocation, intent->execute, fault);
    int64_t action = 0, count = -1;

    if (!connection || !operator_note_now(intent, connection, fault))
        return false;
    filter->before = intent->before_text;
    if (intent->execute)
    {
        QUERY_RESULT begun = query_run(connection, "BEGIN", 0, NULL, fault);
        action = begun ? operator_begin_act(intent, connection, invocation->argv[0], fault) : -1;
        count = action > 0 ? letters_move(connection, filter, move->to, move->did, action, fault) : -1;
        if (count == 0 && intent->expected != 0)
            buffer_add_text(fault, "no letter matches: nothing was done");
        if (count <= 0 || !operator_agrees(intent, count, fault) || !query_commit(connection, fault))
            return false;
    }
    else
        count = letters_count_filtered(connection, filter, fault);
    if (count < 0)
        return false;
    print_moved(invocation, intent, move, count, action, out);
    return true;
}

static int run_move(struct invocation *invocation, const struct move *move)
{
    struct intent intent = INTENT_EMPTY;
    struct letter_filter filter = { .state = move->from };
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    char since[VERB_TIME_TEXT_MAX];
    const struct verb_option options[] = {
        { "--cause", &filter.cause, NULL }, { "--key", &filter.key, NULL },     { "--type", &filter.type, NULL },
        { "--topic", &filter.topic, NULL }, { "--since", &filter.since, NULL }, { NULL, NULL, NULL },
    };
    bool good = operator_parse(invocation, &intent, options, dlq_usage) && dlq_take_letters(invocation, &filter) &&
                verb_read_time(invocation->argv[0], "--since", &filter.since, since) &&
                operator_check_filter(invocation, &intent, letter_filter_is_given(&filter), dlq_usage);
    int code = OPERATOR_NOT_DONE;

    if (good)
    {
        bool moved = move_letters(invocation, &intent, &filter, move, &out, &fault);
        code = operator_end(invocation, intent.execute, moved, &out, &fault);
    }
    letter_filter_done(&filter);
    operator_done(&intent);
    return code;
}

static int run_discard(struct invocation *invocation)
{
    static const struct move move = { "open", "discarded", "would be discarded; dlq restore opens them again",
                                      "discarded" };
    return run_move(invocation, &move);
}

static int run_restore(struct invocation *invocation)
{
    static const struct move move = { "discarded", "open", "would be open again", "restored" };
    return run_move(invocation, &move);
}

int verb_dlq(struct invocation *invocation)
{
    static char list[] = "dlq list", show[] = "dlq show", redrive[] = "dlq redrive", discard[] = "dlq discard",
                restore[] = "dlq restore";
    static const struct verb_part parts[] = {
        { "list", list, run_list },          { "show", show, dlq_show },          { "redrive", redrive, dlq_redrive },
        { "discard", discard, run_discard }, { "restore", restore, run_restore }, { NULL, NULL, NULL },
    };
    return verb_run_part(invocation, parts, dlq_usage);
}
