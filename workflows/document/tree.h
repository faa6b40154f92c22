/* JSON tree: a JSON text changed at places that pointers name. A value is opened only where a pointer leads through it;
 * everything else is printed as it was written (see text.h for why).
 *
 * set, increment and append name a place: every step is a member of an object, or in an array the index of an element,
 * "-" or the array's length for a new one behind the last. A place that is not there yet is made; one that is passed
 * on the way to another is made an object. Two commands that each count under /visits/7 need no third one that makes
 * `visits` first. A step into a value that is neither object nor array, and an index beyond the array's length, are
 * refused: nothing is overwritten but what the pointer names. For remove and test what is not there is just not there.
 * A step that meets an array and is no index (01, x) is refused by all of them.
 *
 * Threads    one owner.
 * Ownership  the tree and all it holds live in its arena; texts that are set are not copied and must live as long.
 * Failure    a sentence why not, NULL when done. After one the tree may have changed: drop it. No memory: a sentence
 *            too, and the arena has failed.
 */
#ifndef WORKFLOWS_DOCUMENT_TREE_H
#define WORKFLOWS_DOCUMENT_TREE_H

#include "workflows/base/buffer.h"
#include "workflows/document/pointer.h"

struct json_tree;

/* Over a text that passed document_parse, or came from PostgreSQL. NULL: no memory. */
struct json_tree *json_tree_new(struct arena *arena, struct span text);

const char *json_tree_set(struct json_tree *tree, const struct pointer *pointer, struct span value);

/* The number there, exactly (decimal.h); a place that was not there counted 0. */
const char *json_tree_increment(struct json_tree *tree, const struct pointer *pointer, struct span by);

/* A new last element of the array there; a place that was not there was an empty array. */
const char *json_tree_append(struct json_tree *tree, const struct pointer *pointer, struct span value);

/* A member with its name; elements after a removed one move up. */
const char *json_tree_remove(struct json_tree *tree, const struct pointer *pointer);

/* Whether a value equal to this one (json_text_equal) is there. */
const char *json_tree_test(struct json_tree *tree, const struct pointer *pointer, struct span value, bool *ret);

void json_tree_print(const struct json_tree *tree, struct buffer *into);

#endif
