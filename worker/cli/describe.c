/* interlock describe: types, settings, topics, and the documents that programs read. Nothing is connected to. */
#include <stdio.h>
#include <string.h>

#include "consumers/admin/bounds.h"
#include "consumers/kafka/acls.h"
#include "worker/cli/verbs.h"
#include "workflows/describe/describe.h"

static const char usage[] =
    "usage: interlock describe types [--output json]       the commands, their effect and their data\n"
    "       interlock describe settings [--output json]    every setting, its value and the source of the value\n"
    "       interlock describe settings --example          the documented settings file with all defaults\n"
    "       interlock describe topics [--output json]      the topics that the settings name\n"
    "       interlock describe bounds [--output json]      the most that a worker may use with these settings\n"
    "       interlock describe acls [--output json]        the kafka-acls.sh lines for worker, publisher, reader, ...\n"
    "       interlock describe --json-schema [TYPE]        JSON Schema of one command type, or of all and the event\n"
    "       interlock describe --asyncapi                  AsyncAPI document of the topics and messages\n";

static int finish(const struct invocation *invocation, struct buffer *text)
{
    int code = verb_print(invocation, text);
    buffer_done(text);
    return code;
}

/* <topic><suffix> of every command topic, separated by commas. */
static void add_dead_letter_topics(const struct settings *settings, struct buffer *into)
{
    for (const char *at = settings->kafka.topics; *at; at += *at == ',')
    {
        size_t size = strcspn(at, ",");
        buffer_add_text(into, at > settings->kafka.topics ? "," : "");
        buffer_add(into, at, size);
        buffer_add_text(into, settings->kafka.dlq_suffix);
        at += size;
    }
}

static void add_topics(const char *list, const char *role, bool json, bool *first, struct buffer *into)
{
    for (const char *at = list; *at; at += *at == ',')
    {
        struct span name = { at, strcspn(at, ",") };
        if (json)
        {
            buffer_add_text(into, *first ? "\n{\"topic\":" : ",\n{\"topic\":");
            buffer_add_json_string(into, name);
            buffer_add_text(into, ",\"role\":");
            buffer_add_json_string(into, span_of(role));
            buffer_add_text(into, "}");
        }
        else
        {
            buffer_add_span(into, name);
            buffer_add_text(into, "  ");
            buffer_add_text(into, role);
            buffer_add_text(into, "\n");
        }
        *first = false;
        at += name.size;
    }
}

static int describe_topics(const struct invocation *invocation)
{
    const struct settings *settings = invocation->settings;
    struct buffer text = BUFFER_EMPTY, dead = BUFFER_EMPTY;
    bool first = true, json = invocation->json;
    add_dead_letter_topics(settings, &dead);
    buffer_add_byte(&dead, '\0');
    buffer_add_text(&text, json ? "{\"topics\":[" : "");
    add_topics(settings->kafka.topics, "commands", json, &first, &text);
    add_topics(settings->kafka.audit_topic, "audit", json, &first, &text);
    add_topics(buffer_failed(&dead) ? "" : dead.at, "dead letters", json, &first, &text);
    buffer_add_text(&text, json ? "\n]}\n" : "");
    text.failed = text.failed || buffer_failed(&dead);
    buffer_done(&dead);
    return finish(invocation, &text);
}

static int describe_settings(const struct invocation *invocation, bool example)
{
    struct buffer text = BUFFER_EMPTY;
    if (example)
        settings_print_example(&text);
    else
        settings_print(invocation->settings, invocation->json, &text);
    return finish(invocation, &text);
}

static int describe_acls(const struct invocation *invocation)
{
    struct buffer text = BUFFER_EMPTY;

    acls_print(invocation->settings, invocation->json, &text);
    return finish(invocation, &text);
}

static int describe_bounds(const struct invocation *invocation)
{
    struct buffer text = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    struct bounds bounds;

    if (!bounds_derive(invocation->settings, &bounds, &fault))
    {
        int code = verb_fail_with(invocation, &fault);
        buffer_done(&fault);
        return code;
    }
    buffer_done(&fault);
    bounds_print(&bounds, invocation->json, &text);
    return finish(invocation, &text);
}

static int print_schema(const struct invocation *invocation, const char *type)
{
    struct buffer text = BUFFER_EMPTY;
    if (!describe_json_schema(span_of(type), &text))
    {
        buffer_done(&text);
        return verb_usage_error(usage, "describe: there is no type %s: `interlock describe types` lists them", type);
    }
    buffer_add_text(&text, "\n");
    return finish(invocation, &text);
}

static int print_asyncapi(const struct invocation *invocation)
{
    const struct settings *settings = invocation->settings;
    struct buffer text = BUFFER_EMPTY, dead = BUFFER_EMPTY;
    add_dead_letter_topics(settings, &dead);
    buffer_add_byte(&dead, '\0');
    if (!buffer_failed(&dead))
        describe_asyncapi(settings->kafka.topics, settings->kafka.audit_topic, dead.at, &text);
    buffer_add_text(&text, "\n");
    text.failed = text.failed || buffer_failed(&dead);
    buffer_done(&dead);
    return finish(invocation, &text);
}

static int print_types(const struct invocation *invocation)
{
    struct buffer text = BUFFER_EMPTY;
    describe_types(invocation->json, &text);
    if (text.size > 0 && text.at[text.size - 1] != '\n')
        buffer_add_text(&text, "\n");
    return finish(invocation, &text);
}

int verb_describe(struct invocation *invocation)
{
    bool schema = false, asyncapi = false, example = false;
    const struct verb_option options[] = {
        { "--json-schema", NULL, &schema },
        { "--asyncapi", NULL, &asyncapi },
        { "--example", NULL, &example },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, options, usage))
        return 1;
    const char *what = invocation->argc > 1 ? invocation->argv[1] : NULL;
    if (invocation->argc > 2 || schema + asyncapi + example > 1)
        return verb_usage_error(usage, "describe one thing at a time");
    if (schema)
        return print_schema(invocation, what);
    if (asyncapi && !what)
        return print_asyncapi(invocation);
    if (what && strcmp(what, "settings") == 0 && !asyncapi)
        return describe_settings(invocation, example);
    if (what && strcmp(what, "types") == 0 && !asyncapi && !example)
        return print_types(invocation);
    if (what && strcmp(what, "topics") == 0 && !asyncapi && !example)
        return describe_topics(invocation);
    if (what && strcmp(what, "bounds") == 0 && !asyncapi && !example)
        return describe_bounds(invocation);
    if (what && strcmp(what, "acls") == 0 && !asyncapi && !example)
        return describe_acls(invocation);
    return verb_usage_error(
        usage, "describe %s: accepted are types, settings, topics, bounds, acls, --json-schema, --asyncapi",
        what ? what : "");
}
