/* interlock pause | pause list: commands that are not to be applied for a while (PROTOCOL L5,
 * worker/admin/pause.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/admin/pause.h"
#include "worker/base/clock.h"
#include "worker/base/shown.h"
#include "worker/cli/operator.h"
#include "worker/cli/pause_shown.h"
#include "worker/postgres/query.h"
#include "worker/parking_room.h"
#include "workflows/parameters/parameters.h"

static const char usage[] =
    "usage: interlock pause --type T | --tenant T | --key K | --topic T | --partition T/N | --all\n"
    "                       --for 2h | --until T | --until-resumed [--order keep|pass] [--execute --reason TEXT]\n"
    "       interlock pause list [--ended] [--output json]\n"
    "\n"
    "Commands of a type, a tenant or an aggregate's key are parked until it ends, and their partitions go on. Of a "
    "topic,\n"
    "a partition, or everything (--all) nothing is read until it ends.\n"
    "exit 0: in force everywhere; 2: not yet, after --wait; the rest is named; 1: not done\n"
    "\n"
    "  --for 2h, --until T   it ends by itself then, by PostgreSQL's clock\n"
    "  --until-resumed       it ends by `interlock resume` alone\n"
    "  --order keep          later commands of the same aggregate wait behind a paused one (default)\n"
    "  --order pass          they go on\n"
    "  --wait 30s            how long to wait until it is in force everywhere\n"
    "  --execute             do it; without it, what would be paused is shown\n"
    "  --reason TEXT         why: everybody sees it where the effect is seen\n"
    "  --as NAME             who; default: INTERLOCK_OPERATOR, SUDO_USER, the login name\n"
    "  --expect N            with --all: the number of partitions, as the dry run prints it\n";

static const int64_t wait_default_us = 30000000, wait_max_us = 3600000000, for_max_us = 366 * INT64_C(86400000000);

enum
{
    TARGET_MAX = 512,
    ID_DIGITS_MAX = 9,
};

/* --- the command line -------------------------------------------------------------------------------------------- */

struct pause_words
{
    const char *type, *tenant, *key, *topic, *partition, *length, *until, *order, *wait;
    bool until_resumed;
    char until_text[VERB_TIME_TEXT_MAX];
    char key_text[AGGREGATE_KEY_MAX];
    int64_t wait_us;
};

static bool is_known_type(const char *type)
{
    for (int i = 0; workflows[i]; i++)
        if (strcmp(workflows[i]->type, type) == 0)
            return true;
    return false;
}

/* One scope, as it is compared with commands. */
static bool read_scope(struct pause_words *words, bool all, struct pause_request *ret)
{
    const struct
    {
        const char *scope, *target;
    } given[] = { { "type", words->type },   { "tenant", words->tenant },       { "key", words->key },
                  { "topic", words->topic }, { "partition", words->partition }, { "all", all ? "" : NULL } };
    struct aggregate aggregate;
    int count = 0;

    for (size_t i = 0; i < sizeof(given) / sizeof(*given); i++)
        if (given[i].target)
        {
            ret->scope = given[i].scope;
            ret->target = given[i].target;
            count++;
        }
    if (count != 1)
        return verb_usage_error(usage, "pause: what? One of --type, --tenant, --key, --topic, --partition, --all") == 0;
    if (strlen(ret->target) > TARGET_MAX || (*ret->target == '\0' && !all))
        return verb_usage_error(usage, "pause: --%s: a text of 1 to %d bytes", ret->scope, TARGET_MAX) == 0;
    if (words->type && !is_known_type(words->type))
        return verb_usage_error(usage, "pause: --type %s: there is no such type; see interlock describe types",
                                words->type) == 0;
    if (words->key && !aggregate_parse(span_of(words->key), &aggregate))
        return verb_usage_error(usage, "pause: --key %s: accepted is a key such as ticket/42", words->key) == 0;
    if (words->key)
    {
        words->key_text[aggregate_print(aggregate, words->key_text)] = '\0';
        ret->target = words->key_text;
    }
    const char *slash = words->partition ? strrchr(words->partition, '/') : NULL;
    if (words->partition && (slash == NULL || slash == words->partition || !verb_is_number(slash + 1, ID_DIGITS_MAX)))
        return verb_usage_error(usage, "pause: --partition %s: accepted is TOPIC/NUMBER", words->partition) == 0;
    return true;
}

static bool read_end(struct pause_words *words, struct pause_request *ret)
{
    if ((words->length != NULL) + (words->until != NULL) + words->until_resumed != 1)
        return verb_usage_error(usage, "pause: until when? One of --for, --until, --until-resumed") == 0;
    if (words->length &&
        (!settings_parse_duration(words->length, &ret->for_us) || ret->for_us <= 0 || ret->for_us > for_max_us))
        return verb_usage_error(usage, "pause: --for %s: accepted is a time such as 30min, 2h", words->length) == 0;
    if (words->until && !parameters_parse_time(span_of(words->until), &(int64_t){ 0 }))
        return verb_usage_error(usage, "pause: --until %s: accepted is a time such as 2026-11-24T09:00:00Z",
                                words->until) == 0;
    ret->ends_at = words->until;
    if (words->order && strcmp(words->order, "keep") != 0 && strcmp(words->order, "pass") != 0)
        return verb_usage_error(usage, "pause: --order %s: accepted are keep, pass", words->order) == 0;
    ret->keeps_order = words->order == NULL || strcmp(words->order, "keep") == 0;
    words->wait_us = wait_default_us;
    if (words->wait && (!settings_parse_duration(words->wait, &words->wait_us) || words->wait_us > wait_max_us))
        return verb_usage_error(usage, "pause: --wait %s: accepted is a time up to 1h", words->wait) == 0;
    return true;
}

static bool stops_partitions(const struct pause_request *request)
{
    return strcmp(request->scope, "all") == 0 || strcmp(request->scope, "topic") == 0 ||
           strcmp(request->scope, "partition") == 0;
}

/* --- the dry run ------------------------------------------------------------------------------------------------- */

static void add_share(int64_t matching, int64_t all, struct buffer *into)
{
    char percent[32];

    if (matching < 0)
    {
        buffer_add_text(into, "the share of the last hour's commands is not known: the audit does not hold tenants\n");
        return;
    }
    snprintf(percent, sizeof(percent), "%.1f %%", all > 0 ? 100.0 * (double)matching / (double)all : 0.0);
    buffer_add_text(into, "of the last hour's commands ");
    buffer_add_int64(into, matching);
    buffer_add_text(into, " of ");
    buffer_add_int64(into, all);
    buffer_add_text(into, " match (");
    buffer_add_text(into, percent);
    buffer_add_text(into, ")\n");
}

static void add_dry_run(const struct invocation *invocation, const struct pause_request *request, int64_t matching,
                        int64_t all, int64_t waiting, int64_t partitions, struct buffer *out)
{
    int64_t room = PAUSE_COMMANDS_MAX - waiting;

    if (invocation->json)
    {
        buffer_add_text(out, "{\"executed\":false,\"scope\":");
        buffer_add_json_string(out, span_of(request->scope));
        buffer_add_text(out, ",\"target\":");
        buffer_add_json_string(out, span_of(request->target));
        buffer_add_text(out, ",\"last_hour\":{\"matching\":");
        if (matching < 0)
            buffer_add_text(out, "null,\"all\":null");
        else
        {
            buffer_add_int64(out, matching);
            buffer_add_text(out, ",\"all\":");
            buffer_add_int64(out, all);
        }
        buffer_add_text(out, "},\"partitions\":");
        buffer_add_int64(out, partitions);
        buffer_add_text(out, ",\"room_commands\":");
        buffer_add_int64(out, room > 0 ? room : 0);
        return;
    }
    buffer_add_text(out, "would be paused: ");
    pause_shown_name(request->scope, request->target, out);
    buffer_add_byte(out, '\n');
    add_share(matching, all, out);
    if (stops_partitions(request))
    {
        buffer_add_text(out, "partitions concerned: ");
        buffer_add_int64(out, partitions);
        buffer_add_byte(out, '\n');
        return;
    }
    buffer_add_text(out, "room for paused commands: ");
    buffer_add_int64(out, room > 0 ? room : 0);
    buffer_add_text(out, " of ");
    buffer_add_int64(out, PAUSE_COMMANDS_MAX);
    buffer_add_text(out, "; past it, or past worker.pause_bytes, their partitions stop\n");
}

static void add_to_do(const struct invocation *invocation, const struct intent *intent, int64_t partitions,
                      struct buffer *out)
{
    struct buffer line = BUFFER_EMPTY;

    buffer_add_text(&line, "interlock pause");
    if (invocation->config_file)
    {
        buffer_add_text(&line, " --config ");
        buffer_add_text(&line, invocation->config_file);
    }
    buffer_add_byte(&line, ' ');
    buffer_add_span(&line, buffer_span(&intent->words));
    if (intent->all)
    {
        buffer_add_text(&line, " --expect ");
        buffer_add_int64(&line, partitions);
    }
    buffer_add_text(&line, " --execute --reason \"...\"");
    buffer_add_text(out, invocation->json ? ",\"to_do\":" : "to do it:\n  ");
    if (invocation->json)
        buffer_add_json_string(out, buffer_span(&line));
    else
        buffer_add_span(out, buffer_span(&line));
    buffer_add_text(out, invocation->json ? "}\n" : "\n");
    buffer_done(&line);
}

static int look(const struct invocation *invocation, const struct intent *intent, const struct pause_request *request)
{
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    int64_t matching, all;
    bool good = connection && pause_share(connection, request, &matching, &all, &fault);
    int64_t waiting = good ? pause_waiting(connection, &fault) : -1;
    int64_t partitions = waiting >= 0 ? pause_partitions(connection, request, &fault) : -1;

    if (partitions >= 0)
    {
        add_dry_run(invocation, request, matching, all, waiting, partitions, &out);
        add_to_do(invocation, intent, partitions, &out);
    }
    return operator_end(invocation, false, partitions >= 0, &out, &fault);
}

/* --- pausing ----------------------------------------------------------------------------------------------------- */

/* One transaction. Returns the pause's id; 0 or -1: nothing was done, said in *fault. */
static int64_t begin_pause(PGconn *connection, const struct intent *intent, const struct pause_request *request,
                           int64_t *ret_action, struct buffer *fault)
{
    char subject[32];
    int64_t other = 0;
    QUERY_RESULT begun = query_run(connection, TRANSACTION_BEGIN, 0, NULL, fault);
    int64_t partitions = begun && intent->all ? pause_partitions(connection, request, fault) : 0;

    if (begun == NULL || partitions < 0 || (intent->all && !operator_agrees(intent, partitions, fault)))
        return -1;
    *ret_action = operator_begin_act(intent, connection, "pause", fault);
    int64_t id = *ret_action > 0 ? pause_insert(connection, request, *ret_action, &other, fault) : -1;
    if (id == 0)
    {
        buffer_add_text(fault, "pause ");
        buffer_add_int64(fault, other);
        buffer_add_text(fault, " of the same is in force: resume it first");
    }
    if (id <= 0)
        return -1;
    snprintf(subject, sizeof(subject), "pause %lld", (long long)id);
    return operator_action_add_item(connection, *ret_action, subject, "paused", fault) &&
                   query_commit(connection, fault)
               ? id
               : -1;
}

/* Waits until it is in force everywhere; else *ret_left says who has not obeyed yet. -1: not known. */
static int await_force(PGconn *connection, const struct pause_request *request, int64_t id, int64_t wait_us,
                       struct buffer *ret_left, struct buffer *fault)
{
    const struct timespec rest = { .tv_nsec = 10000000 };
    int64_t until_us = monotonic_us() + wait_us;
    QUERY_RESULT begun = pause_older_begin(connection, fault);

    for (;;)
    {
        QUERY_RESULT older = begun ? pause_older(connection, begun, fault) : NULL;
        QUERY_RESULT owners = older && stops_partitions(request) ? pause_owners(connection, id, fault) : NULL;
        if (older == NULL || (owners == NULL && stops_partitions(request)))
            return -1;
        int left = PQntuples(older) + (owners ? PQntuples(owners) : 0);
        if (left == 0 || monotonic_us() >= until_us)
        {
            for (int row = 0; row < PQntuples(older); row++)
            {
                buffer_add_text(ret_left, ret_left->size > 0 ? ", pid " : "pid ");
                buffer_add_text(ret_left, PQgetvalue(older, row, 0));
                buffer_add_byte(ret_left, ' ');
                shown_add(ret_left, span_of(PQgetvalue(older, row, 1)));
            }
            for (int row = 0; owners && row < PQntuples(owners); row++)
            {
                buffer_add_text(ret_left, ret_left->size > 0 ? ", " : "");
                shown_add(ret_left, span_of(PQgetvalue(owners, row, 0)));
                buffer_add_text(ret_left, " (slot ");
                buffer_add_text(ret_left, PQgetvalue(owners, row, 1));
                buffer_add_byte(ret_left, ')');
            }
            return left;
        }
        nanosleep(&rest, NULL);
    }
}

static void add_paused(const struct invocation *invocation, const struct intent *intent,
                       const struct pause_request *request, int64_t id, int64_t action, const struct buffer *left,
                       struct buffer *out)
{
    if (invocation->json)
    {
        buffer_add_text(out, "{\"executed\":true,\"pause\":");
        buffer_add_int64(out, id);
        buffer_add_text(out, ",\"action\":");
        buffer_add_int64(out, action);
        buffer_add_text(out, left->size > 0 ? ",\"in_force\":false,\"left\":" : ",\"in_force\":true,\"left\":");
        buffer_add_json_string(out, left->size > 0 ? buffer_span(left) : SPAN_NULL);
        buffer_add_text(out, "}\n");
        return;
    }
    buffer_add_text(out, "pause ");
    buffer_add_int64(out, id);
    buffer_add_text(out, " by ");
    shown_add(out, span_of(intent->actor));
    buffer_add_text(out, ": ");
    pause_shown_name(request->scope, request->target, out);
    if (left->size == 0)
        buffer_add_text(out, " is paused, in force everywhere\n");
    else
    {
        buffer_add_text(out, " is paused, but not obeyed yet by: ");
        buffer_add_span(out, buffer_span(left));
        buffer_add_text(out, "\nit is in force everywhere when these have ended\n");
    }
    buffer_add_text(out, "to end it: interlock resume ");
    buffer_add_int64(out, id);
    buffer_add_byte(out, '\n');
}

static int execute(const struct invocation *invocation, const struct intent *intent,
                   const struct pause_request *request, int64_t wait_us)
{
    struct buffer out = BUFFER_EMPTY, left = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = operator_connect(invocation, true, &fault);
    int64_t action = 0, id = connection ? begin_pause(connection, intent, request, &action, &fault) : -1;
    int code = OPERATOR_NOT_DONE;

    if (id > 0)
    {
        int waits = wait_us > 0 ? await_force(connection, request, id, wait_us, &left, &fault) : 0;
        if (waits < 0)
            buffer_add_text(&left, "not known");
        add_paused(invocation, intent, request, id, action, &left, &out);
        code = verb_print(invocation, &out);
        code = code == OPERATOR_DONE && waits != 0 ? OPERATOR_STOPPED : code;
    }
    if (fault.size > 0)
    {
        operator_fail_with(invocation, true, &fault);
        code = id > 0 ? OPERATOR_STOPPED : OPERATOR_NOT_DONE;
    }
    buffer_done(&out);
    buffer_done(&left);
    buffer_done(&fault);
    return code;
}

/* --- pause list -------------------------------------------------------------------------------------------------- */

static int run_list(struct invocation *invocation)
{
    bool ended = false;
    const struct verb_option options[] = { { "--ended", NULL, &ended }, { NULL, NULL, NULL } };
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;

    if (!verb_parse_options(invocation, options, usage))
        return OPERATOR_NOT_DONE;
    if (invocation->argc > 1)
        return verb_usage_error(usage, "pause list takes no operands");
    QUERY_CONNECTION connection = operator_connect(invocation, false, &fault);
    QUERY_RESULT rows = connection ? pause_list(connection, ended, NULL, &fault) : NULL;
    if (rows)
    {
        buffer_add_text(&out, invocation->json ? "{\"pauses\":[" : PQntuples(rows) == 0 ? "nothing is paused\n" : "");
        for (int row = 0; row < PQntuples(rows); row++)
        {
            buffer_add_text(&out, !invocation->json ? "" : row > 0 ? ",\n" : "\n");
            if (invocation->json)
                pause_shown_json(rows, row, &out);
            else
                pause_shown_text(rows, row, &out);
        }
        buffer_add_text(&out, invocation->json ? "]}\n" : "");
    }
    return operator_end(invocation, false, rows != NULL, &out, &fault);
}

int verb_pause(struct invocation *invocation)
{
    static char list[] = "pause list";
    struct intent intent = INTENT_EMPTY;
    struct pause_words words = { .type = NULL };
    struct pause_request request = { .scope = NULL };
    const struct verb_option options[] = {
        { "--type", &words.type, NULL },
        { "--tenant", &words.tenant, NULL },
        { "--key", &words.key, NULL },
        { "--topic", &words.topic, NULL },
        { "--partition", &words.partition, NULL },
        { "--for", &words.length, NULL },
        { "--until", &words.until, NULL },
        { "--until-resumed", NULL, &words.until_resumed },
        { "--order", &words.order, NULL },
        { "--wait", &words.wait, NULL },
        { NULL, NULL, NULL },
    };
    int code = OPERATOR_NOT_DONE;

    if (invocation->argc > 1 && strcmp(invocation->argv[1], "list") == 0)
    {
        struct invocation inner = *invocation;
        inner.argc--;
        inner.argv++;
        inner.argv[0] = list;
        return run_list(&inner);
    }
    if (operator_parse(invocation, &intent, options, usage))
    {
        if (invocation->argc > 1)
            verb_usage_error(usage, "pause: unknown argument %s", invocation->argv[1]);
        else if (read_scope(&words, intent.all, &request) && read_end(&words, &request))
            code = intent.execute ? execute(invocation, &intent, &request, words.wait_us)
                                  : look(invocation, &intent, &request);
    }
    operator_done(&intent);
    return code;
}
