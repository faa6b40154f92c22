/* Pipeline 1 (PROTOCOL B1): BEGIN, fences, inbox, rows, looks, clock; one round trip. A second one is made only where
 * rows came back short, or a command wants to look at what its rows point to. */
#include <assert.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/batch/item.h"
#include "worker/batch/quarantine.h"
#include "worker/postgres/advisory_locks.h"
#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"

/* Where each answer stands in the pipeline; -1: not sent. */
struct answers
{
    int fence, inbox, dead, clock;
    int next;
    struct
    {
        int lock, exist, children_exist, children, ids;
    } of[ENTITIES_MAX];
};

static const char begin_sql[] = TRANSACTION_BEGIN;
static const char begin_trial_sql[] = TRANSACTION_BEGIN " READ ONLY";
static const char fence_lock_sql[] =
    "SELECT pg_advisory_xact_lock_shared(" SQL_NUMBER(PARTITION_OWNER_LOCK_CLASS) ", p) FROM unnest($1::int4[]) p";
static const char fence_sql[] =
    "SELECT o.id, o.fence, o.owner_token, coalesce(k.parked, true), coalesce(k.pause_epoch, 0) FROM "
    "interlock.partition_owner o LEFT JOIN interlock.parking k ON k.singleton "
    "WHERE o.id = ANY ($1::int4[])";
static const char inbox_sql[] = "SELECT identity, body_digest, kafka_offset, fence, partition_id, parked "
                                "FROM interlock.inbox WHERE identity = ANY ($1::uuid[])";
static const char dead_sql[] =
    "SELECT d.partition_id, d.kafka_offset, d.digest, d.first_failed_at, d.fence "
    "FROM (SELECT unnest($1::int4[]) AS p, unnest($2::int8[]) AS o, unnest($3::bytea[]) AS h) k "
    "JOIN interlock.dead_letter d ON d.partition_id = k.p AND d.kafka_offset = k.o AND d.digest = k.h";
static const int64_t TRIAL_ID = INT64_C(9000000000000000); /* of rows that a trial would make; counted down */
static const char clock_sql[] = "SELECT clock_timestamp()";

/* --- fences (PROTOCOL O4) ---------------------------------------------------------------------------------------- */

static int compare_partitions(const void *a, const void *b)
{
    const struct batch_partition *left = a, *right = b;
    return (left->partition->partition_id > right->partition->partition_id) -
           (left->partition->partition_id < right->partition->partition_id);
}

static bool send_fences(struct batch *batch, struct answers *answers)
{
    struct array *ids = &batch->arrays[0];
    const struct array *parameters[1] = { ids };

    assert(batch->partition_count > 0 && batch->fence_at < 0);
    /* Shared locks in one order, so that two batches and a takeover cannot wait in a circle. */
    qsort(batch->partitions, (size_t)batch->partition_count, sizeof(*batch->partitions), compare_partitions);
    array_begin(ids, ARRAY_INT4);
    for (int i = 0; i < batch->partition_count; i++)
        array_add_int32(ids, batch->partitions[i].partition->partition_id);
    if (!statements_send_fixed(batch->tools.statements, fence_lock_sql, parameters, 1))
        return false;
    batch->fence_at = answers->next++;
    /* A later statement, so a new snapshot: it sees the commit of a takeover that had the lock before. */
    answers->fence = answers->next++;
    return statements_send_fixed(batch->tools.statements, fence_sql, parameters, 1);
}

static void read_fences(struct batch *batch, const PGresult *result)
{
    assert(PQntuples(result) <= batch->partition_count);
    batch->any_parked = PQntuples(result) > 0 && *PQgetvalue(result, 0, 3) != 0;
    batch->pause_epoch = PQntuples(result) > 0 ? array_read_int64(PQgetvalue(result, 0, 4)) : 0;
    for (int r = 0; r < PQntuples(result); r++)
        for (int i = 0; i < batch->partition_count; i++)
        {
            const struct partition *partition = batch->partitions[i].partition;
            if (partition->partition_id == array_read_int32(PQgetvalue(result, r, 0)))
                batch->partitions[i].ours = partition->fence == array_read_int64(PQgetvalue(result, r, 1)) &&
                                            !PQgetisnull(result, r, 2) &&
                                            memcmp(partition->token, PQgetvalue(result, r, 2), 16) == 0;
        }
    bool lost = false;
    for (int i = 0; i < batch->partition_count; i++)
    {
        if (!batch->tools.settings->protections.fence)
            batch->partitions[i].ours = true;
        lost = lost || !batch->partitions[i].ours;
    }
    if (lost)
        metrics_add(METRIC_FENCE_REJECTIONS, 1);
    for (int n = 0; lost && n < batch->count; n++)
        for (int i = 0; i < batch->partition_count; i++)
            if (batch->partitions[i].partition == batch->items[n].delivery->partition && !batch->partitions[i].ours)
                item_become(&batch->items[n], ITEM_FENCED);
}

/* --- inbox ------------------------------------------------------------------------------------------------------- */

static bool send_inbox(struct batch *batch, struct answers *answers)
{
    struct array *identities = &batch->arrays[0];
    const struct array *parameters[1] = { identities };

    array_begin(identities, ARRAY_UUID);
    for (int i = 0; i < batch->count; i++)
        if (batch->items[i].state == ITEM_NEW)
            array_add_bytes(identities, batch->items[i].command.identity, DIGEST_SIZE);
    if (array_is_empty(identities) || !batch->tools.settings->protections.inbox)
        return true;
    answers->inbox = answers->next++;
    return statements_send_fixed(batch->tools.statements, inbox_sql, parameters, 1);
}

static struct item *find_identity(const struct batch *batch, const char *identity)
{
    uint64_t hash;

    memcpy(&hash, identity, sizeof(hash));
    for (uint32_t at = (uint32_t)hash & (batch->identity_slots - 1); batch->by_identity[at];
         at = (at + 1) & (batch->identity_slots - 1))
        if (memcmp(batch->by_identity[at]->command.identity, identity, DIGEST_SIZE) == 0)
            return batch->by_identity[at];
    return NULL;
}

static void read_inbox(struct batch *batch, const PGresult *result)
{
    for (int r = 0; r < PQntuples(result); r++)
    {
        struct item *item = find_identity(batch, PQgetvalue(result, r, 0));
        if (item == NULL || item->state != ITEM_NEW)
            continue;
        item_become(item, ITEM_KNOWN);
        statements_read_row(result, r, 0, &entity_inbox, &batch->arena, &item->inbox);
        item->parked.known = *PQgetvalue(result, r, 5) != 0;
    }
    /* An item with the identity of a known one is known, too: it may have its own record (PROTOCOL R2, id_reused). */
    for (int i = 0; i < batch->count; i++)
        if (batch->items[i].state == ITEM_REPEATED && batch->items[i].twin->state == ITEM_KNOWN)
        {
            assert(batch->items[i].twin < &batch->items[i]); /* the first of an identity is the command */
            batch->items[i].inbox = batch->items[i].twin->inbox;
            batch->items[i].parked.known = batch->items[i].twin->parked.known;
            item_become(&batch->items[i], ITEM_KNOWN);
        }
}

static bool may_be_dead(const struct item *item)
{
    return item->state == ITEM_UNREADABLE || (item->state != ITEM_FENCED && item_may_be_quarantined(item));
}

static bool send_dead(struct batch *batch, struct answers *answers)
{
    const struct array *parameters[3] = { &batch->arrays[0], &batch->arrays[1], &batch->arrays[2] };

    array_begin(&batch->arrays[0], ARRAY_INT4);
    array_begin(&batch->arrays[1], ARRAY_INT8);
    array_begin(&batch->arrays[2], ARRAY_BYTEA);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (!may_be_dead(item))
            continue;
        array_add_int32(&batch->arrays[0], item->delivery->partition->partition_id);
        array_add_int64(&batch->arrays[1], item->delivery->offset);
        array_add_bytes(&batch->arrays[2], item->dead_digest, sizeof(item->dead_digest));
    }
    if (array_is_empty(&batch->arrays[0]))
        return true;
    answers->dead = answers->next++;
    return statements_send_fixed(batch->tools.statements, dead_sql, parameters, 3);
}

static void read_dead(struct batch *batch, const PGresult *result)
{
    for (int r = 0; r < PQntuples(result); r++)
        for (int i = 0; i < batch->count; i++)
        {
            struct item *item = &batch->items[i];
            if (!may_be_dead(item) ||
                item->delivery->partition->partition_id != array_read_int32(PQgetvalue(result, r, 0)) ||
                item->delivery->offset != array_read_int64(PQgetvalue(result, r, 1)) ||
                memcmp(item->dead_digest, PQgetvalue(result, r, 2), sizeof(item->dead_digest)) != 0)
                continue;
            if (item->state != ITEM_UNREADABLE)
            {
                quarantine_refuse(item->delivery);
                item_become(item, ITEM_UNREADABLE);
            }
            item->recorded_dead = true;
            item->delivery->first_failed_us = array_read_time(PQgetvalue(result, r, 3));
            item->inbox.fence = int_of(array_read_int64(PQgetvalue(result, r, 4)));
        }
}

/* --- rows -------------------------------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    const struct id *left = a, *right = b;
    if (left->high != right->high)
        return left->high > right->high ? 1 : -1;
    return (left->low > right->low) - (left->low < right->low);
}

/* Ids of the rows of an entity that are still wanted, in one order; `with_children`: only roots that want theirs. */
static struct id *wanted_ids(struct batch *batch, const struct entity *entity, bool with_children, int *ret_count)
{
    struct id *ids = arena_take(&batch->arena, ((size_t)rows_count(batch->rows, entity) + 1) * sizeof(*ids));

    *ret_count = 0;
    for (struct row *row = rows_first(batch->rows, entity); ids && row; row = row->next)
        if (row->state == ROW_WANTED && (!with_children || row->children_wanted))
            ids[(*ret_count)++] = row->id;
    assert(*ret_count <= rows_count(batch->rows, entity));
    if (ids)
        qsort(ids, (size_t)*ret_count, sizeof(*ids), compare_ids);
    return ids;
}

static enum row_lock row_lock_of(const struct batch *batch)
{
    if (!batch->tools.settings->protections.row_locks || batch->mode.trial)
        return ROW_LOCK_NONE;
    return batch->mode.waiting ? ROW_LOCK_WAIT : ROW_LOCK_SKIP;
}

/* PROTOCOL B1 b, c: the children of the roots that want theirs, whose own statements went before. */
static bool send_children(struct batch *batch, struct answers *answers, int e)
{
    struct statements *statements = batch->tools.statements;
    const struct entity *entity = entities[e];
    int count;

    if (entity->parent == COLUMN_NOT_THERE)
        return true;
    struct id *roots = wanted_ids(batch, entity_parent(entity), true, &count);
    if (roots == NULL || count == 0)
        return roots != NULL;
    answers->of[e].children_exist = answers->next++;
    answers->of[e].children = answers->next++;
    return statements_send_children_exist(statements, entity, roots, count) &&
           statements_send_children_lock(statements, entity, roots, count, row_lock_of(batch));
}

static bool send_rows(struct batch *batch, struct answers *answers, int e)
{
    struct statements *statements = batch->tools.statements;
    const struct entity *entity = entities[e];
    int count, parents;
    struct id *ids = wanted_ids(batch, entity, false, &count);
    struct id *roots = wanted_ids(batch, entity, true, &parents);

    if (ids == NULL || roots == NULL)
        return false;
    if (count > 0)
    {
        answers->of[e].lock = answers->next++;
        if (!statements_send_lock(statements, entity, ids, count, row_lock_of(batch)))
            return false;
    }
    assert(parents <= count);
    if (parents > 0)
    {
        answers->of[e].exist = answers->next++;
        if (!statements_send_exist(statements, entity, ids, count))
            return false;
    }
    if (!send_children(batch, answers, e))
        return false;
    int drawn = entity->draw_ids ? rows_ids_wanted(batch->rows, entity) : 0;
    for (int i = 0; i < drawn && batch->mode.trial; i++)
        rows_give_id(batch->rows, entity, TRIAL_ID - i);
    if (drawn > 0 && !batch->mode.trial)
    {
        /* At worst each row that this batch names takes one of the ids away. */
        drawn += batch->drew_short ? rows_count(batch->rows, entity) : 0;
        answers->of[e].ids = answers->next++;
        return statements_send_draw(statements, entity, drawn);
    }
    return true;
}

static void read_rows(struct batch *batch, const PGresult *result, const struct entity *entity)
{
    for (int r = 0; r < PQntuples(result); r++)
    {
        struct id id = statements_read_id(result, r, 0, &entity->columns[0]);
        struct row *row = rows_find(batch->rows, entity, id);
        if (row && row->state == ROW_LOADED)
            continue; /* a child that was asked for by its own id too */
        row = rows_load(batch->rows, entity, id);
        if (row == NULL)
            return;
        statements_read_row(result, r, 0, entity, &batch->arena, row->loaded);
        memcpy(row->ctid, statements_read_ctid(result, r), TID_SIZE);
        rows_settle(batch->rows, row, ROW_LOADED);
        if (batch_is_heavy(batch))
            return;
    }
}

/* PROTOCOL B2: another session has the rows that exist and were not returned. */
static void read_existing(struct batch *batch, const PGresult *result, const struct entity *entity, bool children)
{
    for (int r = 0; r < PQntuples(result); r++)
    {
        struct id id = statements_read_id(result, r, 0, &entity->columns[0]);
        struct row *row = rows_find(batch->rows, entity, id);
        if (row && row->state == ROW_LOADED)
            continue;
        const struct entity *roots = children ? entity_parent(entity) : entity;
        struct id root = children ? statements_read_id(result, r, 1, &roots->columns[0]) : id;
        row = rows_find(batch->rows, roots, root);
        if (row)
        {
            rows_settle(batch->rows, row, ROW_BUSY);
            batch->any_busy = true;
        }
    }
}

static void read_ids(struct batch *batch, const PGresult *result, const struct entity *entity)
{
    for (int r = 0; r < PQntuples(result); r++)
        rows_give_id(batch->rows, entity, array_read_int64(PQgetvalue(result, r, 0)));
}

/* Rows that neither came nor exist are absent. */
static void settle_absent(struct batch *batch)
{
    for (int e = 0; entities[e]; e++)
        for (struct row *row = rows_first(batch->rows, entities[e]); row; row = row->next)
            if (row->state == ROW_WANTED)
                rows_settle(batch->rows, row, ROW_ABSENT);
}

/* (a) alone came back short: (b) in a round trip of its own. */
static bool look_for_missing(struct batch *batch)
{
    int place[ENTITIES_MAX] = { 0 };
    int sent = 0;

    for (int e = 0; entities[e]; e++)
    {
        int count;
        struct id *ids = wanted_ids(batch, entities[e], false, &count);
        assert(e < ENTITIES_MAX);
        place[e] = -1;
        if (ids == NULL)
            return false;
        if (count == 0)
            continue;
        place[e] = sent++;
        if (!statements_send_exist(batch->tools.statements, entities[e], ids, count))
            return false;
    }
    if (sent == 0)
        return true;
    if (!pipeline_sync(batch->tools.pipeline))
        return false;
    for (int e = 0; entities[e]; e++)
        if (place[e] >= 0)
            read_existing(batch, pipeline_result(batch->tools.pipeline, place[e]), entities[e], false);
    return true;
}

/* --- looks ------------------------------------------------------------------------------------------------------- */

/* All unanswered looks of the first one's entity and key count, as one statement. NULL: none is left. */
static struct row_look **next_looks(struct batch *batch, struct row_look *from, int *ret_count)
{
    int count = 0;

    for (struct row_look *look = from; look; look = look->next)
        count++;
    assert(!from->answered);
    struct row_look **group = arena_take(&batch->arena, ((size_t)count + 1) * sizeof(*group));
    *ret_count = 0;
    for (struct row_look *look = from; group && look; look = look->next)
        if (!look->answered && look->entity == from->entity && look->key_count == from->key_count)
        {
            look->answered = true;
            group[(*ret_count)++] = look;
        }
    return group;
}

struct look_group
{
    struct row_look **looks;
    int count;
    int place;
    struct look_group *next;
};

static bool send_looks(struct batch *batch, int *next_place, struct look_group **ret_groups)
{
    *ret_groups = NULL;
    for (struct row_look *look = rows_looks(batch->rows); look; look = look->next)
    {
        int count;
        if (look->answered)
            continue;
        struct look_group *group = arena_take(&batch->arena, sizeof(*group));
        struct row_look **looks = next_looks(batch, look, &count);
        const void **keys = arena_take(&batch->arena, (size_t)count * sizeof(*keys));
        if (group == NULL || looks == NULL || keys == NULL)
            return false;
        assert(count > 0 && looks[0] == look);
        for (int i = 0; i < count; i++)
            keys[i] = looks[i]->key;
        *group = (struct look_group){ looks, count, (*next_place)++, *ret_groups };
        *ret_groups = group;
        if (!statements_send_look(batch->tools.statements, look->entity, look->key_count, keys, count))
            return false;
    }
    return true;
}

static void read_looks(struct batch *batch, const struct look_group *groups)
{
    for (; groups; groups = groups->next)
    {
        const PGresult *result = pipeline_result(batch->tools.pipeline, groups->place);
        for (int r = 0; r < PQntuples(result); r++)
        {
            int32_t i = array_read_int32(PQgetvalue(result, r, 0));
            assert(i >= 0 && i < groups->count);
            struct row_look *look = groups->looks[i];
            struct row *row = rows_answer(batch->rows, look);
            if (row)
            {
                statements_read_row(result, r, 1, look->entity, &batch->arena, row->loaded);
                rows_settle(batch->rows, row, ROW_SEEN);
            }
        }
    }
}

/* Rows that the loaded rows point to: asked for by the workflows' `look`. */
static bool look_further(struct batch *batch)
{
    struct look_group *groups;
    int answers = 0;

    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        /* A parked command may have come back: batch_look_parked finds that out after the rows. */
        bool may_be_decided = item->state == ITEM_NEW || (item->state == ITEM_KNOWN && item->parked.known);
        if (may_be_decided && item->command.refusal == REASON_NONE && item->command.workflow->look &&
            batch->mode.refused == NULL)
            item->command.workflow->look(&item->command, batch->rows);
    }
    if (!send_looks(batch, &answers, &groups))
        return false;
    if (groups == NULL)
        return true;
    if (!pipeline_sync(batch->tools.pipeline))
        return false;
    read_looks(batch, groups);
    return true;
}

/* --- the pipeline ------------------------------------------------------------------------------------------------ */

static bool send_begin(struct batch *batch, struct answers *answers)
{
    char timeout[64];

    assert(answers->next == 0); /* nothing goes before BEGIN */
    if (!batch->tools.settings->protections.transaction)
        return true;
    if (!statements_send_fixed(batch->tools.statements, batch->mode.trial ? begin_trial_sql : begin_sql, NULL, 0))
        return false;
    answers->next++;
    if (!batch->mode.waiting)
        return true;
    /* PROTOCOL B2: a turn of its own, under a short lock_timeout. */
    int64_t wait_us =
        batch->mode.wait_us > 0 ? batch->mode.wait_us : batch->tools.settings->database.lock_timeout_us / 4;
    snprintf(timeout, sizeof(timeout), "SET LOCAL lock_timeout = '%lldms'", (long long)(wait_us / 1000 + 1));
    answers->next++;
    return pipeline_send_text(batch->tools.pipeline, timeout);
}

static bool send_pipeline(struct batch *batch, struct answers *answers, struct look_group **ret_groups)
{
    batch->begun_us = monotonic_us();
    if (!send_begin(batch, answers))
        return false;
    FAULT_POINT_QUEUED(AFTER_BEGIN, batch->tools.pipeline);
    if (!batch->mode.trial && !send_fences(batch, answers))
        return false;
    FAULT_POINT_QUEUED(AFTER_FENCES, batch->tools.pipeline);
    if (!batch->mode.trial && (!send_inbox(batch, answers) || !send_dead(batch, answers)))
        return false;
    for (int e = 0; entities[e]; e++)
        if (!send_rows(batch, answers, e))
            return false;
    if (!send_looks(batch, &answers->next, ret_groups))
        return false;
    answers->clock = answers->next++;
    return statements_send_fixed(batch->tools.statements, clock_sql, NULL, 0);
}

static void read_pipeline(struct batch *batch, const struct answers *answers, const struct look_group *groups)
{
    struct pipeline *pipeline = batch->tools.pipeline;

    assert((answers->fence >= 0) != batch->mode.trial &&
           answers->clock == answers->next - 1); /* the clock is read last (PROTOCOL R4) */
    if (answers->fence >= 0)
        read_fences(batch, pipeline_result(pipeline, answers->fence));
    if (answers->inbox >= 0)
        read_inbox(batch, pipeline_result(pipeline, answers->inbox));
    if (answers->dead >= 0)
        read_dead(batch, pipeline_result(pipeline, answers->dead));
    for (int e = 0; entities[e]; e++)
    {
        if (answers->of[e].lock >= 0)
            read_rows(batch, pipeline_result(pipeline, answers->of[e].lock), entities[e]);
        if (answers->of[e].children >= 0)
        {
            read_rows(batch, pipeline_result(pipeline, answers->of[e].children), entities[e]);
            read_existing(batch, pipeline_result(pipeline, answers->of[e].children_exist), entities[e], true);
        }
        if (answers->of[e].exist >= 0)
            read_existing(batch, pipeline_result(pipeline, answers->of[e].exist), entities[e], false);
        if (answers->of[e].ids >= 0)
            read_ids(batch, pipeline_result(pipeline, answers->of[e].ids), entities[e]);
    }
    read_looks(batch, groups);
    batch->clock_us = array_read_time(PQgetvalue(pipeline_result(pipeline, answers->clock), 0, 0));
    batch->changed_us = batch->clock_us - 1;
}

bool batch_load(struct batch *batch)
{
    struct answers answers;
    struct look_group *groups = NULL;

    assert(batch->count > 0 && batch->partition_count > 0); /* it is decoded */
    memset(&answers, 0xFF, sizeof(answers));                /* every place -1 */
    answers.next = 0;
    if (!send_pipeline(batch, &answers, &groups) || !pipeline_sync(batch->tools.pipeline))
    {
        batch->fence_failed = pipeline_failed_at(batch->tools.pipeline) <= answers.fence;
        return false;
    }
    read_pipeline(batch, &answers, groups);
    if (batch_is_heavy(batch))
        return !arena_failed(&batch->arena); /* it is run in halves */
    if (!look_for_missing(batch))
        return false;
    settle_absent(batch);
    return look_further(batch) && !arena_failed(&batch->arena);
}
