/* attendance.punch: a person comes (in) or goes (out).
 *
 *   no record          a record is made, with the person, site, shift, and the time and place of this side. A punch-out
 *                      whose punch-in is late or lost makes a record that has its end only.
 *   without this side  the side is set; site and shift are set where the record has none yet, and otherwise kept:
 *                      a visit belongs to the site and shift it began at.
 *   with this side     `unchanged` when the command says nothing else than the record holds (members that are absent
 *                      say nothing), `already_exists` when it does.
 *
 * Whichever comes, punch-out >= punch-in, and the person must be the record's: else `invalid_data`. Shift 1 means no
 * shift. A person who is nobody cannot punch. Nobody asks whether a site or shift exists: the phone may know it first.
 */
#include "workflows/assignee.h"
#include "workflows/attendance/attendance.h"

struct punch
{
    struct field_id attendance_uuid;
    struct field_int person_id, site_id, shift_id, at;
    struct field_number latitude, longitude;
    int direction;
};

static const struct parameter parameters[] = {
    PARAMETER(punch, attendance_uuid, UUID, REQUIRED, .description = "The record."),
    PARAMETER(punch, person_id, ID, REQUIRED, .description = "Who; not 1, which is nobody."),
    PARAMETER(punch, site_id, ID, NULLABLE, .description = "The site."),
    PARAMETER(punch, direction, NAME, REQUIRED, .names = &names_punch_direction,
              .description = "in opens the record, out closes it."),
    PARAMETER(punch, at, TIME, REQUIRED, .description = "When; out not before in."),
    PARAMETER(punch, latitude, NUMBER, NULLABLE, .minimum = -90, .maximum = 90,
              .description = "Where, in degrees; with longitude."),
    PARAMETER(punch, longitude, NUMBER, NULLABLE, .minimum = -180, .maximum = 180,
              .description = "Where, in degrees; with latitude."),
    PARAMETER(punch, shift_id, ID, NULLABLE,
              .description = "The shift; 1 or absent: none yet, a face result chooses one."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct punch *punch = data;
    if (punch->person_id.value == NOBODY)
    {
        *reterr = parameters_failure(arena, SPAN_LITERAL("/person_id"), "1 is nobody");
        return false;
    }
    if (punch->latitude.set != punch->longitude.set)
    {
        struct span missing = punch->latitude.set ? SPAN_LITERAL("/longitude") : SPAN_LITERAL("/latitude");
        *reterr = parameters_failure(arena, missing, "latitude and longitude come together");
        return false;
    }
    *ret = attendance_aggregate(punch->attendance_uuid.value);
    return true;
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct punch *punch = command->parameters;
    rows_want(rows, &entity_attendance, command->aggregate.id);
    /* A face result of this record may stand in the same batch, and cannot look for itself while there is no row. */
    attendance_want_shifts(rows, punch->site_id);
}

/* --- the two sides of a record ----------------------------------------------------------------------------------- */

struct side
{
    struct field_int at;
    struct field_number latitude, longitude;
};

static struct side side_of(const struct attendance_row *record, int direction)
{
    if (direction == DIRECTION_IN)
        return (struct side){ record->punch_in, record->start_latitude, record->start_longitude };
    return (struct side){ record->punch_out, record->end_latitude, record->end_longitude };
}

static void set_side(struct attendance_row *record, const struct punch *punch)
{
    bool in = punch->direction == DIRECTION_IN;
    *(in ? &record->punch_in : &record->punch_out) = punch->at;
    *(in ? &record->start_latitude : &record->end_latitude) = punch->latitude;
    *(in ? &record->start_longitude : &record->end_longitude) = punch->longitude;
    /* Fields that are set already are kept. */
    if (!record->site_id.set)
        record->site_id = punch->site_id;
    if (!record->shift_id.set)
        record->shift_id = assignee_of_id(punch->shift_id);
}

static bool says_the_same(struct field_int given, struct field_int present)
{
    return !given.set || (present.set && present.value == given.value);
}

/* Tells whether a punch that the record already has is this one. The site and shift of a punch-out say nothing about
 * it: they may not have been taken. */
static bool is_repeated(const struct punch *punch, const struct attendance_row *record, const struct side *side)
{
    bool place = !punch->latitude.set || (side->latitude.set && side->latitude.value == punch->latitude.value &&
                                          side->longitude.set && side->longitude.value == punch->longitude.value);
    bool rest = punch->direction == DIRECTION_OUT || (says_the_same(punch->site_id, record->site_id) &&
                                                      says_the_same(assignee_of_id(punch->shift_id), record->shift_id));
    return side->at.value == punch->at.value && place && rest;
}

/* --- deciding ---------------------------------------------------------------------------------------------------- */

/* The record has a punch of this direction: it stays. */
static void answer_again(const struct punch *punch, const struct attendance_row *record, const struct side *side,
                         struct decision *decision)
{
    if (is_repeated(punch, record, side))
    {
        decision_leave(decision);
        return;
    }
    decision_refuse(decision, REASON_ALREADY_EXISTS);
    decision_add_text(decision, "direction", names_word(&names_punch_direction, punch->direction));
}

static bool check_order(const struct punch *punch, const struct attendance_row *record, struct decision *decision)
{
    bool in = punch->direction == DIRECTION_IN;
    struct field_int other = in ? record->punch_out : record->punch_in;
    if (!other.set || (in ? punch->at.value <= other.value : punch->at.value >= other.value))
        return true;
    decision_refuse_parameter(decision, "/at", in ? "is after the punch-out" : "is before the punch-in");
    return false;
}

static void open_record(const struct punch *punch, struct rows *rows, struct decision *decision)
{
    struct attendance_row *record = rows_insert(rows, &entity_attendance, punch->attendance_uuid.value);
    if (!record) /* another holds the row: the engine sees that, and decides again */
    {
        decision_refuse(decision, REASON_ALREADY_EXISTS);
        return;
    }
    record->person_id = punch->person_id;
    record->extras = SPAN_LITERAL("{}");
    set_side(record, punch);
    decision_apply(decision);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct punch *punch = command->parameters;
    const struct attendance_row *record = rows_read(rows, &entity_attendance, command->aggregate.id);
    decision->operation = record ? OPERATION_FIELD_UPDATE : OPERATION_CREATION;
    decision_add_text(decision, "direction", names_word(&names_punch_direction, punch->direction));
    if (!record)
    {
        open_record(punch, rows, decision);
        return;
    }
    if (record->person_id.value != punch->person_id.value)
    {
        decision_refuse_parameter(decision, "/person_id", "the record is another person's");
        return;
    }
    struct side side = side_of(record, punch->direction);
    if (side.at.set)
    {
        answer_again(punch, record, &side, decision);
        return;
    }
    if (!check_order(punch, record, decision))
        return;
    set_side(rows_edit(rows, &entity_attendance, command->aggregate.id), punch);
    decision_apply(decision);
}

const struct workflow workflow_attendance_punch = {
    .type = "attendance.punch",
    .named = { .kind = AGGREGATE_ATTENDANCE, .member = "attendance_uuid" },
    .description = "Opens or closes a person's attendance record.",
    .parameters = parameters,
    .parameters_size = sizeof(struct punch),
    .operation = OPERATION_CREATION,
    .flags = WORKFLOW_CREATES,
    .lock_class = LOCK_ATTENDANCE,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
