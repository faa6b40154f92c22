#include "consumers/partition/backlog.h"

#include <string.h>

static int64_t load(const atomic_int_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(atomic_int_fast64_t *value, int64_t now)
{
    atomic_store_explicit(value, now, memory_order_relaxed);
}

void backlog_init(struct backlog *backlog)
{
    backlog->mark = -1;
    atomic_init(&backlog->end, -1);
}

/* Where there are too many, every second one goes: the messages after it count as old as those before it. */
void backlog_take(struct backlog *backlog, uint64_t sequence, int64_t timestamp_us)
{
    if (backlog->age_count == BACKLOG_AGES)
    {
        for (int i = 0; i < BACKLOG_AGES / 2; i++)
            backlog->ages[i] = backlog->ages[2 * i];
        backlog->age_count = BACKLOG_AGES / 2;
    }
    backlog->ages[backlog->age_count++] = (struct backlog_age){ sequence, timestamp_us };
}

void backlog_note_received(struct backlog *backlog, uint64_t next_sequence)
{
    store(&backlog->received, (int64_t)next_sequence);
}

void backlog_note_mark(struct backlog *backlog, int64_t offset)
{
    backlog->mark = offset;
}

void backlog_note_answered(struct backlog *backlog, uint64_t answered, uint64_t undecided_from)
{
    store(&backlog->answered, (int64_t)answered);
    store(&backlog->undecided_from, (int64_t)undecided_from);
}

static int64_t undecided(const struct backlog *backlog)
{
    int64_t answered = load(&backlog->answered), received = load(&backlog->received);
    return received > answered ? received - answered : 0;
}

int64_t backlog_messages(const struct backlog *backlog)
{
    return load(&backlog->unread) + undecided(backlog);
}

/* Forgets the messages that are decided. */
static int64_t find_oldest(struct backlog *backlog)
{
    uint64_t from = (uint64_t)load(&backlog->undecided_from);
    int gone = 0;

    while (gone + 1 < backlog->age_count && backlog->ages[gone + 1].sequence <= from)
        gone++;
    backlog->age_count -= gone;
    memmove(backlog->ages, backlog->ages + gone, (size_t)backlog->age_count * sizeof(*backlog->ages));
    return backlog->age_count > 0 ? backlog->ages[0].timestamp_us : 0;
}

static void note_since(atomic_int_fast64_t *since_us, bool is_there, int64_t now_us)
{
    if (!is_there)
        store(since_us, 0);
    else if (load(since_us) == 0)
        store(since_us, now_us);
}

void backlog_look(struct backlog *backlog, int64_t position, int64_t end, bool stable, int64_t now_us)
{
    bool at_mark = backlog->mark >= position;
    int64_t from = at_mark ? backlog->mark : position, left = end > from ? end - from : 0;

    store(&backlog->end, end);
    store(&backlog->unread, at_mark && !stable ? 0 : left);
    store(&backlog->open, at_mark && !stable ? left : 0);
    store(&backlog->oldest_us, find_oldest(backlog));
    note_since(&backlog->since_us, backlog_messages(backlog) > 0, now_us);
    note_since(&backlog->open_since_us, load(&backlog->open) > 0, now_us);
}

int64_t backlog_age_us(const struct backlog *backlog, int64_t now_us, int64_t wall_us)
{
    int64_t since_us = backlog_since_us(backlog), sent_us = load(&backlog->oldest_us);

    if (backlog_messages(backlog) == 0)
        return 0;
    if (undecided(backlog) > 0 && sent_us > 0)
        return wall_us > sent_us ? wall_us - sent_us : 0;
    return since_us > 0 && now_us > since_us ? now_us - since_us : 0;
}
