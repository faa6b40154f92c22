/* When a user arrives. The arrivals are an object, attendance record -> time, so that a record reported twice is one
 * arrival, as the original counted them. Everything is computed from whole numbers up to the one root at the end: a sum
 * of doubles would depend on the order in which PostgreSQL gives the members back (PROTOCOL B3). */
#include <math.h>
#include <stdlib.h>

#include "workflows/behaviour/behaviour.h"
#include "workflows/document/text.h"

enum
{
    MINUTES_OF_DAY = 24 * 60,
    REGULARITY_SPREAD_MINUTES = 120, /* a standard deviation of this much is no regularity at all */
};

static const int64_t minute_us = INT64_C(60000000);
static const int64_t day_us = INT64_C(86400000000);

struct arrival
{
    struct id attendance;
    struct arrival_time time;
};

int behaviour_minute_of_day(struct arrival_time time)
{
    int64_t of_day = (time.at_us + time.offset_minutes * minute_us) % day_us;
    return (int)((of_day < 0 ? of_day + day_us : of_day) / minute_us);
}

/* "<uuid>": "<time>", the uuid as print_arrivals writes it: of two spellings of one record there is only one. */
static bool read_arrival(const struct json_member *member, struct arrival *ret)
{
    char printed[UUID_TEXT_SIZE];
    struct span value = member->value;
    if (!id_parse_uuid(member->key, &ret->attendance) || value.size < 2 || value.at[0] != '"')
        return false;
    id_print_uuid(ret->attendance, printed);
    return span_equal(member->key, (struct span){ printed, sizeof(printed) }) &&
           parameters_parse_local_time((struct span){ value.at + 1, value.size - 2 }, &ret->time.at_us,
                                       &ret->time.offset_minutes);
}

/* The arrivals with room for one more; how many there are. NULL: no memory. */
static struct arrival *read_arrivals(struct arena *arena, struct span text, size_t *ret_count)
{
    struct json_member *members;
    size_t member_count;
    *ret_count = 0;
    if (!text.at || !json_text_read_object(arena, text, &members, &member_count))
        member_count = 0;
    struct arrival *arrivals = arena_take(arena, (member_count + 1) * sizeof(*arrivals));
    for (size_t i = 0; arrivals && i < member_count; i++)
        if (read_arrival(&members[i], &arrivals[*ret_count]))
            ++*ret_count;
    return arrivals;
}

static size_t put_arrival(struct arrival *arrivals, size_t count, struct arrival arrival)
{
    for (size_t i = 0; i < count; i++)
        if (id_equal(arrivals[i].attendance, arrival.attendance))
        {
            arrivals[i] = arrival;
            return count;
        }
    arrivals[count] = arrival;
    return count + 1;
}

/* The newest first; which of two at the same moment does not matter, as long as it is always the same one. */
static int compare_arrivals(const void *a, const void *b)
{
    const struct arrival *left = a, *right = b;
    if (left->time.at_us != right->time.at_us)
        return left->time.at_us > right->time.at_us ? -1 : 1;
    if (left->attendance.high != right->attendance.high)
        return left->attendance.high < right->attendance.high ? -1 : 1;
    return left->attendance.low < right->attendance.low ? -1 : left->attendance.low > right->attendance.low;
}

static size_t keep_newest(struct arrival *arrivals, size_t count)
{
    qsort(arrivals, count, sizeof(*arrivals), compare_arrivals);
    if (count > ARRIVALS_MAX)
        count = ARRIVALS_MAX;
    while (count > 1 && arrivals[count - 1].time.at_us < arrivals[0].time.at_us - ARRIVALS_DAYS * day_us)
        count--;
    return count;
}

/* 1 - standard deviation / 120, where the variance is (n * sum of squares - square of sum) / n^2. The smallest and the
 * largest sums of a hundred minutes of the day are far from the end of 64 bits. */
static double regularity_of(const struct arrival *arrivals, size_t count)
{
    int64_t n = (int64_t)count, sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
    {
        int64_t minute = behaviour_minute_of_day(arrivals[i].time);
        sum += minute;
        squares += minute * minute;
    }
    double deviation = sqrt((double)(n * squares - sum * sum)) / (double)n;
    return fmax(0, 1 - deviation / (double)REGULARITY_SPREAD_MINUTES);
}

/* 2026-11-24T05:30:00.000000+05:30, as it was sent; Z without an offset. */
static void print_time(struct arrival_time time, struct buffer *text)
{
    int minutes = time.offset_minutes < 0 ? -time.offset_minutes : time.offset_minutes;
    char offset[] = "+00:00";
    buffer_add_time(text, time.at_us + time.offset_minutes * minute_us);
    if (minutes == 0 || buffer_failed(text))
        return;
    offset[0] = time.offset_minutes < 0 ? '-' : '+';
    offset[1] = (char)('0' + minutes / 600);
    offset[2] = (char)('0' + minutes / 60 % 10);
    offset[4] = (char)('0' + minutes % 60 / 10);
    offset[5] = (char)('0' + minutes % 10);
    text->size--; /* the Z */
    buffer_add_text(text, offset);
}

static struct span print_arrivals(struct arena *arena, const struct arrival *arrivals, size_t count)
{
    struct buffer text = BUFFER_EMPTY;
    for (size_t i = 0; i < count; i++)
    {
        char attendance[UUID_TEXT_SIZE];
        id_print_uuid(arrivals[i].attendance, attendance);
        buffer_add_text(&text, i ? ",\"" : "{\"");
        buffer_add(&text, attendance, sizeof(attendance));
        buffer_add_text(&text, "\":\"");
        print_time(arrivals[i].time, &text);
        buffer_add_byte(&text, '"');
    }
    buffer_add_byte(&text, '}');
    struct span copy = buffer_failed(&text) ? SPAN_NULL : arena_copy(arena, buffer_span(&text));
    if (!copy.at)
        arena->failed = true;
    buffer_done(&text);
    return copy;
}

struct span behaviour_add_arrival(struct arena *arena, struct span arrivals, struct id attendance,
                                  struct arrival_time time, struct field_number *ret_regularity)
{
    size_t count;
    struct arrival *known = read_arrivals(arena, arrivals, &count);
    *ret_regularity = NUMBER_NULL;
    if (!known)
        return SPAN_NULL;
    count = put_arrival(known, count, (struct arrival){ attendance, time });
    count = keep_newest(known, count);
    if (count >= ARRIVALS_JUDGED)
        *ret_regularity = number_of(regularity_of(known, count));
    return print_arrivals(arena, known, count);
}
