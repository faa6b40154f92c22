/* Shell word: a text as one word of a POSIX shell, in commands that people copy.
 *
 * Threads    a pure function.
 * Failure    the buffer has failed.
 */
#ifndef WORKER_BASE_SHELL_WORD_H
#define WORKER_BASE_SHELL_WORD_H

#include "workflows/base/buffer.h"

/* In quotes only where it needs them. */
void shell_word_add(struct buffer *into, const char *word);

#endif
