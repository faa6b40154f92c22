/* interlock replay: which commands of a range PostgreSQL has lost, as after a failover to a standby that lacked the last
 * commits; and their way back, by parking (worker/admin/replay_judge.h). The range is read without the group: no offset
 * moves, no worker stops. An answered command is never applied again; there is no option for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/admin/message_reading.h"
#include "worker/admin/replay_judge.h"
#include "worker/base/fault_point.h"
#include "worker/base/progress.h"
#include "worker/base/shown.h"
#include "worker/cli/operator.h"
#include "worker/cli/replay_fate.h"
#include "worker/postgres/query.h"

static const char usage[] =
    "usage: interlock replay --topic T [--partition P [--from O] [--to O]] | --since T | --all [OPTION...]\n"
    "\n"
    "Reads a range of the command topics and asks PostgreSQL about each message: answered, duplicate, parked, dead\n"
    "letter, not read yet, or missing: passed, and in no table. Each missing one is named, and what it would become\n"
    "on the rows of now, which a child process decides. With --execute they are parked in the order of the topic, and\n"
    "return while the workers go on.\n"
    "\n"
    "  --topic T, --partition P, --from O, --to O   what to read; --to is not read itself\n"
    "  --since T      messages written since then: 2026-11-24T09:00:00Z, or 2h for 2 hours ago\n"
    "  --limit N      refuse to bring back more (10000)\n"
    "  --execute --reason TEXT [--as NAME] [--before T] [--expect N]\n"
    "                 bring them back; --before: messages written until then, --expect: only if there are so many\n"
    "  --output json\n"
    "\n"
    "Exit 0: nothing is missing, or it was brought back; 3: something is missing; 1: refused, or could not look.\n"
    "Roles: interlock_reader; --execute: interlock_operator.\n";

enum
{
    LIMIT_DEFAULT = 10000,
    LIMIT_MAX = 100000,
    NUMBER_DIGITS_MAX = 18,
    NAMED_MAX = 20, /* in text; JSON has all */
};

static const int64_t DECIDED_BYTES_MAX = INT64_C(256) << 20; /* of what is missing; more is not decided by a dry run */

struct replaying
{
    struct invocation *invocation;
    struct intent intent;
    const char *topic, *partition, *from, *to, *since, *limit_text;
    char since_text[VERB_TIME_TEXT_MAX];
    int64_t limit, before_us; /* before_us 0: no such bound */
    PGconn *connection;
    struct replay_judge *judge;
    struct replay_fates fates; /* of a dry run */
    struct buffer fault;
    int64_t messages, action, parked;
    int partitions;
};

/* --- the range --------------------------------------------------------------------------------------------------- */

static bool refuse(struct replaying *replaying, const char *what, const struct message_range *range, int64_t at)
{
    char line[512];

    snprintf(line, sizeof(line), "%s: %s/%d has offsets %lld to %lld, not %lld", what, range->topic, range->partition,
             (long long)range->from, (long long)range->to - 1, (long long)at);
    buffer_add_text(&replaying->fault, line);
    return false;
}

/* The part of one partition that is asked for; a range that begins before the log does is refused, because its loss could not
 * be seen. */
static bool narrow(struct replaying *replaying, struct message_range *range)
{
    int64_t from = replaying->from ? strtoll(replaying->from, NULL, 10) : range->from;
    int64_t to = replaying->to ? strtoll(replaying->to, NULL, 10) : range->to;

    if (from < range->from || from > range->to)
        return refuse(replaying, "--from is past the topic's retention, or its end", range, from);
    range->from = from;
    range->to = to < range->to ? to : range->to;
    return true;
}

static bool choose(struct replaying *replaying, struct message_ranges *ranges)
{
    int kept = 0;

    for (int i = 0; i < ranges->count; i++)
    {
        struct message_range *range = &ranges->at[i];
        if ((replaying->topic && strcmp(range->topic, replaying->topic) != 0) ||
            (replaying->partition && range->partition != atoi(replaying->partition)))
            continue;
        if (!narrow(replaying, range))
            return false;
        ranges->at[kept++] = *range;
    }
    ranges->count = kept;
    if (kept == 0)
        buffer_add_text(&replaying->fault,
                        "no partition of the command topics is meant: look at --topic and --partition");
    return kept > 0;
}

static bool see(void *owner, const struct message_seen *seen)
{
    struct replaying *replaying = owner;

    if (replaying->before_us > 0 && seen->delivery->timestamp_us >= replaying->before_us)
        return true;
    progress_count(++replaying->messages, 0);
    return replay_judge_add(replaying->judge, seen->range->topic, seen->range->partition, seen->delivery, seen->command,
                            &replaying->fault);
}

static bool read_range(struct replaying *replaying)
{
    const struct settings *settings = replaying->invocation->settings;
    struct message_ranges ranges = { NULL, 0, false };
    int64_t since_us = 0;

    bool good = message_ranges_read(settings, &ranges, &replaying->fault) && choose(replaying, &ranges);
    if (good && replaying->since && parameters_parse_time(span_of(replaying->since), &since_us))
        good = message_ranges_since(settings, &ranges, since_us, &replaying->fault);
    replaying->partitions = ranges.count;
    progress_stage("messages of %d partition%s", ranges.count, ranges.count == 1 ? "" : "s");
    good = good && message_read(settings, &ranges, see, replaying, &replaying->fault) && replaying->fault.size == 0 &&
           replay_judge_finish(replaying->judge, &replaying->fault);
    message_ranges_done(&ranges);
    return good;
}

/* --- trying ------------------------------------------------------------------------------------------------------ */

static bool try_missing(struct replaying *replaying)
{
    const struct replay_missing *missing;
    int count = replay_judge_missing(replaying->judge, &missing);

    return replay_fates_try(&replaying->fates, replaying->invocation->settings, missing, count, &replaying->fault);
}

/* --- the act ----------------------------------------------------------------------------------------------------- */

static bool check_counts(struct replaying *replaying)
{
    int64_t missing = replay_judge_count(replaying->judge, REPLAY_MISSING);
    int64_t pruned = replay_judge_count(replaying->judge, REPLAY_PRUNED);
    char line[200];

    if (pruned > 0)
        snprintf(line, sizeof(line),
                 "%lld messages lie below what prune took, and may have been answered: begin above them, by --from",
                 (long long)pruned);
    else if (missing > replaying->limit)
        snprintf(line, sizeof(line), "%lld commands are missing, more than --limit %lld: choose a smaller range",
                 (long long)missing, (long long)replaying->limit);
    else
        return operator_agrees(&replaying->intent, missing, &replaying->fault);
    buffer_add_text(&replaying->fault, line);
    return false;
}

static bool act(struct replaying *replaying)
{
    PGconn *connection = replaying->connection;
    struct buffer *fault = &replaying->fault;

    if (!check_counts(replaying))
        return false;
    if (replay_judge_count(replaying->judge, REPLAY_MISSING) == 0)
        return true;
    QUERY_RESULT begin = query_run(connection, TRANSACTION_BEGIN, 0, NULL, fault);
    replaying->action = begin ? operator_begin_act(&replaying->intent, connection, "replay", fault) : -1;
    if (replaying->action < 0)
        return false;
    replaying->parked = replay_put_back(connection, replaying->action, replaying->judge, fault);
    /* Counted again, now that each identity is locked. */
    if (replaying->parked < 0 || !operator_agrees(&replaying->intent, replaying->parked, fault))
        return false;
    FAULT_POINT(REDRIVE_PUT);
    if (!query_commit(connection, fault))
        return false;
    FAULT_POINT(REDRIVE_COMMITTED);
    return true;
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static void add_missing(struct buffer *out, const struct replaying *replaying, int index, bool json)
{
    const struct replay_missing *missing;
    char place[TOPIC_NAME_MAX + 48];

    (void)replay_judge_missing(replaying->judge, &missing);
    missing += index;
    snprintf(place, sizeof(place), "%s/%d/%lld", missing->topic, missing->partition, (long long)missing->offset);
    if (!json)
    {
        const char *const words[] = { place, missing->aggregate ? missing->aggregate : "-", missing->type,
                                      missing->source, missing->id };
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        {
            buffer_add_text(out, "  ");
            shown_add(out, span_of(words[i]));
        }
        buffer_add_text(out, "  ");
        replay_fates_add_text(&replaying->fates, index, out);
        buffer_add_byte(out, '\n');
        return;
    }
    const char *const members[][2] = { { "{\"at\":", place },
                                       { ",\"aggregate\":", missing->aggregate },
                                       { ",\"type\":", missing->type },
                                       { ",\"source\":", missing->source },
                                       { ",\"id\":", missing->id } };
    buffer_add_text(out, index == 0 ? "\n" : ",\n");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
    {
        buffer_add_text(out, members[i][0]);
        buffer_add_json_string(out, members[i][1] ? span_of(members[i][1]) : SPAN_NULL);
    }
    if (!replaying->intent.execute)
        replay_fates_add_json(&replaying->fates, index, out);
    buffer_add_byte(out, '}');
}

static void add_json(struct replaying *replaying, struct buffer *out)
{
    const struct replay_missing *missing;
    int count = replay_judge_missing(replaying->judge, &missing);

    buffer_add_text(out, replaying->intent.execute ? "{\"executed\":true,\"messages\":"
                                                   : "{\"executed\":false,\"messages\":");
    buffer_add_int64(out, replaying->messages);
    for (int class = 0; class < REPLAY_CLASS__COUNT; class ++)
    {
        buffer_add_text(out, ",\"");
        buffer_add_text(out, replay_class_names[class]);
        buffer_add_text(out, "\":");
        buffer_add_int64(out, replay_judge_count(replaying->judge, (enum replay_class) class));
    }
    if (replaying->action > 0)
    {
        buffer_add_text(out, ",\"action\":");
        buffer_add_int64(out, replaying->action);
        buffer_add_text(out, ",\"put_back\":");
        buffer_add_int64(out, replaying->parked);
    }
    buffer_add_text(out, ",\"before\":");
    buffer_add_json_string(out, span_of(replaying->intent.before_text));
    buffer_add_text(out, ",\"commands\":[");
    for (int i = 0; i < count; i++)
        add_missing(out, replaying, i, true);
    buffer_add_text(out, "]}\n");
}

static void add_counts(struct replaying *replaying, struct buffer *out)
{
    buffer_add_int64(out, replaying->messages);
    buffer_add_text(out, " messages of ");
    buffer_add_int64(out, replaying->partitions);
    buffer_add_text(out, " partitions:");
    for (int class = 0; class < REPLAY_CLASS__COUNT; class ++)
    {
        int64_t count = replay_judge_count(replaying->judge, (enum replay_class) class);
        if (count == 0 && class != REPLAY_MISSING)
            continue;
        buffer_add_byte(out, ' ');
        buffer_add_int64(out, count);
        buffer_add_byte(out, ' ');
        buffer_add_text(out, replay_class_names[class]);
        buffer_add_byte(out, ',');
    }
    out->at[out->size - 1] = '\n';
}

static void add_text(struct replaying *replaying, struct buffer *out)
{
    const struct replay_missing *missing;
    int count = replay_judge_missing(replaying->judge, &missing);
    int64_t all = replay_judge_count(replaying->judge, REPLAY_MISSING);

    if (replaying->action > 0)
    {
        buffer_add_text(out, "action ");
        buffer_add_int64(out, replaying->action);
        buffer_add_text(out, ": ");
        buffer_add_int64(out, replaying->parked);
        buffer_add_text(out,
                        " commands are parked, and return in the order of the topic\nnext: interlock action show ");
        buffer_add_int64(out, replaying->action);
        buffer_add_byte(out, '\n');
        return;
    }
    add_counts(replaying, out);
    if (count > 0)
        buffer_add_text(out, "decided here against the rows of now, in a child process; nothing was written\n");
    for (int i = 0; i < count && i < NAMED_MAX; i++)
        add_missing(out, replaying, i, false);
    if (all > NAMED_MAX)
    {
        buffer_add_text(out, "  and ");
        buffer_add_int64(out, all - NAMED_MAX);
        buffer_add_text(out, " more: --output json names them\n");
    }
    buffer_add_text(out, all > 0 ? "to do it:\n  " : "next: nothing to do\n");
    if (all > 0)
        operator_add_to_do(out, replaying->invocation, &replaying->intent, all);
    buffer_add_text(out, all > 0 ? "\n" : "");
}

static int report(struct replaying *replaying)
{
    struct buffer out = BUFFER_EMPTY;
    bool missing = !replaying->intent.execute && replay_judge_count(replaying->judge, REPLAY_MISSING) +
                                                         replay_judge_count(replaying->judge, REPLAY_UNREADABLE) >
                                                     0;

    (replaying->invocation->json ? add_json : add_text)(replaying, &out);
    int code = verb_print(replaying->invocation, &out);
    buffer_done(&out);
    return code != 0 ? code : missing ? OPERATOR_SOMETHING : OPERATOR_DONE;
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

/* Given, and not a number. */
static bool is_wrong(const char *text)
{
    return text && !verb_is_number(text, NUMBER_DIGITS_MAX);
}

static bool check_options(struct replaying *replaying)
{
    struct invocation *invocation = replaying->invocation;
    bool filtered = replaying->topic || replaying->since;

    if (invocation->argc > 1)
        verb_usage_error(usage, "replay: unknown argument %s", invocation->argv[1]);
    else if (is_wrong(replaying->partition) || is_wrong(replaying->from) || is_wrong(replaying->to) ||
             is_wrong(replaying->limit_text))
        verb_usage_error(usage, "replay: --partition, --from, --to and --limit take a number");
    else if ((replaying->partition && !replaying->topic) ||
             ((replaying->from || replaying->to) && !replaying->partition))
        verb_usage_error(usage, "replay: --partition is one of a --topic, --from and --to are of a --partition");
    else if (operator_check_filter(invocation, &replaying->intent, filtered, usage))
    {
        replaying->limit = replaying->limit_text ? strtoll(replaying->limit_text, NULL, 10) : LIMIT_DEFAULT;
        if (replaying->limit >= 1 && replaying->limit <= LIMIT_MAX)
            return verb_read_time("replay", "--since", &replaying->since, replaying->since_text);
        verb_usage_error(usage, "replay: --limit %s: a number from 1 to %d", replaying->limit_text, LIMIT_MAX);
    }
    return false;
}

static bool run(struct replaying *replaying)
{
    struct intent *intent = &replaying->intent;

    replaying->connection = operator_connect(replaying->invocation, intent->execute, &replaying->fault);
    if (replaying->connection == NULL || !operator_note_now(intent, replaying->connection, &replaying->fault))
        return false;
    if (!parameters_parse_time(span_of(intent->before_text), &replaying->before_us))
        replaying->before_us = 0;
    replaying->judge =
        replay_judge_new(replaying->connection, replaying->limit, intent->execute ? INT64_MAX : DECIDED_BYTES_MAX);
    if (replaying->judge == NULL)
        buffer_add_text(&replaying->fault, "out of memory");
    return replaying->judge && read_range(replaying) && (!intent->execute || act(replaying));
}

int verb_replay(struct invocation *invocation)
{
    struct replaying replaying = { .invocation = invocation, .intent = INTENT_EMPTY };
    const struct verb_option own[] = { { "--topic", &replaying.topic, NULL },
                                       { "--partition", &replaying.partition, NULL },
                                       { "--from", &replaying.from, NULL },
                                       { "--to", &replaying.to, NULL },
                                       { "--since", &replaying.since, NULL },
                                       { "--limit", &replaying.limit_text, NULL },
                                       { NULL, NULL, NULL } };
    int code = OPERATOR_NOT_DONE;

    if (operator_parse(invocation, &replaying.intent, own, usage) && check_options(&replaying))
    {
        progress_begin("replay");
        bool good = run(&replaying);
        progress_end();
        good = good && (replaying.intent.execute || try_missing(&replaying));
        if (good)
            code = report(&replaying);
        else
            code = operator_fail_with(invocation, replaying.intent.execute, &replaying.fault);
    }
    replay_fates_done(&replaying.fates);
    replay_judge_free(replaying.judge);
    query_closep(&replaying.connection);
    operator_done(&replaying.intent);
    buffer_done(&replaying.fault);
    return code;
}
