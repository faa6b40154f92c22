#include "workflows/model/outcomes.h"

#include <stddef.h>

static const char *const outcome_names[OUTCOME__COUNT] = {
#define X(name, text) [OUTCOME_##name] = text,
    OUTCOMES(X)
#undef X
};

static const char *const operation_names[OPERATION__COUNT] = {
#define X(name) [OPERATION_##name] = #name,
    OPERATIONS(X)
#undef X
};

static const char *const reason_names[REASON__COUNT] = {
#define X(name, text) [REASON_##name] = text,
    REASONS(X)
#undef X
};

const char *outcome_name(enum outcome outcome)
{
    return outcome_names[outcome];
}

const char *operation_name(enum operation operation)
{
    return operation_names[operation];
}

const char *reason_name(enum reason reason)
{
    return reason_names[reason];
}

bool operation_is_told_by_rows(enum operation operation)
{
    return operation == OPERATION_CREATION || operation == OPERATION_STATUS_CHANGE ||
           operation == OPERATION_ASSIGNMENT_CHANGE || operation == OPERATION_FIELD_UPDATE;
}
