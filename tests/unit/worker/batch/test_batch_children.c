#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/engine.h"
#include "worker/batch/item.h"

/* Children with a table of their own, and what goes with them: a column that is written and never read, a flag that one
 * row of several may have. The embeddings of a face user are such children. */

enum
{
    DATA_SIZE = 8192,
};

/* The data of an addition: all 512 numbers are the id and a half. */
static void say_addition(char *into, int user, int model, int id, const char *more)
{
    int size = snprintf(into, DATA_SIZE,
                        "{\"user_id\":%d,\"model_id\":%d,\"embedding_id\":%d,\"confidence\":0.5%s,\"vector\":[", user,
                        model, id, more);
    for (int i = 0; i < VECTOR_LENGTH; i++)
        size += snprintf(into + size, (size_t)(DATA_SIZE - size), "%s%d.5", i ? "," : "", id);
    snprintf(into + size, (size_t)(DATA_SIZE - size), "]}");
}

static struct delivery *add(int user, int id, const char *more)
{
    char data[DATA_SIZE], key[32], name[32];
    static int next;
    snprintf(key, sizeof(key), "face-user/%d", user);
    snprintf(name, sizeof(name), "a-%d-%d", id, next++);
    say_addition(data, user, 1, id, more);
    return engine_command(key, name, "face.add_embedding", "", data);
}

static struct delivery *take(int user, int id)
{
    char data[128], key[32], name[32];
    static int next;
    snprintf(key, sizeof(key), "face-user/%d", user);
    snprintf(name, sizeof(name), "r-%d-%d", id, next++);
    snprintf(data, sizeof(data), "{\"user_id\":%d,\"model_id\":1,\"embedding_id\":%d}", user, id);
    return engine_command(key, name, "face.remove_embedding", "", data);
}

#define VALIDATED ",\"validated\":true"
#define PRIMARY ",\"is_primary\":true"

static int set_up(void **state)
{
    if (engine_set_up(state) != 0)
        return -1;
    engine_ask("INSERT INTO interlock.face_model (id) VALUES (1), (2)");
    return 0;
}

static void *commit_when_waited_for(void *other)
{
    engine_await_on(other, "t",
                    "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND "
                    "pg_backend_pid() = ANY (pg_blocking_pids(pid))");
    engine_ask_on(other, "COMMIT");
    return NULL;
}

/* --- busy (PROTOCOL B2) ------------------------------------------------------------------------------------------ */

static void a_busy_child_makes_the_root_in_the_other_table_busy(void **state)
{
    (void)state;
    struct delivery *first[] = { add(3, 10, ""), add(3, 11, ""), add(4, 20, "") };
    engine_run(first, 3);
    PGconn *other = engine_hold("SELECT 1 FROM interlock.face_embedding WHERE id = 11 FOR UPDATE");
    struct delivery *given[] = { add(3, 12, ""), take(3, 10), add(4, 21, "") };
    engine_run(given, 3);
    assert_int_equal(engine.batch->items[0].hold, HOLD_BUSY);
    assert_int_equal(engine.batch->items[1].hold, HOLD_BEHIND);
    assert_outcome(given[2], "applied");
    assert_sql("4", "SELECT count(*) FROM interlock.face_embedding");
    engine_let_go(other);
    other = engine_hold("SELECT 1 FROM interlock.face_user WHERE id = 3 FOR UPDATE");
    struct delivery *later[] = { given[0], given[1] };
    engine_run(later, 2);
    assert_int_equal(engine.batch->items[0].hold, HOLD_BUSY);
    engine_let_go(other);
    engine_run(later, 2);
    assert_outcome(given[0], "applied");
    assert_outcome(given[1], "applied");
    assert_sql("11,12", "SELECT string_agg(id::text, ',' ORDER BY id) FROM interlock.face_embedding WHERE user_id = 3");
    assert_sql("4 2", "SELECT string_agg(version::text, ' ' ORDER BY id) FROM interlock.face_user");
}

/* An id that another user's embedding has, locked by that user's batch. */
static void a_child_named_by_its_id_is_waited_for_too(void **state)
{
    (void)state;
    engine_run_one(add(3, 10, ""));
    PGconn *other = engine_hold("DELETE FROM interlock.face_embedding WHERE id = 10");
    struct delivery *delivery = add(4, 10, "");
    engine_run_one(delivery);
    assert_int_equal(engine.batch->items[0].hold, HOLD_BUSY);
    engine_let_go(other);
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    assert_sql("4", "SELECT user_id FROM interlock.face_embedding");
}

static void in_its_turn_a_command_waits_for_the_children_of_another_table(void **state)
{
    pthread_t thread;
    (void)state;
    struct delivery *first[] = { add(3, 10, ""), add(3, 11, "") };
    engine_run(first, 2);
    PGconn *other = engine_hold("UPDATE interlock.face_embedding SET validated = true WHERE id = 11");
    struct delivery *delivery = take(3, 10);
    assert_int_equal(pthread_create(&thread, NULL, commit_when_waited_for, other), 0);
    enum batch_end ended = engine_run_as(&delivery, 1, (struct batch_mode){ .waiting = true });
    pthread_join(thread, NULL);
    PQfinish(other);
    assert_int_equal(ended, BATCH_DONE);
    assert_event(delivery, "data.metadata.promoted", "11"); /* it saw what the other did */
}

static void two_that_make_the_same_user_meet_and_one_is_primary(void **state)
{
    pthread_t thread;
    (void)state;
    PGconn *other = engine_hold("INSERT INTO interlock.face_user (id, version) VALUES (3, 1)");
    engine_ask_on(other,
                  "INSERT INTO interlock.face_embedding (id, user_id, model_id, is_primary) VALUES (9, 3, 1, true)");
    struct delivery *given[] = { add(3, 10, ""), add(3, 11, ""), add(4, 20, "") };
    assert_int_equal(pthread_create(&thread, NULL, commit_when_waited_for, other), 0);
    engine_run_in_pool(given, 3);
    pthread_join(thread, NULL);
    PQfinish(other);
    for (int i = 0; i < 3; i++)
        assert_outcome(given[i], "applied");
    assert_sql("9,20", "SELECT string_agg(id::text, ',' ORDER BY id) FROM interlock.face_embedding WHERE is_primary");
    assert_sql("3 1", "SELECT string_agg(version::text, ' ' ORDER BY id) FROM interlock.face_user");
}

/* --- what is written and never read ------------------------------------------------------------------------------ */

static void a_vector_is_written_whole_and_left_alone_by_updates(void **state)
{
    (void)state;
    struct delivery *first[] = { add(3, 10, ""), add(3, 11, ""), add(4, 20, "") };
    engine_run(first, 3);
    struct delivery *given[] = { add(3, 12, PRIMARY), take(3, 11) };
    engine_run(given, 2);
    assert_event(given[0], "data.metadata.demoted", "10");
    assert_sql("10 f 512 10.5 10.5;12 t 512 12.5 12.5;20 t 512 20.5 20.5",
               "SELECT string_agg(concat_ws(' ', id, is_primary, cardinality(vector), "
               "(SELECT min(v) FROM unnest(vector) v), (SELECT max(v) FROM unnest(vector) v)), ';' ORDER BY id) "
               "FROM interlock.face_embedding");
}

static void removed_and_added_again_in_one_batch_it_is_another_row(void **state)
{
    (void)state;
    struct delivery *first[] = { add(3, 10, VALIDATED), add(3, 11, VALIDATED) };
    engine_run(first, 2);
    engine_ask("UPDATE interlock.face_embedding SET created_at = '2020-01-01', vector = NULL WHERE id = 10");
    struct delivery *given[] = {
        take(3, 10), add(4, 10, ""), take(4, 10), add(3, 10, ""), take(3, 11), add(3, 11, "")
    };
    engine_run(given, 6);
    for (int i = 0; i < 6; i++)
        assert_outcome(given[i], "applied");
    assert_sql("10 3 f f 10.5;11 3 t f 11.5",
               "SELECT string_agg(concat_ws(' ', id, user_id, is_primary, validated, vector[512]), ';' ORDER BY id) "
               "FROM interlock.face_embedding WHERE created_at > '2021-01-01'");
    assert_sql("6 2", "SELECT string_agg(version::text, ' ' ORDER BY id) FROM interlock.face_user");
}

/* --- a flag that one of several has ------------------------------------------------------------------------------ */

/* Whichever row comes first in the statement, the flag is given up before it is taken. */
/* PROTOCOL B1. */
static void a_unique_flag_moves_between_rows_in_one_batch(void **state)
{
    (void)state;
    for (int turn = 0; turn < 2; turn++)
    {
        int from = 10 + turn, to = 11 - turn;
        struct delivery *first[] = { add(3 + turn, from + 10 * turn, ""), add(3 + turn, to + 10 * turn, VALIDATED) };
        engine_run(first, 2);
        struct delivery *given[] = { add(3 + turn, 90, PRIMARY), take(3 + turn, 90) };
        engine_run(given, 2);
        assert_outcome(given[1], "applied");
        assert_sql(turn ? "20" : "11", "SELECT id FROM interlock.face_embedding WHERE is_primary AND user_id = %d",
                   3 + turn);
    }
    assert_sql("4", "SELECT count(*) FROM interlock.face_embedding");
}

/* Loaded by its id for one command and among its root's children for another: what was loaded first stays. */
static void a_child_that_is_asked_for_twice_is_what_it_was_loaded_as(void **state)
{
    (void)state;
    engine_run_one(add(3, 10, ""));
    struct delivery *given[] = { add(4, 10, ""), add(3, 12, PRIMARY) };
    engine_run(given, 2);
    assert_outcome(given[0], "rejected:already_exists");
    assert_outcome(given[1], "applied");
    assert_sql("12", "SELECT id FROM interlock.face_embedding WHERE is_primary");
}

/* --- counters and removals meet nobody (PROTOCOL B8) ------------------------------------------------------------- */

static void a_verification_neither_waits_for_a_removal_nor_fails_by_it(void **state)
{
    (void)state;
    engine_run_one(add(3, 10, ""));
    PGconn *other = engine_hold("DELETE FROM interlock.face_embedding WHERE id = 10");
    struct delivery *delivery = engine_command(
        "face-model/1", "v-1", "face.record_verification", "",
        "{\"verification_id\":1,\"model_id\":1,\"embedding_id\":10,\"user_id\":3,\"result\":\"SUCCESS\"}");
    engine_run_one(delivery);
    assert_outcome(delivery, "applied");
    engine_let_go(other);
    assert_sql("1 1",
               "SELECT verification_count || ' ' || successful_verifications FROM interlock.face_embedding_counter");
}

/* --- folding (PROTOCOL B3) --------------------------------------------------------------------------------------- */

enum
{
    STREAM = 400,
};

static struct delivery *random_command(unsigned *seed, int n)
{
    static const char *const flags[] = { "", VALIDATED, PRIMARY, VALIDATED PRIMARY };
    char data[DATA_SIZE], key[32], id[32];
    /* Most commands name an embedding by the user and model that it belongs to, if it is there. */
    int embedding = 1 + rand_r(seed) % 12;
    int user = 1 + (rand_r(seed) % 8 ? embedding : rand_r(seed)) % 3;
    int model = 1 + (rand_r(seed) % 8 ? embedding % 2 : rand_r(seed) % 3);
    int what = rand_r(seed) % 10;
    snprintf(key, sizeof(key), "face-user/%d", user);
    snprintf(id, sizeof(id), "s-%d", n);
    if (what < 5)
    {
        say_addition(data, user, model, embedding, flags[rand_r(seed) % 4]);
        return engine_command(key, id, "face.add_embedding", "", data);
    }
    if (what < 9)
    {
        snprintf(data, sizeof(data), "{\"user_id\":%d,\"model_id\":%d,\"embedding_id\":%d}", user, model, embedding);
        return engine_command(key, id, "face.remove_embedding", "", data);
    }
    snprintf(key, sizeof(key), "face-model/%d", model);
    snprintf(data, sizeof(data),
             "{\"verification_id\":%d,\"model_id\":%d,\"embedding_id\":%d,\"user_id\":%d,\"result\":\"SUCCESS\"}",
             n + 1, model, embedding, user);
    return engine_command(key, id, "face.record_verification", "", data);
}

static void run_stream(int batch_max, char *into, size_t size)
{
    static struct delivery *stream[STREAM];
    unsigned seed = 20261124;
    engine_restart();
    engine_ask("INSERT INTO interlock.face_model (id) VALUES (1), (2)");
    for (int i = 0; i < STREAM; i++)
        stream[i] = random_command(&seed, i);
    for (int i = 0; i < STREAM; i += batch_max)
        engine_run(stream + i, STREAM - i < batch_max ? STREAM - i : batch_max);
    const char *rows =
        engine_ask("SELECT concat_ws(';', (SELECT string_agg(concat_ws(' ', id, user_id, model_id, is_primary, "
                   "validated, vector[512]), ',' ORDER BY id) FROM interlock.face_embedding), "
                   "(SELECT string_agg(concat_ws(' ', id, version), ',' ORDER BY id) FROM interlock.face_user), "
                   "(SELECT string_agg(concat_ws(' ', id, verification_count), ',' ORDER BY id) "
                   "FROM interlock.face_embedding_counter))");
    const char *events =
        engine_ask("SELECT md5(string_agg(concat_ws(' ', kafka_offset, outcome, reason, version_from, "
                   "version_to, metadata), chr(10) ORDER BY kafka_offset)) FROM interlock.audit_event");
    snprintf(into, size, "%s;%s", rows, events);
}

static void the_size_of_the_batches_changes_neither_rows_nor_events(void **state)
{
    static const int sizes[] = { STREAM, 7, 50 };
    static char one[DATA_SIZE], many[DATA_SIZE];
    (void)state;
    run_stream(1, one, sizeof(one));
    assert_sql("t", "SELECT count(*) > 100 FROM interlock.audit_event WHERE outcome = 'applied'");
    assert_sql("t", "SELECT count(DISTINCT reason) > 1 FROM interlock.audit_event");
    assert_sql("t", "SELECT count(*) > 5 FROM interlock.audit_event WHERE metadata::text LIKE '%%promoted%%'");
    assert_sql("t", "SELECT count(*) > 5 FROM interlock.audit_event WHERE metadata::text LIKE '%%demoted%%'");
    for (int i = 0; i < 3; i++)
    {
        run_stream(sizes[i], many, sizeof(many));
        assert_string_equal(many, one);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, engine_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_busy_child_makes_the_root_in_the_other_table_busy),
        TEST(a_child_named_by_its_id_is_waited_for_too),
        TEST(in_its_turn_a_command_waits_for_the_children_of_another_table),
        TEST(two_that_make_the_same_user_meet_and_one_is_primary),
        TEST(a_vector_is_written_whole_and_left_alone_by_updates),
        TEST(removed_and_added_again_in_one_batch_it_is_another_row),
        TEST(a_unique_flag_moves_between_rows_in_one_batch),
        TEST(a_child_that_is_asked_for_twice_is_what_it_was_loaded_as),
        TEST(a_verification_neither_waits_for_a_removal_nor_fails_by_it),
        TEST(the_size_of_the_batches_changes_neither_rows_nor_events),
    };
    return engine_has_postgresql() ? cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down) : 0;
}
