/* Pause watch: what the returner does for pauses (PROTOCOL L5), besides bringing back what waited for them. Once a second
 * it reads them, ends those whose time is over, makes due what waits for a pause that has ended, puts those of partitions
 * on the board, and writes which partitions obey.
 *
 * Threads    one owner, the returner.
 * Ownership  keeps the board by reference.
 * Failure    `ask` has said why; a second later it tries again.
 */
#ifndef CONSUMERS_PARKING_PAUSE_WATCH_H
#define CONSUMERS_PARKING_PAUSE_WATCH_H

#include "consumers/parking/claims.h"
#include "consumers/parking/pause_board.h"

struct pause_watch
{
    claims_ask_fn *ask;
    void *owner;
    struct pause_board *board;
    const struct settings *settings;
    int64_t next_us, next_count_us;
    bool sources_full;
    struct pause_obeyed *obeyed; /* not written yet */
    int obeyed_count;
};

void pause_watch_step(struct pause_watch *watch, int64_t now_us);
void pause_watch_done(struct pause_watch *watch);

#endif
