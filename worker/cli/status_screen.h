/* Status screen: the documents of /status, for people: the verdict first, then each thing to look at with the next step,
 * then the numbers.
 *
 * Threads    one owner.
 * Ownership  documents are borrowed for the call; status_screen_done frees.
 * Failure    members that a worker of another version does not have are left out; without memory the buffers fail.
 */
#ifndef WORKER_CLI_STATUS_SCREEN_H
#define WORKER_CLI_STATUS_SCREEN_H

#include <jansson.h>

#include "workflows/base/buffer.h"

struct status_screen
{
    struct buffer things;
    int count;     /* of things to look at */
    int not_ready; /* workers that are not ready, or do not answer */
};

#define STATUS_SCREEN_EMPTY ((struct status_screen){ BUFFER_EMPTY, 0, 0 })

void status_screen_done(struct status_screen *screen);

/* Things to look at in a worker: held keys, partitions that do not move, Redis, partitioners. `who`: said before
 * each; "" where there is one worker only. */
void status_screen_add_worker(struct status_screen *screen, const char *who, json_t *document);
/* Things to look at in its group: pauses. */
void status_screen_add_group(struct status_screen *screen, json_t *document);
/* A worker that should answer and does not. */
void status_screen_add_missing(struct status_screen *screen, const char *who, struct span why);

/* "READY, 2 things to look at". */
void status_screen_print_verdict(const struct status_screen *screen, struct buffer *into);
/* "group interlock, 1 of 1 workers ready, exactly once, up 3 h". */
void status_screen_print_where(json_t *document, struct buffer *into);
/* Backlog, partitions, rate; parked commands and dead letters. */
void status_screen_print_work(json_t *document, struct buffer *into);
void status_screen_print_group(json_t *document, struct buffer *into);

#endif
