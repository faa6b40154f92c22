#include "tests/fixtures/cmocka.h"

#include "consumers/poll/cell_private.h"
#include "tests/fixtures/abort.h"

static struct cell cell;

static int set_up(void **state)
{
    (void)state;
    atomic_init(&cell.state, CELL_NEW);
    return 0;
}

static void enter(void *owner)
{
    cell_enter(&cell, *(enum cell_state *)owner);
}

static bool is_refused(enum cell_state next)
{
    return aborts(enter, &next);
}

static void go(const enum cell_state *states, int count)
{
    for (int i = 0; i < count; i++)
    {
        cell_enter(&cell, states[i]);
        assert_int_equal(cell_state(&cell), states[i]);
    }
}

#define GO(...) go((const enum cell_state[]){ __VA_ARGS__ }, sizeof((int[]){ __VA_ARGS__ }) / sizeof(int))

static void a_cell_serves_leaves_and_serves_again(void **state)
{
    (void)state;

    assert_true(cell_is_stopped(&cell));
    GO(CELL_WAITING, CELL_SERVING, CELL_REPLACING);
    assert_false(cell_is_stopped(&cell));
    GO(CELL_LEAVING, CELL_WAITING, CELL_SERVING, CELL_FENCED, CELL_LEAVING, CELL_WAITING, CELL_STOPPED);
    assert_true(cell_is_stopped(&cell));
}

static void a_member_that_is_to_be_replaced_may_still_be_fenced(void **state)
{
    (void)state;

    GO(CELL_WAITING, CELL_SERVING, CELL_REPLACING, CELL_FENCED);
    assert_true(is_refused(CELL_REPLACING) && is_refused(CELL_FENCED));
}

static void a_cell_does_not_stop_before_it_has_left_the_group(void **state)
{
    (void)state;

    GO(CELL_WAITING, CELL_SERVING);
    assert_true(is_refused(CELL_STOPPED) && is_refused(CELL_WAITING));
    GO(CELL_LEAVING);
    assert_true(is_refused(CELL_STOPPED) && is_refused(CELL_SERVING) && is_refused(CELL_LEAVING));
}

static void a_cell_that_has_stopped_stays_so(void **state)
{
    (void)state;

    GO(CELL_WAITING, CELL_STOPPED);
    assert_true(is_refused(CELL_WAITING) && is_refused(CELL_SERVING) && is_refused(CELL_NEW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_cell_serves_leaves_and_serves_again, set_up),
        cmocka_unit_test_setup(a_member_that_is_to_be_replaced_may_still_be_fenced, set_up),
        cmocka_unit_test_setup(a_cell_does_not_stop_before_it_has_left_the_group, set_up),
        cmocka_unit_test_setup(a_cell_that_has_stopped_stays_so, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
