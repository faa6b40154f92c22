/* The one place where a setting is named: its default, its limits and its line in the settings file. */
#include <ctype.h>
#include <stdlib.h>

#include "worker/base/topic_name.h"
#include "worker/settings/database_url.h"
#include "worker/settings/key.h"
#include "worker/settings/redis_url.h"

enum
{
    TOPICS_MAX = 16,
    ENV_MAX = 32,
    KIB = 1024,
    MIB = 1024 * 1024,
};

#define MS INT64_C(1000)
#define S INT64_C(1000000)
#define MIN INT64_C(60000000)
#define HOUR INT64_C(3600000000)

static bool has_only(const char *text, size_t size, const char *also)
{
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr(also, text[i]))
            return false;
    return true;
}

static bool is_topic_of(const char *text, size_t size)
{
    bool only_dots = size <= 2 && strspn(text, ".") >= size;
    return size >= 1 && size <= TOPIC_NAME_MAX && !only_dots && has_only(text, size, "._-");
}

static bool is_name(const char *text)
{
    return has_only(text, strlen(text), "._-");
}

static bool is_topic(const char *text)
{
    return is_topic_of(text, strlen(text));
}

static bool is_in_list(const char *list, const char *end, const char *word, size_t size)
{
    for (const char *at = list; at < end; at += strcspn(at, ",") + 1)
        if (strcspn(at, ",") == size && memcmp(at, word, size) == 0)
            return true;
    return false;
}

static bool is_topic_list(const char *text)
{
    int count = 0;
    for (const char *at = text;; at++)
    {
        size_t size = strcspn(at, ",");
        if (!is_topic_of(at, size) || is_in_list(text, at, at, size) || ++count > TOPICS_MAX)
            return false;
        at += size;
        if (*at == '\0')
            return true;
    }
}

static bool has_no_space(const char *text)
{
    for (; *text; text++)
        if (isspace((unsigned char)*text))
            return false;
    return true;
}

static bool is_database_url(const char *text)
{
    const char *why;
    PQconninfoOption *options = has_no_space(text) ? database_url_parse(text, &why) : NULL;
    PQconninfoFree(options);
    return options != NULL;
}

static bool is_redis_url(const char *text)
{
    const char *why;
    struct redis_url url = { 0 };
    bool right = has_no_space(text) && redis_url_parse(text, &url, &why);
    if (right)
        redis_url_done(&url);
    return right;
}

static bool is_listen(const char *text)
{
    if (*text == '\0')
        return true;
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    return digits >= 1 && digits <= 5 && colon[1 + digits] == '\0' && atol(colon + 1) <= 65535 &&
           has_only(text, (size_t)(colon - text), ".-:[]");
}

static const char *const delivery_words[] = { "at_least_once", "exactly_once", NULL };
static const char *const level_words[] = { "error", "warning", "info", "debug", NULL };
static const char *const format_words[] = { "text", "json", NULL };

const struct settings_section settings_sections[] = {
    { "kafka", "Where commands come from and audit events go." },
    { "database", "PostgreSQL. Correctness rests on it alone." },
    { "redis", "The outer lock. Results are right without it, but busy aggregates cost more." },
    { "consumers", "The Kafka edge of this process." },
    { "worker", "The lanes, which apply commands in batches." },
    { "dlq", "Dead letters, and how often they come back." },
    { "operators", "Things shown to operators, and asked of them, before they act." },
    { "locks.attendance", "Redis locks by the kind of work: the lease of a lock, and the longest wait for one." },
    { "locks.face_verification", NULL },
    { "locks.behaviour", NULL },
    { "locks.embedding", NULL },
    { "locks.job_workflow", NULL },
    { "locks.parent_with_children", NULL },
    { "locks.status_change", NULL },
    { "retries.default", "Delays between tries. After the last one the longest delay repeats; no command is dropped." },
    { "retries.aggressive", NULL },
    { "retries.conservative", NULL },
    { "retries.database_operation", NULL },
    { "retries.lock_acquisition", NULL },
    { "http", "Health, metrics and the status page." },
    { "log", "Standard error." },
    { "protections",
      "The promises rest on these. Only a build for tests can switch one off, to show the failure that it prevents." },
    { NULL, NULL },
};

#define AT(member) offsetof(struct settings, member)

#define TEXT(section, name, member, standard, minimum, maximum, is_valid, accepts, flags, says) \
    { \
        section, name, standard, SETTINGS_TEXT, AT(member), minimum, maximum, NULL, is_valid, accepts, flags, says \
    }
#define WORD(section, name, kind, member, standard, words, says) \
    { \
        section, name, standard, kind, AT(member), 0, 0, words, NULL, NULL, 0, says \
    }
#define RANGE(section, name, kind, member, standard, minimum, maximum, says) \
    { \
        section, name, standard, kind, AT(member), minimum, maximum, NULL, NULL, NULL, 0, says \
    }
#define SWITCH(section, name, member, flags, says) \
    { \
        section, name, "true", SETTINGS_SWITCH, AT(member), 0, 0, NULL, NULL, NULL, flags, says \
    }
#define PAIRS(section, name, member, says) \
    { \
        section, name, NULL, SETTINGS_PAIRS, AT(member), 0, 0, NULL, NULL, NULL, 0, says \
    }

#define DURATION(section, name, member, standard, minimum, maximum, says) \
    RANGE(section, name, SETTINGS_DURATION, member, standard, minimum, maximum, says)
#define LOCK(section, class, lease, wait) \
    DURATION(section, "lease", locks[class].lease_us, lease, 100 * MS, HOUR, "the lock expires after this"), \
        DURATION(section, "wait", locks[class].wait_us, wait, 0, HOUR, "then the command continues without the lock")
#define RETRY(section, policy, count, shortest, growth, limit, spread) \
    RANGE(section, "retries", SETTINGS_COUNT, retries[policy].retries, count, 0, 1000, \
          "number of delays that still grow"), \
        DURATION(section, "first", retries[policy].first_us, shortest, MS, HOUR, "the first delay"), \
        RANGE(section, "factor", SETTINGS_NUMBER, retries[policy].factor, growth, 1, 10, \
              "ratio of a delay to the one before it"), \
        DURATION(section, "longest", retries[policy].longest_us, limit, MS, HOUR, "the longest delay"), \
        RANGE(section, "jitter", SETTINGS_NUMBER, retries[policy].jitter, spread, 0, 1, "0.1 is +-10 %")

/* Grouped by section, in the order of settings_sections. */
const struct settings_key settings_keys[] = {
    TEXT("kafka", "bootstrap", kafka.bootstrap, "127.0.0.1:9092", 1, 4096, has_no_space,
         "host:port, separated by commas", 0, "brokers; KAFKA_BOOTSTRAP overrides it"),
    TEXT("kafka", "group", kafka.group, "interlock", 1, 200, is_name, "letters, digits, '.', '_', '-'", 0,
         "consumer group: one per database schema"),
    TEXT("kafka", "topics", kafka.topics, "interlock.commands", 1, 4096, is_topic_list,
         "up to 16 different topic names, separated by commas without spaces", 0,
         "command topics, separated by commas"),
    TEXT("kafka", "audit_topic", kafka.audit_topic, "interlock.audit", 1, TOPIC_NAME_MAX, is_topic,
         "letters, digits, '.', '_', '-'", 0, "audit events"),
    TEXT("kafka", "dlq_suffix", kafka.dlq_suffix, ".dlq", 1, 100, is_name, "letters, digits, '.', '_', '-'", 0,
         "dead letters go to <command topic><suffix>"),
    WORD("kafka", "delivery", SETTINGS_CHOICE, kafka.exactly_once, "exactly_once", delivery_words,
         "exactly_once, or at_least_once: cheaper, readers drop repeated event ids"),
    PAIRS(
        "kafka", "consumer", kafka.consumer,
        "librdkafka's own names, for every consumer. On a network that is not this host's own, here and in producer:\n"
        "  security.protocol = \"sasl_ssl\"; ssl.ca.location = \"/path/ca.pem\"; sasl.mechanisms = \"PLAIN\";\n"
        "  sasl.username = \"interlock_worker\"; the password: INTERLOCK_KAFKA_CONSUMER_SASL_PASSWORD"),
    PAIRS("kafka", "producer", kafka.producer,
          "librdkafka's own names, for every producer: compression.type, ...; the same security settings as consumer"),

    TEXT("database", "url", database.url, "postgresql://127.0.0.1:5432/interlock", 1, 4096, is_database_url,
         "postgresql://[user[:password]@]host[:port]/database[?name=value&...], reserved characters as %XX: / is %2F, "
         "@ is %40",
         SETTINGS_SECRET,
         "libpq URL; DATABASE_URL overrides it; passwords go into PGPASSFILE. On a network that is not this host's\n"
         "own: \"postgresql://interlock_worker@db.example/interlock?sslmode=verify-full&sslrootcert=/path/ca.pem\";\n"
         "libpq's own default, sslmode=prefer, sends the password to any server that answers"),
    DURATION("database", "statement_timeout", database.statement_timeout_us, "4s", 10 * MS, 10 * MIN,
             "less than half the shortest lease of a lock"),
    DURATION("database", "lock_timeout", database.lock_timeout_us, "2s", 10 * MS, 10 * MIN,
             "less than statement_timeout"),
    DURATION("database", "idle_in_transaction_timeout", database.idle_in_transaction_timeout_us, "10s", 100 * MS, HOUR,
             "PostgreSQL ends the session of a worker that stopped in a transaction"),
    DURATION("database", "connect_timeout", database.connect_timeout_us, "5s", 100 * MS, 10 * MIN,
             "for one attempt; attempts repeat without end"),

    SWITCH("redis", "enabled", redis.enabled, 0, "false: no outer lock"),
    TEXT("redis", "url", redis.url, "redis://127.0.0.1:6379", 1, 4096, is_redis_url,
         "redis://[[user]:password@]host:port[/number], reserved characters as %XX, or unix:/path (no TLS in this "
         "build)",
         SETTINGS_SECRET, "REDIS_URL overrides it"),
    TEXT("redis", "prefix", redis.prefix, "interlock:", 0, 64, has_no_space, "up to 64 bytes without spaces", 0,
         "the beginning of every lock's name"),
    DURATION("redis", "connect_timeout", redis.connect_timeout_us, "1s", MS, MIN, "for one attempt"),
    DURATION("redis", "command_timeout", redis.command_timeout_us, "500ms", MS, MIN,
             "then the batch continues without the lock"),

    RANGE("consumers", "count", SETTINGS_INTEGER, consumers.count, "1", 1, 16,
          "cells: a consumer, its lanes and a producer each"),
    SWITCH("consumers", "static", consumers.static_membership, 0,
           "static membership: quick restarts; false where workers come and go often"),
    RANGE("consumers", "in_flight_commands", SETTINGS_INTEGER, consumers.in_flight_commands, "16384", 1, 1000000,
          "commands received and not yet published, per cell"),
    RANGE("consumers", "in_flight_bytes", SETTINGS_SIZE, consumers.in_flight_bytes, "32MiB", 64 * KIB,
          INT64_C(4096) * MIB, "the bytes of these commands"),
    DURATION("consumers", "session_timeout", consumers.session_timeout_us, "10s", S, 30 * MIN,
             "after this Kafka gives a silent worker's partitions to others"),
    DURATION("consumers", "drain_timeout", consumers.drain_timeout_us, "10s", 100 * MS, 30 * MIN,
             "time to finish work in flight when a partition or the process ends; max.poll.interval.ms is 10 s more"),
    DURATION("consumers", "publish_linger", consumers.publish_linger_us, "0ms", 0, S,
             "gather events this long before publishing"),
    DURATION("consumers", "transaction_timeout", consumers.transaction_timeout_us, "10s", S, 15 * MIN,
             "Kafka aborts a transaction of ours after this"),
    DURATION("consumers", "watchdog", consumers.watchdog_us, "30s", S, HOUR,
             "a consumer that lacks a partition of its own for this plus drain_timeout + 10s is rebuilt"),

    RANGE("worker", "lanes", SETTINGS_INTEGER, worker.lanes, "4", 1, 64,
          "per cell; each has a thread and a PostgreSQL session"),
    RANGE("worker", "batch_max", SETTINGS_INTEGER, worker.batch_max, "1000", 1, 10000, "commands in one transaction"),
    DURATION("worker", "batch_linger", worker.batch_linger_us, "10ms", 0, 50 * MS,
             "wait up to this to fill a batch, while commands come fast"),
    DURATION("worker", "park_after", worker.park_after_us, "60s", 100 * MS, HOUR,
             "a command held this long is parked in PostgreSQL, and tried again at least this often"),
    DURATION("worker", "park_when_blocking", worker.park_when_blocking_us, "1s", 0, HOUR,
             "a held command is parked once answers of other keys have waited this long for it; 0s: never"),
    DURATION("worker", "park_horizon", worker.park_horizon_us, "8784h", HOUR, 87840 * HOUR,
             "a notbefore further ahead than this (366 days) is refused: it is a mistake more often than a wish"),
    RANGE("worker", "park_max", SETTINGS_INTEGER, worker.park_max, "1000000", 1, 100000000,
          "commands that may be parked in all; past it they are held at their offsets until half of them are left"),
    RANGE("worker", "park_bytes", SETTINGS_SIZE, worker.park_bytes, "4096MiB", 64 * KIB, INT64_C(1048576) * MIB,
          "the bytes of these commands: they are on the disk of PostgreSQL, and in its WAL twice"),
    RANGE("worker", "park_source_max", SETTINGS_INTEGER, worker.park_source_max, "250000", 1, 100000000,
          "of one source, so that one publisher's mistake (notbefore in everything) leaves room for the others"),
    RANGE("worker", "pause_bytes", SETTINGS_SIZE, worker.pause_bytes, "256MiB", 64 * KIB, INT64_C(1048576) * MIB,
          "the bytes of commands that wait for pauses, 100000 commands at most; past it their partitions stop"),

    RANGE("dlq", "max_redrives", SETTINGS_INTEGER, dlq.max_redrives, "3", 0, 1000,
          "a command that was redriven this often stays a dead letter; dlq redrive --max-redrives allows more"),

    TEXT("operators", "env", operators.env, "", 0, ENV_MAX, is_name,
         "up to 32 letters, digits, '.', '_', '-'; or nothing", 0,
         "\"production\": dry runs say it, and --execute on a terminal asks for it; empty: neither"),

    LOCK("locks.attendance", LOCK_ATTENDANCE, "10s", "5s"),
    LOCK("locks.face_verification", LOCK_FACE_VERIFICATION, "15s", "10s"),
    LOCK("locks.behaviour", LOCK_BEHAVIOUR, "20s", "15s"),
    LOCK("locks.embedding", LOCK_EMBEDDING, "10s", "5s"),
    LOCK("locks.job_workflow", LOCK_JOB_WORKFLOW, "15s", "10s"),
    LOCK("locks.parent_with_children", LOCK_PARENT_WITH_CHILDREN, "20s", "15s"),
    LOCK("locks.status_change", LOCK_STATUS_CHANGE, "10s", "5s"),

    RETRY("retries.default", RETRY_DEFAULT, "3", "100ms", "2.0", "5s", "0.1"),
    RETRY("retries.aggressive", RETRY_AGGRESSIVE, "5", "50ms", "1.5", "3s", "0.1"),
    RETRY("retries.conservative", RETRY_CONSERVATIVE, "2", "500ms", "2.5", "10s", "0.0"),
    RETRY("retries.database_operation", RETRY_DATABASE_OPERATION, "3", "200ms", "2.0", "4s", "0.1"),
    RETRY("retries.lock_acquisition", RETRY_LOCK_ACQUISITION, "4", "100ms", "1.5", "2s", "0.1"),

    TEXT("http", "listen", http.listen, "127.0.0.1:9464", 0, 255, is_listen,
         "host:port, [address]:port, or nothing for no endpoint", 0,
         "port 0 takes a free one and logs it; keep it on loopback, it asks for no password"),

    WORD("log", "level", SETTINGS_WORD, log.level, "info", level_words, "error, warning, info or debug"),
    WORD("log", "format", SETTINGS_WORD, log.format, "text", format_words, "text, or json: one object a line"),

    SWITCH("protections", "row_locks", protections.row_locks, SETTINGS_PROTECTION,
           "rows are locked before they are read"),
    SWITCH("protections", "inbox", protections.inbox, SETTINGS_PROTECTION, "a repeated command is not applied again"),
    SWITCH("protections", "fence", protections.fence, SETTINGS_PROTECTION,
           "a worker that lost a partition has no effect"),
    SWITCH("protections", "producer_guard", protections.producer_guard, SETTINGS_PROTECTION,
           "a producer whose transaction may be in doubt is replaced"),
    SWITCH("protections", "retry", protections.retry, SETTINGS_PROTECTION,
           "a command that cannot be applied yet is tried again; without this it is dropped"),
    SWITCH("protections", "redis_lock", protections.redis_lock, SETTINGS_PROTECTION,
           "aggregates are locked in Redis before PostgreSQL is asked"),
    SWITCH("protections", "transaction", protections.transaction, SETTINGS_PROTECTION,
           "a batch is one transaction; without this each statement commits by itself"),
    SWITCH("protections", "parking", protections.parking, SETTINGS_PROTECTION,
           "a command that is held too long, or in a full partition, is parked"),
    SWITCH("protections", "quarantine", protections.quarantine, SETTINGS_PROTECTION,
           "a command that ends the worker again and again becomes a dead letter"),
    SWITCH("protections", "steady_waits", protections.steady_waits, SETTINGS_PROTECTION,
           "librdkafka does not wait on the wall clock"),
    SWITCH("protections", "standby", protections.standby, SETTINGS_PROTECTION,
           "commits that a synchronous standby may lack are not published"),
    SWITCH("protections", "session_terms", protections.session_terms, SETTINGS_PROTECTION,
           "a PostgreSQL session sets the parameters that it needs; without this it only checks them"),
    SWITCH("protections", "watchdog", protections.watchdog, SETTINGS_PROTECTION,
           "a consumer to which the group assigns nothing is rebuilt"),
    SWITCH("protections", "commit_marks", protections.commit_marks, SETTINGS_PROTECTION,
           "offsets that somebody else committed do not count as published"),
    SWITCH("protections", "topic_ids", protections.topic_ids, SETTINGS_PROTECTION,
           "a command topic that was created again is read from its beginning"),
    { .name = NULL },
};

int settings_key_count(void)
{
    return (int)(sizeof(settings_keys) / sizeof(*settings_keys)) - 1;
}
