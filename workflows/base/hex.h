/* Hex: bytes as hexadecimal digits, and the value of a digit.
 *
 * Threads    pure functions.
 */
#ifndef WORKFLOWS_BASE_HEX_H
#define WORKFLOWS_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

static inline char hex_digit(unsigned nibble)
{
    return "0123456789abcdef"[nibble & 15];
}

/* Writes two digits for each byte, without a NUL. */
static inline void hex_print(const uint8_t *bytes, size_t count, char *into)
{
    for (size_t i = 0; i < count; i++)
    {
        into[2 * i] = hex_digit(bytes[i] >> 4);
        into[2 * i + 1] = hex_digit(bytes[i]);
    }
}

/* The value of a digit of either case; -1 for any other byte. */
static inline int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

#endif
