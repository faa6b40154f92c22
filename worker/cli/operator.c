#include "worker/cli/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/base/shell_word.h"
#include "worker/postgres/query.h"
#include "workflows/base/utf8.h"

enum
{
    OWN_MAX = 24,
    COMMON_COUNT = 6,
    DIGITS_MAX = 12,
    ANSWER_MAX = 256,
};

static const char *const common_names[COMMON_COUNT] = {
    "--execute", "--reason", "--as", "--before", "--expect", "--all"
};

/* --- the command line -------------------------------------------------------------------------------------------- */

static void add_word(struct buffer *into, const char *word)
{
    if (into->size > 0)
        buffer_add_byte(into, ' ');
    shell_word_add(into, word);
}

static bool names(const char *argument, const char *name)
{
    size_t size = strlen(name);
    return strncmp(argument, name, size) == 0 && (argument[size] == '\0' || argument[size] == '=');
}

/* Which of the common options it is; COMMON_COUNT: none of them. */
static int find_common(const char *argument)
{
    int i = 0;

    while (i < COMMON_COUNT && !names(argument, common_names[i]))
        i++;
    return i;
}

/* --all belongs to what was asked for. */
static void keep_words(struct buffer *into, const struct invocation *invocation)
{
    bool ended = false;

    for (int i = 1; i < invocation->argc; i++)
    {
        const char *argument = invocation->argv[i];
        int common = ended ? COMMON_COUNT : find_common(argument);
        bool takes_next = common > 0 && common < COMMON_COUNT - 1 && strchr(argument, '=') == NULL;

        ended = ended || strcmp(argument, "--") == 0;
        if (common >= COMMON_COUNT - 1)
            add_word(into, argument);
        else if (takes_next)
            i++;
    }
}

/* Bytes of the command line may be anything; JSON takes UTF-8. Control characters and bytes that are not UTF-8 are no
 * part of any name that a filter could match. */
static void add_text(struct buffer *into, const char *text)
{
    size_t room = 4 * strlen(text) + 4;
    char *copy = malloc(room);

    if (copy == NULL)
    {
        into->failed = true;
        return;
    }
    utf8_copy_line(copy, room, text);
    buffer_add_json_string(into, span_of(copy));
    free(copy);
}

static void keep_filter(struct buffer *into, const struct invocation *invocation, const struct verb_option *own,
                        bool all)
{
    bool any = all;

    buffer_add_text(into, all ? "{\"all\":true" : "{");
    for (; own->name; own++)
    {
        bool given = own->ret_value ? *own->ret_value != NULL : *own->ret_switch;
        if (!given)
            continue;
        buffer_add_text(into, any ? ",\"" : "\"");
        buffer_add_text(into, own->name + 2);
        buffer_add_text(into, "\":");
        if (own->ret_value)
            add_text(into, *own->ret_value);
        else
            buffer_add_text(into, "true");
        any = true;
    }
    for (int i = 1; i < invocation->argc; i++)
    {
        buffer_add_text(into, i > 1 ? "," : any ? ",\"operands\":[" : "\"operands\":[");
        add_text(into, invocation->argv[i]);
    }
    buffer_add_text(into, invocation->argc > 1 ? "]}" : "}");
}

/* --- parsing ----------------------------------------------------------------------------------------------------- */

static bool read_expected(struct intent *intent, const char *verb)
{
    if (intent->expect == NULL)
        return true;
    if (!verb_is_number(intent->expect, DIGITS_MAX))
    {
        verb_tell("interlock: %s: --expect %s: accepted is the number that the dry run printed", verb, intent->expect);
        return false;
    }
    intent->expected = strtoll(intent->expect, NULL, 10);
    return true;
}

static bool check_common(struct invocation *invocation, struct intent *intent, const char *usage)
{
    const char *verb = invocation->argv[0];

    if (!read_expected(intent, verb) || !verb_read_time(verb, "--before", &intent->before, intent->before_text))
        return false;
    if (intent->execute && intent->reason == NULL)
    {
        verb_usage_error(usage, "%s: --execute needs a --reason, which is recorded with the action", verb);
        return false;
    }
    if (intent->execute && intent->all && intent->expect == NULL)
    {
        verb_usage_error(usage, "%s: --all --execute needs --expect, the number that the dry run printed", verb);
        return false;
    }
    operator_actor(intent->as, intent->actor);
    return true;
}

bool operator_parse(struct invocation *invocation, struct intent *intent, const struct verb_option *own,
                    const char *usage)
{
    struct verb_option options[OWN_MAX + COMMON_COUNT + 1] = {
        { "--execute", NULL, &intent->execute }, { "--reason", &intent->reason, NULL }, { "--as", &intent->as, NULL },
        { "--before", &intent->before, NULL },   { "--expect", &intent->expect, NULL }, { "--all", NULL, &intent->all },
    };
    int count = COMMON_COUNT;

    for (const struct verb_option *option = own; option->name && count < OWN_MAX + COMMON_COUNT; option++)
        options[count++] = *option;
    keep_words(&intent->words, invocation);
    if (!verb_parse_options(invocation, options, usage) || !check_common(invocation, intent, usage))
        return false;
    keep_filter(&intent->filter, invocation, own, intent->all);
    if (!buffer_failed(&intent->words) && !buffer_failed(&intent->filter))
        return operator_may_act(invocation, intent->execute);
    verb_fail(invocation, "out of memory");
    return false;
}

void operator_done(struct intent *intent)
{
    buffer_done(&intent->words);
    buffer_done(&intent->filter);
}

bool operator_check_filter(struct invocation *invocation, const struct intent *intent, bool filtered, const char *usage)
{
    if (filtered != intent->all)
        return true;
    if (filtered)
        verb_usage_error(usage, "%s: --all and a filter exclude each other", invocation->argv[0]);
    else
        verb_usage_error(usage, "%s: which ones? Give a filter, or --all", invocation->argv[0]);
    return false;
}

/* --- the environment --------------------------------------------------------------------------------------------- */

static void tell_env(const struct invocation *invocation, const char *env)
{
    const char *no_color = getenv("NO_COLOR");
    bool red = isatty(STDERR_FILENO) == 1 && (no_color == NULL || *no_color == '\0');

    fprintf(stderr, "%sinterlock %s: env = %s: a dry run, nothing is changed%s\n", red ? "\x1b[1;31m" : "",
            invocation->argv[0], env, red ? "\x1b[0m" : "");
}

/* A script has said --execute once and for all: it is never asked. */
bool operator_may_act(const struct invocation *invocation, bool executes)
{
    const char *env = invocation->settings->operators.env;
    char answer[ANSWER_MAX] = "";

    if (*env == '\0' || (executes && (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)))
        return true;
    if (!executes)
    {
        tell_env(invocation, env);
        return true;
    }
    fprintf(stderr, "interlock %s: env = %s: type %s to go on: ", invocation->argv[0], env, env);
    fflush(stderr);
    if (fgets(answer, sizeof(answer), stdin) == NULL)
        fputc('\n', stderr);
    answer[strcspn(answer, "\r\n")] = '\0';
    if (strcmp(answer, env) == 0)
        return true;
    verb_fail(invocation, "the answer was not %s: nothing was done", env);
    return false;
}

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

PGconn *operator_connect(const struct invocation *invocation, bool writes, struct buffer *reterr)
{
    char application[64];

    snprintf(application, sizeof(application), "interlock %.40s", invocation->argv[0]);
    QUERY_CONNECTION connection =
        query_connect(invocation->settings, writes ? SESSION_WRITES : SESSION_READS, application, reterr);
    QUERY_RESULT ready = NULL;
    if (connection)
        ready = query_run_script(connection,
                                 writes ? "SET search_path = pg_catalog; SET statement_timeout = '60s';"
                                          " SET client_encoding = 'UTF8'"
                                        : "SET default_transaction_read_only = on; SET search_path = pg_catalog;"
                                          " SET statement_timeout = '60s'; SET client_encoding = 'UTF8'",
                                 "session", reterr);
    if (ready == NULL)
        return NULL;
    PGconn *open = connection;
    connection = NULL;
    return open;
}

int operator_fail_with(const struct invocation *invocation, bool acts, struct buffer *fault)
{
    operator_add_role(fault, acts ? "interlock_operator" : "interlock_reader");
    return verb_fail_with(invocation, fault);
}

int operator_end(const struct invocation *invocation, bool acts, bool good, struct buffer *out, struct buffer *fault)
{
    int code = good ? verb_print(invocation, out) : operator_fail_with(invocation, acts, fault);

    buffer_done(out);
    buffer_done(fault);
    return code;
}

bool operator_note_now(struct intent *intent, PGconn *connection, struct buffer *reterr)
{
    if (intent->before)
        return true;
    QUERY_RESULT now = query_run(connection,
                                 "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
                                 "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
                                 0, NULL, reterr);
    if (now)
        snprintf(intent->before_text, sizeof(intent->before_text), "%s", PQgetvalue(now, 0, 0));
    return now != NULL;
}

void operator_add_to_do(struct buffer *into, const struct invocation *invocation, const struct intent *intent,
                        int64_t count)
{
    buffer_add_text(into, "interlock ");
    buffer_add_text(into, invocation->argv[0]);
    if (invocation->config_file)
    {
        struct buffer config = BUFFER_EMPTY;
        add_word(&config, invocation->config_file);
        buffer_add_text(into, " --config ");
        buffer_add_span(into, buffer_span(&config));
        buffer_done(&config);
    }
    if (intent->words.size > 0)
        buffer_add_byte(into, ' ');
    buffer_add_span(into, buffer_span(&intent->words));
    buffer_add_text(into, " --before ");
    buffer_add_text(into, intent->before_text);
    buffer_add_text(into, " --expect ");
    buffer_add_int64(into, count);
    buffer_add_text(into, " --execute --reason \"...\"");
}

bool operator_agrees(const struct intent *intent, int64_t count, struct buffer *reterr)
{
    char line[160];

    if (intent->expected < 0 || intent->expected == count)
        return true;
    snprintf(line, sizeof(line), "%lld expected, and it would be %lld now: nothing was done; look without --execute",
             (long long)intent->expected, (long long)count);
    buffer_add_text(reterr, line);
    return false;
}

int64_t operator_begin_act(const struct intent *intent, PGconn *connection, const char *verb, struct buffer *reterr)
{
    char expected[32];
    struct buffer filter = BUFFER_EMPTY;

    snprintf(expected, sizeof(expected), "%lld", (long long)intent->expected);
    buffer_add_span(&filter, buffer_span(&intent->filter));
    buffer_add_byte(&filter, '\0');
    struct operator_action action = {
        .verb = verb,
        .actor = intent->actor,
        .reason = intent->reason,
        .filter = buffer_failed(&filter) ? NULL : filter.at,
        .before = intent->before_text[0] ? intent->before_text : NULL,
        .expected = intent->expected >= 0 ? expected : NULL,
    };
    int64_t id = buffer_failed(&filter) ? -1 : operator_action_insert(connection, &action, reterr);
    buffer_done(&filter);
    return id;
}
