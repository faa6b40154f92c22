/* Any bytes as a JSON pointer, and as the places of a field: the text before the first NUL is the pointer, the rest a
 * JSON document. No crash, no read beyond the end; what is read as a pointer is printed and read back the same; and
 * after any change the document is still one. Seeds: tests/fuzz/corpus/pointer. */
#include <stdlib.h>

#include "workflows/document/document.h"
#include "workflows/document/tree.h"
#include "workflows/parameters/parameters.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_printed(struct arena *arena, const struct pointer *pointer)
{
    struct buffer text = BUFFER_EMPTY;
    struct pointer again;
    for (size_t i = 0; i < pointer->count; i++)
    {
        if (pointer->steps[i].size > 64)
            break; /* parameters_add_pointer cuts it */
        parameters_add_pointer(&text, pointer->steps[i]);
        if (pointer_parse(arena, buffer_span(&text), &again) || again.count != i + 1 ||
            !span_equal(again.steps[i], pointer->steps[i]))
            abort();
    }
    buffer_done(&text);
}

static void check_tree(struct arena *arena, const struct json_tree *tree)
{
    struct buffer text = BUFFER_EMPTY;
    struct document document;
    struct document_failure failure;
    json_tree_print(tree, &text);
    if (!document_parse(arena, buffer_span(&text), &document, &failure) && failure.fault != DOCUMENT_TOO_DEEP &&
        failure.fault != DOCUMENT_TOO_LARGE)
        abort();
    buffer_done(&text);
}

/* In a command the pointer is a string of a JSON text; other bytes would make invalid names. */
static bool is_utf8(struct arena *arena, struct span text)
{
    struct buffer string = BUFFER_EMPTY;
    struct document document;
    struct document_failure failure;
    buffer_add_json_string(&string, text);
    bool parsed = document_parse(arena, buffer_span(&string), &document, &failure);
    buffer_done(&string);
    return parsed;
}

static const char *change(struct json_tree *tree, const struct pointer *pointer, int operation, bool *ret_held)
{
    static const struct span value = { "[1,{\"a\":0.5}]", 13 };
    switch (operation)
    {
    case 0:
        return json_tree_set(tree, pointer, value);
    case 1:
        return json_tree_increment(tree, pointer, SPAN_LITERAL("-1.5e1"));
    case 2:
        return json_tree_append(tree, pointer, value);
    case 3:
        return json_tree_remove(tree, pointer);
    default:
        return json_tree_test(tree, pointer, value, ret_held);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena arena;
    struct pointer pointer;
    struct document document;
    struct document_failure failure;
    arena_init(&arena);
    const uint8_t *end = size ? memchr(bytes, 0, size) : NULL;
    struct span text = { (const char *)bytes, end ? (size_t)(end - bytes) : size };
    struct span field = { (const char *)bytes + text.size + 1, end ? size - text.size - 1 : 0 };
    bool valid = document_parse(&arena, field, &document, &failure);
    if (!pointer_parse(&arena, text, &pointer))
    {
        check_printed(&arena, &pointer);
        for (int operation = 0; operation < 5 && valid; operation++)
        {
            struct json_tree *tree = json_tree_new(&arena, field);
            bool held = false;
            if (!change(tree, &pointer, operation, &held) && is_utf8(&arena, text))
                check_tree(&arena, tree);
        }
    }
    arena_done(&arena);
    return 0;
}
