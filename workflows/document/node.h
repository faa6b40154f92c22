/* Node: one value of a document, the flat array that they make, and why a text is not a document. Read document.h
 * first.
 *
 * Threads    values; a document has one owner.
 * Ownership  nodes live in the arena; spans point into the text, or into the arena where a string had escapes.
 */
#ifndef WORKFLOWS_DOCUMENT_NODE_H
#define WORKFLOWS_DOCUMENT_NODE_H

#include "workflows/base/arena.h"
#include "workflows/base/buffer.h"

enum node_kind
{
    NODE_NULL,
    NODE_FALSE,
    NODE_TRUE,
    NODE_INTEGER, /* a whole number that fits int64, however written (5, 5.0, 50e-1): value in `integer` */
    NODE_NUMBER,  /* any other number: the nearest double in `number`, infinite beyond its range */
    NODE_STRING,  /* `text`: unescaped bytes */
    NODE_ARRAY,
    NODE_OBJECT,
};

struct node
{
    enum node_kind kind;
    uint32_t next;   /* index of the node after this one's whole subtree */
    uint32_t count;  /* members or elements */
    struct span key; /* unescaped name when a member of an object, else null */
    struct span raw; /* the value as written */
    struct span text;
    int64_t integer;
    double number;
};

struct document
{
    struct node *nodes; /* nodes[0] is the root; a container's first child is the node right after it */
    uint32_t count;
};

enum document_fault
{
    DOCUMENT_OK,
    DOCUMENT_TOO_LARGE,
    DOCUMENT_TOO_DEEP,
    DOCUMENT_DUPLICATE_KEY,
    DOCUMENT_BAD_ENCODING, /* UTF-8, surrogates, NUL */
    DOCUMENT_SYNTAX,
    DOCUMENT_NO_MEMORY,
};

struct document_failure
{
    enum document_fault fault;
    size_t position;  /* byte of the text */
    const char *what; /* static sentence part: "duplicate key", "expected ',' or '}'", ... */
};

#endif
