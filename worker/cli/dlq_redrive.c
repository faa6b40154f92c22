/* interlock dlq redrive: dead letters go back to the pool, as parked commands. First each is decided in a child process;
 * what would end dead again, or is answered, is left out. */
#include "worker/cli/dlq_redrive.h"

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumers/message/delivery_pool.h"
#include "worker/postgres/query.h"
#include "worker/settings/settings.h"

static const size_t BYTES_MAX = 256u << 20; /* of all letters: they are kept in memory until they are put back */

enum
{
    LETTERS_MAX = 10000,
    TOLD_MAX = 100, /* letters printed one by one; the rest is counted */
    FILE_MAX = 16 << 20,
};

/* --- looking ----------------------------------------------------------------------------------------------------- */

static void leave_out(struct redrive *redrive, int i, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void leave_out(struct redrive *redrive, int i, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(redrive->candidates[i].why, sizeof(redrive->candidates[i].why), format, arguments);
    va_end(arguments);
}

static bool is_left_out(const struct redrive *redrive, int i)
{
    return *redrive->candidates[i].why != '\0';
}

static const char *field(const struct redrive *redrive, int i, int column)
{
    return query_text(redrive->rows, i, column);
}

static int redrives_of(const struct redrive *redrive, int i)
{
    return (int)strtol(PQgetvalue(redrive->rows, i, LETTER_REDRIVES), NULL, 10);
}

/* The judgement by the row alone. */
static void judge_row(struct redrive *redrive, int i)
{
    const char *state = field(redrive, i, LETTER_STATE), *action = field(redrive, i, LETTER_ACTION);

    if (strcmp(state, "open") != 0)
        leave_out(redrive, i, "%s%s%s", state, action ? " by action " : "", action ? action : "");
    else if (!redrive->with && redrives_of(redrive, i) >= redrive->max_redrives)
        leave_out(redrive, i, "redriven %d times already: %s = %d; --max-redrives N allows more",
                  redrives_of(redrive, i), redrive->max_redrives_given ? "--max-redrives" : "dlq.max_redrives",
                  redrive->max_redrives);
}

static bool select_letters(struct redrive *redrive, PGconn *connection, struct buffer *fault)
{
    redrive->rows = letters_select(connection, &redrive->filter, LETTERS_IN_TOPIC, LETTERS_MAX + 1, fault);
    if (redrive->rows == NULL)
        return false;
    redrive->count = PQntuples(redrive->rows);
    if (redrive->count > LETTERS_MAX)
    {
        buffer_add_text(fault, "more than 10000 letters: give a narrower filter");
        return false;
    }
    redrive->candidates = calloc((size_t)redrive->count + 1, sizeof(*redrive->candidates));
    redrive->bytes = calloc((size_t)redrive->count + 1, sizeof(*redrive->bytes));
    redrive->tried = calloc((size_t)redrive->count + 1, sizeof(struct delivery *));
    if (redrive->candidates == NULL || redrive->bytes == NULL || redrive->tried == NULL)
    {
        buffer_add_text(fault, "out of memory");
        return false;
    }
    for (int i = 0; i < redrive->count; i++)
        judge_row(redrive, i);
    return true;
}

/* The messages of the letters that are not left out, as they would be parked. */
static bool read_bytes(struct redrive *redrive, struct buffer *fault)
{
    int wanted = 0;
    bool full = false;

    for (int i = 0; i < redrive->count; i++)
        if (!is_left_out(redrive, i))
        {
            dlq_place_letter(redrive->rows, i, &redrive->bytes[wanted]);
            redrive->candidates[wanted++].of_bytes = i;
        }
    if (wanted > 0 && !letter_bytes_read(redrive->invocation->settings, redrive->pool, redrive->bytes, wanted,
                                         BYTES_MAX, &full, fault))
        return false;
    if (full)
    {
        buffer_add_text(fault, "more than 256 MiB in these letters: give a narrower filter");
        return false;
    }
    for (int n = 0; n < wanted; n++)
    {
        int i = redrive->candidates[n].of_bytes;
        struct letter_bytes *bytes = &redrive->bytes[n];
        if (bytes->place == LETTER_NOWHERE)
            leave_out(redrive, i, "its bytes are gone from both topics");
        else if (bytes->place == LETTER_CUT && !redrive->with)
            leave_out(redrive, i, "its bytes are cut: it was too long for the topic");
        else
        {
            redrive->candidates[i].returned = letter_bytes_returned(redrive->pool, bytes->delivery, redrive->with_value,
                                                                    redrive->with ? field(redrive, i, LETTER_ID) : NULL,
                                                                    redrives_of(redrive, i) + 1, redrive->no_child);
            if (redrive->candidates[i].returned == NULL)
                buffer_add_text(fault, "out of memory");
        }
        if (bytes->delivery)
            delivery_pool_give_back(redrive->pool, bytes->delivery);
    }
    return fault->size == 0;
}

/* --- trying ------------------------------------------------------------------------------------------------------ */

static void judge_trial(struct redrive *redrive, int i)
{
    struct candidate *candidate = &redrive->candidates[i];
    const struct trial_result *trial = candidate->trial;

    switch (trial->kind)
    {
    case TRIAL_READ:
    case TRIAL_DECIDED:
        return;
    case TRIAL_NOT_RUN:
        leave_out(redrive, i, "not tried");
        return;
    case TRIAL_WAITS:
        leave_out(redrive, i, "its notbefore has not come");
        return;
    case TRIAL_REPEATED:
        leave_out(redrive, i, "the same command as an earlier letter here");
        return;
    case TRIAL_UNREADABLE:
        leave_out(redrive, i, "%s: %s", redrive->with ? "the copy cannot be read" : "still unreadable", trial->says);
        return;
    case TRIAL_UNDECIDED:
        leave_out(redrive, i, "could not be decided here: %s", trial->says);
        return;
    case TRIAL_ENDS:
        leave_out(redrive, i, "still ends the program (%s)", trial->says);
        return;
    }
}

static bool try_letters(struct redrive *redrive, struct buffer *fault)
{
    int wanted = 0;

    for (int i = 0; i < redrive->count; i++)
    {
        struct candidate *candidate = &redrive->candidates[i];
        if (candidate->returned == NULL)
            continue;
        candidate->partition = (struct partition){
            .partition_id = (int32_t)strtol(field(redrive, i, LETTER_PARTITION_ID), NULL, 10),
            .topic = span_of(field(redrive, i, LETTER_TOPIC)),
            .number = (int32_t)strtol(field(redrive, i, LETTER_PARTITION), NULL, 10),
        };
        candidate->returned->partition = &candidate->partition;
        redrive->tried[wanted++] = candidate->returned;
    }
    redrive->tried_count = wanted;
    if (wanted == 0)
        return true;
    redrive->results =
        trials_run(redrive->invocation->settings, "dlq redrive", redrive->tried, wanted, !redrive->no_child, fault);
    if (redrive->results == NULL)
        return false;
    for (int i = 0, n = 0; i < redrive->count; i++)
        if (redrive->candidates[i].returned)
        {
            redrive->candidates[i].trial = &redrive->results[n++];
            judge_trial(redrive, i);
        }
    return true;
}

/* The judgement by what PostgreSQL knows of the commands. A copy must be another command than its letter, and than any that is known. */
static bool judge_known(struct redrive *redrive, PGconn *connection, struct buffer *fault)
{
    char says[REDRIVE_SAYS_MAX];

    for (int i = 0; i < redrive->count; i++)
    {
        const struct trial_result *trial = redrive->candidates[i].trial;
        if (is_left_out(redrive, i))
            continue;
        assert(trial); /* a candidate that is not left out was tried */
        if (!redrive_look(connection, trial->identity, trial->source, trial->id, says, fault))
            return false;
        const char *source = field(redrive, i, LETTER_SOURCE), *id = field(redrive, i, LETTER_COMMAND_ID);
        if (redrive->with && source && id && strcmp(source, trial->source) == 0 && strcmp(id, trial->id) == 0)
            leave_out(redrive, i, "the copy has the id of its letter: give it one of its own");
        else if (redrive->with && *says)
            leave_out(redrive, i, "the copy has the id of a command that is known: give it one of its own");
        else if (*says && strcmp(says, REDRIVE_KNOWN) != 0)
            leave_out(redrive, i, "%s", says);
        else
            redrive->good++;
    }
    return true;
}

bool redrive_look_at(struct redrive *redrive, PGconn *connection, struct buffer *fault)
{
    return select_letters(redrive, connection, fault) && read_bytes(redrive, fault) && try_letters(redrive, fault) &&
           judge_known(redrive, connection, fault);
}

/* --- telling ----------------------------------------------------------------------------------------------------- */

static void add_fate(struct buffer *into, const struct redrive *redrive, int i)
{
    const struct candidate *candidate = &redrive->candidates[i];
    char versions[64];

    if (is_left_out(redrive, i))
    {
        dlq_add_shown(into, candidate->why);
        buffer_add_text(into, ": left out");
        return;
    }
    if (candidate->trial->kind == TRIAL_READ)
    {
        buffer_add_text(into, "can be read; not decided (--no-child)");
        return;
    }
    buffer_add_text(into, "would be ");
    dlq_add_shown(into, candidate->trial->says);
    if (candidate->trial->has_versions && candidate->trial->version_from != candidate->trial->version_to)
    {
        snprintf(versions, sizeof(versions), ", version %lld->%lld", (long long)candidate->trial->version_from,
                 (long long)candidate->trial->version_to);
        buffer_add_text(into, versions);
    }
}

static bool add_applied(struct buffer *into, const struct redrive *redrive, int i, PGconn *connection,
                        struct buffer *fault)
{
    const struct trial_result *trial = redrive->candidates[i].trial;

    if (is_left_out(redrive, i) || *trial->aggregate == '\0')
        return true;
    QUERY_RESULT applied =
        letters_applied_since(connection, trial->aggregate, field(redrive, i, LETTER_FAILED_AT), fault);
    if (applied == NULL)
        return false;
    if (strcmp(PQgetvalue(applied, 0, 0), "0") == 0)
        return true;
    buffer_add_text(into, "; ");
    buffer_add_text(into, PQgetvalue(applied, 0, 0));
    buffer_add_text(into, " of ");
    buffer_add_text(into, trial->aggregate);
    buffer_add_text(into, " applied since it failed (versions ");
    buffer_add_text(into, PQgetvalue(applied, 0, 1));
    buffer_add_text(into, "-");
    buffer_add_text(into, PQgetvalue(applied, 0, 2));
    buffer_add_text(into, ")");
    return true;
}

static void add_json_fate(struct buffer *out, const struct redrive *redrive, int i)
{
    struct buffer fate = BUFFER_EMPTY;

    buffer_add_text(out, i > 0 ? ",\n{" : "\n{");
    dlq_add_json(out, "letter", field(redrive, i, LETTER_ID), false, true);
    dlq_add_json(out, "key", field(redrive, i, LETTER_KEY), false, false);
    dlq_add_json(out, "left_out", is_left_out(redrive, i) ? "true" : "false", true, false);
    if (is_left_out(redrive, i))
        buffer_add_text(&fate, redrive->candidates[i].why);
    else
        add_fate(&fate, redrive, i);
    buffer_add_text(out, ",\"says\":");
    buffer_add_json_string(out, buffer_span(&fate));
    buffer_add_text(out, "}");
    buffer_done(&fate);
}

static void print_json(const struct redrive *redrive, struct buffer *out)
{
    struct buffer to_do = BUFFER_EMPTY;

    buffer_add_text(out, "{\"executed\":false,\"found\":");
    buffer_add_int64(out, redrive->count);
    buffer_add_text(out, ",\"good\":");
    buffer_add_int64(out, redrive->good);
    buffer_add_text(out, ",\"letters\":[");
    for (int i = 0; i < redrive->count; i++)
        add_json_fate(out, redrive, i);
    buffer_add_text(out, "\n],\"to_do\":");
    operator_add_to_do(&to_do, redrive->invocation, &redrive->intent, redrive->good);
    buffer_add_json_string(out, redrive->good > 0 ? buffer_span(&to_do) : SPAN_NULL);
    buffer_add_text(out, "}\n");
    buffer_done(&to_do);
}

static bool print_text(const struct redrive *redrive, PGconn *connection, struct buffer *out, struct buffer *fault)
{
    buffer_add_text(out, redrive->no_child ? "read here, in a child process; nothing was written\n"
                                           : "decided here against the rows of now, in a child process; nothing was "
                                             "written\n");
    for (int i = 0; i < redrive->count && i < TOLD_MAX; i++)
    {
        buffer_add_text(out, "  ");
        dlq_add_shown(out, field(redrive, i, LETTER_ID));
        buffer_add_text(out, "  ");
        dlq_add_shown(out, field(redrive, i, LETTER_KEY));
        buffer_add_text(out, "  ");
        add_fate(out, redrive, i);
        if (!add_applied(out, redrive, i, connection, fault))
            return false;
        buffer_add_text(out, "\n");
    }
    if (redrive->count > TOLD_MAX)
        buffer_add_text(out, "  ... the others: --output json\n");
    buffer_add_int64(out, redrive->count);
    buffer_add_text(out, redrive->count == 1 ? " letter: " : " letters: ");
    buffer_add_int64(out, redrive->good);
    buffer_add_text(out, " would be put back, ");
    buffer_add_int64(out, redrive->count - redrive->good);
    buffer_add_text(out, " left out\n");
    if (redrive->good == 0)
        return true;
    buffer_add_text(out, "order: within an aggregate as in the topic; not before what was applied meanwhile\n"
                         "to do it:\n  ");
    operator_add_to_do(out, redrive->invocation, &redrive->intent, redrive->good);
    buffer_add_text(out, "\n");
    return true;
}

static int run_dry(struct redrive *redrive, PGconn *connection, struct buffer *fault)
{
    struct buffer out = BUFFER_EMPTY;
    bool good = true;
    int code = OPERATOR_NOT_DONE;

    if (redrive->invocation->json)
        print_json(redrive, &out);
    else
        good = print_text(redrive, connection, &out, fault);
    if (good)
        code = verb_print(redrive->invocation, &out);
    buffer_done(&out);
    return code;
}

/* --- the verb ---------------------------------------------------------------------------------------------------- */

/* The edited copy. */
static bool read_file(struct redrive *redrive, struct buffer *fault)
{
    struct stat stat;
    int file = redrive->with ? open(redrive->with, O_RDONLY | O_CLOEXEC) : -1;

    if (redrive->with == NULL)
        return true;
    if (file >= 0 && fstat(file, &stat) == 0 && stat.st_size > 0 && stat.st_size <= FILE_MAX &&
        buffer_reserve(&redrive->with_bytes, (size_t)stat.st_size))
    {
        ssize_t size = read(file, redrive->with_bytes.at, (size_t)stat.st_size);
        redrive->with_bytes.size = size > 0 ? (size_t)size : 0;
    }
    if (file >= 0)
        close(file);
    redrive->with_value = buffer_span(&redrive->with_bytes);
    if (redrive->with_bytes.size > 0)
        return true;
    buffer_add_text(fault, redrive->with);
    buffer_add_text(fault, ": cannot be read, is empty, or has more than 16 MiB");
    return false;
}

static int run(struct redrive *redrive)
{
    struct buffer fault = BUFFER_EMPTY;
    int code = OPERATOR_NOT_DONE;
    QUERY_CONNECTION connection = NULL;

    redrive->pool = delivery_pool_new();
    if (redrive->pool && read_file(redrive, &fault))
        connection = operator_connect(redrive->invocation, redrive->intent.execute, &fault);
    if (connection && operator_note_now(&redrive->intent, connection, &fault))
    {
        redrive->filter.before = redrive->intent.before_text;
        if (redrive_look_at(redrive, connection, &fault))
            code = redrive->intent.execute ? redrive_execute(redrive, connection, &fault)
                                           : run_dry(redrive, connection, &fault);
    }
    if (code == OPERATOR_NOT_DONE)
        (void)operator_fail_with(redrive->invocation, redrive->intent.execute, &fault);
    buffer_done(&fault);
    return code;
}

static void end(struct redrive *redrive)
{
    for (int i = 0; redrive->candidates && i < redrive->count; i++)
        if (redrive->candidates[i].returned)
            delivery_pool_give_back(redrive->pool, redrive->candidates[i].returned);
    if (redrive->pool)
        delivery_pool_free(redrive->pool);
    trials_free(redrive->results, redrive->tried_count);
    PQclear(redrive->rows);
    free(redrive->candidates);
    free(redrive->bytes);
    free(redrive->tried);
    buffer_done(&redrive->with_bytes);
    letter_filter_done(&redrive->filter);
    operator_done(&redrive->intent);
}

/* "20/s" or "20" a second; *ret_every_us: between two. */
static bool read_rate(const char *text, int64_t *ret_every_us)
{
    char *rest = NULL;
    double rate = text ? strtod(text, &rest) : 0;

    *ret_every_us = 0;
    if (text == NULL)
        return true;
    if (rest == text || (*rest != '\0' && strcmp(rest, "/s") != 0) || !(rate >= 0.001 && rate <= 100000))
    {
        verb_tell("interlock: dlq redrive: --rate %s: accepted is a number a second, such as 20/s", text);
        return false;
    }
    *ret_every_us = (int64_t)(1000000 / rate);
    return true;
}

static bool read_number(const char *option, const char *text, int least, int *into)
{
    char *rest = NULL;
    long number = text ? strtol(text, &rest, 10) : 0;

    if (text == NULL)
        return true;
    if (rest == text || *rest != '\0' || number < least || number > LETTERS_MAX)
    {
        verb_tell("interlock: dlq redrive: %s %s: accepted is a number from %d to %d", option, text, least,
                  LETTERS_MAX);
        return false;
    }
    *into = (int)number;
    return true;
}

static bool check_options(struct redrive *redrive, const char *wait)
{
    struct invocation *invocation = redrive->invocation;

    redrive->wait_us = 60000000;
    if (wait && !settings_parse_duration(wait, &redrive->wait_us))
    {
        verb_tell("interlock: dlq redrive: --wait %s: accepted is a duration such as 60s", wait);
        return false;
    }
    if (redrive->with && (invocation->argc != 2 || redrive->no_child))
    {
        verb_usage_error(dlq_usage, "dlq redrive: --with takes one letter, and no --no-child");
        return false;
    }
    return operator_check_filter(invocation, &redrive->intent, letter_filter_is_given(&redrive->filter), dlq_usage);
}

int dlq_redrive(struct invocation *invocation)
{
    struct redrive redrive = { .invocation = invocation,
                               .intent = INTENT_EMPTY,
                               .max_redrives = (int)invocation->settings->dlq.max_redrives };
    struct letter_filter *filter = &redrive.filter;
    const char *rate = NULL, *canary = NULL, *wait = NULL, *max_redrives = NULL;
    char since[VERB_TIME_TEXT_MAX];
    const struct verb_option options[] = {
        { "--cause", &filter->cause, NULL },
        { "--key", &filter->key, NULL },
        { "--type", &filter->type, NULL },
        { "--topic", &filter->topic, NULL },
        { "--since", &filter->since, NULL },
        { "--canary", &canary, NULL },
        { "--rate", &rate, NULL },
        { "--keep-going", NULL, &redrive.keep_going },
        { "--wait", &wait, NULL },
        { "--with", &redrive.with, NULL },
        { "--no-child", NULL, &redrive.no_child },
        { "--max-redrives", &max_redrives, NULL },
        { NULL, NULL, NULL },
    };
    bool good = operator_parse(invocation, &redrive.intent, options, dlq_usage) &&
                dlq_take_letters(invocation, filter) &&
                verb_read_time("dlq redrive", "--since", &filter->since, since) && read_rate(rate, &redrive.every_us) &&
                read_number("--canary", canary, 1, &redrive.canary) &&
                read_number("--max-redrives", max_redrives, 0, &redrive.max_redrives) && check_options(&redrive, wait);
    redrive.max_redrives_given = max_redrives != NULL;
    filter->state =
        filter->topics.size > 0 ? NULL : "open"; /* of a letter that is named it is said why it is left out */
    int code = good ? run(&redrive) : OPERATOR_NOT_DONE;
    end(&redrive);
    return code;
}
