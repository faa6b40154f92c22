/* Claims: where the next look begins, and what is reported of copies. The statements themselves are tried on PostgreSQL
 * in test_claims_turns.c. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/parking/claims.h"
#include "tests/fixtures/result.h"

enum
{
    VALUES_MAX = 5,
    COLUMNS = 11,
    ROWS_MAX = 4,
};

static struct
{
    struct claims *claims;
    const char *fields[ROWS_MAX * COLUMNS]; /* of the next answer */
    int rows, columns;
    bool silent; /* no answer comes */
    char *sent[VALUES_MAX];
    int sent_count, asked;
    int partitions; /* of each topic */
    int counted;
} scene;

static PGresult *ask(void *owner, const char *sql, int count, const char *const *values)
{
    (void)sql;
    assert_ptr_equal(owner, &scene);
    scene.asked++;
    scene.sent_count = count;
    for (int i = 0; i < count; i++)
    {
        free(scene.sent[i]);
        scene.sent[i] = strdup(values[i]);
    }
    return scene.silent ? NULL : result_of(scene.rows, scene.columns, scene.fields);
}

static int count_partitions(void *owner, const char *topic)
{
    assert_ptr_equal(owner, &scene);
    scene.counted++;
    return strcmp(topic, "unknown") == 0 ? -1 : scene.partitions;
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.columns = COLUMNS;
    scene.claims = claims_new(ask, &scene);
    assert_non_null(scene.claims);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    claims_free(scene.claims);
    for (int i = 0; i < VALUES_MAX; i++)
        free(scene.sent[i]);
    return 0;
}

/* The answer to the next look: `copies` claimed commands of `sized` that may go, the last of `looked` rows at turn and
 * place. */
static void answer(int copies, const char *looked, const char *sized, const char *turn, const char *place)
{
    memset(scene.fields, 0, sizeof(scene.fields));
    assert_true(copies < ROWS_MAX);
    for (int i = 0; i < copies; i++)
        scene.fields[i * COLUMNS + CLAIM_KIND] = CLAIM_COPY;
    const char **last = &scene.fields[copies * COLUMNS];
    last[CLAIM_KIND] = "last";
    last[CLAIM_RETURNS] = looked;
    last[CLAIM_PARTITION] = sized;
    last[CLAIM_VALUE + 1] = place;
    last[CLAIM_VALUE + 2] = turn;
    scene.rows = copies + 1;
}

static int take(void)
{
    PGresult *rows = claims_take(scene.claims);
    int count = PQntuples(rows);
    PQclear(rows);
    return count;
}

static void assert_position(const char *turn, const char *place)
{
    assert_string_equal(scene.sent[0], turn);
    assert_string_equal(scene.sent[1], place);
}

/* --- looks ------------------------------------------------------------------------------------------------------- */

static void a_look_has_a_limit_of_rows_and_of_bytes(void **state)
{
    char limit[16], bytes[16];
    (void)state;

    answer(2, "2", "2", "2026-11-24 09:00:00+00", "7");
    assert_int_equal(take(), 3);
    snprintf(limit, sizeof(limit), "%d", CLAIMS_MAX);
    snprintf(bytes, sizeof(bytes), "%d", CLAIMS_BYTES);
    assert_position("-infinity", "0");
    assert_string_equal(scene.sent[2], "{}");
    assert_string_equal(scene.sent[3], limit);
    assert_string_equal(scene.sent[4], bytes);
}

static void a_full_look_goes_on_behind_its_last_row(void **state)
{
    (void)state;
    answer(1, "1000", "1", "2026-11-24 09:00:00+00", "7");
    take();
    take();
    assert_position("2026-11-24 09:00:00+00", "7");
}

static void a_look_that_saw_the_end_begins_again(void **state)
{
    (void)state;
    answer(1, "1000", "1", "2026-11-24 09:00:00+00", "7");
    take();
    answer(1, "999", "1", "2026-11-24 10:00:00+00", "9");
    take();
    take();
    assert_position("-infinity", "0");
}

static void rows_that_did_not_fit_in_the_bytes_are_looked_at_again(void **state)
{
    (void)state;
    answer(1, "1000", "1", "2026-11-24 09:00:00+00", "7");
    take();
    answer(1, "1000", "3", "2026-11-24 10:00:00+00", "9");
    take();
    answer(1, "3", "3", "2026-11-24 10:00:00+00", "9"); /* nor at the end */
    take();
    take();
    assert_position("2026-11-24 09:00:00+00", "7");
}

static void a_look_at_nothing_begins_again_and_one_without_an_answer_does_not(void **state)
{
    (void)state;
    answer(1, "1000", "1", "2026-11-24 09:00:00+00", "7");
    take();
    scene.silent = true;
    assert_null(claims_take(scene.claims));
    scene.silent = false;
    scene.rows = 0;
    take();
    assert_position("2026-11-24 09:00:00+00", "7");
    take();
    assert_position("-infinity", "0");
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

static void the_fates_of_copies_are_told_together_and_once(void **state)
{
    (void)state;
    scene.rows = 0;
    claims_report(scene.claims);
    assert_int_equal(scene.asked, 0);
    claims_add(scene.claims, "a", "1", 41, -1);
    claims_add(scene.claims, "b", "12", CLAIM_NOT_SENT, -1);
    claims_add(scene.claims, "c", "3", -1, 5); /* below the first offset of a partition that was empty */
    claims_report(scene.claims);
    assert_int_equal(scene.sent_count, 4);
    assert_string_equal(scene.sent[0], "{a,b,c}");
    assert_string_equal(scene.sent[1], "{1,12,3}");
    assert_string_equal(scene.sent[2], "{41,NULL,-1}");
    assert_string_equal(scene.sent[3], "{NULL,NULL,5}");
    claims_report(scene.claims);
    assert_int_equal(scene.asked, 1);
    claims_add(scene.claims, "d", "1", 0, 0);
    claims_report(scene.claims);
    assert_string_equal(scene.sent[0], "{d}");
    assert_string_equal(scene.sent[3], "{0}");
}

/* --- partitions that are gone ------------------------------------------------------------------------------------ */

static void find_gone(const char *const *fields, int rows)
{
    memcpy(scene.fields, fields, (size_t)rows * 3 * sizeof(*fields));
    scene.rows = rows;
    scene.columns = 3;
    claims_find_gone(scene.claims, count_partitions);
    scene.columns = COLUMNS;
    scene.rows = 0;
    take();
}

static void partitions_that_their_topics_no_longer_have_are_named_in_looks(void **state)
{
    const char *const unowned[] = {
        "11", "orders", "1", "12", "orders", "2", "13", "orders", "3", "14", "unknown", "9"
    };
    (void)state;

    scene.partitions = 2;
    find_gone(unowned, 4);
    assert_string_equal(scene.sent[2], "{12,13}");
    assert_int_equal(scene.counted, 2); /* once a topic */
    scene.partitions = 4;
    find_gone(unowned, 4);
    assert_string_equal(scene.sent[2], "{}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_look_has_a_limit_of_rows_and_of_bytes),
        TEST(a_full_look_goes_on_behind_its_last_row),
        TEST(a_look_that_saw_the_end_begins_again),
        TEST(rows_that_did_not_fit_in_the_bytes_are_looked_at_again),
        TEST(a_look_at_nothing_begins_again_and_one_without_an_answer_does_not),
        TEST(the_fates_of_copies_are_told_together_and_once),
        TEST(partitions_that_their_topics_no_longer_have_are_named_in_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
