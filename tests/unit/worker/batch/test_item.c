#include "tests/fixtures/cmocka.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/batch/item.h"

/* ARCHITECTURE.md, "States": what an item may become, and that it has one verdict. */

static struct delivery delivery;
static struct partition partition;

static struct item item_in(enum item_state state)
{
    struct item item = { .delivery = &delivery, .state = state };

    delivery = (struct delivery){ .partition = &partition };
    return item;
}

static void become(struct item *item, int state)
{
    item_become(item, (enum item_state)state);
}

static void conclude(struct item *item, int verdict)
{
    item_conclude(item, (enum verdict)verdict, ANSWER_NOTHING);
}

/* Whether the call ends the process by an assertion; it is made in a child. */
static bool aborts(void (*call)(struct item *, int), struct item item, int argument)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
    {
        int nothing = open("/dev/null", O_WRONLY);
        dup2(nothing, STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        call(&item, argument);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void an_item_goes_only_where_the_drawing_lets_it(void **state)
{
    static const char *const allowed[ITEM__STATES] = {
        [ITEM_NEW] = "UKRF", [ITEM_UNREADABLE] = "F", [ITEM_KNOWN] = "UN", [ITEM_REPEATED] = "UKF", [ITEM_FENCED] = "",
    };
    static const char letters[ITEM__STATES] = {
        [ITEM_NEW] = 'N', [ITEM_UNREADABLE] = 'U', [ITEM_KNOWN] = 'K', [ITEM_REPEATED] = 'R', [ITEM_FENCED] = 'F',
    };
    (void)state;
    for (int from = 0; from < ITEM__STATES; from++)
        for (int to = 0; to < ITEM__STATES; to++)
            assert_int_equal(aborts(become, item_in((enum item_state)from), to),
                             strchr(allowed[from], letters[to]) == NULL);
}

static void an_item_is_answered_once(void **state)
{
    struct item item = item_in(ITEM_NEW);
    (void)state;
    assert_false(item_is_answered(&item));
    item_conclude(&item, VERDICT_RECORD, ANSWER_EVENT);
    assert_true(item_is_answered(&item) && item_writes_inbox(&item));
    assert_int_equal(delivery.answer, ANSWER_EVENT);
    assert_true(aborts(conclude, item, VERDICT_DUPLICATE));
    assert_true(aborts(become, item, ITEM_KNOWN));
}

static void a_held_item_is_not_answered(void **state)
{
    struct item item = item_in(ITEM_NEW);
    (void)state;
    assert_true(aborts(conclude, item, VERDICT_HOLD)); /* without a reason */
    item.hold = HOLD_BUSY;
    assert_true(aborts(conclude, item, VERDICT_RECORD));
    delivery.answer = ANSWER_DROPPED;
    item_conclude(&item, VERDICT_HOLD, ANSWER_EVENT);
    assert_false(item_is_answered(&item));
    assert_int_equal(delivery.answer, ANSWER_DROPPED);
}

static void an_item_whose_partition_is_lost_has_no_other_verdict(void **state)
{
    (void)state;
    assert_true(aborts(conclude, item_in(ITEM_FENCED), VERDICT_RECORD));
    assert_true(aborts(conclude, item_in(ITEM_NEW), VERDICT_FENCED));
    assert_true(aborts(conclude, item_in(ITEM_UNREADABLE), VERDICT_RECORD));
    assert_false(aborts(conclude, item_in(ITEM_FENCED), VERDICT_FENCED));
    assert_false(aborts(conclude, item_in(ITEM_UNREADABLE), VERDICT_DEAD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_goes_only_where_the_drawing_lets_it),
        cmocka_unit_test(an_item_is_answered_once),
        cmocka_unit_test(a_held_item_is_not_answered),
        cmocka_unit_test(an_item_whose_partition_is_lost_has_no_other_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
