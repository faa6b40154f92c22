/* JSON pointer (RFC 6901): "/visits/0/who" as the steps that lead from a document's root to a place in it.
 *
 * Threads    no state.
 * Ownership  steps point into the text, or into the arena where a step had an escape.
 * Failure    NULL, or a sentence about the text. No memory: a sentence too, and the arena has failed.
 */
#ifndef WORKFLOWS_DOCUMENT_POINTER_H
#define WORKFLOWS_DOCUMENT_POINTER_H

#include "workflows/base/arena.h"

enum
{
    POINTER_STEPS_MAX = 32, /* no place lies deeper than a field may be */
};

struct pointer
{
    size_t count; /* 0: the whole document */
    struct span steps[POINTER_STEPS_MAX];
};

/* NULL: *ret is the pointer. */
const char *pointer_parse(struct arena *arena, struct span text, struct pointer *ret);

enum pointer_index
{
    POINTER_NO_INDEX,  /* means nothing in an array: not all digits, or a zero in front of others */
    POINTER_AT_INDEX,  /* of the element *ret; SIZE_MAX where the number is larger than any array */
    POINTER_AFTER_END, /* "-": the element after the last */
};

/* The meaning of a step that meets an array. */
enum pointer_index pointer_read_index(struct span step, size_t *ret);

#endif
