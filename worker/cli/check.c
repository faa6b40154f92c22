/* interlock check: the settings first, then everything they lead to. */
#include "worker/cli/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "worker/base/log.h"
#include "worker/base/shown.h"
#include "worker/cli/verbs.h"

enum
{
    EXIT_FOUND = 3, /* looked, and there is something to be fixed */
};

static const char usage[] =
    "usage: interlock check [--offline] [--output json]\n"
    "\n"
    "  --offline   checks the settings only, without any connection\n"
    "\n"
    "Exit 0: there is nothing to fix; 3: there is, or a service cannot be reached; 1: no check was made.\n";

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
        shown_add(text, buffer_span(says));
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

int verb_check(struct invocation *invocation)
{
    bool offline = false;
    const struct verb_option options[] = { { "--offline", NULL, &offline }, { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(usage, "check takes no operands");
    const struct settings *settings = invocation->settings;
    /* The report has the faults; librdkafka's own lines would only interrupt it. */
    if (!log_is_on(LOG_LEVEL_DEBUG))
        log_setup(LOG_LEVEL_ERROR, strcmp(settings->log.format, "json") == 0);
    struct check check = { .json = invocation->json };
    buffer_add_text(&check.text, check.json ? "{\"checks\":[" : "");
    check_settings(&check, settings, invocation->config_file);
    check_transport(&check, settings);
    bool clients = check_clients(&check, settings);
    if (!offline)
    {
        check_database(&check, settings);
        if (settings->redis.enabled)
            check_redis(&check, settings);
        if (clients)
            check_kafka(&check, settings);
    }
    buffer_add_text(&check.text, check.json ? "\n]}\n" : "");
    int code = verb_print(invocation, &check.text);
    buffer_done(&check.text);
    return code != 0 ? code : check.fixes > 0 ? EXIT_FOUND : 0;
}
