/* Id and aggregate: what names a row, and the one name per aggregate that is its Kafka key, its lock and its subject
 * (DOMAIN.md, "Aggregates").
 *
 * Threads    values; no state.
 */
#ifndef WORKFLOWS_MODEL_ID_H
#define WORKFLOWS_MODEL_ID_H

#include <endian.h>

#include "workflows/base/buffer.h"

struct id /* a 64-bit id (high 0), or a uuid (big-endian halves) */
{
    uint64_t high;
    uint64_t low;
};

static inline struct id id_of(int64_t number)
{
    return (struct id){ 0, (uint64_t)number };
}

static inline bool id_equal(struct id a, struct id b)
{
    return a.low == b.low && a.high == b.high;
}

/* A uuid's 16 bytes, in the order in which they are written. */
static inline struct id id_of_bytes(const void *bytes)
{
    uint64_t halves[2];
    memcpy(halves, bytes, sizeof(halves));
    return (struct id){ be64toh(halves[0]), be64toh(halves[1]) };
}

enum
{
    UUID_TEXT_SIZE = 36,
};

/* "0c5c7fd0-0000-4000-8000-000000000000": hexadecimal digits of either case are read, lower case is printed; no NUL. */
bool id_parse_uuid(struct span text, struct id *ret);
void id_print_uuid(struct id id, char into[UUID_TEXT_SIZE]);

enum aggregate_kind
{
    AGGREGATE_NONE,
    AGGREGATE_JOBNEED,
    AGGREGATE_JOB,
    AGGREGATE_TICKET,
    AGGREGATE_ATTENDANCE,
    AGGREGATE_FACE_USER,
    AGGREGATE_FACE_MODEL,
    AGGREGATE_BEHAVIOUR,
    AGGREGATE__COUNT,
};

struct aggregate
{
    enum aggregate_kind kind;
    struct id id;
};

enum
{
    AGGREGATE_KEY_MAX = 64, /* the longest printed key, with its NUL */
};

/* "ticket/42"; returns the length. */
size_t aggregate_print(struct aggregate aggregate, char into[AGGREGATE_KEY_MAX]);

/* False when the text is not a key as aggregate_print writes it, apart from the case of a uuid's digits: iOS prints
 * them in upper case. Locks, subjects and keys of events are printed, so an aggregate has one of each whatever it was
 * read from. */
bool aggregate_parse(struct span text, struct aggregate *ret);

/* Tells whether the kind's ids are uuids (attendance) rather than 64-bit numbers. */
bool aggregate_has_uuid(enum aggregate_kind kind);

#endif
