/* The settings file as a file, and settings that run or load code: who can write the file decides which code runs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "worker/settings/key.h"

static bool refuse_file(const char *name, struct buffer *reterr, const char *why)
{
    settings_add_text(reterr, "%s: %s", name, why);
    return false;
}

/* A user who may write the folder may put another file in this one's place, except in folders like /tmp, where only a
 * file's owner may, and for file systems that nobody may write (a mounted ConfigMap). */
static bool check_folder(const char *name, struct buffer *reterr)
{
    char *path = realpath(name, NULL);
    struct stat status;
    struct statvfs system;
    bool open_to_all = false;

    if (path)
    {
        char *slash = strrchr(path, '/');
        slash[slash == path] = '\0';
        open_to_all = stat(path, &status) == 0 && (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX) &&
                      !(statvfs(path, &system) == 0 && (system.f_flag & ST_RDONLY));
        if (open_to_all)
            settings_add_text(reterr, "%s: everybody may write its folder %s, and so replace it: chmod o-w it", name,
                              path);
    }
    free(path);
    return !open_to_all;
}

bool settings_check_file(int file, const char *name, struct settings_origins *origins, struct buffer *reterr)
{
    struct stat status;

    if (fstat(file, &status) != 0)
        return refuse_file(name, reterr, strerror(errno));
    if (status.st_mode & S_IWOTH)
        return refuse_file(name, reterr, "everybody may write this file: chmod o-w it");
    if (status.st_uid != 0 && status.st_uid != geteuid())
    {
        settings_add_text(reterr,
                          "%s: it belongs to user %lld, who may change what this program does: chown it to root "
                          "or to user %lld, as which this program runs",
                          name, (long long)status.st_uid, (long long)geteuid());
        return false;
    }
    if (!check_folder(name, reterr))
        return false;
    if (status.st_mode & S_IWGRP)
        settings_add_warning(origins,
                             "%s: its group may write this file, and so decide what this program does: chmod "
                             "g-w it",
                             name);
    origins->is_readable_by_all = (status.st_mode & S_IROTH) != 0;
    return true;
}

void settings_add_warning(struct settings_origins *origins, const char *format, ...)
{
    char line[512];
    va_list values;

    va_start(values, format);
    vsnprintf(line, sizeof(line), format, values);
    va_end(values);
    buffer_add_text(&origins->warnings, line);
    buffer_add_byte(&origins->warnings, '\n');
}

static bool is_from_file(const struct settings *settings, const struct settings_key *key)
{
    return settings->origins->at[key - settings_keys].source == SETTINGS_FROM_FILE;
}

/* A URL is shown without its password. */
static bool has_password(const char *url)
{
    struct buffer shown = BUFFER_EMPTY;

    settings_add_url(url, &shown);
    bool hides = !span_is(buffer_span(&shown), url);
    buffer_done(&shown);
    return hides;
}

static void warn_pairs(struct settings *settings, const struct settings_key *key, bool readable)
{
    static const char kinit[] = "sasl.kerberos.kinit.cmd";
    const struct settings_pairs *pairs =
        (const struct settings_pairs *)(const void *)((const char *)settings + key->offset);

    for (int i = 0; i < pairs->count; i++)
    {
        const char *name = pairs->at[i].name;
        if (strcmp(name, kinit) == 0)
            settings_add_warning(settings->origins, "%s.%s.%s: librdkafka runs this as a shell command of this user",
                                 key->section, key->name, name);
        else if (readable && is_from_file(settings, key) && !settings_is_shown_name(name))
            settings_add_warning(settings->origins,
                                 "%s: everybody may read this file, and it may hold a secret, %s.%s.%s: chmod "
                                 "o-r it",
                                 settings->origins->file, key->section, key->name, name);
    }
}

void settings_warn(struct settings *settings)
{
    bool readable = settings->origins->is_readable_by_all;

    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        if (key->kind == SETTINGS_PAIRS)
            warn_pairs(settings, key, readable);
        else if (readable && (key->flags & SETTINGS_SECRET) && is_from_file(settings, key) &&
                 has_password(*(char **)(void *)((char *)settings + key->offset)))
            settings_add_warning(settings->origins,
                                 "%s: everybody may read this file, and %s.%s holds a password: "
                                 "chmod o-r it",
                                 settings->origins->file, key->section, key->name);
    }
}

/* --- variables that are nobody's --------------------------------------------------------------------------------- */

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t length = strlen(end);
    return size >= length && memcmp(text + size - length, end, length) == 0;
}

/* _PORT_9464_TCP, and its possible endings. */
static bool is_port_part(const char *text)
{
    static const char *const protocols[] = { "_TCP", "_UDP", "_SCTP" };
    static const char *const rests[] = { "", "_ADDR", "_PORT", "_PROTO" };

    for (const char *at = strstr(text, "_PORT_"); at; at = strstr(at + 1, "_PORT_"))
    {
        const char *behind = at + strlen("_PORT_");
        size_t digits = strspn(behind, "0123456789");
        for (size_t p = 0; digits > 0 && p < sizeof(protocols) / sizeof(protocols[0]); p++)
            for (size_t r = 0; r < sizeof(rests) / sizeof(rests[0]); r++)
            {
                char whole[16];
                snprintf(whole, sizeof(whole), "%s%s", protocols[p], rests[r]);
                if (strcmp(behind + digits, whole) == 0)
                    return true;
            }
    }
    return false;
}

bool settings_is_service_link(const char *variable, const char *value)
{
    size_t size = strlen(variable);

    if (ends_with(variable, size, "_PORT"))
        return strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 ||
               strncmp(value, "sctp://", 7) == 0 || ends_with(variable, size, "_SERVICE_PORT") ||
               is_port_part(variable);
    return ends_with(variable, size, "_SERVICE_HOST") || strstr(variable, "_SERVICE_PORT_") || is_port_part(variable);
}
