#include "workflows/face/face.h"
#include "workflows/model/limits.h"

struct addition
{
    struct field_int user_id, model_id, embedding_id;
    struct field_number confidence;
    struct field_bool validated, is_primary;
    struct field_vector vector;
};

static const struct parameter parameters[] = {
    PARAMETER(addition, user_id, ID, REQUIRED, .description = "Whose face it is."),
    PARAMETER(addition, model_id, ID, REQUIRED, .description = "The face model that made it."),
    PARAMETER(addition, embedding_id, ID, NULLABLE, .description = "The embedding's id; drawn when absent."),
    PARAMETER(addition, vector, VECTOR, REQUIRED, .minimum = VECTOR_LENGTH, .maximum = VECTOR_LENGTH,
              .description = "The model's vector of the face; kept in single precision."),
    PARAMETER(addition, confidence, NUMBER, REQUIRED, .minimum = 0, .maximum = 1,
              .description = "How sure the model was."),
    PARAMETER(addition, validated, BOOLEAN, NULLABLE,
              .description =
                  "Whether somebody has looked at it; only such a one is promoted later. False when absent."),
    PARAMETER(addition, is_primary, BOOLEAN, NULLABLE,
              .description = "true: in the place of the present primary. The first of its user and model is primary "
                             "whatever this says."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    const struct addition *given = command->parameters;
    rows_want_children(rows, &entity_face_user, command->aggregate.id);
    rows_want_look(rows, &entity_face_model, 1, &(struct face_model_row){ .id = given->model_id });
    if (given->embedding_id.set)
        rows_want(rows, &entity_face_embedding, id_of(given->embedding_id.value));
    else
        rows_want_ids(rows, &entity_face_embedding, 1);
}

/* The primary of the user and model, or NULL; how many embeddings the user has of all models. */
static const struct face_embedding_row *find_primary(const struct addition *given, const struct rows *rows,
                                                     int *ret_count)
{
    const struct face_embedding_row *primary = NULL;
    *ret_count = 0;
    for (const struct face_embedding_row *other =
             rows_first_child(rows, &entity_face_embedding, id_of(given->user_id.value));
         other; other = rows_next_child(rows, &entity_face_embedding, other))
    {
        ++*ret_count;
        if (other->is_primary && other->model_id.value == given->model_id.value)
            primary = other;
    }
    return primary;
}

static struct face_embedding_row *insert(const struct addition *given, struct rows *rows, struct decision *decision)
{
    int64_t id = given->embedding_id.set ? given->embedding_id.value : rows_take_id(rows, &entity_face_embedding);
    struct face_embedding_row *embedding =
        rows_insert_child(rows, &entity_face_embedding, id_of(id), id_of(given->user_id.value));
    if (!embedding)
    {
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "embedding_id", id);
        return NULL;
    }
    embedding->model_id = given->model_id;
    embedding->confidence = given->confidence;
    embedding->validated = given->validated.value;
    embedding->vector = given->vector.at;
    return embedding;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct addition *given = command->parameters;
    int count;
    if (rows_read(rows, &entity_face_user, command->aggregate.id))
        decision->operation = OPERATION_FIELD_UPDATE;
    if (!rows_look(rows, &entity_face_model, 1, &(struct face_model_row){ .id = given->model_id }))
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "model_id", given->model_id.value);
        return;
    }
    const struct face_embedding_row *primary = find_primary(given, rows, &count);
    if (count >= EMBEDDINGS_MAX)
    {
        decision_refuse_row(decision, REASON_TOO_LARGE, "limit", EMBEDDINGS_MAX);
        return;
    }
    face_user_touch(rows, given->user_id.value);
    struct face_embedding_row *embedding = insert(given, rows, decision);
    if (!embedding)
        return;
    embedding->is_primary = !primary || given->is_primary.value;
    decision_add_int(decision, "embedding_id", embedding->id.value);
    decision_add_int(decision, "model_id", embedding->model_id.value);
    decision_add_raw(decision, "is_primary", span_of(embedding->is_primary ? "true" : "false"));
    if (primary && embedding->is_primary)
    {
        decision_add_int(decision, "demoted", primary->id.value);
        struct face_embedding_row *demoted = rows_edit(rows, &entity_face_embedding, id_of(primary->id.value));
        demoted->is_primary = false;
    }
    decision_apply(decision);
}

const struct workflow workflow_face_add_embedding = {
    .type = "face.add_embedding",
    .named = NAMED(AGGREGATE_FACE_USER, addition, user_id),
    .description = "Adds an embedding of a user's face; the first of a model becomes the primary one.",
    .parameters = parameters,
    .parameters_size = sizeof(struct addition),
    .operation = OPERATION_CREATION,
    .flags = WORKFLOW_CREATES,
    .lock_class = LOCK_EMBEDDING,
    .needs = needs,
    .decide = decide,
};
