#include "tests/fixtures/cmocka.h"

#include "workflows/model/id.h"

static void every_kind_of_aggregate_reads_back_what_it_prints(void **state)
{
    (void)state;
    for (int kind = AGGREGATE_NONE + 1; kind < AGGREGATE__COUNT; kind++)
    {
        struct aggregate aggregate = { (enum aggregate_kind)kind, id_of(42) };
        if (aggregate_has_uuid(aggregate.kind))
            aggregate.id = (struct id){ UINT64_C(0x0c5c7fd000004000), UINT64_C(0x8000000000000001) };
        char key[AGGREGATE_KEY_MAX];
        size_t size = aggregate_print(aggregate, key);
        assert_int_equal(size, strlen(key));
        struct aggregate read;
        assert_true(aggregate_parse((struct span){ key, size }, &read));
        assert_int_equal(read.kind, aggregate.kind);
        assert_true(id_equal(read.id, aggregate.id));
    }
}

static void keys_are_those_of_the_domain(void **state)
{
    (void)state;
    char key[AGGREGATE_KEY_MAX];
    const struct id uuid = { UINT64_C(0x0c5c7fd012344e6f), UINT64_C(0x9f00001122334455) };
    aggregate_print((struct aggregate){ AGGREGATE_JOBNEED, id_of(7) }, key);
    assert_string_equal(key, "jobneed/7");
    aggregate_print((struct aggregate){ AGGREGATE_JOB, id_of(7) }, key);
    assert_string_equal(key, "job/7");
    aggregate_print((struct aggregate){ AGGREGATE_TICKET, id_of(INT64_MAX) }, key);
    assert_string_equal(key, "ticket/9223372036854775807");
    /* No number is too long, not even one that no row has. */
    aggregate_print((struct aggregate){ AGGREGATE_TICKET, { 0, UINT64_MAX } }, key);
    assert_string_equal(key, "ticket/18446744073709551615");
    aggregate_print((struct aggregate){ AGGREGATE_ATTENDANCE, uuid }, key);
    assert_string_equal(key, "attendance/0c5c7fd0-1234-4e6f-9f00-001122334455");
    aggregate_print((struct aggregate){ AGGREGATE_FACE_USER, id_of(1) }, key);
    assert_string_equal(key, "face-user/1");
    aggregate_print((struct aggregate){ AGGREGATE_FACE_MODEL, id_of(1) }, key);
    assert_string_equal(key, "face-model/1");
    aggregate_print((struct aggregate){ AGGREGATE_BEHAVIOUR, id_of(1) }, key);
    assert_string_equal(key, "behaviour/1");
}

static void a_key_with_a_uuid_is_read_in_either_case_and_printed_in_one(void **state)
{
    (void)state;
    struct aggregate read;
    char key[AGGREGATE_KEY_MAX];
    assert_true(aggregate_parse(SPAN_LITERAL("attendance/0C5C7FD0-1234-4E6F-9F00-00112233445A"), &read));
    aggregate_print(read, key);
    assert_string_equal(key, "attendance/0c5c7fd0-1234-4e6f-9f00-00112233445a");
    assert_false(aggregate_parse(SPAN_LITERAL("Attendance/0C5C7FD0-1234-4E6F-9F00-00112233445A"), &read));
}

static void a_key_has_one_spelling_only(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",
        "/",
        "ticket",
        "ticket/",
        "/42",
        "ticket/0",
        "ticket/-1",
        "ticket/+1",
        "ticket/042",
        "ticket/42 ",
        " ticket/42",
        "ticket/4a",
        "Ticket/42",
        "tickets/42",
        "ticket/42/1",
        "ticket/9223372036854775808",
        "ticket/99999999999999999999",
        "ticket/0c5c7fd0-1234-4e6f-9f00-001122334455",
        "attendance/42",
        "attendance/0c5c7fd012344e6f9f00001122334455",
        "attendance/0c5c7fd0-1234-4e6f-9f00-00112233445g",
        "attendance/0c5c7fd0-1234-4e6f-9f00-0011223344556",
        "attendance/0c5c7fd0-1234-4e6f-9f00+001122334455",
    };
    struct aggregate read;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(aggregate_parse(span_of(bad[i]), &read));
    assert_false(aggregate_parse(SPAN_NULL, &read));
    assert_false(aggregate_parse((struct span){ "ticket/4\0", 9 }, &read));
}

static void uuids_are_read_in_either_case_and_printed_in_lower_case(void **state)
{
    (void)state;
    struct id id;
    char text[UUID_TEXT_SIZE];
    assert_true(id_parse_uuid(SPAN_LITERAL("0C5C7FD0-1234-4e6f-9F00-001122334455"), &id));
    assert_int_equal(id.high, UINT64_C(0x0c5c7fd012344e6f));
    assert_int_equal(id.low, UINT64_C(0x9f00001122334455));
    id_print_uuid(id, text);
    assert_memory_equal(text, "0c5c7fd0-1234-4e6f-9f00-001122334455", sizeof(text));
    assert_false(id_parse_uuid(SPAN_LITERAL("{0c5c7fd0-1234-4e6f-9f00-001122334455}"), &id));
    assert_false(id_parse_uuid(SPAN_NULL, &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_aggregate_reads_back_what_it_prints),
        cmocka_unit_test(keys_are_those_of_the_domain),
        cmocka_unit_test(a_key_has_one_spelling_only),
        cmocka_unit_test(a_key_with_a_uuid_is_read_in_either_case_and_printed_in_one),
        cmocka_unit_test(uuids_are_read_in_either_case_and_printed_in_lower_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
