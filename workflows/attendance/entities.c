#include "workflows/attendance/attendance.h"

#define FIELD(member) offsetof(struct attendance_row, member)

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
    [ATTENDANCE_COLUMN_ID] = { "id", COLUMN_UUID, FIELD(id), COLUMN_FIXED, NULL },
    [ATTENDANCE_COLUMN_VERSION] = { "version", COLUMN_INT64, FIELD(version), 0, NULL },
    [ATTENDANCE_COLUMN_PERSON] = { "person_id", COLUMN_INT64, FIELD(person_id), COLUMN_FIXED, NULL },
    [ATTENDANCE_COLUMN_SITE] = { "site_id", COLUMN_INT64, FIELD(site_id), 0, NULL },
    [ATTENDANCE_COLUMN_SHIFT] = { "shift_id", COLUMN_INT64, FIELD(shift_id), 0, NULL },
    [ATTENDANCE_COLUMN_PUNCH_IN] = { "punch_in", COLUMN_TIME, FIELD(punch_in), 0, NULL },
    [ATTENDANCE_COLUMN_PUNCH_OUT] = { "punch_out", COLUMN_TIME, FIELD(punch_out), 0, NULL },
    [ATTENDANCE_COLUMN_CREATED_AT] = { "created_at", COLUMN_TIME, FIELD(created_at), COLUMN_FIXED, NULL },
    [ATTENDANCE_COLUMN_MODIFIED_AT] = { "modified_at", COLUMN_TIME, FIELD(modified_at), 0, NULL },
    [ATTENDANCE_COLUMN_START_LATITUDE] = { "start_latitude", COLUMN_NUMBER, FIELD(start_latitude), 0, NULL },
    [ATTENDANCE_COLUMN_START_LONGITUDE] = { "start_longitude", COLUMN_NUMBER, FIELD(start_longitude), 0, NULL },
    [ATTENDANCE_COLUMN_END_LATITUDE] = { "end_latitude", COLUMN_NUMBER, FIELD(end_latitude), 0, NULL },
    [ATTENDANCE_COLUMN_END_LONGITUDE] = { "end_longitude", COLUMN_NUMBER, FIELD(end_longitude), 0, NULL },
    [ATTENDANCE_COLUMN_FACE_IN] = { "face_in", COLUMN_BOOL, FIELD(face_in), 0, NULL },
    [ATTENDANCE_COLUMN_FACE_OUT] = { "face_out", COLUMN_BOOL, FIELD(face_out), 0, NULL },
    [ATTENDANCE_COLUMN_MODIFIED_BY] = { "modified_by", COLUMN_TEXT, FIELD(modified_by), 0, NULL },
    [ATTENDANCE_COLUMN_EXTRAS] = { "extras", COLUMN_JSONB, FIELD(extras), 0, NULL },
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

#undef FIELD
#define FIELD(member) offsetof(struct geofence_assignment_row, member)

static const struct column assignee_columns[] = {
    { "person_id", COLUMN_INT64, FIELD(person_id), COLUMN_FIXED, NULL },
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "geofence_id", COLUMN_INT64, FIELD(geofence_id), COLUMN_FIXED, NULL },
    { "starts_at", COLUMN_TIME, FIELD(starts_at), COLUMN_FIXED, NULL },
    { "ends_at", COLUMN_TIME, FIELD(ends_at), COLUMN_FIXED, NULL },
    { "from_minute", COLUMN_INT32, FIELD(from_minute), COLUMN_FIXED, NULL },
    { "until_minute", COLUMN_INT32, FIELD(until_minute), COLUMN_FIXED, NULL },
    { "utc_offset_minutes", COLUMN_INT32, FIELD(utc_offset_minutes), COLUMN_FIXED, NULL },
    { "identifier", COLUMN_NAME, FIELD(identifier), COLUMN_FIXED, &names_job_identifier },
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

#undef FIELD
#define FIELD(member) offsetof(struct geofence_row, member)

static const struct column geofence_columns[] = {
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "center_latitude", COLUMN_NUMBER, FIELD(center_latitude), COLUMN_FIXED, NULL },
    { "center_longitude", COLUMN_NUMBER, FIELD(center_longitude), COLUMN_FIXED, NULL },
    { "radius_m", COLUMN_NUMBER, FIELD(radius_m), COLUMN_FIXED, NULL },
    { "enabled", COLUMN_BOOL, FIELD(enabled), COLUMN_FIXED, NULL },
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

#undef FIELD
#define FIELD(member) offsetof(struct geofence_vertex_row, member)

static const struct column vertex_columns[] = {
    { "geofence_id", COLUMN_INT64, FIELD(geofence_id), COLUMN_FIXED, NULL },
    { "seq", COLUMN_INT32, FIELD(seq), COLUMN_FIXED, NULL },
    { "latitude", COLUMN_NUMBER, FIELD(latitude), COLUMN_FIXED, NULL },
    { "longitude", COLUMN_NUMBER, FIELD(longitude), COLUMN_FIXED, NULL },
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

#undef FIELD
#define FIELD(member) offsetof(struct shift_row, member)

static const struct column shift_columns[] = {
    { "site_id", COLUMN_INT64, FIELD(site_id), COLUMN_FIXED, NULL },
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    { "start_minute", COLUMN_INT32, FIELD(start_minute), COLUMN_FIXED, NULL },
    { "utc_offset_minutes", COLUMN_INT32, FIELD(utc_offset_minutes), COLUMN_FIXED, NULL },
    { "enabled", COLUMN_BOOL, FIELD(enabled), COLUMN_FIXED, NULL },
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
