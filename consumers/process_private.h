/* Process, private: what process.c (the order of start and end) and consumers/process_view.c (what others may ask)
 * share. Nobody else includes it. */
#ifndef CONSUMERS_PROCESS_PRIVATE_H
#define CONSUMERS_PROCESS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "consumers/audit_merge.h"
#include "consumers/process.h"
#include "consumers/process_group.h"

enum
{
    CELLS_MAX = 64,
};

struct process
{
    const struct settings *settings;
    struct slot *slot;
    struct cell *cells[CELLS_MAX];
    atomic_int cell_count; /* writer: main, when all cells are there; readers: main and HTTP */
    struct returner *returner;
    struct pause_board *board;   /* from the returner to the cells */
    struct rights_watch *rights; /* main starts it before http, and stops it after */
    struct http *http;
    char http_where[300]; /* "": it listens nowhere */
    int signals;          /* signalfd */
    int64_t begun_us;     /* Unix */
    bool quiet;
    int64_t stop_deadline_us; /* monotonic; 0: nobody asked for the end */
    int64_t next_warning_us, next_held_us;
    int code;
    struct process_group group;
    struct audit_merge merge; /* of the returner's thread */

    pthread_mutex_t mutex; /* guards what follows */
    char slot_why[256];    /* why there is no slot, for HTTP */
    pthread_cond_t over;
    bool ended; /* every thread has ended: the thread that bounds the end has nothing to do */
};

/* The cells that are there, each of them whole. */
static inline int process_cells(const struct process *process)
{
    return atomic_load_explicit(&process->cell_count, memory_order_acquire);
}

/* consumers/process_view.c. The HTTP endpoint, where the settings name one; without it the process runs all the same.
 */
void process_start_http(struct process *process);

/* Whether the process is ready, and why not. */
bool process_is_ready(void *process, struct buffer *why);
void process_init_group(struct process *process);

/* The metric of the oldest held key, and a line in the log once a minute while one is held for long. */
void process_watch_held(struct process *process);

#endif
