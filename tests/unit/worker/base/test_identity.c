#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/base/identity.h"

static void an_identity_is_the_first_half_of_a_sha256(void **state)
{
    /* printf 'a\0b' | sha256sum */
    const uint8_t expected[DIGEST_SIZE] = { 0x59, 0xb2, 0x71, 0xae, 0x1b, 0xbc, 0xb1, 0xd3,
                                            0x1d, 0x41, 0x92, 0x98, 0x17, 0xf4, 0xb1, 0x6f };
    uint8_t made[DIGEST_SIZE];
    (void)state;

    assert_true(identity_make(SPAN_LITERAL("a"), SPAN_LITERAL("b"), made));
    assert_memory_equal(made, expected, DIGEST_SIZE);
}

static void source_and_id_do_not_run_together(void **state)
{
    uint8_t one[DIGEST_SIZE], other[DIGEST_SIZE];
    (void)state;

    assert_true(identity_make(SPAN_LITERAL("/helpdesk/1"), SPAN_LITERAL("2"), one));
    assert_true(identity_make(SPAN_LITERAL("/helpdesk/"), SPAN_LITERAL("12"), other));
    assert_memory_not_equal(one, other, DIGEST_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_identity_is_the_first_half_of_a_sha256),
        cmocka_unit_test(source_and_id_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
