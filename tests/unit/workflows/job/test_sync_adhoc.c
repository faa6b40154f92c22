#include "tests/fixtures/core.h"

#include <stdio.h>
#include <string.h>

/* --- job.sync_adhoc ---------------------------------------------------------------------------------------------- */

static void put_adhoc(struct core *core, int64_t id, int status, int type)
{
    core_put_jobneed(core, id, 0, status, IDENTIFIER_TASK);
    struct jobneed_row row = *core_jobneed(core, id);
    row.type = type;
    core_put(core, &entity_jobneed, &row);
}

#define SYNC(status, more) \
    "{\"jobneed_id\":1,\"performed_by\":7,\"started_at\":\"2026-11-24T09:00:00Z\"," \
    "\"ended_at\":\"2026-11-24T09:30:00Z\",\"status\":\"" status "\"" more "}"

static void a_finished_task_is_taken_over_from_the_phone(void **state)
{
    struct core *core = *state;
    put_adhoc(core, 1, JOBNEED_INPROGRESS, JOBNEED_TYPE_ADHOC);
    static const char data[] = SYNC("COMPLETED", ",\"remarks\":\"done\",\"alerts\":true,\"attachment_count\":3,"
                                                 "\"modified_at\":\"2026-11-24T09:31:00Z\",\"modified_by\":\"user/7\"");
    struct answer answer = core_run(core, "job.sync_adhoc", data);
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_STATUS_CHANGE);
    assert_string_equal(answer.metadata,
                        "{\"modified_at\":\"2026-11-24T09:31:00.000000Z\",\"modified_by\":\"user/7\"}");
    const struct jobneed_row *jobneed = core_jobneed(core, 1);
    assert_int_equal(jobneed->status, JOBNEED_COMPLETED);
    assert_int_equal(jobneed->performed_by.value, 7);
    assert_int_equal(jobneed->ended_at.value - jobneed->started_at.value, INT64_C(1800) * 1000000);
    assert_text(jobneed->remarks, "done");
    assert_true(jobneed->alerts);
    assert_int_equal(jobneed->attachment_count.value, 3);
    assert_int_equal(jobneed->modified_at.value, core->now_us); /* ours, not the phone's */
    assert_int_equal(jobneed->version.value, 2);
    assert_unchanged(core_run(core, "job.sync_adhoc", data));
}

static void fields_that_a_sync_does_not_name_are_kept(void **state)
{
    struct core *core = *state;
    put_adhoc(core, 1, JOBNEED_INPROGRESS, JOBNEED_TYPE_ADHOC);
    core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ",\"remarks\":\"done\",\"alerts\":true,\"attachment_count\":3"));
    assert_unchanged(core_run(core, "job.sync_adhoc", SYNC("COMPLETED", "")));
    assert_unchanged(core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ",\"remarks\":null,\"alerts\":null")));
    /* a later attachment of a task that is COMPLETED already */
    assert_applied(core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ",\"attachment_count\":4")));
    assert_int_equal(core_jobneed(core, 1)->attachment_count.value, 4);
    assert_applied(core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ",\"alerts\":false")));
    assert_text(core_jobneed(core, 1)->remarks, "done");
}

static void the_phones_word_on_the_change_alone_changes_nothing(void **state)
{
    struct core *core = *state;
    put_adhoc(core, 1, JOBNEED_INPROGRESS, JOBNEED_TYPE_ADHOC);
    core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ""));
    struct answer answer = core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ",\"modified_by\":\"user/8\""));
    assert_unchanged(answer);
    assert_string_equal(answer.metadata, "{\"modified_by\":\"user/8\"}");
}

static void a_sync_goes_through_the_machine(void **state)
{
    struct core *core = *state;
    for (int from = JOBNEED_ASSIGNED; from <= JOBNEED_WORKING; from++)
    {
        put_adhoc(core, 1, from, JOBNEED_TYPE_ADHOC);
        struct answer answer = core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ""));
        bool refused = transition_check(&machine_jobneed, from, JOBNEED_COMPLETED) == TRANSITION_REFUSED;
        const struct jobneed_row *jobneed = core_jobneed(core, 1);
        assert_int_equal(jobneed->status, refused ? from : JOBNEED_COMPLETED);
        assert_int_equal(jobneed->performed_by.set, !refused); /* all of it, or nothing */
        if (refused)
            assert_refused(answer, REASON_INVALID_TRANSITION);
        else
            assert_applied(answer);
    }
}

static void only_an_adhoc_root_is_synced(void **state)
{
    struct core *core = *state;
    put_adhoc(core, 1, JOBNEED_INPROGRESS, JOBNEED_TYPE_SCHEDULE);
    struct answer answer = core_run(core, "job.sync_adhoc", SYNC("COMPLETED", ""));
    assert_refused(answer, REASON_INVALID_DATA);
    assert_non_null(strstr(answer.metadata, "\"/jobneed_id\""));
    core_put_jobneed(core, 2, 0, JOBNEED_INPROGRESS, IDENTIFIER_TASK);
    core_put_jobneed(core, 1, 2, JOBNEED_INPROGRESS, IDENTIFIER_TASK);
    assert_refused(core_run(core, "job.sync_adhoc", SYNC("COMPLETED", "")), REASON_INVALID_DATA);
    assert_int_equal(core_jobneed(core, 1)->status, JOBNEED_INPROGRESS);
}

/* --- job.set_expiry ---------------------------------------------------------------------------------------------- */

static void an_expiry_is_set_and_the_same_one_again_is_unchanged(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    struct answer answer =
        core_run(core, "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":\"2026-11-24T10:00:00Z\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_FIELD_UPDATE);
    assert_unchanged(
        core_run(core, "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":\"2026-11-24T11:00:00+01:00\"}"));
    assert_applied(core_run(core, "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":\"2026-11-24T11:00:00Z\"}"));
    assert_int_equal(core_jobneed(core, 1)->version.value, 3);
}

static void an_expiry_is_not_before_the_start(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR); /* starts at 1 ms */
    struct answer answer =
        core_run(core, "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":\"1970-01-01T00:00:00.000999Z\"}");
    assert_refused(answer, REASON_INVALID_DATA);
    assert_non_null(strstr(answer.metadata, "\"/expires_at\""));
    assert_applied(core_run(core, "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":\"1970-01-01T00:00:00.001Z\"}"));
}

static void a_finished_job_takes_no_expiry(void **state)
{
    struct core *core = *state;
    for (int status = JOBNEED_ASSIGNED; status <= JOBNEED_WORKING; status++)
    {
        core_put_jobneed(core, 1, 0, status, IDENTIFIER_INTERNALTOUR);
        struct answer answer =
            core_run(core, "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":\"2026-11-24T10:00:00Z\"}");
        bool final = status == JOBNEED_COMPLETED || status == JOBNEED_AUTOCLOSED;
        assert_int_equal(core_jobneed(core, 1)->expires_at.set, !final);
        if (!final)
            continue;
        assert_refused(answer, REASON_INVALID_TRANSITION);
        assert_non_null(strstr(answer.metadata, status == JOBNEED_COMPLETED ? "COMPLETED" : "AUTOCLOSED"));
    }
}

/* --- job.mark_mail_sent ------------------------------------------------------------------------------------------ */

static void of_ten_marks_one_applies(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_AUTOCLOSED, IDENTIFIER_TASK);
    struct order orders[10];
    struct answer answers[10];
    for (int i = 0; i < 10; i++)
        orders[i] = (struct order){ "job.mark_mail_sent", "{\"jobneed_id\":1}" };
    core_run_batch(core, orders, 10, answers);
    assert_applied(answers[0]);
    assert_int_equal(answers[0].operation, OPERATION_FLAG_SET);
    for (int i = 1; i < 10; i++)
        assert_unchanged(answers[i]);
    assert_true(core_jobneed(core, 1)->mail_sent);
    assert_int_equal(core_jobneed(core, 1)->version.value, 2);
}

/* --- job.assign -------------------------------------------------------------------------------------------------- */

static void an_assignment_names_at_least_one_of_the_two(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    assert_refused(core_run(core, "job.assign", "{\"jobneed_id\":1}"), REASON_INVALID_DATA);
    struct answer answer = core_run(core, "job.assign", "{\"jobneed_id\":1,\"assigned_person_id\":7}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_ASSIGNMENT_CHANGE);
    assert_applied(core_run(core, "job.assign", "{\"jobneed_id\":1,\"assigned_group_id\":9}"));
    assert_int_equal(core_jobneed(core, 1)->assigned_person_id.value, 7);
    assert_unchanged(
        core_run(core, "job.assign", "{\"jobneed_id\":1,\"assigned_person_id\":7,\"assigned_group_id\":9}"));
    /* null and 1 are nobody */
    assert_applied(core_run(core, "job.assign", "{\"jobneed_id\":1,\"assigned_person_id\":1}"));
    assert_false(core_jobneed(core, 1)->assigned_person_id.set);
    assert_unchanged(core_run(core, "job.assign", "{\"jobneed_id\":1,\"assigned_person_id\":null}"));
    assert_applied(core_run(core, "job.assign", "{\"jobneed_id\":1,\"assigned_group_id\":null}"));
    assert_false(core_jobneed(core, 1)->assigned_group_id.set);
}

/* --- job.bulk_update_checkpoints --------------------------------------------------------------------------------- */

static void put_tour(struct core *core, int64_t root, int children)
{
    core_put_jobneed(core, root, 0, JOBNEED_INPROGRESS, IDENTIFIER_INTERNALTOUR);
    for (int i = 1; i <= children; i++)
        core_put_jobneed(core, root * 10 + i, root, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
}

static void several_checkpoints_change_with_one_version_of_their_parent(void **state)
{
    struct core *core = *state;
    put_tour(core, 1, 3);
    struct answer answer = core_run(core, "job.bulk_update_checkpoints",
                                    "{\"parent_id\":1,\"checkpoints\":["
                                    "{\"jobneed_id\":13,\"status\":\"INPROGRESS\",\"remarks\":\"r\"},"
                                    "{\"jobneed_id\":12,\"seq\":0},"
                                    "{\"jobneed_id\":11,\"seq\":4,\"expires_at\":\"2026-11-24T10:00:00Z\"}]}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CHECKPOINT_UPDATE);
    assert_string_equal(answer.metadata, "{\"count\":2,\"unchanged\":1}");
    assert_int_equal(answer.version_to, 2);
    assert_int_equal(core_jobneed(core, 13)->status, JOBNEED_INPROGRESS);
    assert_text(core_jobneed(core, 13)->remarks, "r");
    assert_int_equal(core_jobneed(core, 11)->seq.value, 4);
    assert_true(core_jobneed(core, 11)->expires_at.set);
    assert_int_equal(core_jobneed(core, 1)->modified_at.value, core_jobneed(core, 11)->modified_at.value);
    answer = core_run(core, "job.bulk_update_checkpoints",
                      "{\"parent_id\":1,\"checkpoints\":[{\"jobneed_id\":12},{\"jobneed_id\":11,\"seq\":4}]}");
    assert_unchanged(answer);
    assert_string_equal(answer.metadata, "{\"count\":0,\"unchanged\":2}");
}

static void one_that_may_not_change_rejects_all(void **state)
{
    struct core *core = *state;
    put_tour(core, 1, 2);
    put_tour(core, 2, 1);
    static const struct
    {
        const char *second;
        enum reason reason;
        const char *told;
    } cases[] = {
        { "{\"jobneed_id\":21,\"seq\":5}", REASON_NOT_FOUND, "{\"jobneed_id\":21}" },
        { "{\"jobneed_id\":2,\"seq\":5}", REASON_NOT_FOUND, "{\"jobneed_id\":2}" },
        { "{\"jobneed_id\":1,\"seq\":5}", REASON_NOT_FOUND, "{\"jobneed_id\":1}" },
        { "{\"jobneed_id\":99,\"seq\":5}", REASON_NOT_FOUND, "{\"jobneed_id\":99}" },
        { "{\"jobneed_id\":12,\"status\":\"COMPLETED\"}", REASON_INVALID_TRANSITION, "\"jobneed_id\":12" },
        { "{\"jobneed_id\":12,\"expires_at\":\"1969-11-24T10:00:00Z\"}", REASON_INVALID_DATA,
          "\"/checkpoints/1/expires_at\"" },
        { "{\"jobneed_id\":11,\"seq\":6}", REASON_INVALID_DATA, "\"/checkpoints/1/jobneed_id\"" },
        { "{\"jobneed_id\":12,\"seq\":-1}", REASON_INVALID_DATA, "\"/checkpoints/1/seq\"" },
        { "{\"seq\":1}", REASON_INVALID_DATA, "\"/checkpoints/1/jobneed_id\"" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char data[256];
        snprintf(data, sizeof(data), "{\"parent_id\":1,\"checkpoints\":[{\"jobneed_id\":11,\"seq\":5},%s]}",
                 cases[i].second);
        struct answer answer = core_run(core, "job.bulk_update_checkpoints", data);
        assert_refused(answer, cases[i].reason);
        if (!strstr(answer.metadata, cases[i].told))
            fail_msg("%s: %s", data, answer.metadata);
    }
    assert_int_equal(core_jobneed(core, 11)->seq.value, 0);
    assert_int_equal(core_jobneed(core, 1)->version.value, 1);
    assert_refused(core_run(core, "job.bulk_update_checkpoints", "{\"parent_id\":1,\"checkpoints\":[]}"),
                   REASON_INVALID_DATA);
    assert_refused(
        core_run(core, "job.bulk_update_checkpoints", "{\"parent_id\":11,\"checkpoints\":[{\"jobneed_id\":12}]}"),
        REASON_INVALID_DATA);
}

static void five_hundred_checkpoints_are_the_most_that_are_taken(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_INPROGRESS, IDENTIFIER_INTERNALTOUR);
    struct buffer data = BUFFER_EMPTY;
    buffer_add_text(&data, "{\"parent_id\":1,\"checkpoints\":[");
    for (int i = 0; i < 501; i++)
    {
        core_put_jobneed(core, 1000 + i, 1, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
        size_t before = data.size;
        buffer_add_text(&data, i ? ",{\"jobneed_id\":" : "{\"jobneed_id\":");
        buffer_add_int64(&data, 1000 + i);
        buffer_add_byte(&data, '}');
        if (i < 499)
            continue;
        buffer_add_text(&data, "]}");
        buffer_add_byte(&data, '\0');
        struct answer answer = core_run(core, "job.bulk_update_checkpoints", data.at);
        if (i == 499)
            assert_unchanged(answer);
        else
            assert_refused(answer, REASON_INVALID_DATA);
        data.size -= 3;
        assert_true(data.size > before);
    }
    buffer_done(&data);
}

/* --- all of them ------------------------------------------------------------------------------------------------- */

static void a_checkpoint_or_nothing_is_no_root_of_theirs(void **state)
{
    struct core *core = *state;
    put_tour(core, 1, 1);
    static const char *const types[] = { "job.sync_adhoc", "job.set_expiry", "job.mark_mail_sent", "job.assign" };
    static const char *const data[] = {
        (",\"performed_by\":7,\"started_at\":\"2026-11-24T09:00:00Z\",\"ended_at\":\"2026-11-24T09:00:00Z\","
         "\"status\":\"INPROGRESS\""),
        ",\"expires_at\":\"2026-11-24T10:00:00Z\"",
        "",
        ",\"assigned_person_id\":7",
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
    {
        char text[256];
        snprintf(text, sizeof(text), "{\"jobneed_id\":11%s}", data[i]);
        struct answer answer = core_run(core, types[i], text);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_non_null(strstr(answer.metadata, "\"parent_id\":1"));
        snprintf(text, sizeof(text), "{\"jobneed_id\":99%s}", data[i]);
        assert_refused(core_run(core, types[i], text), REASON_NOT_FOUND);
    }
    assert_int_equal(core_jobneed(core, 11)->version.value, 1);
}

static void data_that_does_not_fit_is_refused(void **state)
{
    struct core *core = *state;
    put_adhoc(core, 1, JOBNEED_INPROGRESS, JOBNEED_TYPE_ADHOC);
    static const struct
    {
        struct order order;
        const char *parameter;
    } cases[] = {
        { { "job.sync_adhoc", SYNC("DONE", "") }, "/status" },
        { { "job.sync_adhoc", SYNC("COMPLETED", ",\"attachment_count\":-1") }, "/attachment_count" },
        { { "job.sync_adhoc", SYNC("COMPLETED", ",\"alerts\":1") }, "/alerts" },
        { { "job.sync_adhoc", SYNC("COMPLETED", ",\"modified_by\":\"\"") }, "/modified_by" },
        { { "job.sync_adhoc", SYNC("COMPLETED", ",\"modified_at\":\"now\"") }, "/modified_at" },
        { { "job.sync_adhoc", "{\"jobneed_id\":1,\"performed_by\":7,\"started_at\":\"2026-11-24T09:00:00Z\","
                              "\"ended_at\":\"2026-11-24T08:59:59.999999Z\",\"status\":\"COMPLETED\"}" },
          "/ended_at" },
        { { "job.sync_adhoc", "{\"jobneed_id\":1,\"started_at\":\"2026-11-24T09:00:00Z\"}" }, "/performed_by" },
        { { "job.set_expiry", "{\"jobneed_id\":1}" }, "/expires_at" },
        { { "job.set_expiry", "{\"jobneed_id\":1,\"expires_at\":null}" }, "/expires_at" },
        { { "job.mark_mail_sent", "{\"jobneed_id\":1,\"sent\":true}" }, "/sent" },
        { { "job.assign", "{\"jobneed_id\":1,\"assigned_person_id\":0}" }, "/assigned_person_id" },
        { { "job.assign", "{\"assigned_person_id\":7}" }, "/jobneed_id" },
        { { "job.bulk_update_checkpoints", "{\"parent_id\":1}" }, "/checkpoints" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char expected[64];
        snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",", cases[i].parameter);
        struct answer answer = core_run(core, cases[i].order.type, cases[i].order.data);
        assert_refused(answer, REASON_INVALID_DATA);
        if (!strstr(answer.metadata, expected))
            fail_msg("%s: %s", cases[i].order.data, answer.metadata);
    }
    assert_int_equal(core_jobneed(core, 1)->version.value, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(a_finished_task_is_taken_over_from_the_phone),
        CORE_TEST(fields_that_a_sync_does_not_name_are_kept),
        CORE_TEST(the_phones_word_on_the_change_alone_changes_nothing),
        CORE_TEST(a_sync_goes_through_the_machine),
        CORE_TEST(only_an_adhoc_root_is_synced),
        CORE_TEST(an_expiry_is_set_and_the_same_one_again_is_unchanged),
        CORE_TEST(an_expiry_is_not_before_the_start),
        CORE_TEST(a_finished_job_takes_no_expiry),
        CORE_TEST(of_ten_marks_one_applies),
        CORE_TEST(an_assignment_names_at_least_one_of_the_two),
        CORE_TEST(several_checkpoints_change_with_one_version_of_their_parent),
        CORE_TEST(one_that_may_not_change_rejects_all),
        CORE_TEST(five_hundred_checkpoints_are_the_most_that_are_taken),
        CORE_TEST(a_checkpoint_or_nothing_is_no_root_of_theirs),
        CORE_TEST(data_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
