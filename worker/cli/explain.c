/* interlock explain: one command, whatever became of it, as a verdict and a next step. PostgreSQL is asked first
 * (worker/admin/explain.h), then the worker that owns the partition, over HTTP, then Kafka. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumers/admin/message_reading.h"
#include "worker/admin/explain.h"
#include "worker/base/digest.h"
#include "worker/cli/explain_report.h"
#include "worker/cli/http_get.h"
#include "worker/cli/operator.h"
#include "workflows/base/hex.h"
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
    SCAN_DEFAULT = 100000,
    NUMBER_DIGITS_MAX = 18,
    HTTP_US = 2000000,
    RATE_MS = 500,
};

struct explaining
{
    struct invocation *invocation;
    PGconn *connection;
    struct explain_target target;
    const char *key, *last;
    int64_t scan;
    struct explain_report report;
    struct buffer fault;
    char topic[TOPIC_NAME_MAX + 1], partition[16], offset[24]; /* of the target, where they are found out */
    char source[512], id[512], message_key[160];
    uint8_t identity[DIGEST_SIZE];
    bool found;        /* in Kafka */
    int64_t looked_at; /* messages of Kafka */
};

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

static void add_text(struct buffer *into, const char *text)
{
    buffer_clear(into);
    buffer_add_text(into, text ? text : "");
}

static void add_blockers(struct explaining *explaining)
{
    QUERY_RESULT rows = explain_blockers(explaining->connection, &explaining->fault);

    for (int row = 0; row < PQntuples(rows); row++)
        explain_tell(&explaining->report.story, "  locked by %s", query_text(rows, row, 0));
}

static void add_refusal(struct explaining *explaining, const char *event)
{
    QUERY_RESULT rows = explain_metadata(explaining->connection, event, &explaining->fault);

    if (PQntuples(rows) == 1 && query_text(rows, 0, 0))
        explain_tell(&explaining->report.story, "  refused because: %s", query_text(rows, 0, 0));
    else if (rows == NULL)
        explain_tell(&explaining->report.story, "  the reason in detail is for interlock_payload_reader");
}

/* True: PostgreSQL knows it. */
static bool take_row(struct explaining *explaining, const PGresult *rows)
{
    struct explain_report *report = &explaining->report;

    if (PQntuples(rows) == 0 || query_text(rows, 0, EXPLAIN_VERDICT) == NULL)
        return false;
    const char *verdict = query_text(rows, 0, EXPLAIN_VERDICT), *story = query_text(rows, 0, EXPLAIN_STORY);
    const char *headline = query_text(rows, 0, EXPLAIN_HEADLINE), *next = query_text(rows, 0, EXPLAIN_NEXT);
    explain_conclude(report, verdict, headline ? headline : "", next ? next : "nothing to do");
    buffer_add_text(&report->story, story ? story : "");
    add_text(&report->topic, query_text(rows, 0, EXPLAIN_TOPIC));
    add_text(&report->partition, query_text(rows, 0, EXPLAIN_PARTITION));
    add_text(&report->offset, query_text(rows, 0, EXPLAIN_OFFSET));
    add_text(&report->aggregate, query_text(rows, 0, EXPLAIN_AGGREGATE));
    add_text(&report->event, query_text(rows, 0, EXPLAIN_EVENT));
    report->answered = strcmp(query_text(rows, 0, EXPLAIN_ANSWERED), "t") == 0;
    if (query_text(rows, 0, EXPLAIN_SOURCE))
        explain_tell(&report->story, "  command %s %s at %s/%s/%s", query_text(rows, 0, EXPLAIN_SOURCE),
                     query_text(rows, 0, EXPLAIN_ID), query_text(rows, 0, EXPLAIN_TOPIC),
                     query_text(rows, 0, EXPLAIN_PARTITION), query_text(rows, 0, EXPLAIN_OFFSET));
    if (strcmp(verdict, "rejected") == 0)
        add_refusal(explaining, query_text(rows, 0, EXPLAIN_EVENT));
    if (strcmp(verdict, "parked held") == 0)
        add_blockers(explaining);
    return true;
}

/* -1: could not look; 0: nothing is known; 1: it is. */
static int ask_database(struct explaining *explaining)
{
    struct explain_target *target = &explaining->target;
    QUERY_RESULT rows = explain_command(explaining->connection, target, &explaining->fault);

    if (rows == NULL)
        return -1;
    if (take_row(explaining, rows))
        return 1;
    if (target->source == NULL)
        return 0;
    QUERY_RESULT forgotten = explain_forgotten(explaining->connection, target, &explaining->fault);
    return forgotten == NULL ? -1 : take_row(explaining, forgotten);
}

/* --- the owner --------------------------------------------------------------------------------------------------- */

/* What the worker that owns the partition says; NULL: none of those that are seen does. */
static PGresult *ask_owner(struct explaining *explaining)
{
    QUERY_RESULT workers = explain_workers(explaining->connection, &explaining->fault);

    for (int row = 0; row < PQntuples(workers); row++)
    {
        struct buffer body = BUFFER_EMPTY, fault = BUFFER_EMPTY;
        int status = 0;
        PGresult *rows = NULL;
        if (http_get(query_text(workers, row, 0), "/status", HTTP_US, &status, &body, &fault) && status == 200)
        {
            buffer_add_byte(&body, '\0');
            if (!buffer_failed(&body))
                rows = explain_owner(explaining->connection, body.at, &explaining->target,
                                     explaining->message_key[0] ? explaining->message_key : NULL, &fault);
        }
        else
            explain_tell(&explaining->report.looked, "  worker %s at %s does not answer: %.*s",
                         query_text(workers, row, 1), query_text(workers, row, 0), (int)fault.size,
                         fault.at ? fault.at : "");
        buffer_done(&body);
        buffer_done(&fault);
        if (rows && PQntuples(rows) == 1)
            return rows;
        PQclear(rows);
    }
    return NULL;
}

static int64_t number_at(const PGresult *rows, int column)
{
    const char *text = rows && PQntuples(rows) == 1 ? query_text(rows, 0, column) : NULL;
    return text ? strtoll(text, NULL, 10) : -1;
}

/* How long `before` messages take, as the watermark moves now. */
static void add_rate(struct explaining *explaining, int64_t watermark, int64_t before, char *into, size_t size)
{
    const struct timespec pause = { 0, RATE_MS * 1000000L };

    nanosleep(&pause, NULL);
    QUERY_RESULT again = ask_owner(explaining);
    int64_t moved = number_at(again, EXPLAIN_OWNER_WATERMARK) - watermark;
    if (again == NULL || moved <= 0)
        snprintf(into, size, "; nothing moved within half a second");
    else
        snprintf(into, size, ", about %lld s at this rate", (long long)(before * RATE_MS / moved / 1000));
}

/* Why an answer is not on the audit topic yet. */
static void add_publisher(struct explaining *explaining)
{
    struct explain_target *target = &explaining->target;
    struct explain_report *report = &explaining->report;

    snprintf(explaining->topic, sizeof(explaining->topic), "%.*s", (int)report->topic.size, report->topic.at);
    snprintf(explaining->partition, sizeof(explaining->partition), "%.*s", (int)report->partition.size,
             report->partition.at);
    snprintf(explaining->offset, sizeof(explaining->offset), "%.*s", (int)report->offset.size, report->offset.at);
    target->topic = explaining->topic;
    target->partition = explaining->partition;
    target->offset = explaining->offset;
    QUERY_RESULT owner = ask_owner(explaining);
    const char *waits_for = owner ? query_text(owner, 0, EXPLAIN_OWNER_WAITS_FOR) : NULL;
    int64_t watermark = number_at(owner, EXPLAIN_OWNER_WATERMARK), at = strtoll(explaining->offset, NULL, 10);
    if (owner == NULL)
        buffer_add_text(&report->headline, "; no worker owns its partition: whoever takes it over publishes it");
    else if (waits_for)
        buffer_add_text(&report->headline, "; its worker waits: ");
    else if (query_text(owner, 0, EXPLAIN_OWNER_HELD_KEY) && number_at(owner, EXPLAIN_OWNER_HELD_OFFSET) < at)
        buffer_add_text(&report->headline, "; a held command before it keeps it back");
    else
        buffer_add_text(&report->headline, "; it is about to be");
    if (waits_for)
        buffer_add_text(&report->headline, waits_for);
    if (owner)
        explain_tell(&report->story, "  published below offset %lld, %lld in flight", (long long)watermark,
                     (long long)number_at(owner, EXPLAIN_OWNER_IN_FLIGHT));
}

/* --- a message that no row stands for ---------------------------------------------------------------------------- */

static void judge_held(struct explaining *explaining, const PGresult *owner)
{
    char text[320];
    bool itself = number_at(owner, EXPLAIN_OWNER_HELD_OFFSET) == strtoll(explaining->target.offset, NULL, 10);

    snprintf(text, sizeof(text), "%s for %s s%s: %s", query_text(owner, 0, EXPLAIN_OWNER_HELD_KEY),
             query_text(owner, 0, EXPLAIN_OWNER_HELD_S), itself ? "" : ", behind the first of its key",
             query_text(owner, 0, EXPLAIN_OWNER_HELD_WHY));
    explain_conclude(&explaining->report, "held", text,
                     "end the session that holds the row; the worker tries again by itself");
    add_blockers(explaining);
}

/* Read, not answered, and not below what is published: the owner knows where it is. */
static void judge_unread(struct explaining *explaining, int64_t published)
{
    struct explain_report *report = &explaining->report;
    QUERY_RESULT owner = ask_owner(explaining);
    int64_t at = strtoll(explaining->target.offset, NULL, 10), watermark = number_at(owner, EXPLAIN_OWNER_WATERMARK);
    int64_t before = at - (watermark >= 0 ? watermark : published > 0 ? published : 0);
    char text[320], rate[96] = "";

    if (owner && query_text(owner, 0, EXPLAIN_OWNER_HELD_KEY))
    {
        judge_held(explaining, owner);
        return;
    }
    if (owner && before < number_at(owner, EXPLAIN_OWNER_IN_FLIGHT))
    {
        snprintf(text, sizeof(text), "read by its worker, %lld before it", (long long)before);
        explain_conclude(report, "in flight", text, "look again in a second");
        return;
    }
    if (owner)
        add_rate(explaining, watermark, before, rate, sizeof(rate));
    const char *waits_for = owner ? query_text(owner, 0, EXPLAIN_OWNER_WAITS_FOR) : NULL;
    snprintf(text, sizeof(text), "%lld messages before it%s%s%s", (long long)before,
             owner ? rate : "; no worker that is seen owns its partition", waits_for ? "; its worker waits: " : "",
             waits_for ? waits_for : "");
    explain_conclude(report, "not read yet", text,
                     owner ? "wait; interlock status" : "interlock run; interlock status --all");
}

/* The position is known, and no row of the command or of the position is there. */
static int judge_place(struct explaining *explaining)
{
    struct explain_target *target = &explaining->target;
    struct explain_report *report = &explaining->report;
    QUERY_RESULT place = explain_place(explaining->connection, target, &explaining->fault);
    char text[512];

    if (place == NULL)
        return -1;
    int64_t published = number_at(place, EXPLAIN_PLACE_PUBLISHED), at = strtoll(target->offset, NULL, 10);
    const char *pause = query_text(place, 0, EXPLAIN_PLACE_PAUSE), *prune = query_text(place, 0, EXPLAIN_PLACE_PRUNE);
    add_text(&report->topic, target->topic);
    add_text(&report->partition, target->partition);
    add_text(&report->offset, target->offset);
    if (at < number_at(place, EXPLAIN_PLACE_PRUNED))
    {
        snprintf(text, sizeof(text), "%s/%s/%s lies below what was pruned: %s", target->topic, target->partition,
                 target->offset, prune ? prune : "by an earlier version");
        explain_conclude(report, "forgotten", text, "interlock audit list --aggregate KEY: answers stay for ever");
        report->answered = true;
    }
    else if (at < published)
    {
        snprintf(text, sizeof(text),
                 "%s/%s/%s was passed, and no row is there of it: lost by PostgreSQL, or never a command",
                 target->topic, target->partition, target->offset);
        explain_conclude(report, "not found", text, "interlock replay: it names what is missing");
    }
    else if (pause)
    {
        explain_conclude(report, "paused", pause, "interlock resume ");
        buffer_add_text(&report->next, query_text(place, 0, EXPLAIN_PLACE_PAUSE_ID));
    }
    else
        judge_unread(explaining, published);
    return 0;
}

/* --- Kafka ------------------------------------------------------------------------------------------------------- */

static void note_message(struct explaining *explaining, const struct message_seen *seen)
{
    struct explain_target *target = &explaining->target;
    const struct command *command = seen->command;

    explaining->found = true;
    snprintf(explaining->topic, sizeof(explaining->topic), "%s", seen->range->topic);
    snprintf(explaining->partition, sizeof(explaining->partition), "%d", seen->range->partition);
    snprintf(explaining->offset, sizeof(explaining->offset), "%lld", (long long)seen->delivery->offset);
    snprintf(explaining->message_key, sizeof(explaining->message_key), "%.*s", (int)seen->delivery->key.size,
             seen->delivery->key.at ? seen->delivery->key.at : "");
    target->topic = explaining->topic;
    target->partition = explaining->partition;
    target->offset = explaining->offset;
    if (command == NULL)
        return;
    snprintf(explaining->source, sizeof(explaining->source), "%.*s", (int)command->source.size, command->source.at);
    snprintf(explaining->id, sizeof(explaining->id), "%.*s", (int)command->id.size, command->id.at);
    explain_tell(&explaining->report.story, "  message %s/%s/%s, key %s, %zu bytes, command %s %s, type %.*s",
                 target->topic, target->partition, target->offset,
                 explaining->message_key[0] ? explaining->message_key : "(none)", seen->delivery->value.size,
                 explaining->source, explaining->id, (int)command->type.size, command->type.at);
}

static bool see_any(void *owner, const struct message_seen *seen)
{
    note_message(owner, seen);
    return false;
}

/* The first one of the identity; copies that came back are no other. */
static bool see_identity(void *owner, const struct message_seen *seen)
{
    struct explaining *explaining = owner;

    explaining->looked_at++;
    if (seen->command == NULL || memcmp(seen->command->identity, explaining->identity, DIGEST_SIZE) != 0)
        return true;
    note_message(explaining, seen);
    return false;
}

/* Of each partition as many of its last messages as fit. */
static void cut_ranges(struct message_ranges *ranges, int64_t scan)
{
    int64_t share = ranges->count > 0 ? scan / ranges->count : 0;

    for (int i = 0; i < ranges->count; i++)
        if (ranges->at[i].to - ranges->at[i].from > share)
            ranges->at[i].from = ranges->at[i].to - share;
}

static bool is_target(const struct message_range *range, const struct explain_target *target)
{
    return strcmp(range->topic, target->topic) == 0 && range->partition == atoi(target->partition);
}

/* The range of the one message that is asked for; *ret_where: why there is none. */
static bool keep_one(struct message_ranges *ranges, const struct explain_target *target, char *why, size_t size)
{
    int64_t at = strtoll(target->offset, NULL, 10);

    for (int i = 0; i < ranges->count; i++)
    {
        if (!is_target(&ranges->at[i], target))
            continue;
        struct message_range range = ranges->at[i];
        snprintf(why, size, "%s has offsets %lld to %lld", range.topic, (long long)range.from, (long long)range.to - 1);
        ranges->at[0] = (struct message_range){ .partition = range.partition, .from = at, .to = at + 1 };
        snprintf(ranges->at[0].topic, sizeof(ranges->at[0].topic), "%s", range.topic);
        ranges->count = 1;
        return at >= range.from && at < range.to;
    }
    snprintf(why, size, "no command topic of the settings has %s/%s", target->topic, target->partition);
    return false;
}

/* False: Kafka could not be asked, which the report says. */
static bool ask_kafka(struct explaining *explaining)
{
    const struct settings *settings = explaining->invocation->settings;
    struct explain_report *report = &explaining->report;
    struct message_ranges ranges = { NULL, 0, false };
    bool one = explaining->target.topic != NULL, good = true;
    char why[400] = "";

    if (!one && explaining->scan == 0)
    {
        explain_tell(&report->looked, "  not looked at: the messages of Kafka (--scan 0)");
        return true;
    }
    struct buffer fault = BUFFER_EMPTY;
    good = message_ranges_read(settings, &ranges, &fault);
    if (good && one && !keep_one(&ranges, &explaining->target, why, sizeof(why)))
        explain_tell(&report->looked, "  looked at Kafka: %s", why);
    else if (good)
    {
        if (!one)
            cut_ranges(&ranges, explaining->scan);
        good = message_read(settings, &ranges, one ? see_any : see_identity, explaining, &fault);
        if (!one && !explaining->found)
            explain_tell(&report->looked, "  looked at the last %lld messages of %d partitions of %s",
                         (long long)explaining->looked_at, ranges.count, settings->kafka.topics);
    }
    if (!good)
        explain_tell(&report->looked, "  could not look at Kafka: %.*s", (int)fault.size, fault.at ? fault.at : "");
    buffer_done(&fault);
    message_ranges_done(&ranges);
    return good;
}

static bool make_identity(struct explaining *explaining)
{
    const struct span parts[] = { span_of(explaining->target.source), { "", 1 }, span_of(explaining->target.id) };
    uint8_t digest[DIGEST_SHA256_SIZE];

    if (!digest_sha256(parts, 3, digest))
        return false;
    memcpy(explaining->identity, digest, DIGEST_SIZE);
    return true;
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static int conclude_not_found(struct explaining *explaining, bool looked)
{
    explain_tell(&explaining->report.looked,
                 "  looked at PostgreSQL: inbox, parked commands, dead letters, audit rows");
    explain_conclude(&explaining->report, "not found",
                     looked ? "no row and no message of it" : "no row of it; its message could not be looked for",
                     looked ? "ask who sent it; or look further back: --scan N" : "interlock check");
    return looked ? 0 : -1;
}

/* The message at the position is another copy, or a duplicate, of a command that PostgreSQL knows by its identity. */
static int ask_again(struct explaining *explaining)
{
    struct explain_target *target = &explaining->target;
    const struct explain_target whole = *target;

    if (explaining->id[0] == '\0')
        return 0;
    *target = (struct explain_target){ .source = explaining->source, .id = explaining->id };
    int known = ask_database(explaining);
    *target = whole;
    target->source = explaining->source;
    target->id = explaining->id;
    return known;
}

static int run(struct explaining *explaining)
{
    int known = ask_database(explaining);

    if (known == 0 && explaining->target.event)
        return conclude_not_found(explaining, true);
    if (known == 0)
    {
        bool asked_by_place = explaining->target.topic != NULL;
        if (explaining->target.source && !make_identity(explaining))
            return -1;
        bool looked = ask_kafka(explaining);
        if (looked && explaining->found && asked_by_place)
            known = ask_again(explaining);
        if (known == 0 && (explaining->found || asked_by_place))
            return judge_place(explaining);
        if (known == 0)
            return conclude_not_found(explaining, looked);
    }
    if (known > 0 && span_is(buffer_span(&explaining->report.verdict), "answered but not published"))
        add_publisher(explaining);
    return known < 0 ? -1 : 0;
}

static int run_key(struct explaining *explaining)
{
    struct explain_report *report = &explaining->report;
    QUERY_RESULT rows = explain_key(explaining->connection, explaining->key, explaining->last, &explaining->fault);

    if (rows == NULL)
        return -1;
    add_text(&report->aggregate, explaining->key);
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
        add_blockers(explaining);
    return 0;
}

static bool is_number(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= NUMBER_DIGITS_MAX && text[digits] == '\0';
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
    return topic > 0 && topic <= TOPIC_NAME_MAX && partition < 9 && is_number(explaining->partition) &&
           is_number(offset);
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
    else if ((scan && !is_number(scan)) || !is_number(explaining->last))
        verb_usage_error(usage, "explain: --scan and --last take a number");
    else
    {
        target->event = event;
        explaining->scan = scan ? strtoll(scan, NULL, 10) : SCAN_DEFAULT;
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
        good = explaining->connection && (explaining->key ? run_key(explaining) : run(explaining)) == 0;
        operator_add_role(&explaining->fault, "interlock_reader");
        if (good)
            code = explain_print(invocation, &explaining->report);
        else if (explaining->report.verdict.size > 0)
        {
            explain_print(invocation, &explaining->report);
            code = 1;
        }
        else
            code = verb_fail(invocation, "%.*s", (int)explaining->fault.size,
                             explaining->fault.at ? explaining->fault.at : "out of memory");
    }
    query_closep(&explaining->connection);
    explain_report_done(&explaining->report);
    buffer_done(&explaining->fault);
    free(explaining);
    return code;
}
