#include "workflows/behaviour/behaviour.h"

#define FIELD(member) offsetof(struct behaviour_profile_row, member)

enum profile_column
{
    PROFILE_COLUMN_ID,
    PROFILE_COLUMN_VERSION,
    PROFILE_COLUMN_EVENT_COUNT,
    PROFILE_COLUMN_CREATED_AT,
    PROFILE_COLUMN_MODIFIED_AT,
    PROFILE_COLUMN_FRAUD_RISK_SCORE,
    PROFILE_COLUMN_REGULARITY,
    PROFILE_COLUMN_ARRIVAL_AVERAGE,
    PROFILE_COLUMN_MODIFIED_BY,
    PROFILE_COLUMN_ANOMALY_HISTORY,
    PROFILE_COLUMN_ARRIVALS,
    PROFILE_COLUMN_FREQUENT_LOCATIONS,
    PROFILE_COLUMN__COUNT,
};

static const struct column profile_columns[PROFILE_COLUMN__COUNT] = {
    [PROFILE_COLUMN_ID] = { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    [PROFILE_COLUMN_VERSION] = { "version", COLUMN_INT64, FIELD(version), 0, NULL },
    [PROFILE_COLUMN_EVENT_COUNT] = { "event_count", COLUMN_INT64, FIELD(event_count), 0, NULL },
    [PROFILE_COLUMN_CREATED_AT] = { "created_at", COLUMN_TIME, FIELD(created_at), COLUMN_FIXED, NULL },
    [PROFILE_COLUMN_MODIFIED_AT] = { "modified_at", COLUMN_TIME, FIELD(modified_at), 0, NULL },
    [PROFILE_COLUMN_FRAUD_RISK_SCORE] = { "fraud_risk_score", COLUMN_NUMBER, FIELD(fraud_risk_score), 0, NULL },
    [PROFILE_COLUMN_REGULARITY] = { "regularity", COLUMN_NUMBER, FIELD(regularity), 0, NULL },
    [PROFILE_COLUMN_ARRIVAL_AVERAGE] = { "arrival_average", COLUMN_NUMBER, FIELD(arrival_average), 0, NULL },
    [PROFILE_COLUMN_MODIFIED_BY] = { "modified_by", COLUMN_TEXT, FIELD(modified_by), 0, NULL },
    [PROFILE_COLUMN_ANOMALY_HISTORY] = { "anomaly_history", COLUMN_JSONB, FIELD(anomaly_history), 0, NULL },
    [PROFILE_COLUMN_ARRIVALS] = { "arrivals", COLUMN_JSONB, FIELD(arrivals), 0, NULL },
    [PROFILE_COLUMN_FREQUENT_LOCATIONS] = { "frequent_locations", COLUMN_JSONB, FIELD(frequent_locations), 0, NULL },
};

const struct entity entity_behaviour_profile = {
    .table = "behaviour_profile",
    .row_size = sizeof(struct behaviour_profile_row),
    .columns = profile_columns,
    .column_count = PROFILE_COLUMN__COUNT,
    .key_count = 1,
    .aggregate = AGGREGATE_BEHAVIOUR,
    .parent = COLUMN_NOT_THERE,
    .root = true,
    .place = PLACE_BEHAVIOUR_PROFILE,
    .version = PROFILE_COLUMN_VERSION,
    .modified_at = PROFILE_COLUMN_MODIFIED_AT,
    .modified_by = PROFILE_COLUMN_MODIFIED_BY,
    .created_at = PROFILE_COLUMN_CREATED_AT,
    .status = COLUMN_NOT_THERE,
    .person = COLUMN_NOT_THERE,
    .group = COLUMN_NOT_THERE,
};

#undef FIELD
#define FIELD(member) offsetof(struct behavioural_event_row, member)

static const struct column event_columns[] = {
    { "user_id", COLUMN_INT64, FIELD(user_id), COLUMN_FIXED, NULL },
    { "seq", COLUMN_INT64, FIELD(seq), COLUMN_FIXED, NULL },
    { "recorded_at", COLUMN_TIME, FIELD(recorded_at), COLUMN_FIXED, NULL },
    { "punch_in", COLUMN_TIME, FIELD(punch_in), COLUMN_FIXED, NULL },
    { "fraud_probability", COLUMN_NUMBER, FIELD(fraud_probability), COLUMN_FIXED, NULL },
    { "face_confidence", COLUMN_NUMBER, FIELD(face_confidence), COLUMN_FIXED, NULL },
    { "latitude", COLUMN_NUMBER, FIELD(latitude), COLUMN_FIXED, NULL },
    { "longitude", COLUMN_NUMBER, FIELD(longitude), COLUMN_FIXED, NULL },
    { "face_verified", COLUMN_BOOL, FIELD(face_verified), COLUMN_FIXED, NULL },
    { "attendance_id", COLUMN_UUID, FIELD(attendance_id), COLUMN_FIXED, NULL },
    { "anomaly", COLUMN_JSON, FIELD(anomaly), COLUMN_FIXED, NULL },
};

const struct entity entity_behavioural_event = {
    ENTITY_WITHOUT_VERSION,
    .table = "behavioural_event",
    .row_size = sizeof(struct behavioural_event_row),
    .columns = event_columns,
    .column_count = ENTITY_COLUMN_COUNT(event_columns),
    .key_count = 2,
    .place = PLACE_BEHAVIOURAL_EVENT,
};
