#include "workflows/workflow.h"

/* One line a workflow: workflow_ticket_create of type "ticket.create", and its retry policy: aggressive where a person
 * waits at a device, conservative where many rows are written at once. The order is the one of listings. */
#define WORKFLOWS(X) \
    X(ticket, create, DEFAULT) \
    X(ticket, transition, DEFAULT) \
    X(ticket, assign, DEFAULT) \
    X(ticket, escalate, DEFAULT) \
    X(ticket, append_history, DEFAULT) \
    X(ticket, bulk_update, CONSERVATIVE) \
    X(job, create, DEFAULT) \
    X(job, transition, DEFAULT) \
    X(job, autoclose, DEFAULT) \
    X(job, autoclose_checkpoints, CONSERVATIVE) \
    X(job, update_checkpoint, DEFAULT) \
    X(job, bulk_update_checkpoints, CONSERVATIVE) \
    X(job, assign, DEFAULT) \
    X(job, set_expiry, DEFAULT) \
    X(job, mark_mail_sent, DEFAULT) \
    X(job, sync_adhoc, DEFAULT) \
    X(job, save_checkpoint, DEFAULT) \
    X(job, save_geofence_assignment, DEFAULT) \
    X(attendance, punch, AGGRESSIVE) \
    X(attendance, record_face_result, AGGRESSIVE) \
    X(behaviour, update_profile, CONSERVATIVE) \
    X(json, merge, DEFAULT) \
    X(json, append, DEFAULT) \
    X(json, replace, DEFAULT) \
    X(json, apply, DEFAULT) \
    X(face, record_verification, AGGRESSIVE) \
    X(face, add_embedding, AGGRESSIVE) \
    X(face, remove_embedding, AGGRESSIVE)

#define X(group, verb, retry) extern const struct workflow workflow_##group##_##verb;
WORKFLOWS(X)
#undef X

const struct workflow *const workflows[] = {
#define X(group, verb, retry) &workflow_##group##_##verb,
    WORKFLOWS(X)
#undef X
        NULL,
};

/* Size and last byte tell most types apart before a single byte is compared; the texts lie one after another. */
struct fingerprint
{
    uint8_t size;
    char last;
};

static const struct fingerprint fingerprints[] = {
#define X(group, verb, retry) { sizeof(#group "." #verb) - 1, #verb[sizeof(#verb) - 2] },
    WORKFLOWS(X)
#undef X
};

static const enum retry_kind retries[] = {
#define X(group, verb, retry) RETRY_##retry,
    WORKFLOWS(X)
#undef X
};

enum retry_kind workflow_retry(const struct workflow *workflow)
{
    for (size_t i = 0; i < sizeof(retries) / sizeof(retries[0]); i++)
        if (workflows[i] == workflow)
            return retries[i];
    return RETRY_DEFAULT;
}

const char *retry_kind_name(enum retry_kind kind)
{
    static const char *const names[] = {
#define X(symbol, name) name,
        RETRY_KINDS(X)
#undef X
    };
    return names[kind];
}

const struct workflow *workflow_find(struct span type)
{
    for (size_t i = 0; i < sizeof(fingerprints) / sizeof(fingerprints[0]); i++)
        if (fingerprints[i].size == type.size && fingerprints[i].last == type.at[type.size - 1] &&
            memcmp(workflows[i]->type, type.at, type.size) == 0)
            return workflows[i];
    return NULL;
}
