#include "workflows/model/entity.h"

const struct entity *const entities[] = {
    [PLACE_JOB] = &entity_job,
    [PLACE_JOBNEED] = &entity_jobneed,
    [PLACE_TICKET] = &entity_ticket,
    [PLACE_ESCALATION_MATRIX] = &entity_escalation_matrix,
    [PLACE_TICKET_OF_JOBNEED] = &entity_ticket_of_jobneed,
    [PLACE_ATTENDANCE] = &entity_attendance,
    [PLACE_GEOFENCE_ASSIGNMENT] = &entity_geofence_assignment,
    [PLACE_GEOFENCE] = &entity_geofence,
    [PLACE_GEOFENCE_VERTEX] = &entity_geofence_vertex,
    [PLACE_SHIFT] = &entity_shift,
    [PLACE_BEHAVIOUR_PROFILE] = &entity_behaviour_profile,
    [PLACE_FACE_MODEL] = &entity_face_model,
    [PLACE_FACE_USER] = &entity_face_user,
    [PLACE_FACE_EMBEDDING] = &entity_face_embedding,
    [PLACE_TICKET_HISTORY] = &entity_ticket_history,
    [PLACE_FACE_VERIFICATION_LOG] = &entity_face_verification_log,
    [PLACE_BEHAVIOURAL_EVENT] = &entity_behavioural_event,
    [PLACE_FACE_MODEL_COUNTER] = &entity_face_model_counter,
    [PLACE_FACE_EMBEDDING_COUNTER] = &entity_face_embedding_counter,
    [PLACE__COUNT] = NULL,
};

int names_find(const struct names *names, struct span word)
{
    if (!word.at || !word.size)
        return 0;
    /* The first byte tells most words of a set apart. */
    for (int i = 1; i < names->count; i++)
    {
        const char *name = names->names[i];
        if (name[0] == word.at[0] && span_is(word, name))
            return i;
    }
    return 0;
}

static bool field_int_equal(const struct field_int *a, const struct field_int *b)
{
    return a->set == b->set && (!a->set || a->value == b->value);
}

static bool field_number_equal(const struct field_number *a, const struct field_number *b)
{
    return a->set == b->set && (!a->set || a->value == b->value);
}

bool column_equal(const struct column *column, const void *a, const void *b)
{
    const void *left = entity_field_const(column, a);
    const void *right = entity_field_const(column, b);
    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME:
        return field_int_equal(left, right);
    case COLUMN_NUMBER:
        return field_number_equal(left, right);
    case COLUMN_BOOL:
        return *(const bool *)left == *(const bool *)right;
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
    case COLUMN_BYTES:
        return span_equal(*(const struct span *)left, *(const struct span *)right);
    case COLUMN_NAME:
        return *(const int *)left == *(const int *)right;
    case COLUMN_UUID:
        return id_equal(*(const struct id *)left, *(const struct id *)right);
    case COLUMN_VECTOR:
        return *(const float *const *)left == *(const float *const *)right;
    }
    return false;
}

bool entity_has(const struct entity *entity, enum column_flag flag)
{
    for (int i = 0; i < entity->column_count; i++)
        if (entity->columns[i].flags & (unsigned)flag)
            return true;
    return false;
}

uint64_t entity_difference(const struct entity *entity, const void *before, const void *after)
{
    uint64_t mask = 0;
    for (int i = entity->key_count; i < entity->column_count; i++)
        if (!(entity->columns[i].flags & COLUMN_UNREAD) && !column_equal(&entity->columns[i], before, after))
            mask |= (uint64_t)1 << i;
    return mask;
}
