/* Command: one decoded message. Filled by envelope.c, read by everything after it.
 *
 * Threads    one owner (the lane that decoded it).
 * Ownership  spans point into the message or the batch's arena.
 */
#ifndef WORKFLOWS_PARAMETERS_COMMAND_H
#define WORKFLOWS_PARAMETERS_COMMAND_H

#include "workflows/document/document.h"
#include "workflows/model/entity.h"
#include "workflows/model/outcomes.h"

struct workflow;

enum
{
    COMMAND_ID_MAX = 128, /* CONTRACT.md: source and id, bytes each */
    DIGEST_SIZE = 16,
};

struct command
{
    /* CloudEvents attributes; null where absent. */
    struct span source, id, type, subject, time, correlationid, causationid, traceparent, actor, tenant;
    bool has_expected_version;
    int64_t expected_version;
    bool has_not_before;
    int64_t not_before_us; /* Unix microseconds */
    bool after_parked;     /* PROTOCOL L4: waits for what is parked of its aggregate, whatever it waits for */

    uint8_t identity[DIGEST_SIZE];    /* sha256(source NUL id), first 128 bits */
    uint8_t body_digest[DIGEST_SIZE]; /* sha256(type NUL canonical data), first 128 bits (PROTOCOL R2) */
    /* The same with numbers as written: what rows hold that were recorded before equal numbers were equal. */
    uint8_t written_digest[DIGEST_SIZE];

    const struct workflow *workflow; /* NULL: unknown type */
    struct document document;        /* of the data */
    const struct node *data;         /* root of the data, or NULL */
    void *parameters; /* the workflow's struct, decoded by its table; valid when refusal is REASON_NONE */
    /* Its kind is AGGREGATE_NONE where only the decision on the rows shows it. The event of a refused command is about
     * the aggregate that its data names, else its subject, else its key. */
    struct aggregate aggregate;

    /* A command that was readable but is wrong is refused before any row is looked at. `refusal_metadata` is JSON
     * text: {"parameter":"/level","message":"..."} */
    enum reason refusal;
    struct span refusal_metadata;
};

#endif
