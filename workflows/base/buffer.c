#include "workflows/base/buffer.h"

#include <stdio.h>
#include <stdlib.h>

#include "workflows/base/calendar.h"
#include "workflows/base/hex.h"

enum
{
    FIRST_SIZE = 256,
    NUMBER_TEXT_SIZE = 32,
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

bool buffer_reserve(struct buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (more <= buffer->capacity - buffer->size)
        return true;
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

void buffer_add(struct buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0 || !buffer_reserve(buffer, size))
        return;
    memcpy(buffer->at + buffer->size, bytes, size);
    buffer->size += size;
}

void buffer_add_span(struct buffer *buffer, struct span text)
{
    buffer_add(buffer, text.at, text.size);
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_add_byte(struct buffer *buffer, char byte)
{
    if (buffer_reserve(buffer, 1))
        buffer->at[buffer->size++] = byte;
}

void buffer_add_int64(struct buffer *buffer, int64_t value)
{
    char digits[20]; /* -9223372036854775808 */
    size_t start = sizeof(digits);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
    {
        digits[--start] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--start] = '-';
    buffer_add(buffer, digits + start, sizeof(digits) - start);
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
    for (size_t i = 0; i < text.size; i++)
    {
        unsigned char byte = (unsigned char)text.at[i];
        char escape = escape_of(byte);
        if (!escape)
            continue;
        buffer_add(buffer, text.at + printed, i - printed);
        printed = i + 1;
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
