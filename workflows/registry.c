#include "workflows/workflow.h"

/* One line a workflow: workflow_ticket_create of type "ticket.create". The order is the one of listings. */
#define WORKFLOWS(X)                                                                                                   \
    X(ticket, create)                                                                                                  \
    X(ticket, transition)                                                                                              \
    X(ticket, assign)                                                                                                  \
    X(ticket, escalate)                                                                                                \
    X(ticket, append_history)                                                                                          \
    X(ticket, bulk_update)                                                                                             \
    X(job, create)                                                                                                     \
    X(job, transition)                                                                                                 \
    X(job, autoclose)                                                                                                  \
    X(job, autoclose_checkpoints)                                                                                      \
    X(job, update_checkpoint)                                                                                          \
    X(job, bulk_update_checkpoints)                                                                                    \
    X(job, assign)                                                                                                     \
    X(job, set_expiry)                                                                                                 \
    X(job, mark_mail_sent)                                                                                             \
    X(job, sync_adhoc)                                                                                                 \
    X(job, save_checkpoint)                                                                                            \
    X(job, save_geofence_assignment)                                                                                   \
    X(attendance, punch)                                                                                               \
    X(attendance, record_face_result)                                                                                  \
    X(behaviour, update_profile)                                                                                       \
    X(json, merge)                                                                                                     \
    X(json, append)                                                                                                    \
    X(json, replace)                                                                                                   \
    X(json, apply)                                                                                                     \
    X(face, record_verification)                                                                                       \
    X(face, add_embedding)                                                                                             \
    X(face, remove_embedding)

#define X(group, verb) extern const struct workflow workflow_##group##_##verb;
WORKFLOWS(X)
#undef X

const struct workflow *const workflows[] = {
#define X(group, verb) &workflow_##group##_##verb,
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
#define X(group, verb) { sizeof(#group "." #verb) - 1, #verb[sizeof(#verb) - 2] },
    WORKFLOWS(X)
#undef X
};

const struct workflow *workflow_find(struct span type)
{
    for (size_t i = 0; i < sizeof(fingerprints) / sizeof(fingerprints[0]); i++)
        if (fingerprints[i].size == type.size && fingerprints[i].last == type.at[type.size - 1] &&
            memcmp(workflows[i]->type, type.at, type.size) == 0)
            return workflows[i];
    return NULL;
}
