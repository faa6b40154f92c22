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
#define FIELD(member) offsetof(struct face_embedding_row, member)

static const struct column embedding_columns[] = {
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "user_id", COLUMN_INT64, FIELD(user_id), 0, NULL },
    { "model_id", COLUMN_INT64, FIELD(model_id), 0, NULL },
};

const struct entity entity_face_embedding = {
    ENTITY_WITHOUT_VERSION,
    .table = "face_embedding",
    .row_size = sizeof(struct face_embedding_row),
    .columns = embedding_columns,
    .column_count = ENTITY_COLUMN_COUNT(embedding_columns),
    .key_count = 1,
    .place = PLACE_FACE_EMBEDDING,
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
