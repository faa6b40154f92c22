/* fake: session */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/partition/arrears.h"
#include "consumers/takeover/partition_owner.h"
#include "tests/fakes/session.h"
#include "worker/settings/settings.h"

/* PROTOCOL O2, O3: one transaction makes a partition ours, and what is known of it then. */

#define SCHEMA "e1c4a8d2-0000-4000-8000-000000000001"

#define FIND "interlock.partition_owner WHERE topic"
#define LOCK "pg_advisory_xact_lock"
#define FENCE "fence = o.fence + 1"
#define FORGET "DELETE FROM interlock.crash_suspect"
#define CLAIM "INSERT INTO interlock.partition_published"

/* The statements up to the lock. */
#define BEGINS \
    SESSION_TELLS(FIND, "11|" SCHEMA), SESSION_DOES("BEGIN"), SESSION_TELLS("set_config('lock_timeout', '5s'", "5s")
#define LOCKS SESSION_TELLS(LOCK, "")
/* Fence, crashes, a quarantined command, published before schema/0017, the topic's fence, its former id. */
#define RAISES(answer) SESSION_TELLS(FENCE, answer)
/* published and where its events are; no pause is in force. */
#define PUBLISHED(answer) SESSION_TELLS(CLAIM, answer)

enum
{
    SECOND_US = 1000000,
};

static struct settings settings;
static struct partition_owner *owners;
static struct owned_partition *owned;
static const struct session_stop stop = { .fd = -1 };

static int set_up(void **state)
{
    static char topic[] = "audit";
    (void)state;
    memset(&settings, 0, sizeof(settings));
    settings.kafka.audit_topic = topic;
    settings.kafka.exactly_once = settings.protections.commit_marks = true;
    owners = partition_owner_new(&settings);
    owned = owned_new("commands", 3, 1);
    return owners && owned ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    owned_release(owned, 1);
    partition_owner_free(owners);
    fake_session_end();
    return 0;
}

/* The commit of a former owner of ours, under fence 4. */
static struct commitment ours_at(int64_t offset)
{
    return (struct commitment){ .offset = offset, .metadata = SPAN_LITERAL(SCHEMA ":4") };
}

static enum partition_owner_result take(struct commitment committed, const struct session_row *rows)
{
    fake_session_play(rows);
    return partition_owner_take(owners, owned, &committed, &stop);
}

static void take_well(void)
{
    static const struct session_row rows[] = {
        SESSION_CONNECTS,       BEGINS,     LOCKS, RAISES("5|0|0|0|0|"), SESSION_DOES(FORGET), PUBLISHED("42||0|f"),
        SESSION_DOES("COMMIT"), SESSION_END
    };
    assert_int_equal(take(ours_at(42), rows), PARTITION_OWNER_TAKEN);
}

static void assert_again(struct commitment committed, const struct session_row *rows, const char *problem)
{
    assert_int_equal(take(committed, rows), PARTITION_OWNER_AGAIN);
    assert_string_equal(partition_owner_problem(owners), problem);
    assert_null(owned->publisher.arrears);
}

/* --- taking it --------------------------------------------------------------------------------------------------- */

static void a_partition_is_ours_under_the_next_fence_and_begins_at_our_commit(void **state)
{
    (void)state;
    take_well();
    assert_int_equal(owned->partition.partition_id, 11);
    assert_int_equal(owned->partition.fence, 5);
    assert_string_equal(owned->publisher.mark, SCHEMA ":5");
    assert_int_equal(owned->start_offset, 42);
    assert_int_equal(owned->publisher.published_known, 42);
    assert_int_equal(owned->publisher.published_reached, 42);
    assert_int_equal(owned->partition.solo_until_us, 0);
    assert_false(owned->partition.quarantined);
    assert_null(owned->publisher.arrears);
}

/* Under a lock nobody can tell who held it: the row is there, and committed, before. */
static void a_partition_that_was_never_owned_gets_its_row_first(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS,
                                               SESSION_TELLS(FIND, ""),
                                               SESSION_DOES("INSERT INTO interlock.partition_owner"),
                                               BEGINS,
                                               LOCKS,
                                               RAISES("1|0|0|0|0|"),
                                               SESSION_DOES(FORGET),
                                               PUBLISHED("0||0|f"),
                                               SESSION_DOES("COMMIT"),
                                               SESSION_END };
    (void)state;
    assert_int_equal(take((struct commitment){ .offset = OFFSET_NONE }, rows), PARTITION_OWNER_IN_ARREARS);
    assert_int_equal(owned->partition.fence, 1);
    assert_int_equal(owned->start_offset, OFFSET_NONE);
}

/* The first half of a token names the process, so that a cut-off owner is told from a crashed one. */
static void each_takeover_has_a_token_of_its_own_and_one_process_one_first_half(void **state)
{
    static const struct session_row rows[] = {
        BEGINS,     LOCKS, RAISES("6|0|0|0|0|"), SESSION_DOES(FORGET), PUBLISHED("42||0|f"), SESSION_DOES("COMMIT"),
        SESSION_END
    };
    uint8_t before[16];
    (void)state;
    take_well();
    memcpy(before, owned->partition.token, sizeof(before));
    assert_int_equal(take(ours_at(42), rows), PARTITION_OWNER_TAKEN); /* the session stands by now */
    assert_memory_equal(owned->partition.token, before, 8);
    assert_memory_not_equal(owned->partition.token + 8, before + 8, 8);
}

static void a_takeover_that_was_rolled_back_does_not_count(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS,
                                               BEGINS,
                                               LOCKS,
                                               RAISES("5|0|0|0|0|"),
                                               SESSION_DOES(FORGET),
                                               PUBLISHED("42||0|f"),
                                               { .sql = "COMMIT", .tag = "ROLLBACK" },
                                               SESSION_END };
    (void)state;
    assert_again(ours_at(42), rows, "the takeover was rolled back");
}

static void a_session_that_is_lost_half_way_leaves_nothing(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, BEGINS, LOCKS, SESSION_LOSES(FENCE), SESSION_END };
    static const struct session_row refused[] = { { .sql = "connect", .lost = true, .problem = "nobody is there" },
                                                  SESSION_END };
    (void)state;
    assert_again(ours_at(42), rows, "the server closed the session");
    assert_again(ours_at(42), refused, "nobody is there");
    take_well();
}

static void an_older_schema_says_what_to_do(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS,
                                               BEGINS,
                                               LOCKS,
                                               RAISES("5|0|0|0|0|"),
                                               SESSION_DOES(FORGET),
                                               SESSION_REFUSES(CLAIM, "42P01", "relation does not exist"),
                                               SESSION_END };
    (void)state;
    assert_again(ours_at(42), rows,
                 "relation does not exist: the schema is behind this program, run `interlock migrate up`");
}

/* --- the lock ---------------------------------------------------------------------------------------------------- */

#define LOCK_TIMES_OUT \
    SESSION_REFUSES(LOCK, "55P03", "canceling statement due to lock timeout"), SESSION_DOES("ROLLBACK")
#define ENDS_HOLDERS SESSION_TELLS("pg_terminate_backend", "t")
#define NOBODY_ELSE SESSION_TELLS("pg_locks", "|") /* a row without a text */

static void whoever_holds_the_lock_for_too_long_is_ended_and_it_is_tried_again(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS,
                                               BEGINS,
                                               LOCK_TIMES_OUT,
                                               ENDS_HOLDERS,
                                               NOBODY_ELSE,
                                               SESSION_DOES("BEGIN"),
                                               SESSION_TELLS("set_config", "5s"),
                                               LOCKS,
                                               RAISES("5|0|0|0|0|"),
                                               SESSION_DOES(FORGET),
                                               PUBLISHED("42||0|f"),
                                               SESSION_DOES("COMMIT"),
                                               SESSION_END };
    (void)state;
    assert_int_equal(take(ours_at(42), rows), PARTITION_OWNER_TAKEN);
}

static void strangers_who_hold_the_lock_are_named(void **state)
{
    static const struct session_row rows[] = {
        SESSION_CONNECTS, BEGINS, LOCK_TIMES_OUT, ENDS_HOLDERS, SESSION_TELLS("pg_locks", "role auditor (pid 7)"),
        SESSION_END
    };
    (void)state;
    assert_again(ours_at(42), rows,
                 "the partition's lock is held in PostgreSQL by role auditor (pid 7): end that session, or take its "
                 "right to advisory locks away (schema/roles.sql)");
}

/* Another takeover of the same partition, again and again. */
static void a_lock_that_is_never_had_is_left_to_the_next_round(void **state)
{
#define TRIES SESSION_DOES("BEGIN"), SESSION_TELLS("set_config", "5s"), LOCK_TIMES_OUT, ENDS_HOLDERS, NOBODY_ELSE
    static const struct session_row rows[] = { SESSION_CONNECTS, SESSION_TELLS(FIND, "11|" SCHEMA), TRIES, TRIES, TRIES,
                                               SESSION_END };
    (void)state;
    assert_again(ours_at(42), rows, "partition commands/3 is held by another takeover");
}

static void any_other_failure_of_the_lock_ends_the_takeover(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS, BEGINS, SESSION_REFUSES(LOCK, "57014", "canceling"),
                                               SESSION_END };
    (void)state;
    assert_again(ours_at(42), rows, "canceling");
}

/* --- what was published (PROTOCOL R1) ---------------------------------------------------------------------------- */

/* `answer`: what partition_published has after it was raised to the commit. */
static enum partition_owner_result take_published(struct commitment committed, const char *answer)
{
    const struct session_row rows[] = {
        SESSION_CONNECTS,       BEGINS,     LOCKS, RAISES("5|0|0|0|0|"), SESSION_DOES(FORGET), PUBLISHED(answer),
        SESSION_DOES("COMMIT"), SESSION_END
    };
    return take(committed, rows);
}

static void a_commit_behind_what_is_published_is_looked_into(void **state)
{
    (void)state;
    assert_int_equal(take_published(ours_at(42), "50||0|f"), PARTITION_OWNER_IN_ARREARS);
    assert_int_equal(owned->start_offset, 42);
    assert_int_equal(owned->publisher.arrears->published, 50);
}

static void a_commit_of_somebody_else_says_nothing_of_what_is_published(void **state)
{
    struct commitment foreign = { .offset = 42 };
    (void)state;
    assert_int_equal(take_published(foreign, "17||0|f"), PARTITION_OWNER_IN_ARREARS);
    assert_string_equal(fake_session_value(3), "0"); /* nothing is raised by it */
    assert_int_equal(owned->start_offset, 42);
    assert_int_equal(owned->publisher.arrears->published, 17);
}

static void with_marks_off_every_commit_counts_as_ours(void **state)
{
    struct commitment foreign = { .offset = 42 };
    (void)state;
    settings.protections.commit_marks = false;
    assert_int_equal(take_published(foreign, "42||0|f"), PARTITION_OWNER_TAKEN);
}

static void at_least_once_a_commit_is_never_the_whole_truth(void **state)
{
    (void)state;
    settings.kafka.exactly_once = false;
    assert_int_equal(take_published(ours_at(42), "42||0|f"), PARTITION_OWNER_IN_ARREARS);
}

static void an_offset_without_messages_says_what_was_published_and_not_where_to_begin(void **state)
{
    struct commitment lost = ours_at(42);
    (void)state;
    lost.is_lost = true;
    assert_int_equal(take_published(lost, "42||0|f"), PARTITION_OWNER_IN_ARREARS);
    assert_string_equal(fake_session_value(3), "42");
    assert_int_equal(owned->start_offset, OFFSET_NONE);
}

/* A worker of before schema/0017 kept it in the row of the owner. */
static void published_offsets_that_an_older_worker_kept_count(void **state)
{
    static const struct session_row rows[] = {
        SESSION_CONNECTS,       BEGINS,     LOCKS, RAISES("5|0|0|40|0|"), SESSION_DOES(FORGET), PUBLISHED("40||0|f"),
        SESSION_DOES("COMMIT"), SESSION_END
    };
    struct commitment foreign = { .offset = 7 };
    (void)state;
    assert_int_equal(take(foreign, rows), PARTITION_OWNER_IN_ARREARS);
    assert_string_equal(fake_session_value(3), "40");
}

/* PROTOCOL O5: the commit is of the topic that had this name before. */
static void a_commit_of_a_former_topic_is_no_place_to_begin(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS,
                                               BEGINS,
                                               LOCKS,
                                               RAISES("5|0|0|0|5|former"),
                                               SESSION_DOES(FORGET),
                                               PUBLISHED("42||0|f"),
                                               SESSION_DOES("COMMIT"),
                                               SESSION_END };
    (void)state;
    snprintf(owned->shared.topic_id, sizeof(owned->shared.topic_id), "present");
    assert_int_equal(take(ours_at(42), rows), PARTITION_OWNER_IN_ARREARS);
    assert_int_equal(owned->start_offset, OFFSET_NONE);
    assert_int_equal(owned->publisher.topic_fence, 5);
}

/* --- owners that crashed ----------------------------------------------------------------------------------------- */

static void after_two_crashes_at_one_offset_commands_run_with_care(void **state)
{
    static const struct session_row rows[] = { SESSION_CONNECTS,
                                               BEGINS,
                                               LOCKS,
                                               RAISES("5|2|1|0|0|"), /* suspects are kept */
                                               PUBLISHED("42||0|f"),
                                               SESSION_DOES("COMMIT"),
                                               SESSION_END };
    (void)state;
    assert_int_equal(take(ours_at(42), rows), PARTITION_OWNER_TAKEN);
    assert_int_equal(owned->partition.solo_until_us, fake_session_now_us() + INT64_C(30) * SECOND_US);
    assert_true(owned->partition.quarantined);
}

static void one_crash_keeps_the_notes_and_needs_no_care(void **state)
{
    static const struct session_row rows[] = {
        SESSION_CONNECTS, BEGINS, LOCKS, RAISES("5|1|0|0|0|"), PUBLISHED("42||0|f"), SESSION_DOES("COMMIT"), SESSION_END
    };
    (void)state;
    assert_int_equal(take(ours_at(42), rows), PARTITION_OWNER_TAKEN);
    assert_int_equal(owned->partition.solo_until_us, 0);
}

/* --- giving it back ---------------------------------------------------------------------------------------------- */

static void partitions_are_given_back_by_id_fence_and_token(void **state)
{
    static const struct session_row rows[] = { SESSION_DOES("SET owner_token = NULL"), SESSION_END };
    struct owned_partition *other = owned_new("commands", 4, 1);
    struct owned_partition *both[] = { owned, other };
    (void)state;
    take_well();
    other->partition.partition_id = 12;
    other->partition.fence = 9;
    memset(owned->partition.token, 0xab, 16);
    fake_session_play(rows);
    partition_owner_give_back(owners, both, 2, SECOND_US);
    assert_string_equal(fake_session_value(0), "{11,12}");
    assert_string_equal(fake_session_value(1), "{5,9}");
    assert_string_equal(fake_session_value(2),
                        "{abababab-abab-abab-abab-abababababab,00000000-0000-0000-0000-000000000000}");
    owned_release(other, 1);
}

/* It only costs the next owner some care: no session is opened for it. */
static void without_a_session_or_a_partition_nothing_is_given_back(void **state)
{
    (void)state;
    partition_owner_give_back(owners, &owned, 1, SECOND_US);
    take_well();
    partition_owner_give_back(owners, &owned, 0, SECOND_US);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_partition_is_ours_under_the_next_fence_and_begins_at_our_commit),
        TEST(a_partition_that_was_never_owned_gets_its_row_first),
        TEST(each_takeover_has_a_token_of_its_own_and_one_process_one_first_half),
        TEST(a_takeover_that_was_rolled_back_does_not_count),
        TEST(a_session_that_is_lost_half_way_leaves_nothing),
        TEST(an_older_schema_says_what_to_do),
        TEST(whoever_holds_the_lock_for_too_long_is_ended_and_it_is_tried_again),
        TEST(strangers_who_hold_the_lock_are_named),
        TEST(a_lock_that_is_never_had_is_left_to_the_next_round),
        TEST(any_other_failure_of_the_lock_ends_the_takeover),
        TEST(a_commit_behind_what_is_published_is_looked_into),
        TEST(a_commit_of_somebody_else_says_nothing_of_what_is_published),
        TEST(with_marks_off_every_commit_counts_as_ours),
        TEST(at_least_once_a_commit_is_never_the_whole_truth),
        TEST(an_offset_without_messages_says_what_was_published_and_not_where_to_begin),
        TEST(published_offsets_that_an_older_worker_kept_count),
        TEST(a_commit_of_a_former_topic_is_no_place_to_begin),
        TEST(after_two_crashes_at_one_offset_commands_run_with_care),
        TEST(one_crash_keeps_the_notes_and_needs_no_care),
        TEST(partitions_are_given_back_by_id_fence_and_token),
        TEST(without_a_session_or_a_partition_nothing_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
