/* Shown: text from outside as people may see it, on a terminal, in a log line, on a page. Terminals obey control
 * characters (C0, C1), readers of logs obey newlines, and eyes obey the marks that turn the direction of writing; all
 * of them become \u001b, \u009b, \u202e, which in JSON is the same character again. Bytes that are not UTF-8 become
 * \ufffd. Everything that leaves for people goes through here.
 *
 * Threads    pure functions.
 * Failure    shown_add: the buffer has failed.
 */
#ifndef WORKER_BASE_SHOWN_H
#define WORKER_BASE_SHOWN_H

#include "workflows/base/buffer.h"

enum
{
    SHOWN_ESCAPE_MAX = 16,
};

/* The next character of `size` bytes, at least 1: its bytes, and its escape, or "" where it is shown as it is. */
size_t shown_step(const unsigned char *at, size_t size, char escape[SHOWN_ESCAPE_MAX]);

/* One line: newlines are escaped too. */
void shown_add(struct buffer *into, struct span text);

/* Lines that we made; text from outside in them has been through shown_add or is JSON. */
void shown_add_lines(struct buffer *into, struct span text);

#endif
