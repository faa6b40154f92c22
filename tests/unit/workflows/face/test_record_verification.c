#include "tests/fixtures/core.h"

#include <stdio.h>

static void put_models(struct core *core)
{
    for (int id = 1; id <= 2; id++)
        core_put(core, &entity_face_model_counter,
                 &(struct face_counter_row){
                     .id = int_of(id), .verification_count = int_of(10), .successful_verifications = int_of(5) });
    core_put(core, &entity_face_embedding,
             &(struct face_embedding_row){ .id = int_of(7), .user_id = int_of(3), .model_id = int_of(1) });
}

static const struct face_counter_row *counter(const struct core *core, const struct entity *entity, int64_t id)
{
    return core_find_id(core, entity, id_of(id));
}

static void a_success_is_logged_and_counted_for_model_and_embedding(void **state)
{
    struct core *core = *state;
    put_models(core);
    struct answer answer = core_run(core, "face.record_verification",
                                    "{\"verification_id\":100,\"model_id\":1,\"embedding_id\":7,\"user_id\":3,"
                                    "\"result\":\"SUCCESS\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_COUNTER_UPDATE);
    assert_int_equal(answer.aggregate.kind, AGGREGATE_FACE_MODEL);
    assert_int_equal(answer.version_to, 0);
    const struct face_counter_row *model = counter(core, &entity_face_model_counter, 1);
    assert_int_equal(model->verification_count.value, 11);
    assert_int_equal(model->successful_verifications.value, 6);
    assert_int_equal(model->last_used.value, CORE_NOW + 1);
    const struct face_counter_row *embedding = counter(core, &entity_face_embedding_counter, 7);
    assert_int_equal(embedding->verification_count.value, 1); /* made by its first addition */
    assert_int_equal(embedding->successful_verifications.value, 1);
    const struct face_verification_log_row *entry = core_find_id(core, &entity_face_verification_log, id_of(100));
    assert_int_equal(entry->result, RESULT_SUCCESS);
    assert_int_equal(entry->verified_at.value, CORE_NOW + 1);
    assert_int_equal(counter(core, &entity_face_model_counter, 2)->verification_count.value, 10);
}

static void every_other_result_counts_but_not_as_a_success(void **state)
{
    struct core *core = *state;
    static const char *const results[] = { "FAILED", "FAILURE", "ERROR", "REJECTED" };
    put_models(core);
    for (int i = 0; i < 4; i++)
    {
        char data[160];
        snprintf(data, sizeof(data), "{\"verification_id\":%d,\"model_id\":1,\"user_id\":3,\"result\":\"%s\"}", i + 1,
                 results[i]);
        assert_applied(core_run(core, "face.record_verification", data));
    }
    assert_int_equal(counter(core, &entity_face_model_counter, 1)->verification_count.value, 14);
    assert_int_equal(counter(core, &entity_face_model_counter, 1)->successful_verifications.value, 5);
    assert_int_equal(core->tables[PLACE_FACE_EMBEDDING_COUNTER].count, 0);
}

/* PROTOCOL B8: what commutes is added up and written once. */
static void additions_of_a_batch_are_summed(void **state)
{
    struct core *core = *state;
    struct order orders[200];
    struct answer answers[200];
    char data[200][160];
    put_models(core);
    for (int i = 0; i < 200; i++)
    {
        snprintf(data[i], sizeof(data[i]), "{\"verification_id\":%d,\"model_id\":%d,\"user_id\":3,\"result\":\"%s\"}",
                 i / 2 + 1, i % 2 + 1, i % 3 ? "SUCCESS" : "ERROR");
        orders[i] = (struct order){ "face.record_verification", data[i] };
    }
    core_run_batch(core, orders, 200, answers);
    int applied = 0;
    for (int i = 0; i < 200; i++)
    {
        /* every id comes twice: the second one is seen within the batch */
        assert_int_equal(answers[i].outcome, i % 2 ? OUTCOME_REJECTED : OUTCOME_APPLIED);
        if (i % 2)
            assert_int_equal(answers[i].reason, REASON_ALREADY_EXISTS);
        applied += i % 2 == 0;
    }
    assert_int_equal(counter(core, &entity_face_model_counter, 1)->verification_count.value, 10 + applied);
    assert_int_equal(counter(core, &entity_face_model_counter, 2)->verification_count.value, 10);
    assert_int_equal(counter(core, &entity_face_model_counter, 1)->last_used.value, CORE_NOW + 199);
    assert_int_equal(core->tables[PLACE_FACE_VERIFICATION_LOG].count, 100);
}

static void data_that_does_not_belong_together_is_refused_and_counts_nothing(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *data;
        enum reason reason;
        const char *metadata;
    } cases[] = {
        { "{\"verification_id\":1,\"model_id\":9,\"user_id\":3,\"result\":\"SUCCESS\"}", REASON_NOT_FOUND,
          "{\"model_id\":9}" },
        { "{\"verification_id\":1,\"model_id\":1,\"embedding_id\":8,\"user_id\":3,\"result\":\"SUCCESS\"}",
          REASON_NOT_FOUND, "{\"embedding_id\":8}" },
        { "{\"verification_id\":1,\"model_id\":2,\"embedding_id\":7,\"user_id\":3,\"result\":\"SUCCESS\"}",
          REASON_INVALID_DATA, NULL },
        { "{\"verification_id\":1,\"model_id\":1,\"embedding_id\":7,\"user_id\":4,\"result\":\"SUCCESS\"}",
          REASON_INVALID_DATA, NULL },
        { "{\"verification_id\":1,\"model_id\":1,\"user_id\":3,\"result\":\"MAYBE\"}", REASON_INVALID_DATA, NULL },
        { "{\"model_id\":1,\"user_id\":3,\"result\":\"SUCCESS\"}", REASON_INVALID_DATA, NULL },
        { "{\"verification_id\":5,\"model_id\":1,\"user_id\":3,\"result\":\"SUCCESS\"}", REASON_ALREADY_EXISTS,
          "{\"verification_id\":5}" },
    };
    put_models(core);
    core_put(core, &entity_face_verification_log, &(struct face_verification_log_row){ .id = int_of(5) });
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct answer answer = core_run(core, "face.record_verification", cases[i].data);
        assert_refused(answer, cases[i].reason);
        if (cases[i].metadata)
            assert_string_equal(answer.metadata, cases[i].metadata);
    }
    assert_int_equal(counter(core, &entity_face_model_counter, 1)->verification_count.value, 10);
    assert_int_equal(core->tables[PLACE_FACE_VERIFICATION_LOG].count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(a_success_is_logged_and_counted_for_model_and_embedding),
        CORE_TEST(every_other_result_counts_but_not_as_a_success),
        CORE_TEST(additions_of_a_batch_are_summed),
        CORE_TEST(data_that_does_not_belong_together_is_refused_and_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
