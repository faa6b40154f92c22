#include "workflows/attendance/attendance.h"

enum attendance_column
{
    ATTENDANCE_COLUMN_ID,
    ATTENDANCE_COLUMN_VERSION,
    ATTENDANCE_COLUMN_PERSON,
    ATTENDANCE_COLUMN_SITE,
    ATTENDANCE_COLUMN_SHIFT,
    ATTENDANCE_COLUMN_PUNCH_IN,
    ATTENDANCE_COLUMN_PUNCH_OUT,
    ATTENDANCE_COLUMN_CREATED_AT,
    ATTENDANCE_COLUMN_MODIFIED_AT,
    ATTENDANCE_COLUMN_START_LATITUDE,
    ATTENDANCE_COLUMN_START_LONGITUDE,
    ATTENDANCE_COLUMN_END_LATITUDE,
    ATTENDANCE_COLUMN_END_LONGITUDE,
    ATTENDANCE_COLUMN_FACE_IN,
    ATTENDANCE_COLUMN_FACE_OUT,
    ATTENDANCE_COLUMN_MODIFIED_BY,
    ATTENDANCE_COLUMN_EXTRAS,
    ATTENDANCE_COLUMN__COUNT,
};

static const struct column attendance_columns[ATTENDANCE_COLUMN__COUNT] = {
    [ATTENDANCE_COLUMN_ID] = COLUMN(attendance_row, id, COLUMN_UUID, COLUMN_FIXED, NULL),
    [ATTENDANCE_COLUMN_VERSION] = COLUMN(attendance_row, version, COLUMN_INT64, 0, NULL),
    [ATTENDANCE_COLUMN_PERSON] = COLUMN(attendance_row, person_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [ATTENDANCE_COLUMN_SITE] = COLUMN(attendance_row, site_id, COLUMN_INT64, 0, NULL),
    [ATTENDANCE_COLUMN_SHIFT] = COLUMN(attendance_row, shift_id, COLUMN_INT64, 0, NULL),
    [ATTENDANCE_COLUMN_PUNCH_IN] = COLUMN(attendance_row, punch_in, COLUMN_TIME, 0, NULL),
    [ATTENDANCE_COLUMN_PUNCH_OUT] = COLUMN(attendance_row, punch_out, COLUMN_TIME, 0, NULL),
    [ATTENDANCE_COLUMN_CREATED_AT] = COLUMN(attendance_row, created_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    [ATTENDANCE_COLUMN_MODIFIED_AT] = COLUMN(attendance_row, modified_at, COLUMN_TIME, 0, NULL),
    [ATTENDANCE_COLUMN_START_LATITUDE] = COLUMN(attendance_row, start_latitude, COLUMN_NUMBER, 0, NULL),
    [ATTENDANCE_COLUMN_START_LONGITUDE] = COLUMN(attendance_row, start_longitude, COLUMN_NUMBER, 0, NULL),
    [ATTENDANCE_COLUMN_END_LATITUDE] = COLUMN(attendance_row, end_latitude, COLUMN_NUMBER, 0, NULL),
    [ATTENDANCE_COLUMN_END_LONGITUDE] = COLUMN(attendance_row, end_longitude, COLUMN_NUMBER, 0, NULL),
    [ATTENDANCE_COLUMN_FACE_IN] = COLUMN(attendance_row, face_in, COLUMN_BOOL, 0, NULL),
    [ATTENDANCE_COLUMN_FACE_OUT] = COLUMN(attendance_row, face_out, COLUMN_BOOL, 0, NULL),
    [ATTENDANCE_COLUMN_MODIFIED_BY] = COLUMN(attendance_row, modified_by, COLUMN_TEXT, 0, NULL),
    [ATTENDANCE_COLUMN_EXTRAS] = COLUMN(attendance_row, extras, COLUMN_JSONB, 0, NULL),
};

const struct entity entity_attendance = {
    .table = "attendance",
    .row_size = sizeof(struct attendance_row),
    .columns = attendance_columns,
    .column_count = ATTENDANCE_COLUMN__COUNT,
    .key_count = 1,
    .aggregate = AGGREGATE_ATTENDANCE,
    .parent = COLUMN_NOT_THERE,
    .root = true,
    .place = PLACE_ATTENDANCE,
    .version = ATTENDANCE_COLUMN_VERSION,
    .modified_at = ATTENDANCE_COLUMN_MODIFIED_AT,
    .modified_by = ATTENDANCE_COLUMN_MODIFIED_BY,
    .created_at = ATTENDANCE_COLUMN_CREATED_AT,
    .status = COLUMN_NOT_THERE,
    .person = COLUMN_NOT_THERE,
    .group = COLUMN_NOT_THERE,
};

static const struct column assignee_columns[] = {
    COLUMN(geofence_assignment_row, person_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, geofence_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, starts_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, ends_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, from_minute, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, until_minute, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, utc_offset_minutes, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(geofence_assignment_row, identifier, COLUMN_NAME, COLUMN_FIXED, &names_job_identifier),
};

const struct entity entity_geofence_assignment = {
    ENTITY_WITHOUT_VERSION,
    .table = "job",
    .row_size = sizeof(struct geofence_assignment_row),
    .columns = assignee_columns,
    .column_count = ENTITY_COLUMN_COUNT(assignee_columns),
    .key_count = 2,
    .place = PLACE_GEOFENCE_ASSIGNMENT,
};

static const struct column geofence_columns[] = {
    COLUMN(geofence_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(geofence_row, center_latitude, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(geofence_row, center_longitude, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(geofence_row, radius_m, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(geofence_row, enabled, COLUMN_BOOL, COLUMN_FIXED, NULL),
};

const struct entity entity_geofence = {
    ENTITY_WITHOUT_VERSION,
    .table = "geofence",
    .row_size = sizeof(struct geofence_row),
    .columns = geofence_columns,
    .column_count = ENTITY_COLUMN_COUNT(geofence_columns),
    .key_count = 1,
    .place = PLACE_GEOFENCE,
};

static const struct column vertex_columns[] = {
    COLUMN(geofence_vertex_row, geofence_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(geofence_vertex_row, seq, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(geofence_vertex_row, latitude, COLUMN_NUMBER, COLUMN_FIXED, NULL),
    COLUMN(geofence_vertex_row, longitude, COLUMN_NUMBER, COLUMN_FIXED, NULL),
};

const struct entity entity_geofence_vertex = {
    ENTITY_WITHOUT_VERSION,
    .table = "geofence_vertex",
    .row_size = sizeof(struct geofence_vertex_row),
    .columns = vertex_columns,
    .column_count = ENTITY_COLUMN_COUNT(vertex_columns),
    .key_count = 2,
    .place = PLACE_GEOFENCE_VERTEX,
};

static const struct column shift_columns[] = {
    COLUMN(shift_row, site_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(shift_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(shift_row, start_minute, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(shift_row, utc_offset_minutes, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(shift_row, enabled, COLUMN_BOOL, COLUMN_FIXED, NULL),
};

const struct entity entity_shift = {
    ENTITY_WITHOUT_VERSION,
    .table = "shift",
    .row_size = sizeof(struct shift_row),
    .columns = shift_columns,
    .column_count = ENTITY_COLUMN_COUNT(shift_columns),
    .key_count = 2,
    .place = PLACE_SHIFT,
};
