/* Rules across parameters that hold before any row is looked at: what goes together, what comes first, what an action
 * needs. Those that need the row are tested with their workflows. */
#include "tests/fixtures/refusal.h"

#include "tests/fixtures/arena.h"

#define UUID "\"attendance_uuid\":\"0c5c7fd0-0000-4000-8000-00000000000a\""
#define PUNCH UUID ",\"direction\":\"in\",\"at\":\"2026-11-24T09:00:00Z\""
#define JOB "\"identifier\":\"TASK\",\"type\":\"ADHOC\",\"starts_at\":\"2026-11-24T09:00:00Z\""
#define FIELD_OF(aggregate, field) "\"aggregate\":\"" aggregate "\",\"field\":\"" field "\""
#define INFO FIELD_OF("jobneed/7", "other_info")
#define OPERATION(rest) "{" INFO ",\"operations\":[{" rest "}]}"

static const struct
{
    const char *type, *data, *pointer;
} rules[] = {
    { "ticket.assign", "{\"ticket_id\":1}", "" },
    { "job.create", "{" JOB ",\"expires_at\":\"2026-11-24T08:59:59Z\"}", "/expires_at" },
    { "job.create", "{" JOB ",\"parent_id\":7,\"checkpoints\":[{\"asset_id\":1,\"question_set_id\":1,\"seq\":1}]}",
      "/checkpoints" },
    { "job.create", "{" JOB ",\"other_info\":[1]}", "/other_info" },
    { "job.sync_adhoc",
      "{\"jobneed_id\":7,\"performed_by\":9,\"started_at\":\"2026-11-24T09:00:00Z\","
      "\"ended_at\":\"2026-11-24T14:29:59+05:30\",\"status\":\"COMPLETED\"}",
      "/ended_at" },
    { "job.bulk_update_checkpoints",
      "{\"parent_id\":7,\"checkpoints\":[{\"jobneed_id\":8,\"seq\":1},{\"jobneed_id\":9},{\"jobneed_id\":8}]}",
      "/checkpoints/2/jobneed_id" },
    { "job.save_checkpoint", "{\"parent_id\":7,\"action\":\"edit\",\"seq\":1}", "/job_id" },
    { "job.save_checkpoint", "{\"parent_id\":7,\"action\":\"remove\"}", "/job_id" },
    { "job.save_checkpoint", "{\"parent_id\":7,\"action\":\"create\",\"question_set_id\":1}", "/asset_id" },
    { "job.save_checkpoint", "{\"parent_id\":7,\"action\":\"create\",\"asset_id\":1}", "/question_set_id" },
    { "job.save_geofence_assignment", "{\"parent_id\":7,\"action\":\"edit\",\"name\":\"x\"}", "/job_id" },
    { "job.save_geofence_assignment", "{\"parent_id\":7,\"action\":\"create\",\"person_id\":7,\"geofence_id\":9}",
      "/name" },
    { "attendance.punch", "{" PUNCH ",\"person_id\":1}", "/person_id" },
    { "attendance.punch", "{" PUNCH ",\"person_id\":7,\"latitude\":1}", "/longitude" },
    { "attendance.punch", "{" PUNCH ",\"person_id\":7,\"longitude\":1,\"latitude\":null}", "/latitude" },
    { "attendance.record_face_result", "{" UUID ",\"verified\":true,\"distance\":0.5,\"person_id\":1}", "/person_id" },
    { "json.merge", "{" INFO ",\"value\":[1]}", "/value" },
    { "json.merge", "{" INFO ",\"value\":null}", "/value" },
    { "json.merge", "{" FIELD_OF("jobneed/7", "remarks") ",\"value\":{}}", "/field" },
    { "json.merge", "{" FIELD_OF("ticket/7", "other_info") ",\"value\":{}}", "/aggregate" },
    { "json.append", "{" FIELD_OF("jobneed/7", "remarks") ",\"key\":\"a\",\"value\":1}", "/field" },
    { "json.append", "{" FIELD_OF("face-user/7", "extras") ",\"key\":\"a\",\"value\":1}", "/aggregate" },
    { "json.replace", "{" INFO ",\"value\":[]}", "/value" },
    { "json.replace", "{" INFO ",\"value\":null}", "/value" },
    { "json.replace", "{" FIELD_OF("behaviour/7", "anomaly_history") ",\"value\":{}}", "/value" },
    { "json.replace", "{" FIELD_OF("job/7", "version") ",\"value\":{}}", "/field" },
    { "json.apply", OPERATION("\"op\":\"set\",\"path\":\"/a\""), "/operations/0/value" },
    { "json.apply", OPERATION("\"op\":\"set\",\"path\":\"\",\"value\":7"), "/operations/0/value" },
    { "json.apply", OPERATION("\"op\":\"remove\",\"path\":\"\""), "/operations/0/path" },
    { "json.apply", OPERATION("\"op\":\"remove\",\"path\":\"a\""), "/operations/0/path" },
    { "json.apply", OPERATION("\"op\":\"remove\",\"path\":\"/a\",\"value\":null"), "/operations/0/value" },
    { "json.apply", OPERATION("\"op\":\"test\",\"path\":\"/a\",\"value\":1,\"by\":1"), "/operations/0/by" },
};

static void rules_across_parameters_name_the_one_that_breaks_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
    {
        const struct workflow *workflow = workflow_find(span_of(rules[i].type));
        assert_non_null(workflow);
        assert_refused_at(&arena, workflow, span_of(rules[i].data), span_of(rules[i].pointer));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_across_parameters_name_the_one_that_breaks_them),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
