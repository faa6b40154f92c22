#include "tests/fixtures/document.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static enum document_fault fault_of(struct span text, size_t *ret_position)
{
    char *copy = exact_copy(text);
    struct document document;
    struct document_failure failure;
    bool parsed = document_parse(&arena, (struct span){ copy, text.size }, &document, &failure);
    assert_int_equal(parsed, failure.fault == DOCUMENT_OK);
    if (ret_position)
        *ret_position = failure.position;
    free(copy);
    arena_reset(&arena, 1 << 22);
    return failure.fault;
}

/* --- what is taken ----------------------------------------------------------------------------------------------- */

static void a_command_becomes_its_nodes_in_order(void **state)
{
    (void)state;
    const char *text = " {\"id\" : \"c-1\", \"n\":[1, 2.5, -3e2], \"deep\":{\"a\":null,\"b\":true}, \"f\":false} ";
    struct document document = parse(text);
    const struct node *root = &document.nodes[0];
    assert_int_equal(document.count, 10);
    assert_int_equal(root->kind, NODE_OBJECT);
    assert_int_equal(root->count, 4);
    assert_int_equal(root->next, 10);
    const struct node *id = document_member(&document, root, "id");
    assert_int_equal(id->kind, NODE_STRING);
    assert_true(span_is(id->text, "c-1"));
    assert_true(span_is(id->raw, "\"c-1\""));
    const struct node *numbers = document_member(&document, root, "n");
    assert_int_equal(numbers->count, 3);
    assert_true(span_is(numbers->raw, "[1, 2.5, -3e2]"));
    const struct node *number = document_first(&document, numbers);
    assert_int_equal(number->kind, NODE_INTEGER);
    assert_int_equal(number->integer, 1);
    assert_null(number->key.at);
    number = document_next(&document, numbers, number);
    assert_int_equal(number->kind, NODE_NUMBER);
    assert_true(number->number == 2.5);
    number = document_next(&document, numbers, number);
    assert_true(number->kind == NODE_INTEGER && number->integer == -300);
    assert_null(document_next(&document, numbers, number));
    const struct node *deep = document_member(&document, root, "deep");
    assert_int_equal(document_member(&document, deep, "a")->kind, NODE_NULL);
    assert_int_equal(document_member(&document, deep, "b")->kind, NODE_TRUE);
    assert_null(document_member(&document, deep, "id"));
    assert_null(document_member(&document, id, "id"));
    assert_int_equal(document_member(&document, root, "f")->kind, NODE_FALSE);
}

static void empty_containers_have_no_children(void **state)
{
    (void)state;
    struct document document = parse("[{},[],{\"a\":{}}]");
    const struct node *first = document_first(&document, &document.nodes[0]);
    assert_int_equal(document.nodes[0].count, 3);
    assert_null(document_first(&document, first));
    const struct node *second = document_next(&document, &document.nodes[0], first);
    assert_int_equal(second->kind, NODE_ARRAY);
    assert_null(document_first(&document, second));
    assert_non_null(document_next(&document, &document.nodes[0], second));
}

static void any_value_may_be_the_root(void **state)
{
    (void)state;
    assert_int_equal(parse("7").nodes[0].integer, 7);
    assert_int_equal(parse("\"\"").nodes[0].text.size, 0);
    assert_non_null(parse("\"\"").nodes[0].text.at);
    assert_int_equal(parse("\t\r\n null \n").nodes[0].kind, NODE_NULL);
}

static void escapes_are_undone_in_texts_and_names(void **state)
{
    (void)state;
    struct document document = parse("{\"\\u0061\\/b\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u00fc\\u20AC\\ud83d\\ude42.\"}");
    const struct node *member = document_member(&document, &document.nodes[0], "a/b");
    assert_non_null(member);
    assert_true(span_is(member->text, "\"\\/\b\f\n\r\t \xc3\xbc\xe2\x82\xac\xf0\x9f\x99\x82."));
}

/* --- what is refused --------------------------------------------------------------------------------------------- */

struct bad
{
    struct span text;
    enum document_fault fault;
};

#define BAD(text, fault) \
    { \
        { text, sizeof(text) - 1 }, fault \
    }

static const struct bad bads[] = {
    BAD("", DOCUMENT_SYNTAX),
    BAD(" ", DOCUMENT_SYNTAX),
    BAD("{", DOCUMENT_SYNTAX),
    BAD("}", DOCUMENT_SYNTAX),
    BAD("[", DOCUMENT_SYNTAX),
    BAD("[1", DOCUMENT_SYNTAX),
    BAD("[1,", DOCUMENT_SYNTAX),
    BAD("[1,]", DOCUMENT_SYNTAX),
    BAD("[,1]", DOCUMENT_SYNTAX),
    BAD("[1 2]", DOCUMENT_SYNTAX),
    BAD("[1}", DOCUMENT_SYNTAX),
    BAD("{\"a\"}", DOCUMENT_SYNTAX),
    BAD("{\"a\":}", DOCUMENT_SYNTAX),
    BAD("{\"a\":1,}", DOCUMENT_SYNTAX),
    BAD("{,}", DOCUMENT_SYNTAX),
    BAD("{a:1}", DOCUMENT_SYNTAX),
    BAD("{1:1}", DOCUMENT_SYNTAX),
    BAD("{'a':1}", DOCUMENT_SYNTAX),
    BAD("{\"a\":1]", DOCUMENT_SYNTAX),
    BAD("{\"a\" 1}", DOCUMENT_SYNTAX),
    BAD("{} {}", DOCUMENT_SYNTAX),
    BAD("{}x", DOCUMENT_SYNTAX),
    BAD("1 2", DOCUMENT_SYNTAX),
    BAD("nul", DOCUMENT_SYNTAX),
    BAD("nulll", DOCUMENT_SYNTAX),
    BAD("True", DOCUMENT_SYNTAX),
    BAD("NaN", DOCUMENT_SYNTAX),
    BAD("Infinity", DOCUMENT_SYNTAX),
    BAD("-Infinity", DOCUMENT_SYNTAX),
    BAD("01", DOCUMENT_SYNTAX),
    BAD("-", DOCUMENT_SYNTAX),
    BAD("-01", DOCUMENT_SYNTAX),
    BAD("+1", DOCUMENT_SYNTAX),
    BAD("1.", DOCUMENT_SYNTAX),
    BAD(".5", DOCUMENT_SYNTAX),
    BAD("1.e5", DOCUMENT_SYNTAX),
    BAD("1e", DOCUMENT_SYNTAX),
    BAD("1e+", DOCUMENT_SYNTAX),
    BAD("0x10", DOCUMENT_SYNTAX),
    BAD("\"", DOCUMENT_SYNTAX),
    BAD("\"abc", DOCUMENT_SYNTAX),
    BAD("\"\\", DOCUMENT_SYNTAX),
    BAD("\"\\\"", DOCUMENT_SYNTAX),
    BAD("\"\\x41\"", DOCUMENT_SYNTAX),
    BAD("\"\\u12\"", DOCUMENT_SYNTAX),
    BAD("\"\\u12g4\"", DOCUMENT_SYNTAX),
    BAD("\"\\u", DOCUMENT_SYNTAX),
    BAD("\"a\nb\"", DOCUMENT_SYNTAX),
    BAD("\"a\x1f\"", DOCUMENT_SYNTAX),
    BAD("// comment\n1", DOCUMENT_SYNTAX),
    BAD("\x0c{}", DOCUMENT_SYNTAX),
    BAD("\xc3\xbc", DOCUMENT_SYNTAX),
    BAD("\"a\0b\"", DOCUMENT_BAD_ENCODING),
    BAD("{}\0", DOCUMENT_BAD_ENCODING),
    BAD("\0", DOCUMENT_BAD_ENCODING),
    BAD("\"\\u0000\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\\ud800\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\\udc00\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\\ud800\\ud800\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\\ud800\\n\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\\ud800x\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\x80\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xff\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xc0\xaf\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xc3\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xe0\x80\xaf\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xed\xa0\x80\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xf0\x80\x80\x80\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xf4\x90\x80\x80\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xf8\x88\x80\x80\x80\"", DOCUMENT_BAD_ENCODING),
    BAD("\"\xe2\x82", DOCUMENT_BAD_ENCODING),
    BAD("\xef\xbb\xbf{}", DOCUMENT_BAD_ENCODING),
    BAD("\xff\xfe{\0}\0", DOCUMENT_BAD_ENCODING),
    BAD("{\"a\":1,\"a\":1}", DOCUMENT_DUPLICATE_KEY),
    BAD("{\"a\":1,\"b\":2,\"\\u0061\":3}", DOCUMENT_DUPLICATE_KEY),
    BAD("{\"\":1,\"\":1}", DOCUMENT_DUPLICATE_KEY),
    BAD("[{\"x\":{\"a\":[{\"a\":1}],\"b\":{\"a\":1},\"a\":2}}]", DOCUMENT_DUPLICATE_KEY),
};

static void texts_that_are_not_strict_json_are_refused_for_the_right_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
    {
        enum document_fault fault = fault_of(bads[i].text, NULL);
        if (fault != bads[i].fault)
            print_message("%s: %s\n", bads[i].text.at, document_fault_name(fault));
        assert_int_equal(fault, bads[i].fault);
    }
}

static void the_failure_names_the_byte(void **state)
{
    (void)state;
    size_t position;
    fault_of(SPAN_LITERAL("{\"a\":1,\"a\":2}"), &position);
    assert_int_equal(position, 7);
    fault_of(SPAN_LITERAL("[1, 2, x]"), &position);
    assert_int_equal(position, 7);
    fault_of(SPAN_LITERAL("[\"ab\xff\"]"), &position);
    assert_int_equal(position, 4);
    fault_of(SPAN_LITERAL("[1"), &position);
    assert_int_equal(position, 2);
}

static void equal_names_in_different_objects_are_no_duplicates(void **state)
{
    (void)state;
    parse("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}");
}

static void depth_ends_at_32(void **state)
{
    (void)state;
    for (int objects = 0; objects < 2; objects++)
    {
        char text[256];
        size_t size = 0;
        for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++)
        {
            memcpy(text + size, objects ? "{\"a\":" : "[", objects ? 5 : 1);
            size += objects ? 5 : 1;
        }
        text[size++] = '1';
        for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++)
            text[size++] = objects ? '}' : ']';
        assert_int_equal(fault_of((struct span){ text, size }, NULL), DOCUMENT_OK);
        memmove(text + 1, text, size);
        text[0] = '[';
        text[size + 1] = ']';
        assert_int_equal(fault_of((struct span){ text, size + 2 }, NULL), DOCUMENT_TOO_DEEP);
    }
}

static void size_ends_at_64_kib(void **state)
{
    (void)state;
    char *text = malloc(DOCUMENT_SIZE_MAX + 1);
    assert_non_null(text);
    memset(text, ' ', DOCUMENT_SIZE_MAX + 1);
    text[0] = '1';
    assert_int_equal(fault_of((struct span){ text, DOCUMENT_SIZE_MAX }, NULL), DOCUMENT_OK);
    assert_int_equal(fault_of((struct span){ text, DOCUMENT_SIZE_MAX + 1 }, NULL), DOCUMENT_TOO_LARGE);
    free(text);
}

static void a_refused_document_leaves_nothing_in_the_arena(void **state)
{
    (void)state;
    arena_reset(&arena, 0);
    assert_int_equal(fault_of(SPAN_LITERAL("[1,2,3,\"\\n\",}"), NULL), DOCUMENT_SYNTAX);
    struct arena_mark before = arena_mark(&arena);
    struct document document;
    struct document_failure failure;
    assert_false(document_parse(&arena, SPAN_LITERAL("[1,2,3,\"\\n\",}"), &document, &failure));
    struct arena_mark behind = arena_mark(&arena);
    assert_ptr_equal(before.block, behind.block);
    assert_int_equal(before.used, behind.used);
}

/* --- large objects and bombs ------------------------------------------------------------------------------------- */

static void a_duplicate_is_found_whatever_the_size_of_the_object(void **state)
{
    (void)state;
    const int counts[] = { 1, 2, 15, 16, 17, 18, 31, 32, 33, 63, 64, 100, 1000, 4000 };
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
    {
        int count = counts[i];
        size_t size;
        char *text = object_of(count, -1, "common_prefix", &size);
        if (size <= DOCUMENT_SIZE_MAX)
            assert_int_equal(fault_of((struct span){ text, size }, NULL), DOCUMENT_OK);
        free(text);
        const int places[] = { 0, count / 2, count - 1 };
        for (int place = 0; place < 3; place++)
        {
            text = object_of(count, places[place], "k", &size);
            assert_int_equal(fault_of((struct span){ text, size }, NULL), DOCUMENT_DUPLICATE_KEY);
            free(text);
        }
    }
}

/* The memory for a text is bounded by its nodes, and nodes by bytes: no node without a byte of its own and a comma or a
 * bracket. The arena may hold the nodes twice over while it grows, and no more than four times in all its blocks. */
static void bombs_cost_memory_in_proportion_to_their_bytes(void **state)
{
    (void)state;
    static const char *const pieces[] = { "{},", "[],", "0,", "\"\",", "{\"\":0},", "\"\\n\",", "[0,0]," };
    char *text = malloc(DOCUMENT_SIZE_MAX);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
    {
        size_t piece = strlen(pieces[i]);
        size_t size = 0;
        uint32_t repeated = 0;
        text[size++] = '[';
        for (; size + piece <= DOCUMENT_SIZE_MAX; size += piece, repeated++)
            memcpy(text + size, pieces[i], piece);
        text[size - 1] = ']';
        struct document document;
        struct document_failure failure;
        arena_reset(&arena, 0);
        assert_true(document_parse(&arena, (struct span){ text, size }, &document, &failure));
        assert_int_equal(document.nodes[0].count, repeated);
        assert_true(document.count <= size / 2 + 2);
        assert_true(arena.total <= 4 * document.count * sizeof(struct node) + 2 * (size_t)DOCUMENT_SIZE_MAX);
    }
    free(text);
}

static void a_long_string_of_commas_costs_one_node(void **state)
{
    (void)state;
    char *text = malloc(DOCUMENT_SIZE_MAX);
    assert_non_null(text);
    memset(text, ',', DOCUMENT_SIZE_MAX);
    text[0] = text[DOCUMENT_SIZE_MAX - 1] = '"';
    struct document document;
    struct document_failure failure;
    assert_true(document_parse(&arena, (struct span){ text, DOCUMENT_SIZE_MAX }, &document, &failure));
    assert_int_equal(document.count, 1);
    free(text);
}

static void every_fault_has_the_name_of_its_dead_letter(void **state)
{
    (void)state;
    assert_string_equal(document_fault_name(DOCUMENT_TOO_LARGE), "too_large");
    assert_string_equal(document_fault_name(DOCUMENT_TOO_DEEP), "too_deep");
    assert_string_equal(document_fault_name(DOCUMENT_DUPLICATE_KEY), "duplicate_key");
    assert_string_equal(document_fault_name(DOCUMENT_BAD_ENCODING), "bad_encoding");
    assert_string_equal(document_fault_name(DOCUMENT_SYNTAX), "not_json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_becomes_its_nodes_in_order),
        cmocka_unit_test(empty_containers_have_no_children),
        cmocka_unit_test(any_value_may_be_the_root),
        cmocka_unit_test(escapes_are_undone_in_texts_and_names),
        cmocka_unit_test(texts_that_are_not_strict_json_are_refused_for_the_right_reason),
        cmocka_unit_test(the_failure_names_the_byte),
        cmocka_unit_test(equal_names_in_different_objects_are_no_duplicates),
        cmocka_unit_test(depth_ends_at_32),
        cmocka_unit_test(size_ends_at_64_kib),
        cmocka_unit_test(a_refused_document_leaves_nothing_in_the_arena),
        cmocka_unit_test(a_duplicate_is_found_whatever_the_size_of_the_object),
        cmocka_unit_test(bombs_cost_memory_in_proportion_to_their_bytes),
        cmocka_unit_test(a_long_string_of_commas_costs_one_node),
        cmocka_unit_test(every_fault_has_the_name_of_its_dead_letter),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
