#include "worker/batch/set_aside.h"

#define PARKED(name, kind) COLUMN(parked_row, name, kind, 0, NULL)
#define LETTER(name, kind) COLUMN(letter_row, name, kind, 0, NULL)

static const struct column parked_columns[] = {
    PARKED(identity, COLUMN_UUID),       PARKED(kafka_offset, COLUMN_INT64), PARKED(fence, COLUMN_INT64),
    PARKED(partition_id, COLUMN_INT32),  PARKED(due_at, COLUMN_TIME),        PARKED(blocks, COLUMN_BOOL),
    PARKED(waits, COLUMN_BOOL),          PARKED(reason, COLUMN_TEXT),        PARKED(aggregate, COLUMN_TEXT),
    PARKED(command_source, COLUMN_TEXT), PARKED(command_id, COLUMN_TEXT),    PARKED(command_type, COLUMN_TEXT),
    PARKED(kafka_key, COLUMN_BYTES),     PARKED(headers, COLUMN_BYTES),      PARKED(value, COLUMN_BYTES),
    PARKED(tenant, COLUMN_TEXT),         PARKED(pause_id, COLUMN_INT32),
};

const struct entity entity_parked_command = {
    .table = "parked_command",
    .row_size = sizeof(struct parked_row),
    .columns = parked_columns,
    .column_count = ENTITY_COLUMN_COUNT(parked_columns),
    .key_count = 1,
    ENTITY_WITHOUT_VERSION,
};

static const struct column letter_columns[] = {
    LETTER(partition_id, COLUMN_INT32), LETTER(kafka_offset, COLUMN_INT64),   LETTER(digest, COLUMN_BYTES),
    LETTER(fence, COLUMN_INT64),        LETTER(first_failed_at, COLUMN_TIME), LETTER(bytes, COLUMN_INT32),
    LETTER(attempts, COLUMN_INT32),     LETTER(reason, COLUMN_TEXT),          LETTER(key, COLUMN_TEXT),
    LETTER(says, COLUMN_TEXT),          LETTER(command_source, COLUMN_TEXT),  LETTER(command_id, COLUMN_TEXT),
    LETTER(command_type, COLUMN_TEXT),
};

const struct entity entity_dead_letter = {
    .table = "dead_letter",
    .row_size = sizeof(struct letter_row),
    .columns = letter_columns,
    .column_count = ENTITY_COLUMN_COUNT(letter_columns),
    .key_count = 3,
    ENTITY_WITHOUT_VERSION,
};
