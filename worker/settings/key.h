/* Settings, the inner parts: the table of keys and the steps of loading. Only worker/settings and its tests include it.
 *
 * Threads    as settings.h: all before any thread starts.
 * Failure    false, and a message in *reterr.
 */
#ifndef WORKER_SETTINGS_KEY_H
#define WORKER_SETTINGS_KEY_H

#include "worker/settings/settings.h"

enum settings_kind
{
    SETTINGS_TEXT,     /* char * */
    SETTINGS_WORD,     /* char *, one of `words` */
    SETTINGS_CHOICE,   /* bool: words[0] is false, words[1] true */
    SETTINGS_SWITCH,   /* bool */
    SETTINGS_INTEGER,  /* int64_t */
    SETTINGS_COUNT,    /* int */
    SETTINGS_NUMBER,   /* double */
    SETTINGS_DURATION, /* int64_t, microseconds */
    SETTINGS_SIZE,     /* int64_t, bytes */
    SETTINGS_PAIRS,    /* struct settings_pairs */
};

enum settings_flag
{
    SETTINGS_SECRET = 1,     /* may contain a password: shown without it */
    SETTINGS_PROTECTION = 2, /* may be false in test builds only */
};

struct settings_key
{
    const char *section;      /* "kafka", "locks.status_change" */
    const char *name;         /* "batch_max" */
    const char *default_text; /* the default as it stands in the file, without quotes; NULL for pairs */
    enum settings_kind kind;
    size_t offset;
    int64_t minimum, maximum; /* of the value; of texts the length in bytes */
    const char *const *words;
    bool (*is_valid)(const char *text); /* of texts */
    const char *accepts;                /* of texts: the rule of is_valid, in words */
    unsigned flags;
    const char *help; /* for the settings file: a line, or a few */
};

struct settings_section
{
    const char *name;
    const char *help;
};

extern const struct settings_key settings_keys[]; /* grouped by section; ends with name NULL */
extern const struct settings_section settings_sections[];
int settings_key_count(void);

/* Where a value came from. */
enum settings_source
{
    SETTINGS_FROM_DEFAULT,
    SETTINGS_FROM_FILE,
    SETTINGS_FROM_SERVICE,     /* KAFKA_BOOTSTRAP, DATABASE_URL, REDIS_URL */
    SETTINGS_FROM_ENVIRONMENT, /* INTERLOCK_... */
};

struct settings_origin
{
    enum settings_source source;
    unsigned line; /* in the file */
};

struct settings_origins
{
    char *file;                 /* NULL: none */
    struct settings_origin *at; /* one per key */
    bool is_readable_by_all;    /* the file */
    struct buffer warnings;     /* lines: values that are accepted and should be changed */
};

/* How a value stands where it was found: the accepted form depends on it (a duration is a string, a count is not). */
enum settings_form
{
    SETTINGS_FORM_STRING,
    SETTINGS_FORM_NUMBER,
    SETTINGS_FORM_BOOL,
    SETTINGS_FORM_PLAIN, /* from the environment: no quotes, no types */
};

/* Sets one value. False: it is not accepted, and nothing is changed. */
bool settings_set(struct settings *settings, const struct settings_key *key, enum settings_form form, const char *text);
/* The values that settings_set accepts for the key, in words. */
void settings_add_accepted(const struct settings_key *key, struct buffer *into);
/* The present value as it would stand in the file, without quotes and secrets. Not for pairs. */
void settings_add_value(const struct settings *settings, const struct settings_key *key, struct buffer *into);

/* "64KiB" to bytes. Strict: digits, then B, KiB, MiB or GiB. */
bool settings_parse_size(const char *text, int64_t *ret_bytes);
void settings_add_duration(int64_t us, struct buffer *into);
void settings_add_size(int64_t bytes, struct buffer *into);

/* Turns the text of a settings file into one that libconfig reads without harm: see worker/settings/scan.c. Line
 * numbers stay. */
bool settings_prepare_text(struct span text, const char *file, struct buffer *into, struct buffer *reterr);
enum
{
    SETTINGS_NUMBER_MARK = 1, /* first byte of a value that was a number */
    SETTINGS_DOT_MARK = '*',  /* stands for the dots of librdkafka's names */
};

/* One file's text, over defaults that are set already. */
bool settings_load_text(struct settings *settings, struct span text, const char *file, struct buffer *reterr);

/* librdkafka's names that Interlock sets itself: why, or NULL. */
const char *settings_owned_name(const char *name);
/* Whether its value is certain to be no secret. A name that nobody knows may be a misspelt password. */
bool settings_is_shown_name(const char *name);
/* Sets or replaces a pair. False: out of memory. */
bool settings_set_pair(struct settings_pairs *pairs, const char *name, const char *value);
const char *settings_find_pair(const struct settings_pairs *pairs, const char *name);

/* worker/settings/file.c: false: nobody should follow this file, with the reason. */
bool settings_check_file(int file, const char *name, struct settings_origins *origins, struct buffer *reterr);
/* Adds a warning for each setting that runs code, or that everybody may read and should not. */
void settings_warn(struct settings *settings);
void settings_add_warning(struct settings_origins *origins, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A variable that Kubernetes adds for a Service called `interlock` or `interlock-...`: not a setting. */
bool settings_is_service_link(const char *variable, const char *value);

/* The rules between values. */
bool settings_check(const struct settings *settings, struct buffer *reterr);

void settings_add_text(struct buffer *into, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
