/* Retry: the numbers of DOMAIN.md's table, the growth, the limits, the spread. */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "worker/base/retry.h"
#include "worker/settings/settings.h"

enum
{
    DRAWS = 10000,
};

static const struct
{
    enum retry_kind kind;
    const char *name;
    int retries;
    int64_t delays_us[6]; /* of attempts 1, 2, ...: without jitter, the last one past the count */
    int percent;
} table[] = {
    { RETRY_DEFAULT, "default", 3, { 100000, 200000, 400000, 5000000 }, 10 },
    { RETRY_AGGRESSIVE, "aggressive", 5, { 50000, 75000, 112500, 168750, 253125, 3000000 }, 10 },
    { RETRY_CONSERVATIVE, "conservative", 2, { 500000, 1250000, 10000000 }, 0 },
    { RETRY_DATABASE_OPERATION, "database_operation", 3, { 200000, 400000, 800000, 4000000 }, 10 },
    { RETRY_LOCK_ACQUISITION, "lock_acquisition", 4, { 100000, 150000, 225000, 337500, 2000000 }, 10 },
};

static struct settings defaults;

static void every_policy_has_the_numbers_of_the_table(void **state)
{
    (void)state;
    assert_int_equal(sizeof(table) / sizeof(*table), RETRY__COUNT);
    for (size_t i = 0; i < RETRY__COUNT; i++)
    {
        struct retry_policy exact = defaults.retries[table[i].kind];
        assert_string_equal(exact.name, table[i].name);
        assert_int_equal(exact.retries, table[i].retries);
        assert_int_equal((int)(exact.jitter * 100 + 0.5), table[i].percent);
        exact.jitter = 0;
        uint64_t random_state = 1;
        for (int attempt = 1; attempt <= table[i].retries + 1; attempt++)
            assert_int_equal(retry_delay_us(&exact, attempt, &random_state), table[i].delays_us[attempt - 1]);
    }
}

/* PROTOCOL B5: attempts choose the delay and nothing else. */
static void past_the_count_the_longest_delay_repeats_for_ever(void **state)
{
    (void)state;
    for (int kind = 0; kind < RETRY__COUNT; kind++)
    {
        struct retry_policy exact = defaults.retries[kind];
        exact.jitter = 0;
        uint64_t random_state = 1;
        assert_int_equal(retry_delay_us(&exact, exact.retries + 1, &random_state), exact.longest_us);
        assert_int_equal(retry_delay_us(&exact, 1000, &random_state), exact.longest_us);
        assert_int_equal(retry_delay_us(&exact, INT32_MAX, &random_state), exact.longest_us);
    }
}

static void growth_stops_at_the_longest_delay_before_the_count_is_reached(void **state)
{
    (void)state;
    struct retry_policy steep = { "steep", 1000, 1000, 10.0, 50000, 0.0 };
    uint64_t random_state = 1;
    assert_int_equal(retry_delay_us(&steep, 2, &random_state), 10000);
    assert_int_equal(retry_delay_us(&steep, 3, &random_state), 50000);
    assert_int_equal(retry_delay_us(&steep, 999, &random_state), 50000);
}

static void jitter_stays_within_its_bounds_and_reaches_for_both_ends(void **state)
{
    (void)state;
    const struct retry_policy *policy = &defaults.retries[RETRY_DEFAULT];
    uint64_t random_state = 42;
    int64_t least = INT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < DRAWS; i++)
    {
        int64_t delay_us = retry_delay_us(policy, 2, &random_state);
        least = delay_us < least ? delay_us : least;
        most = delay_us > most ? delay_us : most;
        sum += delay_us;
    }
    assert_in_range(least, 180000, 181000);
    assert_in_range(most, 219000, 220000);
    assert_in_range(sum / DRAWS, 199000, 201000);
}

static void no_delay_is_longer_than_the_longest_and_the_last_ones_do_not_bunch_there(void **state)
{
    (void)state;
    const struct retry_policy *policy = &defaults.retries[RETRY_LOCK_ACQUISITION];
    uint64_t random_state = 7;
    int at_the_limit = 0;
    for (int i = 0; i < DRAWS; i++)
    {
        int64_t delay_us = retry_delay_us(policy, 9, &random_state);
        assert_in_range(delay_us, 1800000, 2000000);
        at_the_limit += delay_us > 1999000;
    }
    assert_in_range(at_the_limit, 1, DRAWS / 50);
}

static void without_jitter_nothing_is_drawn(void **state)
{
    (void)state;
    uint64_t random_state = 99;
    assert_int_equal(retry_delay_us(&defaults.retries[RETRY_CONSERVATIVE], 1, &random_state), 500000);
    assert_int_equal(random_state, 99);
}

static void equal_states_give_equal_delays(void **state)
{
    (void)state;
    uint64_t one = 5, other = 5;
    for (int attempt = 1; attempt < 20; attempt++)
        assert_int_equal(retry_delay_us(&defaults.retries[RETRY_AGGRESSIVE], attempt, &one),
                         retry_delay_us(&defaults.retries[RETRY_AGGRESSIVE], attempt, &other));
}

static void full_jitter_never_goes_below_zero(void **state)
{
    (void)state;
    struct retry_policy wild = { "wild", 3, 1000, 2.0, 1000000, 1.0 };
    uint64_t random_state = 3;
    for (int i = 0; i < DRAWS; i++)
        assert_in_range(retry_delay_us(&wild, 1, &random_state), 0, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_has_the_numbers_of_the_table),
        cmocka_unit_test(past_the_count_the_longest_delay_repeats_for_ever),
        cmocka_unit_test(growth_stops_at_the_longest_delay_before_the_count_is_reached),
        cmocka_unit_test(jitter_stays_within_its_bounds_and_reaches_for_both_ends),
        cmocka_unit_test(no_delay_is_longer_than_the_longest_and_the_last_ones_do_not_bunch_there),
        cmocka_unit_test(without_jitter_nothing_is_drawn),
        cmocka_unit_test(equal_states_give_equal_delays),
        cmocka_unit_test(full_jitter_never_goes_below_zero),
    };
    struct buffer fault = BUFFER_EMPTY;
    clearenv();
    if (!settings_load(&defaults, NULL, &fault))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    settings_done(&defaults);
    buffer_done(&fault);
    return failed;
}
