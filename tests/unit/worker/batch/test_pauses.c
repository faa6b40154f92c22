#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/batch/pauses.h"
#include "worker/postgres/array.h"
#include "workflows/parameters/command.h"

static const int64_t EPOCH_US = 946684800000000; /* 2000-01-01, where PostgreSQL's times begin */
static const int64_t NOW_US = 1796000000000000;

struct told
{
    int32_t id;
    bool keeps_order;
    int64_t ends_us; /* 0: when it is resumed */
    const char *scope, *target;
};

static void set_number(PGresult *rows, int row, int column, uint64_t value, int size)
{
    char bytes[8];

    for (int i = 0; i < size; i++)
        bytes[i] = (char)(value >> 8 * (size - 1 - i));
    PQsetvalue(rows, row, column, bytes, size);
}

static void set_text(PGresult *rows, int row, int column, const char *text)
{
    char copy[64];

    PQsetvalue(rows, row, column, memcpy(copy, text, strlen(text)), (int)strlen(text));
}

/* As PostgreSQL answers pauses_sql. */
static PGresult *answer(const struct told *told, int count)
{
    static char name[] = "column";
    PGresAttDesc columns[5] = {
        { .name = name }, { .name = name }, { .name = name }, { .name = name }, { .name = name }
    };
    PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    PQsetResultAttrs(rows, 5, columns);
    for (int i = 0; i < count; i++)
    {
        set_number(rows, i, 0, (uint64_t)told[i].id, 4);
        set_number(rows, i, 1, told[i].keeps_order, 1);
        if (told[i].ends_us)
            set_number(rows, i, 2, (uint64_t)(told[i].ends_us - EPOCH_US), 8);
        else
            PQsetvalue(rows, i, 2, NULL, -1);
        set_text(rows, i, 3, told[i].scope);
        set_text(rows, i, 4, told[i].target);
    }
    return rows;
}

static struct pauses taken(const struct told *told, int count)
{
    struct pauses pauses = { .epoch = 0 };
    PGresult *rows = answer(told, count);

    assert_true(pauses_take(&pauses, 7, rows));
    PQclear(rows);
    assert_int_equal(pauses.epoch, 7);
    assert_int_equal(pauses.count, count);
    return pauses;
}

static struct command command(const char *type, const char *tenant, int64_t ticket)
{
    struct command command = { .type = span_of(type), .tenant = tenant ? span_of(tenant) : SPAN_NULL };

    if (ticket)
        command.aggregate = (struct aggregate){ .kind = AGGREGATE_TICKET, .id = id_of(ticket) };
    return command;
}

static int found(const struct pauses *pauses, const struct command *command, int64_t now_us)
{
    const struct pause *pause = pauses_find(pauses, command, now_us);
    return pause ? pause->id : 0;
}

static void without_a_pause_nothing_waits(void **state)
{
    struct pauses pauses = taken(NULL, 0);
    struct command any = command("ticket.escalate", "acme", 42);
    (void)state;

    assert_null(pauses_find(&pauses, &any, NOW_US));
    pauses_done(&pauses);
}

static void each_scope_matches_its_own_text_and_all_of_it(void **state)
{
    const struct told told[] = { { 1, true, 0, "type", "ticket.escalate" },
                                 { 2, true, 0, "tenant", "acme" },
                                 { 3, true, 0, "key", "ticket/42" } };
    struct pauses pauses = taken(told, 3);
    struct command by_type = command("ticket.escalate", NULL, 7), by_tenant = command("ticket.create", "acme", 7),
                   by_key = command("ticket.create", "other", 42), by_none = command("ticket.create", "other", 4),
                   longer = command("ticket.escalate2", "acme2", 421), crossed = command("acme", "ticket/42", 7);
    (void)state;

    assert_int_equal(found(&pauses, &by_type, NOW_US), 1);
    assert_int_equal(found(&pauses, &by_tenant, NOW_US), 2);
    assert_int_equal(found(&pauses, &by_key, NOW_US), 3);
    assert_int_equal(found(&pauses, &by_none, NOW_US), 0);
    assert_int_equal(found(&pauses, &longer, NOW_US), 0);
    assert_int_equal(found(&pauses, &crossed, NOW_US), 0);
    pauses_done(&pauses);
}

static void a_command_without_tenant_or_aggregate_matches_no_pause_of_them(void **state)
{
    const struct told told[] = { { 1, true, 0, "tenant", "" }, { 2, true, 0, "key", "" } };
    struct pauses pauses = taken(told, 2);
    struct command bare = command("ticket.create", NULL, 0);
    (void)state;

    assert_int_equal(found(&pauses, &bare, NOW_US), 0);
    pauses_done(&pauses);
}

static void a_pause_ends_by_itself(void **state)
{
    const struct told told[] = { { 1, true, NOW_US, "type", "ticket.escalate" } };
    struct pauses pauses = taken(told, 1);
    struct command paused = command("ticket.escalate", NULL, 7);
    (void)state;

    assert_int_equal(found(&pauses, &paused, NOW_US - 1), 1);
    assert_int_equal(found(&pauses, &paused, NOW_US), 0);
    pauses_done(&pauses);
}

/* In the order of the answer: the one that keeps order first. */
static void the_first_that_is_in_force_counts(void **state)
{
    const struct told told[] = { { 5, true, NOW_US, "type", "ticket.escalate" },
                                 { 3, true, 0, "key", "ticket/7" },
                                 { 1, false, 0, "type", "ticket.escalate" } };
    struct pauses pauses = taken(told, 3);
    struct command paused = command("ticket.escalate", NULL, 7);
    (void)state;

    assert_int_equal(found(&pauses, &paused, NOW_US - 1), 5);
    assert_int_equal(found(&pauses, &paused, NOW_US), 3);
    assert_true(pauses_find(&pauses, &paused, NOW_US)->keeps_order);
    paused = command("ticket.escalate", NULL, 8);
    assert_int_equal(found(&pauses, &paused, NOW_US), 1);
    assert_false(pauses_find(&pauses, &paused, NOW_US)->keeps_order);
    pauses_done(&pauses);
}

static void a_new_answer_replaces_the_former_one(void **state)
{
    const struct told told[] = { { 1, true, 0, "type", "ticket.escalate" } };
    struct pauses pauses = taken(told, 1);
    struct command paused = command("ticket.escalate", NULL, 7);
    PGresult *none = answer(NULL, 0);
    (void)state;

    assert_true(pauses_take(&pauses, 8, none));
    PQclear(none);
    assert_int_equal(pauses.epoch, 8);
    assert_int_equal(found(&pauses, &paused, NOW_US), 0);
    pauses_done(&pauses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_pause_nothing_waits),
        cmocka_unit_test(each_scope_matches_its_own_text_and_all_of_it),
        cmocka_unit_test(a_command_without_tenant_or_aggregate_matches_no_pause_of_them),
        cmocka_unit_test(a_pause_ends_by_itself),
        cmocka_unit_test(the_first_that_is_in_force_counts),
        cmocka_unit_test(a_new_answer_replaces_the_former_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
