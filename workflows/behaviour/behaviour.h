/* Behaviour: the habits of a user: when he arrives and where, oddities, how likely fraud is. The profile is a pure
 * function of the observations: of their order where DOMAIN.md says so (risk, average, anomalies), of their set
 * elsewhere (regularity, counts).
 *
 * The JSON fields of a profile may be changed by json.* commands as well. Parts of them that do not have the form
 * written here are ignored, and are gone with the next observation that touches the field.
 *
 * Threads    const data; functions keep no state.
 * Ownership  texts of rows live in the batch's arena or in the message.
 * Failure    no memory: a null span, and the arena has failed.
 */
#ifndef WORKFLOWS_BEHAVIOUR_BEHAVIOUR_H
#define WORKFLOWS_BEHAVIOUR_BEHAVIOUR_H

#include "workflows/decision.h"

struct behaviour_profile_row
{
    struct field_int id, version, event_count, created_at, modified_at;
    struct field_number fraud_risk_score, regularity, arrival_average;
    struct span modified_by, anomaly_history, arrivals, frequent_locations;
};

struct behavioural_event_row
{
    struct field_int user_id, seq, recorded_at, punch_in;
    struct field_number fraud_probability, face_confidence, latitude, longitude;
    bool face_verified;
    struct id attendance_id;
    struct span anomaly;
};

enum
{
    ARRIVALS_MAX = 100,     /* kept of one profile: the newest; 30 days of three visits a day are fewer */
    ARRIVALS_DAYS = 30,     /* before the newest arrival */
    ARRIVALS_JUDGED = 3,    /* fewer say nothing about regularity */
    LOCATIONS_MAX = 10,     /* kept of one profile: the most frequent */
    ANOMALIES_MAX = 50,     /* kept of one profile: the newest */
    ANOMALY_SIZE_MAX = 1024 /* bytes of one in its shortest form: fifty of them fit a JSON field */
};

/* When somebody came, and the offset in which it was said: minutes east of UTC. A person has no time zone here; what
 * the phone writes is the day that he lives by. */
struct arrival_time
{
    int64_t at_us;
    int offset_minutes;
};

/* Minutes since midnight in the offset, whole ones. */
int behaviour_minute_of_day(struct arrival_time time);

/* The arrivals with this one of an attendance record: put in the place of the record's earlier one, those from before
 * the 30 days that end with the newest left out. *ret_regularity is set where enough are left to tell it. */
struct span behaviour_add_arrival(struct arena *arena, struct span arrivals, struct id attendance,
                                  struct arrival_time time, struct field_number *ret_regularity);

/* The locations with this one counted. Of two equally frequent ones the one counted now goes before the other, then
 * the one whose key is smaller. */
struct span behaviour_add_location(struct arena *arena, struct span locations, double latitude, double longitude);

#endif
