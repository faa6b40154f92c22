/* wrap: rights_probe */
/* Rights watch: when the rights are tried, and what is said of those that are missing. The trying itself is
 * test_rights.c's. */
#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "consumers/kafka/rights.h"
#include "consumers/kafka/rights_watch.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/settings/settings.h"

enum
{
    WAIT_US = 60000000,
    SOON_US = 2000000, /* less than the watch rests while a right is missing */
};

static struct
{
    pthread_mutex_t mutex; /* over what follows */
    pthread_cond_t changed;
    int missing; /* of the next probe */
    bool refuses;
    int probes;
    int64_t probed_us;
} scene = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static struct settings settings;
static struct rights_watch *watch;

__typeof__(rights_probe) __wrap_rights_probe;

bool __wrap_rights_probe(const struct settings *of, bool publish, const atomic_bool *stop, rights_missing_fn *missing,
                         void *owner, struct buffer *reterr)
{
    struct buffer says = BUFFER_EMPTY;

    (void)reterr;
    assert_ptr_equal(of, &settings);
    assert_false(publish);
    assert_non_null(stop);
    pthread_mutex_lock(&scene.mutex);
    for (int i = 0; i < scene.missing; i++)
    {
        buffer_clear(&says);
        buffer_add_text(&says, "no right ");
        buffer_add_int64(&says, i + 1);
        missing(owner, &says);
    }
    bool tried = !scene.refuses;
    scene.probes++;
    scene.probed_us = monotonic_us();
    pthread_cond_broadcast(&scene.changed);
    pthread_mutex_unlock(&scene.mutex);
    buffer_done(&says);
    return tried;
}

static int set_up(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_ERROR, false);
    condition_init(&scene.changed);
    scene.missing = scene.probes = 0;
    scene.refuses = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rights_watch_stop(watch);
    watch = NULL;
    pthread_cond_destroy(&scene.changed);
    return 0;
}

static void begin(int missing)
{
    scene.missing = missing;
    watch = rights_watch_start(&settings);
    assert_non_null(watch);
}

/* Waits until the rights were tried so often. */
static void await_probes(int count)
{
    struct timespec until = monotonic_timespec(monotonic_us() + WAIT_US);

    pthread_mutex_lock(&scene.mutex);
    while (scene.probes < count && pthread_cond_timedwait(&scene.changed, &scene.mutex, &until) == 0)
        ;
    int probes = scene.probes;
    pthread_mutex_unlock(&scene.mutex);
    assert_true(probes >= count);
}

static void answer_from_now_on(int missing)
{
    pthread_mutex_lock(&scene.mutex);
    scene.missing = missing;
    pthread_mutex_unlock(&scene.mutex);
}

/* Waits until this is the problem; "": there is none. */
static void await_problem(const char *expected)
{
    int64_t deadline_us = monotonic_us() + WAIT_US;

    for (;;)
    {
        struct buffer why = BUFFER_EMPTY;
        bool found = rights_watch_has_looked(watch) && rights_watch_problem(watch, &why) == (*expected != '\0') &&
                     span_is(buffer_span(&why), expected);
        bool late = monotonic_us() > deadline_us;
        if (late && !found)
            fail_msg("the problem is %.*s", (int)why.size, why.at ? why.at : "");
        found = found || (*expected == '\0' && why.size == 0 && rights_watch_has_looked(watch));
        buffer_done(&why);
        if (found)
            return;
        pthread_mutex_lock(&scene.mutex);
        struct timespec until = monotonic_timespec(monotonic_us() + 10000);
        pthread_cond_timedwait(&scene.changed, &scene.mutex, &until);
        pthread_mutex_unlock(&scene.mutex);
    }
}

static void without_a_watch_nothing_is_missing(void **state)
{
    struct buffer why = BUFFER_EMPTY;
    (void)state;

    assert_true(rights_watch_has_looked(NULL));
    assert_false(rights_watch_problem(NULL, &why));
    assert_int_equal(why.size, 0);
}

static void rights_that_are_there_are_no_problem(void **state)
{
    (void)state;
    begin(0);
    await_problem("");
    assert_int_equal(scene.probes, 1);
}

static void a_missing_right_is_the_problem_and_the_others_are_counted(void **state)
{
    (void)state;
    begin(1);
    await_problem("no right 1");
    answer_from_now_on(3);
    rights_watch_suspect(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    await_problem("no right 1; and 2 more: `interlock check` lists them");
}

static void once_it_is_granted_the_problem_is_over(void **state)
{
    (void)state;
    begin(1);
    await_problem("no right 1");
    answer_from_now_on(0);
    rights_watch_suspect(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    await_problem("");
}

/* Each of them, and soon. */
static void an_error_of_authorization_has_the_rights_tried(void **state)
{
    static const rd_kafka_resp_err_t errors[] = { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                                                  RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                                                  RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                                                  RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED };
    (void)state;

    begin(0);
    await_probes(1);
    for (int i = 0; i < 4; i++)
    {
        await_problem("");
        rights_watch_suspect(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        rights_watch_suspect(errors[i]);
        await_probes(i + 2);
    }
    assert_int_equal(scene.probes, 5);
}

static void while_a_right_is_missing_it_is_tried_by_itself(void **state)
{
    (void)state;
    begin(1);
    await_probes(1);
    int64_t first_us = scene.probed_us;
    answer_from_now_on(0);
    await_probes(2);
    assert_true(scene.probed_us - first_us > SOON_US);
    await_problem("");
}

/* Nobody is kept from being ready by a broker that cannot be asked. */
static void rights_that_could_not_be_tried_are_no_problem(void **state)
{
    (void)state;
    scene.refuses = true;
    begin(0);
    await_problem("");
    assert_int_equal(scene.probes, 1);
}

static void rights_that_were_missed_before_the_broker_fell_silent_count(void **state)
{
    (void)state;
    scene.refuses = true;
    begin(1);
    await_problem("no right 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_watch_nothing_is_missing),
        TEST(rights_that_are_there_are_no_problem),
        TEST(a_missing_right_is_the_problem_and_the_others_are_counted),
        TEST(once_it_is_granted_the_problem_is_over),
        TEST(an_error_of_authorization_has_the_rights_tried),
        TEST(while_a_right_is_missing_it_is_tried_by_itself),
        TEST(rights_that_could_not_be_tried_are_no_problem),
        TEST(rights_that_were_missed_before_the_broker_fell_silent_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
