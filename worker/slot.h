/* Slot: the number of this process among those of its group on this database (PROTOCOL O1). It is held by a session
 * advisory lock; transactional ids and group instance ids are made of it, so they stay the same over restarts.
 *
 * The keys of the lock contain a hash of the consumer group: locks are per database, and several groups may share one.
 *
 * Threads    slot_keep, slot_hurry: the owner loop (main). slot_is_held, slot_number: any.
 * Ownership  keeps the settings by reference.
 * Failure    a lost session is opened again by slot_keep, which tries our own number first, then the smallest free one.
 */
#ifndef WORKER_SLOT_H
#define WORKER_SLOT_H

#include <stdbool.h>
#include <stdint.h>

struct settings;
struct slot;

enum
{
    SLOTS_MAX = 1024, /* processes of one group */
};

enum slot_event
{
    SLOT_SAME,    /* nothing new */
    SLOT_TAKEN,   /* held now: slot_number */
    SLOT_LOST,    /* the session is gone: no producer may be built until SLOT_TAKEN */
    SLOT_WAITING, /* not held; slot_problem says why */
    SLOT_REFUSED, /* the schema belongs to another consumer group (PROTOCOL O2): slot_problem names it */
};

struct slot *slot_new(const struct settings *settings);
void slot_free(struct slot *slot);

/* The process ends: from now on no wait of slot_keep goes on past the deadline (monotonic). */
void slot_hurry(struct slot *slot, int64_t deadline_us);

/* One step of keeping it: waits up to `wait_us` for something to happen to the session, or for `wake_fd` (-1: none) to
 * become readable. While there is no session it tries to open one, with pauses in between. */
enum slot_event slot_keep(struct slot *slot, int wake_fd, int64_t wait_us);

bool slot_is_held(const struct slot *slot);
int slot_number(const struct slot *slot); /* the last one held; -1: there was no slot yet */

const char *slot_problem(const struct slot *slot);
const char *slot_where(const struct slot *slot);

#endif
