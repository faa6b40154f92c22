/* Attendance fixture: what the tests of punches and of face results say. */
#ifndef TESTS_UNIT_ATTENDANCE_FIXTURE_H
#define TESTS_UNIT_ATTENDANCE_FIXTURE_H

#include "tests/unit/fixture.h"

#include "workflows/model/limits.h"

#define UUID "0c5c7fd0-1234-4e6f-9f00-001122334455"

static const struct id uuid = { UINT64_C(0x0c5c7fd012344e6f), UINT64_C(0x9f00001122334455) };

enum
{
    MINUTE_US = 60 * 1000 * 1000,
    DAY_MINUTES = 1440,
};

/* --- what the tests say ------------------------------------------------------------------------------------------ */

static inline const struct attendance_row *record(const struct fixture *fixture)
{
    return fixture_find_id(fixture, &entity_attendance, uuid);
}

/* {"attendance_uuid":..., "person_id":7, <rest>} */
static inline struct answer punch(struct fixture *fixture, const char *rest)
{
    char data[512];
    snprintf(data, sizeof(data), "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,%s}", rest);
    return fixture_run(fixture, "attendance.punch", data);
}

static inline struct answer face(struct fixture *fixture, const char *verified, const char *distance)
{
    char data[512];
    snprintf(data, sizeof(data), "{\"attendance_uuid\":\"" UUID "\",\"person_id\":7,\"verified\":%s,\"distance\":%s}",
             verified, distance);
    return fixture_run(fixture, "attendance.record_face_result", data);
}

#define IN_AT_9 "\"direction\":\"in\",\"at\":\"2026-11-24T09:00:00Z\""
#define OUT_AT_17 "\"direction\":\"out\",\"at\":\"2026-11-24T17:00:00Z\""

static inline int64_t time_of(const char *text)
{
    int64_t unix_us = 0;
    assert_true(parameters_parse_time(span_of(text), &unix_us));
    return unix_us;
}

#endif
