/* wrap: PQexecParams */
/* Audit query: the statement that each question becomes, and that values are always parameters. */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "worker/admin/audit_query.h"

enum
{
    VALUES_MAX = 8,
};

static char *sql;
static const char *given[VALUES_MAX];
static char identity[64];
static int given_count;
static bool fails;

__typeof__(PQexecParams) __wrap_PQexecParams;

PGresult *__wrap_PQexecParams(PGconn *connection, const char *statement, int count, const Oid *types,
                              const char *const *values, const int *sizes, const int *formats, int format)
{
    (void)connection;
    (void)types;
    (void)sizes;
    (void)formats;
    assert_int_equal(format, 0);
    assert_in_range(count, 0, VALUES_MAX);
    free(sql);
    sql = strdup(statement);
    given_count = count;
    for (int i = 0; i < count; i++)
        given[i] = values[i];
    if (count > 0)
        strncpy(identity, values[0], sizeof(identity) - 1);
    return PQmakeEmptyPGresult(NULL, fails ? PGRES_FATAL_ERROR : PGRES_TUPLES_OK);
}

static int start(void **state)
{
    (void)state;
    fails = false;
    given_count = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(sql);
    sql = NULL;
    return 0;
}

static void ask(const struct audit_filter *filter, bool plan)
{
    struct buffer fault = BUFFER_EMPTY;
    PGresult *result = audit_query_list(NULL, filter, plan, &fault);
    assert_non_null(result);
    assert_int_equal(fault.size, 0);
    PQclear(result);
    buffer_done(&fault);
}

static void contains(const char *part)
{
    if (!strstr(sql, part))
        fail_msg("no \"%s\" in \"%s\"", part, sql);
}

/* Every $N that occurs has a value, and every value occurs. */
static void all_values_are_used(void)
{
    bool used[VALUES_MAX] = { false };
    for (const char *at = strchr(sql, '$'); at; at = strchr(at + 1, '$'))
    {
        assert_in_range(atoi(at + 1), 1, given_count);
        used[atoi(at + 1) - 1] = true;
    }
    for (int i = 0; i < given_count; i++)
        assert_true(used[i]);
}

static void an_aggregate_is_looked_for_as_subject_and_as_also(void **state)
{
    (void)state;
    ask(&(struct audit_filter){ .aggregate = "ticket/1" }, false);
    contains("e.aggregate = $1");
    contains("interlock.audit_also a JOIN interlock.audit_event e USING (partition_id, kafka_offset, fence) WHERE "
             "a.aggregate = $1");
    assert_int_equal(given_count, 2);
    assert_string_equal(given[0], "ticket/1");
    assert_string_equal(given[1], "100");
    all_values_are_used();
}

static void every_part_of_a_filter_is_a_parameter(void **state)
{
    (void)state;
    static const char evil[] = "'; DROP TABLE interlock.inbox; --";
    ask(&(struct audit_filter){ .aggregate = evil,
                                .operation = "ESCALATION",
                                .author = "a",
                                .status_from = "NEW",
                                .status_to = "OPEN",
                                .since = "2026-11-24T09:00:00Z",
                                .until = "2026-11-25T09:00:00Z",
                                .limit = "5" },
        false);
    assert_int_equal(given_count, 8);
    assert_null(strstr(sql, "DROP"));
    assert_null(strstr(sql, "2026"));
    contains("::interlock.operation");
    contains("a.changed_at >= ");
    all_values_are_used();
}

static void a_status_change_says_the_words_of_its_partial_index(void **state)
{
    (void)state;
    ask(&(struct audit_filter){ .status_from = "NEW", .status_to = "OPEN" }, false);
    contains("e.status_old IS DISTINCT FROM e.status_new AND e.status_old = $1 AND e.status_new = $2");
    all_values_are_used();
}

static void one_side_of_a_status_change_is_enough(void **state)
{
    (void)state;
    ask(&(struct audit_filter){ .status_to = "OPEN" }, false);
    contains("e.status_old IS DISTINCT FROM e.status_new AND e.status_new = $1");
    assert_null(strstr(sql, "e.status_old = "));
    all_values_are_used();
    ask(&(struct audit_filter){ .status_from = "OPEN" }, false);
    contains("e.status_old IS DISTINCT FROM e.status_new AND e.status_old = $1");
    assert_null(strstr(sql, "e.status_new = "));
    all_values_are_used();
}

static void without_a_filter_the_newest_are_found(void **state)
{
    (void)state;
    ask(&(struct audit_filter){ .limit = "7" }, false);
    contains("WHERE true ORDER BY e.changed_at DESC LIMIT $1::bigint");
    assert_int_equal(given_count, 1);
    assert_string_equal(given[0], "7");
    all_values_are_used();
}

static void explain_shows_the_same_statement_s_plan(void **state)
{
    (void)state;
    ask(&(struct audit_filter){ .author = "a" }, false);
    char *plain = strdup(sql);
    ask(&(struct audit_filter){ .author = "a" }, true);
    assert_memory_equal(sql, "EXPLAIN (ANALYZE, BUFFERS) ", 27);
    assert_string_equal(sql + 27, plain);
    free(plain);
}

static void a_command_is_found_by_the_inbox_s_key(void **state)
{
    (void)state;
    struct buffer fault = BUFFER_EMPTY;
    PGresult *result = audit_query_command(NULL, "a", "b", &fault);
    assert_non_null(result);
    /* The first half of sha256 of "a", NUL, "b". */
    assert_string_equal(identity, "59b271ae1bbcb1d31d41929817f4b16f");
    contains("i.identity = $1::uuid");
    PQclear(result);
}

static void a_statement_that_fails_is_said(void **state)
{
    (void)state;
    struct buffer fault = BUFFER_EMPTY;
    fails = true;
    assert_null(audit_query_event(NULL, "x", &fault));
    assert_true(fault.size > 0);
    buffer_done(&fault);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_aggregate_is_looked_for_as_subject_and_as_also),
        TEST(every_part_of_a_filter_is_a_parameter),
        TEST(a_status_change_says_the_words_of_its_partial_index),
        TEST(one_side_of_a_status_change_is_enough),
        TEST(without_a_filter_the_newest_are_found),
        TEST(explain_shows_the_same_statement_s_plan),
        TEST(a_command_is_found_by_the_inbox_s_key),
        TEST(a_statement_that_fails_is_said),
    };
    return cmocka_run_group_tests_name("audit_query", tests, NULL, NULL);
}
