/* interlock check: the settings first, then everything they lead to. */
#include "worker/cli/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "consumers/spread.h"
#include "consumers/topics.h"
#include "worker/cli/verbs.h"
#include "worker/lock_check.h"
#include "worker/log.h"

static const char usage[] =
    "usage: interlock check [--offline] [--output json]   exit 0 only if nothing is to be fixed\n"
    "                                 --offline: settings only, nothing is connected to\n";

static const char *const result_names[] = { "ok", "note", "fix" };

void check_add_text(struct check *check, enum check_result result, const char *what, const struct buffer *says)
{
    struct buffer *text = &check->text;
    check->fixes += result == CHECK_FIX;
    if (!check->json)
    {
        char head[64];
        snprintf(head, sizeof(head), "%-5s %-22s ", result_names[result], what);
        buffer_add_text(text, head);
        buffer_add_span(text, buffer_span(says));
        buffer_add_text(text, "\n");
        check->count++;
        return;
    }
    buffer_add_text(text, check->count++ > 0 ? ",\n{\"check\":" : "\n{\"check\":");
    buffer_add_json_string(text, span_of(what));
    buffer_add_text(text, ",\"result\":");
    buffer_add_json_string(text, span_of(result_names[result]));
    buffer_add_text(text, ",\"says\":");
    buffer_add_json_string(text, buffer_span(says));
    buffer_add_text(text, "}");
}

void check_add(struct check *check, enum check_result result, const char *what, const char *format, ...)
{
    char line[1024];
    struct buffer says = BUFFER_EMPTY;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    buffer_add_text(&says, line);
    check_add_text(check, result, what, &says);
    buffer_done(&says);
}

static void check_settings(struct check *check, const struct settings *settings, const char *file)
{
    check_add(check, CHECK_OK, "settings", "%s", file ? file : "no file: defaults and environment");
    const char *off = settings_protection_off(settings);
    if (off)
        check_add(check, CHECK_FIX, "protections",
                  "protections.%s is switched off: this breaks promises on purpose; set it to true", off);
    if (!settings->redis.enabled)
        check_add(check, CHECK_NOTE, "redis", "redis.enabled = false: no outer lock, busy aggregates cost more");
}

static void check_redis(struct check *check, const struct settings *settings)
{
    const struct lock_options options = {
        .url = settings->redis.url,
        .prefix = settings->redis.prefix,
        .owner = "check",
        .connect_timeout_us = settings->redis.connect_timeout_us,
        .command_timeout_us = settings->redis.command_timeout_us,
    };
    struct buffer says = BUFFER_EMPTY;
    bool good = lock_check(&options, &says);
    check_add_text(check, good ? CHECK_OK : CHECK_FIX, "redis", &says);
    buffer_done(&says);
}

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

static void check_topic(struct check *check, const struct topic_state *topic)
{
    struct buffer says = BUFFER_EMPTY;
    enum check_result result = CHECK_FIX;
    buffer_add_text(&says, topic->name);
    if (!topic->exists)
        buffer_add_text(&says, ": it does not exist: run `interlock topics create`");
    else
    {
        buffer_add_text(&says, ": ");
        if (!topics_find_fault(topic, &says))
        {
            result = CHECK_OK;
            buffer_add_int64(&says, topic->partitions);
            buffer_add_text(&says, " partitions, ");
            print_retention(topic->retention_ms, &says);
            /* The inbox is what makes a replay harmless; nothing prunes it, so it outlives every topic. */
            buffer_add_text(&says, strcmp(topic->role, "commands") == 0 ? ", the inbox longer" : "");
        }
    }
    check_add_text(check, result, topic->role, &says);
    buffer_done(&says);
}

/* Retention may have to pass before what was spread wrongly is gone: a note. */
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

static void check_kafka(struct check *check, const struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;
    struct topics_report report = { .count = 0 };
    if (topics_inspect(settings, &report, &fault))
    {
        check_add(check, CHECK_OK, "kafka", "%s, brokers: %d", settings->kafka.bootstrap, report.brokers);
        for (int i = 0; i < report.count; i++)
        {
            check_topic(check, &report.at[i]);
            check_spread(check, settings, &report.at[i]);
        }
    }
    else
        check_add_text(check, CHECK_FIX, "kafka", &fault);
    buffer_done(&fault);
}

int verb_check(struct invocation *invocation)
{
    bool offline = false;
    const struct verb_option options[] = { { "--offline", NULL, &offline }, { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(usage, "check takes no operands");
    const struct settings *settings = invocation->settings;
    /* The report says what is wrong; librdkafka's own lines would only stand between. */
    if (!log_is_on(LOG_LEVEL_DEBUG))
        log_setup(LOG_LEVEL_ERROR, strcmp(settings->log.format, "json") == 0);
    struct check check = { .json = invocation->json };
    buffer_add_text(&check.text, check.json ? "{\"checks\":[" : "");
    check_settings(&check, settings, invocation->config_file);
    if (!offline)
    {
        check_database(&check, settings);
        if (settings->redis.enabled)
            check_redis(&check, settings);
        check_kafka(&check, settings);
    }
    buffer_add_text(&check.text, check.json ? "\n]}\n" : "");
    int code = verb_print(invocation, &check.text);
    buffer_done(&check.text);
    return code != 0 || check.fixes > 0;
}
