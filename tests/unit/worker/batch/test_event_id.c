#include "tests/fixtures/cmocka.h"

#include <pthread.h>

#include "worker/batch/event_id.h"

static const uint8_t identity[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                      0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static void the_id_is_the_one_that_any_uuid_library_makes(void **state)
{
    (void)state;
    /* Python: uuid5(UUID("a2746ba5-dd78-4d20-8806-dba05a7c318d"),
     *               "00112233445566778899aabbccddeeff/interlock.commands/3/1234567890123") */
    static const uint8_t expected[16] = { 0x28, 0xd1, 0x8d, 0x15, 0xd8, 0x82, 0x5b, 0xa8,
                                          0xad, 0x26, 0xb6, 0x65, 0x8f, 0x2e, 0x16, 0xae };
    static const uint8_t expected_start[16] = { 0x23, 0xe1, 0x8a, 0xe5, 0x36, 0xb8, 0x52, 0x77,
                                                0x90, 0xec, 0x4b, 0xe5, 0x5c, 0x1f, 0x45, 0x03 };
    uint8_t id[EVENT_ID_SIZE];
    assert_true(event_id_make(identity, SPAN_LITERAL("interlock.commands"), 3, INT64_C(1234567890123), id));
    assert_memory_equal(id, expected, sizeof(id));
    /* The same with "t/0/0". */
    assert_true(event_id_make(identity, SPAN_LITERAL("t"), 0, 0, id));
    assert_memory_equal(id, expected_start, sizeof(id));
}

static void an_event_id_is_a_version_5_uuid_for_any_input(void **state)
{
    (void)state;
    for (int64_t offset = 0; offset < 1000; offset++)
    {
        uint8_t id[EVENT_ID_SIZE];
        assert_true(event_id_make(identity, SPAN_LITERAL("t"), INT32_MAX, INT64_MAX - offset, id));
        assert_int_equal(id[6] >> 4, 5);
        assert_int_equal(id[8] >> 6, 2);
    }
}

/* PROTOCOL R3: uuid5 over identity and position. */
static void every_part_of_the_position_counts(void **state)
{
    (void)state;
    uint8_t ids[5][EVENT_ID_SIZE];
    uint8_t other[16];
    memcpy(other, identity, sizeof(other));
    other[15] ^= 1;
    assert_true(event_id_make(identity, SPAN_LITERAL("t"), 1, 11, ids[0]));
    assert_true(event_id_make(identity, SPAN_LITERAL("t"), 11, 1, ids[1]));
    assert_true(event_id_make(identity, SPAN_LITERAL("u"), 1, 11, ids[2]));
    assert_true(event_id_make(other, SPAN_LITERAL("t"), 1, 11, ids[3]));
    assert_true(event_id_make(identity, SPAN_LITERAL("t"), 1, 12, ids[4]));
    for (int i = 0; i < 5; i++)
    {
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(ids[i], ids[j], EVENT_ID_SIZE);
    }
}

static void *make_one(void *into)
{
    for (int i = 0; i < 1000; i++)
        event_id_make(identity, SPAN_LITERAL("t"), 1, 1, into);
    return NULL;
}

static void threads_make_the_same_ids(void **state)
{
    (void)state;
    enum
    {
        THREADS = 4,
    };
    pthread_t threads[THREADS];
    uint8_t ids[THREADS][EVENT_ID_SIZE];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_one, ids[i]), 0);
    for (int i = 0; i < THREADS; i++)
    {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_memory_equal(ids[i], ids[0], EVENT_ID_SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_id_is_the_one_that_any_uuid_library_makes),
        cmocka_unit_test(an_event_id_is_a_version_5_uuid_for_any_input),
        cmocka_unit_test(every_part_of_the_position_counts),
        cmocka_unit_test(threads_make_the_same_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
