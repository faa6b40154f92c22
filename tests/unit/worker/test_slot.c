/* fake: session */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/session.h"
#include "worker/schema_version.h"
#include "worker/settings/settings.h"
#include "worker/slot.h"

/* PROTOCOL O1: one number for one process of the group, as long as its session stands. */

enum
{
    SECOND_US = 1000000,
    NOBODY = -1,    /* no descriptor wakes a wait */
    READABLE = 0,   /* this one always does */
    WAIT_US = 1000, /* of a step that is expected to do something else than wait */
};

#define CLAIM "INSERT INTO interlock.consumer_group"
#define LOCK "pg_try_advisory_lock"
#define SCHEMA "interlock.schema_migration"
#define OURS SESSION_TELLS(CLAIM, "interlock"), SESSION_TELLS(SCHEMA, "9999")
#define FREE SESSION_TELLS(LOCK, "t")
#define TAKEN SESSION_TELLS(LOCK, "f")

static struct settings settings;
static struct slot *slot;

static int set_up(void **state)
{
    static char group[] = "interlock";
    (void)state;
    settings.kafka.group = group;
    slot = slot_new(&settings);
    return slot ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    slot_free(slot);
    fake_session_end();
    return 0;
}

static enum slot_event step(void)
{
    return slot_keep(slot, NOBODY, WAIT_US);
}

static void take_number(void)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, OURS, FREE, SESSION_END };
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_TAKEN);
}

static void await_pause(void)
{
    assert_int_equal(slot_keep(slot, NOBODY, SECOND_US), SLOT_SAME);
}

static void assert_waiting(const char *problem)
{
    assert_string_equal(slot_problem(slot), problem);
    assert_false(slot_is_held(slot));
}

/* --- the number -------------------------------------------------------------------------------------------------- */

static void the_smallest_free_number_is_taken(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, OURS, TAKEN, TAKEN, FREE, SESSION_END };
    (void)state;
    assert_int_equal(slot_number(slot), -1);
    assert_false(slot_is_held(slot));
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_TAKEN);
    assert_true(slot_is_held(slot));
    assert_int_equal(slot_number(slot), 2);
    assert_string_equal(slot_problem(slot), "");
}

/* The locks are per database, and several groups may share one. */
static void numbers_of_one_group_lie_together_and_apart_from_another_s(void **state)
{
    static char other[] = "another";
    static const struct session_row rows[] = { SESSION_CONNECTS, OURS, TAKEN, FREE, SESSION_END };
    static const struct session_row others[] = { SESSION_CONNECTS, SESSION_TELLS(CLAIM, "another"),
                                                 SESSION_TELLS(SCHEMA, "9999"), FREE, SESSION_END };
    (void)state;
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_TAKEN);
    long long key = strtoll(fake_session_value(0), NULL, 10);
    assert_int_equal((unsigned long long)key % SLOTS_MAX, 1);
    slot_free(slot);
    settings.kafka.group = other;
    slot = slot_new(&settings);
    fake_session_play(others);
    assert_int_equal(step(), SLOT_TAKEN);
    assert_true((unsigned long long)strtoll(fake_session_value(0), NULL, 10) / SLOTS_MAX !=
                (unsigned long long)key / SLOTS_MAX);
}

static void when_all_numbers_are_taken_it_waits(void **state)
{
    static const struct session_row rows[] = {
        SESSION_CONNECTS, OURS, { .sql = LOCK, .rows = "f", .times = SLOTS_MAX }, SESSION_END
    };
    (void)state;
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_WAITING);
    assert_waiting("all slots of the consumer group are taken");
}

static void a_session_that_is_lost_meanwhile_takes_nothing(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, OURS, TAKEN, SESSION_LOSES(LOCK), SESSION_END };
    (void)state;
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_WAITING);
    assert_waiting("the server closed the session");
}

/* --- losing it --------------------------------------------------------------------------------------------------- */

static void a_lost_session_loses_the_slot_and_our_own_number_comes_first(void **state)
{
    static const struct session_row first[] = { SESSION_CONNECTS, OURS, TAKEN, TAKEN, FREE, SESSION_END };
    static const struct session_row again[] = { SESSION_CONNECTS, OURS, FREE, SESSION_END };
    (void)state;
    fake_session_play(first);
    assert_int_equal(step(), SLOT_TAKEN);
    fake_session_close();
    assert_int_equal(step(), SLOT_LOST);
    assert_waiting("the server closed the session");
    assert_int_equal(slot_number(slot), 2);
    fake_session_play(again);
    assert_int_equal(step(), SLOT_TAKEN); /* at once, without a pause */
    assert_int_equal(slot_number(slot), 2);
}

static void where_our_own_number_is_another_s_now_the_smallest_free_one_is_taken(void **state)
{
    static const struct session_row first[] = { SESSION_CONNECTS, OURS, TAKEN, TAKEN, FREE, SESSION_END };
    static const struct session_row again[] = { SESSION_CONNECTS, OURS, TAKEN, TAKEN, FREE, SESSION_END };
    (void)state;
    fake_session_play(first);
    assert_int_equal(step(), SLOT_TAKEN);
    fake_session_close();
    assert_int_equal(step(), SLOT_LOST);
    fake_session_play(again); /* 2, then 0, then 1 */
    assert_int_equal(step(), SLOT_TAKEN);
    assert_int_equal(slot_number(slot), 1);
}

/* A cut wire says nothing by itself. */
static void a_silent_session_is_asked_and_kept_when_it_answers(void **state)
{
    static const struct session_row asked[] = { SESSION_TELLS("SELECT 1", "1"), SESSION_END };
    (void)state;
    take_number();
    assert_int_equal(slot_keep(slot, NOBODY, 4 * SECOND_US), SLOT_SAME); /* not yet */
    fake_session_play(asked);
    assert_int_equal(slot_keep(slot, NOBODY, SECOND_US), SLOT_SAME);
    assert_int_equal(step(), SLOT_SAME);
    assert_int_equal(slot_keep(slot, NOBODY, 4 * SECOND_US), SLOT_SAME); /* and not again for as long */
    assert_true(slot_is_held(slot));
}

static void a_session_that_does_not_answer_in_time_is_lost(void **state)
{
    static const struct session_row asked[] = { SESSION_TELLS("SELECT 1", "1"), SESSION_END };
    (void)state;
    take_number();
    fake_session_fall_silent();
    fake_session_play(asked);
    assert_int_equal(slot_keep(slot, NOBODY, 5 * SECOND_US), SLOT_SAME);
    assert_int_equal(slot_keep(slot, NOBODY, 4 * SECOND_US), SLOT_SAME);
    assert_true(slot_is_held(slot));
    assert_int_equal(slot_keep(slot, NOBODY, 2 * SECOND_US), SLOT_LOST);
    assert_waiting("no answer within the time allowed");
}

/* --- the group (PROTOCOL O2) ------------------------------------------------------------------------------------- */

static void the_schema_of_another_group_is_refused(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, SESSION_TELLS(CLAIM, "theirs"), SESSION_END };
    (void)state;
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_REFUSED);
    assert_string_equal(fake_session_value(0), "interlock");
    assert_waiting("the schema interlock of this database belongs to consumer group 'theirs', kafka.group is "
                   "'interlock': one group per schema");
}

static void a_schema_without_tables_says_what_to_do(void **state)
{
    static const char *const codes[] = { "42P01", "3F000" };
    (void)state;
    for (int i = 0; i < 2; i++)
    {
        const struct session_row rows[] = { SESSION_CONNECTS, SESSION_REFUSES(CLAIM, codes[i], "it is not there"),
                                            SESSION_END };
        fake_session_play(rows);
        assert_int_equal(step(), SLOT_WAITING);
        assert_waiting("the tables are missing: run `interlock migrate up`");
        await_pause();
    }
}

/* A program that is deployed before its migration. */
static void a_schema_that_is_behind_is_waited_for(void **state)
{
    static const struct session_row behind[] = { SESSION_CONNECTS, SESSION_TELLS(CLAIM, "interlock"),
                                                 SESSION_TELLS(SCHEMA, "3"), SESSION_END };
    char says[160];
    (void)state;
    fake_session_play(behind);
    assert_int_equal(step(), SLOT_WAITING);
    snprintf(says, sizeof(says), "the schema is that of migration 3, this program needs %d: run `interlock migrate up`",
             schema_newest);
    assert_waiting(says);
    await_pause();
    take_number();
}

static void any_other_refusal_is_told_as_it_is(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, SESSION_REFUSES(CLAIM, "42501", "permission denied"),
                                               SESSION_END };
    (void)state;
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_WAITING);
    assert_waiting("permission denied");
}

/* Two processes that start together: the other one's row was not committed when this one looked. */
static void a_group_that_is_just_being_written_is_looked_at_again(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, SESSION_TELLS(CLAIM, ""), SESSION_END };
    (void)state;
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_WAITING);
    assert_waiting("the consumer group's row is being written");
    await_pause();
    take_number();
}

/* --- connecting -------------------------------------------------------------------------------------------------- */

static void attempts_to_connect_have_pauses_in_between_that_can_be_cut_short(void **state)
{
    static const struct session_row refused[] = { { .sql = "connect", .lost = true, .problem = "nobody is there" },
                                                  SESSION_END };
    (void)state;
    fake_session_play(refused);
    assert_int_equal(step(), SLOT_WAITING);
    assert_waiting("nobody is there");
    int64_t begun_us = fake_session_now_us();
    assert_int_equal(slot_keep(slot, READABLE, 10 * SECOND_US), SLOT_SAME);
    assert_int_equal(fake_session_now_us(), begun_us);
    await_pause();
    assert_true(fake_session_now_us() - begun_us >= 400000 && fake_session_now_us() - begun_us < SECOND_US);
    take_number();
}

/* At the start somebody has to set it right first; later it may be one of several servers. */
static void a_server_that_is_unfit_ends_a_start_only(void **state)
{
    static const struct session_row unfit[] = { { .sql = "connect", .unfit = true, .problem = "it is a standby" },
                                                SESSION_END };
    (void)state;
    fake_session_play(unfit);
    assert_int_equal(step(), SLOT_REFUSED);
    assert_waiting("it is a standby");
    await_pause();
    take_number();
    fake_session_close();
    assert_int_equal(step(), SLOT_LOST);
    fake_session_play(unfit);
    assert_int_equal(step(), SLOT_WAITING);
    assert_waiting("it is a standby");
}

static void at_the_end_no_wait_goes_on_past_the_deadline(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, SESSION_LOSES(CLAIM), SESSION_END };
    (void)state;
    slot_hurry(slot, 12345678);
    fake_session_play(rows);
    assert_int_equal(step(), SLOT_WAITING);
    assert_int_equal(fake_session_deadline_us(), 12345678);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_smallest_free_number_is_taken),
        TEST(numbers_of_one_group_lie_together_and_apart_from_another_s),
        TEST(when_all_numbers_are_taken_it_waits),
        TEST(a_session_that_is_lost_meanwhile_takes_nothing),
        TEST(a_lost_session_loses_the_slot_and_our_own_number_comes_first),
        TEST(where_our_own_number_is_another_s_now_the_smallest_free_one_is_taken),
        TEST(a_silent_session_is_asked_and_kept_when_it_answers),
        TEST(a_session_that_does_not_answer_in_time_is_lost),
        TEST(the_schema_of_another_group_is_refused),
        TEST(a_schema_without_tables_says_what_to_do),
        TEST(any_other_refusal_is_told_as_it_is),
        TEST(a_schema_that_is_behind_is_waited_for),
        TEST(a_group_that_is_just_being_written_is_looked_at_again),
        TEST(attempts_to_connect_have_pauses_in_between_that_can_be_cut_short),
        TEST(a_server_that_is_unfit_ends_a_start_only),
        TEST(at_the_end_no_wait_goes_on_past_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
