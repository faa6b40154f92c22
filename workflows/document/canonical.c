#include <stdlib.h>

#include "workflows/document/document.h"
#include "workflows/document/keys.h"
#include "workflows/document/number.h"

enum
{
    STACK_KEYS = 32, /* times 32 levels is 16 KiB of stack; larger objects sort in memory of their own */
};

struct printing
{
    const struct document *document;
    struct buffer *into;
    bool numbers_as_written;
    bool changed; /* a number is printed otherwise than it is written */
};

static void print(struct printing *printing, const struct node *node);

static void print_array(struct printing *printing, const struct node *array)
{
    const struct document *document = printing->document;
    struct buffer *into = printing->into;
    buffer_add_byte(into, '[');
    const struct node *first = document_first(document, array);
    for (const struct node *child = first; child; child = document_next(document, array, child))
    {
        if (child != first)
            buffer_add_byte(into, ',');
        print(printing, child);
    }
    buffer_add_byte(into, ']');
}

static void print_object(struct printing *printing, const struct node *object)
{
    const struct document *document = printing->document;
    struct buffer *into = printing->into;
    struct document_key few[2 * STACK_KEYS];
    struct document_key *keys = few;
    if (object->count > STACK_KEYS)
        keys = malloc(2 * (size_t)object->count * sizeof(*keys));
    if (!keys)
    {
        into->failed = true;
        return;
    }
    document_keys_collect(document->nodes, object, keys);
    const struct document_key *sorted = document_keys_sort(document->nodes, keys, keys + object->count, object->count);
    buffer_add_byte(into, '{');
    for (uint32_t i = 0; i < object->count && !buffer_failed(into); i++)
    {
        const struct node *child = &document->nodes[sorted[i].node];
        if (i > 0)
            buffer_add_byte(into, ',');
        buffer_add_json_string(into, child->key);
        buffer_add_byte(into, ':');
        print(printing, child);
    }
    buffer_add_byte(into, '}');
    if (keys != few)
        free(keys);
}

/* Recursion ends at DOCUMENT_DEPTH_MAX, which the parser has checked. */
static void print(struct printing *printing, const struct node *node)
{
    switch (node->kind)
    {
    case NODE_OBJECT:
        print_object(printing, node);
        return;
    case NODE_ARRAY:
        print_array(printing, node);
        return;
    case NODE_STRING:
        /* Without a backslash the text as written is the text as printed. */
        if (node->text.at != node->raw.at + 1)
        {
            buffer_add_json_string(printing->into, node->text);
            return;
        }
        buffer_add_span(printing->into, node->raw);
        return;
    case NODE_INTEGER:
    case NODE_NUMBER:
        if (!printing->numbers_as_written)
        {
            printing->changed = !document_number_print(node->raw, printing->into) || printing->changed;
            return;
        }
        buffer_add_span(printing->into, node->raw);
        return;
    case NODE_NULL:
    case NODE_FALSE:
    case NODE_TRUE:
        buffer_add_span(printing->into, node->raw);
        return;
    }
}

bool document_canonical(const struct document *document, const struct node *node, struct buffer *into)
{
    struct printing printing = { .document = document, .into = into };
    print(&printing, node);
    return printing.changed;
}

void document_canonical_as_written(const struct document *document, const struct node *node, struct buffer *into)
{
    struct printing printing = { .document = document, .into = into, .numbers_as_written = true };
    print(&printing, node);
}
