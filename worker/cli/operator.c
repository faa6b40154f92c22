#include "worker/cli/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/postgres/query.h"
#include "workflows/base/utf8.h"

enum
{
    OWN_MAX = 24,
    COMMON_COUNT = 6,
    DIGITS_MAX = 12,
};

static const char *const common_names[COMMON_COUNT] = {
    "--execute", "--reason", "--as", "--before", "--expect", "--all"
};

/* --- the command line -------------------------------------------------------------------------------------------- */

static bool is_plain(const char *word)
{
    return *word &&
           word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@+%")] == '\0';
}

static void add_word(struct buffer *into, const char *word)
{
    if (into->size > 0)
        buffer_add_byte(into, ' ');
    if (is_plain(word))
    {
        buffer_add_text(into, word);
        return;
    }
    buffer_add_byte(into, '\'');
    for (; *word; word++)
        if (*word == '\'')
            buffer_add_text(into, "'\\''");
        else
            buffer_add_byte(into, *word);
    buffer_add_byte(into, '\'');
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

static bool read_expected(struct operator* operator, const char * verb)
{
    if (operator->expect == NULL)
        return true;
    size_t digits = strspn(operator->expect, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX || operator->expect[digits] != '\0')
    {
        verb_tell("interlock: %s: --expect %s: accepted is the number that the dry run printed",
                  verb, operator->expect);
        return false;
    }
    operator->expected = strtoll(operator->expect, NULL, 10);
    return true;
}

static bool check_common(struct invocation *invocation, struct operator* operator, const char * usage)
{
    const char *verb = invocation->argv[0];

    if (!read_expected(operator, verb) || !verb_read_time(verb, "--before", &operator->before, operator->before_text))
        return false;
    if (operator->execute && operator->reason == NULL)
    {
        verb_usage_error(usage, "%s: --execute needs a --reason, which is recorded with the action", verb);
        return false;
    }
    if (operator->execute && operator->all && operator->expect == NULL)
    {
        verb_usage_error(usage, "%s: --all --execute needs --expect, the number that the dry run printed", verb);
        return false;
    }
    operator_actor(operator->as, operator->actor);
    return true;
}

bool operator_parse(struct invocation *invocation, struct operator* operator, const struct verb_option * own,
                    const char *usage)
{
    struct verb_option options[OWN_MAX + COMMON_COUNT + 1] = {
        { "--execute", NULL, &operator->execute }, { "--reason", &operator->reason, NULL },
          { "--as", &operator->as, NULL }, { "--before", &operator->before, NULL },
          { "--expect", &operator->expect, NULL },
          {
              "--all",
              NULL,
              &operator->all },
        };
    int count = COMMON_COUNT;

    for (const struct verb_option *option = own; option->name && count < OWN_MAX + COMMON_COUNT; option++)
        options[count++] = *option;
    keep_words(&operator->words, invocation);
    if (!verb_parse_options(invocation, options, usage) || !check_common(invocation, operator, usage))
        return false;
    keep_filter(&operator->filter, invocation, own, operator->all);
    if (!buffer_failed(&operator->words) && !buffer_failed(&operator->filter))
        return true;
    verb_fail(invocation, "out of memory");
    return false;
}

void operator_done(struct operator* operator)
{
    buffer_done(&operator->words);
    buffer_done(&operator->filter);
}

bool operator_check_filter(struct invocation *invocation, const struct operator* operator, bool filtered,
                           const char *usage)
{
    if (filtered != operator->all)
        return true;
    if (filtered)
        verb_usage_error(usage, "%s: --all and a filter exclude each other", invocation->argv[0]);
    else
        verb_usage_error(usage, "%s: which ones? Give a filter, or --all", invocation->argv[0]);
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

bool operator_note_now(struct operator* operator, PGconn * connection, struct buffer *reterr)
{
    if (operator->before)
        return true;
    QUERY_RESULT now = query_run(connection,
                                 "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', "
                                 "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
                                 0, NULL, reterr);
    if (now)
        snprintf(operator->before_text, sizeof(operator->before_text), "%s", PQgetvalue(now, 0, 0));
    return now != NULL;
}

void operator_add_to_do(struct buffer *into, const struct invocation *invocation, const struct operator* operator,
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
    if (operator->words.size> 0)
        buffer_add_byte(into, ' ');
    buffer_add_span(into, buffer_span(&operator->words));
    buffer_add_text(into, " --before ");
    buffer_add_text(into, operator->before_text);
    buffer_add_text(into, " --expect ");
    buffer_add_int64(into, count);
    buffer_add_text(into, " --execute --reason \"...\"");
}

bool operator_agrees(const struct operator* operator, int64_t count, struct buffer *reterr)
{
    char line[160];

    if (operator->expected<0 || operator->expected == count)
        return true;
    snprintf(line, sizeof(line), "%lld expected, and it would be %lld now: nothing was done; look without --execute",
             (long long)operator->expected, (long long)count);
    buffer_add_text(reterr, line);
    return false;
}

int64_t operator_begin_act(const struct operator* operator, PGconn * connection, const char *verb,
                           struct buffer *reterr)
{
    char expected[32];
    struct buffer filter = BUFFER_EMPTY;

    snprintf(expected, sizeof(expected), "%lld", (long long)operator->expected);
    buffer_add_span(&filter, buffer_span(&operator->filter));
    buffer_add_byte(&filter, '\0');
    struct operator_action action = { .verb = verb,
                                      .actor = operator->actor,
                                      .reason = operator->reason,
                                      .filter = buffer_failed(&filter) ? NULL : filter.at,
                                      .before = operator->before_text[0] ? operator->before_text : NULL,
                                      .expected = operator->expected >= 0 ? expected : NULL, };
    int64_t id = buffer_failed(&filter) ? -1 : operator_action_insert(connection, &action, reterr);
    buffer_done(&filter);
    return id;
}
