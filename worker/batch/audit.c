#include "worker/batch/audit.h"

#include <assert.h>

/* The words as PostgreSQL's enums have them; index 0 is null, as in every list of names. */
static const char *const outcome_words[] = { NULL,
#define X(name, text) text,
                                             OUTCOMES(X)
#undef X
};

static const char *const operation_words[] = { NULL,
#define X(name) #name,
                                               OPERATIONS(X)
#undef X
};

static const struct names outcome_names = { outcome_words, sizeof(outcome_words) / sizeof(outcome_words[0]),
                                            "::interlock.outcome" };
static const struct names operation_names = { operation_words, sizeof(operation_words) / sizeof(operation_words[0]),
                                              "::interlock.operation" };

static const struct column audit_event_columns[] = {
    COLUMN(audit_record, event_id, COLUMN_UUID, 0, NULL),
    COLUMN(audit_record, kafka_offset, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, fence, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, changed_at, COLUMN_TIME, 0, NULL),
    COLUMN(audit_record, version_from, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, version_to, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, person_old, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, person_new, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, group_old, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, group_new, COLUMN_INT64, 0, NULL),
    COLUMN(audit_record, partition_id, COLUMN_INT32, 0, NULL),
    COLUMN(audit_record, lock_wait_us, COLUMN_INT32, 0, NULL),
    COLUMN(audit_record, transaction_us, COLUMN_INT32, 0, NULL),
    COLUMN(audit_record, outcome, COLUMN_NAME, 0, &outcome_names),
    COLUMN(audit_record, operation, COLUMN_NAME, 0, &operation_names),
    COLUMN(audit_record, format, COLUMN_INT32, 0, NULL),
    COLUMN(audit_record, aggregate, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, command_source, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, command_id, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, command_type, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, reason, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, status_old, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, status_new, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, changed_by, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, correlation_id, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, traceparent, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, also, COLUMN_TEXT, 0, NULL),
    COLUMN(audit_record, metadata, COLUMN_TEXT, 0, NULL),
};

static const struct column audit_also_columns[] = {
    COLUMN(audit_also, kafka_offset, COLUMN_INT64, 0, NULL), COLUMN(audit_also, fence, COLUMN_INT64, 0, NULL),
    COLUMN(audit_also, changed_at, COLUMN_TIME, 0, NULL),    COLUMN(audit_also, version_from, COLUMN_INT64, 0, NULL),
    COLUMN(audit_also, version_to, COLUMN_INT64, 0, NULL),   COLUMN(audit_also, partition_id, COLUMN_INT32, 0, NULL),
    COLUMN(audit_also, aggregate, COLUMN_TEXT, 0, NULL),
};

static const struct column inbox_columns[] = {
    COLUMN(inbox_record, identity, COLUMN_UUID, 0, NULL),      COLUMN(inbox_record, body_digest, COLUMN_UUID, 0, NULL),
    COLUMN(inbox_record, kafka_offset, COLUMN_INT64, 0, NULL), COLUMN(inbox_record, fence, COLUMN_INT64, 0, NULL),
    COLUMN(inbox_record, partition_id, COLUMN_INT32, 0, NULL),
};

#define PLAIN_ENTITY(table_name, type, list) \
    { \
        ENTITY_WITHOUT_VERSION, .table = table_name, .row_size = sizeof(struct type), .columns = (list), \
                                .column_count = ENTITY_COLUMN_COUNT(list), .key_count = 1 \
    }

const struct entity entity_audit_event = PLAIN_ENTITY("audit_event", audit_record, audit_event_columns);
const struct entity entity_audit_also = PLAIN_ENTITY("audit_also", audit_also, audit_also_columns);
const struct entity entity_inbox = PLAIN_ENTITY("inbox", inbox_record, inbox_columns);

/* --- the event --------------------------------------------------------------------------------------------------- */

static void add_integer_or_null(struct buffer *into, struct field_int field)
{
    if (field.set)
        buffer_add_int64(into, field.value);
    else
        buffer_add_text(into, "null");
}

static void add_string_member(struct buffer *into, const char *name, struct span value)
{
    buffer_add_text(into, name);
    buffer_add_json_string(into, value);
}

static void add_pair(struct buffer *into, const char *name, struct field_int old, struct field_int new)
{
    buffer_add_text(into, name);
    buffer_add_text(into, "{\"old\":");
    add_integer_or_null(into, old);
    buffer_add_text(into, ",\"new\":");
    add_integer_or_null(into, new);
    buffer_add_byte(into, '}');
}

static void add_id(struct buffer *into, struct id id)
{
    char text[UUID_TEXT_SIZE + 2];

    text[0] = text[UUID_TEXT_SIZE + 1] = '"';
    id_print_uuid(id, text + 1);
    buffer_add(into, text, sizeof(text));
}

static void add_attributes(const struct audit_record *record, struct buffer *into)
{
    buffer_add_text(into, "{\"specversion\":\"1.0\",\"id\":");
    add_id(into, record->event_id);
    buffer_add_text(into, ",\"source\":\"/interlock\",\"type\":\"interlock.audit\"");
    if (record->aggregate.at)
        add_string_member(into, ",\"subject\":", record->aggregate);
    buffer_add_text(into, ",\"time\":\"");
    buffer_add_time(into, record->changed_at.value);
    buffer_add_text(into, "\",\"datacontenttype\":\"application/json\"");
    if (record->aggregate.at)
        add_string_member(into, ",\"partitionkey\":", record->aggregate);
    if (record->correlation_id.at)
        add_string_member(into, ",\"correlationid\":", record->correlation_id);
    add_string_member(into, ",\"causationid\":", record->command_id);
    if (record->traceparent.at)
        add_string_member(into, ",\"traceparent\":", record->traceparent);
}

static void add_data(const struct audit_record *record, struct buffer *into)
{
    add_string_member(into, ",\"data\":{\"command\":{\"source\":", record->command_source);
    add_string_member(into, ",\"id\":", record->command_id);
    add_string_member(into, ",\"type\":", record->command_type);
    add_string_member(into, "},\"operation\":", span_of(operation_words[record->operation]));
    add_string_member(into, ",\"outcome\":", span_of(outcome_words[record->outcome]));
    add_string_member(into, ",\"reason\":", record->reason);
    buffer_add_text(into, ",\"version\":");
    if (record->version_from.set)
    {
        buffer_add_text(into, "{\"from\":");
        buffer_add_int64(into, record->version_from.value);
        buffer_add_text(into, ",\"to\":");
        add_integer_or_null(into, record->version_to);
        buffer_add_byte(into, '}');
    }
    else
        buffer_add_text(into, "null");
    add_string_member(into, ",\"status\":{\"old\":", record->status_old);
    add_string_member(into, ",\"new\":", record->status_new);
    add_pair(into, "},\"person\":", record->person_old, record->person_new);
    add_pair(into, ",\"group\":", record->group_old, record->group_new);
    buffer_add_text(into, ",\"also\":");
    buffer_add_span(into, record->also.at ? record->also : SPAN_LITERAL("[]"));
    add_string_member(into, ",\"actor\":", record->changed_by);
    buffer_add_text(into, ",\"lock_wait_us\":");
    buffer_add_int64(into, record->lock_wait_us.value);
    buffer_add_text(into, ",\"transaction_us\":");
    buffer_add_int64(into, record->transaction_us.value);
    buffer_add_text(into, ",\"metadata\":");
    buffer_add_span(into, record->metadata.at ? record->metadata : SPAN_LITERAL("{}"));
    buffer_add_text(into, "}}");
}

void audit_print_event(const struct audit_record *record, struct buffer *into)
{
    assert(record->outcome > 0 && record->changed_at.set); /* it was decided */
    add_attributes(record, into);
    add_data(record, into);
}

void audit_print_key(const struct audit_record *record, char *into, size_t size)
{
    size_t length = record->aggregate.size < size ? record->aggregate.size : size - 1;

    if (length > 0)
        memcpy(into, record->aggregate.at, length);
    into[length] = '\0';
}
