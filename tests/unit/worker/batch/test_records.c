#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/engine.h"
#include "worker/batch/item.h"

/* The answers to messages that are not new (PROTOCOL R1 to R3), and who may answer at all (O4). */

/* The identity of an escalation, with other data. */
static struct delivery *reused(int arrival, const char *id)
{
    char key[32], data[64];
    snprintf(key, sizeof(key), "ticket/%d", arrival);
    snprintf(data, sizeof(data), "{\"ticket_id\":%d,\"level\":9}", arrival);
    return engine_command(key, id, "ticket.escalate", "", data);
}

static void assert_same_event(const struct delivery *one, const struct delivery *other)
{
    assert_int_equal(one->answer, ANSWER_EVENT);
    assert_int_equal(other->answer, ANSWER_EVENT);
    assert_int_equal(one->event_size, other->event_size);
    assert_memory_equal(one->event, other->event, one->event_size);
    assert_string_equal(one->event_key, other->event_key);
}

/* --- the same message again -------------------------------------------------------------------------------------- */

static void the_same_message_again_answers_with_the_same_bytes(void **state)
{
    static const char *const attributes[] = {
        "",
        "\"actor\":\"\\\"ü\\\\/\\u0001\",\"correlationid\":\"\xF0\x9F\x94\x92\",",
        "\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\",\"tenant\":\"acme\",",
    };
    struct delivery *first[9], *again[9];
    char key[32];
    (void)state;
    first[0] = engine_create(7);
    for (int i = 0; i < 3; i++)
    {
        snprintf(key, sizeof(key), "e-%d", i);
        first[1 + i] = engine_command("ticket/7", key, "ticket.escalate", attributes[i],
                                      i ? "{\"ticket_id\":7,\"assigned_person_id\":5}" : "{\"ticket_id\":7}");
    }
    first[4] = engine_command("ticket/7", "r-1", "ticket.transition", "", "{\"ticket_id\":7,\"status\":\"CLOSED\"}");
    first[5] = engine_command("ticket/8", "r-2", "ticket.escalate", "", "{\"ticket_id\":8}");
    first[6] = engine_command("x", "r-3", "no.such.type", "\"actor\":\"a\",", "{}");
    first[7] = engine_command("ticket/7", "r-4", "ticket.escalate", "\"subject\":\"ticket/9\",", "{\"ticket_id\":7}");
    first[8] = engine_create(9);
    engine_run(first, 9);
    struct delivery *bulk =
        engine_command("ticket/7", "b-1", "ticket.bulk_update", "", "{\"ticket_ids\":[9,7],\"assigned_group_id\":4}");
    engine_run_one(bulk);
    assert_outcome(bulk, "applied");
    const char *audit =
        engine_ask("SELECT md5(string_agg(a::text, '' ORDER BY kafka_offset)) FROM interlock.audit_event a");
    char before[64];
    snprintf(before, sizeof(before), "%s", audit);

    engine_take_over(0);
    for (int i = 0; i < 9; i++)
        again[i] = engine_again(first[i]);
    engine_run(again, 9);
    for (int i = 0; i < 9; i++)
        assert_same_event(first[i], again[i]);
    struct delivery *bulk_again = engine_again(bulk);
    engine_run_one(bulk_again);
    assert_same_event(bulk, bulk_again);
    assert_sql(before, "SELECT md5(string_agg(a::text, '' ORDER BY kafka_offset)) FROM interlock.audit_event a");
    assert_sql("10", "SELECT count(*) FROM interlock.inbox");
}

static void a_duplicate_in_one_batch_is_nobodys_event(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *first = engine_escalate(7, "e-1");
    struct delivery *given[] = { first, engine_duplicate(first), engine_duplicate(first) };
    engine_run(given, 3);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "nothing");
    assert_outcome(given[2], "nothing");
    assert_sql("1", "SELECT level FROM interlock.ticket WHERE id = 7");
    assert_sql("2", "SELECT count(*) FROM interlock.audit_event");
}

static void a_duplicate_in_a_later_batch_changes_and_publishes_nothing(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *first = engine_escalate(7, "e-1");
    engine_run_one(first);
    struct delivery *given[] = { engine_duplicate(first), engine_escalate(7, "e-2"), engine_duplicate(first) };
    engine_run(given, 3);
    assert_outcome(given[0], "nothing");
    assert_outcome(given[1], "applied");
    assert_outcome(given[2], "nothing");
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 7");
    assert_sql("3", "SELECT count(*) FROM interlock.inbox");
    /* And again after a takeover: still the publisher's duplicate. */
    engine_take_over(0);
    struct delivery *later = engine_again(given[2]);
    engine_run_one(later);
    assert_outcome(later, "nothing");
}

static void a_rejected_command_seen_again_is_not_decided_again(void **state)
{
    (void)state;
    struct delivery *first = engine_escalate(7, "e-1");
    engine_run_one(first);
    assert_outcome(first, "rejected:not_found");
    engine_run_one(engine_create(7));
    struct delivery *again = engine_again(first);
    engine_run_one(again);
    assert_same_event(first, again);
    assert_sql("0", "SELECT level FROM interlock.ticket WHERE id = 7");
}

/* --- another body under a used id -------------------------------------------------------------------------------- */

static void another_body_under_a_used_id_is_refused_and_leaves_the_inbox_alone(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine_run_one(engine_escalate(7, "e-1"));
    struct delivery *other = reused(7, "e-1");
    engine_run_one(other);
    assert_outcome(other, "rejected:id_reused");
    assert_event(other, "data.version", "null");
    assert_sql("1", "SELECT level FROM interlock.ticket WHERE id = 7");
    assert_sql("2", "SELECT count(*) FROM interlock.inbox");
    assert_sql("3", "SELECT count(*) FROM interlock.audit_event");
    /* Seen again it has its own recorded event. */
    engine_take_over(0);
    struct delivery *again = engine_again(other);
    engine_run_one(again);
    assert_same_event(other, again);
    assert_sql("3", "SELECT count(*) FROM interlock.audit_event");
}

static void another_body_in_the_same_batch_is_refused_too(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *given[] = { engine_escalate(7, "e-1"), reused(7, "e-1"), engine_escalate(7, "e-2") };
    engine_run(given, 3);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "rejected:id_reused");
    assert_outcome(given[2], "applied");
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 7");
}

/* The command and what reused its id come back in one batch: each by its own record, and no second one is made. */
static void both_users_of_an_id_are_answered_from_their_records(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *first = engine_escalate(7, "e-1"), *other = reused(7, "e-1");
    struct delivery *given[] = { first, other };
    engine_run(given, 2);
    engine_take_over(0);
    struct delivery *again[] = { engine_again(first), engine_again(other) };
    engine_run(again, 2);
    assert_same_event(first, again[0]);
    assert_same_event(other, again[1]);
    assert_sql("3", "SELECT count(*) FROM interlock.audit_event");
    /* Published by now: neither has an event any more. */
    engine_rewind(0, 10);
    struct delivery *third[] = { engine_again(first), engine_again(other) };
    engine_run(third, 2);
    assert_outcome(third[0], "nothing");
    assert_outcome(third[1], "nothing");
}

static void the_same_words_in_another_order_are_the_same_body(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine_run_one(engine_command("ticket/7", "e-1", "ticket.escalate", "", "{\"ticket_id\":7,\"level\":3}"));
    struct delivery *same = engine_command("ticket/7", "e-1", "ticket.escalate", "\"actor\":\"x\",",
                                           "{ \"level\" : 3, \"ticket_id\" : 7 }");
    engine_run_one(same);
    assert_outcome(same, "nothing");
}

/* --- equal numbers ----------------------------------------------------------------------------------------------- */

static struct delivery *levelled(const char *id, const char *level)
{
    char data[64];
    snprintf(data, sizeof(data), "{\"ticket_id\":7,\"level\":%s}", level);
    return engine_command("ticket/7", id, "ticket.escalate", "", data);
}

static void equal_numbers_are_the_same_body_however_they_are_written(void **state)
{
    static const char *const same[] = { "3.0", "3e0", "30e-1" };
    (void)state;
    engine_run_one(engine_create(7));
    engine_run_one(levelled("e-1", "3"));
    for (int i = 0; i < 3; i++)
    {
        struct delivery *duplicate = levelled("e-1", same[i]);
        engine_run_one(duplicate);
        assert_outcome(duplicate, "nothing");
    }
    struct delivery *other = levelled("e-1", "3.1");
    engine_run_one(other);
    assert_outcome(other, "rejected:id_reused");
}

/* As a program recorded it that took 3.0 and 3 for two bodies. */
static void forget_that_equal_numbers_are_equal(const char *level)
{
    engine_ask(
        "UPDATE interlock.inbox SET body_digest = encode(substring(sha256('ticket.escalate'::bytea || '\\x00' || "
        "'{\"level\":%s,\"ticket_id\":7}'::bytea) FOR 16), 'hex')::uuid WHERE kafka_offset = 1 RETURNING 1",
        level);
}

static void a_body_recorded_by_its_numbers_as_written_is_known_again(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *first = levelled("e-1", "3.0");
    engine_run_one(first);
    forget_that_equal_numbers_are_equal("3.0");
    engine_take_over(0);
    struct delivery *given[] = { engine_again(first), engine_duplicate(first), levelled("e-1", "4.0") };
    engine_run(given, 3);
    assert_same_event(first, given[0]);
    assert_outcome(given[1], "nothing");
    assert_outcome(given[2], "rejected:id_reused");
    assert_sql("3", "SELECT level FROM interlock.ticket WHERE id = 7");
}

/* An older program beside this one answered the duplicate with id_reused: that is recorded, and stays the answer. */
static void a_recorded_answer_stays_the_answer_when_bodies_are_compared_otherwise(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine_run_one(levelled("e-1", "3"));
    struct delivery *refused = levelled("e-1", "4");
    engine_run_one(refused);
    assert_outcome(refused, "rejected:id_reused");
    struct delivery *again = levelled("e-1", "3.0");
    again->offset = refused->offset;
    engine_run_one(again);
    assert_same_event(refused, again);
    assert_sql("3", "SELECT count(*) FROM interlock.audit_event");
}

/* --- rewinds ----------------------------------------------------------------------------------------------------- */

/* PROTOCOL R2: published if and only if row.fence < rewind.fence and offset < rewind.below, for some rewind. */
static void a_rewind_says_what_was_published(void **state)
{
    struct delivery *first[4], *again[4];
    static const char *const expected[] = { "nothing", "nothing", "applied", "applied" };
    (void)state;
    first[0] = engine_create(7);
    for (int i = 1; i < 4; i++)
    {
        char id[16];
        snprintf(id, sizeof(id), "e-%d", i);
        first[i] = engine_escalate(7, id);
    }
    engine_run(first, 4);
    engine_rewind(0, 2); /* offsets 0 and 1 were published, 2 and 3 were not */
    for (int i = 0; i < 4; i++)
        again[i] = engine_again(first[i]);
    engine_run(again, 4);
    for (int i = 0; i < 4; i++)
        assert_outcome(again[i], expected[i]);
    assert_same_event(first[2], again[2]);
    /* A second rewind further up covers the rest; the first one still counts. */
    engine_rewind(0, 100);
    for (int i = 0; i < 4; i++)
        again[i] = engine_again(first[i]);
    engine_run(again, 4);
    for (int i = 0; i < 4; i++)
        assert_outcome(again[i], "nothing");
    /* A record written under the rewind's own fence came after the rewind, wherever it lies. */
    struct delivery *young = engine_escalate(7, "e-9");
    engine_run_one(young);
    young = engine_again(young);
    engine_run_one(young);
    assert_outcome(young, "applied");
    engine_rewind(0, 5);
    young = engine_again(young);
    engine_run_one(young);
    assert_outcome(young, "nothing");
}

static void a_rewind_of_another_partition_says_nothing(void **state)
{
    (void)state;
    struct delivery *first = engine_create(7);
    engine_run_one(first);
    engine_rewind(1, 100);
    struct delivery *again = engine_again(first);
    engine_run_one(again);
    assert_same_event(first, again);
}

/* A topic that was created again has other commands at the positions of the old one's: each is answered by its own
 * record. */
static void two_commands_that_had_one_position_are_told_apart(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *old = engine_escalate(7, "e-old");
    engine_run_one(old);
    engine_take_over(0);
    engine.next_offset[0] = old->offset;
    struct delivery *young = engine_escalate(7, "e-young");
    engine_run_one(young);
    assert_outcome(young, "applied");
    assert_int_equal(young->offset, old->offset);
    engine_take_over(0);
    struct delivery *again[] = { engine_again(old), engine_again(young) };
    engine_run(again, 2);
    assert_same_event(old, again[0]);
    assert_same_event(young, again[1]);
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 7");
}

/* --- dead letters ------------------------------------------------------------------------------------------------ */

static void an_unreadable_message_becomes_a_dead_letter_once(void **state)
{
    static const char *const values[] = { "not json", "{\"specversion\":\"1.0\"}", NULL, "{\"a\":1,\"a\":2}" };
    struct delivery *first[4], *again[4];
    (void)state;
    for (int i = 0; i < 4; i++)
        first[i] = engine_message(0, "k", values[i]);
    engine_run(first, 4);
    for (int i = 0; i < 4; i++)
        assert_outcome(first[i], "dead_letter");
    assert_sql("not_json,missing_id,tombstone,duplicate_key",
               "SELECT string_agg(reason, ',' ORDER BY kafka_offset) FROM interlock.dead_letter");
    assert_sql("t",
               "SELECT bool_and(digest = sha256(v)) FROM interlock.dead_letter d JOIN (VALUES (0, 'not json'::bytea), "
               "(2, ''::bytea), (3, '{\"a\":1,\"a\":2}')) x (o, v) ON o = kafka_offset");
    assert_sql("0", "SELECT count(*) FROM interlock.audit_event");
    engine_take_over(0);
    for (int i = 0; i < 4; i++)
        again[i] = engine_again(first[i]);
    engine_run(again, 4);
    for (int i = 0; i < 4; i++)
    {
        assert_outcome(again[i], "dead_letter");
        assert_true(again[i]->first_failed_us == first[i]->first_failed_us);
        assert_string_equal(again[i]->dead_reason, first[i]->dead_reason);
    }
    assert_sql("4", "SELECT count(*) FROM interlock.dead_letter");
    engine_rewind(0, 3);
    for (int i = 0; i < 4; i++)
        again[i] = engine_again(first[i]);
    engine_run(again, 4);
    for (int i = 0; i < 4; i++)
        assert_outcome(again[i], i < 3 ? "nothing" : "dead_letter");
}

static void dead_letters_do_not_touch_their_neighbours(void **state)
{
    (void)state;
    struct delivery *given[] = { engine_create(7), engine_message(0, "ticket/7", "{"), engine_escalate(7, "e-1"),
                                 engine_message(0, "ticket/7", "[]"), engine_escalate(7, "e-2") };
    engine_run(given, 5);
    assert_outcome(given[2], "applied");
    assert_outcome(given[4], "applied");
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 7");
}

/* --- the fence --------------------------------------------------------------------------------------------------- */

static void a_lost_partition_has_no_effect_and_the_others_go_on(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    struct delivery *lost = engine_escalate(7, "e-1"), *dead = engine_message(0, "k", "not json");
    struct delivery *kept = engine_message(1, "ticket/8",
                                           "{\"specversion\":\"1.0\",\"id\":\"c\",\"source\":\"/test\",\"type\":"
                                           "\"ticket.create\",\"data\":{\"ticket_id\":8,\"priority\":\"LOW\"}}");
    engine_take_over(0);
    struct delivery *given[] = { lost, dead, kept };
    engine_run(given, 3);
    assert_outcome(lost, "not_owner");
    assert_outcome(dead, "not_owner");
    assert_outcome(kept, "applied");
    assert_null(lost->event);
    assert_sql("0", "SELECT level FROM interlock.ticket WHERE id = 7");
    assert_sql("2", "SELECT count(*) FROM interlock.inbox");
    assert_sql("2", "SELECT count(*) FROM interlock.audit_event");
    assert_sql("0", "SELECT count(*) FROM interlock.dead_letter");
}

static void the_right_fence_with_another_token_is_lost(void **state)
{
    (void)state;
    engine_ask("UPDATE interlock.partition_owner SET owner_token = gen_random_uuid() WHERE partition = 0");
    struct delivery *delivery = engine_create(7);
    engine_run_one(delivery);
    assert_outcome(delivery, "not_owner");
    engine_ask("UPDATE interlock.partition_owner SET owner_token = NULL WHERE partition = 0");
    delivery = engine_create(7);
    engine_run_one(delivery);
    assert_outcome(delivery, "not_owner");
    assert_sql("0", "SELECT count(*) FROM interlock.ticket");
}

static void a_partition_without_a_row_is_lost(void **state)
{
    (void)state;
    struct delivery *delivery = engine_create(7);
    engine_ask("DELETE FROM interlock.partition_owner WHERE partition = 0");
    engine_run_one(delivery);
    assert_outcome(delivery, "not_owner");
    assert_sql("0", "SELECT count(*) FROM interlock.ticket");
}

/* Of two equal identities the first stands in a partition that was lost: nobody has applied it, so the second is no
 * duplicate. It waits for a batch without the first one. */
static void a_duplicate_of_a_lost_command_is_not_taken_for_done(void **state)
{
    (void)state;
    struct delivery *lost = engine_create(7);
    struct delivery *second =
        engine_message(1, "ticket/7",
                       "{\"specversion\":\"1.0\",\"id\":\"create-7\",\"source\":\"/test\",\"type\":"
                       "\"ticket.create\",\"data\":{\"ticket_id\":7,\"priority\":\"LOW\"}}");
    engine_take_over(0);
    struct delivery *given[] = { lost, second };
    engine_run(given, 2);
    assert_outcome(lost, "not_owner");
    assert_int_equal(engine.batch->items[1].hold, HOLD_BEHIND);
    engine_run_one(second);
    assert_outcome(second, "applied");
}

/* PROTOCOL O4: while a takeover holds the partition's lock no batch goes on, and when it has let go the batch sees what
 * it wrote. */
static void a_batch_waits_for_a_takeover_and_then_sees_it(void **state)
{
    (void)state;
    engine.settings.database.lock_timeout_us = 100000;
    pipeline_close(engine.pipeline);
    assert_true(pipeline_connect(engine.pipeline, NULL));
    PGconn *other = engine_hold("SELECT pg_advisory_xact_lock(4812404, %d)", (int)engine.partitions[0].partition_id);
    struct delivery *delivery = engine_create(7);
    assert_int_equal(engine_run_as(&delivery, 1, (struct batch_mode){ .waiting = false }), BATCH_AGAIN);
    assert_string_equal(pipeline_failure(engine.pipeline)->sqlstate, "55P03");
    engine_ask_on(other, "UPDATE interlock.partition_owner SET fence = fence + 1 WHERE partition = 0");
    engine_let_go(other);
    engine_run_one(delivery);
    assert_outcome(delivery, "not_owner");
    assert_sql("0", "SELECT count(*) FROM interlock.ticket");
}

static void with_the_fence_off_a_zombie_writes(void **state)
{
    (void)state;
    struct delivery *delivery = engine_create(7);
    engine_take_over(0);
    engine.settings.protections.fence = false;
    engine_run_one(delivery);
    assert_sql("1", "SELECT count(*) FROM interlock.ticket");
}

static void with_the_inbox_off_a_duplicate_is_applied_twice(void **state)
{
    (void)state;
    engine_run_one(engine_create(7));
    engine.settings.protections.inbox = false;
    struct delivery *first = engine_escalate(7, "e-1");
    struct delivery *given[] = { first, engine_duplicate(first) };
    engine_run(given, 2);
    assert_sql("2", "SELECT level FROM interlock.ticket WHERE id = 7");
}

/* PROTOCOL R6: a transaction that only answers from records writes something all the same, so that its COMMIT waits. */
static void a_batch_of_recorded_answers_has_a_commit_of_its_own(void **state)
{
    static const char next_xid[] = "SELECT pg_snapshot_xmax(pg_current_snapshot())";
    (void)state;
    /* Neither has a row to lock, which would make the transaction a writing one. */
    struct delivery *first[] = { engine_escalate(404, "e-1"), engine_message(0, "k", "not json") };
    engine_run(first, 2);
    struct delivery *again[] = { engine_again(first[0]), engine_again(first[1]) };
    const char *before = engine_ask(next_xid);
    engine_run(again, 2);
    assert_string_not_equal(engine_ask(next_xid), before);
    assert_same_event(first[0], again[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(the_same_message_again_answers_with_the_same_bytes),
        ENGINE_TEST(a_duplicate_in_one_batch_is_nobodys_event),
        ENGINE_TEST(a_duplicate_in_a_later_batch_changes_and_publishes_nothing),
        ENGINE_TEST(a_rejected_command_seen_again_is_not_decided_again),
        ENGINE_TEST(another_body_under_a_used_id_is_refused_and_leaves_the_inbox_alone),
        ENGINE_TEST(another_body_in_the_same_batch_is_refused_too),
        ENGINE_TEST(both_users_of_an_id_are_answered_from_their_records),
        ENGINE_TEST(the_same_words_in_another_order_are_the_same_body),
        ENGINE_TEST(equal_numbers_are_the_same_body_however_they_are_written),
        ENGINE_TEST(a_body_recorded_by_its_numbers_as_written_is_known_again),
        ENGINE_TEST(a_recorded_answer_stays_the_answer_when_bodies_are_compared_otherwise),
        ENGINE_TEST(a_rewind_says_what_was_published),
        ENGINE_TEST(a_rewind_of_another_partition_says_nothing),
        ENGINE_TEST(two_commands_that_had_one_position_are_told_apart),
        ENGINE_TEST(an_unreadable_message_becomes_a_dead_letter_once),
        ENGINE_TEST(dead_letters_do_not_touch_their_neighbours),
        ENGINE_TEST(a_lost_partition_has_no_effect_and_the_others_go_on),
        ENGINE_TEST(the_right_fence_with_another_token_is_lost),
        ENGINE_TEST(a_partition_without_a_row_is_lost),
        ENGINE_TEST(a_duplicate_of_a_lost_command_is_not_taken_for_done),
        ENGINE_TEST(a_batch_waits_for_a_takeover_and_then_sees_it),
        ENGINE_TEST(with_the_fence_off_a_zombie_writes),
        ENGINE_TEST(with_the_inbox_off_a_duplicate_is_applied_twice),
        ENGINE_TEST(a_batch_of_recorded_answers_has_a_commit_of_its_own),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
