#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/engine.h"
#include "worker/batch/item.h"

/* PROTOCOL L4, batch by batch: what is parked, what may come back, and what that leaves behind. */

#define FAR_AWAY "\"notbefore\":\"2999-01-01T00:00:00Z\","
#define LONG_AGO "\"notbefore\":\"1999-01-01T00:00:00Z\","
#define BEHIND "\"afterparked\":true,"

static struct delivery *escalation(int arrival, const char *id, const char *more)
{
    char key[32], data[64];
    snprintf(key, sizeof(key), "ticket/%d", arrival);
    snprintf(data, sizeof(data), "{\"ticket_id\":%d}", arrival);
    return engine_command(key, id, "ticket.escalate", more, data);
}

/* The message as the returner publishes it: at a new offset, with the token that PostgreSQL keeps. */
static struct delivery *returned(const struct delivery *first, const char *id)
{
    struct delivery *again = engine_duplicate(first);
    const char *token = engine_ask("SELECT token FROM interlock.parked_command WHERE command_id = '%s'", id);
    again->has_return_token = id_parse_uuid(span_of(token), &again->return_token);
    assert_true(again->has_return_token);
    return again;
}

/* As the time would: the command's own time cannot be changed, so its message is another with the same identity. */
static struct delivery *returned_when_due(int arrival, const char *id, const char *more)
{
    struct delivery *again = escalation(arrival, id, more);
    const char *token = engine_ask("SELECT token FROM interlock.parked_command WHERE command_id = '%s'", id);
    again->has_return_token = id_parse_uuid(span_of(token), &again->return_token);
    return again;
}

static void assert_level(const char *level, int arrival)
{
    assert_sql(level, "SELECT level FROM interlock.ticket WHERE id = %d", arrival);
}

static void an_early_command_is_parked_without_an_event(void **state)
{
    struct delivery *create = engine_create(7), *early = escalation(7, "e-1", FAR_AWAY);
    (void)state;
    struct delivery *both[] = { create, early };
    engine_run(both, 2);
    assert_int_equal(early->answer, ANSWER_NOTHING);
    assert_level("0", 7);
    assert_sql("t", "SELECT parked FROM interlock.inbox WHERE kafka_offset = %lld", (long long)early->offset);
    assert_sql("notbefore ticket/7 f f", "SELECT concat_ws(' ', reason, aggregate, blocks, waits) "
                                         "FROM interlock.parked_command");
    assert_sql("0", "SELECT count(*) FROM interlock.audit_event WHERE command_id = 'e-1'");
    const char *kept = engine_ask("SELECT convert_from(value, 'UTF8') FROM interlock.parked_command");
    assert_int_equal(strlen(kept), early->value.size);
    assert_memory_equal(kept, early->value.at, early->value.size);
}

static void a_time_that_has_passed_parks_nothing(void **state)
{
    struct delivery *both[] = { engine_create(7), escalation(7, "e-1", LONG_AGO) };
    (void)state;
    engine_run(both, 2);
    assert_outcome(both[1], "applied");
    assert_sql("0", "SELECT count(*) FROM interlock.parked_command");
}

static void a_refused_command_is_answered_at_once(void **state)
{
    struct delivery *wrong =
        engine_command("ticket/7", "w-1", "ticket.escalate", FAR_AWAY, "{\"ticket_id\":7,\"level\":-1}");
    (void)state;
    engine_run_one(wrong);
    assert_outcome(wrong, "rejected:invalid_data");
    assert_sql("0", "SELECT count(*) FROM interlock.parked_command");
}

static void a_later_command_passes_unless_it_asks_to_wait(void **state)
{
    struct delivery *all[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY), escalation(7, "e-2", ""),
                               escalation(7, "e-3", BEHIND), escalation(7, "e-4", "") };
    (void)state;
    engine_run(all, 5); /* in the same batch */
    assert_outcome(all[2], "applied");
    assert_int_equal(all[3]->answer, ANSWER_NOTHING);
    assert_outcome(all[4], "applied");
    struct delivery *more[] = { escalation(7, "e-5", BEHIND), escalation(7, "e-6", ""), escalation(8, "e-7", BEHIND) };
    engine_run(more, 3); /* and in a later one */
    assert_int_equal(more[0]->answer, ANSWER_NOTHING);
    assert_outcome(more[1], "applied");
    assert_outcome(more[2], "rejected:not_found");
    assert_level("3", 7);
    assert_sql("e-1 e-3 e-5", "SELECT string_agg(command_id, ' ' ORDER BY place) FROM interlock.parked_command");
    assert_sql("f f f", "SELECT string_agg(left(blocks::text, 1), ' ') FROM interlock.parked_command");
}

static void its_own_position_and_a_duplicate_change_and_publish_nothing(void **state)
{
    struct delivery *both[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY) };
    (void)state;
    engine_run(both, 2);
    struct delivery *others[] = { engine_again(both[1]), engine_duplicate(both[1]) };
    engine_run(others, 2);
    struct delivery *forged = engine_duplicate(both[1]);
    forged->has_return_token = true;
    forged->return_token = (struct id){ 1, 2 };
    engine_run_one(forged);
    for (int i = 0; i < 2; i++)
        assert_int_equal(others[i]->answer, ANSWER_NOTHING);
    assert_int_equal(forged->answer, ANSWER_NOTHING);
    assert_sql("1", "SELECT count(*) FROM interlock.parked_command");
    assert_level("0", 7);
}

static void its_id_with_another_body_is_refused_in_its_batch_and_later(void **state)
{
    static const char other[] = "{\"ticket_id\":7,\"level\":9}";
    struct delivery *all[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY),
                               engine_command("ticket/7", "e-1", "ticket.escalate", "", other) };
    (void)state;
    engine_run(all, 3);
    assert_outcome(all[2], "rejected:id_reused");
    struct delivery *later = engine_command("ticket/7", "e-1", "ticket.escalate", "", other);
    struct delivery *again = engine_again(all[2]);
    engine_run_one(later);
    engine_run_one(again);
    assert_outcome(later, "rejected:id_reused");
    assert_int_equal(again->answer, ANSWER_EVENT); /* as after a crash: the recorded one */
    assert_sql("2", "SELECT count(*) FROM interlock.audit_event WHERE reason = 'id_reused'");
    assert_sql("1", "SELECT count(*) FROM interlock.parked_command");
}

static void a_return_before_its_time_is_nothing(void **state)
{
    struct delivery *both[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY) };
    (void)state;
    engine_run(both, 2);
    struct delivery *back = returned(both[1], "e-1");
    engine_run_one(back);
    assert_int_equal(back->answer, ANSWER_NOTHING);
    assert_sql("1", "SELECT count(*) FROM interlock.parked_command");
    assert_level("0", 7);
}

static void a_return_that_is_due_is_applied_under_its_new_position(void **state)
{
    struct delivery *both[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY) };
    (void)state;
    engine_run(both, 2);
    struct delivery *back = returned_when_due(7, "e-1", LONG_AGO);
    struct delivery *twice = returned_when_due(7, "e-1", LONG_AGO);
    engine_run_one(back);
    assert_outcome(back, "applied");
    assert_level("1", 7);
    assert_sql("0", "SELECT count(*) FROM interlock.parked_command");
    assert_sql("f", "SELECT parked FROM interlock.inbox WHERE kafka_offset = %lld", (long long)back->offset);
    engine_run_one(twice);
    assert_int_equal(twice->answer, ANSWER_NOTHING);
    struct delivery *first_again = engine_again(both[1]), *back_again = engine_again(back);
    engine_run_one(first_again);
    assert_int_equal(first_again->answer, ANSWER_NOTHING);
    engine_run_one(back_again);
    assert_int_equal(back_again->answer, ANSWER_EVENT);
    assert_int_equal(back_again->event_size, back->event_size);
    assert_memory_equal(back_again->event, back->event, back->event_size);
    assert_level("1", 7);
}

static void two_returns_of_one_command_in_a_batch_apply_it_once(void **state)
{
    struct delivery *both[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY) };
    (void)state;
    engine_run(both, 2);
    struct delivery *back[] = { returned_when_due(7, "e-1", LONG_AGO), returned_when_due(7, "e-1", LONG_AGO) };
    engine_run_in_pool(back, 2);
    assert_outcome(back[0], "applied");
    assert_int_equal(back[1]->answer, ANSWER_NOTHING);
    assert_level("1", 7);
}

static void one_that_waits_comes_back_only_behind_what_it_waits_for(void **state)
{
    struct delivery *all[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY), escalation(7, "e-2", BEHIND),
                               escalation(7, "e-3", BEHIND) };
    (void)state;
    engine_run(all, 4);
    struct delivery *alone = returned(all[2], "e-2");
    engine_run_one(alone);
    assert_int_equal(alone->answer, ANSWER_NOTHING);
    assert_level("0", 7);
    /* All in one batch, in order: each lets the next one go. */
    struct delivery *back[] = { returned_when_due(7, "e-1", LONG_AGO), returned(all[2], "e-2"),
                                returned(all[3], "e-3") };
    engine_run(back, 3);
    for (int i = 0; i < 3; i++)
        assert_outcome(back[i], "applied");
    assert_event(back[2], "data.version.to", "4");
    assert_sql("0", "SELECT count(*) FROM interlock.parked_command");
    assert_sql("0", "SELECT count(*) FROM interlock.inbox WHERE parked");
}

static void in_the_wrong_order_the_later_ones_come_again(void **state)
{
    struct delivery *all[] = { engine_create(7), escalation(7, "e-1", FAR_AWAY), escalation(7, "e-2", BEHIND) };
    (void)state;
    engine_run(all, 3);
    struct delivery *back[] = { returned(all[2], "e-2"), returned_when_due(7, "e-1", LONG_AGO) };
    engine_run(back, 2);
    assert_int_equal(back[0]->answer, ANSWER_NOTHING);
    assert_outcome(back[1], "applied");
    struct delivery *again = returned(all[2], "e-2");
    engine_run_one(again);
    assert_outcome(again, "applied");
}

static void a_held_command_is_parked_and_passed_by_nobody(void **state)
{
    struct delivery *create = engine_create(7), *held = escalation(7, "e-1", "");
    (void)state;
    engine_run_one(create);
    PGconn *other = engine_hold("SELECT id FROM interlock.ticket WHERE id = 7 FOR UPDATE");
    assert_int_equal(engine_run_as(&held, 1, (struct batch_mode){ .park = true }), BATCH_DONE);
    assert_int_equal(held->answer, ANSWER_NOTHING);
    engine_let_go(other); /* its locks are gone by then */
    struct delivery *behind = escalation(7, "e-2", ""), *elsewhere = escalation(8, "e-3", "");
    struct delivery *later[] = { behind, elsewhere };
    engine_run(later, 2);
    assert_int_equal(behind->answer, ANSWER_NOTHING);
    assert_outcome(elsewhere, "rejected:not_found");
    assert_sql("held t, behind t", "SELECT string_agg(reason || ' ' || left(blocks::text, 1), ', ' ORDER BY place) "
                                   "FROM interlock.parked_command");
    struct delivery *back[] = { returned(held, "e-1"), returned(behind, "e-2") };
    engine_run(back, 2);
    assert_outcome(back[0], "applied");
    assert_outcome(back[1], "applied");
    assert_level("2", 7);
}

static void a_held_command_blocks_in_its_own_partition_only(void **state)
{
    struct delivery *create = engine_create(7), *held = escalation(7, "e-1", "");
    (void)state;
    engine_run_one(create);
    assert_int_equal(engine_run_as(&held, 1, (struct batch_mode){ .park = true }), BATCH_DONE);
    struct delivery *elsewhere = engine_message(1, "x",
                                                "{\"specversion\":\"1.0\",\"id\":\"e-2\",\"source\":\"/"
                                                "test\",\"type\":\"ticket.escalate\",\"data\":{\"ticket_id\":7}}");
    struct delivery *asks = engine_message(1, "x",
                                           "{\"specversion\":\"1.0\",\"id\":\"e-3\",\"source\":\"/"
                                           "test\",\"type\":\"ticket.escalate\",\"afterparked\":true,"
                                           "\"data\":{\"ticket_id\":7}}");
    struct delivery *both[] = { elsewhere, asks };
    engine_run(both, 2);
    assert_outcome(elsewhere, "applied");
    assert_int_equal(asks->answer, ANSWER_NOTHING);
    struct delivery *too_soon = returned(asks, "e-3");
    engine_run_one(too_soon);
    assert_int_equal(too_soon->answer, ANSWER_NOTHING); /* afterparked waits for any partition's */
    struct delivery *back[] = { returned(held, "e-1"), returned(asks, "e-3") };
    engine_run(back, 2);
    assert_outcome(back[0], "applied");
    assert_outcome(back[1], "applied");
}

static void one_that_is_parked_again_keeps_its_place(void **state)
{
    struct delivery *create = engine_create(7), *held = escalation(7, "e-1", "");
    (void)state;
    engine_run_one(create);
    assert_int_equal(engine_run_as(&held, 1, (struct batch_mode){ .park = true }), BATCH_DONE);
    struct delivery *behind = escalation(7, "e-2", "");
    engine_run_one(behind);
    struct delivery *back = returned(held, "e-1");
    assert_int_equal(engine_run_as(&back, 1, (struct batch_mode){ .park = true }), BATCH_DONE);
    assert_int_equal(back->answer, ANSWER_NOTHING);
    assert_sql("e-1 2, e-2 1", "SELECT string_agg(command_id || ' ' || parkings, ', ' ORDER BY place) "
                               "FROM interlock.parked_command");
    assert_sql("t", "SELECT due_at > now() FROM interlock.parked_command WHERE command_id = 'e-1'");
}

static PGconn *hold_ticket(int arrival)
{
    PGconn *other = engine_hold("SELECT id FROM interlock.ticket WHERE id = %d FOR UPDATE", arrival);
    return other;
}

static void a_return_that_is_busy_again_is_parked_again_at_once(void **state)
{
    struct delivery *create = engine_create(7), *held = escalation(7, "e-1", ""), *behind = escalation(7, "e-2", "");
    (void)state;
    engine_run_one(create);
    assert_int_equal(engine_run_as(&held, 1, (struct batch_mode){ .park = true }), BATCH_DONE);
    engine_run_one(behind);
    PGconn *other = hold_ticket(7);
    struct delivery *late = escalation(7, "e-3", "");
    struct delivery *back[] = { returned(held, "e-1"), returned(behind, "e-2"), late };
    engine_run(back, 3); /* in no mode of its own */
    for (int i = 0; i < 3; i++)
        assert_int_equal(back[i]->answer, ANSWER_NOTHING);
    engine_let_go(other); /* its locks are gone by then */
    assert_sql("e-1 held 2, e-2 behind 1, e-3 behind 1",
               "SELECT string_agg(concat_ws(' ', command_id, reason, parkings), ', ' ORDER BY place) "
               "FROM interlock.parked_command");
    assert_sql("t", "SELECT due_at > now() + interval '5 s' AND returned_at IS NULL FROM interlock.parked_command "
                    "WHERE command_id = 'e-1'");
    struct delivery *again[] = { returned(held, "e-1"), returned(behind, "e-2"), returned(late, "e-3") };
    engine_run(again, 3);
    for (int i = 0; i < 3; i++)
        assert_outcome(again[i], "applied");
    assert_level("3", 7);
}

static void a_copy_of_a_return_that_another_decides_is_nothing(void **state)
{
    struct delivery *create = engine_create(7), *held = escalation(7, "e-1", "");
    (void)state;
    engine_run_one(create);
    assert_int_equal(engine_run_as(&held, 1, (struct batch_mode){ .park = true }), BATCH_DONE);
    PGconn *other = engine_hold("SELECT identity FROM interlock.parked_command FOR UPDATE");
    struct delivery *back = returned(held, "e-1");
    engine_run_one(back);
    assert_int_equal(engine.batch->items[0].hold, HOLD_BUSY); /* it may be for a moment */
    back->attempts = 1;
    engine_run_one(back);
    assert_int_equal(engine.batch->items[0].hold, HOLD_NOT);
    assert_int_equal(back->answer, ANSWER_NOTHING);
    engine_let_go(other); /* its locks are gone by then */
    assert_sql("1", "SELECT count(*) FROM interlock.parked_command");
    struct delivery *twice[] = { returned(held, "e-1"), returned(held, "e-1") };
    engine_run(twice, 2);
    assert_outcome(twice[0], "applied");
    assert_int_equal(twice[1]->answer, ANSWER_NOTHING);
    assert_level("1", 7);
}

static void a_return_that_is_refused_for_good_leaves_no_parked_row(void **state)
{
    struct delivery *both[] = { engine_create(7), engine_command("ticket/7", "t-1", "ticket.transition", FAR_AWAY,
                                                                 "{\"ticket_id\":7,\"status\":\"CLOSED\"}") };
    (void)state;
    engine_run(both, 2);
    struct delivery *back =
        engine_command("ticket/7", "t-1", "ticket.transition", LONG_AGO, "{\"ticket_id\":7,\"status\":\"CLOSED\"}");
    const char *token = engine_ask("SELECT token FROM interlock.parked_command");
    back->has_return_token = id_parse_uuid(span_of(token), &back->return_token);
    engine_run_one(back);
    assert_outcome(back, "rejected:invalid_transition");
    assert_sql("0", "SELECT count(*) FROM interlock.parked_command");
}

static void a_command_that_creates_under_a_drawn_id_waits_for_its_time_only(void **state)
{
    struct delivery *early = engine_command("x", "c-1", "ticket.create", FAR_AWAY BEHIND, "{\"priority\":\"LOW\"}");
    (void)state;
    engine_run_one(early);
    assert_int_equal(early->answer, ANSWER_NOTHING);
    assert_sql("t", "SELECT aggregate IS NULL FROM interlock.parked_command");
    struct delivery *back = engine_command("x", "c-1", "ticket.create", LONG_AGO BEHIND, "{\"priority\":\"LOW\"}");
    const char *token = engine_ask("SELECT token FROM interlock.parked_command");
    back->has_return_token = id_parse_uuid(span_of(token), &back->return_token);
    engine_run_one(back);
    assert_outcome(back, "applied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(an_early_command_is_parked_without_an_event),
        ENGINE_TEST(a_time_that_has_passed_parks_nothing),
        ENGINE_TEST(a_refused_command_is_answered_at_once),
        ENGINE_TEST(a_later_command_passes_unless_it_asks_to_wait),
        ENGINE_TEST(its_own_position_and_a_duplicate_change_and_publish_nothing),
        ENGINE_TEST(its_id_with_another_body_is_refused_in_its_batch_and_later),
        ENGINE_TEST(a_return_before_its_time_is_nothing),
        ENGINE_TEST(a_return_that_is_due_is_applied_under_its_new_position),
        ENGINE_TEST(two_returns_of_one_command_in_a_batch_apply_it_once),
        ENGINE_TEST(one_that_waits_comes_back_only_behind_what_it_waits_for),
        ENGINE_TEST(in_the_wrong_order_the_later_ones_come_again),
        ENGINE_TEST(a_held_command_is_parked_and_passed_by_nobody),
        ENGINE_TEST(a_held_command_blocks_in_its_own_partition_only),
        ENGINE_TEST(one_that_is_parked_again_keeps_its_place),
        ENGINE_TEST(a_return_that_is_busy_again_is_parked_again_at_once),
        ENGINE_TEST(a_copy_of_a_return_that_another_decides_is_nothing),
        ENGINE_TEST(a_return_that_is_refused_for_good_leaves_no_parked_row),
        ENGINE_TEST(a_command_that_creates_under_a_drawn_id_waits_for_its_time_only),
    };

    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
