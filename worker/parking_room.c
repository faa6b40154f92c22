#include "worker/parking_room.h"

#include <pthread.h>
#include <stdatomic.h>

#include "worker/base/hash.h"

static atomic_bool pause_full, full;
static atomic_int full_sources;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards the hashes; taken only while a source is full */
static uint64_t hashes_of_full[PARKING_SOURCES_MAX];

/* Full at the limit, and until it is drained to half. */
static bool is_above(bool was, int64_t count, int64_t limit)
{
    return was ? count > limit / 2 : count >= limit;
}

bool parking_room_note(const struct parking_count *count, const struct parking_limits *limits)
{
    bool was = atomic_load(&pause_full), was_full = atomic_load(&full);
    bool now = is_above(was, count->paused_commands, PAUSE_COMMANDS_MAX) ||
               is_above(was, count->paused_bytes, limits->paused_bytes);

    atomic_store(&pause_full, now);
    atomic_store(&full, is_above(was_full, count->commands, limits->commands) ||
                            is_above(was_full, count->bytes, limits->bytes));
    return now != was || atomic_load(&full) != was_full;
}

uint64_t parking_room_hash(struct span source)
{
    return hash_add(HASH_START, source);
}

void parking_room_note_sources(const uint64_t *hashes, int count)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < count && i < PARKING_SOURCES_MAX; i++)
        hashes_of_full[i] = hashes[i];
    pthread_mutex_unlock(&mutex);
    atomic_store(&full_sources, count);
}

static bool is_source_full(struct span source)
{
    int count = atomic_load_explicit(&full_sources, memory_order_relaxed);
    bool found = count > PARKING_SOURCES_MAX;

    if (count == 0 || found)
        return found;
    uint64_t hash = parking_room_hash(source);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < count && !found; i++)
        found = hashes_of_full[i] == hash;
    pthread_mutex_unlock(&mutex);
    return found;
}

bool parking_room_is_pause_full(void)
{
    return atomic_load_explicit(&pause_full, memory_order_relaxed);
}

bool parking_room_is_full(struct span source)
{
    return atomic_load_explicit(&full, memory_order_relaxed) || is_source_full(source);
}
