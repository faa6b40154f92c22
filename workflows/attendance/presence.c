/* Whether a person was where his geofence says. Which geofences those are the person's assignments tell, which are
 * looked up with the row; the geofences themselves in the second round trip. */
#include <stdlib.h>

#include "workflows/attendance/attendance.h"
#include "workflows/attendance/geofence.h"
#include "workflows/job/job.h"

enum
{
    NONE = 1, /* as a geofence or a person, 1 means none, as null does */
};

static struct geofence_assignment_row assignee_key(int64_t person_id)
{
    return (struct geofence_assignment_row){ .person_id = int_of(person_id) };
}

static bool is_assignment(const struct geofence_assignment_row *row)
{
    return row->identifier == IDENTIFIER_GEOFENCE && row->geofence_id.set && row->geofence_id.value != NONE;
}

void attendance_want_assignments(struct rows *rows, int64_t person_id)
{
    const struct geofence_assignment_row key = assignee_key(person_id);
    rows_want_look(rows, &entity_geofence_assignment, 1, &key);
}

void attendance_want_geofences(struct rows *rows, int64_t person_id)
{
    const struct geofence_assignment_row key = assignee_key(person_id);
    for (const struct geofence_assignment_row *row = rows_look(rows, &entity_geofence_assignment, 1, &key); row;
         row = rows_look_next(rows, &entity_geofence_assignment, 1, &key, row))
    {
        if (!is_assignment(row))
            continue;
        rows_want_look(rows, &entity_geofence, 1, &(struct geofence_row){ .id = row->geofence_id });
        rows_want_look(rows, &entity_geofence_vertex, 1,
                       &(struct geofence_vertex_row){ .geofence_id = row->geofence_id });
    }
}

/* From its first moment to its last; on each of its days, in its own offset from UTC, from the one minute to the other,
 * both included, across midnight where the second is the smaller. */
static bool is_in_force(const struct geofence_assignment_row *row, int64_t at_us)
{
    const int64_t minute_us = INT64_C(60000000), day_minutes = 1440;
    if ((row->starts_at.set && at_us < row->starts_at.value) || (row->ends_at.set && at_us > row->ends_at.value))
        return false;
    if (!row->from_minute.set || !row->until_minute.set)
        return true;
    int64_t since_epoch = at_us / minute_us - (at_us % minute_us < 0) + row->utc_offset_minutes.value;
    int64_t minute = (since_epoch % day_minutes + day_minutes) % day_minutes;
    bool begun = minute >= row->from_minute.value, going = minute <= row->until_minute.value;
    return row->from_minute.value <= row->until_minute.value ? begun && going : begun || going;
}

static int compare_vertices(const void *a, const void *b)
{
    int64_t left = (*(const struct geofence_vertex_row *const *)a)->seq.value;
    int64_t right = (*(const struct geofence_vertex_row *const *)b)->seq.value;
    return (left > right) - (left < right);
}

/* A look answers in any order; the ring is in the order of seq. NULL: none, or no memory. */
static struct place *read_ring(const struct rows *rows, struct arena *arena, struct field_int geofence_id,
                               size_t *ret_count)
{
    const struct geofence_vertex_row key = { .geofence_id = geofence_id };
    const void *row;
    size_t count = 0, n = 0;
    for (row = rows_look(rows, &entity_geofence_vertex, 1, &key); row;
         row = rows_look_next(rows, &entity_geofence_vertex, 1, &key, row))
        count++;
    *ret_count = count;
    const struct geofence_vertex_row **vertices = arena_take(arena, (count + 1) * sizeof(struct geofence_vertex_row *));
    struct place *ring = arena_take(arena, (count + 1) * sizeof(*ring));
    if (!vertices || !ring)
        return NULL;
    for (row = rows_look(rows, &entity_geofence_vertex, 1, &key); row;
         row = rows_look_next(rows, &entity_geofence_vertex, 1, &key, row))
        vertices[n++] = row;
    qsort(vertices, count, sizeof(*vertices), compare_vertices);
    for (size_t i = 0; i < count; i++)
        ring[i] = (struct place){ vertices[i]->latitude.value, vertices[i]->longitude.value };
    return ring;
}

static bool contains(const struct rows *rows, struct arena *arena, const struct geofence_row *geofence,
                     struct place place)
{
    if (geofence->radius_m.set)
        return geofence_circle_contains(
            (struct place){ geofence->center_latitude.value, geofence->center_longitude.value },
            geofence->radius_m.value, place);
    size_t count;
    struct arena_mark mark = arena_mark(arena);
    const struct place *ring = read_ring(rows, arena, geofence->id, &count);
    bool inside = ring && geofence_polygon_contains(ring, count, place);
    arena_rewind(arena, mark);
    return inside;
}

struct presence attendance_find_presence(const struct rows *rows, struct arena *arena, int64_t person_id, int64_t at_us,
                                         double latitude, double longitude)
{
    const struct geofence_assignment_row key = assignee_key(person_id);
    const struct place place = { latitude, longitude };
    struct presence presence = { false, false };
    for (const struct geofence_assignment_row *row = rows_look(rows, &entity_geofence_assignment, 1, &key); row;
         row = rows_look_next(rows, &entity_geofence_assignment, 1, &key, row))
    {
        if (!is_assignment(row) || !is_in_force(row, at_us))
            continue;
        const struct geofence_row *geofence =
            rows_look(rows, &entity_geofence, 1, &(struct geofence_row){ .id = row->geofence_id });
        if (!geofence || !geofence->enabled)
            continue;
        presence.has_geofence = true;
        presence.inside = presence.inside || contains(rows, arena, geofence, place);
    }
    return presence;
}
