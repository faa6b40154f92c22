#include "tests/fixtures/core.h"

#include <stdio.h>
#include <string.h>

#include "workflows/model/limits.h"

static const struct job_row *job(const struct core *core, int64_t id)
{
    return core_find_id(core, &entity_job, id_of(id));
}

static void put_root(struct core *core, int64_t id, int identifier)
{
    core_put(core, &entity_job,
             &(struct job_row){ .id = int_of(id),
                                .version = int_of(1),
                                .client_id = int_of(4),
                                .seq = int_of(0),
                                .grace_minutes = int_of(0),
                                .plan_minutes = int_of(0),
                                .expiry_minutes = int_of(0),
                                .identifier = identifier,
                                .other_info = SPAN_LITERAL("{}") });
}

/* The mirror of the unique indexes of 0006_job_plan. */
static void expect_unique_children(const struct core *core)
{
    const struct table *table = &core->tables[PLACE_JOB];
    for (size_t i = 0; i < table->count; i++)
        for (size_t n = 0; n < i; n++)
        {
            const struct job_row *a = table->rows[i], *b = table->rows[n];
            if (!a->parent_id.set || !b->parent_id.set || a->parent_id.value != b->parent_id.value ||
                a->identifier != b->identifier)
                continue;
            bool same = a->asset_id.value == b->asset_id.value && a->question_set_id.value == b->question_set_id.value;
            if (a->identifier == IDENTIFIER_GEOFENCE)
                same = same && a->client_id.value == b->client_id.value && span_equal(a->name, b->name);
            assert_false(same);
        }
}

static struct answer save(struct core *core, const char *data)
{
    struct answer answer = core_run(core, "job.save_checkpoint", data);
    expect_unique_children(core);
    return answer;
}

static struct answer assign(struct core *core, const char *data)
{
    struct answer answer = core_run(core, "job.save_geofence_assignment", data);
    expect_unique_children(core);
    return answer;
}

/* --- checkpoints ------------------------------------------------------------------------------------------------- */

static void a_checkpoint_is_created_with_its_roots_identifier_and_raises_its_version(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_EXTERNALTOUR);
    struct answer answer =
        save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3,"
                   "\"seq\":4,\"grace_minutes\":5,\"plan_minutes\":6,\"expiry_minutes\":8,\"name\":\"gate\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CHECKPOINT_UPDATE);
    assert_int_equal(answer.aggregate.kind, AGGREGATE_JOB);
    assert_int_equal(answer.aggregate.id.low, 1);
    assert_int_equal(answer.version_from, 1);
    assert_int_equal(answer.version_to, 2);
    assert_int_equal(answer.further, 0);
    assert_string_equal(answer.metadata, "{\"job_id\":7}");
    const struct job_row *child = job(core, 7);
    assert_int_equal(child->parent_id.value, 1);
    assert_int_equal(child->client_id.value, 4);
    assert_int_equal(child->identifier, IDENTIFIER_EXTERNALTOUR);
    assert_int_equal(child->asset_id.value, 2);
    assert_int_equal(child->question_set_id.value, 3);
    assert_int_equal(child->seq.value, 4);
    assert_int_equal(child->grace_minutes.value, 5);
    assert_int_equal(child->plan_minutes.value, 6);
    assert_int_equal(child->expiry_minutes.value, 8);
    assert_text(child->name, "gate");
    assert_int_equal(job(core, 1)->modified_at.value, child->modified_at.value);
}

static void a_checkpoint_without_an_id_gets_one_that_is_free(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    put_root(core, CORE_FIRST_DRAWN, IDENTIFIER_TASK);
    struct answer answer = save(core, "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":2,\"question_set_id\":3}");
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"job_id\":1000001}");
    assert_int_equal(job(core, 1000001)->expiry_minutes.value, 0);
}

static void an_edit_keeps_what_it_does_not_name(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3,\"seq\":4}");
    struct answer answer =
        save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"expiry_minutes\":9,\"name\":\"gate\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CHECKPOINT_UPDATE);
    assert_int_equal(answer.version_to, 3);
    assert_int_equal(job(core, 7)->expiry_minutes.value, 9);
    assert_int_equal(job(core, 7)->seq.value, 4);
    assert_int_equal(job(core, 7)->asset_id.value, 2);
    assert_unchanged(save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"expiry_minutes\":9}"));
    assert_unchanged(save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7}"));
    assert_int_equal(job(core, 1)->version.value, 3);
}

static void a_removed_checkpoint_is_gone_and_its_place_is_free(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    static const char create[] =
        "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}";
    save(core, create);
    struct answer answer = save(core, "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":7}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_DELETION);
    assert_int_equal(answer.version_to, 3);
    assert_null(job(core, 7));
    assert_refused(save(core, "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":7}"), REASON_NOT_FOUND);
    assert_applied(save(core, create));
}

static void asset_and_question_set_stand_once_under_a_root(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    put_root(core, 2, IDENTIFIER_INTERNALTOUR);
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}");
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":8,\"asset_id\":2,\"question_set_id\":4}");
    struct answer answer =
        save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":9,\"asset_id\":2,\"question_set_id\":3}");
    assert_refused(answer, REASON_ALREADY_EXISTS);
    assert_string_equal(answer.metadata, "{\"job_id\":7}");
    assert_refused(save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":8,\"question_set_id\":3}"),
                   REASON_ALREADY_EXISTS);
    assert_int_equal(job(core, 8)->question_set_id.value, 4);
    assert_int_equal(job(core, 1)->version.value, 3);
    /* an id in use, and the same place under another root */
    assert_refused(
        save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":2,\"asset_id\":9,\"question_set_id\":9}"),
        REASON_ALREADY_EXISTS);
    assert_applied(
        save(core, "{\"parent_id\":2,\"action\":\"create\",\"job_id\":10,\"asset_id\":2,\"question_set_id\":3}"));
}

static void a_checkpoint_without_asset_is_one_of_its_kind_too(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    struct job_row planned = *job(core, 1);
    planned.id = int_of(7);
    planned.parent_id = int_of(1);
    planned.question_set_id = int_of(3);
    core_put(core, &entity_job, &planned); /* by the planning side, asset none */
    assert_applied(
        save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":8,\"asset_id\":2,\"question_set_id\":3}"));
    assert_refused(save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"asset_id\":2}"),
                   REASON_ALREADY_EXISTS);
}

static void only_tours_have_checkpoints_and_only_roots_are_parents(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    put_root(core, 2, IDENTIFIER_TASK);
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}");
#define REST ",\"action\":\"create\",\"asset_id\":5,\"question_set_id\":3}"
    struct answer answer = save(core, "{\"parent_id\":2" REST);
    assert_refused(answer, REASON_INVALID_DATA);
    assert_string_equal(answer.metadata, "{\"parameter\":\"/parent_id\",\"message\":\"is not a tour\"}");
    answer = save(core, "{\"parent_id\":7" REST);
    assert_refused(answer, REASON_INVALID_DATA);
    assert_non_null(strstr(answer.metadata, "\"parent_id\":1"));
    assert_refused(save(core, "{\"parent_id\":9" REST), REASON_NOT_FOUND);
    assert_refused(assign(core, "{\"parent_id\":9,\"action\":\"remove\",\"job_id\":7}"), REASON_NOT_FOUND);
}

static void a_child_of_another_root_or_kind_is_not_found(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    put_root(core, 2, IDENTIFIER_INTERNALTOUR);
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}");
    assign(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":8,\"name\":\"n\",\"person_id\":5,\"geofence_id\":6,"
                 "\"starts_at\":\"2026-11-24T00:00:00Z\"}");
    static const char *const others[] = {
        "{\"parent_id\":2,\"action\":\"remove\",\"job_id\":7}", "{\"parent_id\":2,\"action\":\"edit\",\"job_id\":7}",
        "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":1}", "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":2}",
        "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":8}", "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":99}",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_refused(save(core, others[i]), REASON_NOT_FOUND);
    assert_refused(assign(core, "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":7}"), REASON_NOT_FOUND);
    assert_int_equal(core->tables[PLACE_JOB].count, 4);
}

static void a_root_takes_no_more_children_than_a_command_can_load(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    struct job_row child = *job(core, 1);
    child.parent_id = int_of(1);
    for (int i = 0; i < JOB_CHILDREN_MAX; i++)
    {
        child.id = child.asset_id = int_of(100 + i);
        child.question_set_id = int_of(1);
        core_put(core, &entity_job, &child);
    }
    struct answer answer =
        core_run(core, "job.save_checkpoint",
                 "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}");
    assert_refused(answer, REASON_TOO_LARGE);
    assert_applied(
        core_run(core, "job.save_checkpoint", "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":100,\"seq\":3}"));
}

/* --- geofence assignments ---------------------------------------------------------------------------------------- */

#define ASSIGNMENT(id, more) \
    "{\"parent_id\":1,\"action\":\"create\",\"job_id\":" #id ",\"name\":\"north\",\"person_id\":5," \
    "\"geofence_id\":6,\"starts_at\":\"2026-11-24T00:00:00Z\"" more "}"

static void in_an_edit_null_clears_what_may_be_null(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3,\"seq\":4,"
               "\"name\":\"gate\"}");
    assert_applied(save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"asset_id\":null,\"seq\":null,"
                              "\"name\":null}"));
    assert_null(job(core, 7)->name.at);
    assert_int_equal(job(core, 7)->asset_id.value, 2);
    assert_int_equal(job(core, 7)->seq.value, 4);
    assert_unchanged(save(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"name\":null}"));
    assert_applied(assign(core, ASSIGNMENT(8, ",\"ends_at\":\"2026-12-24T00:00:00Z\",\"from_minute\":1320,"
                                              "\"until_minute\":360,\"asset_id\":2,\"client_id\":null")));
    assert_int_equal(job(core, 8)->client_id.value, 4); /* the root's: of a creation null is as if not given */
    assert_applied(assign(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":8,\"ends_at\":null,\"asset_id\":null,"
                                "\"from_minute\":null,\"until_minute\":null,\"client_id\":null,\"name\":null,"
                                "\"starts_at\":null,\"utc_offset_minutes\":null}"));
    const struct job_row *row = job(core, 8);
    assert_false(row->ends_at.set || row->asset_id.set || row->from_minute.set || row->until_minute.set ||
                 row->client_id.set);
    assert_true(row->starts_at.set && row->name.at && row->utc_offset_minutes.set);
    assert_refused(assign(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":8,\"person_id\":null}"),
                   REASON_INVALID_DATA);
}

static void a_geofence_is_assigned_under_any_root(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_TASK);
    struct answer answer =
        assign(core, ASSIGNMENT(7, ",\"ends_at\":\"2026-12-24T00:00:00Z\",\"from_minute\":1320,\"until_minute\":360,"
                                   "\"asset_id\":2,\"question_set_id\":3"));
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_FIELD_UPDATE);
    const struct job_row *child = job(core, 7);
    assert_int_equal(child->identifier, IDENTIFIER_GEOFENCE);
    assert_int_equal(child->person_id.value, 5);
    assert_int_equal(child->geofence_id.value, 6);
    assert_int_equal(child->client_id.value, 4); /* the root's */
    assert_int_equal(child->ends_at.value - child->starts_at.value, INT64_C(30) * 86400 * 1000000);
    assert_int_equal(child->from_minute.value, 1320);
    assert_int_equal(child->until_minute.value, 360);
    answer = assign(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"person_id\":9}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_FIELD_UPDATE);
    assert_int_equal(job(core, 7)->person_id.value, 9);
    assert_unchanged(assign(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"person_id\":9}"));
    assert_applied(assign(core, "{\"parent_id\":1,\"action\":\"remove\",\"job_id\":7}"));
    assert_null(job(core, 7));
    assert_int_equal(job(core, 1)->version.value, 4);
}

static void a_name_is_given_once(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    assert_applied(assign(core, ASSIGNMENT(7, "")));
    struct answer answer = assign(core, ASSIGNMENT(8, ""));
    assert_refused(answer, REASON_ALREADY_EXISTS);
    assert_string_equal(answer.metadata, "{\"job_id\":7}");
    assert_refused(assign(core, ASSIGNMENT(8, ",\"client_id\":4")), REASON_ALREADY_EXISTS);
    assert_applied(assign(core, ASSIGNMENT(8, ",\"client_id\":3")));
    assert_applied(assign(core, ASSIGNMENT(9, ",\"asset_id\":2")));
    assert_applied(assign(core, ASSIGNMENT(10, ",\"question_set_id\":2")));
    assert_refused(assign(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":8,\"client_id\":4}"),
                   REASON_ALREADY_EXISTS);
    assert_applied(assign(core, "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":8,\"client_id\":4,\"name\":\"N\"}"));
    /* a checkpoint at the same asset is something else */
    assert_applied(save(core,
                        "{\"parent_id\":1,\"action\":\"create\",\"job_id\":11,\"asset_id\":2,\"question_set_id\":2,"
                        "\"name\":\"north\"}"));
}

static void an_assignment_that_cannot_be_is_refused(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_TASK);
    assert_applied(assign(core, ASSIGNMENT(7, ",\"ends_at\":\"2026-11-25T00:00:00Z\"")));
    static const struct
    {
        const char *data, *parameter;
    } cases[] = {
        { ASSIGNMENT(8, ",\"ends_at\":\"2026-11-23T23:59:59Z\""), "/ends_at" },
        { ASSIGNMENT(8, ",\"from_minute\":1"), "/until_minute" },
        { ASSIGNMENT(8, ",\"until_minute\":1"), "/from_minute" },
        { ASSIGNMENT(8, ",\"from_minute\":1440,\"until_minute\":1"), "/from_minute" },
        { ASSIGNMENT(8, ",\"client_id\":0"), "/client_id" },
        { "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"person_id\":1}", "/person_id" },
        { "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"starts_at\":\"2026-11-26T00:00:00Z\"}", "/ends_at" },
        { "{\"parent_id\":1,\"action\":\"edit\",\"job_id\":7,\"name\":\"\"}", "/name" },
        { "{\"parent_id\":1,\"action\":\"edit\",\"person_id\":3}", "/job_id" },
        { "{\"parent_id\":1,\"action\":\"create\",\"person_id\":3,\"geofence_id\":3}", "/name" },
        { "{\"parent_id\":1,\"action\":\"create\",\"name\":\"n\",\"geofence_id\":3}", "/person_id" },
        { "{\"parent_id\":1,\"action\":\"create\",\"name\":\"n\",\"person_id\":3}", "/geofence_id" },
        { "{\"parent_id\":1,\"action\":\"create\",\"name\":\"n\",\"person_id\":3,\"geofence_id\":3}", "/starts_at" },
        { "{\"parent_id\":1,\"action\":\"CREATE\"}", "/action" },
        { "{\"parent_id\":1}", "/action" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        char expected[64];
        snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",", cases[i].parameter);
        struct answer answer = assign(core, cases[i].data);
        assert_refused(answer, REASON_INVALID_DATA);
        if (!strstr(answer.metadata, expected))
            fail_msg("%s: %s", cases[i].data, answer.metadata);
    }
    assert_int_equal(core->tables[PLACE_JOB].count, 2);
}

static void a_checkpoint_that_cannot_be_is_refused(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    static const char *const data[] = {
        "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":1}",
        "{\"parent_id\":1,\"action\":\"create\",\"question_set_id\":1}",
        "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":1,\"question_set_id\":1,\"expiry_minutes\":-1}",
        "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":1,\"question_set_id\":1,\"grace_minutes\":2147483648}",
        "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":1,\"question_set_id\":1,\"seq\":-1}",
        "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":1,\"question_set_id\":1,\"plan_minutes\":1.5}",
        "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":1,\"question_set_id\":1,\"person_id\":2}",
        "{\"parent_id\":1,\"action\":\"remove\"}",
        "{\"action\":\"remove\",\"job_id\":4}",
    };
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
        assert_refused(save(core, data[i]), REASON_INVALID_DATA);
    assert_int_equal(core->tables[PLACE_JOB].count, 1);
}

/* --- many at once ------------------------------------------------------------------------------------------------ */

enum
{
    COMMANDS = 120,
    STREAMS = 60,
    DATA_SIZE = 256,
};

static uint64_t seed;

static int random_below(int limit)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (int)((seed >> 33) % (uint64_t)limit);
}

static struct order make_order(char *data)
{
    static const char *const actions[] = { "create", "create", "edit", "remove" };
    int size = snprintf(data, DATA_SIZE, "{\"parent_id\":%d,\"action\":\"%s\",\"job_id\":%d", 1 + random_below(3),
                        actions[random_below(4)], 10 + random_below(6));
    bool geofence = random_below(2);
    size += snprintf(data + size, (size_t)(DATA_SIZE - size), ",\"asset_id\":%d,\"question_set_id\":1",
                     1 + random_below(3));
    if (geofence)
        size += snprintf(data + size, (size_t)(DATA_SIZE - size),
                         ",\"name\":\"n%d\",\"person_id\":5,\"geofence_id\":%d,\"starts_at\":\"2026-11-2%dT00:00:00Z\"",
                         random_below(2), 1 + random_below(2), random_below(9));
    snprintf(data + size, (size_t)(DATA_SIZE - size), "}");
    return (struct order){ geofence ? "job.save_geofence_assignment" : "job.save_checkpoint", data };
}

static void expect_same_jobs(const struct core *a, const struct core *b)
{
    const struct table *table = &a->tables[PLACE_JOB];
    assert_int_equal(table->count, b->tables[PLACE_JOB].count);
    for (size_t i = 0; i < table->count; i++)
    {
        const void *other = core_find(b, &entity_job, table->rows[i]);
        assert_non_null(other);
        assert_int_equal(entity_difference(&entity_job, table->rows[i], other), 0);
    }
}

/* PROTOCOL B3: removed and made again under one id, moved from place to place, in batches of any size. */
static void batches_of_one_and_of_many_plan_the_same(void **state)
{
    (void)state;
    static char data[COMMANDS][DATA_SIZE];
    static struct order orders[COMMANDS];
    static struct answer singly[COMMANDS], batched[COMMANDS];
    int outcomes[OUTCOME__COUNT] = { 0 };
    for (int stream = 0; stream < STREAMS; stream++)
    {
        struct core single, cut;
        core_init(&single);
        core_init(&cut);
        seed = (uint64_t)stream * 7919 + 3;
        for (int root = 1; root <= 2; root++) /* the third is not there */
        {
            put_root(&single, root, IDENTIFIER_INTERNALTOUR);
            put_root(&cut, root, IDENTIFIER_INTERNALTOUR);
        }
        for (int i = 0; i < COMMANDS; i++)
        {
            orders[i] = make_order(data[i]);
            core_run_batch(&single, &orders[i], 1, &singly[i]);
            outcomes[singly[i].outcome]++;
        }
        for (int i = 0, size; i < COMMANDS; i += size)
        {
            size = 1 + random_below(COMMANDS);
            size = size < COMMANDS - i ? size : COMMANDS - i;
            core_run_batch(&cut, orders + i, (size_t)size, batched + i);
            expect_unique_children(&cut);
        }
        for (int i = 0; i < COMMANDS; i++)
        {
            if (singly[i].outcome != batched[i].outcome || strcmp(singly[i].metadata, batched[i].metadata) != 0)
                fail_msg("%s: %s or %s", orders[i].data, singly[i].metadata, batched[i].metadata);
            assert_int_equal(singly[i].version_to, batched[i].version_to);
        }
        expect_same_jobs(&single, &cut);
        core_done(&single);
        core_done(&cut);
    }
    assert_true(outcomes[OUTCOME_APPLIED] > STREAMS * COMMANDS / 25 &&
                outcomes[OUTCOME_REJECTED] > STREAMS * COMMANDS / 25 && outcomes[OUTCOME_UNCHANGED] > 0);
}

static void ten_creates_of_one_checkpoint_make_one(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    struct order orders[10];
    struct answer answers[10];
    for (int i = 0; i < 10; i++)
        orders[i] = (struct order){ "job.save_checkpoint",
                                    "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":2,\"question_set_id\":3}" };
    core_run_batch(core, orders, 10, answers);
    assert_applied(answers[0]);
    for (int i = 1; i < 10; i++)
        assert_refused(answers[i], REASON_ALREADY_EXISTS);
    assert_int_equal(core->tables[PLACE_JOB].count, 2);
    assert_int_equal(job(core, 1)->version.value, 2);
}

static void a_jobneed_of_a_job_made_in_its_own_batch_is_created(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    static const struct order orders[] = {
        { "job.save_checkpoint",
          "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}" },
        { "job.create", "{\"jobneed_id\":3,\"job_id\":7,\"identifier\":\"TASK\",\"type\":\"ADHOC\","
                        "\"starts_at\":\"2026-11-24T09:00:00Z\"}" },
    };
    struct answer answers[2];
    core_run_batch(core, orders, 2, answers);
    assert_applied(answers[0]);
    assert_applied(answers[1]);
}

static void a_busy_child_holds_the_command_back(void **state)
{
    struct core *core = *state;
    put_root(core, 1, IDENTIFIER_INTERNALTOUR);
    save(core, "{\"parent_id\":1,\"action\":\"create\",\"job_id\":7,\"asset_id\":2,\"question_set_id\":3}");
    core->busy_entity = &entity_job;
    core->busy = id_of(7);
    assert_true(save(core, "{\"parent_id\":1,\"action\":\"create\",\"asset_id\":3,\"question_set_id\":3}").busy);
    core->busy_entity = NULL;
    assert_int_equal(core->tables[PLACE_JOB].count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(a_checkpoint_is_created_with_its_roots_identifier_and_raises_its_version),
        CORE_TEST(a_checkpoint_without_an_id_gets_one_that_is_free),
        CORE_TEST(an_edit_keeps_what_it_does_not_name),
        CORE_TEST(in_an_edit_null_clears_what_may_be_null),
        CORE_TEST(a_removed_checkpoint_is_gone_and_its_place_is_free),
        CORE_TEST(asset_and_question_set_stand_once_under_a_root),
        CORE_TEST(a_checkpoint_without_asset_is_one_of_its_kind_too),
        CORE_TEST(only_tours_have_checkpoints_and_only_roots_are_parents),
        CORE_TEST(a_child_of_another_root_or_kind_is_not_found),
        CORE_TEST(a_root_takes_no_more_children_than_a_command_can_load),
        CORE_TEST(a_geofence_is_assigned_under_any_root),
        CORE_TEST(a_name_is_given_once),
        CORE_TEST(an_assignment_that_cannot_be_is_refused),
        CORE_TEST(a_checkpoint_that_cannot_be_is_refused),
        cmocka_unit_test(batches_of_one_and_of_many_plan_the_same),
        CORE_TEST(ten_creates_of_one_checkpoint_make_one),
        CORE_TEST(a_jobneed_of_a_job_made_in_its_own_batch_is_created),
        CORE_TEST(a_busy_child_holds_the_command_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
