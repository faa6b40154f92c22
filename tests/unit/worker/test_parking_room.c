/* Parking room: full at a limit, and until it is drained to half. */
#include "tests/fixtures/cmocka.h"

#include "worker/parking_room.h"

static const struct parking_limits limits = { .commands = 1000, .bytes = 10000, .paused_bytes = 100 };

static bool note(int64_t commands, int64_t bytes, int64_t paused_commands, int64_t paused_bytes)
{
    const struct parking_count count = { commands, bytes, paused_commands, paused_bytes };
    return parking_room_note(&count, &limits);
}

static bool is_full(void)
{
    return parking_room_is_full(span_of("/a"));
}

static void before_the_first_count_there_is_room(void **state)
{
    (void)state;
    assert_false(parking_room_is_pause_full());
    assert_false(is_full());
}

static void parking_is_full_at_its_limit_and_until_half_is_drained(void **state)
{
    (void)state;
    assert_false(note(999, 9999, PAUSE_COMMANDS_MAX - 1, 99));
    assert_false(is_full() || parking_room_is_pause_full());
    assert_true(note(1000, 0, 0, 0));
    assert_true(is_full() && !parking_room_is_pause_full());
    assert_false(note(501, 0, 0, 0));
    assert_true(is_full());
    assert_true(note(500, 0, 0, 0));
    assert_false(is_full());
    assert_true(note(0, 10000, 0, 0));
    assert_true(is_full());
    assert_true(note(0, 0, 0, 0));
}

static void paused_commands_have_limits_of_their_own(void **state)
{
    (void)state;
    assert_true(note(0, 0, 0, 100));
    assert_true(parking_room_is_pause_full() && !is_full());
    assert_false(note(0, 0, 0, 51));
    assert_true(parking_room_is_pause_full());
    assert_true(note(0, 0, 0, 50));
    assert_true(note(0, 0, PAUSE_COMMANDS_MAX, 0));
    assert_true(parking_room_is_pause_full());
    assert_true(note(0, 0, PAUSE_COMMANDS_MAX / 2, 0));
    assert_false(parking_room_is_pause_full());
}

static void a_full_source_is_full_alone_and_too_many_of_them_are_all(void **state)
{
    (void)state;
    uint64_t hashes[PARKING_SOURCES_MAX + 1] = { parking_room_hash(span_of("/a")) };
    parking_room_note_sources(hashes, 1);
    assert_true(is_full());
    assert_false(parking_room_is_full(span_of("/b")));
    parking_room_note_sources(hashes, PARKING_SOURCES_MAX + 1);
    assert_true(parking_room_is_full(span_of("/b")));
    parking_room_note_sources(hashes, 0);
    assert_false(is_full());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_first_count_there_is_room),
        cmocka_unit_test(parking_is_full_at_its_limit_and_until_half_is_drained),
        cmocka_unit_test(paused_commands_have_limits_of_their_own),
        cmocka_unit_test(a_full_source_is_full_alone_and_too_many_of_them_are_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
