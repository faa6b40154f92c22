#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/process_rates.h"

enum
{
    SECOND_US = 1000000,
};

static struct process_rates rates;

static void shows(const char *expected)
{
    struct buffer json = BUFFER_EMPTY;

    process_rates_print(&rates, &json);
    buffer_add_byte(&json, '\0');
    assert_string_equal(json.at, expected);
    buffer_done(&json);
}

static void shows_line(const char *expected)
{
    struct buffer line = BUFFER_EMPTY;

    process_rates_print_line(&rates, &line);
    buffer_add_byte(&line, '\0');
    assert_string_equal(line.at, expected);
    buffer_done(&line);
}

static void of_one_sample_there_is_no_rate(void **state)
{
    (void)state;
    shows("{\"commands_per_s\":0,\"p99_ms\":null}");
    process_rates_sample(&rates, SECOND_US);
    shows_line("");
    shows("{\"commands_per_s\":0,\"p99_ms\":null}");
}

static void the_rate_is_that_of_the_last_minute(void **state)
{
    (void)state;
    for (int i = 1; i < RATES_SAMPLES; i++)
    {
        metrics_add(METRIC_BATCH_COMMANDS, 25);
        process_rates_sample(&rates, SECOND_US + i * 5 * (int64_t)SECOND_US);
    }
    shows("{\"commands_per_s\":5.0,\"p99_ms\":null}");
    shows_line("5.0 commands/s");
    for (int i = 0; i < 99; i++)
        metrics_observe_latency(1500);
    metrics_observe_latency(900000);
    process_rates_sample(&rates, SECOND_US + 65 * (int64_t)SECOND_US);
    shows("{\"commands_per_s\":4.5,\"p99_ms\":2}");
    shows_line("4.5 commands/s, 99 of 100 published within 2 ms");
    for (int i = 0; i < 9; i++)
        metrics_observe_latency(900000);
    process_rates_sample(&rates, SECOND_US + 70 * (int64_t)SECOND_US);
    shows("{\"commands_per_s\":4.1,\"p99_ms\":946}");
    for (int i = 0; i < RATES_SAMPLES; i++)
        process_rates_sample(&rates, SECOND_US + (75 + 5 * i) * (int64_t)SECOND_US);
    shows("{\"commands_per_s\":0.0,\"p99_ms\":null}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_one_sample_there_is_no_rate),
        cmocka_unit_test(the_rate_is_that_of_the_last_minute),
    };
    return cmocka_run_group_tests_name("process_rates", tests, NULL, NULL);
}
