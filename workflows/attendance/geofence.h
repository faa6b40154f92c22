/* Geofence: whether a place on the earth lies inside a circle or a polygon. Degrees, WGS 84; the earth is a sphere of
 * its mean radius, which is at most 0.5 % off.
 *
 * Threads    pure functions.
 * Failure    none. Callers check ranges first: latitude -90 .. 90, longitude -180 .. 180.
 */
#ifndef WORKFLOWS_ATTENDANCE_GEOFENCE_H
#define WORKFLOWS_ATTENDANCE_GEOFENCE_H

#include <stdbool.h>
#include <stddef.h>

struct place
{
    double latitude, longitude;
};

/* The great-circle distance in metres (haversine). */
double geofence_distance_m(struct place a, struct place b);

/* The rim is inside. */
bool geofence_circle_contains(struct place center, double radius_m, struct place place);

/* Whether the polygon, the last vertex joined to the first, contains the place. Edges are straight on a map on which a
 * degree is as long in either direction, as every geofence editor draws them, and run the shorter way round: one from
 * 179 to -179 crosses the antimeridian. A ring that goes once around the earth encloses the pole that it is nearer to.
 * A place is inside when the ring winds around it an odd number of times; the edges and vertices are inside. Fewer than
 * three vertices contain nothing. */
bool geofence_polygon_contains(const struct place *vertices, size_t count, struct place place);

#endif
