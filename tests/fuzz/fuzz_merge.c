/* Two JSON texts with a NUL between them: the second one's members merged into the first, and the second one appended
 * to the first. No crash, no read beyond the end; the result is JSON, it holds what was merged and what was there, and
 * merged again it is equal. Seeds: tests/fuzz/corpus/merge. */
#include <stdlib.h>

#include "workflows/document/document.h"
#include "workflows/document/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum
{
    ARRAY_MAX = 5,
};

static void must_be_json(struct arena *arena, struct span text)
{
    struct document document;
    struct document_failure failure;
    if (!document_parse(arena, text, &document, &failure) && failure.fault != DOCUMENT_TOO_DEEP &&
        failure.fault != DOCUMENT_TOO_LARGE)
        abort();
}

static const struct json_member *find(const struct json_member *members, size_t count, struct span key)
{
    for (size_t i = count; i-- > 0;)
        if (span_equal(members[i].key, key))
            return &members[i];
    return NULL;
}

/* Every member of `changes` is there; of `old` every one that `changes` does not name. */
static void check_merged(struct arena *arena, struct span merged, struct span old, struct span changes)
{
    struct json_member *now, *before, *wanted;
    size_t now_count, before_count, wanted_count;
    if (!json_text_read_object(arena, merged, &now, &now_count) ||
        !json_text_read_object(arena, old, &before, &before_count) ||
        !json_text_read_object(arena, changes, &wanted, &wanted_count))
        abort();
    for (size_t i = 0; i < wanted_count; i++)
    {
        const struct json_member *there = find(now, now_count, wanted[i].key);
        if (!there || !span_equal(there->value, wanted[i].value))
            abort();
    }
    for (size_t i = 0; i < before_count; i++)
    {
        const struct json_member *there = find(now, now_count, before[i].key);
        if (!there || (!find(wanted, wanted_count, before[i].key) && !span_equal(there->value, before[i].value)))
            abort();
    }
}

static void merge(struct arena *arena, struct span object, struct span changes)
{
    struct json_member *members;
    size_t count;
    struct span merged, again;
    if (!json_text_read_object(arena, changes, &members, &count) ||
        !json_text_merge(arena, object, members, count, &merged))
        return;
    must_be_json(arena, merged);
    check_merged(arena, merged, object, changes);
    if (!json_text_merge(arena, merged, members, count, &again) || !json_text_equal(arena, merged, again))
        abort();
}

static void append(struct arena *arena, struct span array, struct span value)
{
    struct span appended;
    struct span *elements;
    size_t count;
    if (!json_text_append(arena, array, value, ARRAY_MAX, &appended))
        return;
    must_be_json(arena, appended);
    if (!json_text_read_array(arena, appended, &elements, &count) || count == 0 || count > ARRAY_MAX ||
        !span_equal(elements[count - 1], value))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena arena;
    struct document document;
    struct document_failure failure;
    arena_init(&arena);
    const uint8_t *end = size ? memchr(bytes, 0, size) : NULL;
    struct span first = { (const char *)bytes, end ? (size_t)(end - bytes) : size };
    struct span second = { (const char *)bytes + first.size + 1, end ? size - first.size - 1 : 0 };
    bool valid = document_parse(&arena, first, &document, &failure);
    valid = document_parse(&arena, second, &document, &failure) && valid;
    if (valid)
    {
        /* As the parser gives a value: without the white space around it. */
        second = document.nodes[0].raw;
        merge(&arena, first, second);
        append(&arena, first, second);
    }
    else
    {
        /* Bytes that are not JSON are answered with false, never followed. */
        (void)json_text_size(&arena, first);
        (void)json_text_depth(first);
        (void)json_text_equal(&arena, first, second);
    }
    arena_done(&arena);
    return 0;
}
