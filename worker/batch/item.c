#include "worker/batch/item.h"

bool batch_is_heavy(const struct batch *batch)
{
    return batch->arena.total > BATCH_ARENA_MAX && batch->count > 1;
}

const struct entity *batch_root_entity(enum aggregate_kind kind)
{
    for (int i = 0; entities[i]; i++)
        if (entities[i]->root && entities[i]->aggregate == kind)
            return entities[i];
    return NULL;
}

bool item_may_be_quarantined(const struct item *item)
{
    return item->delivery->partition->quarantined || item->delivery->has_return_token;
}
