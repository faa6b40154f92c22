#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/postgres/row_holders.h"

static bool writes(const char *key, struct buffer *sql)
{
    buffer_clear(sql);
    return row_holders_write_sql(span_of(key), sql);
}

static void a_root_and_its_children_are_looked_at(void **state)
{
    (void)state;
    struct buffer sql = BUFFER_EMPTY;

    assert_true(writes("ticket/42", &sql));
    assert_non_null(strstr(sql.at, "FROM interlock.ticket t WHERE id = '42'"));
    assert_true(writes("jobneed/7", &sql));
    assert_non_null(strstr(sql.at, "FROM interlock.jobneed t WHERE "));
    assert_non_null(strstr(sql.at, "parent_id = '7'"));
    assert_true(writes("attendance/0c5c7fd0-0000-4000-8000-000000000000", &sql));
    assert_non_null(strstr(sql.at, "= '0c5c7fd0-0000-4000-8000-000000000000'"));
    buffer_done(&sql);
}

static void a_key_that_names_no_aggregate_is_not_put_into_sql(void **state)
{
    (void)state;
    static const char *const keys[] = { "",         "ticket",    "ticket/",  "ticket/4' OR true",
                                        "nobody/4", "#00000001", "ticket/4 " };
    struct buffer sql = BUFFER_EMPTY;

    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        assert_false(writes(keys[i], &sql));
    buffer_done(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_and_its_children_are_looked_at),
        cmocka_unit_test(a_key_that_names_no_aggregate_is_not_put_into_sql),
    };
    return cmocka_run_group_tests_name("row_holders", tests, NULL, NULL);
}
