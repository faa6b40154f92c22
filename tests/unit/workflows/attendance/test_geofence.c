/* cmocka wants these first. */
#include "tests/fixtures/cmocka.h"

#include <math.h>

#include "workflows/attendance/geofence.h"

enum
{
    VERTICES_MAX = 24,
    POLYGONS = 300,
    PLACES = 200,
};

static const double mean_radius_m = 6371008.8;
static const double degree_m = 111195.0802335329; /* a 360th of the circumference of that sphere */

/* --- circle ------------------------------------------------------------------------------------------------------ */

static void assert_distance(double latitude_a, double longitude_a, double latitude_b, double longitude_b,
                            double expected, double tolerance)
{
    struct place a = { latitude_a, longitude_a }, b = { latitude_b, longitude_b };
    double there = geofence_distance_m(a, b), back = geofence_distance_m(b, a);
    if (fabs(there - expected) > tolerance || fabs(back - there) > 1e-6)
        fail_msg("%.9f and back %.9f, expected %.9f", there, back, expected);
}

static void known_distances_are_found(void **state)
{
    (void)state;
    assert_distance(0, 0, 0, 0, 0, 0);
    assert_distance(0, 0, 1, 0, degree_m, 1e-6);
    assert_distance(0, 0, 0, 1, degree_m, 1e-6);
    assert_distance(60, 10, 60, 11, 55595.4, 3); /* half as long at 60 degrees, and the great circle cuts the corner */
    assert_distance(51.5074, -0.1278, 48.8566, 2.3522, 343556.5, 1);      /* London, Paris */
    assert_distance(40.7128, -74.0060, 51.5074, -0.1278, 5570230, 1);     /* New York, London */
    assert_distance(-33.8688, 151.2093, -34.6037, -58.3816, 11801082, 5); /* Sydney, Buenos Aires: by the south */
    assert_distance(19.0760, 72.8777, 19.0760, 72.8778, 10.509, 0.001);   /* across a gate in Mumbai */
}

static void distances_do_not_see_the_antimeridian_or_the_poles(void **state)
{
    (void)state;
    assert_distance(0, 179.9, 0, -179.9, 0.2 * degree_m, 1e-5);
    assert_distance(17.5, 180, 17.5, -180, 0, 1e-6);
    assert_distance(89.9, 0, 89.9, 180, 0.2 * degree_m, 1e-5);
    assert_distance(90, 0, 90, 123, 0, 1e-6); /* one pole, whatever its longitude */
    assert_distance(-90, 10, -89, -170, degree_m, 1e-5);
    assert_distance(90, 0, -90, 0, 180 * degree_m, 1e-3);
    assert_distance(0, 0, 0, 180, 180 * degree_m, 1e-3);
    assert_distance(12.3, 45.6, -12.3, -134.4, 180 * degree_m, 0.2); /* antipodes: the root hides the last digits */
}

/* Against the angle between two vectors, another formula. */
static void distances_are_those_of_the_vectors(void **state)
{
    (void)state;
    const double radian = 0.017453292519943295;
    for (int la = -88; la <= 88; la += 11)
        for (int lo = -179; lo <= 179; lo += 37)
            for (int lb = -85; lb <= 85; lb += 17)
            {
                double a = la * radian, b = lb * radian, dl = (lo - 20) * radian;
                double x = cos(b) * sin(dl), y = cos(a) * sin(b) - sin(a) * cos(b) * cos(dl);
                double z = sin(a) * sin(b) + cos(a) * cos(b) * cos(dl);
                assert_distance(la, 20, lb, lo, mean_radius_m * atan2(sqrt(x * x + y * y), z), 0.05);
            }
}

static void a_circle_ends_at_its_radius(void **state)
{
    (void)state;
    struct place center = { 12.9716, 77.5946 };
    double step = 100 / degree_m; /* 100 m in degrees of latitude */
    assert_true(geofence_circle_contains(center, 0.001, center));
    assert_true(geofence_circle_contains(center, 100.001, (struct place){ center.latitude + step, center.longitude }));
    assert_false(geofence_circle_contains(center, 99.999, (struct place){ center.latitude + step, center.longitude }));
    assert_true(geofence_circle_contains((struct place){ 0, 179.9995 }, 112, (struct place){ 0, -179.9995 }));
    assert_false(geofence_circle_contains((struct place){ 0, 179.9995 }, 111, (struct place){ 0, -179.9995 }));
    assert_true(geofence_circle_contains((struct place){ 90, 0 }, 112000, (struct place){ 89, -77 }));
    assert_true(geofence_circle_contains(center, 20037508, (struct place){ -12.9716, -102.4054 }));
}

/* --- polygon ----------------------------------------------------------------------------------------------------- */

#define CONTAINS(ring, latitude, longitude) \
    geofence_polygon_contains(ring, sizeof(ring) / sizeof((ring)[0]), (struct place){ latitude, longitude })

static void a_square_contains_its_inside_edges_and_corners(void **state)
{
    (void)state;
    static const struct place square[] = { { 10, 20 }, { 10, 30 }, { 20, 30 }, { 20, 20 } };
    assert_true(CONTAINS(square, 15, 25));
    assert_true(CONTAINS(square, 10.0000001, 29.9999999));
    for (size_t i = 0; i < 4; i++)
        assert_true(CONTAINS(square, square[i].latitude, square[i].longitude));
    assert_true(CONTAINS(square, 10, 25));
    assert_true(CONTAINS(square, 20, 21));
    assert_true(CONTAINS(square, 13, 20));
    assert_true(CONTAINS(square, 13, 30));
    assert_false(CONTAINS(square, 9.9999999, 25));
    assert_false(CONTAINS(square, 20.0000001, 25));
    assert_false(CONTAINS(square, 15, 19.9999999));
    assert_false(CONTAINS(square, 15, 30.0000001));
    assert_false(CONTAINS(square, -15, 25));
    assert_false(CONTAINS(square, 15, -155)); /* round the back of the earth */
    assert_false(CONTAINS(square, 90, 25));
}

static void a_ray_through_a_vertex_counts_once(void **state)
{
    (void)state;
    /* Vertices north and south of the place at its own longitude: a peak, a notch, a vertical edge. */
    static const struct place diamond[] = { { 0, 10 }, { 10, 20 }, { 20, 10 }, { 10, 0 } };
    static const struct place notched[] = { { 0, 0 }, { 0, 20 }, { 20, 20 }, { 15, 10 }, { 20, 0 } };
    static const struct place stairs[] = { { 0, 0 }, { 0, 20 }, { 10, 20 }, { 10, 10 }, { 20, 10 }, { 20, 0 } };
    assert_true(CONTAINS(diamond, 5, 10));
    assert_false(CONTAINS(diamond, -5, 10));
    assert_false(CONTAINS(diamond, 25, 10));
    assert_true(CONTAINS(notched, 10, 10));
    assert_false(CONTAINS(notched, 17, 10));
    assert_true(CONTAINS(notched, 17, 19));
    assert_true(CONTAINS(stairs, 5, 10));
    assert_false(CONTAINS(stairs, -5, 10));
    assert_true(CONTAINS(stairs, 15, 10)); /* on the vertical edge */
    assert_false(CONTAINS(stairs, 15, 10.00001));
}

static void a_concave_polygon_leaves_out_its_bay(void **state)
{
    (void)state;
    /* A U that opens to the north, in both directions of turning. */
    static const struct place u[] = { { 0, 0 }, { 0, 9 }, { 9, 9 }, { 9, 6 }, { 3, 6 }, { 3, 3 }, { 9, 3 }, { 9, 0 } };
    struct place backward[8];
    for (size_t i = 0; i < 8; i++)
        backward[i] = u[7 - i];
    assert_true(CONTAINS(u, 5, 1.5) && CONTAINS(backward, 5, 1.5));
    assert_true(CONTAINS(u, 5, 7.5) && CONTAINS(backward, 5, 7.5));
    assert_true(CONTAINS(u, 1.5, 4.5) && CONTAINS(backward, 1.5, 4.5));
    assert_false(CONTAINS(u, 5, 4.5) || CONTAINS(backward, 5, 4.5));
    assert_false(CONTAINS(u, 9, 4.5)); /* between the tips */
    assert_true(CONTAINS(u, 3, 4.5));  /* on the bay's floor */
}

static void a_polygon_that_crosses_itself_is_inside_where_it_winds_once(void **state)
{
    (void)state;
    static const struct place bow[] = { { 0, 0 }, { 10, 10 }, { 0, 10 }, { 10, 0 } };
    assert_true(CONTAINS(bow, 5, 1));
    assert_true(CONTAINS(bow, 5, 9));
    assert_false(CONTAINS(bow, 1, 5));
    assert_false(CONTAINS(bow, 9, 5));
    assert_true(CONTAINS(bow, 5, 5)); /* where the edges cross */
}

static void a_polygon_may_lie_across_the_antimeridian(void **state)
{
    (void)state;
    static const struct place fiji[] = { { -20, 177 }, { -20, -178 }, { -16, -178 }, { -16, 177 } };
    static const struct place from_the_east[] = { { -16, -178 }, { -16, 177 }, { -20, 177 }, { -20, -178 } };
    static const double inside[] = { 177, 178.5, 180, -180, -179, -178 }, outside[] = { 176.9, -177.9, 0, 90, -90 };
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
        assert_true(CONTAINS(fiji, -18, inside[i]) && CONTAINS(from_the_east, -18, inside[i]));
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        assert_false(CONTAINS(fiji, -18, outside[i]) || CONTAINS(from_the_east, -18, outside[i]));
    /* one that only touches it */
    static const struct place west[] = { { 0, 170 }, { 0, 180 }, { 5, 180 }, { 5, 170 } };
    assert_true(CONTAINS(west, 2, 180) && CONTAINS(west, 2, -180));
    assert_false(CONTAINS(west, 2, -179.9));
}

static void a_ring_around_the_earth_encloses_the_nearer_pole(void **state)
{
    (void)state;
    static const struct place arctic[] = { { 66, 0 }, { 70, 90 }, { 66, 180 }, { 70, -90 } };
    static const struct place antarctic[] = { { -66, 100 }, { -70, -20 }, { -66, -140 } };
    for (int longitude = -180; longitude <= 180; longitude += 15)
    {
        assert_true(CONTAINS(arctic, 90, longitude));
        assert_true(CONTAINS(arctic, 71, longitude));
        assert_false(CONTAINS(arctic, 65, longitude));
        assert_false(CONTAINS(arctic, -90, longitude));
        assert_true(CONTAINS(antarctic, -90, longitude));
        assert_true(CONTAINS(antarctic, -71, longitude));
        assert_false(CONTAINS(antarctic, -65, longitude));
        assert_false(CONTAINS(antarctic, 90, longitude));
    }
    assert_true(CONTAINS(arctic, 68, 45)); /* on the edge, half way up */
    assert_true(CONTAINS(arctic, 68.1, 45));
    assert_false(CONTAINS(arctic, 67.9, 45));
}

static void fewer_than_three_vertices_contain_nothing(void **state)
{
    (void)state;
    static const struct place line[] = { { 0, 0 }, { 10, 10 } };
    assert_false(CONTAINS(line, 5, 5));
    assert_false(CONTAINS(line, 0, 0));
    assert_false(geofence_polygon_contains(line, 0, line[0]));
    /* three in a line are its points alone */
    static const struct place flat[] = { { 0, 0 }, { 10, 10 }, { 5, 5 } };
    assert_true(CONTAINS(flat, 7, 7));
    assert_false(CONTAINS(flat, 7, 7.001));
}

static void a_place_nearer_than_a_tenth_of_a_millimetre_is_on_the_edge(void **state)
{
    (void)state;
    static const struct place triangle[] = { { 0, 0 }, { 0, 3 }, { 1, 3 } };
    double third = 1.0 / 3;
    assert_true(CONTAINS(triangle, third, 1)); /* on the slope, as near as a double comes to it */
    assert_true(CONTAINS(triangle, third + 0.9e-9, 1));
    assert_false(CONTAINS(triangle, third + 1e-8, 1));
}

/* --- random stars ------------------------------------------------------------------------------------------------ */

static uint64_t seed = 20261124;

static double random_unit(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 11) / 9007199254740992.0;
}

static double cross(struct place o, struct place a, struct place b)
{
    return (a.longitude - o.longitude) * (b.latitude - o.latitude) -
           (a.latitude - o.latitude) * (b.longitude - o.longitude);
}

/* -1 outside, 1 inside, 0 too near to a side to say. */
static int in_triangle(struct place a, struct place b, struct place c, struct place p)
{
    double u = cross(a, b, p), v = cross(b, c, p), w = cross(c, a, p);
    if (fabs(v) < 1e-7)
        return 0;
    return (u >= 0 && v >= 0 && w >= 0) || (u <= 0 && v <= 0 && w <= 0) ? 1 : -1;
}

/* A star is the union of the triangles between its centre and its edges: another way to tell what it contains. It is
 * moved to where the antimeridian cuts it. */
static void random_stars_contain_what_their_triangles_contain(void **state)
{
    (void)state;
    int found_inside = 0, found_outside = 0;
    for (int polygon = 0; polygon < POLYGONS; polygon++)
    {
        struct place star[VERTICES_MAX], moved[VERTICES_MAX];
        size_t count = 5 + (size_t)(random_unit() * (VERTICES_MAX - 5));
        double shift = polygon % 3 == 0 ? 0 : 180 - 10 + 20 * random_unit();
        for (size_t i = 0; i < count; i++)
        {
            double angle = 6.283185307179586 * ((double)i + 0.8 * random_unit()) / (double)count;
            double radius = 1 + 9 * random_unit();
            star[i] = (struct place){ radius * sin(angle), radius * cos(angle) };
            double longitude = star[i].longitude + shift;
            moved[i] = (struct place){ star[i].latitude, longitude > 180 ? longitude - 360 : longitude };
        }
        for (int n = 0; n < PLACES; n++)
        {
            struct place place = { 22 * random_unit() - 11, 22 * random_unit() - 11 };
            int expected = -1;
            for (size_t i = 0; i < count && expected; i++)
            {
                int one = in_triangle((struct place){ 0, 0 }, star[i], star[(i + 1) % count], place);
                expected = one == 0 ? 0 : one == 1 ? 1 : expected;
            }
            double longitude = place.longitude + shift;
            longitude = longitude > 180 ? longitude - 360 : longitude;
            bool contains = geofence_polygon_contains(moved, count, (struct place){ place.latitude, longitude });
            if (expected && contains != (expected == 1))
                fail_msg("polygon %d, place %d: %.17g %.17g", polygon, n, place.latitude, place.longitude);
            found_inside += expected == 1;
            found_outside += expected == -1;
        }
    }
    assert_true(found_inside > POLYGONS * PLACES / 10 && found_outside > POLYGONS * PLACES / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_distances_are_found),
        cmocka_unit_test(distances_do_not_see_the_antimeridian_or_the_poles),
        cmocka_unit_test(distances_are_those_of_the_vectors),
        cmocka_unit_test(a_circle_ends_at_its_radius),
        cmocka_unit_test(a_square_contains_its_inside_edges_and_corners),
        cmocka_unit_test(a_ray_through_a_vertex_counts_once),
        cmocka_unit_test(a_concave_polygon_leaves_out_its_bay),
        cmocka_unit_test(a_polygon_that_crosses_itself_is_inside_where_it_winds_once),
        cmocka_unit_test(a_polygon_may_lie_across_the_antimeridian),
        cmocka_unit_test(a_ring_around_the_earth_encloses_the_nearer_pole),
        cmocka_unit_test(fewer_than_three_vertices_contain_nothing),
        cmocka_unit_test(a_place_nearer_than_a_tenth_of_a_millimetre_is_on_the_edge),
        cmocka_unit_test(random_stars_contain_what_their_triangles_contain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
