#include "tests/fixtures/cmocka.h"

#include "consumers/partition/partition.h"
#include "tests/fixtures/abort.h"

/* --- the test's side --------------------------------------------------------------------------------------------- */

static struct owned_partition *owned;

static int set_up(void **state)
{
    (void)state;
    owned = owned_new("commands", 3, 1);
    return owned ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    owned_release(owned, 1);
    return 0;
}

static void change(void *owner)
{
    owned_change(owned, *(enum partition_change *)owner);
}

static bool is_refused(enum partition_change refused)
{
    return aborts(change, &refused);
}

/* --- states ------------------------------------------------------------------------------------------------------ */

static void a_partition_is_requested_then_owned_then_draining_then_given_up(void **state)
{
    (void)state;

    assert_int_equal(owned_state(owned), PARTITION_REQUESTED);
    assert_false(owned_is_taken(owned));
    assert_int_equal(owned_change(owned, PARTITION_TAKE), PARTITION_OWNED);
    assert_true(owned_is_live(owned) && owned_is_taken(owned));
    owned_revoke(owned, INT64_MAX);
    assert_int_equal(owned_state(owned), PARTITION_DRAINING);
    assert_true(owned_is_live(owned));
    assert_int_equal(owned_change(owned, PARTITION_END), PARTITION_GIVEN_UP);
    assert_false(owned_is_live(owned));
}

static void a_request_that_was_revoked_during_its_takeover_drains(void **state)
{
    (void)state;

    owned_revoke(owned, INT64_MAX);
    assert_int_equal(owned_state(owned), PARTITION_CANCELLED);
    assert_false(owned_is_taken(owned));
    assert_int_equal(owned_change(owned, PARTITION_TAKE), PARTITION_DRAINING);
}

static void a_lost_partition_stays_lost_until_the_poll_thread_revokes_it(void **state)
{
    (void)state;

    owned_change(owned, PARTITION_TAKE);
    assert_int_equal(owned_change(owned, PARTITION_LOSE), PARTITION_LOST);
    assert_int_equal(owned_change(owned, PARTITION_END), PARTITION_LOST);
    assert_false(owned_is_live(owned) || owned_is_taken(owned));
    owned_revoke(owned, 0);
    assert_int_equal(owned_state(owned), PARTITION_GIVEN_UP);
}

static void a_draining_partition_that_is_lost_is_not_asked_for_again(void **state)
{
    (void)state;

    owned_change(owned, PARTITION_TAKE);
    owned_revoke(owned, INT64_MAX);
    assert_int_equal(owned_change(owned, PARTITION_LOSE), PARTITION_GIVEN_UP);
}

static void a_revoke_after_the_publisher_ended_a_partition_changes_no_state(void **state)
{
    (void)state;

    owned_change(owned, PARTITION_TAKE);
    owned_change(owned, PARTITION_END);
    owned_revoke(owned, 0);
    assert_int_equal(owned_state(owned), PARTITION_GIVEN_UP);
    assert_true(owned_is_revoked(owned));
}

static void a_partition_that_is_not_owned_cannot_be_lost_or_ended(void **state)
{
    (void)state;

    assert_true(is_refused(PARTITION_LOSE) && is_refused(PARTITION_END));
    owned_revoke(owned, 0);
    assert_true(is_refused(PARTITION_LOSE) && is_refused(PARTITION_END));
}

static void a_partition_is_taken_once_and_revoked_once(void **state)
{
    (void)state;

    owned_change(owned, PARTITION_TAKE);
    assert_true(is_refused(PARTITION_TAKE));
    owned_revoke(owned, INT64_MAX);
    assert_true(is_refused(PARTITION_TAKE) && is_refused(PARTITION_REVOKE));
    owned_change(owned, PARTITION_END);
    assert_true(is_refused(PARTITION_TAKE) && is_refused(PARTITION_LOSE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_partition_is_requested_then_owned_then_draining_then_given_up),
        TEST(a_request_that_was_revoked_during_its_takeover_drains),
        TEST(a_lost_partition_stays_lost_until_the_poll_thread_revokes_it),
        TEST(a_draining_partition_that_is_lost_is_not_asked_for_again),
        TEST(a_revoke_after_the_publisher_ended_a_partition_changes_no_state),
        TEST(a_partition_that_is_not_owned_cannot_be_lost_or_ended),
        TEST(a_partition_is_taken_once_and_revoked_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
