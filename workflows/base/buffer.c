#include "workflows/base/buffer.h"

#include <stdio.h>
#include <stdlib.h>

#include "workflows/base/calendar.h"
#include "workflows/base/digits.h"
#include "workflows/base/hex.h"

enum
{
    FIRST_SIZE = 256,
    NUMBER_TEXT_SIZE = 32,
    BLOCK = 16, /* bytes that are looked at in one step */
};

void buffer_done(struct buffer *buffer)
{
    free(buffer->at);
    *buffer = BUFFER_EMPTY;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

bool buffer_grow(struct buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_SIZE;
    while (capacity - buffer->size < more && capacity <= SIZE_MAX / 4)
        capacity *= 2;
    char *at = capacity - buffer->size < more ? NULL : realloc(buffer->at, capacity);
    if (!at)
    {
        buffer->failed = true;
        return false;
    }
    buffer->at = at;
    buffer->capacity = capacity;
    return true;
}

char *buffer_take(struct buffer *buffer, size_t *ret_size)
{
    char *at = buffer->at;
    *ret_size = buffer->size;
    *buffer = BUFFER_EMPTY;
    return at;
}

void buffer_add_int64(struct buffer *buffer, int64_t value)
{
    if (buffer_reserve(buffer, DIGITS_MAX))
        buffer->size += digits_print(value, buffer->at + buffer->size);
}

void buffer_add_number(struct buffer *buffer, double value)
{
    char text[NUMBER_TEXT_SIZE];
    int size = 0;
    for (int digits = 15; digits <= 17; digits++)
    {
        size = snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buffer_add(buffer, text, (size_t)size);
}

/* 0: the byte is printed as it is; 'u': as \u00XX; else the letter after the backslash. */
static char escape_of(unsigned char byte)
{
    switch (byte)
    {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return byte < 0x20 ? 'u' : 0;
    }
}

/* Without a branch, so that the compiler compares all of them at once. */
static bool is_plain_block(const char *at)
{
    unsigned special = 0;
    for (size_t i = 0; i < BLOCK; i++)
    {
        unsigned char byte = (unsigned char)at[i];
        special |= (unsigned)((byte < 0x20) | (byte == '"') | (byte == '\\'));
    }
    return special == 0;
}

/* The place of the next byte that has an escape, from `from` on; the text's size: there is none. */
static size_t find_escape(struct span text, size_t from)
{
    while (text.size - from >= BLOCK && is_plain_block(text.at + from))
        from += BLOCK;
    while (from < text.size && !escape_of((unsigned char)text.at[from]))
        from++;
    return from;
}

void buffer_add_json_string(struct buffer *buffer, struct span text)
{
    if (!text.at)
    {
        buffer_add(buffer, "null", 4);
        return;
    }
    if (text.size > SIZE_MAX / 8 || !buffer_reserve(buffer, text.size + 2))
    {
        buffer->failed = true;
        return;
    }
    buffer_add_byte(buffer, '"');
    size_t printed = 0; /* runs without escapes are copied as one piece */
    for (size_t i; (i = find_escape(text, printed)) < text.size; printed = i + 1)
    {
        unsigned char byte = (unsigned char)text.at[i];
        char escape = escape_of(byte);
        buffer_add(buffer, text.at + printed, i - printed);
        char written[6] = { '\\', escape, '0', '0', hex_digit(byte >> 4), hex_digit(byte) };
        buffer_add(buffer, written, escape == 'u' ? 6 : 2);
    }
    buffer_add(buffer, text.at + printed, text.size - printed);
    buffer_add_byte(buffer, '"');
}

static void put_digits(char *at, int count, int64_t value)
{
    while (count-- > 0)
    {
        at[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void buffer_add_time(struct buffer *buffer, int64_t unix_us)
{
    struct calendar_time time = calendar_of_unix_us(unix_us);
    if (time.year < 0 || time.year > 9999) /* RFC 3339 has no such years; readers still see which it was */
    {
        buffer_add_int64(buffer, time.year);
    }
    else
    {
        char year[4];
        put_digits(year, 4, time.year);
        buffer_add(buffer, year, sizeof(year));
    }
    char text[] = "-00-00T00:00:00.000000Z";
    put_digits(text + 1, 2, time.month);
    put_digits(text + 4, 2, time.day);
    put_digits(text + 7, 2, time.hour);
    put_digits(text + 10, 2, time.minute);
    put_digits(text + 13, 2, time.second);
    put_digits(text + 16, 6, time.microsecond);
    buffer_add(buffer, text, sizeof(text) - 1);
}
