/* interlock explain: one command, or one aggregate, as a verdict and a next step. */
#include <stdlib.h>
#include <string.h>

#include "worker/cli/explaining.h"
#include "worker/cli/operator.h"
#include "workflows/model/id.h"

static const char usage[] =
    "usage: interlock explain --source S --id I      one command\n"
    "       interlock explain --at TOPIC/P/OFFSET    the message there\n"
    "       interlock explain EVENT_ID               the command of an event\n"
    "       interlock explain --key ticket/42 [--last 20]   an aggregate: its last answers and whatever waits\n"
    "       [--scan N] [--output json]\n"
    "\n"
    "First line: the verdict; last line: the next step. PostgreSQL is asked first, then the worker that owns the\n"
    "partition, then Kafka: of each command topic the last messages, N in all (100000; 0: not at all).\n"
    "Exit 0: it is answered; 3: it is not, or something waits; 1: could not look. Role: interlock_reader.\n";

enum
{
    NUMBER_DIGITS_MAX = 18,
};

static int run_key(struct explaining *explaining)
{
    struct explain_report *report = &explaining->report;
    QUERY_RESULT rows = explain_key(explaining->connection, explaining->key, explaining->last, &explaining->fault);

    if (rows == NULL)
        return -1;
    buffer_add_text(&report->aggregate, explaining->key);
    for (int row = 0; row < PQntuples(rows); row++)
    {
        const char *line = query_text(rows, row, EXPLAIN_KEY_LINE);
        if (strcmp(query_text(rows, row, EXPLAIN_KEY_KIND), "head") != 0)
        {
            explain_tell(&report->story, "  %s", line);
            continue;
        }
        const char *colon = strchr(line, ':');
        buffer_add(&report->verdict, line, (size_t)(colon - line));
        buffer_add_text(&report->headline, colon + 2);
        buffer_add_text(&report->next, query_text(rows, row, EXPLAIN_KEY_NEXT));
        report->answered = strcmp(query_text(rows, row, EXPLAIN_KEY_LOOK), "t") != 0;
    }
    if (span_is(buffer_span(&report->verdict), "parked held"))
        explaining_add_holders(explaining, span_of(explaining->key));
    return 0;
}

/* topic/partition/offset; a topic's name has no slash. */
static bool split_place(struct explaining *explaining, const char *at)
{
    size_t topic = strcspn(at, "/"), partition = at[topic] ? strcspn(at + topic + 1, "/") : 0;
    const char *offset = at[topic] && at[topic + 1 + partition] ? at + topic + partition + 2 : "";

    snprintf(explaining->topic, sizeof(explaining->topic), "%.*s", (int)topic, at);
    snprintf(explaining->partition, sizeof(explaining->partition), "%.*s", (int)partition,
             at[topic] ? at + topic + 1 : "");
    snprintf(explaining->offset, sizeof(explaining->offset), "%s", offset);
    explaining->target.topic = explaining->topic;
    explaining->target.partition = explaining->partition;
    explaining->target.offset = explaining->offset;
    return topic > 0 && topic <= TOPIC_NAME_MAX && partition < 9 &&
           verb_is_number(explaining->partition, NUMBER_DIGITS_MAX) && verb_is_number(offset, NUMBER_DIGITS_MAX);
}

/* One question, and whether it can be one. */
static bool check_question(struct explaining *explaining, const char *at, const char *scan)
{
    struct invocation *invocation = explaining->invocation;
    struct explain_target *target = &explaining->target;
    const char *event = invocation->argc == 2 ? invocation->argv[1] : NULL;
    int questions = (target->source || target->id) + (at != NULL) + (event != NULL) + (explaining->key != NULL);
    struct id id;

    if (invocation->argc > 2 || questions != 1 || (!target->source != !target->id))
        verb_usage_error(usage, "explain: ask by --source and --id, by --at, by --key, or by one event id");
    else if (event && !id_parse_uuid(span_of(event), &id))
        verb_usage_error(usage, "explain %s: accepted is an event's id, a uuid", event);
    else if (at && !split_place(explaining, at))
        verb_usage_error(usage, "explain: --at %s: accepted is topic/partition/offset", at);
    else if ((scan && !verb_is_number(scan, NUMBER_DIGITS_MAX)) || !verb_is_number(explaining->last, NUMBER_DIGITS_MAX))
        verb_usage_error(usage, "explain: --scan and --last take a number");
    else
    {
        target->event = event;
        explaining->scan = scan ? strtoll(scan, NULL, 10) : EXPLAINING_SCAN;
        return true;
    }
    return false;
}

int verb_explain(struct invocation *invocation)
{
    struct explaining *explaining = calloc(1, sizeof(*explaining));
    const char *at = NULL, *scan = NULL, *last = NULL;
    int code = 1;

    if (explaining == NULL)
        return verb_fail(invocation, "out of memory");
    const struct verb_option options[] = { { "--source", &explaining->target.source, NULL },
                                           { "--id", &explaining->target.id, NULL },
                                           { "--at", &at, NULL },
                                           { "--key", &explaining->key, NULL },
                                           { "--last", &last, NULL },
                                           { "--scan", &scan, NULL },
                                           { NULL, NULL, NULL } };
    explaining->invocation = invocation;
    bool good = verb_parse_options(invocation, options, usage);
    explaining->last = last ? last : "20";
    if (good && check_question(explaining, at, scan))
    {
        explaining->connection = operator_connect(invocation, false, &explaining->fault);
        good = explaining->connection && (explaining->key ? run_key(explaining) : explaining_run(explaining)) == 0;
        operator_add_role(&explaining->fault, "interlock_reader");
        if (good)
            code = explain_print(invocation, &explaining->report);
        else if (explaining->report.verdict.size > 0)
        {
            explain_print(invocation, &explaining->report);
            code = 1;
        }
        else
            code = verb_fail_with(invocation, &explaining->fault);
    }
    query_closep(&explaining->connection);
    explaining_done(explaining);
    free(explaining);
    return code;
}
