/* Where a user is seen. A place is its latitude and longitude in 6 decimals, a tenth of a metre; what lies nearer
 * together than that is one place. */
#include <stdio.h>
#include <stdlib.h>

#include "workflows/behaviour/behaviour.h"
#include "workflows/document/decimal.h"
#include "workflows/document/text.h"
#include "workflows/model/limits.h"

enum
{
    PLACE_KEY_SIZE = 32, /* "-90.000000,-180.000000" and a NUL */
};

struct location
{
    struct span key;
    int64_t count;
    bool counted_now;
};

/* -0.0000001 is the place 0. */
static double without_sign_of_zero(double degrees)
{
    return degrees > -0.0000005 && degrees <= 0 ? 0 : degrees;
}

static struct span print_key(struct arena *arena, double latitude, double longitude)
{
    char key[PLACE_KEY_SIZE];
    int size = snprintf(key, sizeof(key), "%.6f,%.6f", without_sign_of_zero(latitude), without_sign_of_zero(longitude));
    return arena_copy(arena, (struct span){ key, (size_t)size });
}

static bool read_count(struct span text, int64_t *ret)
{
    struct decimal count;
    if (!decimal_parse(text, &count) || count.places != 0 || count.digits < 1)
        return false;
    *ret = count.digits < INT32_LIMIT ? count.digits : INT32_LIMIT;
    return true;
}

/* The locations with room for one more. NULL: no memory. */
static struct location *read_locations(struct arena *arena, struct span text, size_t *ret_count)
{
    struct json_member *members;
    size_t member_count;
    *ret_count = 0;
    if (!text.at || !json_text_read_object(arena, text, &members, &member_count))
        member_count = 0;
    struct location *locations = arena_take(arena, (member_count + 1) * sizeof(*locations));
    for (size_t i = 0; locations && i < member_count; i++)
    {
        locations[*ret_count] = (struct location){ .key = members[i].key };
        if (read_count(members[i].value, &locations[*ret_count].count))
            ++*ret_count;
    }
    return locations;
}

static size_t count_location(struct location *locations, size_t count, struct span key)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal(locations[i].key, key))
        {
            locations[i].count += locations[i].count < INT32_LIMIT;
            locations[i].counted_now = true;
            return count;
        }
    locations[count] = (struct location){ key, 1, true };
    return count + 1;
}

static int compare_locations(const void *a, const void *b)
{
    const struct location *left = a, *right = b;
    if (left->count != right->count)
        return left->count > right->count ? -1 : 1;
    if (left->counted_now != right->counted_now)
        return left->counted_now ? -1 : 1;
    size_t size = left->key.size < right->key.size ? left->key.size : right->key.size;
    int order = size ? memcmp(left->key.at, right->key.at, size) : 0;
    return order ? order : (left->key.size > right->key.size) - (left->key.size < right->key.size);
}

static struct span print_locations(struct arena *arena, const struct location *locations, size_t count)
{
    struct buffer text = BUFFER_EMPTY;
    for (size_t i = 0; i < count; i++)
    {
        buffer_add_byte(&text, i ? ',' : '{');
        buffer_add_json_string(&text, locations[i].key);
        buffer_add_byte(&text, ':');
        buffer_add_int64(&text, locations[i].count);
    }
    buffer_add_byte(&text, '}');
    struct span copy = buffer_failed(&text) ? SPAN_NULL : arena_copy(arena, buffer_span(&text));
    if (!copy.at)
        arena->failed = true;
    buffer_done(&text);
    return copy;
}

struct span behaviour_add_location(struct arena *arena, struct span locations, double latitude, double longitude)
{
    size_t count;
    struct location *known = read_locations(arena, locations, &count);
    struct span key = print_key(arena, latitude, longitude);
    if (!known || !key.at)
        return SPAN_NULL;
    count = count_location(known, count, key);
    qsort(known, count, sizeof(*known), compare_locations);
    return print_locations(arena, known, count < LOCATIONS_MAX ? count : LOCATIONS_MAX);
}
