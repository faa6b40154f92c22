/* Which shift a punch belongs to. A shift's start is a minute of the local day; the local day follows from the shift's
 * own distance from UTC, never from the machine's zone, so the answer depends on the rows alone. The planning side puts
 * summer time into the offset. */
#include "workflows/attendance/attendance.h"

static const int64_t minute_us = INT64_C(60000000);
static const int64_t day_us = INT64_C(86400000000);

int64_t attendance_start_distance_us(int64_t at_us, int64_t start_minute, int64_t utc_offset_minutes)
{
    int64_t since_start = (at_us + (utc_offset_minutes - start_minute) * minute_us) % day_us;
    if (since_start < 0) /* before 1970 */
        since_start += day_us;
    return since_start <= day_us / 2 ? since_start : day_us - since_start;
}

void attendance_want_shifts(struct rows *rows, struct field_int site_id)
{
    if (site_id.set)
        rows_want_look(rows, &entity_shift, 1, &(struct shift_row){ .site_id = site_id });
}

struct field_int attendance_choose_shift(const struct rows *rows, struct field_int site_id, int64_t at_us)
{
    const struct shift_row key = { .site_id = site_id };
    struct field_int nearest = INT_NULL;
    int64_t least = 0;
    if (!site_id.set)
        return nearest;
    for (const struct shift_row *shift = rows_look(rows, &entity_shift, 1, &key); shift;
         shift = rows_look_next(rows, &entity_shift, 1, &key, shift))
    {
        if (!shift->enabled)
            continue;
        int64_t distance =
            attendance_start_distance_us(at_us, shift->start_minute.value, shift->utc_offset_minutes.value);
        bool nearer = !nearest.set || distance < least || (distance == least && shift->id.value < nearest.value);
        if (!nearer)
            continue;
        nearest = shift->id;
        least = distance;
    }
    return nearest;
}
