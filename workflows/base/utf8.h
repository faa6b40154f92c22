/* Utf8: is a text what JSON and terminals can show; and a copy of it that is.
 *
 * Threads    pure functions.
 * Failure    none.
 */
#ifndef WORKFLOWS_BASE_UTF8_H
#define WORKFLOWS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the sequence at `at`, whose first byte is above 0x7F, or 0 when it is none. Overlong forms, surrogates
 * and cut sequences are none. `size` is at least 1. */
size_t utf8_measure(const unsigned char *at, size_t size);

bool utf8_is_valid(const char *text, size_t size);

/* Copies as much of a text (NULL: none) as there is room for, on one line and never cut inside of a character; '?' for
 * what is no text. */
void utf8_copy_line(char *into, size_t into_size, const char *text);

#endif
