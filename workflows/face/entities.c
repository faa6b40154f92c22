#include "workflows/face/face.h"

static const struct column model_columns[] = {
    COLUMN(face_model_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(face_model_row, name, COLUMN_NAME, 0, &names_face_model),
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
    [USER_COLUMN_ID] = COLUMN(face_user_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [USER_COLUMN_VERSION] = COLUMN(face_user_row, version, COLUMN_INT64, 0, NULL),
    [USER_COLUMN_CREATED_AT] = COLUMN(face_user_row, created_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    [USER_COLUMN_MODIFIED_AT] = COLUMN(face_user_row, modified_at, COLUMN_TIME, 0, NULL),
    [USER_COLUMN_MODIFIED_BY] = COLUMN(face_user_row, modified_by, COLUMN_TEXT, 0, NULL),
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
    [EMBEDDING_COLUMN_ID] = COLUMN(face_embedding_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [EMBEDDING_COLUMN_USER] = COLUMN(face_embedding_row, user_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [EMBEDDING_COLUMN_MODEL] = COLUMN(face_embedding_row, model_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [EMBEDDING_COLUMN_CREATED_AT] = COLUMN(face_embedding_row, created_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    [EMBEDDING_COLUMN_MODIFIED_AT] = COLUMN(face_embedding_row, modified_at, COLUMN_TIME, 0, NULL),
    [EMBEDDING_COLUMN_CONFIDENCE] = COLUMN(face_embedding_row, confidence, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    [EMBEDDING_COLUMN_PRIMARY] = COLUMN(face_embedding_row, is_primary, COLUMN_BOOL, COLUMN_UNIQUE, NULL),
    [EMBEDDING_COLUMN_VALIDATED] = COLUMN(face_embedding_row, validated, COLUMN_BOOL, 0, NULL),
    [EMBEDDING_COLUMN_MODIFIED_BY] = COLUMN(face_embedding_row, modified_by, COLUMN_TEXT, 0, NULL),
    [EMBEDDING_COLUMN_VECTOR] = COLUMN(face_embedding_row, vector, COLUMN_VECTOR, COLUMN_FIXED | COLUMN_UNREAD, NULL),
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

static const struct column counter_columns[] = {
    COLUMN(face_counter_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(face_counter_row, verification_count, COLUMN_INT64, COLUMN_ADDED, NULL),
    COLUMN(face_counter_row, successful_verifications, COLUMN_INT64, COLUMN_ADDED, NULL),
    COLUMN(face_counter_row, last_used, COLUMN_TIME, COLUMN_GREATEST, NULL),
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

static const struct column log_columns[] = {
    COLUMN(face_verification_log_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(face_verification_log_row, model_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(face_verification_log_row, embedding_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(face_verification_log_row, user_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(face_verification_log_row, verified_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    COLUMN(face_verification_log_row, result, COLUMN_NAME, COLUMN_FIXED, &names_verification_result),
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
