/* Fixture tables: the rows of the tests, in memory, with the CHECK and unique constraints that the schema would hold
 * them to. Of fixture.h, which includes it.
 */
#ifndef TESTS_UNIT_FIXTURE_TABLES_H
#define TESTS_UNIT_FIXTURE_TABLES_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "workflows/attendance/attendance.h"
#include "workflows/document/text.h"
#include "workflows/face/face.h"
#include "workflows/job/job.h"
#include "workflows/ticket/ticket.h"

enum
{
    FIXTURE_BATCH_MAX = 1000,
    FIXTURE_FIRST_DRAWN = 1000000,
    FIXTURE_NOW = 1700000000,
};

struct table /* rows of one base entity, one piece of memory each */
{
    void **rows;
    size_t count, capacity;
};

struct answer
{
    enum outcome outcome;
    enum reason reason;
    enum operation operation;
    struct aggregate aggregate;
    char metadata[8192];
    int64_t version_from, version_to; /* of the aggregate's root; 0 where there is none */
    int further;                      /* other roots that were edited */
    bool busy;
};

struct fixture
{
    struct arena batch;
    struct arena lasting;
    struct table tables[PLACE__COUNT];
    struct rows *rows;
    int64_t next_id;
    int64_t now_us;
    struct id busy; /* a row of `busy_entity` that somebody else holds */
    const struct entity *busy_entity;
    int looks; /* look-ups made by the last batch */
};

/* The entity under which a table's rows are stored: views and counters look at the same table. */
static inline const struct entity *fixture_base(const struct entity *entity)
{
    if (entity == &entity_ticket_of_jobneed)
        return &entity_ticket;
    if (entity == &entity_geofence_assignment)
        return &entity_job;
    return entity == &entity_face_model ? &entity_face_model_counter : entity;
}

static inline void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){ .next_id = FIXTURE_FIRST_DRAWN, .now_us = FIXTURE_NOW };
    arena_init(&fixture->batch);
    arena_init(&fixture->lasting);
}

static inline void fixture_done(struct fixture *fixture)
{
    for (int place = 0; place < PLACE__COUNT; place++)
    {
        for (size_t i = 0; i < fixture->tables[place].count; i++)
            free(fixture->tables[place].rows[i]);
        free(fixture->tables[place].rows);
    }
    arena_done(&fixture->batch);
    arena_done(&fixture->lasting);
}

/* jsonb gives back another text than it was given: here the canonical form. */
static inline struct span fixture_keep_text(struct fixture *fixture, const struct column *column, struct span text)
{
    struct buffer form = BUFFER_EMPTY;
    if (column->kind == COLUMN_JSONB && text.at)
    {
        assert_true(json_text_print_canonical(&fixture->lasting, text, &form));
        text = buffer_span(&form);
    }
    struct span kept = arena_copy(&fixture->lasting, text);
    buffer_done(&form);
    return kept;
}

static inline void fixture_keep_vector(struct fixture *fixture, const float **vector)
{
    if (!*vector)
        return;
    float *kept = arena_take(&fixture->lasting, VECTOR_LENGTH * sizeof(float));
    memcpy(kept, *vector, VECTOR_LENGTH * sizeof(float));
    *vector = kept;
}

static inline void fixture_keep(struct fixture *fixture, const struct entity *entity, void *row)
{
    for (int i = 0; i < entity->column_count; i++)
    {
        const struct column *column = &entity->columns[i];
        if (column->kind == COLUMN_VECTOR)
            fixture_keep_vector(fixture, entity_field(column, row));
        if (column->kind != COLUMN_TEXT && column->kind != COLUMN_JSON && column->kind != COLUMN_JSONB)
            continue;
        struct span *text = entity_field(column, row);
        *text = fixture_keep_text(fixture, column, *text);
    }
}

static inline bool fixture_same_key(const struct entity *entity, int key_count, const void *a, const void *b)
{
    for (int i = 0; i < key_count; i++)
        if (!column_equal(&entity->columns[i], a, b))
            return false;
    return true;
}

static inline void *fixture_find(const struct fixture *fixture, const struct entity *entity, const void *key)
{
    const struct table *table = &fixture->tables[entity->place];
    for (size_t i = 0; i < table->count; i++)
        if (fixture_same_key(entity, entity->key_count, table->rows[i], key))
            return table->rows[i];
    return NULL;
}

static inline void *fixture_find_id(const struct fixture *fixture, const struct entity *entity, struct id id)
{
    char key[512] = { 0 };
    assert_true(entity->row_size <= sizeof(key));
    if (entity->columns[0].kind == COLUMN_UUID)
        *(struct id *)entity_field(&entity->columns[0], key) = id;
    else
        *(struct field_int *)entity_field(&entity->columns[0], key) = int_of((int64_t)id.low);
    return fixture_find(fixture, entity, key);
}

static inline const struct ticket_row *fixture_ticket(const struct fixture *fixture, int64_t id)
{
    return fixture_find_id(fixture, &entity_ticket, id_of(id));
}

static inline const struct jobneed_row *fixture_jobneed(const struct fixture *fixture, int64_t id)
{
    return fixture_find_id(fixture, &entity_jobneed, id_of(id));
}

static inline void fixture_check_assigned(struct field_int person, struct field_int group)
{
    assert_true(!person.set || person.value > 1);
    assert_true(!group.set || group.value > 1);
}

/* The CHECKs and unique constraints of the schema: decide mirrors every one (PROTOCOL B3). */
static inline void fixture_check_ticket(const struct fixture *fixture, const struct ticket_row *row)
{
    assert_true(row->id.value > 0 && row->version.value >= 0 && row->level.value >= 0 && row->level.value <= INT32_MAX);
    assert_true(row->history_count.set && row->history_count.value >= 0);
    assert_true(row->status > 0 && row->priority > 0 && row->source > 0);
    fixture_check_assigned(row->assigned_person_id, row->assigned_group_id);
    const struct table *table = &fixture->tables[PLACE_TICKET];
    for (size_t i = 0; i < table->count && row->jobneed_id.set; i++)
    {
        const struct ticket_row *other = table->rows[i];
        assert_true(other->id.value == row->id.value || !other->jobneed_id.set ||
                    other->jobneed_id.value != row->jobneed_id.value);
    }
}

static inline void fixture_check_jobneed(const struct fixture *fixture, const struct jobneed_row *row)
{
    assert_true(row->id.value > 0 && row->status > 0 && row->identifier > 0 && row->type > 0 && row->starts_at.set);
    assert_true(row->seq.set && row->grace_minutes.set && row->attachment_count.set && row->other_info.at);
    assert_true(!row->expires_at.set || row->expires_at.value >= row->starts_at.value);
    assert_true(!row->ended_at.set || !row->started_at.set || row->ended_at.value >= row->started_at.value);
    assert_true(!row->parent_id.set || row->parent_id.value != row->id.value);
    fixture_check_assigned(row->assigned_person_id, row->assigned_group_id);
    const struct table *table = &fixture->tables[PLACE_JOBNEED];
    for (size_t i = 0; i < table->count && row->parent_id.set && row->asset_id.set && row->question_set_id.set; i++)
    {
        const struct jobneed_row *other = table->rows[i];
        assert_true(other->id.value == row->id.value ||
                    !(other->parent_id.set && other->parent_id.value == row->parent_id.value && other->asset_id.set &&
                      other->asset_id.value == row->asset_id.value && other->question_set_id.set &&
                      other->question_set_id.value == row->question_set_id.value));
    }
}

static inline void fixture_check_place(struct field_number latitude, struct field_number longitude,
                                       struct field_int punched)
{
    assert_true(latitude.set == longitude.set && (!latitude.set || punched.set));
    assert_true(!latitude.set || (latitude.value >= -90 && latitude.value <= 90));
    assert_true(!longitude.set || (longitude.value >= -180 && longitude.value <= 180));
}

static inline void fixture_check_attendance(const struct attendance_row *row)
{
    assert_true(row->version.value >= 0 && row->person_id.set && row->person_id.value > 1 && row->extras.at);
    assert_true((!row->site_id.set || row->site_id.value > 0) && (!row->shift_id.set || row->shift_id.value > 1));
    assert_true(row->punch_in.set || row->punch_out.set);
    assert_true(!row->punch_in.set || !row->punch_out.set || row->punch_out.value >= row->punch_in.value);
    fixture_check_place(row->start_latitude, row->start_longitude, row->punch_in);
    fixture_check_place(row->end_latitude, row->end_longitude, row->punch_out);
}

/* Roots are whatever a test makes of them. What is unique among children shows once a batch is written whole. */
static inline void fixture_check_job(const struct job_row *row)
{
    if (!row->parent_id.set)
        return;
    assert_true(row->id.value > 0 && row->parent_id.value != row->id.value && row->identifier > 0);
    assert_true(row->seq.set && row->grace_minutes.set && row->plan_minutes.set && row->expiry_minutes.set);
    assert_true(!row->ends_at.set || row->ends_at.value >= row->starts_at.value);
    assert_true(row->from_minute.set == row->until_minute.set && row->other_info.at);
    fixture_check_assigned(row->person_id, INT_NULL);
    assert_true(row->identifier != IDENTIFIER_GEOFENCE ||
                (row->name.at && row->person_id.set && row->geofence_id.set && row->starts_at.set));
}

static inline void fixture_check(const struct fixture *fixture, const struct entity *entity, const void *row)
{
    if (entity == &entity_job)
        fixture_check_job(row);
    if (entity == &entity_ticket)
        fixture_check_ticket(fixture, row);
    if (entity == &entity_jobneed)
        fixture_check_jobneed(fixture, row);
    if (entity == &entity_attendance)
        fixture_check_attendance(row);
}

/* Stores a copy, in the place of the row with this key if there is one. */
static inline void fixture_put(struct fixture *fixture, const struct entity *entity, const void *row)
{
    struct table *table = &fixture->tables[entity->place];
    assert_ptr_equal(entity, fixture_base(entity));
    void *stored = fixture_find(fixture, entity, row);
    if (!stored)
    {
        if (table->count == table->capacity)
        {
            table->capacity = table->capacity ? table->capacity * 2 : 16;
            table->rows = realloc(table->rows, table->capacity * sizeof(void *));
        }
        stored = table->rows[table->count++] = malloc(entity->row_size);
    }
    memcpy(stored, row, entity->row_size);
    fixture_keep(fixture, entity, stored);
    fixture_check(fixture, entity, stored);
}

static inline void fixture_put_ticket(struct fixture *fixture, int64_t id, int status)
{
    struct ticket_row row = {
        .id = int_of(id),
        .version = int_of(1),
        .history_count = int_of(0),
        .level = int_of(0),
        .status = status,
        .priority = PRIORITY_LOW,
        .source = SOURCE_USERDEFINED,
    };
    fixture_put(fixture, &entity_ticket, &row);
}

/* `parent` 0: a root. */
static inline void fixture_put_jobneed(struct fixture *fixture, int64_t id, int64_t parent, int status, int identifier)
{
    struct jobneed_row row = {
        .id = int_of(id),
        .version = int_of(1),
        .starts_at = int_of(1000),
        .seq = int_of(0),
        .grace_minutes = int_of(0),
        .attachment_count = int_of(0),
        .status = status,
        .identifier = identifier,
        .type = 1,
        .other_info = SPAN_LITERAL("{}"),
    };
    if (parent)
        row.parent_id = int_of(parent);
    fixture_put(fixture, &entity_jobneed, &row);
}

/* The row of a base entity as another entity of its table sees it: columns of the same name. */
static inline void fixture_view(const struct entity *base, const void *row, const struct entity *entity, void *into)
{
    static const size_t sizes[] = {
        [COLUMN_INT64] = sizeof(struct field_int),
        [COLUMN_INT32] = sizeof(struct field_int),
        [COLUMN_BOOL] = sizeof(bool),
        [COLUMN_TEXT] = sizeof(struct span),
        [COLUMN_NAME] = sizeof(int),
        [COLUMN_TIME] = sizeof(struct field_int),
        [COLUMN_JSON] = sizeof(struct span),
        [COLUMN_JSONB] = sizeof(struct span),
        [COLUMN_UUID] = sizeof(struct id),
        [COLUMN_NUMBER] = sizeof(struct field_number),
        [COLUMN_VECTOR] = sizeof(const float *),
    };
    for (int i = 0; i < entity->column_count; i++)
        for (int n = 0; n < base->column_count; n++)
            if (!(entity->columns[i].flags & COLUMN_UNREAD) &&
                strcmp(entity->columns[i].name, base->columns[n].name) == 0)
                memcpy(entity_field(&entity->columns[i], into), entity_field_const(&base->columns[n], row),
                       sizes[entity->columns[i].kind]);
}

#endif
