/* wrap: PQexec PQexecParams PQcmdStatus PQresultErrorField PQerrorMessage */
/* Migrate: order, checksums, one transaction each, and what every failure leaves behind. PostgreSQL is a list of what
 * is applied, and a record of what was sent. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/admin/migrate.h"

enum
{
    ROWS_MAX = 32,
    SENT_MAX = 256,
    OPERATORS = 19, /* the migration that makes the tables of actions */
};

struct applied
{
    int number;
    char name[64];
    char checksum[MIGRATE_CHECKSUM_SIZE];
};

/* The fake database, as of the last COMMIT and inside the open transaction. */
static struct applied committed[ROWS_MAX], present[ROWS_MAX];
static int committed_count, present_count;
static bool has_table, in_transaction;

static const char *sent[SENT_MAX];
static int sent_count;

/* The statement that fails, how often it may pass before, and how it fails. */
static const char *fail_at, *fail_sqlstate, *fail_position;
static int fail_after;
static const char *commit_tag;
static char reason[64];
static int actions; /* of anna */

__typeof__(PQexec) __wrap_PQexec;
__typeof__(PQexecParams) __wrap_PQexecParams;
__typeof__(PQcmdStatus) __wrap_PQcmdStatus;
__typeof__(PQresultErrorField) __wrap_PQresultErrorField;
__typeof__(PQerrorMessage) __wrap_PQerrorMessage;

static char *text_of(const char *text)
{
    static char copy[160];
    snprintf(copy, sizeof(copy), "%s", text);
    return copy;
}

char *__wrap_PQcmdStatus(PGresult *result)
{
    (void)result;
    return text_of(commit_tag);
}

char *__wrap_PQresultErrorField(const PGresult *result, int field)
{
    static char position[16], message[] = "it does not like this", sqlstate[8];
    (void)result;
    snprintf(position, sizeof(position), "%s", fail_position ? fail_position : "");
    snprintf(sqlstate, sizeof(sqlstate), "%s", fail_sqlstate ? fail_sqlstate : "");
    if (!fail_sqlstate)
        return NULL;
    return field == PG_DIAG_SQLSTATE             ? sqlstate
           : field == PG_DIAG_MESSAGE_PRIMARY    ? message
           : field == PG_DIAG_STATEMENT_POSITION ? (fail_position ? position : NULL)
                                                 : NULL;
}

char *__wrap_PQerrorMessage(const PGconn *connection)
{
    (void)connection;
    return text_of("server closed the connection unexpectedly\n\tand more\n");
}

static PGresult *one_value(const char *value)
{
    static char name[] = "c";
    PGresAttDesc column = { .name = name };
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PQsetResultAttrs(result, 1, &column);
    PQsetvalue(result, 0, 0, text_of(value), (int)strlen(value));
    return result;
}

static PGresult *applied_rows(void)
{
    static char name[] = "c";
    PGresAttDesc columns[4] = { { .name = name }, { .name = name }, { .name = name }, { .name = name } };
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PQsetResultAttrs(result, 4, columns);
    for (int i = 0; i < present_count; i++)
    {
        char number[16];
        snprintf(number, sizeof(number), "%d", present[i].number);
        PQsetvalue(result, i, 0, number, (int)strlen(number));
        PQsetvalue(result, i, 1, present[i].name, (int)strlen(present[i].name));
        PQsetvalue(result, i, 2, present[i].checksum, (int)strlen(present[i].checksum));
        PQsetvalue(result, i, 3, text_of("2026-11-24T09:00:00Z"), 20);
    }
    return result;
}

static bool begins(const char *sql, const char *with)
{
    return strncmp(sql, with, strlen(with)) == 0;
}

static void end_transaction(bool commit)
{
    memcpy(commit ? committed : present, commit ? present : committed, sizeof(present));
    *(commit ? &committed_count : &present_count) = commit ? present_count : committed_count;
    in_transaction = false;
}

static void change_rows(const char *sql, const char *const *values)
{
    if (!values)
        return;
    if (begins(sql, "INSERT INTO interlock.schema_migration "))
    {
        struct applied *row = &present[present_count++];
        row->number = atoi(values[0]);
        snprintf(row->name, sizeof(row->name), "%s", values[1]);
        snprintf(row->checksum, sizeof(row->checksum), "%s", values[2]);
    }
    else if (begins(sql, "DELETE FROM interlock.schema_migration "))
    {
        assert_int_equal(present[present_count - 1].number, atoi(values[0]));
        present_count--;
    }
    else if (begins(sql, "INSERT INTO interlock.schema_migration_log"))
        snprintf(reason, sizeof(reason), "%s", values[3] ? values[3] : "");
}

static PGresult *answer(const char *sql, const char *const *values)
{
    assert_in_range(sent_count, 0, SENT_MAX - 1);
    sent[sent_count++] = sql;
    if (fail_at && strstr(sql, fail_at) && fail_after-- == 0)
        return PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
    if (begins(sql, "SELECT to_regclass") && strstr(sql, "operator_outbox"))
        return one_value(present_count >= OPERATORS ? "t" : "f");
    if (begins(sql, "INSERT INTO interlock.operator_action"))
    {
        actions += strcmp(values[1], "anna") == 0;
        return one_value("7");
    }
    if (begins(sql, "SELECT to_regclass"))
        return one_value(has_table ? "t" : "f");
    if (begins(sql, "SELECT to_regnamespace"))
        return one_value(has_table ? "t" : "f");
    if (begins(sql, "SELECT number"))
        return applied_rows();
    if (begins(sql, "SELECT pg_catalog.pg_advisory_xact_lock"))
    {
        assert_true(in_transaction);
        return one_value("");
    }
    if (begins(sql, "BEGIN"))
    {
        assert_false(in_transaction);
        in_transaction = true;
    }
    else if (begins(sql, "ROLLBACK") || begins(sql, "COMMIT"))
        end_transaction(begins(sql, "COMMIT") && strcmp(commit_tag, "COMMIT") == 0);
    else
        assert_true(in_transaction);
    has_table = has_table || begins(sql, "CREATE TABLE IF NOT EXISTS interlock.schema_migration");
    change_rows(sql, values);
    return PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
}

PGresult *__wrap_PQexec(PGconn *connection, const char *sql)
{
    (void)connection;
    return answer(sql, NULL);
}

PGresult *__wrap_PQexecParams(PGconn *connection, const char *sql, int count, const Oid *types,
                              const char *const *values, const int *sizes, const int *formats, int format)
{
    (void)connection;
    (void)count;
    (void)types;
    (void)sizes;
    (void)formats;
    (void)format;
    return answer(sql, values);
}

/* --- the tests' own ---------------------------------------------------------------------------------------------- */

static PGconn *connection; /* never looked into */
static struct buffer report, fault;
static const struct migrate_by by = { "anna", NULL };

static int start(void **state)
{
    (void)state;
    committed_count = present_count = sent_count = fail_after = actions = 0;
    has_table = in_transaction = false;
    fail_at = fail_position = NULL;
    fail_sqlstate = "42601";
    commit_tag = "COMMIT";
    reason[0] = '\0';
    report = fault = BUFFER_EMPTY;
    return 0;
}

static int end(void **state)
{
    (void)state;
    buffer_done(&report);
    buffer_done(&fault);
    return in_transaction; /* nothing may be left open */
}

static int newest(void)
{
    int count = 0;
    while (migrations[count].name)
        count++;
    return count;
}

static void has_applied(int count)
{
    has_table = true;
    for (int i = 0; i < count; i++)
    {
        present[i].number = i + 1;
        snprintf(present[i].name, sizeof(present[i].name), "%s", i < newest() ? migrations[i].name : "later");
        if (i < newest())
            migrate_checksum(&migrations[i], present[i].checksum);
    }
    present_count = count;
    end_transaction(true);
}

static void says(struct buffer *buffer, const char *part)
{
    buffer_add_byte(buffer, '\0');
    if (!strstr(buffer->at, part))
        fail_msg("no \"%s\" in \"%s\"", part, buffer->at);
    buffer->size--;
}

static int times_sent(const unsigned char *script)
{
    int times = 0;
    for (int i = 0; i < sent_count; i++)
        times += sent[i] == (const char *)script;
    return times;
}

static int place_of(const unsigned char *script)
{
    for (int i = 0; i < sent_count; i++)
        if (sent[i] == (const char *)script)
            return i;
    return -1;
}

static void migrations_are_numbered_from_one_without_gaps_and_have_a_way_back(void **state)
{
    (void)state;
    assert_in_range(newest(), 1, MIGRATIONS_MAX);
    for (int i = 0; migrations[i].name; i++)
    {
        assert_int_equal(migrations[i].number, i + 1);
        assert_true(migrations[i].up[0] != '\0' && migrations[i].down[0] != '\0');
    }
}

static void embedded_texts_are_the_files_byte_for_byte(void **state)
{
    (void)state;
    for (const struct migration *migration = migrations; migration->name; migration++)
    {
        char name[160];
        snprintf(name, sizeof(name), "schema/%04d_%s.up.sql", migration->number, migration->name);
        FILE *file = fopen(name, "r");
        assert_non_null(file);
        size_t expected = strlen((const char *)migration->up);
        char *text = malloc(expected + 2);
        size_t size = fread(text, 1, expected + 1, file);
        fclose(file);
        assert_int_equal(size, expected);
        assert_memory_equal(text, migration->up, size);
        free(text);
    }
}

static void a_checksum_is_the_sha256_of_the_text_in_hexadecimal(void **state)
{
    (void)state;
    static const unsigned char text[] = "abc";
    const struct migration migration = { 1, "x", text, text };
    char checksum[MIGRATE_CHECKSUM_SIZE];
    migrate_checksum(&migration, checksum);
    assert_string_equal(checksum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_down_script_may_be_corrected_after_its_migration_was_applied(void **state)
{
    (void)state;
    static const unsigned char up[] = "abc", down[] = "d", corrected[] = "e";
    const struct migration before = { 1, "x", up, down }, after = { 1, "x", up, corrected };
    char first[MIGRATE_CHECKSUM_SIZE], second[MIGRATE_CHECKSUM_SIZE];
    migrate_checksum(&before, first);
    migrate_checksum(&after, second);
    assert_string_equal(first, second);
}

static void up_applies_everything_in_order_each_in_its_transaction(void **state)
{
    (void)state;
    assert_true(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    assert_int_equal(committed_count, newest());
    for (int i = 0; i < committed_count; i++)
    {
        char checksum[MIGRATE_CHECKSUM_SIZE];
        migrate_checksum(&migrations[i], checksum);
        assert_int_equal(committed[i].number, i + 1);
        assert_string_equal(committed[i].checksum, checksum);
        assert_int_equal(times_sent(migrations[i].up), 1);
        assert_true(i == 0 || place_of(migrations[i - 1].up) < place_of(migrations[i].up));
    }
    says(&report, "0001_engine: applied\n");
    assert_int_equal(actions, newest() - OPERATORS + 1);
}

static void a_step_whose_action_cannot_be_written_has_no_effect(void **state)
{
    static const char *const statements[] = { "INSERT INTO interlock.operator_action",
                                              "INSERT INTO interlock.operator_item" };

    for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
    {
        start(state);
        has_applied(OPERATORS - 1);
        fail_at = statements[i];
        assert_false(migrate_up(connection, OPERATORS, &by, &report, &fault));
        assert_int_equal(committed_count, OPERATORS - 1);
        assert_int_equal(end(state), 0);
    }
    start(state);
}

static void up_stops_at_the_number_it_is_given(void **state)
{
    (void)state;
    assert_true(migrate_up(connection, 2, &by, &report, &fault));
    assert_int_equal(committed_count, 2);
}

static void up_with_nothing_pending_runs_no_script(void **state)
{
    (void)state;
    has_applied(newest());
    assert_true(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    assert_int_equal(report.size, 0);
    for (int i = 0; migrations[i].name; i++)
        assert_int_equal(times_sent(migrations[i].up), 0);
}

static void a_script_that_fails_has_no_effect_and_is_named_with_its_line(void **state)
{
    (void)state;
    has_applied(1);
    fail_at = (const char *)migrations[1].up;
    fail_position = "60";
    assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    assert_int_equal(committed_count, 1);
    assert_string_equal(sent[sent_count - 1], "ROLLBACK");
    char expected[96];
    int line = 1;
    for (int i = 0; i < 59; i++)
        line += migrations[1].up[i] == '\n';
    snprintf(expected, sizeof(expected), "0002_%s.up.sql:%d: it does not like this (SQLSTATE 42601)",
             migrations[1].name, line);
    says(&fault, expected);
}

static void migrations_before_a_failed_one_stay(void **state)
{
    (void)state;
    fail_at = (const char *)migrations[2].up;
    assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    assert_int_equal(committed_count, 2);
    says(&report, "applied");
}

static void a_commit_that_answers_rollback_is_a_failure(void **state)
{
    (void)state;
    commit_tag = "ROLLBACK";
    assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    assert_int_equal(committed_count, 0);
    assert_int_equal(report.size, 0);
    says(&fault, "answered COMMIT with ROLLBACK");
}

static void a_lost_session_is_said_in_one_line(void **state)
{
    (void)state;
    fail_at = "BEGIN";
    fail_sqlstate = NULL;
    assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    says(&fault, "the session was lost: server closed the connection unexpectedly");
    assert_null(memchr(fault.at, '\n', fault.size));
}

static void every_statement_that_fails_fails_the_migration(void **state)
{
    static const char *const statements[] = { "BEGIN",
                                              "pg_advisory_xact_lock",
                                              "to_regclass",
                                              "SELECT number",
                                              "to_regnamespace",
                                              "CREATE SCHEMA",
                                              "CREATE TABLE IF NOT",
                                              "INSERT INTO interlock.schema_migration ",
                                              "INSERT INTO interlock.schema_migration_log",
                                              "COMMIT" };
    for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
    {
        start(state);
        /* The list is read only where there is one. */
        if (strcmp(statements[i], "SELECT number") == 0)
            has_applied(0);
        fail_at = statements[i];
        assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
        assert_int_equal(committed_count, 0);
        assert_true(fault.size > 0);
        assert_int_equal(end(state), 0);
    }
    start(state);
}

static void a_migration_whose_text_changed_is_refused_by_name(void **state)
{
    (void)state;
    has_applied(2);
    committed[1].checksum[0] = '-';
    present[1].checksum[0] = '-';
    assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    says(&fault, "migration 0002_");
    says(&fault, "changed after it was applied");
    assert_int_equal(times_sent(migrations[2].up), 0);
    buffer_clear(&fault);
    assert_false(migrate_down(connection, 0, &by, &report, &fault));
    says(&fault, "migration 0002_");
    assert_int_equal(committed_count, 2);
}

static void a_hole_in_what_is_applied_is_refused(void **state)
{
    (void)state;
    has_applied(2);
    present[0] = present[1];
    present_count = 1;
    end_transaction(true);
    assert_false(migrate_up(connection, MIGRATE_TO_NEWEST, &by, &report, &fault));
    says(&fault, "migration 0001_engine is not applied, but later ones are");
}

static void down_undoes_the_newest_first_and_keeps_the_reason(void **state)
{
    (void)state;
    has_applied(newest());
    assert_true(migrate_down(connection, 1, &(struct migrate_by){ "anna", "a try" }, &report, &fault));
    assert_int_equal(committed_count, 1);
    assert_string_equal(reason, "a try");
    for (int i = 2; i < newest(); i++)
        assert_true(place_of(migrations[i].down) < place_of(migrations[i - 1].down));
    assert_int_equal(times_sent(migrations[0].down), 0);
}

static void down_to_where_it_is_changes_nothing(void **state)
{
    (void)state;
    has_applied(2);
    assert_true(migrate_down(connection, 2, &by, &report, &fault));
    assert_int_equal(committed_count, 2);
    assert_int_equal(report.size, 0);
}

static void migrations_of_a_newer_program_are_not_undone(void **state)
{
    (void)state;
    has_applied(newest() + 1);
    assert_false(migrate_down(connection, 0, &by, &report, &fault));
    says(&fault, "later is not known to this program");
    assert_int_equal(committed_count, newest() + 1);
}

static void a_status_names_every_state(void **state)
{
    (void)state;
    struct migrate_status status;
    assert_true(migrate_read_status(connection, &status, &fault));
    assert_int_equal(status.count, newest());
    assert_int_equal(status.applied, 0);
    assert_false(migrate_is_current(&status, false, &fault));
    says(&fault, "0001_engine is not applied: run `interlock migrate up`");
    has_applied(newest() + 1);
    assert_true(migrate_read_status(connection, &status, &fault));
    assert_int_equal(status.count, newest() + 1);
    assert_string_equal(migrate_state_name(status.rows[0].state), "applied");
    assert_string_equal(migrate_state_name(status.rows[newest()].state), "unknown");
    buffer_clear(&fault);
    assert_true(migrate_is_current(&status, true, &fault));
    assert_false(migrate_is_current(&status, false, &fault));
    says(&fault, "the schema is newer");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(migrations_are_numbered_from_one_without_gaps_and_have_a_way_back),
        TEST(embedded_texts_are_the_files_byte_for_byte),
        TEST(a_checksum_is_the_sha256_of_the_text_in_hexadecimal),
        TEST(a_down_script_may_be_corrected_after_its_migration_was_applied),
        TEST(up_applies_everything_in_order_each_in_its_transaction),
        TEST(up_stops_at_the_number_it_is_given),
        TEST(a_step_whose_action_cannot_be_written_has_no_effect),
        TEST(up_with_nothing_pending_runs_no_script),
        TEST(a_script_that_fails_has_no_effect_and_is_named_with_its_line),
        TEST(migrations_before_a_failed_one_stay),
        TEST(a_commit_that_answers_rollback_is_a_failure),
        TEST(a_lost_session_is_said_in_one_line),
        TEST(every_statement_that_fails_fails_the_migration),
        TEST(a_migration_whose_text_changed_is_refused_by_name),
        TEST(a_hole_in_what_is_applied_is_refused),
        TEST(down_undoes_the_newest_first_and_keeps_the_reason),
        TEST(down_to_where_it_is_changes_nothing),
        TEST(migrations_of_a_newer_program_are_not_undone),
        TEST(a_status_names_every_state),
    };
    return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
