#include "tests/fixtures/attendance.h"

#include <stdlib.h>
#include <string.h>

#include "workflows/document/text.h"
#include "workflows/model/limits.h"

static void put_shift(struct core *core, int64_t id, int64_t start_minute, int64_t utc_offset_minutes)
{
    core_put(core, &entity_shift,
             &(struct shift_row){ .site_id = int_of(3),
                                  .id = int_of(id),
                                  .start_minute = int_of(start_minute),
                                  .utc_offset_minutes = int_of(utc_offset_minutes),
                                  .enabled = true });
}

static void put_circle(struct core *core, int64_t id, double latitude, double longitude, double radius_m)
{
    core_put(core, &entity_geofence,
             &(struct geofence_row){ .id = int_of(id),
                                     .center_latitude = number_of(latitude),
                                     .center_longitude = number_of(longitude),
                                     .radius_m = number_of(radius_m),
                                     .enabled = true });
}

/* A plan's child; from the first moment of 2026 on. */
static struct job_row assignment(int64_t id, int64_t geofence_id)
{
    return (struct job_row){
        .id = int_of(id),
        .person_id = int_of(7),
        .geofence_id = int_of(geofence_id),
        .starts_at = int_of(time_of("2026-01-01T00:00:00Z")),
        .identifier = IDENTIFIER_GEOFENCE,
        .other_info = SPAN_LITERAL("{}"),
    };
}

static void assign(struct core *core, int64_t id, int64_t geofence_id)
{
    struct job_row row = assignment(id, geofence_id);
    core_put(core, &entity_job, &row);
}

/* --- face results: the side -------------------------------------------------------------------------------------- */

static void results_fill_the_sides_in_order_and_never_twice(void **state)
{
    struct core *core = *state;
    assert_applied(punch(core, IN_AT_9));
    struct answer answer = face(core, "true", "0.25");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_FLAG_SET);
    assert_string_equal(answer.metadata, "{\"side\":\"in\"}");
    assert_text(record(core)->extras, "{\"distance_in\":25e-2,\"verified_in\":true}");
    assert_true(record(core)->face_in && !record(core)->face_out);

    answer = face(core, "false", "0.75"); /* nobody has gone out yet */
    assert_unchanged(answer);
    assert_string_equal(answer.metadata, "{\"side\":null}");

    assert_applied(punch(core, OUT_AT_17));
    answer = face(core, "false", "0.75");
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"side\":\"out\"}");
    assert_text(record(core)->extras, "{\"distance_in\":25e-2,\"distance_out\":75e-2,\"verified_in\":true,"
                                      "\"verified_out\":false}");
    assert_true(record(core)->face_in && !record(core)->face_out); /* the flag is what was verified */
    assert_int_equal(record(core)->version.value, 4);

    assert_unchanged(face(core, "true", "0.1"));
    assert_int_equal(record(core)->version.value, 4);
}

static void a_null_distance_is_absent_and_zero_is_a_distance(void **state)
{
    struct core *core = *state;
    assert_applied(punch(core, IN_AT_9));
    assert_applied(core_run(core, "json.merge",
                            "{\"aggregate\":\"attendance/" UUID "\",\"field\":\"extras\",\"value\":"
                            "{\"distance_in\":null,\"verified_in\":false,\"device\":\"a-1\"}}"));
    assert_applied(face(core, "true", "0"));
    assert_text(record(core)->extras, "{\"device\":\"a-1\",\"distance_in\":0,\"verified_in\":true}");
    assert_unchanged(face(core, "true", "0"));
}

static void a_side_without_a_punch_takes_no_result(void **state)
{
    struct core *core = *state;
    core_put(core, &entity_attendance,
             &(struct attendance_row){ .id = uuid,
                                       .version = int_of(1),
                                       .person_id = int_of(7),
                                       .punch_out = int_of(time_of("2026-11-24T17:00:00Z")),
                                       .extras = SPAN_LITERAL("{}") });
    assert_applied(face(core, "true", "0.5"));
    assert_text(record(core)->extras, "{\"distance_out\":5e-1,\"verified_out\":true}");
}

static void distances_keep_every_digit(void **state)
{
    struct core *core = *state;
    static const char *const distances[] = { "0.1", "0.30000000000000004", "1e-300", "1000", "123.456", "5e-324" };
    for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++)
    {
        struct json_member *members;
        size_t count;
        char text[64] = "";
        assert_applied(i ? core_run(core, "json.merge",
                                    "{\"aggregate\":\"attendance/" UUID
                                    "\",\"field\":\"extras\",\"value\":{\"distance_in\":null}}")
                         : punch(core, IN_AT_9));
        assert_applied(face(core, "true", distances[i]));
        assert_true(json_text_read_object(&core->batch, record(core)->extras, &members, &count));
        memcpy(text, members[0].value.at, members[0].value.size);
        assert_true(strtod(text, NULL) == strtod(distances[i], NULL));
    }
}

static void a_face_result_is_refused_where_it_cannot_be_kept(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *verified, *distance, *pointer;
    } cases[] = {
        { "true", "-0.1", "/distance" },    { "true", "1000.5", "/distance" }, { "true", "null", "/distance" },
        { "true", "\"0.5\"", "/distance" }, { "1", "0.5", "/verified" },       { "null", "0.5", "/verified" },
        { "\"true\"", "0.5", "/verified" },
    };
    assert_refused(face(core, "true", "0.5"), REASON_NOT_FOUND);
    assert_applied(punch(core, IN_AT_9));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct answer answer = face(core, cases[i].verified, cases[i].distance);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_non_null(strstr(answer.metadata, cases[i].pointer));
    }
    /* another program's extras */
    struct attendance_row row = *record(core);
    row.extras = SPAN_LITERAL("[1]");
    core_put(core, &entity_attendance, &row);
    assert_refused(face(core, "true", "0.5"), REASON_INVALID_DATA);
    assert_text(record(core)->extras, "[1]");
    assert_int_equal(record(core)->version.value, 1);
}

static void extras_do_not_grow_past_their_limit(void **state)
{
    struct core *core = *state;
    static char extras[JSON_FIELD_MAX + 1];
    assert_applied(punch(core, IN_AT_9));
    struct attendance_row row = *record(core);
    memset(extras, 'x', JSON_FIELD_MAX);
    memcpy(extras, "{\"x\":\"", 6);
    memcpy(extras + JSON_FIELD_MAX - 2, "\"}", 3);
    row.extras = (struct span){ extras, JSON_FIELD_MAX };
    core_put(core, &entity_attendance, &row);
    assert_refused(face(core, "true", "0.5"), REASON_TOO_LARGE);
    assert_int_equal(record(core)->version.value, 1);
}

/* --- face results: the geofence ---------------------------------------------------------------------------------- */

static bool says(const struct core *core, const char *member)
{
    struct span extras = record(core)->extras;
    return memmem(extras.at, extras.size, member, strlen(member)) != NULL;
}

static void a_circle_judges_both_ends_of_the_visit(void **state)
{
    struct core *core = *state;
    put_circle(core, 20, 12.9716, 77.5946, 150);
    assign(core, 100, 20);
    assert_applied(punch(core, IN_AT_9 ",\"latitude\":12.9717,\"longitude\":77.5946"));
    assert_applied(face(core, "true", "0.2"));
    assert_true(says(core, "\"start_in_geofence\":true"));
    assert_false(says(core, "end_in_geofence"));
    assert_applied(punch(core, OUT_AT_17 ",\"latitude\":12.9736,\"longitude\":77.5946")); /* 222 m north */
    assert_applied(face(core, "true", "0.2"));
    assert_true(says(core, "\"start_in_geofence\":true"));
    assert_true(says(core, "\"end_in_geofence\":false"));
}

static void a_polygon_is_joined_in_the_order_of_its_vertices(void **state)
{
    struct core *core = *state;
    /* A U; the rows come in another order than seq. */
    static const double corners[8][2] = {
        { 0, 0 }, { 0, 9 }, { 9, 9 }, { 9, 6 }, { 3, 6 }, { 3, 3 }, { 9, 3 }, { 9, 0 }
    };
    static const int order[8] = { 5, 2, 7, 0, 3, 6, 1, 4 };
    core_put(core, &entity_geofence, &(struct geofence_row){ .id = int_of(21), .enabled = true });
    for (int i = 0; i < 8; i++)
        core_put(core, &entity_geofence_vertex,
                 &(struct geofence_vertex_row){ .geofence_id = int_of(21),
                                                .seq = int_of(order[i] + 1),
                                                .latitude = number_of(corners[order[i]][0]),
                                                .longitude = number_of(corners[order[i]][1]) });
    assign(core, 100, 21);
    assert_applied(punch(core, IN_AT_9 ",\"latitude\":5,\"longitude\":4.5")); /* in the bay */
    assert_applied(punch(core, OUT_AT_17 ",\"latitude\":5,\"longitude\":7.5"));
    assert_applied(face(core, "true", "0.2"));
    assert_true(says(core, "\"start_in_geofence\":false") && says(core, "\"end_in_geofence\":true"));
}

static void one_of_several_geofences_is_enough(void **state)
{
    struct core *core = *state;
    put_circle(core, 20, 40, 40, 150);
    put_circle(core, 21, 10, 10, 150);
    assign(core, 100, 20);
    assign(core, 101, 21);
    assert_applied(punch(core, IN_AT_9 ",\"latitude\":10,\"longitude\":10"));
    assert_applied(face(core, "true", "0.2"));
    assert_true(says(core, "\"start_in_geofence\":true"));
}

static void without_an_enabled_geofence_or_a_place_nothing_is_said(void **state)
{
    struct core *core = *state;
    struct geofence_row disabled = { .id = int_of(20),
                                     .center_latitude = number_of(10),
                                     .center_longitude = number_of(10),
                                     .radius_m = number_of(1000) };
    core_put(core, &entity_geofence, &disabled);
    struct job_row other = assignment(100, 20);
    core_put(core, &entity_job, &other); /* disabled */
    other = assignment(101, 21);
    other.person_id = int_of(8); /* another's */
    core_put(core, &entity_job, &other);
    other = assignment(102, 21);
    other.identifier = IDENTIFIER_TASK; /* no assignment */
    core_put(core, &entity_job, &other);
    assign(core, 103, 1);  /* none */
    assign(core, 104, 99); /* there is no such geofence */
    put_circle(core, 21, 10, 10, 1000);
    assert_applied(punch(core, IN_AT_9 ",\"latitude\":10,\"longitude\":10"));
    assert_applied(punch(core, OUT_AT_17)); /* and no place there */
    assert_applied(face(core, "true", "0.2"));
    assert_applied(face(core, "true", "0.2"));
    assert_false(says(core, "geofence"));

    /* Enabled meanwhile: the next result, though no side is left for it, says it. */
    disabled.enabled = true;
    core_put(core, &entity_geofence, &disabled);
    struct answer answer = face(core, "true", "0.2");
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"side\":null}");
    assert_true(says(core, "\"start_in_geofence\":true"));
    assert_false(says(core, "end_in_geofence"));
    assert_unchanged(face(core, "true", "0.2"));
}

static void an_assignment_counts_while_it_is_in_force(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *starts_at, *ends_at;
        int from_minute, until_minute; /* -1: all day */
        bool counts;
        int offset;
    } cases[] = {
        { "2026-01-01T00:00:00Z", NULL, -1, -1, true, 0 },
        { "2026-11-24T09:00:00Z", "2026-11-24T09:00:00Z", -1, -1, true, 0 },
        { "2026-11-24T09:00:00.000001Z", NULL, -1, -1, false, 0 },
        { "2026-01-01T00:00:00Z", "2026-11-24T08:59:59.999999Z", -1, -1, false, 0 },
        { "2026-01-01T00:00:00Z", NULL, 540, 600, true, 0 }, /* 9:00 to 10:00 UTC */
        { "2026-01-01T00:00:00Z", NULL, 480, 540, true, 0 },
        { "2026-01-01T00:00:00Z", NULL, 541, 600, false, 0 },
        { "2026-01-01T00:00:00Z", NULL, 480, 539, false, 0 },
        { "2026-01-01T00:00:00Z", NULL, 1320, 540, true, 0 }, /* 22:00 to 9:00 */
        { "2026-01-01T00:00:00Z", NULL, 1320, 539, false, 0 },
        { "2026-01-01T00:00:00Z", NULL, 540, 120, true, 0 },
        { "2026-01-01T00:00:00Z", NULL, 540, 600, false, 330 }, /* 9:00 to 10:00 in Mumbai; it is 14:30 there */
        { "2026-01-01T00:00:00Z", NULL, 870, 870, true, 330 },
        { "2026-01-01T00:00:00Z", NULL, 1260, 1260, true, -720 }, /* 21:00 of the day before */
    };
    put_circle(core, 20, 10, 10, 1000);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct job_row row = assignment(100, 20);
        row.starts_at = int_of(time_of(cases[i].starts_at));
        if (cases[i].ends_at)
            row.ends_at = int_of(time_of(cases[i].ends_at));
        if (cases[i].from_minute >= 0)
        {
            row.from_minute = int_of(cases[i].from_minute);
            row.until_minute = int_of(cases[i].until_minute);
            row.utc_offset_minutes = int_of(cases[i].offset);
        }
        core_put(core, &entity_job, &row);
        core_put(core, &entity_attendance,
                 &(struct attendance_row){ .id = uuid,
                                           .version = int_of(1),
                                           .person_id = int_of(7),
                                           .punch_in = int_of(time_of("2026-11-24T09:00:00Z")),
                                           .start_latitude = number_of(10),
                                           .start_longitude = number_of(10),
                                           .extras = SPAN_LITERAL("{}") });
        assert_applied(face(core, "true", "0.2"));
        if (says(core, "\"start_in_geofence\":true") != cases[i].counts)
            fail_msg("case %zu", i);
    }
}

/* --- face results: the shift ------------------------------------------------------------------------------------- */

static void the_distance_to_a_start_goes_across_midnight(void **state)
{
    (void)state;
    static const struct
    {
        const char *at;
        int start_minute, utc_offset_minutes;
        int64_t minutes;
    } cases[] = {
        { "2026-11-24T09:00:00Z", 540, 0, 0 },
        { "2026-11-24T08:30:00Z", 540, 0, 30 },
        { "2026-11-24T23:50:00Z", 10, 0, 20 },
        { "2026-11-24T00:10:00Z", 1430, 0, 20 },
        { "2026-11-24T00:00:00Z", 720, 0, 720 }, /* never more than half a day */
        { "2026-11-24T00:00:00Z", 721, 0, 719 },
        { "2026-11-24T03:30:00Z", 540, 330, 0 },   /* nine o'clock in Mumbai */
        { "2026-11-24T18:40:00Z", 10, 330, 0 },    /* ten past midnight there, the next day */
        { "2026-11-24T04:00:00Z", 1380, -300, 0 }, /* eleven in the evening of the day before in New York */
        { "2026-11-24T12:00:00Z", 0, 720, 0 },
        { "1969-12-31T23:59:00Z", 0, 0, 1 }, /* times before 1970 are as good */
        { "1960-02-29T12:00:00Z", 540, 330, 510 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        int64_t distance =
            attendance_start_distance_us(time_of(cases[i].at), cases[i].start_minute, cases[i].utc_offset_minutes);
        if (distance != cases[i].minutes * MINUTE_US)
            fail_msg("case %zu: %lld", i, (long long)distance);
    }
    assert_int_equal(attendance_start_distance_us(-1, 0, 0), 1);
    for (int minute = 0; minute < DAY_MINUTES; minute++) /* all the starts there are, from one moment */
    {
        int64_t ahead = (minute - 600 + DAY_MINUTES) % DAY_MINUTES;
        int64_t expected = (ahead < DAY_MINUTES - ahead ? ahead : DAY_MINUTES - ahead) * MINUTE_US;
        assert_int_equal(attendance_start_distance_us(time_of("2026-11-24T10:00:00Z"), minute, 0), expected);
    }
}

static void a_record_without_a_shift_gets_the_nearest_of_its_site(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *at;
        int64_t shift;
    } cases[] = {
        { "2026-11-24T05:40:00Z", 5 },        { "2026-11-24T09:59:59Z", 5 }, { "2026-11-24T10:00:01Z", 6 },
        { "2026-11-24T17:59:00Z", 6 },        { "2026-11-24T18:00:01Z", 7 }, { "2026-11-24T23:58:00Z", 7 },
        { "2026-11-25T01:59:59Z", 7 },        { "2026-11-25T02:00:01Z", 5 }, { "2026-11-24T10:00:00Z", 5 },
        { "2026-11-24T02:00:00.000000Z", 5 },
    };
    put_shift(core, 7, 22 * 60, 0);
    put_shift(core, 5, 6 * 60, 0);
    put_shift(core, 6, 14 * 60, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        core_put(core, &entity_attendance,
                 &(struct attendance_row){ .id = uuid,
                                           .version = int_of(1),
                                           .person_id = int_of(7),
                                           .site_id = int_of(3),
                                           .punch_in = int_of(time_of(cases[i].at)),
                                           .extras = SPAN_LITERAL("{}") });
        struct answer answer = face(core, "true", "0.2");
        assert_applied(answer);
        assert_string_equal(answer.metadata, "{\"side\":\"in\"}");
        assert_int_equal(record(core)->shift_id.value, cases[i].shift);
    }
}

static void a_shift_that_is_known_or_cannot_be_told_is_left(void **state)
{
    struct core *core = *state;
    put_shift(core, 5, 6 * 60, 0);
    assert_applied(punch(core, IN_AT_9 ",\"site_id\":3,\"shift_id\":44"));
    assert_applied(face(core, "true", "0.2"));
    assert_int_equal(record(core)->shift_id.value, 44);

    struct attendance_row row = *record(core);
    row.shift_id = INT_NULL;
    row.site_id = INT_NULL;
    row.extras = SPAN_LITERAL("{}");
    core_put(core, &entity_attendance, &row);
    assert_applied(face(core, "true", "0.2"));
    assert_false(record(core)->shift_id.set); /* no site */
    row.site_id = int_of(4);
    core_put(core, &entity_attendance, &row);
    assert_applied(face(core, "true", "0.2"));
    assert_false(record(core)->shift_id.set); /* a site without shifts */

    row.site_id = int_of(3);
    core_put(core, &entity_attendance, &row);
    core_put(core, &entity_shift,
             &(struct shift_row){
                 .site_id = int_of(3), .id = int_of(4), .start_minute = int_of(540), .utc_offset_minutes = int_of(0) });
    assert_applied(face(core, "true", "0.2"));
    assert_int_equal(record(core)->shift_id.value, 5); /* 4 is nearer, and disabled */
}

/* --- batches ----------------------------------------------------------------------------------------------------- */

/* PROTOCOL B3: all in one batch as one after another. */
static void a_visit_in_one_batch_is_the_visit_in_six(void **state)
{
    struct core *core = *state;
    static const struct order orders[] = {
        { "attendance.punch", "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,\"site_id\":3,\"latitude\":10,"
                              "\"longitude\":10," IN_AT_9 "}" },
        { "attendance.record_face_result",
          "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,\"verified\":true,\"distance\":0.1}" },
        { "json.merge", "{\"aggregate\":\"attendance/" UUID "\",\"field\":\"extras\",\"value\":{\"device\":\"a-1\"}}" },
        { "attendance.punch", "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,\"latitude\":10.1,"
                              "\"longitude\":10," OUT_AT_17 "}" },
        { "attendance.record_face_result",
          "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,\"verified\":true,\"distance\":0.2}" },
        { "attendance.record_face_result",
          "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,\"verified\":true,\"distance\":0.3}" },
    };
    enum
    {
        COUNT = sizeof(orders) / sizeof(orders[0]),
    };
    struct answer together[COUNT];
    put_circle(core, 20, 10, 10, 1000);
    assign(core, 100, 20);
    put_shift(core, 5, 6 * 60, 0);
    put_shift(core, 6, 14 * 60, 0);
    core_run_batch(core, orders, COUNT, together);
    struct attendance_row at_once = *record(core);
    assert_text(at_once.extras, "{\"device\":\"a-1\",\"distance_in\":1e-1,\"distance_out\":2e-1,"
                                "\"end_in_geofence\":false,\"start_in_geofence\":true,\"verified_in\":true,"
                                "\"verified_out\":true}");
    assert_int_equal(at_once.shift_id.value, 5);
    assert_int_equal(at_once.version.value, 5);
    assert_int_equal(together[5].outcome, OUTCOME_UNCHANGED);

    free(core->tables[PLACE_ATTENDANCE].rows[0]);
    core->tables[PLACE_ATTENDANCE].count = 0;
    for (int i = 0; i < COUNT; i++)
    {
        struct answer alone = core_run(core, orders[i].type, orders[i].data);
        assert_int_equal(alone.outcome, together[i].outcome);
        assert_int_equal(alone.version_to, together[i].version_to);
        assert_string_equal(alone.metadata, together[i].metadata);
    }
    const struct attendance_row *one_by_one = record(core);
    assert_true(span_equal(one_by_one->extras, at_once.extras));
    assert_int_equal(one_by_one->shift_id.value, at_once.shift_id.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(results_fill_the_sides_in_order_and_never_twice),
        CORE_TEST(a_null_distance_is_absent_and_zero_is_a_distance),
        CORE_TEST(a_side_without_a_punch_takes_no_result),
        CORE_TEST(distances_keep_every_digit),
        CORE_TEST(a_face_result_is_refused_where_it_cannot_be_kept),
        CORE_TEST(extras_do_not_grow_past_their_limit),
        CORE_TEST(a_circle_judges_both_ends_of_the_visit),
        CORE_TEST(a_polygon_is_joined_in_the_order_of_its_vertices),
        CORE_TEST(one_of_several_geofences_is_enough),
        CORE_TEST(without_an_enabled_geofence_or_a_place_nothing_is_said),
        CORE_TEST(an_assignment_counts_while_it_is_in_force),
        CORE_TEST(the_distance_to_a_start_goes_across_midnight),
        CORE_TEST(a_record_without_a_shift_gets_the_nearest_of_its_site),
        CORE_TEST(a_shift_that_is_known_or_cannot_be_told_is_left),
        CORE_TEST(a_visit_in_one_batch_is_the_visit_in_six),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
