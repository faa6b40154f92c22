#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/partition/commit_mark.h"

/* PROTOCOL R1: which commits say what was published. */

#define SCHEMA "e1c4a8d2-0000-4000-8000-000000000001"

static struct owned_partition *owned_marked(const char *mark)
{
    struct owned_partition *owned = owned_new("commands", 3, 1);

    snprintf(owned->publisher.mark, sizeof(owned->publisher.mark), "%s", mark);
    return owned;
}

static bool is_ours(const char *metadata)
{
    struct owned_partition *owned = owned_marked(SCHEMA ":7");
    bool ours = commit_mark_is_ours(owned, metadata ? span_of(metadata) : SPAN_NULL);

    owned_release(owned, 1);
    return ours;
}

static void a_commit_of_this_schema_is_ours_under_whatever_fence(void **state)
{
    (void)state;
    assert_true(is_ours(SCHEMA ":7"));
    assert_true(is_ours(SCHEMA ":1"));
    assert_true(is_ours(SCHEMA ":9223372036854775807"));
}

static void an_offset_that_others_commit_is_not_ours(void **state)
{
    (void)state;
    assert_false(is_ours(NULL));
    assert_false(is_ours(""));
    assert_false(is_ours("moved by hand"));
    assert_false(is_ours("e1c4a8d2-0000-4000-8000-000000000002:7")); /* another schema, of the same group's name */
    assert_false(is_ours(SCHEMA));
    assert_false(is_ours(SCHEMA ":"));
    assert_false(is_ours(SCHEMA ":7 "));
    assert_false(is_ours(SCHEMA ":-7"));
    assert_false(is_ours(SCHEMA ":7:arrears"));
}

static void a_commit_of_ours_names_the_fence_of_its_owner(void **state)
{
    (void)state;
    assert_int_equal(commit_mark_fence(span_of(SCHEMA ":7")), 7);
    assert_int_equal(commit_mark_fence(span_of(SCHEMA ":120")), 120);
    assert_true(commit_mark_fence(span_of(SCHEMA ":9223372036854775807")) == INT64_MAX);
    assert_true(commit_mark_fence(span_of(SCHEMA ":99999999999999999999")) == INT64_MAX);
}

static void nothing_is_ours_before_the_schema_is_known(void **state)
{
    struct owned_partition *owned = owned_marked("");
    (void)state;

    assert_false(commit_mark_is_ours(owned, span_of("")));
    assert_false(commit_mark_is_ours(owned, span_of(SCHEMA ":7")));
    owned_release(owned, 1);
}

static void an_offset_goes_out_with_the_mark_or_without_it(void **state)
{
    struct owned_partition *owned = owned_marked(SCHEMA ":7");
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(2);
    (void)state;

    commit_mark_add(offsets, owned, 41, true);
    assert_int_equal(offsets->elems[0].offset, 41);
    assert_int_equal(offsets->elems[0].partition, 3);
    assert_true(span_is(commit_mark_of(&offsets->elems[0]), SCHEMA ":7"));
    rd_kafka_topic_partition_list_t *copy = rd_kafka_topic_partition_list_copy(offsets);
    assert_true(span_is(commit_mark_of(&copy->elems[0]), SCHEMA ":7")); /* as librdkafka makes one of it */
    rd_kafka_topic_partition_list_destroy(copy);
    commit_mark_add(offsets, owned, 42, false);
    assert_true(span_is(commit_mark_of(&offsets->elems[1]), SCHEMA ":7:arrears"));
    assert_false(commit_mark_is_ours(owned, commit_mark_of(&offsets->elems[1])));
    rd_kafka_topic_partition_list_destroy(offsets);
    owned_release(owned, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_of_this_schema_is_ours_under_whatever_fence),
        cmocka_unit_test(an_offset_that_others_commit_is_not_ours),
        cmocka_unit_test(a_commit_of_ours_names_the_fence_of_its_owner),
        cmocka_unit_test(nothing_is_ours_before_the_schema_is_known),
        cmocka_unit_test(an_offset_goes_out_with_the_mark_or_without_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
