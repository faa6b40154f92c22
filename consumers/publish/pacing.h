/* Pacing: how long a publication waits for more answers.
 *
 * A Kafka transaction of any size costs librdkafka 2.0.2 about 2 ms of CPU (its main thread spins up to the next
 * timer), so the commands of a backlog are published in few of them: the wait is a quarter of the age that they had
 * when they were answered. A command that came through at once waits only for the moment that the broker needs
 * to write the markers of the transaction before: asked too early it answers CONCURRENT_TRANSACTIONS, and librdkafka
 * asks again and again (at 1,000 commands/s a publication took 7.3 ms without the rest, 4 to 5 ms with it). Nothing
 * that is answered during a transaction or a rest is seen before the next one, so the lanes collect commands meanwhile
 * (worker/lane/linger.h).
 *
 * Threads    a value of the publisher; no clock of its own.
 */
#ifndef CONSUMERS_PUBLISH_PACING_H
#define CONSUMERS_PUBLISH_PACING_H

#include <stdbool.h>
#include <stdint.h>

enum
{
    PACING_YOUNG_US = 10000, /* commands answered within this do not wait for others */
    PACING_MAX_US = 20000,   /* longer only when the settings say so */
    PACING_ENOUGH = 5000,    /* answers that are a publication worth making */
    PACING_REST_US = 4000,   /* between two Kafka transactions */
};

struct pacing
{
    int64_t answered;      /* since the last publication */
    int64_t since_us;      /* when the first of them came */
    int64_t oldest_age_us; /* from receipt to answer */
    int64_t begun_us;      /* the present Kafka transaction; 0: none */
    int64_t ended_us;      /* the last one; 0: none */
    int64_t took_us;       /* mean of the last ones */
};

/* A chain of answers whose first message was received at `received_us`. */
void pacing_note(struct pacing *pacing, int64_t received_us, int64_t now_us);

/* A Kafka transaction begins, and ends. */
void pacing_begin(struct pacing *pacing, int64_t now_us);
void pacing_end(struct pacing *pacing, int64_t now_us);

/* When the next Kafka transaction may begin: of the present one the end is estimated. 0: there was none yet. */
int64_t pacing_next_us(const struct pacing *pacing);

/* When the publication is due. `linger_us`: consumers.publish_linger. */
int64_t pacing_due_us(const struct pacing *pacing, int64_t linger_us);

#endif
