/* Replay judge on PostgreSQL: which messages were lost, and the way back for them. */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/engine.h"
#include "worker/admin/replay_judge.h"
#include "worker/base/identity.h"

enum
{
    LIMIT = 100,
    BYTES_MAX = 1000000,
    PAGE = 1000,
    PUBLISHED = 5000, /* of every partition */
    PRUNED = 100,
};

static struct
{
    struct replay_judge *judge;
    struct buffer fault;
} scene;

static int set_up(void **state)
{
    int code = engine_set_up(state);

    scene.fault = BUFFER_EMPTY;
    scene.judge = replay_judge_new(engine.sql, LIMIT, BYTES_MAX);
    engine_ask("INSERT INTO interlock.partition_published (partition_id, fence, published, pruned_below) "
               "SELECT id, fence, %d, %d FROM interlock.partition_owner",
               PUBLISHED, PRUNED);
    engine.next_offset[0] = PRUNED;
    return code || scene.judge == NULL;
}

static int tear_down(void **state)
{
    replay_judge_free(scene.judge);
    buffer_done(&scene.fault);
    return engine_tear_down(state);
}

static void judge_again(int64_t limit, int64_t bytes_max)
{
    replay_judge_free(scene.judge);
    scene.judge = replay_judge_new(engine.sql, limit, bytes_max);
    assert_non_null(scene.judge);
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static struct command command_of(const char *id)
{
    struct command command = { .source = SPAN_LITERAL("/test"),
                               .id = span_of(id),
                               .type = SPAN_LITERAL("ticket.escalate"),
                               .tenant = SPAN_LITERAL("acme"),
                               .aggregate = { AGGREGATE_TICKET, id_of(7) } };

    assert_true(identity_make(command.source, command.id, command.identity));
    memset(command.body_digest, 0xb0, DIGEST_SIZE);
    return command;
}

static void add(const char *topic, int partition, int64_t offset, const struct command *command)
{
    const struct delivery delivery = { .key = SPAN_LITERAL("ticket/7"),
                                       .headers = SPAN_LITERAL("headers"),
                                       .value = SPAN_LITERAL("value"),
                                       .offset = offset };

    if (!replay_judge_add(scene.judge, topic, partition, &delivery, command, &scene.fault))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static void add_id(const char *id, int64_t offset)
{
    struct command command = command_of(id);
    add("commands", 0, offset, &command);
}

static void finish(void)
{
    if (!replay_judge_finish(scene.judge, &scene.fault))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static const struct replay_missing *missing(int count)
{
    const struct replay_missing *at;

    assert_int_equal(replay_judge_missing(scene.judge, &at), count);
    return at;
}

/* So many of the class, and nothing of any other. */
static void assert_all_are(enum replay_class class, int count)
{
    finish();
    for (int i = 0; i < REPLAY_CLASS__COUNT; i++)
        if (replay_judge_count(scene.judge, (enum replay_class)i) != (i == (int)class ? count : 0))
            fail_msg("%d of %s", (int)replay_judge_count(scene.judge, (enum replay_class)i), replay_class_names[i]);
}

static const char *identity_of(const char *id)
{
    return engine_ask("SELECT encode(substr(sha256('/test'::bytea || '\\x00'::bytea || '%s'::bytea), 1, 16), 'hex')",
                      id);
}

static void park(const char *id, int64_t offset)
{
    engine_ask("INSERT INTO interlock.parked_command (identity, kafka_offset, fence, partition_id, due_at, blocks, "
               "waits, reason, command_source, command_id, command_type, value) VALUES ('%s', %lld, 1, %d, now(), "
               "true, false, 'notbefore', '/test', '%s', 'ticket.escalate', 'bytes')",
               identity_of(id), (long long)offset, (int)engine.partitions[0].partition_id, id);
}

static void put_in_dead_letters(const char *id, int64_t offset)
{
    engine_ask("INSERT INTO interlock.dead_letter (kafka_offset, fence, partition_id, digest, reason, identity) "
               "VALUES (%lld, 1, %d, sha256('x'), 'not_json', %s%s%s)",
               (long long)offset, (int)engine.partitions[0].partition_id, id ? "'" : "", id ? identity_of(id) : "NULL",
               id ? "'" : "");
}

/* --- what they are ----------------------------------------------------------------------------------------------- */

static void a_command_with_its_answer_is_answered(void **state)
{
    struct delivery *create = engine_create(7);
    (void)state;

    engine_run_one(create);
    add_id("create-7", create->offset);
    assert_all_are(REPLAY_ANSWERED, 1);
}

static void its_second_copy_is_a_duplicate(void **state)
{
    struct delivery *create = engine_create(7);
    (void)state;

    engine_run_one(create);
    add_id("create-7", create->offset + 1);
    assert_all_are(REPLAY_DUPLICATE, 1);
}

static void a_parked_command_is_parked_and_a_copy_of_it_a_duplicate(void **state)
{
    (void)state;
    park("p-1", 200);
    add_id("p-1", 200);
    assert_all_are(REPLAY_PARKED, 1);
    judge_again(LIMIT, BYTES_MAX);
    add_id("p-1", 201);
    assert_all_are(REPLAY_DUPLICATE, 1);
}

static void a_letter_is_found_by_its_position_and_by_its_identity(void **state)
{
    (void)state;
    put_in_dead_letters(NULL, 200);
    put_in_dead_letters("l-1", 300);
    add_id("l-2", 200);
    add("commands", 0, 200, NULL);
    add_id("l-1", 400);
    assert_all_are(REPLAY_LETTER, 3);
}

static void a_command_that_was_passed_and_is_in_no_table_is_missing(void **state)
{
    (void)state;
    add_id("m-1", PRUNED);
    add_id("m-2", PUBLISHED - 1);
    assert_all_are(REPLAY_MISSING, 2);
    const struct replay_missing *first = missing(2);
    assert_string_equal(first->topic, "commands");
    assert_int_equal(first->partition, 0);
    assert_int_equal(first->offset, PRUNED);
    assert_string_equal(first->source, "/test");
    assert_string_equal(first->id, "m-1");
    assert_string_equal(first->type, "ticket.escalate");
    assert_string_equal(first->tenant, "acme");
    assert_string_equal(first->aggregate, "ticket/7");
    assert_true(first->has_bytes);
    assert_true(first->has_key);
    assert_memory_equal(first->key.at, "ticket/7", first->key.size);
    assert_memory_equal(first->headers.at, "headers", first->headers.size);
    assert_memory_equal(first->value.at, "value", first->value.size);
}

/* A row of the inbox without an answer answers nothing. */
static void a_command_of_the_inbox_without_an_answer_is_missing(void **state)
{
    (void)state;
    engine_ask("INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id) "
               "VALUES ('%s', gen_random_uuid(), 200, 1, %d)",
               identity_of("m-1"), (int)engine.partitions[0].partition_id);
    add_id("m-1", 200);
    assert_all_are(REPLAY_MISSING, 1);
}

static void a_message_that_is_no_command_is_unreadable_and_not_kept(void **state)
{
    (void)state;
    add("commands", 0, 200, NULL);
    assert_all_are(REPLAY_UNREADABLE, 1);
    missing(0);
}

static void below_what_was_pruned_nothing_is_known(void **state)
{
    (void)state;
    add_id("m-1", PRUNED - 1);
    add("commands", 0, PRUNED - 1, NULL);
    assert_all_are(REPLAY_PRUNED, 2);
}

static void a_command_that_was_not_passed_is_not_missing(void **state)
{
    struct command command = command_of("m-1");
    (void)state;

    add_id("m-1", PUBLISHED);
    add("commands", 0, PUBLISHED, NULL);
    add("unknown", 0, 200, &command); /* which nobody has owned */
    assert_all_are(REPLAY_NOT_YET, 3);
}

/* --- what is kept ------------------------------------------------------------------------------------------------ */

static void a_copy_of_a_missing_one_is_a_duplicate(void **state)
{
    (void)state;
    add_id("m-1", 200);
    add_id("m-1", 201);
    finish();
    add_id("m-1", 202);
    finish();
    assert_int_equal(replay_judge_count(scene.judge, REPLAY_MISSING), 1);
    assert_int_equal(replay_judge_count(scene.judge, REPLAY_DUPLICATE), 2);
    assert_int_equal(missing(1)->offset, 200);
}

static void more_than_the_limit_are_counted_and_not_kept(void **state)
{
    (void)state;
    judge_again(2, BYTES_MAX);
    add_id("m-1", 200);
    add_id("m-2", 201);
    add_id("m-3", 202);
    assert_all_are(REPLAY_MISSING, 3);
    assert_string_equal(missing(2)[1].id, "m-2");
}

static void bytes_are_kept_up_to_their_limit(void **state)
{
    (void)state;
    judge_again(LIMIT, 2 * (8 + 7 + 5));
    add_id("m-1", 200);
    add_id("m-2", 201);
    add_id("m-3", 202);
    assert_all_are(REPLAY_MISSING, 3);
    assert_true(missing(3)[1].has_bytes);
    assert_false(missing(3)[2].has_bytes);
    assert_int_equal(missing(3)[2].value.size, 0);
    assert_string_equal(missing(3)[2].id, "m-3");
}

static void the_topic_of_each_page_is_its_own(void **state)
{
    struct command command = command_of("m-1");
    (void)state;

    engine_ask("INSERT INTO interlock.partition_owner (topic, partition) VALUES ('others', 0)");
    engine_ask("INSERT INTO interlock.partition_published (partition_id, fence, published) "
               "SELECT id, 0, 10 FROM interlock.partition_owner WHERE topic = 'others'");
    add_id("m-2", 200);
    add("others", 0, 9, &command);
    add("others", 0, 10, NULL);
    finish();
    assert_int_equal(replay_judge_count(scene.judge, REPLAY_MISSING), 2);
    assert_int_equal(replay_judge_count(scene.judge, REPLAY_NOT_YET), 1);
    assert_string_equal(missing(2)[1].topic, "others");
}

static void a_range_may_be_longer_than_a_page(void **state)
{
    (void)state;
    for (int i = 0; i < PAGE + 1; i++)
        add("commands", i % ENGINE_PARTITIONS_MAX, 200 + i, NULL);
    assert_all_are(REPLAY_UNREADABLE, PAGE + 1);
}

/* --- the way back ------------------------------------------------------------------------------------------------ */

static int64_t begin_action(void)
{
    engine_ask("BEGIN");
    return strtoll(engine_ask("INSERT INTO interlock.operator_action (verb, actor, host, version, reason) "
                              "VALUES ('replay', 'anna', 'host', '1', 'because') RETURNING id"),
                   NULL, 10);
}

static void missing_commands_are_parked_with_their_bytes_and_an_item(void **state)
{
    (void)state;
    add_id("m-1", 200);
    add_id("m-2", 201);
    finish();
    int64_t action = begin_action();
    assert_int_equal(replay_put_back(engine.sql, action, scene.judge, &scene.fault), 2);
    engine_ask("COMMIT");
    assert_sql("m-1 m-2", "SELECT string_agg(command_id, ' ' ORDER BY place) FROM interlock.parked_command");
    assert_sql(
        "replayed 200 1 ticket/7 /test ticket.escalate acme ticket/7 headers value",
        "SELECT concat_ws(' ', reason, kafka_offset, action_id, aggregate, command_source, command_type, tenant, "
        "convert_from(kafka_key, 'UTF8'), convert_from(headers, 'UTF8'), convert_from(value, 'UTF8')) "
        "FROM interlock.parked_command WHERE command_id = 'm-1'");
    assert_sql("t", "SELECT i.parked AND i.body_digest = repeat('b0', 16)::uuid FROM interlock.inbox i "
                    "JOIN interlock.parked_command p USING (identity) WHERE p.command_id = 'm-1'");
    assert_sql("commands/0/200 put back, commands/0/201 put back",
               "SELECT string_agg(subject || ' ' || outcome, ', ' ORDER BY subject) FROM interlock.operator_item");
}

static void a_message_without_key_and_headers_comes_back_without_them(void **state)
{
    struct command command = command_of("m-1");
    const struct delivery bare = { .value = SPAN_LITERAL("value"), .offset = 200 };
    (void)state;

    command.tenant = SPAN_NULL;
    command.aggregate.kind = AGGREGATE_NONE;
    assert_true(replay_judge_add(scene.judge, "commands", 0, &bare, &command, &scene.fault));
    finish();
    int64_t action = begin_action();
    assert_int_equal(replay_put_back(engine.sql, action, scene.judge, &scene.fault), 1);
    engine_ask("COMMIT");
    assert_sql("t", "SELECT kafka_key IS NULL AND headers IS NULL AND tenant IS NULL AND aggregate IS NULL "
                    "FROM interlock.parked_command");
}

static void commands_that_were_answered_or_parked_meanwhile_are_left_alone(void **state)
{
    struct delivery *create = engine_create(7);
    (void)state;

    add_id("create-7", create->offset);
    add_id("m-1", 200);
    add_id("m-2", 201);
    finish();
    assert_int_equal(replay_judge_count(scene.judge, REPLAY_MISSING), 3);
    engine_run_one(create);
    park("m-1", 200);
    engine_ask("INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id, parked) "
               "SELECT identity, gen_random_uuid(), kafka_offset, fence, partition_id, true "
               "FROM interlock.parked_command");
    int64_t action = begin_action();
    assert_int_equal(replay_put_back(engine.sql, action, scene.judge, &scene.fault), 1);
    engine_ask("COMMIT");
    assert_sql("commands/0/201", "SELECT string_agg(subject, ' ') FROM interlock.operator_item");
}

/* The function of the schema refuses an action of another transaction. */
static void without_an_action_of_the_transaction_nothing_is_parked(void **state)
{
    (void)state;
    add_id("m-1", 200);
    finish();
    int64_t action = begin_action();
    engine_ask("COMMIT");
    assert_int_equal(replay_put_back(engine.sql, action, scene.judge, &scene.fault), -1);
    assert_true(scene.fault.size > 0);
    assert_sql("0", "SELECT count(*) FROM interlock.parked_command");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_command_with_its_answer_is_answered),
        TEST(its_second_copy_is_a_duplicate),
        TEST(a_parked_command_is_parked_and_a_copy_of_it_a_duplicate),
        TEST(a_letter_is_found_by_its_position_and_by_its_identity),
        TEST(a_command_that_was_passed_and_is_in_no_table_is_missing),
        TEST(a_command_of_the_inbox_without_an_answer_is_missing),
        TEST(a_message_that_is_no_command_is_unreadable_and_not_kept),
        TEST(below_what_was_pruned_nothing_is_known),
        TEST(a_command_that_was_not_passed_is_not_missing),
        TEST(a_copy_of_a_missing_one_is_a_duplicate),
        TEST(more_than_the_limit_are_counted_and_not_kept),
        TEST(bytes_are_kept_up_to_their_limit),
        TEST(the_topic_of_each_page_is_its_own),
        TEST(a_range_may_be_longer_than_a_page),
        TEST(missing_commands_are_parked_with_their_bytes_and_an_item),
        TEST(a_message_without_key_and_headers_comes_back_without_them),
        TEST(commands_that_were_answered_or_parked_meanwhile_are_left_alone),
        TEST(without_an_action_of_the_transaction_nothing_is_parked),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
