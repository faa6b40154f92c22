/* Audit: the record of the result of a command, and the event printed from it.
 *
 * The record is a row of audit_event; the event is printed by one function from one struct, filled either by the batch
 * or from the row, so that an event that must be published again has the same bytes (PROTOCOL R3).
 *
 * Threads    values; no state.
 * Ownership  spans are borrowed from whoever filled the record.
 */
#ifndef WORKER_BATCH_AUDIT_H
#define WORKER_BATCH_AUDIT_H

#include "workflows/model/entity.h"
#include "workflows/model/outcomes.h"

enum
{
    AUDIT_FORMAT = 1,              /* of the printed event; a new printer takes a new number, old ones stay */
    AUDIT_EVENT_SIZE_MAX = 262144, /* PROTOCOL R5: bytes */
    AUDIT_ALSO_MAX = 500,          /* PROTOCOL B7 */
};

struct audit_record
{
    struct id event_id;
    struct field_int kafka_offset, fence, changed_at; /* changed_at: Unix microseconds */
    struct field_int version_from, version_to, person_old, person_new, group_old, group_new;
    struct field_int partition_id, lock_wait_us, transaction_us, format;
    int outcome, operation; /* 1 + enum outcome; enum operation */
    struct span aggregate, command_source, command_id, command_type, reason, status_old, status_new;
    struct span changed_by, correlation_id, traceparent;
    struct span also;     /* JSON array text, or null */
    struct span metadata; /* JSON object text, or null */
};

extern const struct entity entity_audit_event;

/* A further aggregate changed by the same command (PROTOCOL B7). */
struct audit_also
{
    struct field_int kafka_offset, fence, changed_at, version_from, version_to, partition_id;
    struct span aggregate;
};

extern const struct entity entity_audit_also;

/* PROTOCOL R1, R2: a message that is seen again is recognised by it. */
struct inbox_record
{
    struct id identity, body_digest;
    struct field_int kafka_offset, fence, partition_id;
};

extern const struct entity entity_inbox;

/* The CloudEvent of CONTRACT.md, structured mode. */
void audit_print_event(const struct audit_record *record, struct buffer *into);

/* The Kafka key of the event: the aggregate; empty when there is none. */
void audit_print_key(const struct audit_record *record, char *into, size_t size);

#endif
