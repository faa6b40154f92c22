/* wrap: committed_new committed_free committed_read committed_read_first committed_problem partition_owner_new
 * partition_owner_free partition_owner_take partition_owner_give_back partition_owner_problem published_pass
 * published_begin_at published_raise arrears_read restoring_run search_new search_free search_step search_forget
 * search_describe topic_watch_learn topic_watch_step topic_watch_done */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/takeover/committed.h"
#include "consumers/takeover/published.h"
#include "consumers/takeover/restoring.h"
#include "consumers/takeover/search.h"
#include "consumers/takeover/takeover.h"
#include "consumers/takeover/topic_watch.h"
#include "worker/settings/settings.h"

/* The rounds of takeovers: what is asked of Kafka and of PostgreSQL, in which order, and what becomes of a partition
 * meanwhile. Each step is a word in the log. */

enum
{
    PARTITIONS = 4,
};

static struct
{
    char log[2048];
    bool unanswered[PARTITIONS]; /* Kafka says nothing about a list with this partition in it */
    int64_t committed[PARTITIONS];
    enum partition_owner_result results[PARTITIONS];
    int portions, missing; /* of each partition in arrears: so many portions, and so many rows of each are missing */
    bool looked_up;        /* a portion must be searched for */
    enum search_state search;
    bool restores, begins; /* restoring_run, published_begin_at and published_pass succeed */
    struct commitment last;
    int64_t begun_at, begun_below, restored_with;
} script;

static struct settings settings;
static struct takeover *takeover;
static struct owned_partition *owned[PARTITIONS], *asked[PARTITIONS];
static rd_kafka_consumer_group_metadata_t *group;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(script.log);

    va_start(arguments, format);
    vsnprintf(script.log + used, sizeof(script.log) - used, format, arguments);
    va_end(arguments);
}

/* --- the script -------------------------------------------------------------------------------------------------- */

__typeof__(committed_new) __wrap_committed_new;
__typeof__(committed_free) __wrap_committed_free;
__typeof__(committed_read) __wrap_committed_read;
__typeof__(committed_read_first) __wrap_committed_read_first;
__typeof__(committed_problem) __wrap_committed_problem;
__typeof__(partition_owner_new) __wrap_partition_owner_new;
__typeof__(partition_owner_free) __wrap_partition_owner_free;
__typeof__(partition_owner_take) __wrap_partition_owner_take;
__typeof__(partition_owner_give_back) __wrap_partition_owner_give_back;
__typeof__(partition_owner_problem) __wrap_partition_owner_problem;
__typeof__(published_pass) __wrap_published_pass;
__typeof__(published_begin_at) __wrap_published_begin_at;
__typeof__(published_raise) __wrap_published_raise;
__typeof__(arrears_read) __wrap_arrears_read;
__typeof__(restoring_run) __wrap_restoring_run;
__typeof__(search_new) __wrap_search_new;
__typeof__(search_free) __wrap_search_free;
__typeof__(search_step) __wrap_search_step;
__typeof__(search_forget) __wrap_search_forget;
__typeof__(search_describe) __wrap_search_describe;
__typeof__(topic_watch_learn) __wrap_topic_watch_learn;
__typeof__(topic_watch_step) __wrap_topic_watch_step;
__typeof__(topic_watch_done) __wrap_topic_watch_done;

static char committed_there, owners_there, search_there; /* the opaque pointers point at these */

struct committed *__wrap_committed_new(const struct settings *of)
{
    (void)of;
    return (struct committed *)(void *)&committed_there;
}

void __wrap_committed_free(struct committed *committed)
{
    (void)committed;
}

bool __wrap_committed_read(struct committed *committed, rd_kafka_topic_partition_list_t *partitions, int64_t wait_us)
{
    bool known = true;

    (void)committed, (void)wait_us;
    note("read");
    for (int i = 0; i < partitions->cnt; i++)
    {
        int32_t number = partitions->elems[i].partition;
        note("%s%d", i ? "," : " ", (int)number);
        known = known && !script.unanswered[number];
        partitions->elems[i].offset = script.committed[number];
    }
    note(known ? "; " : " unknown; ");
    return known;
}

bool __wrap_committed_read_first(struct committed *committed, const char *topic, int32_t partition, int64_t wait_us,
                                 int64_t *ret_offset)
{
    (void)committed, (void)topic, (void)wait_us;
    note("first %d; ", (int)partition);
    *ret_offset = 3;
    return true;
}

const char *__wrap_committed_problem(const struct committed *committed)
{
    (void)committed;
    return "Kafka has no answer";
}

struct partition_owner *__wrap_partition_owner_new(const struct settings *of)
{
    (void)of;
    return (struct partition_owner *)(void *)&owners_there;
}

void __wrap_partition_owner_free(struct partition_owner *owners)
{
    (void)owners;
}

enum partition_owner_result __wrap_partition_owner_take(struct partition_owner *owners, struct owned_partition *taken,
                                                        const struct commitment *committed,
                                                        const struct session_stop *stop)
{
    enum partition_owner_result result = script.results[taken->partition.number];
    struct audit_positions from = AUDIT_POSITIONS_NONE;

    (void)owners;
    assert_ptr_equal(stop->flag, &taken->shared.revoked);
    note("take %d@%lld; ", (int)taken->partition.number, (long long)committed->offset);
    script.last = *committed;
    taken->start_offset = committed->offset;
    if (result == PARTITION_OWNER_IN_ARREARS)
        taken->publisher.arrears = arrears_new(10, &from);
    return result;
}

void __wrap_partition_owner_give_back(struct partition_owner *owners, struct owned_partition *const *given, int count,
                                      int64_t wait_us)
{
    (void)owners, (void)given, (void)wait_us;
    note("give back %d; ", count);
}

const char *__wrap_partition_owner_problem(const struct partition_owner *owners)
{
    (void)owners;
    return "PostgreSQL is away";
}

bool __wrap_published_pass(struct partition_owner *owners, const struct owned_partition *passed, int64_t to,
                           const struct session_stop *stop)
{
    (void)owners, (void)stop;
    note("pass %d to %lld; ", (int)passed->partition.number, (long long)to);
    return script.begins;
}

bool __wrap_published_begin_at(struct partition_owner *owners, struct owned_partition *begun, int64_t below,
                               int64_t start, const struct session_stop *stop)
{
    (void)owners, (void)stop;
    note("begin %d; ", (int)begun->partition.number);
    script.begun_below = below;
    script.begun_at = start;
    return script.begins;
}

void __wrap_published_raise(struct partition_owner *owners, struct owned_partition *const *raised, int count,
                            const struct audit_positions *from, int64_t wait_us)
{
    (void)owners, (void)raised, (void)wait_us;
    note("raise %d%s; ", count, from->at ? " from" : "");
}

/* Two rows a portion, at 10 and 11, 12 and 13, ... */
bool __wrap_arrears_read(struct partition_owner *owners, struct owned_partition *read, const struct session_stop *stop)
{
    struct arrears *arrears = read->publisher.arrears;

    (void)owners, (void)stop;
    note("arrears %d; ", (int)read->partition.number);
    free(arrears->rows);
    arrears->rows = calloc(2, sizeof(*arrears->rows));
    arrears->count = 2;
    arrears->missing = script.missing;
    for (int i = 0; i < 2; i++)
        arrears->rows[i].offset = arrears->published + i;
    arrears->last = --script.portions <= 0;
    arrears->state = script.looked_up ? ARREARS_LOOKED_UP : ARREARS_KNOWN;
    return true;
}

bool __wrap_restoring_run(struct restoring *restoring, struct owned_partition *restored,
                          const struct session_stop *stop)
{
    (void)stop;
    note("restore %d%s; ", (int)restored->partition.number, restoring->group ? " in a transaction" : "");
    script.restored_with = restoring->offset;
    if (!script.restores)
        snprintf(restoring->problem, sizeof(restoring->problem), "the broker refuses it");
    return script.restores;
}

struct search *__wrap_search_new(const struct settings *of, struct owned_partition *const *searched, int count)
{
    (void)of;
    note("search");
    for (int i = 0; i < count; i++)
        note("%s%d", i ? "," : " ", (int)searched[i]->partition.number);
    note("; ");
    return (struct search *)(void *)&search_there;
}

void __wrap_search_free(struct search *search)
{
    if (search)
        note("searched; ");
}

/* Its end makes everything known. */
enum search_state __wrap_search_step(struct search *search, int64_t until_us, struct buffer *reterr)
{
    (void)search, (void)until_us;
    note("step; ");
    for (int i = 0; i < PARTITIONS && script.search == SEARCH_END; i++)
        if (owned[i]->publisher.arrears && owned[i]->publisher.arrears->state == ARREARS_LOOKED_UP)
            owned[i]->publisher.arrears->state = ARREARS_KNOWN;
    if (script.search == SEARCH_FAILED)
        buffer_add_text(reterr, "the topic is gone");
    return script.search;
}

void __wrap_search_forget(struct search *search, const struct owned_partition *forgotten)
{
    (void)search, (void)forgotten;
}

void __wrap_search_describe(const struct search *search, char *into, size_t size)
{
    (void)search;
    snprintf(into, size, "a search is on");
}

void __wrap_topic_watch_learn(struct topic_watch *watch, struct owned_partition *const *learned, int count,
                              int64_t wait_us)
{
    (void)watch, (void)learned, (void)wait_us;
    if (count > 0)
        note("learn %d; ", count);
}

void __wrap_topic_watch_step(struct topic_watch *watch, struct owned_partition *const *watched, int count,
                             int64_t now_us)
{
    (void)watch, (void)watched, (void)now_us;
    note("watch %d; ", count);
}

void __wrap_topic_watch_done(struct topic_watch *watch)
{
    (void)watch;
}

/* --- the test's side --------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    memset(&script, 0, sizeof(script));
    memset(&settings, 0, sizeof(settings));
    settings.kafka.exactly_once = true;
    script.restores = script.begins = true;
    group = rd_kafka_consumer_group_metadata_new("group");
    takeover = takeover_new(&settings);
    for (int i = 0; i < PARTITIONS; i++)
    {
        asked[i] = owned[i] = owned_new("commands", i, 1);
        script.committed[i] = 100 + i;
    }
    return takeover ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    takeover_free(takeover);
    rd_kafka_consumer_group_metadata_destroy(group);
    for (int i = 0; i < PARTITIONS; i++)
        owned_release(owned[i], 1);
    return 0;
}

/* One round of the first `count`; returns how many are left. The log is of this round. */
static int run_round(int count)
{
    struct takeover_means means = { .group = group };

    script.log[0] = '\0';
    return takeover_round(takeover, &means, asked, count);
}

/* Partition 0 is in arrears, with so many portions, of which each lacks so many rows. */
static void begin_arrears(int portions, int missing)
{
    script.results[0] = PARTITION_OWNER_IN_ARREARS;
    script.portions = portions;
    script.missing = missing;
}

/* --- taking (PROTOCOL O3, O5) ------------------------------------------------------------------------------------ */

static void all_offsets_are_read_in_one_question_and_each_partition_is_taken_with_its_own(void **state)
{
    (void)state;
    assert_int_equal(run_round(3), 0);
    assert_string_equal(script.log, "learn 3; read 0,1,2; take 0@100; take 1@101; take 2@102; ");
    assert_false(takeover_is_busy(takeover));
}

static void partitions_that_were_taken_come_behind_the_others_in_the_same_order(void **state)
{
    (void)state;
    script.results[1] = script.results[3] = PARTITION_OWNER_AGAIN;
    assert_int_equal(run_round(4), 2);
    assert_ptr_equal(asked[0], owned[1]);
    assert_ptr_equal(asked[1], owned[3]);
    assert_string_equal(takeover_problem(takeover), "taking over commands/3: PostgreSQL is away");
    script.results[1] = script.results[3] = PARTITION_OWNER_TAKEN;
    assert_int_equal(run_round(2), 0);
    assert_string_equal(script.log, "learn 2; read 1,3; take 1@101; take 3@103; ");
}

static void a_group_that_committed_nothing_begins_without_an_offset(void **state)
{
    (void)state;
    script.committed[0] = RD_KAFKA_OFFSET_INVALID;
    assert_int_equal(run_round(1), 0);
    assert_int_equal(script.last.offset, OFFSET_NONE);
    assert_false(script.last.is_lost);
}

static void an_offset_that_has_no_messages_any_more_is_told_as_such(void **state)
{
    (void)state;
    owned[0]->forget_committed = true;
    assert_int_equal(run_round(1), 0);
    assert_int_equal(script.last.offset, 100);
    assert_true(script.last.is_lost);
}

/* One of the partitions is in a transaction of a dead worker: the others have nothing to do with it. */
static void without_an_answer_for_all_the_halves_are_asked_one_by_one(void **state)
{
    (void)state;
    script.unanswered[2] = true;
    assert_int_equal(run_round(4), 1);
    assert_ptr_equal(asked[0], owned[2]);
    assert_string_equal(script.log, "learn 4; read 0,1,2,3 unknown; read 2,3 unknown; read 3; take 3@103; "
                                    "read 2 unknown; read 0,1; take 0@100; take 1@101; ");
    assert_string_equal(takeover_problem(takeover), "Kafka has no answer");
}

/* Where one half takes all the time of a round, the other has the next. */
static void the_halves_come_first_in_turn(void **state)
{
    (void)state;
    script.unanswered[0] = script.unanswered[1] = true;
    assert_int_equal(run_round(2), 2);
    assert_string_equal(script.log, "learn 2; read 0,1 unknown; read 1 unknown; read 0 unknown; ");
    assert_int_equal(run_round(2), 2);
    assert_string_equal(script.log, "learn 2; read 0,1 unknown; read 0 unknown; read 1 unknown; ");
}

static void a_revocation_ends_the_round(void **state)
{
    (void)state;
    owned_revoke(owned[1], 0);
    assert_int_equal(run_round(3), 2);
    assert_string_equal(script.log, "learn 3; read 0,1,2; take 0@100; ");
    owned_revoke(owned[2], 0);
    assert_int_equal(run_round(2), 2);
    assert_string_equal(script.log, "learn 2; ");
}

/* --- arrears (PROTOCOL R1) --------------------------------------------------------------------------------------- */

static void a_partition_in_arrears_of_which_nothing_is_missing_begins_in_the_same_round(void **state)
{
    (void)state;
    begin_arrears(1, 0);
    assert_int_equal(run_round(2), 0);
    assert_string_equal(script.log, "learn 2; read 0,1; take 0@100; take 1@101; arrears 0; begin 0; ");
    assert_int_equal(script.begun_below, 12); /* behind the last row of the portion */
    assert_int_equal(script.begun_at, 100);
    assert_null(owned[0]->publisher.arrears);
    assert_true(owned[0]->publisher.taken);
}

static void missing_events_are_published_before_the_partition_begins(void **state)
{
    (void)state;
    begin_arrears(1, 2);
    assert_int_equal(run_round(1), 0);
    assert_string_equal(script.log, "learn 1; read 0; take 0@100; arrears 0; restore 0 in a transaction; begin 0; ");
    assert_int_equal(script.restored_with, 100);
}

static void portions_come_one_a_round_and_the_last_one_begins_it(void **state)
{
    (void)state;
    begin_arrears(3, 1);
    assert_int_equal(run_round(1), 1);
    assert_string_equal(script.log, "learn 1; read 0; take 0@100; arrears 0; restore 0 in a transaction; "
                                    "pass 0 to 12; ");
    assert_true(takeover_is_busy(takeover));
    assert_int_equal(run_round(1), 1);
    assert_string_equal(script.log, "arrears 0; restore 0 in a transaction; pass 0 to 14; ");
    assert_int_equal(run_round(1), 0);
    assert_string_equal(script.log, "arrears 0; restore 0 in a transaction; begin 0; ");
    assert_int_equal(script.begun_below, 16);
    assert_false(takeover_is_busy(takeover));
}

static void one_search_is_for_all_partitions_and_goes_on_beside_the_others(void **state)
{
    (void)state;
    begin_arrears(2, 1);
    script.results[1] = PARTITION_OWNER_IN_ARREARS;
    script.looked_up = true;
    assert_int_equal(run_round(3), 2);
    assert_string_equal(script.log, "learn 3; read 0,1,2; take 0@100; take 1@101; take 2@102; arrears 0; arrears 1; "
                                    "search 0,1; ");
    assert_true(takeover_is_busy(takeover));
    assert_string_equal(takeover_problem(takeover), "a search is on");
    assert_int_equal(run_round(2), 2);
    assert_string_equal(script.log, "step; ");
    script.search = SEARCH_END;
    assert_int_equal(run_round(2), 1);
    assert_string_equal(script.log, "step; searched; restore 0 in a transaction; pass 0 to 12; "
                                    "restore 1 in a transaction; begin 1; ");
    owned_revoke(owned[0], 0); /* its next portion is not read */
    assert_int_equal(run_round(1), 1);
    assert_string_equal(script.log, "");
}

static void a_search_that_fails_begins_the_takeover_again_under_the_next_fence(void **state)
{
    (void)state;
    begin_arrears(1, 1);
    script.looked_up = true;
    assert_int_equal(run_round(1), 1);
    script.search = SEARCH_FAILED;
    assert_int_equal(run_round(1), 1);
    assert_string_equal(script.log, "step; searched; ");
    assert_string_equal(takeover_problem(takeover), "taking over commands/0: the topic is gone");
    assert_null(owned[0]->publisher.arrears);
    begin_arrears(1, 0);
    script.looked_up = false;
    assert_int_equal(run_round(1), 0);
    assert_string_equal(script.log, "learn 1; read 0; take 0@100; arrears 0; begin 0; ");
}

static void a_failure_to_publish_begins_the_takeover_again(void **state)
{
    (void)state;
    begin_arrears(1, 1);
    script.restores = false;
    assert_int_equal(run_round(1), 1);
    assert_string_equal(takeover_problem(takeover), "taking over commands/0: the broker refuses it");
    assert_null(owned[0]->publisher.arrears);
    begin_arrears(1, 1);
    script.restores = true;
    script.begins = false;
    assert_int_equal(run_round(1), 1);
    assert_string_equal(takeover_problem(takeover), "taking over commands/0: PostgreSQL is away");
    assert_null(owned[0]->publisher.arrears);
    assert_false(owned[0]->publisher.taken);
}

/* Without it the broker could not refuse a former owner. */
static void nothing_is_published_without_the_generation_of_the_group(void **state)
{
    struct takeover_means means = { .group = NULL };
    (void)state;
    begin_arrears(1, 1);
    assert_int_equal(takeover_round(takeover, &means, asked, 1), 1);
    assert_string_equal(script.log, "learn 1; read 0; take 0@100; arrears 0; ");
    assert_string_equal(takeover_problem(takeover), "taking over commands/0: the group's generation is not known");
    settings.kafka.exactly_once = false; /* where there are no transactions */
    script.log[0] = '\0';
    begin_arrears(1, 1);
    assert_int_equal(takeover_round(takeover, &means, asked, 1), 0);
    assert_string_equal(script.log, "learn 1; read 0; take 0@100; arrears 0; restore 0; begin 0; ");
}

static void without_a_commit_the_offset_of_what_is_published_is_where_the_topic_begins(void **state)
{
    (void)state;
    begin_arrears(1, 1);
    script.committed[0] = RD_KAFKA_OFFSET_INVALID;
    assert_int_equal(run_round(1), 0);
    assert_string_equal(script.log, "learn 1; read 0; take 0@-1; arrears 0; first 0; restore 0 in a transaction; "
                                    "begin 0; ");
    assert_int_equal(script.restored_with, 3);
    assert_int_equal(script.begun_at, OFFSET_NONE);
}

/* --- what goes through ------------------------------------------------------------------------------------------- */

static void at_least_once_a_raise_says_nothing_of_where_the_events_are(void **state)
{
    struct takeover_means means = { .group = NULL };
    (void)state;
    settings.kafka.exactly_once = false;
    takeover_raise_published(takeover, &means, asked, 2, 0);
    takeover_give_back(takeover, asked, 3, 0);
    takeover_watch_topics(takeover, asked, 4);
    assert_string_equal(script.log, "raise 2; give back 3; watch 4; ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_offsets_are_read_in_one_question_and_each_partition_is_taken_with_its_own),
        TEST(partitions_that_were_taken_come_behind_the_others_in_the_same_order),
        TEST(a_group_that_committed_nothing_begins_without_an_offset),
        TEST(an_offset_that_has_no_messages_any_more_is_told_as_such),
        TEST(without_an_answer_for_all_the_halves_are_asked_one_by_one),
        TEST(the_halves_come_first_in_turn),
        TEST(a_revocation_ends_the_round),
        TEST(a_partition_in_arrears_of_which_nothing_is_missing_begins_in_the_same_round),
        TEST(missing_events_are_published_before_the_partition_begins),
        TEST(portions_come_one_a_round_and_the_last_one_begins_it),
        TEST(one_search_is_for_all_partitions_and_goes_on_beside_the_others),
        TEST(a_search_that_fails_begins_the_takeover_again_under_the_next_fence),
        TEST(a_failure_to_publish_begins_the_takeover_again),
        TEST(nothing_is_published_without_the_generation_of_the_group),
        TEST(without_a_commit_the_offset_of_what_is_published_is_where_the_topic_begins),
        TEST(at_least_once_a_raise_says_nothing_of_where_the_events_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
