/* Cell: one Kafka consumer with its lanes and its producer, from joining the group to leaving it. Cells share nothing;
 * a process runs consumers.count of them. Read cell.c first: it is the life of a message up to the lanes; publisher.c
 * is the rest.
 *
 *   poll thread (consumer, assignment, back-pressure) -> lanes (worker/lane) -> publisher thread (producer, watermarks)
 *
 * Threads    cell_new, cell_start, cell_quiet, cell_stop, cell_free: the main thread. The others: any.
 * Ownership  keeps settings and slot by reference; owns its threads.
 * Failure    waits for Kafka, PostgreSQL and topics; cell_ready says what it waits for.
 */
#ifndef CONSUMERS_POLL_CELL_H
#define CONSUMERS_POLL_CELL_H

#include "workflows/base/buffer.h"

enum
{
    /* times consumers.in_flight_bytes: what is received stops at once that, the events made of it at twice; past this
     * what is in flight of the largest partition is given up, to be read again */
    CELL_BYTES_TIMES = 2,
};

struct held_keys;
struct partition_reports;
struct pause_board;
struct settings;
struct slot;
struct cell;

struct cell *cell_new(const struct settings *settings, int number, struct slot *slot, const char **reterr);
/* Before cell_start: the pauses of partitions that it obeys. */
void cell_use_board(struct cell *cell, struct pause_board *board);
bool cell_start(struct cell *cell, const char **reterr);

/* TSTP: takes no more messages; what is in flight is finished. */
void cell_quiet(struct cell *cell);

/* TERM: asks it to stop dispatching, to finish what is in flight until the deadline (monotonic), and to leave. Returns
 * at once; cell_is_stopped tells, cell_free waits. */
void cell_stop(struct cell *cell, int64_t deadline_us);
bool cell_is_stopped(const struct cell *cell);

/* How many messages were received and not published. A stopped cell has logged them when it ended; another one logs
 * them now, as they are. */
int64_t cell_left(struct cell *cell);

/* Ends the threads; the cell must have been stopped. */
void cell_free(struct cell *cell);

/* The poll thread moves. */
bool cell_is_alive(const struct cell *cell);

/* Partitions are owned, PostgreSQL and Kafka answer; else `why` says what it waits for. */
bool cell_ready(struct cell *cell, char *why, size_t why_size);

/* Adds the keys that its lanes hold back (worker/lane/held_keys.h). */
void cell_held(struct cell *cell, struct held_keys *into);

/* A JSON object. */
void cell_status(struct cell *cell, struct buffer *json);
/* Adds a report of each of its partitions (consumers/poll/partition_report.h). */
void cell_report(struct cell *cell, struct partition_reports *into);

#endif
