#include <stdlib.h>

#include "workflows/document_keys.h"

enum
{
    STACK_KEYS = 32, /* times 32 levels is 16 KiB of stack; larger objects sort in memory of their own */
};

static void print(const struct document *document, const struct node *node, struct buffer *into);

static void print_array(const struct document *document, const struct node *array, struct buffer *into)
{
    buffer_add_byte(into, '[');
    const struct node *first = document_first(document, array);
    for (const struct node *child = first; child; child = document_next(document, array, child))
    {
        if (child != first)
            buffer_add_byte(into, ',');
        print(document, child, into);
    }
    buffer_add_byte(into, ']');
}

static void print_object(const struct document *document, const struct node *object, struct buffer *into)
{
    struct document_key few[2 * STACK_KEYS];
    struct document_key *keys = few;
    if (object->count > STACK_KEYS)
        keys = malloc(2 * (size_t)object->count * sizeof *keys);
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
        print(document, child, into);
    }
    buffer_add_byte(into, '}');
    if (keys != few)
        free(keys);
}

/* Recursion ends at DOCUMENT_DEPTH_MAX, which the parser has checked. */
static void print(const struct document *document, const struct node *node, struct buffer *into)
{
    switch (node->kind)
    {
    case NODE_OBJECT:
        print_object(document, node, into);
        return;
    case NODE_ARRAY:
        print_array(document, node, into);
        return;
    case NODE_STRING:
        /* Without a backslash the text as written is the text as printed. */
        if (node->text.at != node->raw.at + 1)
        {
            buffer_add_json_string(into, node->text);
            return;
        }
        buffer_add_span(into, node->raw);
        return;
    case NODE_NULL:
    case NODE_FALSE:
    case NODE_TRUE:
    case NODE_INTEGER:
    case NODE_NUMBER:
        buffer_add_span(into, node->raw);
        return;
    }
}

void document_canonical(const struct document *document, const struct node *node, struct buffer *into)
{
    print(document, node, into);
}
