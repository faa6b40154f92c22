/* Span: a run of bytes that somebody else owns.
 *
 * Threads    a value; no state.
 * Ownership  never owns: `at` points into a message, an arena, or static text, which must outlive the span.
 * Failure    none. `at == NULL` means absent (SQL null); an empty text has `at != NULL` and size 0.
 */
#ifndef WORKFLOWS_BASE_SPAN_H
#define WORKFLOWS_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span
{
    const char *at;
    size_t size;
};

#define SPAN_NULL ((struct span){ NULL, 0 })
#define SPAN_LITERAL(text) ((struct span){ (text), sizeof(text) - 1 })

static inline struct span span_of(const char *text)
{
    return text ? (struct span){ text, strlen(text) } : SPAN_NULL;
}

static inline bool span_equal(struct span a, struct span b)
{
    if (a.at == NULL || b.at == NULL)
        return a.at == b.at;
    return a.size == b.size && (a.at == b.at || memcmp(a.at, b.at, a.size) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
    return span_equal(a, span_of(text));
}

#endif
