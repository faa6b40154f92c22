#include "tests/fixtures/core.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
    DATA_SIZE = 16384,
};

/* --- what is said ------------------------------------------------------------------------------------------------ */

/* "[0.5,1.5,...]": `count` numbers, the first at `first`; `odd` in the place of element `at`. */
static void print_vector(struct buffer *into, int count, double first, int at, const char *odd)
{
    char number[64];
    for (int i = 0; i < count; i++)
    {
        snprintf(number, sizeof(number), "%c%.17g", i ? ',' : '[', first + i);
        buffer_add_text(into, odd && i == at ? (i ? "," : "[") : number);
        if (odd && i == at)
            buffer_add_text(into, odd);
    }
    buffer_add_text(into, count ? "]" : "[]");
}

/* The data of an addition; `id` 0: to be drawn. The vector begins with the id. */
static const char *addition(int user, int model, int id, const char *more)
{
    static char data[64][DATA_SIZE];
    static int next;
    char *into = data[next++ % 64];
    struct buffer vector = BUFFER_EMPTY;
    char named[64] = "";
    if (id)
        snprintf(named, sizeof(named), "\"embedding_id\":%d,", id);
    print_vector(&vector, VECTOR_LENGTH, id, -1, NULL);
    buffer_add_byte(&vector, '\0');
    snprintf(into, DATA_SIZE, "{\"user_id\":%d,\"model_id\":%d,%s\"vector\":%s,\"confidence\":0.75%s}", user, model,
             named, vector.at, more);
    buffer_done(&vector);
    return into;
}

static const char *removal(int user, int model, int id)
{
    static char data[64][128];
    static int next;
    char *into = data[next++ % 64];
    snprintf(into, 128, "{\"user_id\":%d,\"model_id\":%d,\"embedding_id\":%d}", user, model, id);
    return into;
}

static struct answer add(struct core *core, int user, int model, int id, const char *more)
{
    return core_run(core, "face.add_embedding", addition(user, model, id, more));
}

static struct answer take(struct core *core, int user, int model, int id)
{
    return core_run(core, "face.remove_embedding", removal(user, model, id));
}

#define VALIDATED ",\"validated\":true"
#define PRIMARY ",\"is_primary\":true"

/* --- what is there ----------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    core_set_up(state);
    for (int id = 1; id <= 2; id++)
        core_put(*state, &entity_face_model_counter,
                 &(struct face_counter_row){
                     .id = int_of(id), .verification_count = int_of(0), .successful_verifications = int_of(0) });
    return 0;
}

static const struct face_embedding_row *embedding(const struct core *core, int64_t id)
{
    return core_find_id(core, &entity_face_embedding, id_of(id));
}

static int64_t version(const struct core *core, int64_t user)
{
    const struct face_user_row *row = core_find_id(core, &entity_face_user, id_of(user));
    return row ? row->version.value : 0;
}

/* The primary of the user and model, 0 when there is none; that there are not two is asserted. */
static int64_t primary(const struct core *core, int64_t user, int64_t model)
{
    const struct table *table = &core->tables[PLACE_FACE_EMBEDDING];
    int64_t found = 0;
    for (size_t i = 0; i < table->count; i++)
    {
        const struct face_embedding_row *row = table->rows[i];
        if (row->user_id.value != user || row->model_id.value != model || !row->is_primary)
            continue;
        assert_int_equal(found, 0);
        found = row->id.value;
    }
    return found;
}

/* --- additions --------------------------------------------------------------------------------------------------- */

static void the_first_of_a_user_and_model_becomes_primary_and_makes_the_user(void **state)
{
    struct core *core = *state;
    struct answer answer = add(core, 3, 1, 10, ",\"is_primary\":false");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CREATION);
    assert_int_equal(answer.aggregate.kind, AGGREGATE_FACE_USER);
    assert_int_equal(answer.aggregate.id.low, 3);
    assert_int_equal(answer.version_from, 0);
    assert_int_equal(answer.version_to, 1);
    assert_string_equal(answer.metadata, "{\"embedding_id\":10,\"model_id\":1,\"is_primary\":true}");
    const struct face_embedding_row *row = embedding(core, 10);
    assert_int_equal(row->user_id.value, 3);
    assert_int_equal(row->model_id.value, 1);
    assert_true(row->is_primary && !row->validated && row->confidence.set && row->confidence.value == 0.75);
    for (int i = 0; i < VECTOR_LENGTH; i++)
        assert_true(row->vector[i] == (float)(10 + i));
    assert_int_equal(version(core, 3), 1);
}

static void further_ones_are_not_primary_and_models_and_users_are_apart(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 10, ""));
    struct answer answer = add(core, 3, 1, 11, VALIDATED);
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"embedding_id\":11,\"model_id\":1,\"is_primary\":false}");
    assert_true(embedding(core, 11)->validated);
    assert_applied(add(core, 3, 2, 12, ""));
    assert_applied(add(core, 4, 1, 13, ""));
    assert_int_equal(primary(core, 3, 1), 10);
    assert_int_equal(primary(core, 3, 2), 12);
    assert_int_equal(primary(core, 4, 1), 13);
    assert_int_equal(version(core, 3), 3);
    assert_int_equal(version(core, 4), 1);
}

static void one_that_asks_for_it_takes_the_place_of_the_primary(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 10, ""));
    struct answer answer = add(core, 3, 1, 11, PRIMARY);
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"embedding_id\":11,\"model_id\":1,\"is_primary\":true,\"demoted\":10}");
    assert_int_equal(primary(core, 3, 1), 11);
    assert_non_null(embedding(core, 10)->vector); /* an update leaves alone what was never read */
}

static void an_id_is_drawn_where_none_is_given(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 0, ""));
    assert_applied(add(core, 3, 1, 0, ""));
    assert_non_null(embedding(core, CORE_FIRST_DRAWN));
    assert_non_null(embedding(core, CORE_FIRST_DRAWN + 1));
    assert_int_equal(primary(core, 3, 1), CORE_FIRST_DRAWN);
}

static void an_embedding_that_cannot_be_added_leaves_no_trace(void **state)
{
    struct core *core = *state;
    struct answer answer = add(core, 3, 9, 10, "");
    assert_refused(answer, REASON_NOT_FOUND);
    assert_string_equal(answer.metadata, "{\"model_id\":9}");
    assert_int_equal(version(core, 3), 0);
    assert_applied(add(core, 3, 1, 10, ""));
    static const int users[] = { 3, 4 };
    for (int i = 0; i < 2; i++) /* an id belongs to one user, and is used once */
    {
        answer = add(core, users[i], 2, 10, "");
        assert_refused(answer, REASON_ALREADY_EXISTS);
        assert_string_equal(answer.metadata, "{\"embedding_id\":10}");
    }
    assert_int_equal(version(core, 3), 1);
    assert_int_equal(version(core, 4), 0);
    assert_int_equal(core->tables[PLACE_FACE_EMBEDDING].count, 1);
}

static void a_user_has_a_limit_of_embeddings(void **state)
{
    struct core *core = *state;
    for (int i = 1; i <= 5000; i++)
    {
        struct face_embedding_row row = { .id = int_of(i), .user_id = int_of(3), .model_id = int_of(2) };
        struct table *table = &core->tables[PLACE_FACE_EMBEDDING];
        if (table->count == table->capacity)
        {
            table->capacity += 5000;
            table->rows = realloc(table->rows, table->capacity * sizeof(void *));
        }
        table->rows[table->count] = malloc(sizeof(row));
        memcpy(table->rows[table->count++], &row, sizeof(row));
    }
    struct answer answer = add(core, 3, 1, 6000, "");
    assert_refused(answer, REASON_TOO_LARGE);
    assert_string_equal(answer.metadata, "{\"limit\":5000}");
    assert_applied(take(core, 3, 2, 7));
    assert_applied(add(core, 3, 1, 6000, ""));
}

/* --- removals ---------------------------------------------------------------------------------------------------- */

static void removing_the_primary_promotes_the_oldest_validated_of_its_model(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 20, ""));
    assert_applied(add(core, 3, 1, 11, ""));
    assert_applied(add(core, 3, 2, 12, VALIDATED));
    assert_applied(add(core, 3, 1, 14, VALIDATED));
    assert_applied(add(core, 3, 1, 13, VALIDATED));
    assert_applied(add(core, 4, 1, 9, VALIDATED));
    struct answer answer = take(core, 3, 1, 20);
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_DELETION);
    assert_int_equal(answer.version_from, 5);
    assert_int_equal(answer.version_to, 6);
    assert_string_equal(answer.metadata, "{\"embedding_id\":20,\"model_id\":1,\"promoted\":14}"); /* made before 13 */
    assert_null(embedding(core, 20));
    assert_int_equal(primary(core, 3, 1), 14);
    assert_int_equal(primary(core, 3, 2), 12);
    assert_int_equal(primary(core, 4, 1), 9);
}

static void removing_another_one_promotes_nobody(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 10, ""));
    assert_applied(add(core, 3, 1, 11, VALIDATED));
    assert_applied(add(core, 3, 1, 12, VALIDATED));
    struct answer answer = take(core, 3, 1, 11);
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"embedding_id\":11,\"model_id\":1}");
    assert_int_equal(primary(core, 3, 1), 10);
}

static void without_a_validated_one_there_is_no_primary_until_the_next_is_added(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 10, ""));
    assert_applied(add(core, 3, 1, 11, ""));
    assert_applied(take(core, 3, 1, 10));
    assert_int_equal(primary(core, 3, 1), 0);
    assert_applied(add(core, 3, 1, 12, ""));
    assert_int_equal(primary(core, 3, 1), 12);
}

static void the_user_and_its_version_outlive_the_last_embedding(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 10, ""));
    assert_applied(take(core, 3, 1, 10));
    assert_int_equal(version(core, 3), 2);
    struct answer answer = add(core, 3, 1, 10, "");
    assert_applied(answer);
    assert_int_equal(answer.version_from, 2);
    assert_int_equal(primary(core, 3, 1), 10);
}

static void only_the_embedding_of_the_user_and_model_that_are_named_is_removed(void **state)
{
    struct core *core = *state;
    static const int wrong[][3] = { { 3, 1, 11 }, { 3, 2, 10 }, { 4, 1, 10 }, { 5, 1, 10 } };
    assert_applied(add(core, 3, 1, 10, ""));
    assert_applied(add(core, 4, 2, 11, ""));
    for (int i = 0; i < 4; i++)
    {
        struct answer answer = take(core, wrong[i][0], wrong[i][1], wrong[i][2]);
        assert_refused(answer, REASON_NOT_FOUND);
        assert_string_equal(answer.metadata, wrong[i][2] == 11 ? "{\"embedding_id\":11}" : "{\"embedding_id\":10}");
    }
    assert_int_equal(core->tables[PLACE_FACE_EMBEDDING].count, 2);
    assert_int_equal(version(core, 3), 1);
    assert_int_equal(version(core, 5), 0);
}

/* From another program, or from before embeddings had users: no root row, no vector, not validated. */
static void an_embedding_from_elsewhere_is_counted_and_can_be_removed(void **state)
{
    struct core *core = *state;
    for (int id = 10; id <= 11; id++)
        core_put(core, &entity_face_embedding,
                 &(struct face_embedding_row){ .id = int_of(id), .user_id = int_of(3), .model_id = int_of(1) });
    struct answer answer = take(core, 3, 1, 10);
    assert_applied(answer);
    assert_int_equal(answer.version_from, 0);
    assert_int_equal(version(core, 3), 1);
    assert_applied(add(core, 3, 1, 12, ""));
    assert_int_equal(primary(core, 3, 1), 12); /* none was primary */
}

/* --- in one batch ------------------------------------------------------------------------------------------------ */

static void a_batch_leaves_the_same_rows_as_its_commands_one_by_one(void **state)
{
    struct core *core = *state;
    struct order orders[12] = {
        { "face.add_embedding", addition(3, 1, 10, VALIDATED) },
        { "face.add_embedding", addition(3, 1, 11, VALIDATED) },
        { "face.add_embedding", addition(3, 1, 12, PRIMARY) },
        { "face.remove_embedding", removal(3, 1, 12) },
        { "face.remove_embedding", removal(3, 1, 10) },
        { "face.add_embedding", addition(4, 1, 10, "") },
        { "face.add_embedding", addition(3, 1, 11, "") },
        { "face.remove_embedding", removal(3, 1, 11) },
        { "face.add_embedding", addition(3, 1, 11, "") },
        { "face.add_embedding", addition(3, 1, 15, PRIMARY) },
        { "face.remove_embedding", removal(3, 2, 15) },
        { "face.add_embedding", addition(3, 2, 16, "") },
    };
    static const bool applied[12] = { true, true, true, true, true, true, false, true, true, true, false, true };
    for (int from = 0; from <= 12; from++) /* the first commands alone, the rest as one batch */
    {
        struct answer answers[12];
        for (int i = 0; i < from; i++)
            core_run_batch(core, orders + i, 1, answers + i);
        if (from < 12)
            core_run_batch(core, orders + from, (size_t)(12 - from), answers + from);
        for (int i = 0; i < 12; i++)
            assert_int_equal(answers[i].outcome, applied[i] ? OUTCOME_APPLIED : OUTCOME_REJECTED);
        assert_string_equal(answers[3].metadata, "{\"embedding_id\":12,\"model_id\":1,\"promoted\":10}");
        assert_string_equal(answers[4].metadata, "{\"embedding_id\":10,\"model_id\":1,\"promoted\":11}");
        assert_int_equal(primary(core, 3, 1), 15);
        assert_int_equal(primary(core, 3, 2), 16);
        assert_int_equal(primary(core, 4, 1), 10);
        assert_int_equal(core->tables[PLACE_FACE_EMBEDDING].count, 4);
        assert_int_equal(embedding(core, 10)->user_id.value, 4);
        assert_true(embedding(core, 11)->vector[1] == 12 && !embedding(core, 11)->validated);
        assert_int_equal(version(core, 3), 9);
        assert_int_equal(version(core, 4), 1);
        core_tear_down(state);
        setup(state);
        core = *state;
    }
}

static void a_verification_sees_what_the_batch_has_done_to_the_embedding(void **state)
{
    struct core *core = *state;
    static const char *const verifications[3] = {
        "{\"verification_id\":1,\"model_id\":1,\"embedding_id\":10,\"user_id\":3,\"result\":\"SUCCESS\"}",
        "{\"verification_id\":2,\"model_id\":1,\"embedding_id\":10,\"user_id\":3,\"result\":\"SUCCESS\"}",
        "{\"verification_id\":3,\"model_id\":1,\"embedding_id\":10,\"user_id\":3,\"result\":\"SUCCESS\"}",
    };
    const struct order orders[5] = {
        { "face.record_verification", verifications[0] }, { "face.add_embedding", addition(3, 1, 10, "") },
        { "face.record_verification", verifications[1] }, { "face.remove_embedding", removal(3, 1, 10) },
        { "face.record_verification", verifications[2] },
    };
    struct answer answers[5];
    core_run_batch(core, orders, 5, answers);
    assert_refused(answers[0], REASON_NOT_FOUND);
    assert_applied(answers[2]);
    assert_refused(answers[4], REASON_NOT_FOUND);
    const struct face_counter_row *counter = core_find_id(core, &entity_face_embedding_counter, id_of(10));
    assert_int_equal(counter->verification_count.value, 1); /* earlier counts stay */
}

static void an_embedding_in_another_s_hands_holds_the_user_back(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 10, ""));
    core->busy_entity = &entity_face_embedding;
    core->busy = id_of(10);
    assert_true(add(core, 3, 1, 11, "").busy);
    assert_true(take(core, 3, 1, 10).busy);
    assert_true(add(core, 4, 1, 10, "").busy); /* by its id */
    core->busy_entity = &entity_face_user;
    core->busy = id_of(3);
    assert_true(add(core, 3, 1, 11, "").busy);
    assert_int_equal(core->tables[PLACE_FACE_EMBEDDING].count, 1);
}

/* --- bad data ---------------------------------------------------------------------------------------------------- */

static void vectors_are_refused_by_the_pointer_of_what_is_wrong(void **state)
{
    struct core *core = *state;
    static const struct
    {
        int count, at;
        const char *odd, *parameter, *message;
    } cases[] = {
        { 511, -1, NULL, "/vector", "expected an array of 512 numbers" },
        { 513, -1, NULL, "/vector", "expected an array of 512 numbers" },
        { 0, -1, NULL, "/vector", "expected an array of 512 numbers" },
        { 512, 0, "\"1\"", "/vector/0", "expected a number that single precision can hold" },
        { 512, 17, "null", "/vector/17", "expected a number that single precision can hold" },
        { 512, 511, "true", "/vector/511", "expected a number that single precision can hold" },
        { 512, 1, "[1]", "/vector/1", "expected a number that single precision can hold" },
        { 512, 2, "{}", "/vector/2", "expected a number that single precision can hold" },
        { 512, 3, "3.5e38", "/vector/3", "expected a number that single precision can hold" },
        { 512, 3, "-1e300", "/vector/3", "expected a number that single precision can hold" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct buffer data = BUFFER_EMPTY;
        char expected[256];
        buffer_add_text(&data, "{\"user_id\":3,\"model_id\":1,\"confidence\":1,\"vector\":");
        print_vector(&data, cases[i].count, 0, cases[i].at, cases[i].odd);
        buffer_add_text(&data, "}");
        buffer_add_byte(&data, '\0');
        struct answer answer = core_run(core, "face.add_embedding", data.at);
        snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",\"message\":\"%s\"}", cases[i].parameter,
                 cases[i].message);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_string_equal(answer.metadata, expected);
        buffer_done(&data);
    }
}

static void numbers_at_the_edges_of_single_precision_are_taken(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *text;
        float value;
    } cases[] = { { "3.4028234663852886e38", FLT_MAX },
                  { "-3.4028234663852886e38", -FLT_MAX },
                  { "1e-60", 0 },
                  { "-0.0", 0 },
                  { "1e-45", 1e-45F },
                  { "7", 7 } };
    for (int i = 0; i < 6; i++)
    {
        struct buffer data = BUFFER_EMPTY;
        buffer_add_text(&data, "{\"user_id\":3,\"model_id\":1,\"confidence\":0,\"embedding_id\":");
        buffer_add_int64(&data, i + 1);
        buffer_add_text(&data, ",\"vector\":");
        print_vector(&data, VECTOR_LENGTH, 0, 5, cases[i].text);
        buffer_add_text(&data, "}");
        buffer_add_byte(&data, '\0');
        assert_applied(core_run(core, "face.add_embedding", data.at));
        assert_memory_equal(&embedding(core, i + 1)->vector[5], &cases[i].value, sizeof(float));
        buffer_done(&data);
    }
}

static void every_other_parameter_is_refused_by_its_pointer(void **state)
{
    struct core *core = *state;
    static const char *const cases[][2] = {
        { ",\"confidence2\":1", "/confidence2" },     { ",\"validated\":1", "/validated" },
        { ",\"is_primary\":\"yes\"", "/is_primary" }, { ",\"embedding_id\":0", "/embedding_id" },
        { ",\"embedding_id\":1.5", "/embedding_id" },
    };
    for (int i = 0; i < 5; i++)
    {
        char expected[64];
        struct answer answer = add(core, 3, 1, 0, cases[i][0]);
        assert_refused(answer, REASON_INVALID_DATA);
        snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",", cases[i][1]);
        assert_memory_equal(answer.metadata, expected, strlen(expected));
    }
    static const char *const confidences[] = { "-0.1", "1.0001", "\"1\"", "null", "2" };
    for (int i = 0; i < 5; i++)
    {
        struct buffer data = BUFFER_EMPTY;
        buffer_add_text(&data, "{\"user_id\":3,\"model_id\":1,\"vector\":");
        print_vector(&data, VECTOR_LENGTH, 0, -1, NULL);
        buffer_add_text(&data, ",\"confidence\":");
        buffer_add_text(&data, confidences[i]);
        buffer_add_text(&data, "}");
        buffer_add_byte(&data, '\0');
        struct answer answer = core_run(core, "face.add_embedding", data.at);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_string_equal(answer.metadata,
                            "{\"parameter\":\"/confidence\",\"message\":\"expected a number of 0 to 1\"}");
        buffer_done(&data);
    }
    assert_refused(core_run(core, "face.remove_embedding", "{\"user_id\":3,\"model_id\":1}"), REASON_INVALID_DATA);
    assert_int_equal(core->tables[PLACE_FACE_EMBEDDING].count, 0);
}

static void null_reads_as_absent_where_that_is_allowed(void **state)
{
    struct core *core = *state;
    assert_applied(add(core, 3, 1, 0, ",\"embedding_id\":null,\"validated\":null,\"is_primary\":null"));
    assert_int_equal(primary(core, 3, 1), CORE_FIRST_DRAWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, core_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_first_of_a_user_and_model_becomes_primary_and_makes_the_user),
        TEST(further_ones_are_not_primary_and_models_and_users_are_apart),
        TEST(one_that_asks_for_it_takes_the_place_of_the_primary),
        TEST(an_id_is_drawn_where_none_is_given),
        TEST(an_embedding_that_cannot_be_added_leaves_no_trace),
        TEST(a_user_has_a_limit_of_embeddings),
        TEST(removing_the_primary_promotes_the_oldest_validated_of_its_model),
        TEST(removing_another_one_promotes_nobody),
        TEST(without_a_validated_one_there_is_no_primary_until_the_next_is_added),
        TEST(the_user_and_its_version_outlive_the_last_embedding),
        TEST(only_the_embedding_of_the_user_and_model_that_are_named_is_removed),
        TEST(an_embedding_from_elsewhere_is_counted_and_can_be_removed),
        TEST(a_batch_leaves_the_same_rows_as_its_commands_one_by_one),
        TEST(a_verification_sees_what_the_batch_has_done_to_the_embedding),
        TEST(an_embedding_in_another_s_hands_holds_the_user_back),
        TEST(vectors_are_refused_by_the_pointer_of_what_is_wrong),
        TEST(numbers_at_the_edges_of_single_precision_are_taken),
        TEST(every_other_parameter_is_refused_by_its_pointer),
        TEST(null_reads_as_absent_where_that_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
