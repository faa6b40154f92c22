#include "workflows/ticket/ticket.h"

#define FIELD(member) offsetof(struct ticket_row, member)

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
    [TICKET_COLUMN_ID] = { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
    [TICKET_COLUMN_VERSION] = { "version", COLUMN_INT64, FIELD(version), 0, NULL },
    [TICKET_COLUMN_PERSON] = { "assigned_person_id", COLUMN_INT64, FIELD(assigned_person_id), 0, NULL },
    [TICKET_COLUMN_GROUP] = { "assigned_group_id", COLUMN_INT64, FIELD(assigned_group_id), 0, NULL },
    [TICKET_COLUMN_SITE] = { "site_id", COLUMN_INT64, FIELD(site_id), 0, NULL },
    [TICKET_COLUMN_CLIENT] = { "client_id", COLUMN_INT64, FIELD(client_id), 0, NULL },
    [TICKET_COLUMN_ASSET] = { "asset_id", COLUMN_INT64, FIELD(asset_id), 0, NULL },
    [TICKET_COLUMN_JOBNEED] = { "jobneed_id", COLUMN_INT64, FIELD(jobneed_id), COLUMN_FIXED, NULL },
    [TICKET_COLUMN_HISTORY_COUNT] = { "history_count", COLUMN_INT64, FIELD(history_count), 0, NULL },
    [TICKET_COLUMN_CREATED_AT] = { "created_at", COLUMN_TIME, FIELD(created_at), COLUMN_FIXED, NULL },
    [TICKET_COLUMN_MODIFIED_AT] = { "modified_at", COLUMN_TIME, FIELD(modified_at), 0, NULL },
    [TICKET_COLUMN_LEVEL] = { "level", COLUMN_INT32, FIELD(level), 0, NULL },
    [TICKET_COLUMN_ESCALATED] = { "escalated", COLUMN_BOOL, FIELD(escalated), 0, NULL },
    [TICKET_COLUMN_STATUS] = { "status", COLUMN_NAME, FIELD(status), 0, &names_ticket_status },
    [TICKET_COLUMN_PRIORITY] = { "priority", COLUMN_NAME, FIELD(priority), 0, &names_ticket_priority },
    [TICKET_COLUMN_SOURCE] = { "source", COLUMN_NAME, FIELD(source), 0, &names_ticket_source },
    [TICKET_COLUMN_CATEGORY] = { "category", COLUMN_TEXT, FIELD(category), 0, NULL },
    [TICKET_COLUMN_MODIFIED_BY] = { "modified_by", COLUMN_TEXT, FIELD(modified_by), 0, NULL },
    [TICKET_COLUMN_COMMENTS] = { "comments", COLUMN_TEXT, FIELD(comments), 0, NULL },
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

#undef FIELD
#define FIELD(member) offsetof(struct ticket_history_row, member)

static const struct column history_columns[] = {
    { "ticket_id", COLUMN_INT64, FIELD(ticket_id), COLUMN_FIXED, NULL },
    { "seq", COLUMN_INT64, FIELD(seq), COLUMN_FIXED, NULL },
    { "occurred_at", COLUMN_TIME, FIELD(occurred_at), COLUMN_FIXED, NULL },
    { "people_id", COLUMN_INT64, FIELD(people_id), COLUMN_FIXED, NULL },
    { "who", COLUMN_TEXT, FIELD(who), COLUMN_FIXED, NULL },
    { "action", COLUMN_TEXT, FIELD(action), COLUMN_FIXED, NULL },
    { "details", COLUMN_JSON, FIELD(details), COLUMN_FIXED, NULL },
    { "previous_state", COLUMN_JSON, FIELD(previous_state), COLUMN_FIXED, NULL },
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

#undef FIELD
#define FIELD(member) offsetof(struct escalation_matrix_row, member)

static const struct column matrix_columns[] = {
    { "site_id", COLUMN_INT64, FIELD(site_id), COLUMN_FIXED, NULL },
    { "category", COLUMN_TEXT, FIELD(category), COLUMN_FIXED, NULL },
    { "client_id", COLUMN_INT64, FIELD(client_id), COLUMN_FIXED, NULL },
    { "level", COLUMN_INT32, FIELD(level), COLUMN_FIXED, NULL },
    { "assigned_person_id", COLUMN_INT64, FIELD(assigned_person_id), 0, NULL },
    { "assigned_group_id", COLUMN_INT64, FIELD(assigned_group_id), 0, NULL },
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

#undef FIELD
#define FIELD(member) offsetof(struct ticket_of_jobneed_row, member)

static const struct column ticket_of_jobneed_columns[] = {
    { "jobneed_id", COLUMN_INT64, FIELD(jobneed_id), COLUMN_FIXED, NULL },
    { "id", COLUMN_INT64, FIELD(id), COLUMN_FIXED, NULL },
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
