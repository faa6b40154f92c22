/* Fixture: the functional core on tables in memory. It does what the engine does around a workflow (load, look, draw,
 * decide, stamp versions, write) without PostgreSQL, so that a test is commands as JSON text and rows before and after.
 *
 * Threads    one owner.
 * Ownership  stored rows and answers live until fixture_done.
 * Failure    asserts of cmocka: a row that a CHECK or unique constraint of the schema would refuse is a failed test.
 */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

#include "tests/unit/fixture_tables.h"

/* --- a batch --------------------------------------------------------------------------------------------------- */

static inline void fixture_load(struct fixture *fixture, const struct entity *entity, struct id id)
{
    struct row *row = rows_load(fixture->rows, entity, id);
    const void *stored = fixture_find_id(fixture, entity, id);
    bool busy = fixture->busy_entity == entity && id_equal(fixture->busy, id);
    if (stored && !busy)
        fixture_view(entity, stored, entity, row->loaded);
    rows_settle(fixture->rows, row, busy ? ROW_BUSY : stored ? ROW_LOADED : ROW_ABSENT);
}

/* A child in another's hands makes its root busy: the engine cannot tell what the child holds (PROTOCOL B2). */
static inline void fixture_load_children(struct fixture *fixture, const struct entity *entity, struct id parent)
{
    const struct table *table = &fixture->tables[entity->place];
    for (size_t i = 0; i < table->count; i++)
    {
        const struct field_int *of = entity_field_const(&entity->columns[entity->parent], table->rows[i]);
        struct id id = id_of(((const struct field_int *)table->rows[i])->value);
        struct row *row = rows_find(fixture->rows, entity, id);
        if (of->set && of->value == (int64_t)parent.low && !(row && row->state == ROW_LOADED))
            fixture_load(fixture, entity, id);
        row = rows_find(fixture->rows, entity, id);
        if (of->set && of->value == (int64_t)parent.low && row->state == ROW_BUSY)
            rows_settle(fixture->rows, rows_find(fixture->rows, entity_parent(entity), parent), ROW_BUSY);
    }
}

static inline void fixture_look(struct fixture *fixture)
{
    for (struct row_look *look = rows_looks(fixture->rows); look; look = look->next)
    {
        const struct entity *base = fixture_base(look->entity);
        const struct table *table = &fixture->tables[base->place];
        if (look->answered)
            continue;
        look->answered = true;
        fixture->looks++;
        for (size_t i = 0; i < table->count; i++)
        {
            char view[512] = { 0 };
            fixture_view(base, table->rows[i], look->entity, view);
            if (!fixture_same_key(look->entity, look->key_count, view, look->key))
                continue;
            struct row *row = rows_answer(fixture->rows, look);
            memcpy(row->loaded, view, look->entity->row_size);
            rows_settle(fixture->rows, row, ROW_SEEN);
        }
    }
}

static inline void fixture_load_all(struct fixture *fixture)
{
    for (int e = 0; entities[e]; e++)
    {
        for (struct row *row = rows_first(fixture->rows, entities[e]); row; row = row->next)
            if (row->state == ROW_WANTED)
                fixture_load(fixture, entities[e], row->id);
        for (struct row *row = rows_first(fixture->rows, entity_parent(entities[e]));
             row && entities[e]->parent != COLUMN_NOT_THERE; row = row->next)
            if (row->children_wanted)
                fixture_load_children(fixture, entities[e], row->id);
        while (rows_ids_wanted(fixture->rows, entities[e]) > 0)
        {
            while (fixture_find_id(fixture, entities[e], id_of(fixture->next_id)))
                fixture->next_id++;
            rows_give_id(fixture->rows, entities[e], fixture->next_id++);
        }
    }
    fixture_look(fixture);
}

/* As the envelope does it: the data parsed, decoded, its aggregate told. */
static inline void fixture_decode(struct fixture *fixture, const char *type, const char *data, struct command *command)
{
    struct document_failure failure;
    struct span reterr = SPAN_NULL;
    struct span text = arena_copy(&fixture->batch, span_of(data));
    *command = (struct command){ .type = span_of(type), .actor = SPAN_LITERAL("user/9") };
    command->workflow = workflow_find(command->type);
    assert_non_null(command->workflow);
    if (!document_parse(&fixture->batch, text, &command->document, &failure))
        fail_msg("%s at %zu in %s", failure.what, failure.position, data);
    command->data = &command->document.nodes[0];
    command->parameters = arena_take_zeroed(&fixture->batch, command->workflow->parameters_size);
    if (parameters_decode(command->workflow->parameters, &command->document, command->data, &fixture->batch,
                          command->parameters, &reterr) &&
        command->workflow->identify(command->parameters, &fixture->batch, &command->aggregate, &reterr))
        return;
    command->refusal = REASON_INVALID_DATA;
    command->refusal_metadata = reterr;
    assert_non_null(reterr.at);
}

static inline const struct entity *fixture_root_entity(enum aggregate_kind kind)
{
    for (int e = 0; entities[e]; e++)
        if (entities[e]->root && entities[e]->aggregate == kind)
            return entities[e];
    return NULL;
}

static inline struct field_int *fixture_version(const struct entity *entity, const void *row)
{
    return (struct field_int *)(uintptr_t)entity_field_const(&entity->columns[entity->version], row);
}

static inline bool fixture_is_root(const struct row *row)
{
    if (!row->entity->root || !row->current)
        return false;
    if (row->entity->parent == COLUMN_NOT_THERE)
        return true;
    return !((const struct field_int *)entity_field_const(&row->entity->columns[row->entity->parent], row->current))
                ->set;
}

/* Versions of roots, times and authors of all edited rows, as the engine stamps them. */
static inline void fixture_stamp(struct fixture *fixture, struct answer *answer)
{
    for (struct row_edit *edit = rows_edits(fixture->rows); edit; edit = edit->next)
    {
        const struct entity *entity = edit->row->entity;
        if (!edit->before && edit->row->current && entity->created_at != COLUMN_NOT_THERE)
            *(struct field_int *)entity_field(&entity->columns[entity->created_at], edit->row->current) =
                int_of(fixture->now_us);
        if (!entity->root || !edit->row->current) /* no root's table, or deleted */
            continue;
        struct field_int *version = fixture_version(entity, edit->row->current);
        int64_t from = edit->before ? fixture_version(entity, edit->before)->value : 0;
        *version = int_of(fixture_is_root(edit->row) ? from + 1 : from);
        *(struct field_int *)entity_field(&entity->columns[entity->modified_at], edit->row->current) =
            int_of(fixture->now_us);
        if (!fixture_is_root(edit->row))
            continue;
        if (entity->aggregate == answer->aggregate.kind && id_equal(edit->row->id, answer->aggregate.id))
        {
            answer->version_from = from;
            answer->version_to = from + 1;
        }
        else
            answer->further++;
    }
}

static inline void fixture_answer_metadata(struct answer *answer, struct span metadata)
{
    assert_true(metadata.size < sizeof(answer->metadata));
    memcpy(answer->metadata, metadata.at ? metadata.at : "", metadata.size);
    answer->metadata[metadata.size] = '\0';
}

/* A refusal, and `unchanged`, must have edited nothing of their own accord or be undone: what is left is looked at. */
static inline void fixture_decide(struct fixture *fixture, const struct command *command, struct answer *answer)
{
    const struct workflow *workflow = command->workflow;
    bool named = workflow->name_operation && command->refusal == REASON_NONE;
    *answer = (struct answer){ .outcome = OUTCOME_REJECTED,
                               .operation = named ? workflow->name_operation(command->parameters) : workflow->operation,
                               .aggregate = command->aggregate };
    fixture->now_us++;
    if (command->refusal != REASON_NONE)
    {
        answer->reason = command->refusal;
        fixture_answer_metadata(answer, command->refusal_metadata);
        return;
    }
    const struct entity *entity = fixture_root_entity(command->aggregate.kind);
    if (entity && !(command->workflow->flags & (WORKFLOW_CREATES | WORKFLOW_BULK)) &&
        !rows_read(fixture->rows, entity, command->aggregate.id))
    {
        const struct row *row = rows_find(fixture->rows, entity, command->aggregate.id);
        answer->busy = row && row->state == ROW_BUSY;
        answer->reason = REASON_NOT_FOUND;
        return;
    }
    struct decision decision = {
        .outcome = OUTCOME__COUNT, .arena = &fixture->batch, .now_us = fixture->now_us, .aggregate = command->aggregate
    };
    rows_begin(fixture->rows);
    command->workflow->decide(command, fixture->rows, &decision);
    assert_true(decision.outcome < OUTCOME__COUNT);
    answer->outcome = decision.outcome;
    answer->reason = decision.reason;
    answer->aggregate = decision.aggregate;
    answer->busy = rows_met_busy(fixture->rows);
    if (decision.operation != OPERATION_NONE)
        answer->operation = decision.operation;
    fixture_answer_metadata(answer, buffer_span(&decision.metadata));
    assert_false(buffer_failed(&decision.metadata));
    buffer_done(&decision.metadata);
    if (decision.outcome == OUTCOME_UNCHANGED)
        assert_null(rows_edits(fixture->rows));
    if (decision.outcome != OUTCOME_APPLIED || answer->busy)
    {
        rows_undo(fixture->rows);
        return;
    }
    fixture_stamp(fixture, answer);
    rows_keep(fixture->rows);
}

static inline void fixture_delete(struct fixture *fixture, const struct entity *entity, struct id id)
{
    struct table *table = &fixture->tables[entity->place];
    for (size_t i = 0; i < table->count; i++)
        if (((const struct field_int *)table->rows[i])->value == (int64_t)id.low)
        {
            free(table->rows[i]);
            table->rows[i] = table->rows[--table->count];
            return;
        }
    fail_msg("nothing to delete");
}

static inline void fixture_add(struct fixture *fixture, const struct entity *entity, const struct row *row)
{
    const struct face_counter_row *added = row->current;
    struct face_counter_row *stored = fixture_find_id(fixture, entity, row->id);
    if (!stored)
    {
        assert_true(entity->upsert);
        fixture_put(fixture, entity, added);
        return;
    }
    stored->verification_count.value += added->verification_count.value;
    stored->successful_verifications.value += added->successful_verifications.value;
    if (!stored->last_used.set || stored->last_used.value < added->last_used.value)
        stored->last_used = added->last_used;
}

/* An update leaves alone what was never read. */
static inline void fixture_write_row(struct fixture *fixture, const struct entity *entity, const struct row *row)
{
    char content[512];
    assert_true(entity->row_size <= sizeof(content));
    memcpy(content, row->current, entity->row_size);
    const void *stored = fixture_find(fixture, entity, row->current);
    for (int i = 0; i < entity->column_count && stored; i++)
        if (entity->columns[i].flags & COLUMN_UNREAD)
            memcpy(entity_field(&entity->columns[i], content), entity_field_const(&entity->columns[i], stored),
                   sizeof(const float *));
    fixture_put(fixture, entity, content);
}

static inline void fixture_write(struct fixture *fixture)
{
    for (int e = 0; entities[e]; e++)
    {
        for (struct row *row = rows_first(fixture->rows, entities[e]); row; row = row->next)
        {
            bool changed = row->state == ROW_LOADED && entity_difference(entities[e], row->loaded, row->current);
            if ((row->state == ROW_DELETED || row->reborn) && row->loaded)
                fixture_delete(fixture, entities[e], row->id);
            if (row->state == ROW_NEW || changed || (row->state == ROW_LOADED && row->reborn))
                fixture_write_row(fixture, entities[e], row);
            else if (row->state == ROW_ADDED)
                fixture_add(fixture, entities[e], row);
        }
        for (struct row *row = rows_first_appended(fixture->rows, entities[e]); row; row = row->next)
        {
            assert_null(fixture_find(fixture, entities[e], row->current));
            fixture_put(fixture, entities[e], row->current);
        }
    }
}

struct order /* one command of a batch */
{
    const char *type;
    const char *data;
};

static inline void fixture_run_batch(struct fixture *fixture, const struct order *orders, size_t count,
                                     struct answer *answers)
{
    struct command *commands = calloc(count, sizeof(*commands));
    arena_reset(&fixture->batch, 1024 * 1024);
    fixture->rows = rows_new(&fixture->batch);
    fixture->looks = 0;
    for (size_t i = 0; i < count; i++)
    {
        fixture_decode(fixture, orders[i].type, orders[i].data, &commands[i]);
        if (commands[i].refusal == REASON_NONE)
            commands[i].workflow->needs(&commands[i], fixture->rows);
    }
    fixture_load_all(fixture);
    for (size_t i = 0; i < count; i++)
        if (commands[i].refusal == REASON_NONE && commands[i].workflow->look)
            commands[i].workflow->look(&commands[i], fixture->rows);
    fixture_look(fixture);
    for (size_t i = 0; i < count; i++)
        fixture_decide(fixture, &commands[i], &answers[i]);
    assert_false(arena_failed(&fixture->batch));
    fixture_write(fixture);
    free(commands);
}

static inline struct answer fixture_run(struct fixture *fixture, const char *type, const char *data)
{
    struct order order = { type, data };
    struct answer answer;
    fixture_run_batch(fixture, &order, 1, &answer);
    return answer;
}

/* --- what tests say -------------------------------------------------------------------------------------------- */

#define assert_applied(given)                                                                                          \
    do                                                                                                                 \
    {                                                                                                                  \
        struct answer answer_ = (given);                                                                               \
        if (answer_.outcome != OUTCOME_APPLIED)                                                                        \
            fail_msg("%s %s", outcome_name(answer_.outcome), answer_.metadata);                                        \
    } while (0)

#define assert_unchanged(given) assert_int_equal((given).outcome, OUTCOME_UNCHANGED)

#define assert_refused(given, expected)                                                                                \
    do                                                                                                                 \
    {                                                                                                                  \
        struct answer answer_ = (given);                                                                               \
        assert_int_equal(answer_.outcome, OUTCOME_REJECTED);                                                           \
        assert_int_equal(answer_.reason, expected);                                                                    \
    } while (0)

#define assert_text(span_, expected)                                                                                   \
    do                                                                                                                 \
    {                                                                                                                  \
        struct span text_ = (span_);                                                                                   \
        const char *expected_ = (expected);                                                                            \
        if (!span_is(text_, expected_))                                                                                \
            fail_msg("expected %s, found %.*s", expected_ ? expected_ : "null", (int)text_.size,                       \
                     text_.at ? text_.at : "null");                                                                    \
    } while (0)

static inline int fixture_setup(void **state)
{
    struct fixture *fixture = malloc(sizeof(*fixture));
    fixture_init(fixture);
    *state = fixture;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

#define FIXTURE_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

#endif
