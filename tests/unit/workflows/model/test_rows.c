/* wrap: malloc realloc */
#include "tests/fixtures/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__typeof__(malloc) __real_malloc;
__typeof__(malloc) __wrap_malloc;
__typeof__(realloc) __real_realloc;
__typeof__(realloc) __wrap_realloc;

static bool memory_is_out;

void *__wrap_malloc(size_t size)
{
    return memory_is_out ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return memory_is_out ? NULL : __real_realloc(at, size);
}

struct scene
{
    struct arena arena;
    struct rows *rows;
};

static int setup(void **state)
{
    struct scene *scene = malloc(sizeof(*scene));
    arena_init(&scene->arena);
    scene->rows = rows_new(&scene->arena);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    arena_done(&scene->arena);
    free(scene);
    return 0;
}

static struct row *load(struct rows *rows, int64_t id, int64_t parent)
{
    struct row *row = rows_load(rows, &entity_jobneed, id_of(id));
    struct jobneed_row *content = row->loaded;
    content->id = int_of(id);
    if (parent)
        content->parent_id = int_of(parent);
    rows_settle(rows, row, ROW_LOADED);
    return row;
}

static void expect_children(const struct rows *rows, int64_t parent, const int64_t *ids, int count)
{
    int n = 0;
    for (const struct jobneed_row *child = rows_first_child(rows, &entity_jobneed, id_of(parent)); child;
         child = rows_next_child(rows, &entity_jobneed, child))
    {
        assert_true(n < count);
        assert_int_equal(child->id.value, ids[n++]);
    }
    assert_int_equal(n, count);
}

static void a_wanted_row_is_there_once_and_not_read_before_it_is_loaded(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    rows_want(rows, &entity_jobneed, id_of(7));
    rows_want_children(rows, &entity_jobneed, id_of(7));
    rows_want(rows, &entity_jobneed, id_of(7));
    assert_int_equal(rows_count(rows, &entity_jobneed), 1);
    struct row *row = rows_first(rows, &entity_jobneed);
    assert_int_equal(row->state, ROW_WANTED);
    assert_true(row->children_wanted);
    assert_null(row->next);
    assert_null(rows_read(rows, &entity_jobneed, id_of(7)));
    assert_null(rows_read(rows, &entity_jobneed, id_of(8)));
    rows_settle(rows, row, ROW_ABSENT);
    assert_null(rows_read(rows, &entity_jobneed, id_of(7)));
    assert_int_equal(rows_count(rows, &entity_ticket), 0);
    load(rows, 7, 0);
    assert_non_null(rows_read(rows, &entity_jobneed, id_of(7)));
}

static void ten_thousand_rows_are_found_while_the_table_grows(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    for (int64_t id = 1; id <= 10000; id++)
        rows_want(rows, &entity_ticket, id_of(id * 4096));
    assert_int_equal(rows_count(rows, &entity_ticket), 10000);
    int64_t expected = 1;
    for (struct row *row = rows_first(rows, &entity_ticket); row; row = row->next)
        assert_int_equal(row->id.low, 4096 * expected++); /* in the order they came */
    for (int64_t id = 1; id <= 10000; id++)
        assert_int_equal(rows_find(rows, &entity_ticket, id_of(id * 4096))->id.low, id * 4096);
    assert_null(rows_find(rows, &entity_ticket, id_of(5)));
    assert_null(rows_find(rows, &entity_ticket, (struct id){ 1, 4096 }));
}

static void children_hang_in_id_order_whatever_order_they_come_in(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    rows_want_children(rows, &entity_jobneed, id_of(7));
    load(rows, 20, 7);
    load(rows, 10, 7);
    load(rows, 7, 0);
    load(rows, 15, 7);
    load(rows, 30, 7);
    load(rows, 5, 7);
    load(rows, 9, 8);  /* of a parent that nobody wanted */
    load(rows, 20, 7); /* again */
    expect_children(rows, 7, (const int64_t[]){ 5, 10, 15, 20, 30 }, 5);
    expect_children(rows, 8, NULL, 0);
    rows_begin(rows);
    rows_delete(rows, &entity_jobneed, id_of(30));
    rows_delete(rows, &entity_jobneed, id_of(5));
    assert_non_null(rows_insert_child(rows, &entity_jobneed, id_of(12), id_of(7)));
    expect_children(rows, 7, (const int64_t[]){ 10, 12, 15, 20 }, 4);
    rows_undo(rows);
    expect_children(rows, 7, (const int64_t[]){ 5, 10, 15, 20, 30 }, 5);
    rows_begin(rows);
    load(rows, 8, 0);
    assert_non_null(rows_insert_child(rows, &entity_jobneed, id_of(12), id_of(8))); /* now another's */
    rows_keep(rows);
    expect_children(rows, 7, (const int64_t[]){ 5, 10, 15, 20, 30 }, 5);
    expect_children(rows, 8, (const int64_t[]){ 12 }, 1); /* 9 came before anybody wanted its parent */
}

static void an_edit_is_listed_once_a_step_with_the_content_before_it(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    struct row *row = load(rows, 1, 0);
    load(rows, 2, 0);
    for (int step = 0; step < 3; step++)
    {
        rows_begin(rows);
        assert_null(rows_edits(rows));
        for (int i = 0; i < 3; i++)
            ((struct jobneed_row *)rows_edit(rows, &entity_jobneed, id_of(1)))->seq = int_of(10 * step + i);
        struct row_edit *edit = rows_edits(rows);
        assert_ptr_equal(edit->row, row);
        assert_null(edit->next);
        assert_int_equal(edit->state_before, ROW_LOADED);
        assert_int_equal(((const struct jobneed_row *)edit->before)->seq.value, step ? 10 * step - 8 : 0);
        rows_keep(rows);
    }
    assert_int_equal(((struct jobneed_row *)row->current)->seq.value, 22);
    assert_false(((struct jobneed_row *)row->loaded)->seq.set);
    assert_int_equal(rows_find(rows, &entity_jobneed, id_of(2))->step, 0); /* never edited */
}

static void undo_brings_back_rows_appended_rows_counters_and_ids(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    load(rows, 1, 0);
    load(rows, 2, 0);
    for (int id = 100; id < 103; id++)
        rows_give_id(rows, &entity_jobneed, id);
    rows_begin(rows);
    ((struct jobneed_row *)rows_edit(rows, &entity_jobneed, id_of(1)))->seq = int_of(1);
    ((struct ticket_history_row *)rows_append(rows, &entity_ticket_history))->seq = int_of(1);
    ((struct face_counter_row *)rows_add(rows, &entity_face_model_counter, id_of(5)))->verification_count.value++;
    assert_int_equal(rows_take_id(rows, &entity_jobneed), 100);
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(100)));
    rows_keep(rows);

    rows_begin(rows);
    ((struct jobneed_row *)rows_edit(rows, &entity_jobneed, id_of(1)))->seq = int_of(2);
    ((struct jobneed_row *)rows_edit(rows, &entity_jobneed, id_of(100)))->seq = int_of(2);
    rows_delete(rows, &entity_jobneed, id_of(2));
    ((struct ticket_history_row *)rows_append(rows, &entity_ticket_history))->seq = int_of(2);
    rows_append(rows, &entity_ticket_history);
    ((struct face_counter_row *)rows_add(rows, &entity_face_model_counter, id_of(5)))->verification_count.value++;
    rows_add(rows, &entity_face_model_counter, id_of(6));
    assert_int_equal(rows_take_id(rows, &entity_jobneed), 101);
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(101)));
    assert_int_equal(rows_take_id(rows, &entity_jobneed), 102);
    rows_undo(rows);

    assert_null(rows_edits(rows));
    assert_int_equal(((const struct jobneed_row *)rows_read(rows, &entity_jobneed, id_of(1)))->seq.value, 1);
    assert_false(((const struct jobneed_row *)rows_read(rows, &entity_jobneed, id_of(100)))->seq.set);
    assert_non_null(rows_read(rows, &entity_jobneed, id_of(2)));
    assert_null(rows_read(rows, &entity_jobneed, id_of(101)));
    assert_int_equal(rows_appended_count(rows, &entity_ticket_history), 1);
    assert_null(rows_first_appended(rows, &entity_ticket_history)->next);
    const struct row *counter = rows_find(rows, &entity_face_model_counter, id_of(5));
    assert_int_equal(((struct face_counter_row *)counter->current)->verification_count.value, 1);
    assert_int_equal(rows_find(rows, &entity_face_model_counter, id_of(6))->state, ROW_ABSENT);

    rows_begin(rows);
    assert_int_equal(rows_take_id(rows, &entity_jobneed), 101); /* given back */
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(101)));
    ((struct ticket_history_row *)rows_append(rows, &entity_ticket_history))->seq = int_of(3);
    rows_keep(rows);
    assert_int_equal(rows_appended_count(rows, &entity_ticket_history), 2);
    const struct row *second = rows_first_appended(rows, &entity_ticket_history)->next;
    assert_int_equal(((struct ticket_history_row *)second->current)->seq.value, 3);
}

static void the_first_appended_row_can_be_undone(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    rows_begin(rows);
    rows_append(rows, &entity_ticket_history);
    rows_undo(rows);
    assert_null(rows_first_appended(rows, &entity_ticket_history));
    rows_begin(rows);
    rows_append(rows, &entity_ticket_history);
    rows_keep(rows);
    assert_null(rows_first_appended(rows, &entity_ticket_history)->next);
}

static void inserted_then_deleted_is_never_written(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    rows_begin(rows);
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(1)));
    assert_null(rows_insert(rows, &entity_jobneed, id_of(1)));
    assert_int_equal(rows_edits(rows)->state_before, ROW_ABSENT);
    assert_null(rows_edits(rows)->before);
    rows_keep(rows);
    rows_begin(rows);
    rows_delete(rows, &entity_jobneed, id_of(1));
    assert_null(rows_read(rows, &entity_jobneed, id_of(1)));
    rows_keep(rows);
    assert_int_equal(rows_find(rows, &entity_jobneed, id_of(1))->state, ROW_ABSENT);
    rows_begin(rows);
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(1)));
    rows_keep(rows);
    assert_int_equal(rows_find(rows, &entity_jobneed, id_of(1))->state, ROW_NEW);
}

static void deleted_then_inserted_is_another_row_of_the_same_id(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    struct row *row = load(rows, 1, 0);
    rows_begin(rows);
    ((struct jobneed_row *)rows_edit(rows, &entity_jobneed, id_of(1)))->seq = int_of(4);
    rows_delete(rows, &entity_jobneed, id_of(1));
    assert_int_equal(row->state, ROW_DELETED);
    assert_null(rows_edits(rows)->next);
    rows_keep(rows);
    rows_begin(rows);
    struct jobneed_row *again = rows_insert(rows, &entity_jobneed, id_of(1));
    assert_int_equal(again->id.value, 1);
    assert_false(again->seq.set);
    assert_int_equal(row->state, ROW_LOADED);
    assert_true(row->reborn);
    rows_undo(rows);
    assert_int_equal(row->state, ROW_DELETED);
    rows_begin(rows);
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(1)));
    rows_keep(rows);
    assert_int_equal(row->state, ROW_LOADED);
    assert_true(row->reborn && row->loaded);
}

static void deleted_and_inserted_in_a_step_that_is_undone_it_is_the_row_it_was(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    struct row *row = load(rows, 1, 0);
    rows_begin(rows);
    rows_delete(rows, &entity_jobneed, id_of(1));
    assert_non_null(rows_insert(rows, &entity_jobneed, id_of(1)));
    assert_true(row->reborn);
    rows_undo(rows);
    assert_int_equal(row->state, ROW_LOADED);
    assert_false(row->reborn);
}

static void children_of_another_table_hang_under_their_root(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    static const int64_t order[] = { 12, 10, 11 };
    rows_want_children(rows, &entity_face_user, id_of(10)); /* the ids of the two tables have nothing in common */
    rows_settle(rows, rows_find(rows, &entity_face_user, id_of(10)), ROW_ABSENT);
    for (int i = 0; i < 3; i++)
    {
        struct row *row = rows_load(rows, &entity_face_embedding, id_of(order[i]));
        *(struct face_embedding_row *)row->loaded =
            (struct face_embedding_row){ .id = int_of(order[i]), .user_id = int_of(10) };
        rows_settle(rows, row, ROW_LOADED);
    }
    rows_begin(rows);
    assert_non_null(rows_insert(rows, &entity_face_user, id_of(10)));
    assert_non_null(rows_insert_child(rows, &entity_face_embedding, id_of(5), id_of(10)));
    rows_delete(rows, &entity_face_embedding, id_of(11));
    static const int64_t left[] = { 5, 10, 12 };
    int count = 0;
    for (const struct face_embedding_row *child = rows_first_child(rows, &entity_face_embedding, id_of(10)); child;
         child = rows_next_child(rows, &entity_face_embedding, child))
        assert_int_equal(child->id.value, left[count++]);
    assert_int_equal(count, 3);
    assert_null(rows_first_child(rows, &entity_face_user, id_of(10)));
    assert_null(rows_first_child(rows, &entity_face_embedding, id_of(11)));
    rows_undo(rows);
    assert_null(rows_read(rows, &entity_face_embedding, id_of(5)));
    assert_non_null(rows_read(rows, &entity_face_embedding, id_of(11)));
}

/* PROTOCOL B3: the look was made before the first command was decided. */
static void a_look_by_id_sees_what_the_batch_made_of_the_row(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    const struct jobneed_row old = { .id = int_of(1) }, fresh = { .id = int_of(2) };
    rows_want_look(rows, &entity_jobneed, 1, &old);
    rows_want_look(rows, &entity_jobneed, 1, &fresh);
    struct row *seen = rows_answer(rows, rows_looks(rows));
    *(struct jobneed_row *)seen->loaded = old;
    rows_settle(rows, seen, ROW_SEEN);
    assert_ptr_equal(rows_look(rows, &entity_jobneed, 1, &old), seen->current);
    load(rows, 1, 0);
    rows_begin(rows);
    ((struct jobneed_row *)rows_edit(rows, &entity_jobneed, id_of(1)))->seq = int_of(7);
    assert_non_null(rows_insert_child(rows, &entity_jobneed, id_of(2), id_of(1)));
    assert_non_null(rows_insert_child(rows, &entity_jobneed, id_of(3), id_of(1)));
    const struct jobneed_row *row = rows_look(rows, &entity_jobneed, 1, &old);
    assert_int_equal(row->seq.value, 7);
    assert_null(rows_look_next(rows, &entity_jobneed, 1, &old, row));
    row = rows_look(rows, &entity_jobneed, 1, &fresh);
    assert_int_equal(row->id.value, 2);
    assert_null(rows_look_next(rows, &entity_jobneed, 1, &fresh, row)); /* its sibling is no answer */
    rows_delete(rows, &entity_jobneed, id_of(1));
    assert_null(rows_look(rows, &entity_jobneed, 1, &old));
    rows_undo(rows);
    assert_null(rows_look(rows, &entity_jobneed, 1, &fresh));
}

static void drawn_ids_pass_over_rows_that_the_batch_made(void **state)
{
    struct scene *scene = *state;
    struct rows *rows = scene->rows;
    rows_want_ids(rows, &entity_ticket, 2);
    rows_want_ids(rows, &entity_ticket, 1);
    assert_int_equal(rows_ids_wanted(rows, &entity_ticket), 3);
    for (int id = 5; id < 8; id++)
        rows_give_id(rows, &entity_ticket, id);
    assert_int_equal(rows_ids_wanted(rows, &entity_ticket), 0);
    rows_begin(rows);
    assert_non_null(rows_insert(rows, &entity_ticket, id_of(5)));
    assert_int_equal(rows_take_id(rows, &entity_ticket), 6);
    assert_int_equal(rows_take_id(rows, &entity_ticket), 7);
    assert_false(arena_failed(&scene->arena));
    assert_int_equal(rows_take_id(rows, &entity_ticket), 0); /* the batch is tried again with others */
    assert_true(arena_failed(&scene->arena));
    rows_undo(rows);
}

static struct row *answer(struct rows *rows, struct row_look *look, int64_t level)
{
    struct row *row = rows_answer(rows, look);
    memcpy(row->loaded, look->key, look->entity->row_size);
    ((struct escalation_matrix_row *)row->loaded)->level = int_of(level);
    rows_settle(rows, row, ROW_SEEN);
    return row;
}

static void looks_are_asked_once_and_answered_by_their_key(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    struct escalation_matrix_row keys[300];
    char names[300][16];
    for (int i = 0; i < 300; i++)
    {
        snprintf(names[i], sizeof(names[i]), "category %d", i % 150);
        keys[i] = (struct escalation_matrix_row){ .site_id = int_of(3),
                                                  .category = span_of(names[i]),
                                                  .client_id = int_of(4) };
        rows_want_look(rows, &entity_escalation_matrix, 3, &keys[i]);
    }
    rows_want_look(rows, &entity_escalation_matrix, 2, &keys[0]); /* another prefix is another question */
    int count = 0;
    for (struct row_look *look = rows_looks(rows); look; look = look->next, count++)
        for (int level = 1; level <= 2 && look->key_count == 3; level++)
            answer(rows, look, level);
    assert_int_equal(count, 151);
    for (int i = 0; i < 300; i++)
    {
        const struct escalation_matrix_row *row = rows_look(rows, &entity_escalation_matrix, 3, &keys[i]);
        assert_text(row->category, names[i]);
        assert_int_equal(row->level.value, 1);
        row = rows_look_next(rows, &entity_escalation_matrix, 3, &keys[i], row);
        assert_int_equal(row->level.value, 2);
        assert_null(rows_look_next(rows, &entity_escalation_matrix, 3, &keys[i], row));
    }
    assert_null(rows_look(rows, &entity_escalation_matrix, 2, &keys[0]));
    keys[0].site_id = int_of(9);
    assert_null(rows_look(rows, &entity_escalation_matrix, 3, &keys[0])); /* never asked */
}

static void a_row_in_other_hands_is_met_not_taken_for_absent(void **state)
{
    struct rows *rows = ((struct scene *)*state)->rows;
    rows_want(rows, &entity_jobneed, id_of(1));
    rows_settle(rows, rows_find(rows, &entity_jobneed, id_of(1)), ROW_BUSY);
    rows_begin(rows);
    assert_null(rows_read(rows, &entity_jobneed, id_of(2)));
    assert_false(rows_met_busy(rows));
    assert_null(rows_read(rows, &entity_jobneed, id_of(1)));
    assert_true(rows_met_busy(rows));
    rows_undo(rows);
    rows_begin(rows);
    assert_false(rows_met_busy(rows));
    assert_null(rows_insert(rows, &entity_jobneed, id_of(1)));
    assert_true(rows_met_busy(rows));
    rows_undo(rows);
}

static void without_memory_every_call_still_answers(void **state)
{
    struct scene *scene = *state;
    struct rows *rows = scene->rows;
    load(rows, 1, 0);
    rows_begin(rows);
    scene->arena.failed = true; /* as after a malloc that failed: what is wanted next is not there */
    struct jobneed_row *edited = rows_edit(rows, &entity_jobneed, id_of(99));
    assert_non_null(edited);
    edited->seq = int_of(1);
    rows_undo(rows);
    assert_true(arena_failed(&scene->arena));
}

/* Every workflow is decided with ever less memory left in the arena, until the first piece is not to be had: nothing
 * crashes, and whatever was decided without memory is shown by the arena or the metadata. */
static void a_batch_may_run_out_of_memory_anywhere(void **state)
{
    (void)state;
    static const struct order orders[] = {
        { "ticket.create", "{\"priority\":\"LOW\"}" },
        { "ticket.create", "{\"ticket_id\":9,\"priority\":\"LOW\"}" },
        { "ticket.transition", "{\"ticket_id\":1,\"status\":\"OPEN\",\"comments\":\"c\"}" },
        { "ticket.assign", "{\"ticket_id\":1,\"assigned_person_id\":5}" },
        { "ticket.escalate", "{\"ticket_id\":1}" },
        { "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"action\":\"A\",\"details\":[1]}}" },
        { "ticket.bulk_update", "{\"ticket_ids\":[1,2],\"priority\":\"HIGH\",\"comments\":\"d\"}" },
        { "job.create",
          "{\"identifier\":\"TASK\",\"type\":\"ADHOC\",\"starts_at\":\"2026-11-24T09:00:00Z\",\"checkpoints\":"
          "[{\"asset_id\":1,\"question_set_id\":1,\"seq\":1},{\"asset_id\":2,\"question_set_id\":1,\"seq\":2}]}" },
        { "job.create",
          "{\"parent_id\":1,\"identifier\":\"TASK\",\"type\":\"ADHOC\",\"starts_at\":\"2026-11-24T09:00:00Z\"}" },
        { "job.transition", "{\"jobneed_id\":1,\"status\":\"INPROGRESS\"}" },
        { "job.update_checkpoint", "{\"jobneed_id\":2,\"parent_id\":1,\"seq\":5}" },
        { "json.merge", "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\",\"value\":{\"a\":{\"b\":[1,2]}}}" },
        { "json.append", "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\",\"key\":\"k\",\"value\":\"\\u0041\"}" },
        { "job.autoclose_checkpoints", "{\"jobneed_id\":1}" },
        { "job.autoclose", "{\"jobneed_id\":1,\"notify\":\"RAISETICKETNOTIFY\"}" },
        { "face.record_verification", "{\"verification_id\":1,\"model_id\":1,\"user_id\":3,\"result\":\"SUCCESS\"}" },
    };
    enum
    {
        COUNT = sizeof(orders) / sizeof(orders[0]),
        BLOCK = 256 * 1024, /* more than the whole takes */
        LEFT_MAX = 24 * 1024,
        STEP = 48,
    };
    struct core core;
    core_init(&core);
    core_put_ticket(&core, 1, TICKET_NEW);
    core_put_ticket(&core, 2, TICKET_NEW);
    core_put_jobneed(&core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(&core, 2, 1, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    core_put(&core, &entity_face_model_counter, &(struct face_counter_row){ .id = int_of(1) });
    int failed = 0, decided = 0;
    assert_non_null(arena_take(&core.batch, BLOCK));
    struct command commands[COUNT];
    for (size_t left = 0; left < LEFT_MAX; left += STEP)
    {
        arena_reset(&core.batch, 2 * BLOCK);
        core.rows = rows_new(&core.batch);
        for (int i = 0; i < COUNT; i++)
        {
            core_decode(&core, orders[i].type, orders[i].data, &commands[i]);
            commands[i].workflow->needs(&commands[i], core.rows);
        }
        core_load_all(&core);
        memory_is_out = true;
        assert_non_null(arena_take(&core.batch, core.batch.total - core.batch.used - left));
        for (int i = 0; i < COUNT; i++)
        {
            struct decision decision = { .outcome = OUTCOME__COUNT,
                                         .arena = &core.batch,
                                         .aggregate = commands[i].aggregate };
            rows_begin(core.rows);
            commands[i].workflow->decide(&commands[i], core.rows, &decision);
            assert_true(decision.outcome < OUTCOME__COUNT);
            *(arena_failed(&core.batch) ? &failed : &decided) += 1;
            if (i % 3 && decision.outcome == OUTCOME_APPLIED)
                rows_keep(core.rows);
            else
                rows_undo(core.rows);
            buffer_done(&decision.metadata);
        }
        memory_is_out = false;
    }
    assert_true(failed > COUNT && decided > COUNT);
    core_done(&core);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wanted_row_is_there_once_and_not_read_before_it_is_loaded),
        TEST(ten_thousand_rows_are_found_while_the_table_grows),
        TEST(children_hang_in_id_order_whatever_order_they_come_in),
        TEST(an_edit_is_listed_once_a_step_with_the_content_before_it),
        TEST(undo_brings_back_rows_appended_rows_counters_and_ids),
        TEST(the_first_appended_row_can_be_undone),
        TEST(inserted_then_deleted_is_never_written),
        TEST(deleted_then_inserted_is_another_row_of_the_same_id),
        TEST(deleted_and_inserted_in_a_step_that_is_undone_it_is_the_row_it_was),
        TEST(children_of_another_table_hang_under_their_root),
        TEST(a_look_by_id_sees_what_the_batch_made_of_the_row),
        TEST(drawn_ids_pass_over_rows_that_the_batch_made),
        TEST(looks_are_asked_once_and_answered_by_their_key),
        TEST(a_row_in_other_hands_is_met_not_taken_for_absent),
        TEST(without_memory_every_call_still_answers),
        cmocka_unit_test(a_batch_may_run_out_of_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
