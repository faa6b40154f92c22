/* Loading, in the order of precedence: defaults, the file, the services' variables, INTERLOCK_<SECTION>_<KEY>. */
#include "worker/settings/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/settings/key.h"
#include "workflows/base/utf8.h"

enum
{
    FILE_SIZE_MAX = 1024 * 1024,
    PATH_SIZE_MAX = 160,
    SHOWN_MAX = 80, /* bytes of a wrong value that a message repeats */
};

extern char **environ;

#if defined(__SANITIZE_ADDRESS__)
#define LEAKS_ARE_LOOKED_FOR
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAKS_ARE_LOOKED_FOR
#endif
#endif

#ifdef LEAKS_ARE_LOOKED_FOR
/* libconfig 1.5 forgets the text of the last string at a syntax error: a few bytes, once, before we exit with 1. The
 * name is the sanitizer's. */
const char *__lsan_default_suppressions(void); /* NOLINT(cert-dcl51-cpp) */
const char *__lsan_default_suppressions(void)  /* NOLINT(cert-dcl51-cpp) */
{
    return "leak:libconfig.so\n";
}
#endif

struct load
{
    struct settings *settings;
    const char *file;
    struct buffer *reterr;
};

static const struct settings_key *find_key(const char *section, const char *name)
{
    for (const struct settings_key *key = settings_keys; key->name; key++)
        if (strcmp(key->section, section) == 0 && strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

/* Is the path a section, or the beginning of some ("locks")? */
static bool is_section(const char *path)
{
    size_t size = strlen(path);
    for (const struct settings_section *section = settings_sections; section->name; section++)
        if (strncmp(section->name, path, size) == 0 && (section->name[size] == '\0' || section->name[size] == '.'))
            return true;
    return false;
}

/* The names that may stand in the group `path` ("" is the file itself): keys, or the next part of sections. */
static void add_members(const char *path, struct buffer *into)
{
    size_t size = strlen(path);
    const char *before = "";
    size_t before_size = 0;
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        const char *member = key->name;
        if (strcmp(key->section, path) != 0)
        {
            if (size > 0 && (strncmp(key->section, path, size) != 0 || key->section[size] != '.'))
                continue;
            member = key->section + (size > 0 ? size + 1 : 0);
        }
        size_t member_size = strcspn(member, ".");
        if (member_size == before_size && memcmp(member, before, member_size) == 0)
            continue;
        buffer_add_text(into, before_size > 0 ? ", " : "");
        buffer_add(into, member, member_size);
        before = member;
        before_size = member_size;
    }
}

static bool refuse_unknown(const struct load *load, unsigned line, const char *path, const char *name)
{
    settings_add_text(load->reterr, "%s:%u: %s%s%s: unknown key; accepted: ", load->file, line, path, *path ? "." : "",
                      name);
    add_members(path, load->reterr);
    return false;
}

/* The value as it was given, without secrets and no longer than a line. */
static void add_shown(const struct settings_key *key, enum settings_form form, const char *text, struct buffer *into)
{
    struct buffer shown = BUFFER_EMPTY;
    if (key->flags & SETTINGS_SECRET)
        settings_add_url(text, &shown);
    else
        buffer_add_text(&shown, text);
    bool quoted = form == SETTINGS_FORM_STRING || form == SETTINGS_FORM_PLAIN;
    buffer_add_text(into, quoted ? "\"" : "");
    for (size_t i = 0; i < shown.size && i < SHOWN_MAX; i++)
        buffer_add_byte(into, shown.at[i] >= 0x20 && shown.at[i] < 0x7F ? shown.at[i] : '?');
    buffer_add_text(into, shown.size > SHOWN_MAX ? "..." : "");
    buffer_add_text(into, quoted ? "\"" : "");
    buffer_done(&shown);
}

static bool refuse_value(const struct settings_key *key, enum settings_form form, const char *text,
                         struct buffer *reterr)
{
    if (errno == ENOMEM) /* settings_set clears errno first: nothing is wrong with the value */
    {
        buffer_add_text(reterr, "out of memory");
        return false;
    }
    add_shown(key, form, text, reterr);
    buffer_add_text(reterr, ": accepted: ");
    settings_add_accepted(key, reterr);
    return false;
}

static void mark_origin(struct settings *settings, const struct settings_key *key, enum settings_source source,
                        unsigned line)
{
    settings->origins->at[key - settings_keys] = (struct settings_origin){ source, line };
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

/* The value's form and text as settings_prepare_text left it; NULL: a group, list or array. */
static const char *read_scalar(const config_setting_t *setting, enum settings_form *ret_form)
{
    int type = config_setting_type(setting);
    const char *text = type == CONFIG_TYPE_STRING ? config_setting_get_string(setting) : NULL;
    if (type == CONFIG_TYPE_BOOL)
    {
        *ret_form = SETTINGS_FORM_BOOL;
        return config_setting_get_bool(setting) ? "true" : "false";
    }
    if (!text)
        return NULL;
    bool number = text[0] == SETTINGS_NUMBER_MARK;
    *ret_form = number ? SETTINGS_FORM_NUMBER : SETTINGS_FORM_STRING;
    return text + (number ? 1 : 0);
}

/* librdkafka's names with their dots back. */
static bool read_pair_name(const char *marked, char *into, size_t size)
{
    size_t length = strlen(marked);
    if (length >= size)
        return false;
    for (size_t i = 0; i <= length; i++)
        into[i] = marked[i] == SETTINGS_DOT_MARK ? '.' : marked[i];
    return true;
}

static bool take_pairs(const struct load *load, const config_setting_t *group, const struct settings_key *key)
{
    struct settings_pairs *pairs = (struct settings_pairs *)(void *)((char *)load->settings + key->offset);
    for (int i = 0; i < config_setting_length(group); i++)
    {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        char name[PATH_SIZE_MAX];
        enum settings_form form;
        const char *text = read_scalar(setting, &form);
        unsigned line = config_setting_source_line(setting);
        if (!read_pair_name(config_setting_name(setting), name, sizeof(name)))
        {
            settings_add_text(load->reterr, "%s:%u: %s.%s: a name is too long", load->file, line, key->section,
                              key->name);
            return false;
        }
        const char *owned = settings_owned_name(name);
        if (!text || owned)
        {
            settings_add_text(load->reterr, "%s:%u: %s.%s.%s: %s", load->file, line, key->section, key->name, name,
                              owned ? owned : "accepted: a string, a number, true or false");
            return false;
        }
        if (!settings_set_pair(pairs, name, text))
        {
            buffer_add_text(load->reterr, "out of memory");
            return false;
        }
    }
    mark_origin(load->settings, key, SETTINGS_FROM_FILE, config_setting_source_line(group));
    return true;
}

static bool take_value(const struct load *load, const config_setting_t *setting, const struct settings_key *key)
{
    enum settings_form form;
    unsigned line = config_setting_source_line(setting);
    bool is_group = config_setting_is_group(setting);
    if (key->kind == SETTINGS_PAIRS && is_group)
        return take_pairs(load, setting, key);
    const char *text = read_scalar(setting, &form);
    if (text && settings_set(load->settings, key, form, text))
    {
        mark_origin(load->settings, key, SETTINGS_FROM_FILE, line);
        return true;
    }
    settings_add_text(load->reterr, "%s:%u: %s.%s = ", load->file, line, key->section, key->name);
    if (text)
        return refuse_value(key, form, text, load->reterr);
    buffer_add_text(load->reterr, is_group ? "a group" : "a list");
    buffer_add_text(load->reterr, ": accepted: ");
    settings_add_accepted(key, load->reterr);
    return false;
}

static bool take_group(const struct load *load, const config_setting_t *group, const char *path);

static bool refuse_not_group(const struct load *load, unsigned line, const char *path)
{
    settings_add_text(load->reterr, "%s:%u: %s: accepted: a group { ... } of ", load->file, line, path);
    add_members(path, load->reterr);
    return false;
}

static bool take_member(const struct load *load, const config_setting_t *setting, const char *path)
{
    char name[PATH_SIZE_MAX], inner[2 * PATH_SIZE_MAX];
    unsigned line = config_setting_source_line(setting);
    if (!read_pair_name(config_setting_name(setting), name, sizeof(name)))
        return refuse_unknown(load, line, path, "(a name that is too long)");
    const struct settings_key *key = find_key(path, name);
    if (key)
        return take_value(load, setting, key);
    snprintf(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", name);
    /* A dot in the file would be another spelling of a nested group: one is enough. */
    if (strchr(name, '.') || !is_section(inner))
        return refuse_unknown(load, line, path, name);
    return config_setting_is_group(setting) ? take_group(load, setting, inner) : refuse_not_group(load, line, inner);
}

/* The depth of the recursion is bounded by settings_prepare_text. */
static bool take_group(const struct load *load, const config_setting_t *group, const char *path)
{
    for (int i = 0; i < config_setting_length(group); i++)
        if (!take_member(load, config_setting_get_elem(group, (unsigned)i), path))
            return false;
    return true;
}

bool settings_load_text(struct settings *settings, struct span text, const char *file, struct buffer *reterr)
{
    struct load load = { settings, file, reterr };
    struct buffer prepared = BUFFER_EMPTY;
    bool ok = settings_prepare_text(text, file, &prepared, reterr);
    if (ok)
    {
        config_t config;
        config_init(&config);
        ok = config_read_string(&config, prepared.at);
        if (!ok)
            settings_add_text(reterr, "%s:%d: %s: look for a missing ';', '=', bracket or quote here or just before",
                              file, config_error_line(&config), config_error_text(&config));
        else
            ok = take_group(&load, config_root_setting(&config), "");
        config_destroy(&config);
    }
    buffer_done(&prepared);
    return ok;
}

static void close_file(int *file)
{
    if (*file >= 0)
        close(*file);
}

static bool read_file(const char *name, struct settings_origins *origins, struct buffer *into, struct buffer *reterr)
{
    /* O_NONBLOCK: a FIFO must not stop us before we have seen that it is one. */
    __attribute__((cleanup(close_file))) int file = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0)
    {
        settings_add_text(reterr, "%s: %s: name a readable settings file with --config", name, strerror(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode) || status.st_size > FILE_SIZE_MAX)
    {
        settings_add_text(reterr, "%s: accepted is a regular file of at most 1 MiB", name);
        return false;
    }
    if (!settings_check_file(file, name, origins, reterr))
        return false;
    while (into->size <= FILE_SIZE_MAX && buffer_reserve(into, 4096))
    {
        ssize_t size = read(file, into->at + into->size, 4096);
        if (size < 0)
        {
            settings_add_text(reterr, "%s: %s", name, strerror(errno));
            return false;
        }
        if (size == 0)
            return true;
        into->size += (size_t)size;
    }
    settings_add_text(reterr, "%s: accepted is a regular file of at most 1 MiB", name);
    return false;
}

static bool load_file(struct settings *settings, const char *name, struct buffer *reterr)
{
    struct buffer text = BUFFER_EMPTY;
    settings->origins->file = strdup(name);
    bool ok = settings->origins->file != NULL;
    if (!ok)
        buffer_add_text(reterr, "out of memory");
    ok = ok && read_file(name, settings->origins, &text, reterr) &&
         settings_load_text(settings, buffer_span(&text), name, reterr);
    buffer_done(&text);
    return ok;
}

/* --- the environment --------------------------------------------------------------------------------------------- */

static const char prefix[] = "INTERLOCK_";

/* For scripts around the program, and for people: not settings. */
static const char *const other_variables[] = {
    "INTERLOCK_CACHE",
    "INTERLOCK_OPERATOR", /* worker/admin/operator_action.h */
    "INTERLOCK_STACK_DIR",
    NULL,
};

static const struct
{
    const char *variable;
    const char *section, *name;
} service_variables[] = {
    { "KAFKA_BOOTSTRAP", "kafka", "bootstrap" },
    { "DATABASE_URL", "database", "url" },
    { "REDIS_URL", "redis", "url" },
};

static void print_variable(const struct settings_key *key, char into[PATH_SIZE_MAX])
{
    snprintf(into, PATH_SIZE_MAX, "%s%s_%s", prefix, key->section, key->name);
    for (char *at = into; *at; at++)
        *at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
}

static bool set_from_variable(struct settings *settings, const struct settings_key *key, const char *variable,
                              const char *value, enum settings_source source, struct buffer *reterr)
{
    if (settings_set(settings, key, SETTINGS_FORM_PLAIN, value))
    {
        mark_origin(settings, key, source, 0);
        return true;
    }
    settings_add_text(reterr, "environment: %s (%s.%s) = ", variable, key->section, key->name);
    return refuse_value(key, SETTINGS_FORM_PLAIN, value, reterr);
}

/* INTERLOCK_KAFKA_CONSUMER_SASL_PASSWORD is kafka.consumer's sasl.password. */
static bool set_pair_from_variable(struct settings *settings, const struct settings_key *key, const char *variable,
                                   const char *rest, const char *value, struct buffer *reterr)
{
    struct settings_pairs *pairs = (struct settings_pairs *)(void *)((char *)settings + key->offset);
    char name[PATH_SIZE_MAX];
    size_t size = strlen(rest);
    if (size == 0 || size >= sizeof(name) || !utf8_is_valid(value, strlen(value)))
    {
        settings_add_text(reterr, "environment: %s: accepted: librdkafka's names and UTF-8 text", variable);
        return false;
    }
    for (size_t i = 0; i <= size; i++)
        name[i] = rest[i] == '_' ? '.' : (char)tolower((unsigned char)rest[i]);
    const char *owned = settings_owned_name(name);
    if (owned)
    {
        settings_add_text(reterr, "environment: %s (%s): %s", variable, name, owned);
        return false;
    }
    mark_origin(settings, key, SETTINGS_FROM_ENVIRONMENT, 0);
    return settings_set_pair(pairs, name, value) || (buffer_add_text(reterr, "out of memory"), false);
}

static bool is_other_variable(const char *variable)
{
    for (int i = 0; other_variables[i]; i++)
        if (strcmp(other_variables[i], variable) == 0)
            return true;
    return false;
}

static bool take_variable(struct settings *settings, const char *variable, const char *value, struct buffer *reterr)
{
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        char own[PATH_SIZE_MAX];
        print_variable(key, own);
        size_t size = strlen(own);
        if (key->kind == SETTINGS_PAIRS && !settings_is_service_link(variable, value) &&
            strncmp(variable, own, size) == 0 && variable[size] == '_')
            return set_pair_from_variable(settings, key, variable, variable + size + 1, value, reterr);
        if (key->kind != SETTINGS_PAIRS && strcmp(variable, own) == 0)
            return set_from_variable(settings, key, variable, value, SETTINGS_FROM_ENVIRONMENT, reterr);
    }
    if (is_other_variable(variable))
        return true;
    if (settings_is_service_link(variable, value))
    {
        settings_add_warning(settings->origins,
                             "environment: %s: ignored, as Kubernetes makes such variables for a Service of this name; "
                             "enableServiceLinks: false leaves them out",
                             variable);
        return true;
    }
    settings_add_text(reterr,
                      "environment: %s: no such setting; accepted: INTERLOCK_<SECTION>_<KEY> with the names that "
                      "`interlock describe settings` lists, such as INTERLOCK_HTTP_LISTEN",
                      variable);
    return false;
}

static bool load_environment(struct settings *settings, struct buffer *reterr)
{
    for (size_t i = 0; i < sizeof(service_variables) / sizeof(*service_variables); i++)
    {
        const char *value = getenv(service_variables[i].variable);
        const struct settings_key *key = find_key(service_variables[i].section, service_variables[i].name);
        /* An empty one is refused as any other wrong value is: the defaults would be somebody else's servers. */
        if (value &&
            !set_from_variable(settings, key, service_variables[i].variable, value, SETTINGS_FROM_SERVICE, reterr))
            return false;
    }
    for (char **at = environ; at && *at; at++)
    {
        char variable[PATH_SIZE_MAX];
        size_t size = strcspn(*at, "=");
        if (strncmp(*at, prefix, sizeof(prefix) - 1) != 0 || (*at)[size] != '=')
            continue;
        snprintf(variable, sizeof(variable), "%.*s", (int)size, *at);
        if (!take_variable(settings, variable, *at + size + 1, reterr))
            return false;
    }
    return true;
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static bool set_defaults(struct settings *settings)
{
    static const char *const policies[] = { "default", "aggressive", "conservative", "database_operation",
                                            "lock_acquisition" };
    _Static_assert(sizeof(policies) / sizeof(*policies) == RETRY__COUNT, "a name for every policy");
    settings->origins = calloc(1, sizeof(*settings->origins));
    if (!settings->origins)
        return false;
    settings->origins->at = calloc((size_t)settings_key_count(), sizeof(*settings->origins->at));
    if (!settings->origins->at)
        return false;
    for (int i = 0; i < RETRY__COUNT; i++)
        settings->retries[i].name = policies[i];
    for (const struct settings_key *key = settings_keys; key->name; key++)
        if (key->default_text && !settings_set(settings, key, SETTINGS_FORM_PLAIN, key->default_text))
            return false;
    return true;
}

bool settings_load(struct settings *ret, const char *file, struct buffer *reterr)
{
    memset(ret, 0, sizeof(*ret));
    bool ok = set_defaults(ret);
    if (!ok)
        buffer_add_text(reterr, "out of memory");
    ok = ok && (!file || load_file(ret, file, reterr)) && load_environment(ret, reterr) && settings_check(ret, reterr);
    if (ok)
        settings_warn(ret);
    else
        settings_done(ret);
    return ok;
}

struct span settings_warnings(const struct settings *settings)
{
    return buffer_span(&settings->origins->warnings);
}

static void pairs_done(struct settings_pairs *pairs)
{
    for (int i = 0; i < pairs->count; i++)
    {
        free(pairs->at[i].name);
        free(pairs->at[i].value);
    }
    free(pairs->at);
}

void settings_done(struct settings *settings)
{
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        void *place = (char *)settings + key->offset;
        if (key->kind == SETTINGS_TEXT || key->kind == SETTINGS_WORD)
            free(*(char **)place);
        else if (key->kind == SETTINGS_PAIRS)
            pairs_done(place);
    }
    if (settings->origins)
    {
        free(settings->origins->file);
        buffer_done(&settings->origins->warnings);
        free(settings->origins->at);
        free(settings->origins);
    }
    memset(settings, 0, sizeof(*settings));
}
