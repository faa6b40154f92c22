#include "tests/fixtures/cmocka.h"

#include <stdio.h>

#include "worker/admin/audit_compare.h"

/* A record of one applied command, as the batch would have filled it. */
static struct audit_record record_of(uint64_t number, int64_t offset, int64_t version, const char *aggregate)
{
    return (struct audit_record){
        .event_id = { 1, number },
        .kafka_offset = int_of(offset),
        .changed_at = int_of(1000000000 + offset),
        .version_from = int_of(version - 1),
        .version_to = int_of(version),
        .outcome = 1 + OUTCOME_APPLIED,
        .operation = OPERATION_ESCALATION,
        .aggregate = span_of(aggregate),
        .command_source = SPAN_LITERAL("/test"),
        .command_id = SPAN_LITERAL("c"),
        .command_type = SPAN_LITERAL("ticket.escalate"),
    };
}

/* The event of the record on the topic, behind those before it. True: it was there already. */
static bool see(struct audit_compare *compare, const struct audit_record *record)
{
    static int64_t offset;
    struct buffer event = BUFFER_EMPTY;
    bool is_double;

    audit_print_event(record, &event);
    assert_true(audit_compare_event(compare, record->event_id, buffer_span(&event), 0, offset++, &is_double));
    buffer_done(&event);
    return is_double;
}

static enum audit_fit judge(struct audit_compare *compare, const struct audit_record *record, int64_t published)
{
    struct buffer event = BUFFER_EMPTY;
    enum audit_fit fit;

    assert_true(audit_compare_row(compare, record, published, &event, &fit));
    buffer_done(&event);
    return fit;
}

static void rows_and_events_that_are_the_same_fit(void **state)
{
    struct audit_compare *compare = audit_compare_new();

    (void)state;
    for (uint64_t n = 1; n <= 5000; n++)
    {
        struct audit_record record = record_of(n, (int64_t)n, (int64_t)n, "ticket/1");
        assert_false(see(compare, &record));
    }
    for (uint64_t n = 1; n <= 5000; n++)
    {
        struct audit_record record = record_of(n, (int64_t)n, (int64_t)n, "ticket/1");
        assert_int_equal(judge(compare, &record, 10000), AUDIT_FITS);
    }
    struct audit_compare_counts counts = audit_compare_counts(compare);
    assert_int_equal(counts.events, 5000);
    assert_int_equal(counts.rows, 5000);
    assert_int_equal(counts.holes + counts.doubles + counts.mismatches + counts.unknown + counts.reordered, 0);
    audit_compare_free(compare);
}

static void a_row_below_published_without_an_event_is_a_hole(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record there = record_of(1, 5, 1, "ticket/1"), lost = record_of(2, 6, 2, "ticket/1");

    (void)state;
    see(compare, &there);
    assert_int_equal(judge(compare, &lost, 7), AUDIT_HOLE);
    assert_int_equal(audit_compare_counts(compare).holes, 1);
    audit_compare_free(compare);
}

/* PROTOCOL R7: a hole is below published, and younger than the oldest record. */
static void a_row_at_published_or_above_is_not_a_hole_yet(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record there = record_of(1, 5, 1, "ticket/1"), late = record_of(2, 6, 2, "ticket/1");

    (void)state;
    see(compare, &there);
    assert_int_equal(judge(compare, &late, 6), AUDIT_NOT_YET);
    assert_int_equal(audit_compare_counts(compare).holes, 0);
    audit_compare_free(compare);
}

static void a_row_older_than_what_the_topic_still_has_is_not_a_hole(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record there = record_of(1, 50000, 2, "ticket/1"), old = record_of(2, 5, 1, "ticket/1");

    (void)state;
    see(compare, &there);
    audit_compare_since(compare, there.changed_at.value);
    assert_int_equal(judge(compare, &old, 60000), AUDIT_TOO_OLD);
    audit_compare_free(compare);
}

static void a_row_older_than_every_event_is_a_hole_of_a_topic_that_has_lost_nothing(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record there = record_of(1, 50000, 2, "ticket/1"), first = record_of(2, 5, 1, "ticket/1");

    (void)state;
    see(compare, &there);
    assert_int_equal(judge(compare, &first, 60000), AUDIT_HOLE);
    audit_compare_free(compare);
}

static void an_event_twice_is_a_double(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record record = record_of(1, 5, 1, "ticket/1");

    (void)state;
    assert_false(see(compare, &record));
    assert_true(see(compare, &record));
    assert_int_equal(audit_compare_counts(compare).doubles, 1);
    audit_compare_free(compare);
}

static void an_event_with_other_bytes_is_a_mismatch(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record published = record_of(1, 5, 1, "ticket/1"), row = published;

    (void)state;
    row.reason = SPAN_LITERAL("not_found");
    see(compare, &published);
    assert_int_equal(judge(compare, &row, 10), AUDIT_MISMATCH);
    assert_int_equal(audit_compare_counts(compare).mismatches, 1);
    audit_compare_free(compare);
}

static void an_event_without_a_row_is_unknown(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record record = record_of(1, 5, 1, "ticket/1");

    (void)state;
    see(compare, &record);
    audit_compare_end(compare);
    assert_int_equal(audit_compare_counts(compare).unknown, 1);
    audit_compare_free(compare);
}

static struct audit_record through(int32_t partition_id, int64_t offset, int64_t fence, const char *aggregate)
{
    static uint64_t number = 100;
    struct audit_record record = record_of(number++, offset, 1, aggregate);

    record.partition_id = int_of(partition_id);
    record.fence = int_of(fence);
    return record;
}

static void an_event_before_that_of_an_earlier_command_is_out_of_order(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record first = through(1, 5, 2, "ticket/1"), second = through(1, 6, 2, "ticket/1"),
                        third = through(1, 7, 2, "ticket/1");

    (void)state;
    see(compare, &second);
    see(compare, &first);
    see(compare, &third);
    assert_int_equal(judge(compare, &first, 10), AUDIT_FITS);
    assert_int_equal(judge(compare, &second, 10), AUDIT_REORDERED);
    assert_int_equal(judge(compare, &third, 10), AUDIT_FITS);
    assert_int_equal(audit_compare_counts(compare).reordered, 1);
    audit_compare_free(compare);
}

static void between_partitions_and_aggregates_there_is_no_order(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record one = through(1, 5, 2, "ticket/1"), other = through(2, 6, 2, "ticket/1"),
                        another = through(1, 7, 2, "ticket/2");

    (void)state;
    see(compare, &another);
    see(compare, &other);
    see(compare, &one);
    assert_int_equal(judge(compare, &one, 10), AUDIT_FITS);
    assert_int_equal(judge(compare, &other, 10), AUDIT_FITS);
    assert_int_equal(judge(compare, &another, 10), AUDIT_FITS);
    audit_compare_free(compare);
}

static void an_event_of_a_topic_that_was_created_again_is_after_those_of_the_old_one(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record old = through(1, 6, 1, "ticket/1"), new = through(1, 5, 3, "ticket/1");

    (void)state;
    see(compare, &old);
    see(compare, &new);
    assert_int_equal(judge(compare, &new, 10), AUDIT_FITS);
    assert_int_equal(judge(compare, &old, 10), AUDIT_FITS);
    audit_compare_free(compare);
}

static void order_is_kept_for_many_aggregates(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record records[4000];
    char names[4000][24];

    (void)state;
    for (int i = 0; i < 4000; i++)
    {
        snprintf(names[i], sizeof(names[i]), "ticket/%d", i / 2);
        records[i] = through(1, i, 1, names[i]);
    }
    for (int i = 3999; i >= 0; i--)
        see(compare, &records[i]);
    for (int i = 0; i < 4000; i++)
        assert_int_equal(judge(compare, &records[i], 10000), i % 2 ? AUDIT_REORDERED : AUDIT_FITS);
    assert_int_equal(audit_compare_counts(compare).reordered, 2000);
    audit_compare_free(compare);
}

/* The same aggregates in one pass and in seven: each event and row belongs to one of them, and what is wrong is counted
 * once. */
static void passes_find_together_what_one_finds(void **state)
{
    struct audit_compare *compare = audit_compare_new();
    struct audit_record records[700];
    char names[700][24];
    size_t most = 0;

    (void)state;
    for (int i = 0; i < 700; i++)
    {
        snprintf(names[i], sizeof(names[i]), "ticket/%d", i / 2);
        records[i] = through(1, i, 1, names[i]);
    }
    for (uint32_t of = 1; of <= 7; of += 6)
    {
        for (uint32_t number = 0; number < of; number++)
        {
            audit_compare_begin(compare, number, of);
            for (int i = 699; i >= 0; i--)
                if (i % 70 > 0 && audit_compare_takes(compare, records[i].aggregate))
                    see(compare, &records[i]);
            most = of == 7 && audit_compare_size(compare) > most ? audit_compare_size(compare) : most;
            for (int i = 0; i < 700; i++)
                if (i % 70 != 5 && audit_compare_takes(compare, records[i].aggregate))
                    judge(compare, &records[i], 10000);
            audit_compare_end(compare);
        }
        struct audit_compare_counts counts = audit_compare_counts(compare);
        assert_int_equal(counts.events, 690);
        assert_int_equal(counts.rows, 690);
        assert_int_equal(counts.holes, 10);
        assert_int_equal(counts.unknown, 10);
        assert_int_equal(counts.reordered, 350 - 10 - 10);
    }
    assert_in_range(most, 60, 140);
    audit_compare_free(compare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_events_that_are_the_same_fit),
        cmocka_unit_test(a_row_below_published_without_an_event_is_a_hole),
        cmocka_unit_test(a_row_at_published_or_above_is_not_a_hole_yet),
        cmocka_unit_test(a_row_older_than_what_the_topic_still_has_is_not_a_hole),
        cmocka_unit_test(a_row_older_than_every_event_is_a_hole_of_a_topic_that_has_lost_nothing),
        cmocka_unit_test(an_event_twice_is_a_double),
        cmocka_unit_test(an_event_with_other_bytes_is_a_mismatch),
        cmocka_unit_test(an_event_without_a_row_is_unknown),
        cmocka_unit_test(an_event_before_that_of_an_earlier_command_is_out_of_order),
        cmocka_unit_test(between_partitions_and_aggregates_there_is_no_order),
        cmocka_unit_test(an_event_of_a_topic_that_was_created_again_is_after_those_of_the_old_one),
        cmocka_unit_test(order_is_kept_for_many_aggregates),
        cmocka_unit_test(passes_find_together_what_one_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
