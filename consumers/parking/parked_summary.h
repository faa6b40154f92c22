/* Parked summary: how much is parked of the whole group, and which commands are because their rows are held: for
 * status, metrics and the log.
 *
 * Threads    values; no state.
 * Failure    none; texts that are too long are cut.
 */
#ifndef CONSUMERS_PARKING_PARKED_SUMMARY_H
#define CONSUMERS_PARKING_PARKED_SUMMARY_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

enum
{
    PARKED_STUCK_MAX = 5, /* told by name: the first that were parked */
};

struct parked_stuck
{
    char aggregate[160], type[80], id[160], topic[256], partition[16], parked_at[40], parkings[16];
};

struct parked_summary
{
    int64_t commands, early, held, behind, paused, redriven, replayed;
    /* Empty: there is none. A command behind another one, paused or on its way is not the next one that is due */
    char next_due[40], oldest[40], next_early[40];
    struct parked_stuck stuck[PARKED_STUCK_MAX];
    int stuck_count;
};

extern const char parked_count_sql[];
extern const char parked_stuck_sql[];

void parked_summary_count(struct parked_summary *summary, const PGresult *counted);
void parked_summary_name(struct parked_summary *summary, const PGresult *named);
void parked_summary_print(const struct parked_summary *summary, struct buffer *json);

#endif
