/* Utf8: is a text what JSON and terminals can show?
 *
 * Threads    pure functions.
 * Failure    none.
 */
#ifndef WORKER_UTF8_H
#define WORKER_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* The bytes of the sequence at `at`, whose first byte is above 0x7F, or 0 when it is none. Overlong forms, surrogates
 * and cut sequences are none. `size` is at least 1. */
size_t utf8_measure(const unsigned char *at, size_t size);

bool utf8_is_valid(const char *text, size_t size);

#endif
