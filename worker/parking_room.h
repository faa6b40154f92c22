/* Parking room: how much may wait in PostgreSQL (PROTOCOL L4, L5). The returner counts what waits every 2 seconds; lanes
 * read what it found as atomics, so that no batch pays for it. A command without room is held at its offset, and goes
 * on when half of the room is free again.
 *
 * Threads    parking_room_note: the returner. The others: any.
 * Failure    none. Before the first count there is room.
 */
#ifndef WORKER_PARKING_ROOM_H
#define WORKER_PARKING_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "workflows/base/span.h"

enum
{
    PAUSE_COMMANDS_MAX = 100000, /* that wait for pauses; their bytes: worker.pause_bytes */
    PARKING_SOURCES_MAX = 16,    /* full sources that are told apart; more than that: all are full */
};

/* Commands and bytes that wait, and the limits of both. */
struct parking_count
{
    int64_t commands, bytes, paused_commands, paused_bytes;
};

struct parking_limits
{
    int64_t commands, bytes, paused_bytes;
};

/* Takes what was counted. True: whether something is full has changed. */
bool parking_room_note(const struct parking_count *count, const struct parking_limits *limits);
/* The sources that are full: each a hash of its text (parking_room_hash). `count` above PARKING_SOURCES_MAX: all. */
void parking_room_note_sources(const uint64_t *hashes, int count);
uint64_t parking_room_hash(struct span source);

/* Whether no further command may wait for a pause; for any other reason; of this source. */
bool parking_room_is_pause_full(void);
bool parking_room_is_full(struct span source);

#endif
