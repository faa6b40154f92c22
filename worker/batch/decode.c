/* Decoding: the messages become commands, and each says which rows it needs. */
#include <assert.h>
#include <string.h>

#include "worker/base/digest.h"
#include "worker/base/fault_point.h"
#include "worker/batch/item.h"
#include "worker/batch/quarantine.h"
#include "worker/settings/settings.h"

static bool add_partition(struct batch *batch, const struct partition *partition)
{
    assert(partition && partition->topic.at);
    for (int i = batch->partition_count - 1; i >= 0; i--)
        if (batch->partitions[i].partition == partition)
            return true;
    if (batch->partition_count == BATCH_PARTITIONS_MAX)
        return false;
    batch->partitions[batch->partition_count++] = (struct batch_partition){ partition, false };
    return true;
}

/* Of two equal identities in one batch the first is the command, the other its duplicate (PROTOCOL B1). */
static void note_identity(struct batch *batch, struct item *item)
{
    uint64_t hash;

    memcpy(&hash, item->command.identity, sizeof(hash));
    for (uint32_t at = (uint32_t)hash & (batch->identity_slots - 1);; at = (at + 1) & (batch->identity_slots - 1))
    {
        struct item *other = batch->by_identity[at];
        if (other == NULL)
        {
            batch->by_identity[at] = item;
            return;
        }
        assert(other != item); /* or it would be its own duplicate */
        if (memcmp(other->command.identity, item->command.identity, DIGEST_SIZE) == 0)
        {
            item_become(item, ITEM_REPEATED);
            item->twin = other;
            return;
        }
    }
}

/* A command whose refusal is recorded needs its root alone: the record has its version. */
static void want_rows(struct batch *batch, const struct command *command)
{
    const struct entity *root = batch_root_entity(command->aggregate.kind);

    assert(command->workflow); /* a command of an unknown type carries a refusal */
    if (batch->mode.refused == NULL)
        command->workflow->needs(command, batch->rows);
    else if (root)
        rows_want(batch->rows, root, command->aggregate.id);
}

static bool decode_item(struct batch *batch, struct item *item)
{
    assert(item->state == ITEM_NEW && item->verdict == VERDICT_OPEN); /* nothing of an earlier run is left */
    enum decode_result decoded = batch->tools.decode(item->delivery, &batch->arena, &item->command);

    if (item->delivery->quarantined)
    {
        quarantine_refuse(item->delivery);
        decoded = DECODE_DEAD;
    }
    if (decoded == DECODE_MEMORY || !add_partition(batch, item->delivery->partition))
        return false;
    if ((decoded == DECODE_DEAD || item_may_be_quarantined(item)) &&
        !digest_sha256(&item->delivery->value, 1, item->dead_digest))
        return false;
    if (decoded == DECODE_DEAD)
    {
        item_become(item, ITEM_UNREADABLE);
        return true;
    }
    FAULT_COMMAND(item->command.id);
    if (batch->tools.settings->protections.inbox)
        note_identity(batch, item);
    item->parked.rows_loaded = item->state == ITEM_NEW;
    batch->any_returned = batch->any_returned || item->delivery->has_return_token;
    if (item->state == ITEM_NEW && item->command.refusal == REASON_NONE)
        want_rows(batch, &item->command);
    return true;
}

enum batch_end batch_decode(struct batch *batch, struct delivery *const *deliveries, int count)
{
    batch->count = count;
    batch->items = arena_take_zeroed(&batch->arena, (size_t)count * sizeof(*batch->items));
    batch->partitions = arena_take(&batch->arena, BATCH_PARTITIONS_MAX * sizeof(*batch->partitions));
    batch->partition_count = 0;
    batch->fence_at = -1;
    batch->identity_slots = 16;
    while (batch->identity_slots < (uint32_t)count * 2)
        batch->identity_slots *= 2;
    assert((batch->identity_slots & (batch->identity_slots - 1)) == 0); /* the mask reaches every slot */
    batch->by_identity = arena_take_zeroed(&batch->arena, batch->identity_slots * sizeof(struct item *));
    batch->rows = rows_new(&batch->arena);
    if (arena_failed(&batch->arena))
        return BATCH_AGAIN;
    for (int i = 0; i < count; i++)
    {
        batch->items[i].delivery = deliveries[i];
        if (!decode_item(batch, &batch->items[i]))
            return BATCH_AGAIN;
        if (batch_is_heavy(batch))
            return BATCH_SPLIT;
    }
    return arena_failed(&batch->arena) ? BATCH_AGAIN : BATCH_DONE;
}
