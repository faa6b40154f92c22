#include "worker/batch/item.h"

#include <assert.h>

/* Bits of the states that a state may become. */
#define TO(state) (1u << (state))

static const unsigned next_states[ITEM__STATES] = {
    [ITEM_NEW] = TO(ITEM_UNREADABLE) | TO(ITEM_KNOWN) | TO(ITEM_REPEATED) | TO(ITEM_FENCED),
    [ITEM_REPEATED] = TO(ITEM_UNREADABLE) | TO(ITEM_KNOWN) | TO(ITEM_FENCED),
    [ITEM_KNOWN] = TO(ITEM_UNREADABLE) | TO(ITEM_NEW), /* new once more: a parked command that came back */
    [ITEM_UNREADABLE] = TO(ITEM_FENCED),
    [ITEM_FENCED] = 0,
};

void item_become(struct item *item, enum item_state state)
{
    assert(item->verdict == VERDICT_OPEN);
    assert(next_states[item->state] & TO(state));
    item->state = state;
}

void item_conclude(struct item *item, enum verdict verdict, enum answer answer)
{
    assert(item->verdict == VERDICT_OPEN && verdict != VERDICT_OPEN); /* nothing is answered twice */
    assert((verdict == VERDICT_HOLD) == (item->hold != HOLD_NOT));
    assert((verdict == VERDICT_PARK) == (item->park != PARK_NOT));
    assert((verdict == VERDICT_DEAD) == (item->state == ITEM_UNREADABLE) || verdict == VERDICT_HOLD);
    assert((verdict == VERDICT_FENCED) == (item->state == ITEM_FENCED) || verdict == VERDICT_HOLD);
    item->verdict = verdict;
    if (verdict != VERDICT_HOLD)
        item->delivery->answer = answer;
}

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

struct span item_print_aggregate(struct batch *batch, const struct command *command)
{
    char key[AGGREGATE_KEY_MAX];

    if (command->aggregate.kind == AGGREGATE_NONE)
        return SPAN_NULL;
    size_t size = aggregate_print(command->aggregate, key);
    return arena_copy(&batch->arena, (struct span){ key, size });
}
