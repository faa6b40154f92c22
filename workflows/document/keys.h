/* Document keys: the members of one object in the order of their names' bytes. Private to document.c, which finds
 * duplicates of large objects by it, and workflows/document/canonical.c, which prints by it.
 *
 * Threads    no state.
 * Ownership  the caller brings the memory.
 * Failure    none. Never quadratic: the keys come from outside.
 */
#ifndef WORKFLOWS_DOCUMENT_KEYS_H
#define WORKFLOWS_DOCUMENT_KEYS_H

#include "workflows/document/node.h"

struct document_key
{
    uint64_t prefix; /* the first eight bytes of the name, the first byte on top: compares as the bytes do */
    uint32_t node;
};

/* Fills object->count keys, in the order of the text. */
void document_keys_collect(const struct node *nodes, const struct node *object, struct document_key *keys);

/* Stable. `scratch` has room for `count`, too; returns whichever of the two holds the sorted keys. */
struct document_key *document_keys_sort(const struct node *nodes, struct document_key *keys,
                                        struct document_key *scratch, uint32_t count);

/* The second of two members with one name, or NULL. */
const struct node *document_keys_duplicate(const struct node *nodes, const struct document_key *sorted, uint32_t count);

#endif
