/* Outcomes, operations and reasons: the closed lists of CONTRACT.md and DOMAIN.md, each named once.
 *
 * Threads    const data.
 */
#ifndef WORKFLOWS_MODEL_OUTCOMES_H
#define WORKFLOWS_MODEL_OUTCOMES_H

#include <stdbool.h>

#define OUTCOMES(X) \
    X(APPLIED, "applied") \
    X(UNCHANGED, "unchanged") \
    X(REJECTED, "rejected")

#define OPERATIONS(X) \
    X(STATUS_CHANGE) \
    X(ASSIGNMENT_CHANGE) \
    X(CHECKPOINT_UPDATE) \
    X(AUTOCLOSE) \
    X(ESCALATION) \
    X(CREATION) \
    X(DELETION) \
    X(HISTORY_APPEND) \
    X(JSON_UPDATE) \
    X(COUNTER_UPDATE) \
    X(FLAG_SET) \
    X(FIELD_UPDATE)

/* Why a command is rejected. constraint:<name> is printed by the engine, which alone meets constraints. */
#define REASONS(X) \
    X(NOT_FOUND, "not_found") \
    X(INVALID_TRANSITION, "invalid_transition") \
    X(STALE_OBJECT, "stale_object") \
    X(INVALID_DATA, "invalid_data") \
    X(ID_REUSED, "id_reused") \
    X(ALREADY_EXISTS, "already_exists") \
    X(TOO_LARGE, "too_large") \
    X(UNKNOWN_TYPE, "unknown_type") \
    X(TEST_FAILED, "test_failed") \
    X(CANCELLED, "cancelled")

enum outcome
{
#define X(name, text) OUTCOME_##name,
    OUTCOMES(X)
#undef X
    OUTCOME__COUNT,
};

enum operation
{
    OPERATION_NONE, /* a command whose type is unknown */
#define X(name) OPERATION_##name,
    OPERATIONS(X)
#undef X
    OPERATION__COUNT,
};

enum reason
{
    REASON_NONE,
#define X(name, text) REASON_##name,
    REASONS(X)
#undef X
    REASON__COUNT,
};

/* Tells whether the operation is said of what became of the rows and not of the command's name: DOMAIN.md,
 * "Operations". */
bool operation_is_told_by_rows(enum operation operation);

const char *outcome_name(enum outcome outcome);
const char *operation_name(enum operation operation); /* NULL for OPERATION_NONE */
const char *reason_name(enum reason reason);          /* NULL for REASON_NONE */

#endif
