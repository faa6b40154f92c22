/* attendance.record_face_result: the result of the face recognition for a punch.
 *
 * Three effects, none of which waits for another:
 *   side      punch-in set and extras.distance_in absent or null: verified_in, distance_in, face_in. Else punch-out set
 * and distance_out absent or null: the same for out. Else no side is left, and the result is not kept: a result is
 *             written once, never over another one.
 *   geofence  only if the person has an enabled geofence at the time of the punch: start_in_geofence at the punch-in,
 *             end_in_geofence at the punch-out, each only where its place is known.
 *   shift     only if the record has none: the site's shift that starts nearest to the punch-in.
 *
 * `applied` if any of them changes the row, else `unchanged`; the metadata say which side took the result, or null.
 * That no side is left is not a refusal: the same result may come from two recognisers, and the geofence and shift are
 * to be looked at whenever a result comes. The face flag is what `verified` says. */
#include "workflows/assignee.h"
#include "workflows/attendance/attendance.h"
#include "workflows/document/text.h"
#include "workflows/model/limits.h"

struct face_result
{
    struct field_id attendance_uuid;
    struct field_bool verified;
    struct field_number distance;
    struct field_int person_id;
};

enum
{
    DISTANCE_MAX = 1000, /* of two embeddings; cosine distances end at 2, Euclidean ones at some tens */
    EXTRAS_CHANGES_MAX = 4,
};

static const struct parameter parameters[] = {
    PARAMETER(face_result, attendance_uuid, UUID, REQUIRED, .description = "The record."),
    PARAMETER(face_result, verified, BOOLEAN, REQUIRED, .description = "Whether it is the person's face."),
    PARAMETER(face_result, distance, NUMBER, REQUIRED, .minimum = 0, .maximum = DISTANCE_MAX,
              .description = "How far the face is from the one on record."),
    PARAMETER(face_result, person_id, ID, REQUIRED, .description = "Whose face it was to be: the record's person."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct face_result *given = data;
    if (given->person_id.value == NOBODY)
    {
        *reterr = parameters_failure(arena, SPAN_LITERAL("/person_id"), "1 is nobody");
        return false;
    }
    *ret = attendance_aggregate(given->attendance_uuid.value);
    return true;
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct face_result *given = command->parameters;
    rows_want(rows, &entity_attendance, command->aggregate.id);
    attendance_want_assignments(rows, given->person_id.value);
}

/* The site is the record's; where a punch of the same batch brings it, that punch has asked for the shifts. */
static void look(const struct command *command, struct rows *rows)
{
    const struct face_result *given = command->parameters;
    const struct attendance_row *record = rows_read(rows, &entity_attendance, command->aggregate.id);
    attendance_want_geofences(rows, given->person_id.value);
    if (record && !record->shift_id.set)
        attendance_want_shifts(rows, record->site_id);
}

/* --- extras ------------------------------------------------------------------------------------------------------ */

struct change
{
    struct json_member members[EXTRAS_CHANGES_MAX];
    size_t count;
};

static void change_add(struct change *change, const char *key, struct span value)
{
    change->members[change->count++] = (struct json_member){ span_of(key), value };
}

static struct span bool_text(bool value)
{
    return value ? SPAN_LITERAL("true") : SPAN_LITERAL("false");
}

static struct span number_text(struct arena *arena, double value)
{
    struct buffer text = BUFFER_EMPTY;
    buffer_add_number(&text, value);
    struct span copy = buffer_failed(&text) ? SPAN_NULL : arena_copy(arena, buffer_span(&text));
    arena->failed = arena->failed || !copy.at;
    buffer_done(&text);
    return copy;
}

static bool has_value(const struct json_member *members, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (span_is(members[i].key, key))
            return !span_is(members[i].value, "null");
    return false;
}

/* --- deciding ---------------------------------------------------------------------------------------------------- */

/* The side that takes the result: DIRECTION_NULL for none. */
static int find_side(const struct attendance_row *record, const struct json_member *extras, size_t count)
{
    if (record->punch_in.set && !has_value(extras, count, "distance_in"))
        return DIRECTION_IN;
    if (record->punch_out.set && !has_value(extras, count, "distance_out"))
        return DIRECTION_OUT;
    return DIRECTION_NULL;
}

static void add_side(struct change *change, struct arena *arena, const struct face_result *given, int side)
{
    if (side == DIRECTION_NULL)
        return;
    bool in = side == DIRECTION_IN;
    change_add(change, in ? "verified_in" : "verified_out", bool_text(given->verified.value));
    change_add(change, in ? "distance_in" : "distance_out", number_text(arena, given->distance.value));
}

static void add_presence(struct change *change, const struct rows *rows, struct arena *arena,
                         const struct attendance_row *record)
{
    struct presence presence;
    if (record->punch_in.set && record->start_latitude.set)
    {
        presence = attendance_find_presence(rows, arena, record->person_id.value, record->punch_in.value,
                                            record->start_latitude.value, record->start_longitude.value);
        if (presence.has_geofence)
            change_add(change, "start_in_geofence", bool_text(presence.inside));
    }
    if (record->punch_out.set && record->end_latitude.set)
    {
        presence = attendance_find_presence(rows, arena, record->person_id.value, record->punch_out.value,
                                            record->end_latitude.value, record->end_longitude.value);
        if (presence.has_geofence)
            change_add(change, "end_in_geofence", bool_text(presence.inside));
    }
}

static struct field_int find_shift(const struct rows *rows, const struct attendance_row *record)
{
    if (record->shift_id.set || !record->punch_in.set)
        return record->shift_id;
    return attendance_choose_shift(rows, record->site_id, record->punch_in.value);
}

/* The extras with the changes. Null: refused. */
static struct span merge_extras(struct decision *decision, const struct attendance_row *record,
                                const struct change *change)
{
    struct span merged;
    if (!json_text_merge(decision->arena, record->extras, change->members, change->count, &merged))
        merged = SPAN_NULL; /* no memory: the arena has failed, the batch is given up */
    if (merged.at && json_text_size(decision->arena, merged) > JSON_FIELD_MAX)
    {
        decision_refuse(decision, REASON_TOO_LARGE);
        decision_add_int(decision, "limit", JSON_FIELD_MAX);
        return SPAN_NULL;
    }
    return merged;
}

static void write_record(struct attendance_row *record, const struct face_result *given, int side, struct span extras,
                         struct field_int shift)
{
    record->extras = extras;
    record->shift_id = shift;
    if (side == DIRECTION_IN)
        record->face_in = given->verified.value;
    if (side == DIRECTION_OUT)
        record->face_out = given->verified.value;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct face_result *given = command->parameters;
    const struct attendance_row *record = rows_read(rows, &entity_attendance, command->aggregate.id);
    if (!record)
    {
        decision_refuse(decision, REASON_NOT_FOUND);
        return;
    }
    if (record->person_id.value != given->person_id.value)
    {
        decision_refuse_parameter(decision, "/person_id", "the record is another person's");
        return;
    }
    struct json_member *extras;
    size_t count;
    if (!json_text_read_object(decision->arena, record->extras, &extras, &count))
    {
        decision_refuse_parameter(decision, "/attendance_uuid", "extras of the record is not a JSON object");
        return;
    }
    int side = find_side(record, extras, count);
    struct change change = { .count = 0 };
    add_side(&change, decision->arena, given, side);
    add_presence(&change, rows, decision->arena, record);
    struct span merged = merge_extras(decision, record, &change);
    if (!merged.at)
        return;
    struct field_int shift = find_shift(rows, record);
    struct span side_text = names_word(&names_punch_direction, side);
    decision_add_text(decision, "side", side_text);
    if (side == DIRECTION_NULL && shift.set == record->shift_id.set &&
        json_text_equal(decision->arena, record->extras, merged))
    {
        decision_leave(decision);
        return;
    }
    write_record(rows_edit(rows, &entity_attendance, command->aggregate.id), given, side, merged, shift);
    decision_apply(decision);
}

const struct workflow workflow_attendance_record_face_result = {
    .type = "attendance.record_face_result",
    .named = { .kind = AGGREGATE_ATTENDANCE, .member = "attendance_uuid" },
    .description = "Notes a face recognition's result at a punch, where it was, and which shift it belongs to.",
    .parameters = parameters,
    .parameters_size = sizeof(struct face_result),
    .operation = OPERATION_FLAG_SET,
    .lock_class = LOCK_ATTENDANCE,
    .identify = identify,
    .needs = needs,
    .look = look,
    .decide = decide,
};
