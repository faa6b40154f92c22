/* Settings for people: the documented file, the present values, URLs without their passwords. */
#include <stdlib.h>
#include <strings.h>

#include "worker/settings/database_url.h"
#include "worker/settings/key.h"
#include "worker/settings/redis_url.h"

static const char *const source_names[] = { "default", "file", "service variable", "environment" };

/* --- secrets ----------------------------------------------------------------------------------------------------- */

/* By the parsers that read them for use: a text that those do not understand is hidden whole. */
void settings_add_url(const char *url, struct buffer *into)
{
    if (strncmp(url, "postgres", strlen("postgres")) == 0)
        database_url_print(url, into);
    else
        redis_url_print(url, into);
}

/* --- the documented file ----------------------------------------------------------------------------------------- */

static bool is_quoted(enum settings_kind kind)
{
    return kind == SETTINGS_TEXT || kind == SETTINGS_WORD || kind == SETTINGS_CHOICE || kind == SETTINGS_DURATION ||
           kind == SETTINGS_SIZE;
}

static void add_indent(int depth, struct buffer *into)
{
    for (int i = 0; i < depth; i++)
        buffer_add_text(into, "  ");
}

/* The accepted values, if the key's help does not name them. */
static void add_limits(const struct settings_key *key, struct buffer *into)
{
    static const struct
    {
        enum settings_kind kind;
        void (*add)(int64_t, struct buffer *);
    } ranges[] = {
        { SETTINGS_INTEGER, NULL },
        { SETTINGS_COUNT, NULL },
        { SETTINGS_NUMBER, NULL },
        { SETTINGS_DURATION, settings_add_duration },
        { SETTINGS_SIZE, settings_add_size },
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
    {
        if (ranges[i].kind != key->kind)
            continue;
        buffer_add_text(into, " (");
        ranges[i].add ? ranges[i].add(key->minimum, into) : buffer_add_int64(into, key->minimum);
        buffer_add_text(into, " to ");
        ranges[i].add ? ranges[i].add(key->maximum, into) : buffer_add_int64(into, key->maximum);
        buffer_add_text(into, ")");
    }
}

/* Without the end of its last line. */
static void add_comment(const char *says, int depth, struct buffer *into)
{
    for (;;)
    {
        size_t size = strcspn(says, "\n");
        add_indent(depth, into);
        settings_add_text(into, "# %.*s", (int)size, says);
        if (says[size] == '\0')
            return;
        buffer_add_text(into, "\n");
        says += size + 1;
    }
}

static void add_example_key(const struct settings_key *key, int depth, struct buffer *into)
{
    add_comment(key->help, depth, into);
    add_limits(key, into);
    buffer_add_text(into, "\n");
    add_indent(depth, into);
    if (key->kind == SETTINGS_PAIRS)
        settings_add_text(into, "%s = { };\n", key->name);
    else
        settings_add_text(into, "%s = %s%s%s;\n", key->name, is_quoted(key->kind) ? "\"" : "", key->default_text,
                          is_quoted(key->kind) ? "\"" : "");
}

/* The length of the part before the dot that `name` shares with `other` ("locks" of "locks.attendance"), else 0. */
static size_t shared_part(const char *name, const char *other)
{
    size_t size = strcspn(name, ".");
    return other && name[size] == '.' && strncmp(name, other, size + 1) == 0 ? size : 0;
}

static void add_example_section(const struct settings_section *section, const char *before, struct buffer *into)
{
    size_t outer = strcspn(section->name, ".");
    bool nested = section->name[outer] == '.';
    if (!shared_part(section->name, before))
    {
        buffer_add_text(into, "\n");
        if (section->help)
            settings_add_text(into, "# %s\n", section->help);
        settings_add_text(into, "%.*s:\n{\n", (int)outer, section->name);
    }
    if (nested)
        settings_add_text(into, "  %s:\n  {\n", section->name + outer + 1);
    for (const struct settings_key *key = settings_keys; key->name; key++)
        if (strcmp(key->section, section->name) == 0)
            add_example_key(key, nested ? 2 : 1, into);
    if (nested)
        buffer_add_text(into, "  };\n");
    if (!shared_part(section->name, section[1].name))
        buffer_add_text(into, "};\n");
}

void settings_print_example(struct buffer *into)
{
    buffer_add_text(
        into,
        "# Interlock's settings: every key, with its default. A key that is left out has its default.\n"
        "#\n"
        "# INTERLOCK_<SECTION>_<KEY> overrides a key (INTERLOCK_HTTP_LISTEN, INTERLOCK_LOCKS_STATUS_CHANGE_LEASE,\n"
        "# INTERLOCK_KAFKA_CONSUMER_SASL_PASSWORD), and KAFKA_BOOTSTRAP, DATABASE_URL and REDIS_URL override their "
        "three.\n"
        "# Durations and sizes are strings with units: \"250ms\", \"5s\", \"10min\", \"64KiB\". One file: no "
        "@include.\n"
        "# `interlock check --offline` says whether a file is right.\n");
    const char *before = NULL;
    for (const struct settings_section *section = settings_sections; section->name; section++)
    {
        add_example_section(section, before, into);
        before = section->name;
    }
}

/* --- the present values ------------------------------------------------------------------------------------------ */

static void add_source(const struct settings *settings, const struct settings_key *key, struct buffer *into)
{
    const struct settings_origin *origin = &settings->origins->at[key - settings_keys];
    if (origin->source == SETTINGS_FROM_FILE && settings->origins->file)
        settings_add_text(into, "%s:%u", settings->origins->file, origin->line);
    else
        buffer_add_text(into, source_names[origin->source]);
}

static void add_pairs(const struct settings_pairs *pairs, struct buffer *into)
{
    for (int i = 0; i < pairs->count; i++)
        settings_add_text(into, "%s%s=%s", i > 0 ? " " : "", pairs->at[i].name,
                          settings_is_shown_name(pairs->at[i].name) ? pairs->at[i].value : "***");
}

static void add_row(const struct settings_key *key, struct span value, struct span source, bool json, bool first,
                    struct buffer *into)
{
    if (!json)
    {
        settings_add_text(into, "%s.%s = ", key->section, key->name);
        buffer_add_span(into, value);
        buffer_add_text(into, "   (");
        buffer_add_span(into, source);
        buffer_add_text(into, ")\n");
        return;
    }
    settings_add_text(into, "%s\n{\"key\":\"%s.%s\",\"value\":", first ? "" : ",", key->section, key->name);
    buffer_add_json_string(into, value);
    buffer_add_text(into, ",\"default\":");
    buffer_add_json_string(into, span_of(key->default_text));
    buffer_add_text(into, ",\"from\":");
    buffer_add_json_string(into, source);
    buffer_add_text(into, ",\"says\":");
    buffer_add_json_string(into, span_of(key->help));
    buffer_add_text(into, "}");
}

void settings_print(const struct settings *settings, bool json, struct buffer *into)
{
    struct buffer value = BUFFER_EMPTY, source = BUFFER_EMPTY;
    buffer_add_text(into, json ? "{\"settings\":[" : "");
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        buffer_clear(&value);
        buffer_clear(&source);
        if (key->kind == SETTINGS_PAIRS)
            add_pairs((const struct settings_pairs *)(const void *)((const char *)settings + key->offset), &value);
        else
            settings_add_value(settings, key, &value);
        add_source(settings, key, &source);
        add_row(key, buffer_span(&value), buffer_span(&source), json, key == settings_keys, into);
    }
    buffer_add_text(into, json ? "\n]}\n" : "");
    into->failed = into->failed || buffer_failed(&value) || buffer_failed(&source);
    buffer_done(&value);
    buffer_done(&source);
}
