/* behaviour.update_profile: one observation of a user.
 *
 * Every command is an observation of its own, whatever it says: one row of behavioural_event, and never `unchanged`.
 * The profile is made by the first one. An absent member leaves its part of the profile alone:
 *
 *   risk        only when fraud_probability > 0; one of 0 says that nothing was looked at
 *   regularity  only with a punch-in, and from the third arrival on; it stays when fewer are left
 *   average     moves with every punch-in; the first one sets it
 *
 * Times of day are whole minutes in the offset in which the punch-in was sent: a person has no time zone here. The 30
 * days end with the newest punch-in on record and not with the clock: late, early and repeated commands come to the
 * same regularity in any order. */
#include <math.h>

#include "workflows/behaviour/behaviour.h"
#include "workflows/document/text.h"
#include "workflows/model/limits.h"

struct location
{
    struct field_number latitude, longitude;
};

struct face
{
    struct field_bool verified;
    struct field_number confidence;
};

struct observation
{
    struct field_int user_id, punch_in;
    struct field_id attendance_uuid;
    struct field_number fraud_probability;
    const struct node *anomaly;
    struct location location;
    struct face face;
};

static const double first_regularity = 0.5;
static const double risk_of_new = 0.3, risk_of_old = 0.7;
static const double average_of_old = 0.9, average_of_new = 0.1;

static const struct parameter location_parameters[] = {
    PARAMETER(location, latitude, NUMBER, REQUIRED, .minimum = -90, .maximum = 90, .description = "Degrees, WGS 84."),
    PARAMETER(location, longitude, NUMBER, REQUIRED, .minimum = -180, .maximum = 180,
              .description = "Degrees, WGS 84."),
    { .name = NULL },
};

static const struct parameter face_parameters[] = {
    PARAMETER(face, verified, BOOLEAN, REQUIRED, .description = "Whether it was the user's face."),
    PARAMETER(face, confidence, NUMBER, REQUIRED, .minimum = 0, .maximum = 1,
              .description = "How sure the recognition was."),
    { .name = NULL },
};

static const struct parameter parameters[] = {
    PARAMETER(observation, user_id, ID, REQUIRED, .description = "Whose behaviour it is."),
    PARAMETER(observation, attendance_uuid, UUID, REQUIRED, .description = "The attendance record it was seen in."),
    PARAMETER(observation, fraud_probability, NUMBER, REQUIRED, .minimum = 0, .maximum = 1,
              .description = "How likely this visit is a fraud; 0 leaves the risk as it is."),
    PARAMETER(observation, anomaly, JSON, NULLABLE, .description = "The oddity: any JSON of up to 1024 bytes."),
    PARAMETER(observation, punch_in, TIME, NULLABLE,
              .description = "When the user arrived; the time of day is the one of its offset."),
    PARAMETER(observation, location, OBJECT, NULLABLE, .members = location_parameters,
              .description = "Where the user was."),
    PARAMETER(observation, face, OBJECT, REQUIRED, .members = face_parameters,
              .description = "The result of the face recognition."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct observation *given = data;
    if (given->anomaly && json_text_size(arena, given->anomaly->raw) > ANOMALY_SIZE_MAX)
    {
        *reterr = parameters_failure(arena, SPAN_LITERAL("/anomaly"), "is longer than 1024 bytes");
        return false;
    }
    *ret = (struct aggregate){ AGGREGATE_BEHAVIOUR, id_of(given->user_id.value) };
    return true;
}

static void needs(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_behaviour_profile, command->aggregate.id);
}

static struct behaviour_profile_row *edit_profile(const struct command *command, struct rows *rows)
{
    if (rows_read(rows, &entity_behaviour_profile, command->aggregate.id))
        return rows_edit(rows, &entity_behaviour_profile, command->aggregate.id);
    struct behaviour_profile_row *profile = rows_insert(rows, &entity_behaviour_profile, command->aggregate.id);
    if (!profile) /* another holds the row: the engine sees that, and decides again */
        return NULL;
    profile->event_count = int_of(0);
    profile->fraud_risk_score = number_of(0);
    profile->regularity = number_of(first_regularity);
    profile->anomaly_history = SPAN_LITERAL("[]");
    profile->arrivals = SPAN_LITERAL("{}");
    profile->frequent_locations = SPAN_LITERAL("{}");
    return profile;
}

static void learn_risk(const struct observation *given, struct behaviour_profile_row *profile)
{
    double fresh = given->fraud_probability.value;
    if (fresh > 0)
        profile->fraud_risk_score =
            number_of(fmin(1, risk_of_new * fresh + risk_of_old * profile->fraud_risk_score.value));
}

/* The decoded time has lost the offset in which it was sent; the document has it. */
static struct arrival_time arrival_of(const struct command *command)
{
    const struct observation *given = command->parameters;
    const struct node *text = document_member(&command->document, command->data, "punch_in");
    struct arrival_time time = { given->punch_in.value, 0 };
    if (text && !parameters_parse_local_time(text->text, &time.at_us, &time.offset_minutes))
        time.offset_minutes = 0;
    return time;
}

static void learn_arrival(const struct command *command, struct arena *arena, struct behaviour_profile_row *profile)
{
    const struct observation *given = command->parameters;
    if (!given->punch_in.set)
        return;
    struct field_number regularity;
    struct arrival_time time = arrival_of(command);
    profile->arrivals =
        behaviour_add_arrival(arena, profile->arrivals, given->attendance_uuid.value, time, &regularity);
    if (regularity.set)
        profile->regularity = regularity;
    double minute = behaviour_minute_of_day(time);
    profile->arrival_average = number_of(profile->arrival_average.set
                                             ? average_of_old * profile->arrival_average.value + average_of_new * minute
                                             : minute);
}

/* False: the field is full of what json.* commands put there. */
static bool learn_location(const struct observation *given, struct arena *arena, struct behaviour_profile_row *profile)
{
    if (!given->location.latitude.set)
        return true;
    profile->frequent_locations = behaviour_add_location(
        arena, profile->frequent_locations, given->location.latitude.value, given->location.longitude.value);
    return json_text_size(arena, profile->frequent_locations) <= JSON_FIELD_MAX;
}

static bool learn_anomaly(const struct observation *given, struct arena *arena, struct behaviour_profile_row *profile)
{
    if (!given->anomaly)
        return true;
    return json_text_append(arena, profile->anomaly_history, given->anomaly->raw, ANOMALIES_MAX,
                            &profile->anomaly_history) &&
           json_text_size(arena, profile->anomaly_history) <= JSON_FIELD_MAX;
}

static void append_event(const struct command *command, struct rows *rows, const struct decision *decision,
                         struct behaviour_profile_row *profile)
{
    const struct observation *given = command->parameters;
    struct behavioural_event_row *event = rows_append(rows, &entity_behavioural_event);
    event->user_id = profile->id;
    event->seq = profile->event_count = int_of(profile->event_count.value + 1);
    event->recorded_at = int_of(decision->now_us);
    event->punch_in = given->punch_in;
    event->fraud_probability = given->fraud_probability;
    event->face_confidence = given->face.confidence;
    event->latitude = given->location.latitude;
    event->longitude = given->location.longitude;
    event->face_verified = given->face.verified.value;
    event->attendance_id = given->attendance_uuid.value;
    event->anomaly = given->anomaly ? given->anomaly->raw : SPAN_NULL;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct observation *given = command->parameters;
    bool is_new = !rows_read(rows, &entity_behaviour_profile, command->aggregate.id);
    decision->operation = is_new ? OPERATION_CREATION : OPERATION_HISTORY_APPEND;
    struct behaviour_profile_row *profile = edit_profile(command, rows);
    if (!profile)
    {
        decision_refuse(decision, REASON_ALREADY_EXISTS);
        return;
    }
    learn_risk(given, profile);
    learn_arrival(command, decision->arena, profile);
    if (!learn_location(given, decision->arena, profile) || !learn_anomaly(given, decision->arena, profile))
    {
        decision_refuse(decision, REASON_TOO_LARGE);
        decision_add_int(decision, "limit", JSON_FIELD_MAX);
        return;
    }
    append_event(command, rows, decision, profile);
    decision_add_int(decision, "seq", profile->event_count.value);
    decision_apply(decision);
}

const struct workflow workflow_behaviour_update_profile = {
    .type = "behaviour.update_profile",
    .named = { .kind = AGGREGATE_BEHAVIOUR, .member = "user_id" },
    .description = "Learns from one observation of a user; the first one makes the profile.",
    .parameters = parameters,
    .parameters_size = sizeof(struct observation),
    .operation = OPERATION_HISTORY_APPEND,
    .flags = WORKFLOW_CREATES,
    .lock_class = LOCK_BEHAVIOUR,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
