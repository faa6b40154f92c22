/* Names: the closed word sets of DOMAIN.md, each named once, and the status machines over them. Every set is a CHECK
 * constraint too.
 *
 * Threads    const data.
 */
#ifndef WORKFLOWS_MODEL_NAMES_H
#define WORKFLOWS_MODEL_NAMES_H

#include "workflows/model/entity.h"

#define TICKET_STATUSES(X) X(NEW) X(OPEN) X(ONHOLD) X(RESOLVED) X(CLOSED) X(CANCELLED)
#define TICKET_PRIORITIES(X) X(LOW) X(MEDIUM) X(HIGH) X(CRITICAL)
#define TICKET_SOURCES(X) X(SYSTEMGENERATED) X(USERDEFINED)
#define JOBNEED_STATUSES(X) \
    X(ASSIGNED) \
    X(INPROGRESS) \
    X(PARTIALLYCOMPLETED) \
    X(COMPLETED) \
    X(AUTOCLOSED) \
    X(MAINTENANCE) \
    X(STANDBY) \
    X(WORKING)
#define JOBNEED_IDENTIFIERS(X) \
    X(TASK) \
    X(TICKET) \
    X(INTERNALTOUR) \
    X(EXTERNALTOUR) \
    X(PPM) \
    X(OTHER) \
    X(SITEREPORT) \
    X(INCIDENTREPORT) \
    X(ASSETLOG) \
    X(ASSETAUDIT) \
    X(ASSETMAINTENANCE) \
    X(POSTING_ORDER) \
    X(SITESURVEY)
#define JOB_IDENTIFIERS(X) JOBNEED_IDENTIFIERS(X) X(GEOFENCE)
#define JOBNEED_TYPES(X) X(SCHEDULE) X(ADHOC)
#define AUTOCLOSE_NOTICES(X) X(AUTOCLOSENOTIFY) X(RAISETICKETNOTIFY)
#define SAVE_ACTIONS(X) X(create) X(edit) X(remove)
#define PUNCH_DIRECTIONS(X) X(in) X(out)
#define JSON_OPERATIONS(X) X(set) X(increment) X(append) X(remove) X(test)
#define FACE_MODELS(X) X(FACENET512) X(ARCFACE) X(INSIGHTFACE) X(ENSEMBLE) X(CUSTOM)
#define VERIFICATION_RESULTS(X) X(SUCCESS) X(FAILED) X(FAILURE) X(ERROR) X(REJECTED)

/* Index 0 is null in every set (entity.h). */
enum ticket_status
{
    TICKET_STATUS_NULL,
#define X(name) TICKET_##name,
    TICKET_STATUSES(X)
#undef X
};

enum ticket_priority
{
    PRIORITY_NULL,
#define X(name) PRIORITY_##name,
    TICKET_PRIORITIES(X)
#undef X
};

enum ticket_source
{
    SOURCE_NULL,
#define X(name) SOURCE_##name,
    TICKET_SOURCES(X)
#undef X
};

enum jobneed_status
{
    JOBNEED_STATUS_NULL,
#define X(name) JOBNEED_##name,
    JOBNEED_STATUSES(X)
#undef X
};

enum job_identifier /* the jobneeds' set is the beginning of the jobs' */
{
    IDENTIFIER_NULL,
#define X(name) IDENTIFIER_##name,
    JOB_IDENTIFIERS(X)
#undef X
};

enum jobneed_type
{
    JOBNEED_TYPE_NULL,
#define X(name) JOBNEED_TYPE_##name,
    JOBNEED_TYPES(X)
#undef X
};

enum autoclose_notice
{
    NOTICE_NULL,
#define X(name) NOTICE_##name,
    AUTOCLOSE_NOTICES(X)
#undef X
};

enum save_action /* in the order of SAVE_ACTIONS, whose words are lower case */
{
    SAVE_NULL,
    SAVE_CREATE,
    SAVE_EDIT,
    SAVE_REMOVE,
};

enum punch_direction /* in the order of PUNCH_DIRECTIONS, whose words are lower case */
{
    DIRECTION_NULL,
    DIRECTION_IN,
    DIRECTION_OUT,
};

enum json_operation /* in the order of JSON_OPERATIONS, whose words are lower case */
{
    JSON_OPERATION_NULL,
    JSON_SET,
    JSON_INCREMENT,
    JSON_APPEND,
    JSON_REMOVE,
    JSON_TEST,
};

enum verification_result
{
    RESULT_NULL,
#define X(name) RESULT_##name,
    VERIFICATION_RESULTS(X)
#undef X
};

extern const struct names names_ticket_status, names_ticket_priority, names_ticket_source;
extern const struct names names_jobneed_status, names_jobneed_identifier, names_jobneed_type, names_job_identifier;
extern const struct names names_autoclose_notice, names_save_action, names_punch_direction, names_face_model,
    names_verification_result;

extern const struct names names_json_operation;

/* The word of an index, a null span for 0, "?" for NAME_UNKNOWN. */
struct span names_word(const struct names *names, int index);

/* A status machine: allowed[from] has bit `to` set for every transition that DOMAIN.md lists. */
struct machine
{
    const struct names *states;
    const uint32_t *allowed;
};

extern const struct machine machine_ticket, machine_jobneed;

enum transition
{
    TRANSITION_REFUSED,
    TRANSITION_SAME, /* to the state it already has */
    TRANSITION_ALLOWED,
};

/* A present state that is null or not in the set never passes, whatever the target. */
enum transition transition_check(const struct machine *machine, int from, int to);

#endif
