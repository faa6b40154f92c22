/* JSON text: objects and arrays changed one level deep without touching deeper ones.
 *
 * A JSON field of a row is text. It is cut at its top level, and members that a command does not name are copied byte
 * for byte: a parser's doubles would turn another writer's 0.1 into 0.10000000000000001 and refuse its large integers.
 * Texts come from PostgreSQL or passed document_parse; text that is not JSON all the same is answered with false, never
 * followed.
 *
 * Threads    no state.
 * Ownership  results live in the arena; spans point into the text or the arena.
 * Failure    false: the text is not what is asked for. No memory: false, and the arena has failed.
 */
#ifndef WORKFLOWS_DOCUMENT_TEXT_H
#define WORKFLOWS_DOCUMENT_TEXT_H

#include "workflows/document/document.h"

struct json_member
{
    struct span key;   /* unescaped */
    struct span value; /* as written */
};

/* The members of an object, the elements of an array. */
bool json_text_read_object(struct arena *arena, struct span text, struct json_member **ret, size_t *ret_count);
bool json_text_read_array(struct arena *arena, struct span text, struct span **ret, size_t *ret_count);

/* The object with these members added, or put in the place of those of the same name. A null text is an empty object.
 * False: it is no object. */
bool json_text_merge(struct arena *arena, struct span object, const struct json_member *changes, size_t count,
                     struct span *ret);

/* The array with `value` at its end, at most `length_max` long: the oldest are dropped. Anything that is not an array
 * counts as an empty one. */
bool json_text_append(struct arena *arena, struct span array, struct span value, size_t length_max, struct span *ret);

/* The value in the one form that equal values share: keys sorted, no white space, numbers as digits and exponent. It
 * does not depend on whether the text went through PostgreSQL, which prints 1e2 as 100, and therefore neither do
 * the two answers that rest on it (PROTOCOL B3): whether two values are equal, and how large one is. */
bool json_text_print_canonical(struct arena *arena, struct span text, struct buffer *into);

/* The same, to be read: a number is printed with a point and without an exponent, unless that takes more than some
 * forty zeros. */
bool json_text_print_plain(struct arena *arena, struct span text, struct buffer *into);

/* Equal as jsonb compares: 1.0 is 1, order of keys does not matter. */
bool json_text_equal(struct arena *arena, struct span a, struct span b);

/* Bytes of the canonical form; SIZE_MAX when it is no JSON. */
size_t json_text_size(struct arena *arena, struct span text);

/* How many objects and arrays lie in one another at the deepest place: 0 for a scalar. */
size_t json_text_depth(struct span text);

#endif
