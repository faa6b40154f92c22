/* Digits: integers in decimal, without the cost of printf.
 *
 * Threads    pure functions.
 */
#ifndef WORKFLOWS_BASE_DIGITS_H
#define WORKFLOWS_BASE_DIGITS_H

#include <stddef.h>
#include <stdint.h>

enum
{
    DIGITS_MAX = 20, /* of -9223372036854775808, and of the largest unsigned number */
};

/* Writes up to DIGITS_MAX bytes without a NUL; returns how many. */
static inline size_t digits_print_unsigned(uint64_t value, char *into)
{
    size_t size = 1;
    for (uint64_t next = 10; size < DIGITS_MAX && value >= next; next *= 10)
        size++;
    for (size_t at = size; at > 0; value /= 10)
        into[--at] = (char)('0' + value % 10);
    return size;
}

/* The same, after a sign where the value is negative. */
static inline size_t digits_print(int64_t value, char *into)
{
    if (value >= 0)
        return digits_print_unsigned((uint64_t)value, into);
    into[0] = '-';
    return 1 + digits_print_unsigned(0 - (uint64_t)value, into + 1);
}

#endif
