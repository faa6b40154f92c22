/* Pause board: the pauses of topics, partitions and everything (PROTOCOL L5), as one thread of the process reads them
 * from PostgreSQL and the poll threads obey them; and back, which partitions obey and have nothing in flight.
 *
 * Locks      one of its own, for short.
 * Ownership  texts are copied.
 * Failure    no memory: the board stays as it was, and what obeys is told again.
 */
#ifndef CONSUMERS_PARKING_PAUSE_BOARD_H
#define CONSUMERS_PARKING_PAUSE_BOARD_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "workflows/base/buffer.h"

struct pause_board;

struct pause_board *pause_board_new(void);
void pause_board_free(struct pause_board *board);

/* Rows: scope, target. `epoch`: of parking, of the snapshot that they were read in. */
void pause_board_set(struct pause_board *board, int64_t epoch, const PGresult *rows, int scope_column,
                     int target_column);

/* Raised whenever the board may answer differently. 0: it was never set. */
uint64_t pause_board_version(const struct pause_board *board);
/* Whether nothing may be read of the partition; *ret_epoch: what the answer knows of. */
bool pause_board_covers(struct pause_board *board, const char *topic, int32_t partition, int64_t *ret_epoch);

struct pause_obeyed
{
    int32_t partition_id;
    int64_t fence, epoch;
    uint8_t token[16];
};

/* A partition reads nothing and has nothing in flight. False: no memory. */
bool pause_board_note_obeyed(struct pause_board *board, const struct pause_obeyed *obeyed);
/* All that was noted; the caller's to free. NULL: nothing. */
struct pause_obeyed *pause_board_take_obeyed(struct pause_board *board, int *ret_count);

#endif
