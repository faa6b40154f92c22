/* Document: a strict JSON text (RFC 8259) turned into a flat array of nodes in one pass.
 *
 * It refuses, before anything is allocated in proportion to it, what CONTRACT.md forbids: more than
 * DOCUMENT_SIZE_MAX bytes, deeper than DOCUMENT_DEPTH_MAX, duplicate keys, bad UTF-8, lone surrogates, NUL (raw or
 * \u0000), NaN, trailing data, a byte order mark. jansson costs 5.7 us and a second pass for these checks per command;
 * this pass is the check and the parse.
 *
 * Threads    a document has one owner; document_parse keeps no state.
 * Ownership  nodes live in the arena; spans point into the text, or into the arena where a string had escapes.
 * Failure    false, and the failure says which rule and at which byte.
 */
#ifndef WORKFLOWS_DOCUMENT_DOCUMENT_H
#define WORKFLOWS_DOCUMENT_DOCUMENT_H

#include "workflows/document/node.h"

enum
{
    DOCUMENT_SIZE_MAX = 64 * 1024, /* CONTRACT.md: value up to 64 KiB */
    DOCUMENT_DEPTH_MAX = 32,       /* CONTRACT.md */
};

bool document_parse(struct arena *arena, struct span text, struct document *ret, struct document_failure *reterr);

/* The member of an object, or NULL. */
const struct node *document_member(const struct document *document, const struct node *object, const char *key);

/* for (child = document_first(d, n); child; child = document_next(d, n, child)) */
const struct node *document_first(const struct document *document, const struct node *container);
const struct node *document_next(const struct document *document, const struct node *container,
                                 const struct node *child);

/* The value with object keys sorted by bytes, no white space, numbers in one text for each value: the form that the
 * body digest is of (PROTOCOL R2). True: a number is printed otherwise than it is written. */
bool document_canonical(const struct document *document, const struct node *node, struct buffer *into);

/* The same with numbers as written: what body digests were of before equal numbers were equal. */
void document_canonical_as_written(const struct document *document, const struct node *node, struct buffer *into);

/* The text of a fault for people: "duplicate_key", "too_deep", "bad_encoding", "not_json", "too_large". Also the dead
 * letter's interlock.reason. */
const char *document_fault_name(enum document_fault fault);

#endif
