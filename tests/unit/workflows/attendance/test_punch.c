#include "tests/fixtures/attendance.h"

#include <stdio.h>
#include <string.h>

#include "workflows/model/limits.h"

/* --- punch ------------------------------------------------------------------------------------------------------- */

static void a_punch_in_opens_a_record_and_a_punch_out_closes_it(void **state)
{
    struct core *core = *state;
    struct answer answer = punch(core, IN_AT_9 ",\"site_id\":3,\"shift_id\":5,\"latitude\":12.5,\"longitude\":77.25");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CREATION);
    assert_int_equal(answer.aggregate.kind, AGGREGATE_ATTENDANCE);
    assert_true(id_equal(answer.aggregate.id, uuid));
    assert_int_equal(answer.version_from, 0);
    assert_int_equal(answer.version_to, 1);
    assert_string_equal(answer.metadata, "{\"direction\":\"in\"}");
    const struct attendance_row *row = record(core);
    assert_int_equal(row->person_id.value, 7);
    assert_int_equal(row->site_id.value, 3);
    assert_int_equal(row->shift_id.value, 5);
    assert_int_equal(row->punch_in.value, time_of("2026-11-24T09:00:00Z"));
    assert_false(row->punch_out.set || row->end_latitude.set || row->face_in || row->face_out);
    assert_true(row->start_latitude.value == 12.5 && row->start_longitude.value == 77.25);
    assert_text(row->extras, "{}");

    answer = punch(core, OUT_AT_17 ",\"latitude\":-90,\"longitude\":180");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_FIELD_UPDATE);
    assert_int_equal(answer.version_to, 2);
    row = record(core);
    assert_int_equal(row->punch_out.value, time_of("2026-11-24T17:00:00Z"));
    assert_true(row->end_latitude.value == -90 && row->end_longitude.value == 180);
    assert_true(row->start_latitude.value == 12.5);
    assert_int_equal(row->site_id.value, 3);
}

static void a_punch_out_gives_the_site_and_shift_that_are_not_known_yet_and_changes_none(void **state)
{
    struct core *core = *state;
    assert_applied(punch(core, IN_AT_9 ",\"site_id\":3,\"shift_id\":1"));
    assert_false(record(core)->shift_id.set); /* 1 means no shift */
    assert_applied(punch(core, OUT_AT_17 ",\"site_id\":4,\"shift_id\":6"));
    assert_int_equal(record(core)->site_id.value, 3);
    assert_int_equal(record(core)->shift_id.value, 6);
}

static void a_punch_may_be_an_instant_and_not_end_before_it_begins(void **state)
{
    struct core *core = *state;
    assert_applied(punch(core, IN_AT_9));
    struct answer answer = punch(core, "\"direction\":\"out\",\"at\":\"2026-11-24T08:59:59.999999Z\"");
    assert_refused(answer, REASON_INVALID_DATA);
    assert_string_equal(answer.metadata, "{\"parameter\":\"/at\",\"message\":\"is before the punch-in\"}");
    assert_applied(punch(core, "\"direction\":\"out\",\"at\":\"2026-11-24T10:00:00+01:00\""));
    assert_int_equal(record(core)->punch_out.value, record(core)->punch_in.value);
}

static void a_punch_out_without_a_record_makes_one_that_has_its_end_only(void **state)
{
    struct core *core = *state;
    struct answer answer = punch(core, OUT_AT_17 ",\"site_id\":3,\"latitude\":1,\"longitude\":2");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CREATION);
    assert_int_equal(answer.version_from, 0);
    const struct attendance_row *row = record(core);
    assert_false(row->punch_in.set || row->start_latitude.set);
    assert_int_equal(row->punch_out.value, time_of("2026-11-24T17:00:00Z"));
    assert_int_equal(row->person_id.value, 7);
    assert_int_equal(row->site_id.value, 3);
    assert_true(row->end_latitude.value == 1 && row->end_longitude.value == 2);
    assert_refused(punch(core, "\"direction\":\"in\",\"at\":\"2026-11-24T17:00:01Z\""), REASON_INVALID_DATA);
    answer = punch(core, IN_AT_9);
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_FIELD_UPDATE);
    assert_int_equal(record(core)->punch_in.value, time_of("2026-11-24T09:00:00Z"));
}

static void a_repeated_punch_is_unchanged_and_another_one_is_refused(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *rest;
        bool same;
    } cases[] = {
        { IN_AT_9 ",\"site_id\":3,\"shift_id\":5,\"latitude\":12.5,\"longitude\":77.25", true },
        { IN_AT_9, true }, /* an absent value is not another one */
        { "\"direction\":\"in\",\"at\":\"2026-11-24T10:00:00+01:00\"", true },
        { IN_AT_9 ",\"shift_id\":1", true },
        { "\"direction\":\"in\",\"at\":\"2026-11-24T09:00:00.000001Z\"", false },
        { IN_AT_9 ",\"site_id\":4", false },
        { IN_AT_9 ",\"shift_id\":6", false },
        { IN_AT_9 ",\"latitude\":12.5,\"longitude\":77.26", false },
        { IN_AT_9 ",\"latitude\":12.4,\"longitude\":77.25", false },
        { OUT_AT_17 ",\"latitude\":1,\"longitude\":2", true },
        { OUT_AT_17 ",\"site_id\":99,\"shift_id\":98", true }, /* a visit's are those it began with */
        { "\"direction\":\"out\",\"at\":\"2026-11-24T18:00:00Z\"", false },
        { OUT_AT_17 ",\"latitude\":1,\"longitude\":3", false },
    };
    assert_applied(punch(core, cases[0].rest));
    assert_applied(punch(core, cases[9].rest));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct answer answer = punch(core, cases[i].rest);
        if (cases[i].same)
            assert_unchanged(answer);
        else
            assert_refused(answer, REASON_ALREADY_EXISTS);
        assert_string_equal(answer.metadata,
                            strstr(cases[i].rest, "\"in\"") ? "{\"direction\":\"in\"}" : "{\"direction\":\"out\"}");
        assert_int_equal(record(core)->version.value, 2);
    }
}

static void nobody_punches_for_another(void **state)
{
    struct core *core = *state;
    assert_applied(punch(core, IN_AT_9));
    static const char *const data[] = {
        "{\"attendance_uuid\":\"" UUID "\",\"person_id\":8," OUT_AT_17 "}",
        "{\"attendance_uuid\":\"" UUID "\",\"person_id\":8," IN_AT_9 "}",
        "{\"attendance_uuid\":\"" UUID "\",\"person_id\":1," OUT_AT_17 "}",
    };
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
    {
        struct answer answer = core_run(core, "attendance.punch", data[i]);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_non_null(strstr(answer.metadata, "\"parameter\":\"/person_id\""));
    }
    assert_refused(core_run(core, "attendance.record_face_result",
                            "{\"attendance_uuid\":\"" UUID "\",\"person_id\":8,\"verified\":true,\"distance\":0.5}"),
                   REASON_INVALID_DATA);
    assert_int_equal(record(core)->version.value, 1);
}

static void a_record_that_only_has_a_punch_out_is_given_its_punch_in(void **state)
{
    struct core *core = *state;
    core_put(core, &entity_attendance,
             &(struct attendance_row){ .id = uuid,
                                       .version = int_of(1),
                                       .person_id = int_of(7),
                                       .punch_out = int_of(time_of("2026-11-24T17:00:00Z")),
                                       .extras = SPAN_LITERAL("{}") });
    assert_refused(punch(core, "\"direction\":\"in\",\"at\":\"2026-11-24T17:00:00.000001Z\""), REASON_INVALID_DATA);
    assert_applied(punch(core, IN_AT_9));
    assert_int_equal(record(core)->punch_in.value, time_of("2026-11-24T09:00:00Z"));
}

static void a_value_out_of_range_is_refused_by_its_pointer(void **state)
{
    struct core *core = *state;
    static const struct
    {
        const char *rest, *pointer;
    } cases[] = {
        { "\"direction\":\"up\",\"at\":\"2026-11-24T09:00:00Z\"", "/direction" },
        { "\"direction\":\"IN\",\"at\":\"2026-11-24T09:00:00Z\"", "/direction" },
        { "\"direction\":\"in\",\"at\":\"2026-11-24\"", "/at" },
        { "\"direction\":\"in\"", "/at" },
        { IN_AT_9 ",\"latitude\":90.0000001,\"longitude\":0", "/latitude" },
        { IN_AT_9 ",\"latitude\":-91,\"longitude\":0", "/latitude" },
        { IN_AT_9 ",\"latitude\":\"1\",\"longitude\":0", "/latitude" },
        { IN_AT_9 ",\"latitude\":0,\"longitude\":180.0000001", "/longitude" },
        { IN_AT_9 ",\"latitude\":0,\"longitude\":-181", "/longitude" },
        { IN_AT_9 ",\"latitude\":0", "/longitude" },
        { IN_AT_9 ",\"longitude\":0", "/latitude" },
        { IN_AT_9 ",\"latitude\":0,\"longitude\":null", "/longitude" },
        { IN_AT_9 ",\"site_id\":0", "/site_id" },
        { IN_AT_9 ",\"shift_id\":-1", "/shift_id" },
        { IN_AT_9 ",\"face\":true", "/face" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct answer answer = punch(core, cases[i].rest);
        char expected[64];
        assert_refused(answer, REASON_INVALID_DATA);
        snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\"", cases[i].pointer);
        if (strncmp(answer.metadata, expected, strlen(expected)) != 0)
            fail_msg("%s: %s", cases[i].rest, answer.metadata);
    }
    assert_int_equal(core->tables[PLACE_ATTENDANCE].count, 0);
}

/* --- batches ----------------------------------------------------------------------------------------------------- */

static void a_record_in_another_s_hands_is_busy(void **state)
{
    struct core *core = *state;
    core->busy_entity = &entity_attendance;
    core->busy = uuid;
    assert_true(punch(core, IN_AT_9).busy);
    assert_true(face(core, "true", "0.5").busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(a_punch_in_opens_a_record_and_a_punch_out_closes_it),
        CORE_TEST(a_punch_out_gives_the_site_and_shift_that_are_not_known_yet_and_changes_none),
        CORE_TEST(a_punch_may_be_an_instant_and_not_end_before_it_begins),
        CORE_TEST(a_punch_out_without_a_record_makes_one_that_has_its_end_only),
        CORE_TEST(a_repeated_punch_is_unchanged_and_another_one_is_refused),
        CORE_TEST(nobody_punches_for_another),
        CORE_TEST(a_record_that_only_has_a_punch_out_is_given_its_punch_in),
        CORE_TEST(a_value_out_of_range_is_refused_by_its_pointer),
        CORE_TEST(a_record_in_another_s_hands_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
