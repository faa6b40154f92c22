/* Returner: the thread that brings parked commands back when they are due (PROTOCOL L4): it publishes their bytes again
 * to their topic and partition, in the order of their aggregate, with the header interlock.return, again until
 * PostgreSQL no longer has them, but not while a copy is still unread (consumers/parking/claims.h). One works at a time
 * in a group: each round is one statement under an advisory lock.
 *
 * It publishes the actions of operators on the audit topic, too (consumers/parking/operator_events.h).
 *
 * Nothing rests on what it publishes: a return is applied by a batch that finds its token in PostgreSQL, once.
 *
 * Threads    its own; returner_print: any.
 * Locks      one, around what returner_print reads.
 * Ownership  keeps the settings and the board of pauses by reference.
 * Failure    PostgreSQL or Kafka away: it tries again and says so once a minute; what is due stays where it is.
 */
#ifndef CONSUMERS_PARKING_RETURNER_H
#define CONSUMERS_PARKING_RETURNER_H

#include "workflows/base/buffer.h"

struct pause_board;
struct settings;
struct returner;

/* Runs a statement in the returner's session. NULL: the session is lost, or the server refused; it is said. */
typedef struct pg_result *returner_ask_fn(void *asker, const char *sql, int count, const char *const *values);

/* Whoever may use the session between two rounds, for a moment. `leave`: the last time, with a second for it. */
struct returner_guest
{
    void (*round)(void *owner, returner_ask_fn *ask, void *asker);
    void (*leave)(void *owner, returner_ask_fn *ask, void *asker);
    void *owner;
};

struct returner *returner_start(const struct settings *settings, struct pause_board *board,
                                const struct returner_guest *guest, const char **reterr);
/* From now on it brings nothing back, because nobody would read it. Any thread. */
void returner_quiet(struct returner *returner);
void returner_stop(struct returner *returner); /* joins; NULL is fine */

/* {"commands":3,"early":2,"held":1,...,"next_due":"...","stuck":[...]} of the whole group, as of some seconds ago; times
 * are null where there is no such command. */
void returner_print(struct returner *returner, struct buffer *json);

#endif
