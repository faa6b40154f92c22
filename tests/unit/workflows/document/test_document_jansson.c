/* The parser against jansson, which reads JSON by another program's rules: what one takes the other takes, with the
 * same values. */
#include "tests/fixtures/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jansson.h>

enum
{
    CANONICAL_GROWTH = 6,
};

static void assert_same_value(const struct document *document, const struct node *node, json_t *value)
{
    switch (node->kind)
    {
    case NODE_NULL:
        assert_true(json_is_null(value));
        return;
    case NODE_FALSE:
        assert_true(json_is_false(value));
        return;
    case NODE_TRUE:
        assert_true(json_is_true(value));
        return;
    case NODE_INTEGER:
        /* 5.0 is an integer here, and a real to jansson. */
        if (json_is_real(value))
            assert_true(json_real_value(value) == (double)node->integer);
        else
            assert_true(json_integer_value(value) == node->integer);
        assert_true(json_is_number(value));
        return;
    case NODE_NUMBER:
        assert_true(json_is_real(value));
        assert_true(json_real_value(value) == node->number);
        return;
    case NODE_STRING:
        assert_true(json_is_string(value));
        assert_int_equal(json_string_length(value), node->text.size);
        assert_memory_equal(json_string_value(value), node->text.at, node->text.size);
        return;
    default:
        break;
    }
    assert_int_equal(node->kind == NODE_OBJECT, json_is_object(value));
    assert_int_equal(node->count, node->kind == NODE_OBJECT ? json_object_size(value) : json_array_size(value));
    uint32_t index = 0;
    for (const struct node *child = document_first(document, node); child; child = document_next(document, node, child))
    {
        char name[256];
        json_t *other;
        if (node->kind == NODE_OBJECT)
        {
            assert_true(child->key.size < sizeof(name));
            memcpy(name, child->key.at, child->key.size);
            name[child->key.size] = '\0';
            other = json_object_get(value, name);
        }
        else
        {
            other = json_array_get(value, index);
        }
        assert_non_null(other);
        assert_same_value(document, child, other);
        index++;
    }
    assert_int_equal(index, node->count);
}

/* True when the text was accepted by both. Three differences are intended: numbers have no limits here,
 * depth ends at 32, and a raw NUL is never taken (jansson 2.14 skips one after a number). */
static bool compare_with_jansson(struct span text)
{
    char *copy = exact_copy(text);
    struct document document;
    struct document_failure failure;
    json_error_t error;
    bool parsed = document_parse(&arena, (struct span){ copy, text.size }, &document, &failure);
    json_t *value = json_loadb(copy, text.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    bool ours_by_intent = failure.fault == DOCUMENT_TOO_DEEP ||
                          (!value && json_error_code(&error) == json_error_numeric_overflow) ||
                          (!parsed && memchr(copy, '\0', text.size));
    if (!ours_by_intent && parsed != (value != NULL))
        print_message("ours: %s (%s), jansson: %s: %.*s\n", document_fault_name(failure.fault), failure.what,
                      value ? "ok" : error.text, (int)text.size, text.at);
    if (!ours_by_intent)
        assert_int_equal(parsed, value != NULL);
    if (parsed && value)
        assert_same_value(&document, &document.nodes[0], value);
    if (parsed) /* the canonical form is JSON of the same value, and its own canonical form */
    {
        struct buffer first = BUFFER_EMPTY;
        struct buffer second = BUFFER_EMPTY;
        struct document again;
        document_canonical(&document, &document.nodes[0], &first);
        assert_true(first.size <= CANONICAL_GROWTH * text.size); /* 1e18 is printed whole */
        assert_true(document_parse(&arena, buffer_span(&first), &again, &failure));
        if (value)
            assert_same_value(&again, &again.nodes[0], value);
        document_canonical(&again, &again.nodes[0], &second);
        assert_true(span_equal(buffer_span(&first), buffer_span(&second)));
        buffer_done(&first);
        buffer_done(&second);
    }
    bool both = parsed && value;
    json_decref(value);
    free(copy);
    arena_reset(&arena, 1 << 20);
    return both;
}

static const char *const samples[] = {
    "{\"specversion\":\"1.0\",\"id\":\"0c5c7fd0-1\",\"source\":\"/"
    "helpdesk\",\"type\":\"ticket.escalate\",\"expectedversion\":3,"
    "\"data\":{\"ticket_id\":42,\"assigned_person_id\":7}}",
    "[1,-2,3.5,-4.25e-3,5E+6,0,-0,0.0,1e5,123456789012345678,9223372036854775807,-9223372036854775808]",
    "{\"a\":[{},[],{\"b\":[[],[[]]]}],\"c\":null,\"d\":true,\"e\":false}",
    "[\"\\u00e9\\ud83d\\ude42\\n\\t\\\"\\\\\\/\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82\",\"\"]",
    "  [ 1 , \"x\" ,\r\n\t{ \"y\" : 2 } ]  ",
    "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":11,\"l\":12,\"m\":13,"
    "\"n\":14,\"o\":15,"
    "\"p\":16,\"q\":17,\"r\":18,\"s\":19}",
    "\"scalar\"",
    "3.141592653589793238462643383279",
    "null",
};

enum
{
    SAMPLES = sizeof(samples) / sizeof(samples[0]),
};

static uint64_t next_random(uint64_t *random)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct span any_sample(uint64_t *random)
{
    const char *text = samples[next_random(random) % SAMPLES];
    return (struct span){ text, strlen(text) };
}

static void jansson_agrees_on_the_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++)
        assert_true(compare_with_jansson(span_of(samples[i])));
}

/* One small change: a byte replaced, taken away or put in, or a piece of a sample copied over. */
static size_t mutate(char *text, size_t size, size_t room, uint64_t *random)
{
    static const char interesting[] = "{}[]:,\"\\u0019eE+-.tfn \n\x80\xc3\xa9\xed\xf0\xff/";
    size_t at = (size_t)(next_random(random) % (size + 1));
    char byte = interesting[next_random(random) % (sizeof(interesting))]; /* the NUL at its end too */
    switch (next_random(random) % 4)
    {
    case 0:
        if (at < size)
            text[at] = byte;
        return size;
    case 1:
        if (at == size)
            return size;
        memmove(text + at, text + at + 1, size - at - 1);
        return size - 1;
    case 2:
        if (size == room)
            return size;
        memmove(text + at + 1, text + at, size - at);
        text[at] = byte;
        return size + 1;
    default:
    {
        struct span other = any_sample(random);
        size_t from = (size_t)(next_random(random) % (other.size + 1));
        size_t piece = (size_t)(next_random(random) % 12);
        if (piece > other.size - from)
            piece = other.size - from;
        if (size + piece > room)
            return size;
        memmove(text + at + piece, text + at, size - at);
        memcpy(text + at, other.at + from, piece);
        return size + piece;
    }
    }
}

static void jansson_agrees_on_random_mutations(void **state)
{
    (void)state;
    const char *given = getenv("TEST_SEED");
    uint64_t random = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("TEST_SEED=%llu\n", (unsigned long long)random);
    int accepted = 0;
    enum
    {
        RUNS = 60000,
    };
    for (int run = 0; run < RUNS; run++)
    {
        char text[1024];
        struct span sample = any_sample(&random);
        size_t size = sample.size;
        memcpy(text, sample.at, size);
        for (uint64_t changes = 1 + next_random(&random) % 3; changes > 0; changes--)
            size = mutate(text, size, sizeof(text), &random);
        accepted += compare_with_jansson((struct span){ text, size });
    }
    /* Both kinds have to be met in numbers, or the comparison says nothing. */
    assert_in_range(accepted, RUNS / 50, RUNS - RUNS / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jansson_agrees_on_the_samples),
        cmocka_unit_test(jansson_agrees_on_random_mutations),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
