/* The needs of a worker in Kafka: its topics as they should be, and every right, tried. */
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/acls.h"
#include "consumers/kafka/clients.h"
#include "consumers/kafka/library.h"
#include "consumers/kafka/rights.h"
#include "consumers/kafka/topics.h"
#include "consumers/message/spread.h"
#include "worker/cli/check.h"

static void print_retention(int64_t ms, struct buffer *into)
{
    if (ms < 0)
        buffer_add_text(into, "kept for ever");
    else
    {
        buffer_add_text(into, "kept ");
        buffer_add_int64(into, ms / 3600000);
        buffer_add_text(into, " h");
    }
}

static enum acl_resource resource_of(const struct topic_state *topic)
{
    return strcmp(topic->role, "commands") == 0 ? ACL_COMMANDS
           : strcmp(topic->role, "audit") == 0  ? ACL_AUDIT
                                                : ACL_DEAD_LETTERS;
}

/* A topic that is there, and of which no fault was found. */
static enum check_result describe_topic(const struct settings *settings, const struct topic_state *topic,
                                        struct buffer *says)
{
    buffer_add_int64(says, topic->partitions);
    buffer_add_text(says, " partitions, ");
    if (!topic->settings_unknown)
    {
        print_retention(topic->retention_ms, says);
        /* The inbox makes a replay harmless; nothing prunes it by itself, so it outlives every topic. */
        buffer_add_text(says, strcmp(topic->role, "commands") == 0 ? ", the inbox longer" : "");
        if (strcmp(topic->role, "dead letters") != 0 || topic->retention_ms < 0 ||
            topic->retention_ms >= strtoll(TOPICS_DLQ_RETENTION_MS, NULL, 10))
            return CHECK_OK;
        buffer_add_text(says,
                        ": after that a letter is a row without bytes, and cannot be redriven; topics create gives 30 "
                        "days: kafka-configs.sh --alter --add-config retention.ms=" TOPICS_DLQ_RETENTION_MS);
        return CHECK_NOTE;
    }
    buffer_add_text(says, "cleanup.policy and max.message.bytes were not checked; no worker needs a right for that: ");
    acls_add_missing(settings, ACL_DESCRIBE_CONFIGS, resource_of(topic), topic->name, says);
    return CHECK_NOTE;
}

static void check_topic(struct check *check, const struct settings *settings, const struct topic_state *topic)
{
    struct buffer says = BUFFER_EMPTY;
    enum check_result result = CHECK_FIX;

    buffer_add_text(&says, topic->name);
    buffer_add_text(&says, ": ");
    if (topic->forbidden)
        buffer_add_text(&says, "the right to describe it is missing, see below");
    else if (!topic->exists)
        buffer_add_text(&says, "it does not exist: run `interlock topics create`");
    else if (!topics_find_fault(topic, &says))
        result = describe_topic(settings, topic, &says);
    check_add_text(check, result, topic->role, &says);
    buffer_done(&says);
}

/* PROTOCOL O5: how a worker treats a command topic that is deleted and created again while it runs. */
static void check_topic_ids(struct check *check, const struct topics_report *report)
{
    static const char risk[] = "if it is deleted and created again while workers run, and grows past their position "
                               "before they check it, the messages below that position are not read: stop the workers "
                               "before a topic is deleted";
    const char *unknown = NULL;

    for (int i = 0; i < report->count && unknown == NULL; i++)
        if (report->at[i].exists && strcmp(report->at[i].role, "commands") == 0 && report->at[i].id[0] == '\0')
            unknown = report->at[i].name;
    if (!topic_ids_are_told())
        check_add(check, CHECK_NOTE, "topic ids",
                  "librdkafka %s cannot tell a command topic from a former one of its name (2.3 and later can, if "
                  "this program is built with it): %s",
                  library_version(), risk);
    else if (unknown)
        check_add(check, CHECK_NOTE, "topic ids", "%s: Kafka does not tell its id: %s", unknown, risk);
    else
        check_add(check, CHECK_OK, "topic ids",
                  "a command topic that is deleted and created again is noticed within %d s, and read from its "
                  "beginning; stop the workers before a topic is deleted, or the messages that they read until then "
                  "come first",
                  TOPIC_WATCH_S);
}

/* Retention may have to pass before wrongly spread messages are gone: a note. */
static void check_spread(struct check *check, const struct settings *settings, const struct topic_state *topic)
{
    struct buffer fault = BUFFER_EMPTY;
    struct spread_sampled sampled;
    if (!topic->exists || strcmp(topic->role, "commands") != 0)
        return;
    if (!spread_sample(settings, topic->name, topic->partitions, &sampled, &fault))
        check_add_text(check, CHECK_NOTE, "partitioner", &fault);
    else if (sampled.elsewhere > 0)
        check_add(
            check, CHECK_NOTE, "partitioner",
            "%s: of the last %lld messages with a key %lld lie in another partition than murmur2 gives it: the "
            "commands of one aggregate lose their order; set partitioner=murmur2_random in every producer that is "
            "librdkafka's (kcat too); the worker counts them as interlock_unexpected_partition_total",
            topic->name, (long long)sampled.keyed, (long long)sampled.elsewhere);
    else if (sampled.keyed > 0)
        check_add(check, CHECK_OK, "partitioner", "%s: the last %lld messages with a key lie where murmur2 puts them",
                  topic->name, (long long)sampled.keyed);
    buffer_done(&fault);
}

static void add_missing(void *owner, const struct buffer *says)
{
    check_add_text(owner, CHECK_FIX, "right", says);
}

/* False: something is missing. */
static bool check_rights(struct check *check, const struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;
    int before = check->fixes;

    if (!rights_probe(settings, true, NULL, add_missing, check, &fault))
        check_add_text(check, CHECK_FIX, "rights", &fault);
    else if (check->fixes == before)
        check_add(check, CHECK_OK, "rights", "all that a worker needs, each tried");
    buffer_done(&fault);
    return check->fixes == before;
}

bool check_clients(struct check *check, const struct settings *settings)
{
    struct buffer says = BUFFER_EMPTY;
    bool good = clients_try(settings, &says);

    if (!good)
        check_add_text(check, CHECK_FIX, "kafka settings", &says);
    else if (clients_doubt(settings, &says))
        check_add_text(check, CHECK_NOTE, "kafka settings", &says);
    buffer_done(&says);
    return good;
}

void check_kafka(struct check *check, const struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;
    struct topics_report report = { .count = 0 };

    if (topics_inspect(settings, &report, &fault))
    {
        check_add(check, CHECK_OK, "kafka", "%s, brokers: %d", settings->kafka.bootstrap, report.brokers);
        for (int i = 0; i < report.count; i++)
            check_topic(check, settings, &report.at[i]);
        check_topic_ids(check, &report);
        check_locks(check, settings, &report);
        bool readable = check_rights(check, settings);
        for (int i = 0; i < report.count && readable; i++)
            check_spread(check, settings, &report.at[i]);
    }
    else
        check_add_text(check, CHECK_FIX, "kafka", &fault);
    buffer_done(&fault);
}
