#include "workflows/face/face.h"

#define FIELD(member) offsetof(struct face_model_row, member)

static const struct column model_columns[] = {
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "name", COLUMN_NAME, FIELD(name), 0, &names_face_model },
};

const struct entity entity_face_model = {
    ENTITY_WITHOUT_VERSION,
    .table = "face_model",
    .row_size = sizeof(struct face_model_row),
    .columns = model_columns,
    .column_count = ENTITY_COLUMN_COUNT(model_columns),
    .key_count = 1,
    .place = PLACE_FACE_MODEL,
};

#undef FIELD
#define FIELD(member) offsetof(struct face_user_row, member)

enum user_column
{
    USER_COLUMN_ID,
    USER_COLUMN_VERSION,
    USER_COLUMN_CREATED_AT,
    USER_COLUMN_MODIFIED_AT,
    USER_COLUMN_MODIFIED_BY,
    USER_COLUMN__COUNT,
};

static const struct column user_columns[USER_COLUMN__COUNT] = {
    [USER_COLUMN_ID] = { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    [USER_COLUMN_VERSION] = { "version", COLUMN_INT64, FIELD(version), 0, NULL },
    [USER_COLUMN_CREATED_AT] = { "created_at", COLUMN_TIME, FIELD(created_at), COLUMN_FIXED, NULL },
    [USER_COLUMN_MODIFIED_AT] = { "modified_at", COLUMN_TIME, FIELD(modified_at), 0, NULL },
    [USER_COLUMN_MODIFIED_BY] = { "modified_by", COLUMN_TEXT, FIELD(modified_by), 0, NULL },
};

const struct entity entity_face_user = {
    .table = "face_user",
    .row_size = sizeof(struct face_user_row),
    .columns = user_columns,
    .column_count = USER_COLUMN__COUNT,
    .key_count = 1,
    .aggregate = AGGREGATE_FACE_USER,
    .parent = COLUMN_NOT_THERE,
    .root = true,
    .place = PLACE_FACE_USER,
    .version = USER_COLUMN_VERSION,
    .modified_at = USER_COLUMN_MODIFIED_AT,
    .modified_by = USER_COLUMN_MODIFIED_BY,
    .created_at = USER_COLUMN_CREATED_AT,
    .status = COLUMN_NOT_THERE,
    .person = COLUMN_NOT_THERE,
    .group = COLUMN_NOT_THERE,
};

#undef FIELD
#define FIELD(member) offsetof(struct face_embedding_row, member)

enum embedding_column
{
    EMBEDDING_COLUMN_ID,
    EMBEDDING_COLUMN_USER,
    EMBEDDING_COLUMN_MODEL,
    EMBEDDING_COLUMN_CREATED_AT,
    EMBEDDING_COLUMN_MODIFIED_AT,
    EMBEDDING_COLUMN_CONFIDENCE,
    EMBEDDING_COLUMN_PRIMARY,
    EMBEDDING_COLUMN_VALIDATED,
    EMBEDDING_COLUMN_MODIFIED_BY,
    EMBEDDING_COLUMN_VECTOR,
    EMBEDDING_COLUMN__COUNT,
};

static const struct column embedding_columns[EMBEDDING_COLUMN__COUNT] = {
    [EMBEDDING_COLUMN_ID] = { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    [EMBEDDING_COLUMN_USER] = { "user_id", COLUMN_INT64, FIELD(user_id), COLUMN_FIXED, NULL },
    [EMBEDDING_COLUMN_MODEL] = { "model_id", COLUMN_INT64, FIELD(model_id), COLUMN_FIXED, NULL },
    [EMBEDDING_COLUMN_CREATED_AT] = { "created_at", COLUMN_TIME, FIELD(created_at), COLUMN_FIXED, NULL },
    [EMBEDDING_COLUMN_MODIFIED_AT] = { "modified_at", COLUMN_TIME, FIELD(modified_at), 0, NULL },
    [EMBEDDING_COLUMN_CONFIDENCE] = { "confidence", COLUMN_NUMBER, FIELD(confidence), COLUMN_FIXED, NULL },
    [EMBEDDING_COLUMN_PRIMARY] = { "is_primary", COLUMN_BOOL, FIELD(is_primary), COLUMN_UNIQUE, NULL },
    [EMBEDDING_COLUMN_VALIDATED] = { "validated", COLUMN_BOOL, FIELD(validated), 0, NULL },
    [EMBEDDING_COLUMN_MODIFIED_BY] = { "modified_by", COLUMN_TEXT, FIELD(modified_by), 0, NULL },
    [EMBEDDING_COLUMN_VECTOR] = { "vector", COLUMN_VECTOR, FIELD(vector), COLUMN_FIXED | COLUMN_UNREAD, NULL },
};

const struct entity entity_face_embedding = {
    .table = "face_embedding",
    .row_size = sizeof(struct face_embedding_row),
    .columns = embedding_columns,
    .column_count = EMBEDDING_COLUMN__COUNT,
    .key_count = 1,
    .aggregate = AGGREGATE_FACE_USER,
    .parent = EMBEDDING_COLUMN_USER,
    .parent_entity = &entity_face_user,
    .children = "embeddings",
    .child_id = "embedding_id",
    .draw_ids = "draw_face_embedding_ids",
    .place = PLACE_FACE_EMBEDDING,
    .version = COLUMN_NOT_THERE,
    .modified_at = EMBEDDING_COLUMN_MODIFIED_AT,
    .modified_by = EMBEDDING_COLUMN_MODIFIED_BY,
    .created_at = EMBEDDING_COLUMN_CREATED_AT,
    .status = COLUMN_NOT_THERE,
    .person = COLUMN_NOT_THERE,
    .group = COLUMN_NOT_THERE,
};

#undef FIELD
#define FIELD(member) offsetof(struct face_counter_row, member)

static const struct column counter_columns[] = {
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "verification_count", COLUMN_INT64, FIELD(verification_count), COLUMN_ADDED, NULL },
    { "successful_verifications", COLUMN_INT64, FIELD(successful_verifications), COLUMN_ADDED, NULL },
    { "last_used", COLUMN_TIME, FIELD(last_used), COLUMN_GREATEST, NULL },
};

const struct entity entity_face_model_counter = {
    ENTITY_WITHOUT_VERSION,
    .table = "face_model",
    .row_size = sizeof(struct face_counter_row),
    .columns = counter_columns,
    .column_count = ENTITY_COLUMN_COUNT(counter_columns),
    .key_count = 1,
    .place = PLACE_FACE_MODEL_COUNTER,
};

const struct entity entity_face_embedding_counter = {
    ENTITY_WITHOUT_VERSION,
    .table = "face_embedding_counter",
    .row_size = sizeof(struct face_counter_row),
    .columns = counter_columns,
    .column_count = ENTITY_COLUMN_COUNT(counter_columns),
    .key_count = 1,
    .place = PLACE_FACE_EMBEDDING_COUNTER,
    .upsert = true,
};

#undef FIELD
#define FIELD(member) offsetof(struct face_verification_log_row, member)

static const struct column log_columns[] = {
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "model_id", COLUMN_INT64, FIELD(model_id), COLUMN_FIXED, NULL },
    { "embedding_id", COLUMN_INT64, FIELD(embedding_id), COLUMN_FIXED, NULL },
    { "user_id", COLUMN_INT64, FIELD(user_id), COLUMN_FIXED, NULL },
    { "verified_at", COLUMN_TIME, FIELD(verified_at), COLUMN_FIXED, NULL },
    { "result", COLUMN_NAME, FIELD(result), COLUMN_FIXED, &names_verification_result },
};

const struct entity entity_face_verification_log = {
    ENTITY_WITHOUT_VERSION,
    .table = "face_verification_log",
    .row_size = sizeof(struct face_verification_log_row),
    .columns = log_columns,
    .column_count = ENTITY_COLUMN_COUNT(log_columns),
    .key_count = 1,
    .place = PLACE_FACE_VERIFICATION_LOG,
};
