#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/progress.h"
#include "worker/base/shown.h"
#include "worker/cli/verbs.h"

__attribute__((format(printf, 1, 0))) static void tell(const char *format, va_list arguments)
{
    struct buffer shown = BUFFER_EMPTY;
    char *text = NULL;
    int size = vasprintf(&text, format, arguments);

    if (size >= 0)
        shown_add(&shown, (struct span){ text, (size_t)size });
    buffer_add_byte(&shown, '\n');
    if (buffer_failed(&shown))
        fputs("out of memory\n", stderr);
    else
        fwrite(shown.at, 1, shown.size, stderr);
    buffer_done(&shown);
    if (size >= 0)
        free(text);
}

void verb_tell(const char *format, ...)
{
    va_list arguments;
    progress_hide();
    va_start(arguments, format);
    tell(format, arguments);
    va_end(arguments);
}

int verb_usage_error(const char *usage, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("interlock: ", stderr);
    tell(format, arguments);
    va_end(arguments);
    fputs(usage, stderr);
    return 1;
}

int verb_fail(const struct invocation *invocation, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    progress_hide();
    fprintf(stderr, "interlock %s: ", invocation->argv[0]);
    tell(format, arguments);
    va_end(arguments);
    return 1;
}

int verb_fail_with(const struct invocation *invocation, struct buffer *fault)
{
    int code = verb_fail(invocation, "%.*s", (int)fault->size, fault->at ? fault->at : "out of memory");

    buffer_done(fault);
    return code;
}

bool verb_is_number(const char *text, size_t digits_max)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits <= digits_max && text[digits] == '\0';
}

const char *verb_command_topic(const struct invocation *invocation, const char *named, char into[TOPIC_NAME_MAX + 1])
{
    if (named)
        return named;
    size_t size = strcspn(invocation->settings->kafka.topics, ", ");
    snprintf(into, TOPIC_NAME_MAX + 1, "%.*s", (int)size, invocation->settings->kafka.topics);
    return into;
}

int verb_print(const struct invocation *invocation, const struct buffer *buffer)
{
    struct buffer shown = BUFFER_EMPTY;
    int code = 0;
    shown_add_lines(&shown, buffer_span(buffer));
    if (buffer_failed(buffer) || buffer_failed(&shown))
        code = verb_fail(invocation, "out of memory");
    else if (fwrite(shown.at ? shown.at : "", 1, shown.size, stdout) != shown.size || fflush(stdout) != 0)
        code = verb_fail(invocation, "standard output cannot be written");
    buffer_done(&shown);
    return code;
}

int verb_run_part(struct invocation *invocation, const struct verb_part *parts, const char *usage)
{
    const char *name = invocation->argc > 1 ? invocation->argv[1] : "";
    struct buffer accepted = BUFFER_EMPTY;

    if (strcmp(name, "--help") == 0)
    {
        fputs(usage, stdout);
        return 0;
    }
    for (const struct verb_part *part = parts; part->name; part++)
    {
        if (strcmp(part->name, name) == 0)
        {
            struct invocation inner = *invocation;
            inner.argc--;
            inner.argv++;
            inner.argv[0] = part->whole_name;
            buffer_done(&accepted);
            return part->run(&inner);
        }
        buffer_add_text(&accepted, part == parts ? "" : ", ");
        buffer_add_text(&accepted, part->name);
    }
    int code = verb_usage_error(usage, "%s %s: accepted are %.*s", invocation->argv[0], name, (int)accepted.size,
                                accepted.at ? accepted.at : "");
    buffer_done(&accepted);
    return code;
}

bool verb_read_time(const char *verb, const char *option, const char **text, char into[VERB_TIME_TEXT_MAX])
{
    int64_t us, ago_us;
    struct buffer printed = BUFFER_EMPTY;

    if (!*text)
        return true;
    if (!parameters_parse_time(span_of(*text), &us))
    {
        if (!settings_parse_duration(*text, &ago_us))
        {
            verb_tell("interlock: %s: %s %s: accepted is a time such as 2026-11-24T09:00:00Z, or 30min, 2h", verb,
                      option, *text);
            return false;
        }
        us = wall_us() - ago_us;
    }
    buffer_add_time(&printed, us);
    snprintf(into, VERB_TIME_TEXT_MAX, "%.*s", (int)printed.size, printed.at ? printed.at : "");
    buffer_done(&printed);
    *text = into;
    return true;
}

/* The option that `argument` names; *ret_value: the text after its "=", or NULL. */
static const struct verb_option *find_option(const struct verb_option *options, const char *argument,
                                             const char **ret_value)
{
    size_t size = strcspn(argument, "=");
    *ret_value = argument[size] == '=' ? argument + size + 1 : NULL;
    for (const struct verb_option *option = options; option->name; option++)
        if (strlen(option->name) == size && memcmp(option->name, argument, size) == 0)
            return option;
    return NULL;
}

/* Reads the option at argv[*at]; moves *at past a value in the next argument. */
static bool take_option(struct invocation *invocation, const struct verb_option *options, int *at, const char *usage)
{
    const char *argument = invocation->argv[*at];
    const char *value = NULL;
    const struct verb_option *option = find_option(options, argument, &value);
    if (!option)
    {
        verb_usage_error(usage, "%s: unknown option %s", invocation->argv[0], argument);
        return false;
    }
    if (!option->ret_value)
    {
        if (value)
        {
            verb_usage_error(usage, "%s: %s takes no value", invocation->argv[0], option->name);
            return false;
        }
        *option->ret_switch = true;
        return true;
    }
    if (*option->ret_value)
    {
        verb_usage_error(usage, "%s: %s is given twice", invocation->argv[0], option->name);
        return false;
    }
    if (!value && *at + 1 < invocation->argc)
        value = invocation->argv[++*at];
    if (!value)
    {
        verb_usage_error(usage, "%s: %s needs a value", invocation->argv[0], option->name);
        return false;
    }
    *option->ret_value = value;
    return true;
}

bool verb_parse_options(struct invocation *invocation, const struct verb_option *options, const char *usage)
{
    int kept = 1;
    bool ended = false;
    for (int i = 1; i < invocation->argc; i++)
    {
        char *argument = invocation->argv[i];
        /* A lone "-" is an operand: standard input. */
        if (ended || argument[0] != '-' || argument[1] == '\0')
            invocation->argv[kept++] = argument;
        else if (strcmp(argument, "--") == 0)
            ended = true;
        else if (strcmp(argument, "--help") == 0)
        {
            fputs(usage, stdout);
            exit(0);
        }
        else if (!take_option(invocation, options, &i, usage))
            return false;
    }
    invocation->argc = kept;
    invocation->argv[kept] = NULL;
    return true;
}
