/* Buffer: bytes that grow, and the one way JSON text is printed here (direct escaping, no DOM).
 *
 * Threads    one owner; never shared.
 * Ownership  malloc; buffer_done frees, buffer_take hands the bytes to the caller, who frees them with free().
 * Failure    out of memory sets `failed`; later calls do nothing; check once at the end with buffer_failed.
 */
#ifndef WORKFLOWS_BASE_BUFFER_H
#define WORKFLOWS_BASE_BUFFER_H

#include "workflows/base/span.h"

struct buffer
{
    char *at;
    size_t size;
    size_t capacity;
    bool failed;
};

#define BUFFER_EMPTY ((struct buffer){ NULL, 0, 0, false })

void buffer_done(struct buffer *buffer);
void buffer_clear(struct buffer *buffer);             /* size 0, memory kept */
bool buffer_grow(struct buffer *buffer, size_t more); /* the rest of buffer_reserve, where there is no room */
char *buffer_take(struct buffer *buffer, size_t *ret_size);

/* The additions are inline: most find room, and the size of a literal is known where it is added. */
static inline bool buffer_reserve(struct buffer *buffer, size_t more)
{
    return (!buffer->failed && more <= buffer->capacity - buffer->size) || buffer_grow(buffer, more);
}

static inline void buffer_add(struct buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0 || bytes == NULL || !buffer_reserve(buffer, size))
        return;
    memcpy(buffer->at + buffer->size, bytes, size);
    buffer->size += size;
}

static inline void buffer_add_span(struct buffer *buffer, struct span text)
{
    buffer_add(buffer, text.at, text.size);
}

static inline void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

static inline void buffer_add_byte(struct buffer *buffer, char byte)
{
    if (buffer_reserve(buffer, 1))
        buffer->at[buffer->size++] = byte;
}

void buffer_add_int64(struct buffer *buffer, int64_t value); /* decimal */
/* The shortest digits that read back as the same number. It is finite. */
void buffer_add_number(struct buffer *buffer, double value);

/* A JSON string with its quotes; a null span prints null. Input is valid UTF-8. Escapes ", \, and control bytes. */
void buffer_add_json_string(struct buffer *buffer, struct span text);

/* Unix microseconds as RFC 3339 UTC with six decimals and Z: 2026-11-24T09:00:00.000000Z, without quotes. */
void buffer_add_time(struct buffer *buffer, int64_t unix_us);

static inline bool buffer_failed(const struct buffer *buffer)
{
    return buffer->failed;
}

static inline struct span buffer_span(const struct buffer *buffer)
{
    return (struct span){ buffer->at ? buffer->at : "", buffer->size };
}

#endif
