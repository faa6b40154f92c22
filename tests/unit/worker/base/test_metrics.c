/* Metrics: the text that Prometheus reads. */
#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "workflows/workflow.h"

static char *print(void)
{
    struct buffer text = BUFFER_EMPTY;
    size_t size;
    metrics_print(&text);
    buffer_add_byte(&text, '\0');
    assert_false(buffer_failed(&text));
    return buffer_take(&text, &size);
}

static void contains(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    size_t size = strlen(line);
    if (!at || (at > text && at[-1] != '\n') || at[size] != '\n')
        fail_msg("no line \"%s\"", line);
}

static void counters_add_up_and_gauges_are_set(void **state)
{
    (void)state;
    metrics_add(METRIC_RECEIVED, 5);
    metrics_add(METRIC_RECEIVED, 2);
    metrics_set(METRIC_IN_FLIGHT, 9);
    metrics_set(METRIC_IN_FLIGHT, 3);
    metrics_add(METRIC_IN_FLIGHT, -1);
    assert_int_equal(metrics_get(METRIC_RECEIVED), 7);
    char *text = print();
    contains(text, "# TYPE interlock_messages_received_total counter");
    contains(text, "interlock_messages_received_total 7");
    contains(text, "# TYPE interlock_inflight gauge");
    contains(text, "interlock_inflight 2");
    free(text);
}

static void microseconds_are_shown_as_seconds(void **state)
{
    (void)state;
    metrics_add(METRIC_TRANSACTION_TIME, 12000345);
    char *text = print();
    contains(text, "interlock_transaction_seconds_total 12.000345");
    free(text);
}

static void an_age_grows_by_itself_and_ends_at_zero(void **state)
{
    (void)state;
    char *text = print();
    contains(text, "# TYPE interlock_held_oldest_seconds gauge");
    contains(text, "interlock_held_oldest_seconds 0.000000");
    free(text);
    metrics_set(METRIC_HELD_OLDEST, monotonic_us() - 30 * (int64_t)1000000);
    text = print();
    assert_non_null(strstr(text, "\ninterlock_held_oldest_seconds 30."));
    free(text);
    metrics_set(METRIC_HELD_OLDEST, 0);
}

/* A sanitizer's malloc is not the one that is counted. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_HEAP
#endif

#ifdef COUNTS_HEAP
static long long heap_shown(void)
{
    static const char name[] = "\ninterlock_heap_bytes ";
    char *text = print();
    const char *line = strstr(text, name);
    assert_non_null(line);
    long long shown = atoll(line + strlen(name));
    free(text);
    return shown;
}

static void the_heap_is_the_bytes_that_are_not_freed(void **state)
{
    (void)state;
    enum
    {
        COUNT = 20000,
        LEAST_CHUNK = 32, /* of malloc, however little is asked for */
        MAPPED = 64 * 1024 * 1024,
        SLACK = 64 * 1024, /* for printing, and for freed chunks in the thread's own cache */
    };
    void **small = malloc(COUNT * sizeof(*small));
    assert_non_null(small);
    long long before = heap_shown();
    for (int i = 0; i < COUNT; i++)
        assert_non_null(small[i] = malloc(1));
    long long taken = heap_shown();
    assert_true(llabs(taken - before - COUNT * LEAST_CHUNK) < SLACK);
    void *mapped = malloc(MAPPED);
    assert_non_null(mapped);
    assert_true(llabs(heap_shown() - taken - MAPPED) < SLACK);
    free(mapped);
    for (int i = 0; i < COUNT; i++)
        free(small[i]);
    free(small);
    assert_true(llabs(heap_shown() - before + (long long)(COUNT * sizeof(*small))) < SLACK);
}
#endif

static void commands_are_counted_by_type_and_outcome(void **state)
{
    (void)state;
    char line[160];
    assert_non_null(workflows[0]);
    metrics_count_command(0, OUTCOME_APPLIED, 3);
    metrics_count_command(-1, OUTCOME_REJECTED, 2);
    metrics_count_command(100000, OUTCOME_REJECTED, 1);
    metrics_count_command(0, OUTCOME__COUNT, 50);
    metrics_count_command(0, -1, 50);
    char *text = print();
    snprintf(line, sizeof(line), "interlock_commands_total{type=\"%s\",outcome=\"applied\"} 3", workflows[0]->type);
    contains(text, line);
    snprintf(line, sizeof(line), "interlock_commands_total{type=\"%s\",outcome=\"rejected\"} 0", workflows[0]->type);
    contains(text, line);
    contains(text, "interlock_commands_total{type=\"unknown\",outcome=\"rejected\"} 3");
    free(text);
}

static void dead_letters_are_counted_by_cause(void **state)
{
    (void)state;
    char *text = print();
    contains(text, "interlock_dlq_total{cause=\"too_deep\"} 0");
    assert_null(strstr(text, "cause=\"other\""));
    free(text);
    metrics_count_dead_letter("too_deep");
    metrics_count_dead_letter("too_deep");
    metrics_count_dead_letter("crashed_worker");
    metrics_count_dead_letter("of another version");
    metrics_count_dead_letter(NULL);
    assert_int_equal(metrics_dead_letters(), 5);
    text = print();
    contains(text, "interlock_dlq_total{cause=\"too_deep\"} 2");
    contains(text, "interlock_dlq_total{cause=\"crashed_worker\"} 1");
    contains(text, "interlock_dlq_total{cause=\"other\"} 2");
    free(text);
}

static void latency_is_a_cumulative_histogram(void **state)
{
    (void)state;
    metrics_observe_latency(-5);
    metrics_observe_latency(1000);
    metrics_observe_latency(1001);
    metrics_observe_latency(400000000);
    char *text = print();
    contains(text, "# TYPE interlock_effective_latency_seconds histogram");
    contains(text, "interlock_effective_latency_seconds_bucket{le=\"0.001000\"} 2");
    contains(text, "interlock_effective_latency_seconds_bucket{le=\"0.002000\"} 3");
    contains(text, "interlock_effective_latency_seconds_bucket{le=\"300.000000\"} 3");
    contains(text, "interlock_effective_latency_seconds_bucket{le=\"+Inf\"} 4");
    contains(text, "interlock_effective_latency_seconds_sum 400.002001");
    contains(text, "interlock_effective_latency_seconds_count 4");
    free(text);
}

static void every_line_is_a_comment_or_a_sample(void **state)
{
    (void)state;
    char *text = print(), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
    {
        if (strncmp(line, "# HELP interlock_", 17) == 0 || strncmp(line, "# TYPE interlock_", 17) == 0)
            continue;
        assert_memory_equal(line, "interlock_", 10);
        const char *value = strrchr(line, ' ');
        assert_non_null(value);
        char *end;
        strtod(value + 1, &end);
        assert_int_equal(*end, '\0');
    }
    free(text);
}

static void *count(void *owner)
{
    (void)owner;
    for (int i = 0; i < 10000; i++)
        metrics_add(METRIC_EVENTS, 1);
    return NULL;
}

static void counts_of_several_threads_are_not_lost(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_get(METRIC_EVENTS), 40000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_add_up_and_gauges_are_set),
        cmocka_unit_test(microseconds_are_shown_as_seconds),
        cmocka_unit_test(an_age_grows_by_itself_and_ends_at_zero),
#ifdef COUNTS_HEAP
        cmocka_unit_test(the_heap_is_the_bytes_that_are_not_freed),
#endif
        cmocka_unit_test(commands_are_counted_by_type_and_outcome),
        cmocka_unit_test(dead_letters_are_counted_by_cause),
        cmocka_unit_test(latency_is_a_cumulative_histogram),
        cmocka_unit_test(every_line_is_a_comment_or_a_sample),
        cmocka_unit_test(counts_of_several_threads_are_not_lost),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
