/* Any bytes as JSON: no crash, no read beyond the end, and what is accepted has a canonical form that is accepted with
 * the same form again. Seeds: tests/fuzz/corpus/document. */
#include <stdlib.h>

#include "workflows/document/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Every node lies inside its container, and children fill it. */
static void check_tree(const struct document *document, const struct node *node)
{
    if (node->next > document->count)
        abort();
    uint32_t count = 0;
    const struct node *last = NULL;
    for (const struct node *child = document_first(document, node); child; child = document_next(document, node, child))
    {
        if ((child->key.at != NULL) != (node->kind == NODE_OBJECT))
            abort();
        check_tree(document, child);
        last = child;
        count++;
    }
    if (count != node->count || (last && last->next != node->next))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena arena;
    struct document document, again;
    struct document_failure failure;
    struct buffer first = BUFFER_EMPTY;
    struct buffer second = BUFFER_EMPTY;
    arena_init(&arena);
    if (document_parse(&arena, (struct span){ (const char *)bytes, size }, &document, &failure))
    {
        check_tree(&document, &document.nodes[0]);
        document_canonical(&document, &document.nodes[0], &first);
        if (first.size > 6 * size || /* 1e18 is printed whole */
            !document_parse(&arena, buffer_span(&first), &again, &failure))
            abort();
        document_canonical(&again, &again.nodes[0], &second);
        if (again.count != document.count || !span_equal(buffer_span(&first), buffer_span(&second)))
            abort();
    }
    else if (failure.position > size || failure.fault == DOCUMENT_OK)
    {
        abort();
    }
    buffer_done(&first);
    buffer_done(&second);
    arena_done(&arena);
    return 0;
}
