/* Utf8: whether a text is one that JSON and terminals can show, and a copy that they can show.
 *
 * Threads    pure functions.
 * Failure    none.
 */
#ifndef WORKFLOWS_BASE_UTF8_H
#define WORKFLOWS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The length of the sequence of two bytes or more at `at`, or 0: a byte of ASCII, overlong forms, surrogates, cut
 * sequences and everything beyond U+10FFFF are no such sequence (Unicode, table 3-7). `size` is at least 1. */
static inline size_t utf8_measure(const char *at, size_t size)
{
    const unsigned char *byte = (const unsigned char *)at;
    size_t length = byte[0] < 0xc2 ? 0 : byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : byte[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > size)
        return 0;
    unsigned char low = byte[0] == 0xe0 ? 0xa0 : byte[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = byte[0] == 0xed ? 0x9f : byte[0] == 0xf4 ? 0x8f : 0xbf;
    if (byte[1] < low || byte[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
    {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

bool utf8_is_valid(const char *text, size_t size);

/* Copies as much of a text (NULL: an empty one) as there is room for, on one line and never cut inside a character;
 * bytes that are not UTF-8 become '?'. */
void utf8_copy_line(char *into, size_t into_size, const char *text);

#endif
