/* Database fixture: a database on the scripted libpq of fakes/pq.h.
 *
 * Threads    the test's.
 * Failure    cmocka's asserts.
 */
#ifndef TESTS_UNIT_DATABASE_FIXTURE_H
#define TESTS_UNIT_DATABASE_FIXTURE_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "tests/fakes/pq.h"
#include "worker/postgres/pipeline.h"
#include "worker/settings/settings.h"

enum
{
    SECOND_US = 1000000,
};

static struct settings settings;
static struct database *database;

static inline int set_up(void **state)
{
    static char url[] = "postgresql://db.example/interlock";
    (void)state;
    settings.database.url = url;
    settings.database.connect_timeout_us = 5 * SECOND_US;
    settings.database.statement_timeout_us = 4 * SECOND_US;
    settings.database.lock_timeout_us = 2 * SECOND_US;
    settings.database.idle_in_transaction_timeout_us = 10 * SECOND_US;
    settings.protections.transaction = settings.protections.session_terms = true;
    database = database_new(&settings, "lane-0.0");
    return database ? 0 : -1;
}

static inline int tear_down(void **state)
{
    static const struct pq_row closing[] = { PQ_FINISHES, PQ_END };
    (void)state;
    if (database_is_connected(database))
        pq_play(closing);
    database_free(database);
    database = NULL;
    pq_end();
    return 0;
}

static inline void connect_well(void)
{
    static const struct pq_row rows[] = { PQ_STARTS, PQ_SETS_UP, PQ_END };
    pq_play(rows);
    assert_true(database_connect(database, NULL));
    assert_true(database_is_connected(database));
}

static inline void assert_failure(enum failure_class class, const char *sqlstate)
{
    assert_int_equal(database_failure(database)->class, class);
    assert_string_equal(database_failure(database)->sqlstate, sqlstate);
}

static inline struct statement *statement_of(const char *sql, int parameters)
{
    const uint64_t key[3] = { (uint64_t)(uintptr_t)sql, 0, 0 };
    struct statement *statement = database_statement(database, key);
    if (statement == NULL)
        statement = database_add_statement(database, key, strdup(sql), parameters);
    assert_non_null(statement);
    return statement;
}

static inline bool send(const char *sql)
{
    return database_send(database, statement_of(sql, 0), NULL, 0);
}

#define DATABASE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
