/* The second half of `interlock dlq redrive`: one transaction puts the letters back, or two with a canary; then it waits
 * for their answers. Where the process ends meanwhile, what it put back comes back all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/base/progress.h"
#include "worker/cli/dlq_redrive.h"
#include "worker/postgres/query.h"

static const long LOOK_NS = 200000000;

struct report
{
    int64_t actions[2];
    int action_count;
    int64_t put, dead, left, taken_back;
    PGresult *outcomes[2];
};

/* --- putting back ------------------------------------------------------------------------------------------------ */

static bool put_back(struct redrive *redrive, PGconn *connection, int64_t action, int i, int64_t delay_us,
                     struct buffer *fault)
{
    const struct candidate *candidate = &redrive->candidates[i];
    struct redrive_letter letter = {
        .partition_id = PQgetvalue(redrive->rows, i, LETTER_PARTITION_ID),
        .offset = PQgetvalue(redrive->rows, i, LETTER_OFFSET),
        .digest = PQgetvalue(redrive->rows, i, LETTER_DIGEST),
        .fence = PQgetvalue(redrive->rows, i, LETTER_FENCE),
        .identity = candidate->trial->identity,
        .body_digest = candidate->trial->body_digest,
        .aggregate = candidate->trial->aggregate,
        .source = candidate->trial->source,
        .id = candidate->trial->id,
        .type = candidate->trial->type,
        .tenant = candidate->trial->tenant,
        .key = candidate->returned->key,
        .headers = candidate->returned->headers,
        .value = candidate->returned->value,
        .delay_us = delay_us,
        .edited = redrive->with != NULL,
    };
    struct buffer why = BUFFER_EMPTY;
    bool put = redrive_put_back(connection, action, &letter, &why);

    if (!put)
    {
        buffer_add_text(fault, PQgetvalue(redrive->rows, i, LETTER_ID));
        buffer_add_text(fault, ": ");
        buffer_add_span(fault, buffer_span(&why));
        buffer_add_text(fault, ": nothing was done");
    }
    buffer_done(&why);
    return put;
}

/* The good ones from number `from` on, at most `most`, in one transaction. Returns the action's id. */
static int64_t put_back_some(struct redrive *redrive, PGconn *connection, int from, int most, struct buffer *fault)
{
    QUERY_RESULT begun = query_run(connection, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL, fault);
    int64_t action = begun ? operator_begin_act(&redrive->intent, connection, "dlq redrive", fault) : -1;
    bool good = action > 0;

    for (int i = 0, number = 0; good && i < redrive->count; i++)
    {
        if (*redrive->candidates[i].why)
            continue;
        if (number >= from && number < from + most)
            good = put_back(redrive, connection, action, i, (number - from) * redrive->every_us, fault);
        number++;
    }
    if (good)
        FAULT_POINT(REDRIVE_PUT);
    if (good && query_commit(connection, fault))
    {
        FAULT_POINT(REDRIVE_COMMITTED);
        return action;
    }
    if (begun)
        PQclear(PQexec(connection, "ROLLBACK"));
    return -1;
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

static int64_t count_outcome(const PGresult *outcomes, const char *outcome)
{
    for (int row = 0; row < PQntuples(outcomes); row++)
        if (strcmp(PQgetvalue(outcomes, row, 0), outcome) == 0)
            return strtoll(PQgetvalue(outcomes, row, 1), NULL, 10);
    return 0;
}

/* Nothing that has not left yet follows one that ended the worker again. */
static bool take_back(struct redrive *redrive, PGconn *connection, int64_t of_action, struct report *report,
                      struct buffer *fault)
{
    struct intent stop = redrive->intent;
    char reason[96];

    snprintf(reason, sizeof(reason), "action %lld stopped at the first that is dead again", (long long)of_action);
    stop.reason = reason;
    stop.expected = -1;
    QUERY_RESULT begun = query_run(connection, "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL, fault);
    int64_t action = begun ? operator_begin_act(&stop, connection, "dlq redrive", fault) : -1;
    int64_t taken = action > 0 ? redrive_take_back(connection, action, of_action, fault) : -1;
    if (taken < 0 || !query_commit(connection, fault))
        return false;
    report->taken_back += taken;
    return true;
}

/* Until the deadline, or everything of the last action has its answer. */
static bool await_answers(struct redrive *redrive, PGconn *connection, struct report *report, int64_t until_us,
                          struct buffer *fault)
{
    int number = report->action_count - 1;
    int64_t action = report->actions[number];
    bool stopped = redrive->keep_going;

    for (;;)
    {
        PQclear(report->outcomes[number]);
        report->outcomes[number] = NULL;
        report->left = redrive_left(connection, action, &report->outcomes[number], fault);
        if (report->left < 0)
            return false;
        progress_count(report->put - report->left - report->taken_back, redrive->good);
        int64_t dead = count_outcome(report->outcomes[number], "dead again");
        if (dead > 0 && !stopped)
        {
            stopped = true;
            if (!take_back(redrive, connection, action, report, fault))
                return false;
            continue;
        }
        if (report->left == 0 || monotonic_us() >= until_us)
        {
            report->dead += dead;
            return true;
        }
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
    }
}

/* --- reporting --------------------------------------------------------------------------------------------------- */

/* The outcomes of both actions are told apart: each has its own line. */
static void print_text(const struct redrive *redrive, const struct report *report, struct buffer *out)
{
    for (int i = 0; i < report->action_count; i++)
    {
        const char *separator = ": ";
        buffer_add_text(out, "action ");
        buffer_add_int64(out, report->actions[i]);
        buffer_add_text(out, " by ");
        dlq_add_shown(out, redrive->intent.actor);
        for (int row = 0; row < PQntuples(report->outcomes[i]); row++, separator = ", ")
        {
            buffer_add_text(out, separator);
            buffer_add_text(out, PQgetvalue(report->outcomes[i], row, 1));
            buffer_add_text(out, " ");
            dlq_add_shown(out, query_text(report->outcomes[i], row, 0));
        }
        if (*separator == ':')
            buffer_add_text(out, ": no answer yet");
        buffer_add_text(out, "\n");
    }
    int64_t answered = report->put - report->left - report->dead - report->taken_back;
    buffer_add_int64(out, answered);
    buffer_add_text(out, " of ");
    buffer_add_int64(out, redrive->good);
    buffer_add_text(out, " answered");
    const struct
    {
        int64_t count;
        const char *says;
    } rest[] = { { report->dead, " dead again" },
                 { report->left, " not answered yet: interlock action show" },
                 { report->taken_back, " taken back" },
                 { redrive->good - report->put, " not put back" } };
    for (size_t i = 0; i < sizeof(rest) / sizeof(*rest); i++)
        if (rest[i].count > 0)
        {
            buffer_add_text(out, ", ");
            buffer_add_int64(out, rest[i].count);
            buffer_add_text(out, rest[i].says);
        }
    buffer_add_text(out, "\n");
}

static void print_json(const struct redrive *redrive, const struct report *report, struct buffer *out)
{
    const struct
    {
        const char *name;
        int64_t count;
    } numbers[] = { { "good", redrive->good },
                    { "put_back", report->put },
                    { "dead_again", report->dead },
                    { "waiting", report->left },
                    { "taken_back", report->taken_back } };

    buffer_add_text(out, "{\"executed\":true");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
    {
        buffer_add_text(out, ",\"");
        buffer_add_text(out, numbers[i].name);
        buffer_add_text(out, "\":");
        buffer_add_int64(out, numbers[i].count);
    }
    buffer_add_text(out, ",\"actions\":[");
    for (int i = 0; i < report->action_count; i++)
    {
        buffer_add_text(out, i > 0 ? ",{\"action\":" : "{\"action\":");
        buffer_add_int64(out, report->actions[i]);
        buffer_add_text(out, ",\"outcomes\":{");
        for (int row = 0; row < PQntuples(report->outcomes[i]); row++)
        {
            buffer_add_text(out, row > 0 ? "," : "");
            buffer_add_json_string(out, span_of(PQgetvalue(report->outcomes[i], row, 0)));
            buffer_add_text(out, ":");
            buffer_add_text(out, PQgetvalue(report->outcomes[i], row, 1));
        }
        buffer_add_text(out, "}}");
    }
    buffer_add_text(out, "]}\n");
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static bool put_and_wait(struct redrive *redrive, PGconn *connection, struct report *report, int most,
                         struct buffer *fault)
{
    int from = (int)report->put;
    int64_t action = put_back_some(redrive, connection, from, most, fault);

    if (action < 0)
        return false;
    report->actions[report->action_count++] = action;
    report->put += most;
    verb_tell("action %lld: %d put back; waiting for their answers", (long long)action, most);
    int64_t until_us = monotonic_us() + redrive->wait_us + most * redrive->every_us;
    return await_answers(redrive, connection, report, until_us, fault);
}

static void explain_nothing(const struct redrive *redrive, struct buffer *fault)
{
    buffer_add_text(fault, "nothing to put back");
    for (int i = 0; i < redrive->count; i++)
        if (*redrive->candidates[i].why)
        {
            buffer_add_text(fault, ": ");
            buffer_add_text(fault, PQgetvalue(redrive->rows, i, LETTER_ID));
            buffer_add_text(fault, ": ");
            buffer_add_text(fault, redrive->candidates[i].why);
            return;
        }
}

int redrive_execute(struct redrive *redrive, PGconn *connection, struct buffer *fault)
{
    struct report report = { 0 };
    struct buffer out = BUFFER_EMPTY;
    int canary = redrive->canary < redrive->good ? redrive->canary : 0;

    if (!operator_agrees(&redrive->intent, redrive->good, fault))
        return OPERATOR_NOT_DONE;
    if (redrive->good == 0)
    {
        explain_nothing(redrive, fault);
        return OPERATOR_NOT_DONE;
    }
    progress_begin("dlq redrive");
    progress_stage("answered");
    bool good = canary == 0 || put_and_wait(redrive, connection, &report, canary, fault);
    bool goes_on = good && report.left == 0 && (report.dead == 0 || redrive->keep_going);
    if (goes_on)
        good = put_and_wait(redrive, connection, &report, redrive->good - canary, fault);
    progress_end();
    int code = good ? OPERATOR_DONE : report.action_count == 0 ? OPERATOR_NOT_DONE : OPERATOR_STOPPED;
    if (code == OPERATOR_STOPPED)
        verb_fail(redrive->invocation, "%.*s; what was put back comes back all the same", (int)fault->size,
                  fault->at ? fault->at : "out of memory");
    if (code != OPERATOR_NOT_DONE)
    {
        (redrive->invocation->json ? print_json : print_text)(redrive, &report, &out);
        (void)verb_print(redrive->invocation, &out);
        code = code != OPERATOR_DONE || report.left > 0 ? OPERATOR_STOPPED
               : report.dead > 0                        ? OPERATOR_SOMETHING
                                                        : OPERATOR_DONE;
    }
    for (int i = 0; i < 2; i++)
        PQclear(report.outcomes[i]);
    buffer_done(&out);
    return code;
}
