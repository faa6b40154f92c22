/* json.apply: operations on places of one JSON field, one after another, each on the result of those before
 * it; all of them or none. A list of them replaces the function that the old services called on the loaded field.
 *
 *   set        value   the value replaces the one there, or is added
 *   increment  by?     adds `by` (1 without it; may be negative) to the number there
 *   append     value   the value becomes the last element of the array there
 *   remove             the value there is removed
 *   test       value   refuses the whole command (test_failed) unless a value equal to it is there
 *
 * Where a path may lead, and which of them make places that are not there, is the contract of tree.h: in short, the
 * first three create a missing value (increment from 0, append from an empty array, the way to it from objects), remove
 * finds nothing to do there and test fails. An increment of a value that is not a number, and an append to a value that
 * is not an array, are refused: to replace a value, set it. Arithmetic is exact or refused (decimal.h).
 */
#include "workflows/document/tree.h"
#include "workflows/json/field.h"
#include "workflows/model/limits.h"

struct edit
{
    int op;
    struct span path;
    const struct node *value, *by;
};

struct apply
{
    struct aggregate aggregate;
    struct span field;
    struct field_objects operations;
};

static const struct parameter edit_parameters[] = {
    PARAMETER(edit, op, NAME, REQUIRED, .names = &names_json_operation, .description = "The operation at the path."),
    PARAMETER(edit, path, TEXT, REQUIRED, .minimum = 0, .maximum = JSON_PATH_MAX,
              .description = "A JSON pointer (RFC 6901) into the field; empty: the whole field."),
    PARAMETER(edit, value, JSON, OPTIONAL, .description = "Any JSON; set, append and test need one."),
    PARAMETER(edit, by, DECIMAL, NULLABLE, .description = "The number that increment adds; 1 without it."),
    { .name = NULL },
};

static const struct parameter parameters[] = {
    PARAMETER(apply, aggregate, AGGREGATE, REQUIRED, .description = "The key of the row, like jobneed/7."),
    PARAMETER(apply, field, TEXT, REQUIRED, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "The JSON field of the row, like other_info."),
    PARAMETER(apply, operations, OBJECTS, REQUIRED, .minimum = 1, .maximum = JSON_OPERATIONS_MAX,
              .members = edit_parameters, .member_size = sizeof(struct edit),
              .description = "Done one after another; all of them or none."),
    { .name = NULL },
};

/* --- before any row ---------------------------------------------------------------------------------------------- */

static const bool needs_value[] = {
    [JSON_SET] = true, [JSON_INCREMENT] = false, [JSON_APPEND] = true, [JSON_REMOVE] = false, [JSON_TEST] = true,
};

/* The fault of an operation, and the member that has it; NULL: no fault. */
static const char *judge(const struct json_field *field, const struct edit *edit, struct arena *arena,
                         const char **ret_member)
{
    struct pointer pointer;
    const char *why = pointer_parse(arena, edit->path, &pointer);
    *ret_member = "path";
    if (why)
        return why;
    if (edit->op == JSON_REMOVE && pointer.count == 0)
        return "expected a place in the field: the whole of it cannot be removed";
    *ret_member = "value";
    if (needs_value[edit->op] && !edit->value)
        return "is required";
    if (!needs_value[edit->op] && edit->value)
        return "this operation takes none";
    if (edit->op == JSON_SET && pointer.count == 0)
        return json_field_accept(field, edit->value);
    *ret_member = "by";
    return edit->by && edit->op != JSON_INCREMENT ? "this operation takes none" : NULL;
}

/* "/operations/3/path" */
static void add_place(struct buffer *into, size_t index, const char *member)
{
    buffer_add_text(into, "/operations/");
    buffer_add_int64(into, (int64_t)index);
    buffer_add_byte(into, '/');
    buffer_add_text(into, member);
}

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct apply *apply = data;
    if (!json_field_identify(apply->aggregate, apply->field, arena, ret, reterr))
        return false;
    const struct json_field *field = json_field_find(ret->kind, apply->field);
    const struct edit *edits = apply->operations.at;
    for (size_t i = 0; i < apply->operations.count; i++)
    {
        const char *member, *why = judge(field, &edits[i], arena, &member);
        if (!why)
            continue;
        struct buffer place = BUFFER_EMPTY;
        add_place(&place, i, member);
        arena->failed = arena->failed || buffer_failed(&place);
        *reterr = parameters_failure(arena, buffer_span(&place), why);
        buffer_done(&place);
        return false;
    }
    return true;
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct apply *apply = command->parameters;
    rows_want(rows, json_field_find(apply->aggregate.kind, apply->field)->entity, apply->aggregate.id);
}

/* --- on the row -------------------------------------------------------------------------------------------------- */

static const char *change(struct json_tree *tree, const struct edit *edit, struct arena *arena, bool *ret_held)
{
    struct pointer pointer;
    const char *why = pointer_parse(arena, edit->path, &pointer);
    *ret_held = true;
    if (why)
        return why;
    switch (edit->op)
    {
    case JSON_SET:
        return json_tree_set(tree, &pointer, edit->value->raw);
    case JSON_INCREMENT:
        return json_tree_increment(tree, &pointer, edit->by ? edit->by->raw : SPAN_LITERAL("1"));
    case JSON_APPEND:
        return json_tree_append(tree, &pointer, edit->value->raw);
    case JSON_REMOVE:
        return json_tree_remove(tree, &pointer);
    default:
        return json_tree_test(tree, &pointer, edit->value->raw, ret_held);
    }
}

static void refuse(struct decision *decision, enum reason reason, size_t index, const char *member, const char *why)
{
    struct buffer place = BUFFER_EMPTY;
    add_place(&place, index, member);
    decision->arena->failed = decision->arena->failed || buffer_failed(&place);
    decision_refuse(decision, reason);
    decision_add_text(decision, "parameter", buffer_span(&place));
    decision_add_text(decision, "message", span_of(why));
    buffer_done(&place);
}

/* Prints the changed field, or makes the refusal. */
static bool run(const struct apply *apply, struct span present, struct decision *decision, struct buffer *into)
{
    struct json_tree *tree = json_tree_new(decision->arena, present);
    const struct edit *edits = apply->operations.at;
    for (size_t i = 0; tree && i < apply->operations.count; i++)
    {
        bool held;
        const char *why = change(tree, &edits[i], decision->arena, &held);
        if (why || !held)
        {
            refuse(decision, why ? REASON_INVALID_DATA : REASON_TEST_FAILED, i, why ? "path" : "value",
                   why ? why : "is not what the field holds there");
            return false;
        }
    }
    if (tree)
        json_tree_print(tree, into);
    return tree != NULL;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct apply *apply = command->parameters;
    const struct json_field *field = json_field_find(apply->aggregate.kind, apply->field);
    const struct span *present = json_field_read(field, rows, decision);
    if (!present)
        return;
    /* The opened values are many times the text: only the printed field is kept until the end of the batch. */
    struct arena_mark mark = arena_mark(decision->arena);
    struct buffer text = BUFFER_EMPTY;
    struct span empty = field->array ? SPAN_LITERAL("[]") : SPAN_LITERAL("{}");
    decision_leave(decision);
    bool changed = run(apply, present->at ? *present : empty, decision, &text);
    arena_rewind(decision->arena, mark);
    if (changed)
    {
        struct span copy = buffer_failed(&text) ? SPAN_NULL : arena_copy(decision->arena, buffer_span(&text));
        if (copy.at)
            json_field_change(field, rows, decision, *present, copy);
        else
            decision->arena->failed = true;
    }
    buffer_done(&text);
}

const struct workflow workflow_json_apply = {
    .type = "json.apply",
    .named = { .kind = AGGREGATE_NONE, .member = "aggregate" },
    .description = "Changes places of a JSON field: set, increment, append, remove, test; all or nothing.",
    .parameters = parameters,
    .parameters_size = sizeof(struct apply),
    .operation = OPERATION_JSON_UPDATE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
