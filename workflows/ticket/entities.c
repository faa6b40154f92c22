#include "workflows/ticket/ticket.h"

enum ticket_column
{
    TICKET_COLUMN_ID,
    TICKET_COLUMN_VERSION,
    TICKET_COLUMN_PERSON,
    TICKET_COLUMN_GROUP,
    TICKET_COLUMN_SITE,
    TICKET_COLUMN_CLIENT,
    TICKET_COLUMN_ASSET,
    TICKET_COLUMN_JOBNEED,
    TICKET_COLUMN_HISTORY_COUNT,
    TICKET_COLUMN_CREATED_AT,
    TICKET_COLUMN_MODIFIED_AT,
    TICKET_COLUMN_LEVEL,
    TICKET_COLUMN_ESCALATED,
    TICKET_COLUMN_STATUS,
    TICKET_COLUMN_PRIORITY,
    TICKET_COLUMN_SOURCE,
    TICKET_COLUMN_CATEGORY,
    TICKET_COLUMN_MODIFIED_BY,
    TICKET_COLUMN_COMMENTS,
    TICKET_COLUMN__COUNT,
};

static const struct column ticket_columns[TICKET_COLUMN__COUNT] = {
    [TICKET_COLUMN_ID] = COLUMN(ticket_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [TICKET_COLUMN_VERSION] = COLUMN(ticket_row, version, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_PERSON] = COLUMN(ticket_row, assigned_person_id, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_GROUP] = COLUMN(ticket_row, assigned_group_id, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_SITE] = COLUMN(ticket_row, site_id, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_CLIENT] = COLUMN(ticket_row, client_id, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_ASSET] = COLUMN(ticket_row, asset_id, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_JOBNEED] = COLUMN(ticket_row, jobneed_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    [TICKET_COLUMN_HISTORY_COUNT] = COLUMN(ticket_row, history_count, COLUMN_INT64, 0, NULL),
    [TICKET_COLUMN_CREATED_AT] = COLUMN(ticket_row, created_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    [TICKET_COLUMN_MODIFIED_AT] = COLUMN(ticket_row, modified_at, COLUMN_TIME, 0, NULL),
    [TICKET_COLUMN_LEVEL] = COLUMN(ticket_row, level, COLUMN_INT32, 0, NULL),
    [TICKET_COLUMN_ESCALATED] = COLUMN(ticket_row, escalated, COLUMN_BOOL, 0, NULL),
    [TICKET_COLUMN_STATUS] = COLUMN(ticket_row, status, COLUMN_NAME, 0, &names_ticket_status),
    [TICKET_COLUMN_PRIORITY] = COLUMN(ticket_row, priority, COLUMN_NAME, 0, &names_ticket_priority),
    [TICKET_COLUMN_SOURCE] = COLUMN(ticket_row, source, COLUMN_NAME, 0, &names_ticket_source),
    [TICKET_COLUMN_CATEGORY] = COLUMN(ticket_row, category, COLUMN_TEXT, 0, NULL),
    [TICKET_COLUMN_MODIFIED_BY] = COLUMN(ticket_row, modified_by, COLUMN_TEXT, 0, NULL),
    [TICKET_COLUMN_COMMENTS] = COLUMN(ticket_row, comments, COLUMN_TEXT, 0, NULL),
};

const struct entity entity_ticket = {
    .table = "ticket",
    .row_size = sizeof(struct ticket_row),
    .columns = ticket_columns,
    .column_count = TICKET_COLUMN__COUNT,
    .key_count = 1,
    .aggregate = AGGREGATE_TICKET,
    .parent = COLUMN_NOT_THERE,
    .root = true,
    .draw_ids = "draw_ticket_ids",
    .place = PLACE_TICKET,
    .version = TICKET_COLUMN_VERSION,
    .modified_at = TICKET_COLUMN_MODIFIED_AT,
    .modified_by = TICKET_COLUMN_MODIFIED_BY,
    .created_at = TICKET_COLUMN_CREATED_AT,
    .status = TICKET_COLUMN_STATUS,
    .person = TICKET_COLUMN_PERSON,
    .group = TICKET_COLUMN_GROUP,
};

static const struct column history_columns[] = {
    COLUMN(ticket_history_row, ticket_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, seq, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, occurred_at, COLUMN_TIME, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, people_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, who, COLUMN_TEXT, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, action, COLUMN_TEXT, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, details, COLUMN_JSON, COLUMN_FIXED, NULL),
    COLUMN(ticket_history_row, previous_state, COLUMN_JSON, COLUMN_FIXED, NULL),
};

const struct entity entity_ticket_history = {
    ENTITY_WITHOUT_VERSION,
    .table = "ticket_history",
    .row_size = sizeof(struct ticket_history_row),
    .columns = history_columns,
    .column_count = ENTITY_COLUMN_COUNT(history_columns),
    .key_count = 2,
    .place = PLACE_TICKET_HISTORY,
};

static const struct column matrix_columns[] = {
    COLUMN(escalation_matrix_row, site_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(escalation_matrix_row, category, COLUMN_TEXT, COLUMN_FIXED, NULL),
    COLUMN(escalation_matrix_row, client_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(escalation_matrix_row, level, COLUMN_INT32, COLUMN_FIXED, NULL),
    COLUMN(escalation_matrix_row, assigned_person_id, COLUMN_INT64, 0, NULL),
    COLUMN(escalation_matrix_row, assigned_group_id, COLUMN_INT64, 0, NULL),
};

const struct entity entity_escalation_matrix = {
    ENTITY_WITHOUT_VERSION,
    .table = "escalation_matrix",
    .row_size = sizeof(struct escalation_matrix_row),
    .columns = matrix_columns,
    .column_count = ENTITY_COLUMN_COUNT(matrix_columns),
    .key_count = 4,
    .place = PLACE_ESCALATION_MATRIX,
};

static const struct column ticket_of_jobneed_columns[] = {
    COLUMN(ticket_of_jobneed_row, jobneed_id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(ticket_of_jobneed_row, id, COLUMN_INT64, COLUMN_FIXED, NULL),
};

const struct entity entity_ticket_of_jobneed = {
    ENTITY_WITHOUT_VERSION,
    .table = "ticket",
    .row_size = sizeof(struct ticket_of_jobneed_row),
    .columns = ticket_of_jobneed_columns,
    .column_count = ENTITY_COLUMN_COUNT(ticket_of_jobneed_columns),
    .key_count = 1,
    .place = PLACE_TICKET_OF_JOBNEED,
};
