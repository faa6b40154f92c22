/* Every parameter of every command, fed its wrong kinds: walks the tables of the registry beside the good commands of
 * tests/examples/commands.json, puts one wrong value in the place of a good one, and expects invalid_data with the JSON
 * pointer of exactly that parameter. A parameter that no example shows, or a command without an example, is a failure:
 * a new workflow is tested by its example.
 *
 * With BAD_PARAMETERS_LIST=FILE in the environment every command that was tried is written there, one a line, so that
 * tests/system/test_describe.py can ask a stock validator about the same ones. */
#include "tests/fixtures/spoiled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/fixtures/refusal.h"

static const char examples_file[] = "tests/examples/commands.json";

/* --- what is wrong for a kind ------------------------------------------------------------------------------------ */

enum shape
{
    SHAPE_NULL = 1,
    SHAPE_BOOLEAN = 2,
    SHAPE_NUMBER = 4,
    SHAPE_STRING = 8,
    SHAPE_ARRAY = 16,
    SHAPE_OBJECT = 32,
};

static const struct
{
    enum shape shape;
    const char *raw;
} shapes[] = {
    { SHAPE_NULL, "null" },      { SHAPE_BOOLEAN, "true" }, { SHAPE_BOOLEAN, "false" },   { SHAPE_NUMBER, "7" },
    { SHAPE_NUMBER, "-0.5e-3" }, { SHAPE_STRING, "\"7\"" }, { SHAPE_STRING, "\"\"" },     { SHAPE_ARRAY, "[]" },
    { SHAPE_ARRAY, "[7]" },      { SHAPE_OBJECT, "{}" },    { SHAPE_OBJECT, "{\"\":1}" },
};

static const enum shape right_shapes[] = {
    [PARAMETER_ID] = SHAPE_NUMBER,        [PARAMETER_INTEGER] = SHAPE_NUMBER,  [PARAMETER_NUMBER] = SHAPE_NUMBER,
    [PARAMETER_DECIMAL] = SHAPE_NUMBER,   [PARAMETER_BOOLEAN] = SHAPE_BOOLEAN, [PARAMETER_TEXT] = SHAPE_STRING,
    [PARAMETER_NAME] = SHAPE_STRING,      [PARAMETER_TIME] = SHAPE_STRING,     [PARAMETER_UUID] = SHAPE_STRING,
    [PARAMETER_AGGREGATE] = SHAPE_STRING, [PARAMETER_IDS] = SHAPE_ARRAY,       [PARAMETER_VECTOR] = SHAPE_ARRAY,
    [PARAMETER_OBJECTS] = SHAPE_ARRAY,    [PARAMETER_OBJECT] = SHAPE_OBJECT,
};

/* Wrong texts of the right shape, each kind's list ended by NULL. */
static const char *const wrong_ids[] = { "0", "-1", "1.5", "9223372036854775808", "1e30", NULL };
static const char *const wrong_integers[] = { "1.5", "9223372036854775808", "-9223372036854775809", "1e30", NULL };
static const char *const wrong_uuids[] = { "\"\"",
                                           "\"42\"",
                                           "\"0c5c7fd0-0000-4000-8000-00000000000\"",
                                           "\"0c5c7fd0-0000-4000-8000-00000000000g\"",
                                           "\"0c5c7fd000004000800000000000000a\"",
                                           "\"{0c5c7fd0-0000-4000-8000-00000000000a}\"",
                                           NULL };
static const char *const wrong_times[] = { "\"\"",
                                           "\"yesterday\"",
                                           "\"2026-11-24\"",
                                           "\"2026-11-24T09:00:00\"",
                                           "\"2026-11-24 09:00:00Z\"",
                                           "\"2026-13-24T09:00:00Z\"",
                                           "\"2026-11-24T24:00:00Z\"",
                                           "\"2026-11-24T09:00:00+0530\"",
                                           "\"1795510800\"",
                                           NULL };
static const char *const wrong_aggregates[] = { "\"\"",
                                                "\"jobneed\"",
                                                "\"jobneed/\"",
                                                "\"jobneed/0\"",
                                                "\"jobneed/07\"",
                                                "\"jobneed/-7\"",
                                                "\"jobneed/x\"",
                                                "\"planet/7\"",
                                                "\"JOBNEED/7\"",
                                                "\"jobneed/7 \"",
                                                NULL };
static const char *const wrong_names[] = { "\"\"", "\"NONSENSE\"", "\" \"", NULL };

static const char *const *const wrong_texts[] = {
    [PARAMETER_ID] = wrong_ids,     [PARAMETER_INTEGER] = wrong_integers,     [PARAMETER_UUID] = wrong_uuids,
    [PARAMETER_TIME] = wrong_times, [PARAMETER_AGGREGATE] = wrong_aggregates, [PARAMETER_NAME] = wrong_names,
    [PARAMETER_VECTOR] = NULL,
};

static void try_shapes(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    if (parameter->kind == PARAMETER_JSON)
        return; /* any shape; what the command makes of it is its own rule */
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
    {
        bool nullable = shapes[i].shape == SHAPE_NULL && (parameter->flags & PARAMETER_NULLABLE);
        if (nullable)
            spoiled_try(spoiled, place, "null", "", DECODED);
        else if (shapes[i].shape != right_shapes[parameter->kind])
            spoiled_try(spoiled, place, shapes[i].raw, "", REFUSED);
    }
    const char *const *wrong = wrong_texts[parameter->kind];
    for (; wrong && *wrong; wrong++)
        spoiled_try(spoiled, place, *wrong, "", REFUSED);
}

static void try_range(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    if (!parameters_is_bounded(parameter))
        return;
    spoiled_try_number(spoiled, place, parameter->minimum - 1, REFUSED);
    spoiled_try_number(spoiled, place, parameter->maximum + 1, REFUSED);
    spoiled_try_number(spoiled, place, parameter->minimum, DECODED);
    spoiled_try_number(spoiled, place, parameter->maximum, DECODED);
}

/* The smallest value with a fraction of nothing. */
static void try_fraction(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    char raw[32];
    snprintf(raw, sizeof(raw), "%lld.0", (long long)parameter->minimum);
    spoiled_try(spoiled, place, raw, "", DECODED);
}

/* A text of `count` times the character, in quotes. */
static const char *repeated(const char *character, int64_t count)
{
    size_t size = strlen(character);
    char *raw = arena_take(&spoiled_arena, size * (size_t)count + 3);
    char *at = raw;
    *at++ = '"';
    for (int64_t i = 0; i < count; i++, at += size)
        memcpy(at, character, size);
    memcpy(at, "\"", 2);
    return raw;
}

/* The limit is of bytes; the schema's of characters, and lets longer ones pass (x-maxBytes says the truth). */
static void try_lengths(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    struct arena_mark mark = arena_mark(&spoiled_arena);
    if (parameter->minimum > 0)
        spoiled_try(spoiled, place, repeated("x", parameter->minimum - 1), "", REFUSED);
    spoiled_try(spoiled, place, repeated("x", parameter->maximum + 1), "", REFUSED);
    spoiled_try(spoiled, place, repeated("\xc3\xa9", parameter->maximum / 2 + 1), "", REFUSED_BY_US);
    spoiled_try(spoiled, place, repeated("x", parameter->maximum), "", DECODED);
    spoiled_try(spoiled, place, repeated("\xe2\x82\xac", parameter->maximum / 3), "", DECODED);
    arena_rewind(&spoiled_arena, mark);
}

static void try_words(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    for (int i = 1; i < parameter->names->count; i++)
    {
        char raw[64];
        const char *word = parameter->names->names[i];
        snprintf(raw, sizeof(raw), "\"%s\"", word);
        spoiled_try(spoiled, place, raw, "", DECODED);
        snprintf(raw, sizeof(raw), "\"%sX\"", word);
        spoiled_try(spoiled, place, raw, "", REFUSED);
        snprintf(raw, sizeof(raw), "\"%s\"", word);
        raw[1] ^= 0x20; /* the other case */
        spoiled_try(spoiled, place, raw, "", REFUSED);
    }
}

/* "[a,a,...]", or with numbers that count up from 1 where `element` is NULL. */
static const char *array_of(const char *element, int64_t count)
{
    struct buffer raw = BUFFER_EMPTY;
    buffer_add_byte(&raw, '[');
    for (int64_t i = 1; i <= count; i++)
    {
        if (i > 1)
            buffer_add_byte(&raw, ',');
        if (element)
            buffer_add_text(&raw, element);
        else
            buffer_add_int64(&raw, i);
    }
    buffer_add_byte(&raw, ']');
    struct span copy = arena_copy(&spoiled_arena, buffer_span(&raw));
    buffer_done(&raw);
    return copy.at;
}

static void try_counts(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter,
                       const char *element)
{
    struct arena_mark mark = arena_mark(&spoiled_arena);
    if (parameter->minimum > 0)
        spoiled_try(spoiled, place, array_of(element, parameter->minimum - 1), "", REFUSED);
    spoiled_try(spoiled, place, array_of(element, parameter->maximum + 1), "", REFUSED);
    spoiled_try(spoiled, place, array_of(element, parameter->maximum), "", DECODED);
    arena_rewind(&spoiled_arena, mark);
}

static void try_ids(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    try_counts(spoiled, place, parameter, NULL);
    spoiled_try(spoiled, place, "[3,1,3]", "", REFUSED);
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
    {
        char raw[64];
        snprintf(raw, sizeof(raw), "[1,%s]", shapes[i].raw);
        if (shapes[i].shape != SHAPE_NUMBER)
            spoiled_try(spoiled, place, raw, "/1", REFUSED);
    }
    spoiled_try(spoiled, place, "[1,2,0]", "/2", REFUSED);
    spoiled_try(spoiled, place, "[1.5]", "/0", REFUSED);
    spoiled_try(spoiled, place, "[9223372036854775808]", "/0", REFUSED);
}

static void try_vector(const struct spoiled *spoiled, const struct place *place, const struct parameter *parameter)
{
    static const char *const wrong[] = { "null", "true", "\"0.5\"", "[]", "{}", "1e39", "-3.5e38" };
    try_counts(spoiled, place, parameter, "0.25");
    struct place last = { NULL, NULL, (size_t)parameter->maximum - 1 };
    struct place in = *place;
    last.outer = &in;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        spoiled_try(spoiled, &last, wrong[i], "", REFUSED);
    spoiled_try(spoiled, &last, "3.4028234663852886e38", "", DECODED);
}

/* --- the walk ---------------------------------------------------------------------------------------------------- */

/* Which parameters of the tables have been met, by the address of their row. */
static const struct parameter *met[1024];
static size_t met_count;

static bool is_met(const struct parameter *parameter)
{
    for (size_t i = 0; i < met_count; i++)
        if (met[i] == parameter)
            return true;
    return false;
}

static void walk_object(const struct spoiled *spoiled, struct place *place, const struct parameter *table,
                        json_t *object);

/* The smallest object of the table: its required members as the example has them. */
static const char *smallest(const struct parameter *table, json_t *element)
{
    json_t *copy = json_object();
    for (; table->name; table++)
        if (table->flags & PARAMETER_REQUIRED)
            json_object_set(copy, table->name, json_object_get(element, table->name));
    char *text = json_dumps(copy, JSON_COMPACT | JSON_ENCODE_ANY);
    struct span kept = arena_copy(&spoiled_arena, span_of(text));
    free(text);
    json_decref(copy);
    return kept.at;
}

static void walk_objects(const struct spoiled *spoiled, struct place *place, const struct parameter *parameter,
                         json_t *array)
{
    json_t *element;
    size_t index;
    assert_true(json_array_size(array) > 0);
    try_counts(spoiled, place, parameter, smallest(parameter->members, json_array_get(array, 0)));
    json_array_foreach(array, index, element)
    {
        struct place inner = { place, NULL, index };
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
            if (shapes[i].shape != SHAPE_OBJECT)
                spoiled_try(spoiled, &inner, shapes[i].raw, "", REFUSED);
        walk_object(spoiled, &inner, parameter->members, element);
    }
}

static void walk_value(const struct spoiled *spoiled, struct place *place, const struct parameter *parameter,
                       json_t *value)
{
    try_shapes(spoiled, place, parameter);
    switch (parameter->kind)
    {
    case PARAMETER_ID:
        spoiled_try(spoiled, place, "70e-1", "", DECODED); /* JSON Schema calls it an integer, too */
        spoiled_try(spoiled, place, "5.0", "", DECODED);
        spoiled_try_number(spoiled, place, 1, DECODED);
        spoiled_try_number(spoiled, place, INT64_MAX, DECODED);
        break;
    case PARAMETER_INTEGER:
        try_fraction(spoiled, place, parameter);
        try_range(spoiled, place, parameter);
        break;
    case PARAMETER_NUMBER:
        spoiled_try(spoiled, place, "1e400", "", parameters_is_bounded(parameter) ? REFUSED : REFUSED_BY_US);
        try_range(spoiled, place, parameter);
        break;
    case PARAMETER_TEXT:
        try_lengths(spoiled, place, parameter);
        break;
    case PARAMETER_NAME:
        try_words(spoiled, place, parameter);
        break;
    case PARAMETER_TIME:
        spoiled_try(spoiled, place, "\"2026-02-29T09:00:00Z\"", "", REFUSED_BY_US); /* a pattern knows no leap years */
        spoiled_try(spoiled, place, "\"2024-02-29t09:00:00.123456789-12:30\"", "", DECODED);
        break;
    case PARAMETER_IDS:
        try_ids(spoiled, place, parameter);
        break;
    case PARAMETER_VECTOR:
        try_vector(spoiled, place, parameter);
        break;
    case PARAMETER_OBJECT:
        walk_object(spoiled, place, parameter->members, value);
        break;
    case PARAMETER_OBJECTS:
        walk_objects(spoiled, place, parameter, value);
        break;
    case PARAMETER_DECIMAL:
    case PARAMETER_JSON:
        spoiled_try(spoiled, place, "1e400", "", REFUSED_BY_US); /* JSON Schema knows no infinity */
        break;
    case PARAMETER_UUID:
        spoiled_try(spoiled, place, "\"0C5C7FD0-1234-4E6F-9F00-00112233445A\"", "", DECODED);
        break;
    case PARAMETER_BOOLEAN:
    case PARAMETER_AGGREGATE:
        break;
    }
}

static void walk_object(const struct spoiled *spoiled, struct place *place, const struct parameter *table,
                        json_t *object)
{
    static const char *const strangers[] = { "unknown", "", "a/b~c", "\xc3\xa9" };
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
    {
        struct place inner = { place, strangers[i], 0 };
        spoiled_try(spoiled, &inner, "1", "", REFUSED);
    }
    for (const struct parameter *parameter = table; parameter->name; parameter++)
    {
        struct place inner = { place, parameter->name, 0 };
        json_t *value = json_object_get(object, parameter->name);
        if (!value)
            continue;
        if (!is_met(parameter))
        {
            assert_true(met_count < sizeof(met) / sizeof(met[0]));
            met[met_count++] = parameter;
        }
        if (parameter->flags & PARAMETER_REQUIRED)
            spoiled_try(spoiled, &inner, NULL, "", REFUSED);
        walk_value(spoiled, &inner, parameter, value);
    }
}

static void assert_all_met(const struct workflow *workflow, const struct parameter *table)
{
    for (; table->name; table++)
    {
        if (!is_met(table))
            fail_msg("%s: no example in %s shows %s", workflow->type, examples_file, table->name);
        if (table->members)
            assert_all_met(workflow, table->members);
    }
}

static json_t *load_examples(void)
{
    json_error_t error;
    json_t *examples = json_load_file(examples_file, JSON_REJECT_DUPLICATES, &error);
    if (!examples)
        fail_msg("%s:%d: %s", examples_file, error.line, error.text);
    return examples;
}

static void every_parameter_refuses_its_wrong_kinds_by_its_own_name(void **state)
{
    (void)state;
    json_t *examples = load_examples();
    for (int i = 0; workflows[i]; i++)
    {
        json_t *example;
        size_t index;
        json_t *list_of_type = json_object_get(examples, workflows[i]->type);
        if (json_array_size(list_of_type) == 0)
            fail_msg("%s has no example in %s", workflows[i]->type, examples_file);
        json_array_foreach(list_of_type, index, example)
        {
            struct spoiled spoiled = { workflows[i], example };
            walk_object(&spoiled, NULL, workflows[i]->parameters, example);
        }
        assert_all_met(workflows[i], workflows[i]->parameters);
    }
    json_decref(examples);
    print_message("%zu commands tried over %zu parameters\n", spoiled_tried, met_count);
}

static void the_examples_are_good_and_of_known_types(void **state)
{
    (void)state;
    json_t *examples = load_examples(), *list_of_type, *example;
    const char *type;
    size_t index;
    json_object_foreach(examples, type, list_of_type)
    {
        const struct workflow *workflow = workflow_find(span_of(type));
        if (!workflow)
            fail_msg("there is no %s", type);
        json_array_foreach(list_of_type, index, example)
        {
            char *text = json_dumps(example, JSON_COMPACT);
            struct span refusal = refusal_of(&spoiled_arena, workflow, span_of(text), true);
            if (refusal.at)
                fail_msg("%s: %s", type, refusal.at);
            spoiled_list(workflow, span_of(text), DECODED, SPAN_LITERAL(""));
            free(text);
        }
    }
    json_decref(examples);
}

/* The aggregate of a refused command is named by the same member as that of a good one. */
static void the_named_aggregate_is_the_identified_one(void **state)
{
    (void)state;
    json_t *examples = load_examples(), *list_of_type, *example;
    const char *type;
    size_t index;
    json_object_foreach(examples, type, list_of_type)
    {
        const struct workflow *workflow = workflow_find(span_of(type));
        assert_non_null(workflow->named.member);
        json_array_foreach(list_of_type, index, example)
        {
            char *text = json_dumps(example, JSON_COMPACT);
            struct document document;
            struct document_failure failure;
            struct span reterr = SPAN_NULL;
            struct aggregate identified = { AGGREGATE_NONE, id_of(0) };
            assert_true(document_parse(&spoiled_arena, span_of(text), &document, &failure));
            void *parameters = arena_take_zeroed(&spoiled_arena, workflow->parameters_size);
            assert_true(parameters_decode(workflow->parameters, &document, document.nodes, &spoiled_arena, parameters,
                                          &reterr));
            assert_true(workflow_identify(workflow, parameters, &spoiled_arena, &identified, &reterr));
            struct aggregate named = workflow_named_aggregate(workflow, &document, document.nodes);
            if (named.kind != identified.kind || !id_equal(named.id, identified.id))
                fail_msg("%s: %s", type, text);
            free(text);
        }
    }
    json_decref(examples);
}

static void data_that_is_no_object_is_refused_as_a_whole(void **state)
{
    (void)state;
    for (int i = 0; workflows[i]; i++)
        for (size_t n = 0; n < sizeof(shapes) / sizeof(shapes[0]); n++)
            if (shapes[n].shape != SHAPE_OBJECT)
            {
                assert_refused_at(&spoiled_arena, workflows[i], span_of(shapes[n].raw), SPAN_LITERAL(""));
                spoiled_list(workflows[i], span_of(shapes[n].raw), REFUSED, SPAN_LITERAL(""));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_are_good_and_of_known_types),
        cmocka_unit_test(every_parameter_refuses_its_wrong_kinds_by_its_own_name),
        cmocka_unit_test(data_that_is_no_object_is_refused_as_a_whole),
        cmocka_unit_test(the_named_aggregate_is_the_identified_one),
    };
    return cmocka_run_group_tests(tests, spoiled_set_up, spoiled_tear_down);
}
