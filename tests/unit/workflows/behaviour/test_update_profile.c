#include "tests/fixtures/core.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workflows/behaviour/behaviour.h"
#include "workflows/document/text.h"
#include "workflows/model/limits.h"

static const struct behaviour_profile_row *profile(const struct core *core, int64_t user)
{
    return core_find_id(core, &entity_behaviour_profile, id_of(user));
}

static const struct behavioural_event_row *event(const struct core *core, int64_t user, int64_t seq)
{
    struct behavioural_event_row key = { .user_id = int_of(user), .seq = int_of(seq) };
    return core_find(core, &entity_behavioural_event, &key);
}

/* As if there had been no observation of user 7. */
static void forget(struct core *core)
{
    struct table *events = &core->tables[PLACE_BEHAVIOURAL_EVENT];
    while (events->count)
        free(events->rows[--events->count]);
    core_delete(core, &entity_behaviour_profile, id_of(7));
}

/* An observation of user 7 in the record ...-<record>, with further members. */
static const char *observed(int record, const char *probability, const char *more)
{
    static char data[4096];
    snprintf(data, sizeof(data),
             "{\"user_id\":7,\"attendance_uuid\":\"0c5c7fd0-0000-4000-8000-%012d\",\"fraud_probability\":%s,"
             "\"face\":{\"verified\":true,\"confidence\":0.75}%s%s}",
             record, probability, *more ? "," : "", more);
    return data;
}

static struct answer observe(struct core *core, int record, const char *probability, const char *more)
{
    return core_run(core, "behaviour.update_profile", observed(record, probability, more));
}

static void arrive(struct core *core, int record, const char *at)
{
    char more[64];
    snprintf(more, sizeof(more), "\"punch_in\":\"%s\"", at);
    assert_applied(observe(core, record, "0", more));
}

static void be_at(struct core *core, const char *latitude, const char *longitude)
{
    char more[128];
    snprintf(more, sizeof(more), "\"location\":{\"latitude\":%s,\"longitude\":%s}", latitude, longitude);
    assert_applied(observe(core, 1, "0", more));
}

#define assert_number(field, expected) \
    do \
    { \
        struct field_number field_ = (field); \
        assert_true(field_.set); \
        assert_true(fabs(field_.value - (expected)) < 1e-12); \
    } while (0)

/* --- the profile ------------------------------------------------------------------------------------------------- */

static void the_first_observation_makes_the_profile(void **state)
{
    struct core *core = *state;
    struct answer answer = observe(core, 1, "0", "");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CREATION);
    assert_int_equal(answer.aggregate.kind, AGGREGATE_BEHAVIOUR);
    assert_int_equal(answer.version_to, 1);
    assert_number(profile(core, 7)->fraud_risk_score, 0);
    assert_number(profile(core, 7)->regularity, 0.5);
    assert_false(profile(core, 7)->arrival_average.set);
    assert_text(profile(core, 7)->anomaly_history, "[]");
    assert_text(profile(core, 7)->arrivals, "{}");
    assert_text(profile(core, 7)->frequent_locations, "{}");
}

static void every_observation_leaves_one_event_and_raises_the_version(void **state)
{
    struct core *core = *state;
    assert_applied(observe(core, 1, "0", ""));
    struct answer answer = observe(core, 2, "0.25",
                                   "\"anomaly\":{ \"kind\": \"late\" },\"punch_in\":\"2026-11-24T09:00:00Z\","
                                   "\"location\":{\"latitude\":12.5,\"longitude\":-77.25}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_HISTORY_APPEND);
    assert_int_equal(answer.version_to, 2);
    assert_string_equal(answer.metadata, "{\"seq\":2}");
    assert_int_equal(core->tables[PLACE_BEHAVIOURAL_EVENT].count, 2);
    const struct behavioural_event_row *row = event(core, 7, 2);
    assert_int_equal(row->attendance_id.low & 0xff, 2);
    assert_int_equal(row->recorded_at.value, profile(core, 7)->modified_at.value);
    assert_int_equal(row->punch_in.value, INT64_C(1795510800000000));
    assert_number(row->fraud_probability, 0.25);
    assert_number(row->face_confidence, 0.75);
    assert_number(row->latitude, 12.5);
    assert_number(row->longitude, -77.25);
    assert_true(row->face_verified);
    assert_text(row->anomaly, "{ \"kind\": \"late\" }");
    assert_null(event(core, 7, 1)->anomaly.at);
    assert_false(event(core, 7, 1)->latitude.set);
}

static void the_same_observation_twice_is_two_observations(void **state)
{
    struct core *core = *state;
    assert_applied(observe(core, 1, "0.5", ""));
    assert_applied(observe(core, 1, "0.5", ""));
    assert_int_equal(profile(core, 7)->event_count.value, 2);
}

/* --- risk -------------------------------------------------------------------------------------------------------- */

static void the_risk_moves_by_three_tenths_of_what_is_new(void **state)
{
    struct core *core = *state;
    observe(core, 1, "0.5", "");
    assert_number(profile(core, 7)->fraud_risk_score, 0.15);
    observe(core, 2, "1", "");
    assert_number(profile(core, 7)->fraud_risk_score, 0.405); /* 0.3 + 0.7 * 0.15 */
    observe(core, 3, "0.001", "");
    assert_number(profile(core, 7)->fraud_risk_score, 0.2838);
}

static void a_probability_of_0_leaves_the_risk_alone(void **state)
{
    struct core *core = *state;
    observe(core, 1, "0.5", "");
    observe(core, 2, "0", "");
    observe(core, 2, "-0.0", "");
    assert_number(profile(core, 7)->fraud_risk_score, 0.15);
}

static void the_risk_never_passes_1(void **state)
{
    struct core *core = *state;
    for (int i = 0; i < 200; i++)
        observe(core, i, "1", "");
    assert_true(profile(core, 7)->fraud_risk_score.value <= 1);
    assert_number(profile(core, 7)->fraud_risk_score, 1);
}

/* --- arrivals ---------------------------------------------------------------------------------------------------- */

static void regularity_is_told_from_three_arrivals_on(void **state)
{
    struct core *core = *state;
    arrive(core, 1, "2026-11-22T09:00:00Z");
    arrive(core, 2, "2026-11-23T09:10:00Z");
    assert_number(profile(core, 7)->regularity, 0.5);
    arrive(core, 3, "2026-11-24T09:20:00Z");
    /* Minutes 540, 550, 560: variance 200 / 3, deviation 8.16496580927726. */
    assert_number(profile(core, 7)->regularity, 0.931958618256023);
}

static void the_deviation_is_the_populations(void **state)
{
    struct core *core = *state;
    arrive(core, 1, "2026-11-21T08:30:00Z");
    arrive(core, 2, "2026-11-22T09:30:59.999Z");
    arrive(core, 3, "2026-11-23T08:30:00Z");
    arrive(core, 4, "2026-11-24T09:30:00Z");
    assert_number(profile(core, 7)->regularity, 0.75); /* 510 and 570: deviation 30, of the sample 34.6 */
}

static void who_comes_at_any_time_of_the_day_has_no_regularity_and_who_never_varies_all_of_it(void **state)
{
    struct core *core = *state;
    arrive(core, 1, "2026-11-22T00:00:00Z");
    arrive(core, 2, "2026-11-23T12:00:00Z");
    arrive(core, 3, "2026-11-24T23:00:00Z");
    assert_number(profile(core, 7)->regularity, 0);
    arrive(core, 1, "2026-11-22T12:00:00Z");
    arrive(core, 3, "2026-11-24T12:00:00Z");
    assert_number(profile(core, 7)->regularity, 1);
}

static void minutes_are_those_of_the_offset_and_of_days_before_1970_too(void **state)
{
    struct core *core = *state;
    assert_int_equal(behaviour_minute_of_day((struct arrival_time){ 0, 0 }), 0);
    assert_int_equal(behaviour_minute_of_day((struct arrival_time){ -1, 0 }), 1439);
    assert_int_equal(behaviour_minute_of_day((struct arrival_time){ INT64_C(-86400000000), 0 }), 0);
    assert_int_equal(behaviour_minute_of_day((struct arrival_time){ 0, -90 }), 1350);
    arrive(core, 1, "2026-11-24T01:00:00+05:30");
    assert_number(profile(core, 7)->arrival_average, 60);
    assert_non_null(strstr(profile(core, 7)->arrivals.at, ":\"2026-11-24T01:00:00.000000+05:30\""));
}

static void arrivals_around_the_midnight_of_utc_are_as_regular_as_any(void **state)
{
    struct core *core = *state;
    arrive(core, 1, "2026-11-24T05:25:00+05:30");
    arrive(core, 2, "2026-11-25T05:30:00+05:30");
    arrive(core, 3, "2026-11-26T05:35:00+05:30");
    assert_true(profile(core, 7)->regularity.value > 0.96);
    /* A time that was kept without an offset is in UTC. */
    arrive(core, 4, "2026-11-27T00:00:00Z");
    assert_true(profile(core, 7)->regularity.value < 0.2);
    assert_non_null(strstr(profile(core, 7)->arrivals.at, ":\"2026-11-27T00:00:00.000000Z\""));
}

static void a_record_that_is_reported_twice_is_one_arrival(void **state)
{
    struct core *core = *state;
    arrive(core, 1, "2026-11-22T09:00:00Z");
    arrive(core, 2, "2026-11-23T09:00:00Z");
    arrive(core, 2, "2026-11-23T10:00:00Z");
    assert_number(profile(core, 7)->regularity, 0.5);
    assert_text(profile(core, 7)->arrivals,
                "{\"0c5c7fd0-0000-4000-8000-000000000001\":\"2026-11-22T09:00:00.000000Z\","
                "\"0c5c7fd0-0000-4000-8000-000000000002\":\"2026-11-23T10:00:00.000000Z\"}");
}

static void thirty_days_before_the_newest_arrival_count_in_whatever_order_they_come(void **state)
{
    static const char *const times[] = { "2026-10-25T09:00:00Z", "2026-10-25T08:59:59Z", "2026-11-24T09:00:00Z",
                                         "2026-11-01T10:00:00Z" };
    struct core *core = *state;
    for (int first = 0; first < 4; first++)
    {
        for (int i = 0; i < 4; i++)
            arrive(core, (first + i) % 4, times[(first + i) % 4]);
        /* 540, 540, 600, without the one that is 30 days and a second old: deviation sqrt(800) = 28.28... */
        assert_number(profile(core, 7)->regularity, 0.764297739604484);
        forget(core);
    }
}

static void the_regularity_stays_when_too_few_arrivals_are_left(void **state)
{
    struct core *core = *state;
    for (int i = 1; i <= 3; i++)
        arrive(core, i, "2026-11-24T09:00:00Z");
    arrive(core, 4, "2027-11-24T21:00:00Z");
    assert_number(profile(core, 7)->regularity, 1);
    assert_text(profile(core, 7)->arrivals,
                "{\"0c5c7fd0-0000-4000-8000-000000000004\":\"2027-11-24T21:00:00.000000Z\"}");
}

static void the_newest_hundred_arrivals_are_kept(void **state)
{
    struct core *core = *state;
    for (int i = 0; i < 150; i++)
    {
        char at[32];
        snprintf(at, sizeof(at), "2026-11-24T%02d:%02d:00Z", i / 60, i % 60);
        arrive(core, 150 - i, at);
    }
    struct json_member *members;
    size_t count;
    assert_true(json_text_read_object(&core->lasting, profile(core, 7)->arrivals, &members, &count));
    assert_int_equal(count, ARRIVALS_MAX);
    /* 50 .. 149: the variance of a hundred numbers in a row is (100^2 - 1) / 12, the deviation 28.86607004772212. */
    assert_number(profile(core, 7)->regularity, 0.759449416268982);
}

static void the_average_arrival_moves_by_a_tenth(void **state)
{
    struct core *core = *state;
    arrive(core, 1, "2026-11-22T09:00:00Z");
    assert_number(profile(core, 7)->arrival_average, 540);
    arrive(core, 2, "2026-11-23T09:20:00Z");
    assert_number(profile(core, 7)->arrival_average, 542);
    assert_applied(observe(core, 3, "0.5", ""));
    assert_number(profile(core, 7)->arrival_average, 542);
    arrive(core, 4, "2026-11-24T00:00:00Z");
    assert_number(profile(core, 7)->arrival_average, 487.8);
}

/* --- locations --------------------------------------------------------------------------------------------------- */

static void locations_are_counted_by_six_decimals(void **state)
{
    struct core *core = *state;
    be_at(core, "12.9715987", "77.5945627");
    be_at(core, "12.97159912", "77.59456312");
    be_at(core, "12.971600", "77.594563");
    assert_text(profile(core, 7)->frequent_locations, "{\"12.971599,77.594563\":2,\"12.971600,77.594563\":1}");
}

static void there_is_no_negative_zero_and_the_corners_of_the_map_fit(void **state)
{
    struct core *core = *state;
    be_at(core, "-0.0000001", "-0.0");
    be_at(core, "0", "0.0000004");
    be_at(core, "-90", "-180");
    be_at(core, "-0.000001", "180");
    assert_text(profile(core, 7)->frequent_locations,
                "{\"-0.000001,180.000000\":1,\"-90.000000,-180.000000\":1,\"0.000000,0.000000\":2}");
}

static void the_ten_most_frequent_locations_are_kept_and_of_equals_the_newest_then_the_smallest(void **state)
{
    struct core *core = *state;
    for (int i = 0; i < 10; i++)
    {
        char latitude[16];
        snprintf(latitude, sizeof(latitude), "%d", i);
        be_at(core, latitude, "1");
        if (i > 1)
            be_at(core, latitude, "1");
    }
    be_at(core, "50", "1"); /* once, as 0 and 1: these have the smaller keys, but this is the one counted now */
    assert_text(profile(core, 7)->frequent_locations,
                "{\"0.000000,1.000000\":1,\"2.000000,1.000000\":2,\"3.000000,1.000000\":2,\"4.000000,1.000000\":2,"
                "\"5.000000,1.000000\":2,\"50.000000,1.000000\":1,\"6.000000,1.000000\":2,\"7.000000,1.000000\":2,"
                "\"8.000000,1.000000\":2,\"9.000000,1.000000\":2}");
    be_at(core, "0", "1");
    be_at(core, "50", "1");
    be_at(core, "60", "1"); /* all others are there twice: it goes at once */
    struct json_member *members;
    size_t count;
    assert_true(json_text_read_object(&core->lasting, profile(core, 7)->frequent_locations, &members, &count));
    assert_int_equal(count, LOCATIONS_MAX);
    for (size_t i = 0; i < count; i++)
    {
        assert_text(members[i].value, "2");
        assert_false(span_is(members[i].key, "60.000000,1.000000"));
    }
}

/* --- anomalies --------------------------------------------------------------------------------------------------- */

static void the_newest_fifty_anomalies_are_kept_in_order(void **state)
{
    struct core *core = *state;
    for (int i = 0; i < 120; i++)
    {
        char more[64];
        snprintf(more, sizeof(more), "\"anomaly\":%d", i);
        assert_applied(observe(core, i, "0", more));
    }
    assert_text(profile(core, 7)->anomaly_history,
                "[7e1,71,72,73,74,75,76,77,78,79,8e1,81,82,83,84,85,86,87,88,89,9e1,91,92,93,94,95,96,97,98,99,1e2,101,"
                "102,103,104,105,106,107,108,109,11e1,111,112,113,114,115,116,117,118,119]");
}

static void an_anomaly_may_be_any_json_but_null_and_as_long_as_fifty_of_them_fit(void **state)
{
    struct core *core = *state;
    char text[ANOMALY_SIZE_MAX + 64] = "\"anomaly\":\"";
    size_t begin = strlen(text);
    memset(text + begin, 'x', ANOMALY_SIZE_MAX - 2);
    text[begin + ANOMALY_SIZE_MAX - 2] = '"';
    for (int i = 0; i < ANOMALIES_MAX + 5; i++)
        assert_applied(observe(core, i, "0", text));
    text[begin + ANOMALY_SIZE_MAX - 2] = 'x';
    text[begin + ANOMALY_SIZE_MAX - 1] = '"';
    struct answer answer = observe(core, 1, "0", text);
    assert_refused(answer, REASON_INVALID_DATA);
    assert_non_null(strstr(answer.metadata, "\"parameter\":\"/anomaly\""));
    size_t size = profile(core, 7)->anomaly_history.size;
    assert_applied(observe(core, 1, "0", "\"anomaly\":null,\"punch_in\":null,\"location\":null"));
    assert_int_equal(profile(core, 7)->anomaly_history.size, size);
    assert_applied(observe(core, 1, "0", "\"anomaly\":[1,{\"a\":false}]"));
}

/* --- what others put into the fields ----------------------------------------------------------------------------- */

static void values_from_json_commands_count_as_far_as_they_have_the_form(void **state)
{
    struct core *core = *state;
    assert_applied(observe(core, 1, "0", ""));
    assert_applied(
        core_run(core, "json.replace",
                 "{\"aggregate\":\"behaviour/7\",\"field\":\"arrivals\",\"value\":{\"a\":1,"
                 "\"0C5C7FD0-0000-4000-8000-000000000002\":\"2026-11-24T09:00:00Z\","
                 "\"0c5c7fd0-0000-4000-8000-000000000003\":\"yesterday\",\"0c5c7fd0-0000-4000-8000-000000000004\":null,"
                 "\"0c5c7fd0-0000-4000-8000-000000000005\":\"2026-11-23T09:00:00Z\"}}"));
    assert_applied(core_run(core, "json.replace",
                            "{\"aggregate\":\"behaviour/7\",\"field\":\"frequent_locations\",\"value\":"
                            "{\"home\":7,\"a\":-1,\"b\":1.5,\"c\":\"2\",\"d\":1e2,\"e\":99999999999999999999,"
                            "\"f\":9223372036854775807,\"1.000000,2.000000\":4}}"));
    assert_applied(core_run(core, "json.apply",
                            "{\"aggregate\":\"behaviour/7\",\"field\":\"anomaly_history\",\"operations\":"
                            "[{\"op\":\"append\",\"path\":\"\",\"value\":{\"by\":\"hand\"}}]}"));
    assert_applied(observe(core, 6, "0",
                           "\"anomaly\":1,\"punch_in\":\"2026-11-24T09:00:00Z\","
                           "\"location\":{\"latitude\":1,\"longitude\":2}"));
    assert_text(profile(core, 7)->arrivals,
                "{\"0c5c7fd0-0000-4000-8000-000000000005\":\"2026-11-23T09:00:00.000000Z\","
                "\"0c5c7fd0-0000-4000-8000-000000000006\":\"2026-11-24T09:00:00.000000Z\"}");
    assert_text(profile(core, 7)->frequent_locations,
                "{\"1.000000,2.000000\":5,\"d\":1e2,\"f\":2147483647,\"home\":7}");
    assert_text(profile(core, 7)->anomaly_history, "[{\"by\":\"hand\"},1]");
}

static void a_field_that_others_have_filled_takes_nothing_new(void **state)
{
    struct core *core = *state;
    struct behaviour_profile_row row = { .id = int_of(7),
                                         .version = int_of(1),
                                         .event_count = int_of(0),
                                         .fraud_risk_score = number_of(0),
                                         .regularity = number_of(0.5),
                                         .arrivals = SPAN_LITERAL("{}"),
                                         .frequent_locations = SPAN_LITERAL("{}") };
    static char history[JSON_FIELD_MAX + 1] = "[\"";
    memset(history + 2, 'x', JSON_FIELD_MAX - 4);
    memcpy(history + JSON_FIELD_MAX - 2, "\"]", 3);
    row.anomaly_history = span_of(history);
    core_put(core, &entity_behaviour_profile, &row);
    assert_refused(observe(core, 1, "0.5", "\"anomaly\":1"), REASON_TOO_LARGE);
    assert_int_equal(core->tables[PLACE_BEHAVIOURAL_EVENT].count, 0);
    assert_number(profile(core, 7)->fraud_risk_score, 0);
    assert_applied(observe(core, 1, "0.5", ""));
}

/* --- folding, refusals ------------------------------------------------------------------------------------------- */

static void a_batch_comes_to_the_same_profile_as_one_after_another(void **state)
{
    struct core *core = *state;
    enum
    {
        COUNT = 60
    };
    struct order orders[COUNT];
    struct answer answers[COUNT];
    static char data[COUNT][4096];
    for (int i = 0; i < COUNT; i++)
    {
        char more[256];
        snprintf(more, sizeof(more),
                 "\"anomaly\":{\"b\":%d.0,\"a\":1e%d},\"punch_in\":\"2026-11-%02dT%02d:%02d:00Z\","
                 "\"location\":{\"latitude\":%d.1,\"longitude\":7}",
                 i, i % 5, 1 + i % 25, 6 + i % 7, i, i * i % 13);
        snprintf(data[i], sizeof(data[i]), "%s", observed(i % 40, i % 3 ? "0.123456789" : "0", more));
        orders[i] = (struct order){ "behaviour.update_profile", data[i] };
    }
    for (int i = 0; i < COUNT; i++)
        assert_applied(core_run(core, orders[i].type, orders[i].data));
    struct behaviour_profile_row single = *profile(core, 7);
    forget(core);
    core_run_batch(core, orders, COUNT, answers);
    const struct behaviour_profile_row *folded = profile(core, 7);
    assert_true(folded->fraud_risk_score.value == single.fraud_risk_score.value);
    assert_true(folded->regularity.value == single.regularity.value);
    assert_true(folded->arrival_average.value == single.arrival_average.value);
    assert_true(span_equal(folded->anomaly_history, single.anomaly_history));
    assert_true(span_equal(folded->arrivals, single.arrivals));
    assert_true(span_equal(folded->frequent_locations, single.frequent_locations));
    assert_int_equal(folded->version.value, COUNT);
    assert_int_equal(core->tables[PLACE_BEHAVIOURAL_EVENT].count, COUNT);
}

static void a_value_out_of_its_limits_is_refused_by_name(void **state)
{
    static const struct
    {
        const char *probability, *more, *pointer;
    } cases[] = {
        { "1.000001", "", "/fraud_probability" },
        { "-0.1", "", "/fraud_probability" },
        { "\"0.5\"", "", "/fraud_probability" },
        { "null", "", "/fraud_probability" },
        { "0", "\"punch_in\":\"2026-11-24\"", "/punch_in" },
        { "0", "\"punch_in\":1795510800", "/punch_in" },
        { "0", "\"location\":{\"latitude\":90.5,\"longitude\":0}", "/location/latitude" },
        { "0", "\"location\":{\"latitude\":1,\"longitude\":-180.001}", "/location/longitude" },
        { "0", "\"location\":{\"latitude\":1}", "/location/longitude" },
        { "0", "\"location\":[1,2]", "/location" },
        { "0", "\"score\":1", "/score" },
    };
    struct core *core = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char expected[64];
        struct answer answer = observe(core, 1, cases[i].probability, cases[i].more);
        assert_refused(answer, REASON_INVALID_DATA);
        snprintf(expected, sizeof(expected), "\"parameter\":\"%s\"", cases[i].pointer);
        if (!strstr(answer.metadata, expected))
            fail_msg("expected %s in %s", expected, answer.metadata);
    }
    assert_refused(core_run(core, "behaviour.update_profile",
                            "{\"user_id\":7,\"attendance_uuid\":\"0c5c7fd0-0000-4000-8000-000000000001\","
                            "\"fraud_probability\":0}"),
                   REASON_INVALID_DATA);
    assert_null(profile(core, 7));
}

static void a_profile_in_anothers_hands_is_busy(void **state)
{
    struct core *core = *state;
    assert_applied(observe(core, 1, "0", ""));
    core->busy_entity = &entity_behaviour_profile;
    core->busy = id_of(7);
    assert_true(observe(core, 2, "0.5", "").busy);
    assert_int_equal(profile(core, 7)->event_count.value, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(the_first_observation_makes_the_profile),
        CORE_TEST(every_observation_leaves_one_event_and_raises_the_version),
        CORE_TEST(the_same_observation_twice_is_two_observations),
        CORE_TEST(the_risk_moves_by_three_tenths_of_what_is_new),
        CORE_TEST(a_probability_of_0_leaves_the_risk_alone),
        CORE_TEST(the_risk_never_passes_1),
        CORE_TEST(regularity_is_told_from_three_arrivals_on),
        CORE_TEST(the_deviation_is_the_populations),
        CORE_TEST(who_comes_at_any_time_of_the_day_has_no_regularity_and_who_never_varies_all_of_it),
        CORE_TEST(minutes_are_those_of_the_offset_and_of_days_before_1970_too),
        CORE_TEST(arrivals_around_the_midnight_of_utc_are_as_regular_as_any),
        CORE_TEST(a_record_that_is_reported_twice_is_one_arrival),
        CORE_TEST(thirty_days_before_the_newest_arrival_count_in_whatever_order_they_come),
        CORE_TEST(the_regularity_stays_when_too_few_arrivals_are_left),
        CORE_TEST(the_newest_hundred_arrivals_are_kept),
        CORE_TEST(the_average_arrival_moves_by_a_tenth),
        CORE_TEST(locations_are_counted_by_six_decimals),
        CORE_TEST(there_is_no_negative_zero_and_the_corners_of_the_map_fit),
        CORE_TEST(the_ten_most_frequent_locations_are_kept_and_of_equals_the_newest_then_the_smallest),
        CORE_TEST(the_newest_fifty_anomalies_are_kept_in_order),
        CORE_TEST(an_anomaly_may_be_any_json_but_null_and_as_long_as_fifty_of_them_fit),
        CORE_TEST(values_from_json_commands_count_as_far_as_they_have_the_form),
        CORE_TEST(a_field_that_others_have_filled_takes_nothing_new),
        CORE_TEST(a_batch_comes_to_the_same_profile_as_one_after_another),
        CORE_TEST(a_value_out_of_its_limits_is_refused_by_name),
        CORE_TEST(a_profile_in_anothers_hands_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
