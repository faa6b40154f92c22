/* Gathering: how long a publication waits for more answers.
 *
 * A Kafka transaction costs librdkafka 2.0.2 about 2 ms of CPU whatever its size (its main thread spins up to the next
 * timer), so the commands of a backlog are published in few of them: the wait is a quarter of the age that they had
 * when they were answered. A command that came through at once does not wait.
 *
 * Threads    a value of the publisher; no clock of its own.
 */
#ifndef CONSUMERS_GATHERING_H
#define CONSUMERS_GATHERING_H

#include <stdbool.h>
#include <stdint.h>

enum
{
    GATHERING_YOUNG_US = 10000, /* commands answered within this do not wait for others */
    GATHERING_MAX_US = 100000,  /* longer only when the settings say so */
    GATHERING_ENOUGH = 5000,    /* answers that are a publication worth making */
};

struct gathering
{
    int64_t answered;      /* since the last publication */
    int64_t since_us;      /* when the first of them came */
    int64_t oldest_age_us; /* from receipt to answer */
};

/* A chain of answers whose first message was received at `received_us`. */
void gathering_note(struct gathering *gathering, int64_t received_us, int64_t now_us);

/* When the publication is due. `linger_us`: consumers.publish_linger. */
int64_t gathering_due_us(const struct gathering *gathering, int64_t linger_us);

#endif
