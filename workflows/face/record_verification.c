#include "workflows/face/face.h"

struct verification
{
    struct field_int verification_id, model_id, embedding_id, user_id;
    int result;
};

static const struct parameter parameters[] = {
    PARAMETER(verification, verification_id, ID, REQUIRED, .description = "The verification's own id: its log row."),
    PARAMETER(verification, model_id, ID, REQUIRED, .description = "The face model that was asked."),
    PARAMETER(verification, embedding_id, ID, NULLABLE, .description = "The embedding that was compared with."),
    PARAMETER(verification, user_id, ID, REQUIRED, .description = "Whose face it was to be."),
    PARAMETER(verification, result, NAME, REQUIRED, .names = &names_verification_result, .description = "The result."),
    { .name = NULL },
};

/* Looks only: nobody holds a row for a counter (PROTOCOL B8). */
static void needs(const struct command *command, struct rows *rows)
{
    const struct verification *given = command->parameters;
    rows_want_look(rows, &entity_face_model, 1, &(struct face_model_row){ .id = given->model_id });
    rows_want_look(rows, &entity_face_verification_log, 1,
                   &(struct face_verification_log_row){ .id = given->verification_id });
    if (given->embedding_id.set)
        rows_want_look(rows, &entity_face_embedding, 1, &(struct face_embedding_row){ .id = given->embedding_id });
}

static bool check(const struct verification *given, const struct rows *rows, struct decision *decision)
{
    if (!rows_look(rows, &entity_face_model, 1, &(struct face_model_row){ .id = given->model_id }))
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "model_id", given->model_id.value);
        return false;
    }
    if (!given->embedding_id.set)
        return true;
    const struct face_embedding_row *embedding =
        rows_look(rows, &entity_face_embedding, 1, &(struct face_embedding_row){ .id = given->embedding_id });
    if (!embedding)
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "embedding_id", given->embedding_id.value);
        return false;
    }
    if (embedding->user_id.value != given->user_id.value || embedding->model_id.value != given->model_id.value)
    {
        decision_refuse_parameter(decision, "/embedding_id", "belongs to another user or model");
        return false;
    }
    return true;
}

static void count(struct rows *rows, const struct entity *entity, int64_t id, bool success, int64_t now_us)
{
    struct face_counter_row *counter = rows_add(rows, entity, id_of(id));
    counter->verification_count.value++;
    counter->successful_verifications.value += success;
    if (!counter->last_used.set || counter->last_used.value < now_us)
        counter->last_used = int_of(now_us);
}

#define INCREMENTS(successes) SPAN_LITERAL("{\"verification_count\":1,\"successful_verifications\":" successes "}")

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct verification *given = command->parameters;
    if (!check(given, rows, decision))
        return;
    /* Inserted under its id, not appended: so that a second one of the same batch finds it, too. */
    const struct face_verification_log_row key = { .id = given->verification_id };
    struct face_verification_log_row *entry =
        rows_look(rows, &entity_face_verification_log, 1, &key)
            ? NULL
            : rows_insert(rows, &entity_face_verification_log, id_of(given->verification_id.value));
    if (!entry)
    {
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "verification_id", given->verification_id.value);
        return;
    }
    entry->model_id = given->model_id;
    entry->embedding_id = given->embedding_id;
    entry->user_id = given->user_id;
    entry->verified_at = int_of(decision->now_us);
    entry->result = given->result;
    bool success = given->result == RESULT_SUCCESS;
    count(rows, &entity_face_model_counter, given->model_id.value, success, decision->now_us);
    if (given->embedding_id.set)
        count(rows, &entity_face_embedding_counter, given->embedding_id.value, success, decision->now_us);
    decision_add_int(decision, "verification_id", given->verification_id.value);
    decision_add_text(decision, "result", names_word(&names_verification_result, given->result));
    /* The counters of the model, and of the embedding where one is named. */
    decision_add_raw(decision, "increments", success ? INCREMENTS("1") : INCREMENTS("0"));
    decision_apply(decision);
}

const struct workflow workflow_face_record_verification = {
    .type = "face.record_verification",
    .named = NAMED(AGGREGATE_FACE_MODEL, verification, model_id),
    .description = "Logs a face verification and counts it for its model and embedding.",
    .parameters = parameters,
    .parameters_size = sizeof(struct verification),
    .operation = OPERATION_COUNTER_UPDATE,
    .flags = WORKFLOW_COUNTERS,
    .lock_class = LOCK_FACE_VERIFICATION,
    .needs = needs,
    .decide = decide,
};
