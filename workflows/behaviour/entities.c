#include "workflows/behaviour/behaviour.h"

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
    [PROFILE_COLUMN_ID] = COLUMN(behaviour_profile_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [PROFILE_COLUMN_VERSION] = COLUMN(behaviour_profile_row, version, COLUMN_INT64, 0, NULL),
    [PROFILE_COLUMN_EVENT_COUNT] = COLUMN(behaviour_profile_row, event_count, COLUMN_INT64, 0, NULL),
    [PROFILE_COLUMN_CREATED_AT] = COLUMN(behaviour_profile_row, created_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    [PROFILE_COLUMN_MODIFIED_AT] = COLUMN(behaviour_profile_row, modified_at, COLUMN_TIME, 0, NULL),
    [PROFILE_COLUMN_FRAUD_RISK_SCORE] = COLUMN(behaviour_profile_row, fraud_risk_score, COLUMN_NUMBER, 0, NULL),
    [PROFILE_COLUMN_REGULARITY] = COLUMN(behaviour_profile_row, regularity, COLUMN_NUMBER, 0, NULL),
    [PROFILE_COLUMN_ARRIVAL_AVERAGE] = COLUMN(behaviour_profile_row, arrival_average, COLUMN_NUMBER, 0, NULL),
    [PROFILE_COLUMN_MODIFIED_BY] = COLUMN(behaviour_profile_row, modified_by, COLUMN_TEXT, 0, NULL),
    [PROFILE_COLUMN_ANOMALY_HISTORY] = COLUMN(behaviour_profile_row, anomaly_history, COLUMN_JSONB, 0, NULL),
    [PROFILE_COLUMN_ARRIVALS] = COLUMN(behaviour_profile_row, arrivals, COLUMN_JSONB, 0, NULL),
    [PROFILE_COLUMN_FREQUENT_LOCATIONS] = COLUMN(behaviour_profile_row, frequent_locations, COLUMN_JSONB, 0, NULL),
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

static const struct column event_columns[] = {
    COLUMN(behavioural_event_row, user_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, seq, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, recorded_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, punch_in, COLUMN_TIME, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, fraud_probability, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, face_confidence, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, latitude, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, longitude, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, face_verified, COLUMN_BOOL, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, attendance_id, COLUMN_UUID, COLUMN_FIXED, NULL),
    COLUMN(behavioural_event_row, anomaly, COLUMN_JSON, COLUMN_FIXED, NULL),
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
