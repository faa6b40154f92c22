/* Values: text to number and back, strictly, and the values that each key accepts. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/settings/key.h"
#include "workflows/base/utf8.h"

struct unit
{
    const char *name;
    int64_t factor;
};

/* Largest first: the order in which a value is printed. */
static const struct unit durations[] = {
    { "h", INT64_C(3600000000) }, { "min", 60000000 }, { "s", 1000000 }, { "ms", 1000 }, { "us", 1 }, { NULL, 0 },
};
static const struct unit sizes[] = {
    { "GiB", 1024 * 1024 * 1024 }, { "MiB", 1024 * 1024 }, { "KiB", 1024 }, { "B", 1 }, { NULL, 0 },
};

void settings_add_text(struct buffer *into, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0 || !buffer_reserve(into, (size_t)size + 1))
        return;
    va_start(arguments, format);
    vsnprintf(into->at + into->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    into->size += (size_t)size;
}

/* Decimal digits without a leading zero; *text moves past them. */
static bool take_digits(const char **text, int64_t *ret)
{
    const char *at = *text;
    int64_t value = 0;
    if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
        return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value))
            return false;
    *text = at;
    *ret = value;
    return true;
}

static bool parse_with_unit(const char *text, const struct unit *units, int64_t *ret)
{
    int64_t value;
    if (!take_digits(&text, &value))
        return false;
    for (; units->name; units++)
        if (strcmp(text, units->name) == 0)
            return !__builtin_mul_overflow(value, units->factor, ret);
    return false;
}

bool settings_parse_duration(const char *text, int64_t *ret_us)
{
    return parse_with_unit(text, durations, ret_us);
}

bool settings_parse_size(const char *text, int64_t *ret_bytes)
{
    return parse_with_unit(text, sizes, ret_bytes);
}

static void add_with_unit(int64_t value, const struct unit *units, const char *zero, struct buffer *into)
{
    if (value == 0)
    {
        buffer_add_text(into, zero);
        return;
    }
    while (value % units->factor != 0)
        units++;
    buffer_add_int64(into, value / units->factor);
    buffer_add_text(into, units->name);
}

void settings_add_duration(int64_t us, struct buffer *into)
{
    add_with_unit(us, durations, "0ms", into);
}

void settings_add_size(int64_t bytes, struct buffer *into)
{
    add_with_unit(bytes, sizes, "0B", into);
}

static bool parse_integer(const char *text, int64_t *ret)
{
    return take_digits(&text, ret) && *text == '\0';
}

/* Digits, and optionally a point with digits after it. */
static bool parse_number(const char *text, double *ret)
{
    size_t whole = strspn(text, "0123456789");
    size_t size = whole;
    if (text[whole] == '.')
    {
        size_t part = strspn(text + whole + 1, "0123456789");
        if (part == 0)
            return false;
        size += 1 + part;
    }
    if (whole == 0 || size > 30 || text[size] != '\0')
        return false;
    *ret = strtod(text, NULL);
    return true;
}

static bool parse_switch(const char *text, bool *ret)
{
    *ret = strcmp(text, "true") == 0;
    return *ret || strcmp(text, "false") == 0;
}

static int find_word(const char *const *words, const char *text)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    return -1;
}

static bool is_right_form(enum settings_kind kind, enum settings_form form)
{
    static const enum settings_form forms[] = {
        [SETTINGS_TEXT] = SETTINGS_FORM_STRING,    [SETTINGS_WORD] = SETTINGS_FORM_STRING,
        [SETTINGS_CHOICE] = SETTINGS_FORM_STRING,  [SETTINGS_SWITCH] = SETTINGS_FORM_BOOL,
        [SETTINGS_INTEGER] = SETTINGS_FORM_NUMBER, [SETTINGS_COUNT] = SETTINGS_FORM_NUMBER,
        [SETTINGS_NUMBER] = SETTINGS_FORM_NUMBER,  [SETTINGS_DURATION] = SETTINGS_FORM_STRING,
        [SETTINGS_SIZE] = SETTINGS_FORM_STRING,    [SETTINGS_PAIRS] = SETTINGS_FORM_STRING,
    };
    return form == SETTINGS_FORM_PLAIN || forms[kind] == form;
}

static bool is_right_text(const struct settings_key *key, const char *text)
{
    size_t size = strlen(text);
    if ((int64_t)size < key->minimum || (int64_t)size > key->maximum || !utf8_is_valid(text, size))
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return false;
    return !key->is_valid || key->is_valid(text);
}

static bool set_copy(char **ret, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return false;
    free(*ret);
    *ret = copy;
    return true;
}

/* Whole numbers of every kind go through one range check. */
static bool parse_whole(const struct settings_key *key, const char *text, int64_t *ret)
{
    bool parsed = key->kind == SETTINGS_DURATION ? settings_parse_duration(text, ret)
                  : key->kind == SETTINGS_SIZE   ? settings_parse_size(text, ret)
                                                 : parse_integer(text, ret);
    return parsed && *ret >= key->minimum && *ret <= key->maximum;
}

bool settings_set(struct settings *settings, const struct settings_key *key, enum settings_form form, const char *text)
{
    void *place = (char *)settings + key->offset;
    int64_t whole = 0;
    double number = 0;
    bool on = false;
    errno = 0;
    if (!is_right_form(key->kind, form))
        return false;
    switch (key->kind)
    {
    case SETTINGS_TEXT:
        return is_right_text(key, text) && set_copy(place, text);
    case SETTINGS_WORD:
        return find_word(key->words, text) >= 0 && set_copy(place, text);
    case SETTINGS_CHOICE:
        if (find_word(key->words, text) < 0)
            return false;
        *(bool *)place = find_word(key->words, text) == 1;
        return true;
    case SETTINGS_SWITCH:
        if (!parse_switch(text, &on))
            return false;
        *(bool *)place = on;
        return true;
    case SETTINGS_NUMBER:
        if (!parse_number(text, &number) || number < (double)key->minimum || number > (double)key->maximum)
            return false;
        *(double *)place = number;
        return true;
    case SETTINGS_COUNT:
        if (!parse_whole(key, text, &whole) || whole > INT_MAX)
            return false;
        *(int *)place = (int)whole;
        return true;
    case SETTINGS_INTEGER:
    case SETTINGS_DURATION:
    case SETTINGS_SIZE:
        if (!parse_whole(key, text, &whole))
            return false;
        *(int64_t *)place = whole;
        return true;
    case SETTINGS_PAIRS:
        break;
    }
    return false;
}

static void add_range(const struct settings_key *key, const char *what, void (*add)(int64_t, struct buffer *),
                      const char *units, struct buffer *into)
{
    settings_add_text(into, "%s from \"", what);
    add(key->minimum, into);
    buffer_add_text(into, "\" to \"");
    add(key->maximum, into);
    settings_add_text(into, "\", a string with its unit (%s)", units);
}

void settings_add_accepted(const struct settings_key *key, struct buffer *into)
{
    switch (key->kind)
    {
    case SETTINGS_TEXT:
        settings_add_text(into, "a string: %s", key->accepts);
        break;
    case SETTINGS_WORD:
    case SETTINGS_CHOICE:
        for (int i = 0; key->words[i]; i++)
            settings_add_text(into, "%s\"%s\"", i > 0 ? ", " : "", key->words[i]);
        break;
    case SETTINGS_SWITCH:
        buffer_add_text(into, "true, false");
        break;
    case SETTINGS_INTEGER:
    case SETTINGS_COUNT:
        settings_add_text(into, "a whole number from %lld to %lld", (long long)key->minimum, (long long)key->maximum);
        break;
    case SETTINGS_NUMBER:
        settings_add_text(into, "a number from %lld to %lld", (long long)key->minimum, (long long)key->maximum);
        break;
    case SETTINGS_DURATION:
        add_range(key, "a duration", settings_add_duration, "us, ms, s, min, h", into);
        break;
    case SETTINGS_SIZE:
        add_range(key, "a size", settings_add_size, "B, KiB, MiB, GiB", into);
        break;
    case SETTINGS_PAIRS:
        buffer_add_text(into, "a group { name = value; ... } of librdkafka's names");
        break;
    }
}

void settings_add_value(const struct settings *settings, const struct settings_key *key, struct buffer *into)
{
    const void *place = (const char *)settings + key->offset;
    switch (key->kind)
    {
    case SETTINGS_TEXT:
    case SETTINGS_WORD:
        if (key->flags & SETTINGS_SECRET)
            settings_add_url(*(char *const *)place, into);
        else
            buffer_add_text(into, *(char *const *)place);
        break;
    case SETTINGS_CHOICE:
        buffer_add_text(into, key->words[*(const bool *)place ? 1 : 0]);
        break;
    case SETTINGS_SWITCH:
        buffer_add_text(into, *(const bool *)place ? "true" : "false");
        break;
    case SETTINGS_INTEGER:
        buffer_add_int64(into, *(const int64_t *)place);
        break;
    case SETTINGS_COUNT:
        buffer_add_int64(into, *(const int *)place);
        break;
    case SETTINGS_NUMBER:
        settings_add_text(into, "%g", *(const double *)place);
        break;
    case SETTINGS_DURATION:
        settings_add_duration(*(const int64_t *)place, into);
        break;
    case SETTINGS_SIZE:
        settings_add_size(*(const int64_t *)place, into);
        break;
    case SETTINGS_PAIRS:
        break;
    }
}
