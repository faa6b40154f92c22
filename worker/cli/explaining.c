#include "worker/cli/explaining.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/base/identity.h"
#include "worker/cli/http_get.h"
#include "worker/postgres/row_holders.h"

enum
{
    HTTP_US = 2000000,
    RATE_MS = 500,
};

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

static void add_text(struct buffer *into, const char *text)
{
    buffer_clear(into);
    buffer_add_text(into, text ? text : "");
}

void explaining_add_holders(struct explaining *explaining, struct span key)
{
    struct buffer fault = BUFFER_EMPTY;
    QUERY_RESULT rows = row_holders_find(explaining->connection, key, &fault);

    for (int row = 0; row < PQntuples(rows); row++)
    {
        struct buffer words = BUFFER_EMPTY;
        row_holders_add_words(rows, row, &words);
        explain_tell(&explaining->report.story, "  %.*s", (int)words.size, words.at ? words.at : "");
        buffer_add_text(&explaining->holders, explaining->holders.size > 0 ? ", " : "");
        buffer_add_span(&explaining->holders, buffer_span(&words));
        buffer_done(&words);
    }
    if (rows == NULL)
        explain_tell(&explaining->report.story, "  the holder of the row cannot be seen: %.*s", (int)fault.size,
                     fault.at ? fault.at : "");
    buffer_done(&fault);
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
        explaining_add_holders(explaining, buffer_span(&report->aggregate));
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

/* The /status of a worker, with NUL. False: it does not answer, which the report says. */
static bool read_status(struct explaining *explaining, const PGresult *workers, int row, struct buffer *body)
{
    struct buffer fault = BUFFER_EMPTY;
    int status = 0;
    const char *http = query_text(workers, row, 0);
    bool good = http_get(http, "/status", HTTP_US, &status, body, &fault) && status == 200;

    if (!good)
        explain_tell(&explaining->report.looked, "  worker %s at %s does not answer: %.*s", query_text(workers, row, 1),
                     http, (int)fault.size, fault.at ? fault.at : "");
    buffer_done(&fault);
    buffer_add_byte(body, '\0');
    return good && !buffer_failed(body);
}

/* The words of the worker that owns the partition; NULL: it is not one of those that are seen. */
static PGresult *ask_owner(struct explaining *explaining)
{
    QUERY_RESULT workers = explain_workers(explaining->connection, &explaining->fault);

    for (int row = 0; row < PQntuples(workers); row++)
    {
        struct buffer body = BUFFER_EMPTY, fault = BUFFER_EMPTY;
        PGresult *rows = NULL;
        if (read_status(explaining, workers, row, &body))
            rows = explain_owner(explaining->connection, body.at, &explaining->target,
                                 explaining->message_key[0] ? explaining->message_key : NULL, &fault);
        buffer_done(&body);
        buffer_done(&fault);
        if (rows && PQntuples(rows) == 1)
            return rows;
        PQclear(rows);
    }
    return NULL;
}

static bool is_something_held(struct explaining *explaining)
{
    QUERY_RESULT workers = explain_workers(explaining->connection, &explaining->fault);
    bool held = false;

    for (int row = 0; row < PQntuples(workers) && !held; row++)
    {
        struct buffer body = BUFFER_EMPTY;
        held = read_status(explaining, workers, row, &body) && explain_holds_back(explaining->connection, body.at);
        buffer_done(&body);
    }
    return held;
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
    explaining_add_holders(explaining, span_of(query_text(owner, 0, EXPLAIN_OWNER_HELD_KEY)));
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
    return identity_make(span_of(explaining->target.source), span_of(explaining->target.id), explaining->identity);
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

int explaining_run(struct explaining *explaining)
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

void explaining_done(struct explaining *explaining)
{
    explain_report_done(&explaining->report);
    buffer_done(&explaining->holders);
    buffer_done(&explaining->fault);
}

void explaining_find_holders(struct explaining *explaining)
{
    QUERY_RESULT rows = explain_command(explaining->connection, &explaining->target, &explaining->fault);

    if (rows == NULL || take_row(explaining, rows) || !is_something_held(explaining))
        return;
    if (make_identity(explaining) && ask_kafka(explaining) && explaining->found)
        judge_place(explaining);
}
