/* Rules between settings, and the names of librdkafka's that are Interlock's own. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "worker/base/topic_name.h"
#include "worker/settings/key.h"

static const struct
{
    const char *name;
    const char *why;
} owned_names[] = {
    { "bootstrap.servers", "set kafka.bootstrap instead" },
    { "metadata.broker.list", "set kafka.bootstrap instead" },
    { "group.id", "set kafka.group instead" },
    { "session.timeout.ms", "set consumers.session_timeout instead" },
    { "max.poll.interval.ms", "it follows from consumers.drain_timeout and consumers.session_timeout" },
    { "transaction.timeout.ms", "set consumers.transaction_timeout instead" },
    { "group.instance.id", "Interlock makes it of group, slot and cell; consumers.static = false switches it off" },
    { "transactional.id", "Interlock makes it of group, slot and cell: two processes with one id fence each other" },
    { "enable.auto.commit", "Interlock commits offsets itself, with the events they belong to" },
    { "auto.commit.enable", "Interlock commits offsets itself, with the events they belong to" },
    { "enable.auto.offset.store", "Interlock commits offsets itself, with the events they belong to" },
    { "auto.commit.interval.ms", "Interlock commits offsets itself, with the events they belong to" },
    { "auto.offset.reset", "Interlock decides where to begin; a silent jump would lose commands" },
    { "isolation.level", "Interlock reads committed messages only" },
    { "enable.idempotence", "Interlock's producers are always idempotent" },
    { "partition.assignment.strategy",
      "Interlock needs the eager protocol: librdkafka 2.0.2 loses offsets with others" },
    { "group.protocol", "Interlock needs the classic eager protocol" },
    { "enable.partition.eof", "Interlock reads these marks itself, to know what is unread" },
    { "plugin.library.paths", "Interlock loads no further code" },
    { "ssl.engine.location", "Interlock loads no further code" },
    { "ssl.engine.id", "Interlock loads no further code" },
    { "ssl.providers", "Interlock loads no further code" },
    { NULL, NULL },
};

const char *settings_owned_name(const char *name)
{
    for (int i = 0; owned_names[i].name; i++)
        if (strcmp(owned_names[i].name, name) == 0)
            return owned_names[i].why;
    return NULL;
}

/* librdkafka's names whose values are shown: whole ones, and beginnings that end with a dot. */
static const char *const shown_names[] = {
    "acks",
    "allow.auto.create.topics",
    "api.version.",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "batch.",
    "broker.",
    "builtin.features",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.",
    "connections.max.idle.ms",
    "coordinator.query.interval.ms",
    "debug",
    "delivery.",
    "enable.",
    "fetch.",
    "group.",
    "heartbeat.interval.ms",
    "https.ca.location",
    "internal.termination.signal",
    "isolation.level",
    "linger.ms",
    "log_level",
    "log.",
    "max.",
    "message.",
    "metadata.",
    "offset.store.method",
    "partition.assignment.strategy",
    "partitioner",
    "queue.",
    "queued.",
    "queuing.strategy",
    "receive.message.max.bytes",
    "reconnect.",
    "request.",
    "retries",
    "retry.",
    "sasl.kerberos.keytab",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "sticky.partitioning.linger.ms",
    "topic.",
    "transaction.timeout.ms",
    NULL,
};

bool settings_is_shown_name(const char *name)
{
    static const char *const secrets[] = { "pass", "secret", "token", "pem", "config", "key", NULL };
    for (int i = 0; shown_names[i]; i++)
    {
        size_t size = strlen(shown_names[i]);
        if (strcmp(name, shown_names[i]) == 0)
            return true;
        if (shown_names[i][size - 1] != '.' || strncmp(name, shown_names[i], size) != 0)
            continue;
        bool shown = true;
        for (int part = 0; secrets[part]; part++)
            shown = shown && !strcasestr(name, secrets[part]);
        return shown;
    }
    return false;
}

const char *settings_find_pair(const struct settings_pairs *pairs, const char *name)
{
    for (int i = 0; i < pairs->count; i++)
        if (strcmp(pairs->at[i].name, name) == 0)
            return pairs->at[i].value;
    return NULL;
}

bool settings_set_pair(struct settings_pairs *pairs, const char *name, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return false;
    for (int i = 0; i < pairs->count; i++)
        if (strcmp(pairs->at[i].name, name) == 0)
        {
            free(pairs->at[i].value);
            pairs->at[i].value = copy;
            return true;
        }
    struct settings_pair *at = realloc(pairs->at, ((size_t)pairs->count + 1) * sizeof(*at));
    char *name_copy = strdup(name);
    if (at)
        pairs->at = at;
    if (!at || !name_copy)
    {
        free(copy);
        free(name_copy);
        return false;
    }
    pairs->at[pairs->count++] = (struct settings_pair){ name_copy, copy };
    return true;
}

/* A pair in milliseconds, as microseconds; a value that librdkafka will refuse counts as not given. */
static int64_t pair_us(const struct settings_pairs *pairs, const char *name, int64_t standard_us)
{
    const char *text = settings_find_pair(pairs, name);
    char *end = NULL;
    long long ms = text ? strtoll(text, &end, 10) : 0;
    return text && *text && *end == '\0' && ms > 0 && ms < INT64_MAX / 1000 ? ms * 1000 : standard_us;
}

/* The source of the value, if it is not the default: a conflict of two values is reported for the first. */
static void add_where(const struct settings *settings, const char *path, struct buffer *into)
{
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        size_t section = strlen(key->section), name = strlen(key->name);
        const struct settings_origin *origin = &settings->origins->at[key - settings_keys];
        if (strncmp(path, key->section, section) != 0 || path[section] != '.' ||
            strncmp(path + section + 1, key->name, name) != 0 || !strchr("' =", path[section + 1 + name]))
            continue;
        if (origin->source == SETTINGS_FROM_FILE && settings->origins->file)
            settings_add_text(into, "%s:%u: ", settings->origins->file, origin->line);
        else if (origin->source != SETTINGS_FROM_DEFAULT)
            buffer_add_text(into, "environment: ");
    }
}

/* smaller < larger, or <= with `may_equal`. */
static bool check_order(const struct settings *settings, const char *smaller_name, int64_t smaller_us, bool may_equal,
                        const char *larger_name, int64_t larger_us, const char *why, struct buffer *reterr)
{
    if (smaller_us < larger_us || (may_equal && smaller_us == larger_us))
        return true;
    add_where(settings, smaller_name, reterr);
    settings_add_text(reterr, "%s (", smaller_name);
    settings_add_duration(smaller_us, reterr);
    settings_add_text(reterr, ") must be %s %s (", may_equal ? "at most" : "less than", larger_name);
    settings_add_duration(larger_us, reterr);
    settings_add_text(reterr, "): %s", why);
    return false;
}

static bool check_timeouts(const struct settings *settings, struct buffer *reterr)
{
    int64_t lease_us = INT64_MAX;
    for (int i = 0; i < LOCK__COUNT; i++)
        lease_us = settings->locks[i].lease_us < lease_us ? settings->locks[i].lease_us : lease_us;
    const struct settings_pairs *producer = &settings->kafka.producer;
    int64_t transaction_us = settings->consumers.transaction_timeout_us;
    return check_order(settings, "database.lock_timeout", settings->database.lock_timeout_us, false,
                       "database.statement_timeout", settings->database.statement_timeout_us,
                       "the statement would end first", reterr) &&
           check_order(settings, "database.statement_timeout", settings->database.statement_timeout_us, false,
                       "half the shortest locks.*.lease", lease_us / 2, "a lock must outlive its transaction",
                       reterr) &&
           check_order(settings, "kafka.producer's message.timeout.ms", pair_us(producer, "message.timeout.ms", 0),
                       true, "consumers.transaction_timeout", transaction_us, "librdkafka asks for it", reterr) &&
           check_order(settings, "kafka.producer's socket.timeout.ms", pair_us(producer, "socket.timeout.ms", 0), true,
                       "consumers.transaction_timeout", transaction_us, "librdkafka asks for it", reterr);
}

const char *settings_protection_off(const struct settings *settings)
{
    for (const struct settings_key *key = settings_keys; key->name; key++)
        if (key->flags & SETTINGS_PROTECTION && !*(const bool *)(const void *)((const char *)settings + key->offset))
            return key->name;
    return NULL;
}

static bool check_protections(const struct settings *settings, struct buffer *reterr)
{
#ifdef INTERLOCK_TEST_BUILD
    (void)settings;
    (void)reterr;
#else
    const char *off = settings_protection_off(settings);
    if (off)
    {
        char path[64];
        snprintf(path, sizeof(path), "protections.%s", off);
        add_where(settings, path, reterr);
        settings_add_text(reterr, "%s = false: accepted: true (only a build for tests can switch a protection off)",
                          path);
        return false;
    }
#endif
    return true;
}

/* A topic that is read and written at once would feed itself. */
static bool check_topics(const struct settings *settings, struct buffer *reterr)
{
    const char *audit = settings->kafka.audit_topic;
    size_t audit_size = strlen(audit), suffix_size = strlen(settings->kafka.dlq_suffix);
    for (const char *at = settings->kafka.topics; *at; at += *at == ',')
    {
        size_t size = strcspn(at, ",");
        if (size == audit_size && memcmp(at, audit, size) == 0)
        {
            add_where(settings, "kafka.audit_topic", reterr);
            settings_add_text(reterr, "kafka.audit_topic = \"%s\": it is one of kafka.topics too", audit);
            return false;
        }
        if (size > suffix_size && memcmp(at + size - suffix_size, settings->kafka.dlq_suffix, suffix_size) == 0)
        {
            add_where(settings, "kafka.topics", reterr);
            settings_add_text(reterr, "kafka.topics: %.*s ends with kafka.dlq_suffix: it holds dead letters", (int)size,
                              at);
            return false;
        }
        if (size + suffix_size > TOPIC_NAME_MAX)
        {
            add_where(settings, "kafka.topics", reterr);
            settings_add_text(reterr, "kafka.topics: %.*s: with kafka.dlq_suffix it is longer than Kafka's %d",
                              (int)size, at, TOPIC_NAME_MAX);
            return false;
        }
        at += size;
    }
    return true;
}

bool settings_check(const struct settings *settings, struct buffer *reterr)
{
    return check_timeouts(settings, reterr) && check_topics(settings, reterr) && check_protections(settings, reterr);
}
