/* Attendance: one row is one person's visit, and what a face result is judged by: who has which geofence, geofences,
 * shifts. No command of this folder changes these three: they are looked at, never locked.
 *
 * Threads    const data; functions keep no state.
 * Ownership  texts of rows live in the batch's arena or in the message.
 */
#ifndef WORKFLOWS_ATTENDANCE_ATTENDANCE_H
#define WORKFLOWS_ATTENDANCE_ATTENDANCE_H

#include "workflows/decision.h"

struct attendance_row
{
    struct id id;
    struct field_int version, person_id, site_id, shift_id, punch_in, punch_out, created_at, modified_at;
    struct field_number start_latitude, start_longitude, end_latitude, end_longitude;
    bool face_in, face_out;
    struct span modified_by, extras;
};

/* The table job seen by the person of a geofence assignment. Its writer is the job's commands; one of the same batch is
 * not seen: two aggregates have no order between them. */
struct geofence_assignment_row
{
    struct field_int person_id, id, geofence_id, starts_at, ends_at, from_minute, until_minute, utc_offset_minutes;
    int identifier;
};

struct geofence_row
{
    struct field_int id;
    struct field_number center_latitude, center_longitude, radius_m;
    bool enabled;
};

struct geofence_vertex_row
{
    struct field_int geofence_id, seq;
    struct field_number latitude, longitude;
};

struct shift_row
{
    struct field_int site_id, id, start_minute, utc_offset_minutes;
    bool enabled;
};

static inline struct aggregate attendance_aggregate(struct id id)
{
    return (struct aggregate){ AGGREGATE_ATTENDANCE, id };
}

/* For needs: what a face result of this person is judged by, as far as the person alone tells it; the rest in look. */
void attendance_want_assignments(struct rows *rows, int64_t person_id);
void attendance_want_geofences(struct rows *rows, int64_t person_id);

/* Whether the person, at the time, had an enabled geofence, and whether the place lies in one of them. */
struct presence
{
    bool has_geofence, inside;
};
struct presence attendance_find_presence(const struct rows *rows, struct arena *arena, int64_t person_id, int64_t at_us,
                                         double latitude, double longitude);

/* The shifts of a site, and the one of them whose start is nearest to the time, on whichever day; of two that are
 * equally near the one with the lower id. Null: the site has none that is enabled. */
void attendance_want_shifts(struct rows *rows, struct field_int site_id);
struct field_int attendance_choose_shift(const struct rows *rows, struct field_int site_id, int64_t at_us);

/* Microseconds from the time to the nearest start of a shift that begins at this minute of the day, at this distance
 * from UTC: 23:50 is 20 minutes from 00:10. At most half a day. */
int64_t attendance_start_distance_us(int64_t at_us, int64_t start_minute, int64_t utc_offset_minutes);

#endif
