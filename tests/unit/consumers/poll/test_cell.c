/* fake: cell */
#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/poll/cell.h"
#include "tests/fakes/cell.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

/* The life of a poll thread: joining, reading, back-pressure, leaving. Everything around it is scripted. */

enum
{
    SECOND_US = 1000000,
    BOUND_US = 20 * SECOND_US, /* a test that waits longer has failed */
    COMMANDS_MAX = 100,
    BYTES_MAX = 10000,
};

static struct settings settings;
static struct cell *cell;

static int set_up(void **state)
{
    static char group[] = "group";
    (void)state;
    memset(&settings, 0, sizeof(settings));
    settings.kafka.group = group;
    settings.consumers.in_flight_commands = COMMANDS_MAX;
    settings.consumers.in_flight_bytes = BYTES_MAX;
    settings.consumers.drain_timeout_us = BOUND_US;
    fake_cell_begin();
    return 0;
}

static void end_cell(void)
{
    if (cell == NULL)
        return;
    cell_stop(cell, monotonic_us());
    cell_free(cell);
    cell = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    end_cell();
    fake_cell_end();
    return 0;
}

static void begin(void)
{
    const char *why = "";
    cell = cell_new(&settings, 0, NULL, &why);
    assert_non_null(cell);
    assert_true(cell_start(cell, &why));
}

static void begin_well(void)
{
    begin();
    fake_cell_await_log("open 3.0; ");
}

/* Under the mutex of the fake, and whoever waits looks again. */
#define SET(member, value) \
    do \
    { \
        pthread_mutex_lock(&fake_cell.mutex); \
        fake_cell.member = (value); \
        pthread_cond_broadcast(&fake_cell.changed); \
        pthread_mutex_unlock(&fake_cell.mutex); \
        fake_cell.wake(fake_cell.wake_owner, true); \
    } while (0)

static void await_why(const char *expected)
{
    char why[320] = "";
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_cell.mutex);
    for (bool ready = true; monotonic_us() < until_us; fake_cell_wait(monotonic_us() + 10000))
    {
        pthread_mutex_unlock(&fake_cell.mutex);
        ready = cell_ready(cell, why, sizeof(why));
        pthread_mutex_lock(&fake_cell.mutex);
        if (strcmp(ready ? "" : why, expected) == 0)
            break;
    }
    pthread_mutex_unlock(&fake_cell.mutex);
    assert_string_equal(cell_ready(cell, why, sizeof(why)) ? "" : why, expected);
}

static void await_stopped(void)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_cell.mutex);
    while (!cell_is_stopped(cell) && monotonic_us() < until_us)
        fake_cell_wait(monotonic_us() + 10000);
    pthread_mutex_unlock(&fake_cell.mutex);
    assert_true(cell_is_stopped(cell));
}

/* --- joining ----------------------------------------------------------------------------------------------------- */

static void without_a_slot_it_does_not_join(void **state)
{
    (void)state;
    fake_cell.slot_held = false;
    begin();
    await_why("waiting for PostgreSQL: no slot of the consumer group is held yet");
    assert_string_equal(fake_cell.log, "");
    SET(slot_held, true);
    fake_cell_await_log("open 3.0; ");
    await_why("");
    assert_true(cell_is_alive(cell));
}

static void a_consumer_that_cannot_be_made_is_tried_again(void **state)
{
    (void)state;
    fake_cell.refusal = "there is no topic commands";
    begin();
    await_why("waiting: there is no topic commands");
    await_why("waiting for 1 s: there is no topic commands");
    SET(refusal, NULL);
    fake_cell_await_log("refused; open 3.0; ");
    await_why("");
}

/* Two starts of one slot must not take each other's locks for their own. */
static void each_start_has_a_lock_owner_of_its_own(void **state)
{
    char first[300];
    (void)state;
    begin_well();
    snprintf(first, sizeof(first), "%s", fake_cell.lock_owner);
    assert_int_equal(strncmp(first, "group/3/", 8), 0);
    end_cell();
    begin();
    assert_string_not_equal(fake_cell.lock_owner, first);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void messages_go_to_the_lanes_in_the_order_they_were_read(void **state)
{
    (void)state;
    fake_cell_message(0, 5);
    fake_cell_message(0, 6);
    fake_cell_message(1, 70);
    fake_cell_message(0, 9);
    begin();
    fake_cell_await_log("open 3.0; submit 0/5#0 0/6#1 1/70#0 0/9#2; ");
    fake_cell_message(1, 71);
    fake_cell_await_log("open 3.0; submit 0/5#0 0/6#1 1/70#0 0/9#2; submit 1/71#1; ");
    for (int i = 0; i < FAKE_CELL_PARTITIONS; i++)
    {
        assert_int_equal(atomic_load(&fake_cell.owned[i]->shared.in_flight), 0);
        assert_int_equal(atomic_load(&fake_cell.owned[i]->references), 1);
    }
}

static void a_message_of_a_former_assignment_is_left_out(void **state)
{
    (void)state;
    fake_cell_message(FAKE_CELL_PARTITIONS, 5);
    fake_cell_message(1, 7);
    begin();
    fake_cell_await_log("open 3.0; submit 1/7#0; ");
}

/* PROTOCOL O5: the topic was created again under us. */
static void an_offset_that_is_behind_us_ends_the_partition(void **state)
{
    (void)state;
    fake_cell.owned[1]->start_offset = 50;
    fake_cell_message(0, 5);
    fake_cell_message(0, 5);
    begin();
    fake_cell_await_log("open 3.0; end 0 forget; submit 0/5#0; ");
    fake_cell_message(1, 49);
    fake_cell_await_log("open 3.0; end 0 forget; submit 0/5#0; end 1 forget; ");
}

static void an_offset_out_of_range_ends_the_partition(void **state)
{
    (void)state;
    fake_cell_error(RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, 1);
    begin();
    fake_cell_await_log("open 3.0; end 1 forget; ");
    fake_cell_error(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, 0);
    fake_cell_error(RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, FAKE_CELL_PARTITIONS); /* of nobody */
    fake_cell_await_log("open 3.0; end 1 forget; end 0 forget; ");
    fake_cell_await_polls();
    await_why("");
}

static void any_other_error_is_told_until_a_message_comes(void **state)
{
    (void)state;
    begin_well();
    fake_cell_error(RD_KAFKA_RESP_ERR__TRANSPORT, 0);
    await_why("consumer: Local: Broker transport failure");
    fake_cell_message(0, 5);
    await_why("");
    assert_string_equal(fake_cell.log, "open 3.0; submit 0/5#0; ");
}

/* --- another consumer -------------------------------------------------------------------------------------------- */

static void a_fatal_error_replaces_the_consumer_and_everything_it_had_is_lost(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ 5, 50 })); /* which is not waited for */
    fake_cell_error(RD_KAFKA_RESP_ERR__FATAL, 0);
    fake_cell_await_log("open 3.0; leave lost; quit; close; open 3.0; ");
}

/* Another process has our slot's ids now (PROTOCOL O1). */
static void another_number_replaces_the_consumer(void **state)
{
    (void)state;
    begin_well();
    SET(slot_held, false); /* lost for a moment: the ids may stay */
    fake_cell_await_polls();
    SET(slot_number, 8);
    fake_cell_await_polls();
    assert_string_equal(fake_cell.log, "open 3.0; ");
    SET(slot_held, true);
    fake_cell_await_log("open 3.0; leave; quit; close; open 8.0; ");
}

static void the_watchdog_replaces_the_consumer_after_a_rest(void **state)
{
    (void)state;
    begin_well();
    SET(rest_us, INT64_MAX / 2);
    SET(rebuild, true);
    fake_cell_await_log("open 3.0; leave; quit; close; ");
    await_why("waiting: the group forgets this member before it joins again");
}

/* It must find the handle there when it comes back. */
static void a_consumer_that_a_stuck_publisher_uses_is_left_behind(void **state)
{
    (void)state;
    begin_well();
    SET(publisher_is_stuck, true);
    SET(slot_number, 8);
    fake_cell_await_log("open 3.0; leave; quit; open 8.0; ");
}

static void a_silent_kafka_is_told_until_it_answers(void **state)
{
    (void)state;
    begin_well();
    SET(reach, REACH_SILENT);
    await_why("Kafka: no broker answers");
    SET(reach, REACH_BACK);
    await_why("");
}

/* --- back-pressure (PROTOCOL L3) --------------------------------------------------------------------------------- */

static void a_full_cell_is_paused_after_a_moment_and_resumed_at_half(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ COMMANDS_MAX, 10 }));
    int64_t begun_us = monotonic_us();
    fake_cell_await_log("open 3.0; pause; ");
    assert_true(monotonic_us() - begun_us >= 400000);
    fake_cell_await_polls(); /* polls go on, which serve the group */
    SET(pressure, ((struct pressure){ COMMANDS_MAX / 2 + 1, 10 }));
    fake_cell_await_polls();
    assert_string_equal(fake_cell.log, "open 3.0; pause; ");
    SET(pressure, ((struct pressure){ COMMANDS_MAX / 2, 10 }));
    fake_cell_await_log("open 3.0; pause; resume; ");
}

static void await_looks(int more)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_cell.mutex);
    int before = fake_cell.looks;
    while (fake_cell.looks < before + more && fake_cell_wait(until_us))
        continue;
    bool seen = fake_cell.looks >= before + more;
    pthread_mutex_unlock(&fake_cell.mutex);
    assert_true(seen);
}

/* A pause throws away messages that were fetched ahead. */
static void a_cell_that_is_full_for_a_moment_only_waits(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ 1, BYTES_MAX }));
    await_looks(2); /* the round before may still have polled */
    pthread_mutex_lock(&fake_cell.mutex);
    int polls = fake_cell.polls;
    pthread_mutex_unlock(&fake_cell.mutex);
    await_looks(3);
    pthread_mutex_lock(&fake_cell.mutex);
    bool paused = strstr(fake_cell.log, "pause") != NULL; /* on a machine so slow that the moment is over */
    bool polled = fake_cell.polls != polls;
    pthread_mutex_unlock(&fake_cell.mutex);
    assert_true(paused || !polled);
    SET(pressure, ((struct pressure){ 0, 0 }));
    fake_cell_await_polls();
    assert_true(paused || strcmp(fake_cell.log, "open 3.0; ") == 0);
}

static void a_round_takes_no_more_than_there_is_room_for(void **state)
{
    (void)state;
    fake_cell.pressure.commands = COMMANDS_MAX - 2;
    for (int offset = 0; offset < 3; offset++)
        fake_cell_message(0, offset);
    begin();
    fake_cell_await_log("open 3.0; submit 0/0#0 0/1#1; submit 0/2#2; ");
}

/* Events that wait may be many times what was received. */
static void past_twice_the_bytes_the_largest_partition_is_given_up(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ 1, 2 * BYTES_MAX }));
    fake_cell_await_log("open 3.0; pause; ");
    SET(pressure, ((struct pressure){ 1, 2 * BYTES_MAX + 1 }));
    int64_t until_us = monotonic_us() + BOUND_US;
    pthread_mutex_lock(&fake_cell.mutex);
    while (strstr(fake_cell.log, "revoke; ") == NULL && fake_cell_wait(until_us))
        continue;
    fake_cell.pressure = (struct pressure){ 0, 0 };
    pthread_mutex_unlock(&fake_cell.mutex);
    assert_non_null(strstr(fake_cell.log, "open 3.0; pause; end 1; revoke; "));
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void a_quiet_cell_takes_no_more_and_goes_on_polling(void **state)
{
    (void)state;
    begin_well();
    cell_quiet(cell);
    fake_cell_await_log("open 3.0; pause; ");
    fake_cell_await_polls();
    await_why("it takes no more commands");
}

static void a_stop_waits_for_deliveries_in_flight_and_leaves(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ 1, 10 }));
    cell_stop(cell, monotonic_us() + BOUND_US);
    await_why("it takes no more commands");
    assert_false(cell_is_stopped(cell));
    assert_string_equal(fake_cell.log, "open 3.0; ");
    SET(pressure, ((struct pressure){ 0, 0 }));
    await_stopped();
    assert_string_equal(fake_cell.log, "open 3.0; leave; quit; close; ");
    assert_int_equal(cell_left(cell), 0);
}

static void at_the_deadline_the_rest_is_counted(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ 4, 40 }));
    SET(left, 4);
    cell_stop(cell, monotonic_us() + 20000);
    await_stopped();
    assert_int_equal(cell_left(cell), 4);
}

/* Held commands do not hold up the end. */
static void without_postgresql_nothing_is_waited_for(void **state)
{
    (void)state;
    begin_well();
    SET(pressure, ((struct pressure){ 4, 40 }));
    SET(lanes_problem, "PostgreSQL does not answer");
    cell_stop(cell, monotonic_us() + INT64_C(10) * BOUND_US);
    await_stopped();
    assert_string_equal(fake_cell.log, "open 3.0; leave; quit; close; ");
}

static void a_stop_before_it_has_joined_ends_it_at_once(void **state)
{
    (void)state;
    fake_cell.slot_held = false;
    begin();
    await_why("waiting for PostgreSQL: no slot of the consumer group is held yet");
    cell_stop(cell, monotonic_us() + BOUND_US);
    await_stopped();
    assert_string_equal(fake_cell.log, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_a_slot_it_does_not_join),
        TEST(a_consumer_that_cannot_be_made_is_tried_again),
        TEST(each_start_has_a_lock_owner_of_its_own),
        TEST(messages_go_to_the_lanes_in_the_order_they_were_read),
        TEST(a_message_of_a_former_assignment_is_left_out),
        TEST(an_offset_that_is_behind_us_ends_the_partition),
        TEST(an_offset_out_of_range_ends_the_partition),
        TEST(any_other_error_is_told_until_a_message_comes),
        TEST(a_fatal_error_replaces_the_consumer_and_everything_it_had_is_lost),
        TEST(another_number_replaces_the_consumer),
        TEST(the_watchdog_replaces_the_consumer_after_a_rest),
        TEST(a_consumer_that_a_stuck_publisher_uses_is_left_behind),
        TEST(a_silent_kafka_is_told_until_it_answers),
        TEST(a_full_cell_is_paused_after_a_moment_and_resumed_at_half),
        TEST(a_cell_that_is_full_for_a_moment_only_waits),
        TEST(a_round_takes_no_more_than_there_is_room_for),
        TEST(past_twice_the_bytes_the_largest_partition_is_given_up),
        TEST(a_quiet_cell_takes_no_more_and_goes_on_polling),
        TEST(a_stop_waits_for_deliveries_in_flight_and_leaves),
        TEST(at_the_deadline_the_rest_is_counted),
        TEST(without_postgresql_nothing_is_waited_for),
        TEST(a_stop_before_it_has_joined_ends_it_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
