#include "workflows/face/face.h"

struct removal
{
    struct field_int user_id, model_id, embedding_id;
};

static const struct parameter parameters[] = {
    PARAMETER(removal, user_id, ID, REQUIRED, .description = "Whose embedding it is."),
    PARAMETER(removal, model_id, ID, REQUIRED, .description = "The face model that made it."),
    PARAMETER(removal, embedding_id, ID, REQUIRED, .description = "The embedding to remove."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    rows_want_children(rows, &entity_face_user, command->aggregate.id);
}

/* The oldest embedding of the user and model that somebody has validated; of those of one moment the lowest id. */
static const struct face_embedding_row *find_next(const struct removal *given, const struct rows *rows)
{
    const struct face_embedding_row *oldest = NULL;
    for (const struct face_embedding_row *other =
             rows_first_child(rows, &entity_face_embedding, id_of(given->user_id.value));
         other; other = rows_next_child(rows, &entity_face_embedding, other))
        if (other->validated && other->model_id.value == given->model_id.value &&
            (!oldest || other->created_at.value < oldest->created_at.value))
            oldest = other;
    return oldest;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct removal *given = command->parameters;
    const struct id id = id_of(given->embedding_id.value);
    const struct face_embedding_row *embedding = rows_read(rows, &entity_face_embedding, id);
    if (!embedding || embedding->user_id.value != given->user_id.value ||
        embedding->model_id.value != given->model_id.value)
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "embedding_id", given->embedding_id.value);
        return;
    }
    bool was_primary = embedding->is_primary;
    face_user_touch(rows, given->user_id.value);
    rows_delete(rows, &entity_face_embedding, id);
    decision_add_int(decision, "embedding_id", given->embedding_id.value);
    decision_add_int(decision, "model_id", given->model_id.value);
    const struct face_embedding_row *next = was_primary ? find_next(given, rows) : NULL;
    if (next)
    {
        decision_add_int(decision, "promoted", next->id.value);
        struct face_embedding_row *promoted = rows_edit(rows, &entity_face_embedding, id_of(next->id.value));
        promoted->is_primary = true;
    }
    decision_apply(decision);
}

const struct workflow workflow_face_remove_embedding = {
    .type = "face.remove_embedding",
    .named = NAMED(AGGREGATE_FACE_USER, removal, user_id),
    .description = "Removes an embedding of a user's face; in place of a primary one the oldest validated is promoted.",
    .parameters = parameters,
    .parameters_size = sizeof(struct removal),
    .operation = OPERATION_DELETION,
    .flags = WORKFLOW_CREATES, /* of the root row: an embedding from elsewhere may stand there without one */
    .lock_class = LOCK_EMBEDDING,
    .needs = needs,
    .decide = decide,
};
