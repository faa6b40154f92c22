#include "workflows/model/names.h"

#define WORD(name) #name,

/* One set: the words after a NULL, and their count. */
#define NAMES(set, LIST) \
    static const char *const set##_words[] = { NULL, LIST(WORD) }; \
    const struct names names_##set = { set##_words, (int)(sizeof(set##_words) / sizeof(set##_words[0])), NULL }

NAMES(ticket_status, TICKET_STATUSES);
NAMES(ticket_priority, TICKET_PRIORITIES);
NAMES(ticket_source, TICKET_SOURCES);
NAMES(jobneed_status, JOBNEED_STATUSES);
NAMES(jobneed_identifier, JOBNEED_IDENTIFIERS);
NAMES(jobneed_type, JOBNEED_TYPES);
NAMES(job_identifier, JOB_IDENTIFIERS);
NAMES(autoclose_notice, AUTOCLOSE_NOTICES);
NAMES(save_action, SAVE_ACTIONS);
NAMES(punch_direction, PUNCH_DIRECTIONS);
NAMES(json_operation, JSON_OPERATIONS);
NAMES(face_model, FACE_MODELS);
NAMES(verification_result, VERIFICATION_RESULTS);

struct span names_word(const struct names *names, int index)
{
    if (index == NAME_UNKNOWN || index >= names->count)
        return SPAN_LITERAL("?");
    return span_of(names->names[index]);
}

#define TO(status) ((uint32_t)1 << (status))

static const uint32_t ticket_allowed[] = {
    [TICKET_NEW] = TO(TICKET_OPEN) | TO(TICKET_CANCELLED),
    [TICKET_OPEN] = TO(TICKET_RESOLVED) | TO(TICKET_ONHOLD) | TO(TICKET_CANCELLED),
    [TICKET_ONHOLD] = TO(TICKET_OPEN) | TO(TICKET_RESOLVED) | TO(TICKET_CANCELLED),
    [TICKET_RESOLVED] = TO(TICKET_CLOSED) | TO(TICKET_OPEN),
    [TICKET_CLOSED] = 0,
    [TICKET_CANCELLED] = 0,
};

static const uint32_t jobneed_allowed[] = {
    [JOBNEED_ASSIGNED] = TO(JOBNEED_INPROGRESS) | TO(JOBNEED_AUTOCLOSED),
    [JOBNEED_INPROGRESS] = TO(JOBNEED_COMPLETED) | TO(JOBNEED_PARTIALLYCOMPLETED) | TO(JOBNEED_AUTOCLOSED),
    [JOBNEED_PARTIALLYCOMPLETED] = TO(JOBNEED_COMPLETED) | TO(JOBNEED_AUTOCLOSED),
    [JOBNEED_COMPLETED] = 0,
    [JOBNEED_AUTOCLOSED] = 0,
    [JOBNEED_MAINTENANCE] = TO(JOBNEED_WORKING) | TO(JOBNEED_STANDBY),
    [JOBNEED_STANDBY] = TO(JOBNEED_WORKING) | TO(JOBNEED_MAINTENANCE),
    [JOBNEED_WORKING] = TO(JOBNEED_MAINTENANCE) | TO(JOBNEED_COMPLETED),
};

const struct machine machine_ticket = { &names_ticket_status, ticket_allowed };
const struct machine machine_jobneed = { &names_jobneed_status, jobneed_allowed };

enum transition transition_check(const struct machine *machine, int from, int to)
{
    int count = machine->states->count;
    if (from <= 0 || from >= count || to <= 0 || to >= count)
        return TRANSITION_REFUSED;
    if (from == to)
        return TRANSITION_SAME;
    return machine->allowed[from] & TO(to) ? TRANSITION_ALLOWED : TRANSITION_REFUSED;
}
