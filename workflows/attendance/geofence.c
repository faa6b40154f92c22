#include "workflows/attendance/geofence.h"

#include <math.h>

static const double earth_radius_m = 6371008.8;                /* IUGG mean radius */
static const double radians_per_degree = 0.017453292519943295; /* pi / 180 */
static const double edge_degrees = 1e-9; /* nearer to an edge than a tenth of a millimetre: on it */

/* --- circle ------------------------------------------------------------------------------------------------------ */

/* Haversine, because the law of cosines loses every digit over the tens of metres that a geofence measures. */
double geofence_distance_m(struct place a, struct place b)
{
    double half_latitude = sin((b.latitude - a.latitude) * radians_per_degree / 2);
    double half_longitude = sin((b.longitude - a.longitude) * radians_per_degree / 2);
    double h = half_latitude * half_latitude + cos(a.latitude * radians_per_degree) *
                                                   cos(b.latitude * radians_per_degree) * half_longitude *
                                                   half_longitude;
    return 2 * earth_radius_m * asin(sqrt(h < 1 ? h : 1)); /* rounding may take antipodes past 1 */
}

bool geofence_circle_contains(struct place center, double radius_m, struct place place)
{
    return geofence_distance_m(center, place) <= radius_m;
}

/* --- polygon ----------------------------------------------------------------------------------------------------- */

/* The way from one longitude to another, the shorter way round: -180 .. 180. */
static double longitude_step(double from, double to)
{
    double step = to - from;
    return step > 180 ? step - 360 : step < -180 ? step + 360 : step;
}

/* The verdict of one edge: is the place on it, and does the ray that goes north from the place cross it. */
struct verdict
{
    bool on_edge, odd;
};

/* x is the longitude, y the latitude, both seen from the place, which is the origin. */
struct offset
{
    double x, y;
};

static bool is_on_edge(struct offset a, struct offset b)
{
    double dx = b.x - a.x, dy = b.y - a.y;
    double length_squared = dx * dx + dy * dy;
    double along = length_squared > 0 ? -(a.x * dx + a.y * dy) / length_squared : 0;
    along = along < 0 ? 0 : along > 1 ? 1 : along;
    double x = a.x + along * dx, y = a.y + along * dy;
    return x * x + y * y <= edge_degrees * edge_degrees;
}

/* An end of the edge that lies exactly north of the place belongs to the eastern side, so a ray through a vertex
 * crosses one of its two edges, or both, or none, as it enters, touches or passes. */
static void meet_edge(struct verdict *verdict, struct offset a, struct offset b)
{
    if (is_on_edge(a, b))
        verdict->on_edge = true;
    if ((a.x >= 0) == (b.x >= 0))
        return;
    double latitude = a.y - a.x * (b.y - a.y) / (b.x - a.x); /* where the edge meets the ray's meridian */
    if (latitude > 0)
        verdict->odd = !verdict->odd;
}

/* Meets the edges of the ring, drawn on from vertex to vertex by the shorter way, as it lies when its first vertex is
 * at `first_x`. Returns how many degrees it winds around the earth: 0, or 360 either way. */
static double meet_ring(struct verdict *verdict, const struct place *vertices, size_t count, struct place place,
                        double first_x)
{
    struct offset first = { first_x, vertices[0].latitude - place.latitude }, last = first;
    double winding = 0;
    for (size_t i = 1; i <= count; i++)
    {
        const struct place *vertex = &vertices[i % count];
        struct offset next = { last.x + longitude_step(vertices[i - 1].longitude, vertex->longitude),
                               vertex->latitude - place.latitude };
        if (i == count)
        {
            /* Each turn ends exactly where the next one begins; otherwise rounding could leave a gap for the ray. */
            winding = 360 * round((next.x - first.x) / 360);
            next.x = first.x + winding;
        }
        meet_edge(verdict, last, next);
        last = next;
    }
    return winding;
}

/* Which pole a ring around the earth encloses. On the map it is a line from edge to edge: a place from which the ray
 * north crosses it an odd number of times lies south of it. */
static bool pole_is_north(const struct place *vertices, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += vertices[i].latitude;
    return sum >= 0;
}

bool geofence_polygon_contains(const struct place *vertices, size_t count, struct place place)
{
    if (count < 3)
        return false;
    /* The ring may lie a whole turn east or west of the place on the map that it is drawn on. */
    double first_x = longitude_step(place.longitude, vertices[0].longitude);
    struct verdict verdict = { false, false };
    double winding = 0;
    for (int turn = -1; turn <= 1; turn++)
        winding = meet_ring(&verdict, vertices, count, place, first_x + 360 * turn);
    if (verdict.on_edge)
        return true;
    return winding != 0 && pole_is_north(vertices, count) ? !verdict.odd : verdict.odd;
}
