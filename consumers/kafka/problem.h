/* Problem: what a thread waits for, in words: kept for /readyz, logged when it begins or becomes
 * another, and every 30 s while it lasts. In the first seconds it is no warning yet.
 *
 * Threads    problem_set, problem_clear: the thread that waits. problem_copy: any.
 */
#ifndef CONSUMERS_KAFKA_PROBLEM_H
#define CONSUMERS_KAFKA_PROBLEM_H

#include <pthread.h>
#include <stdint.h>

#include "worker/base/log.h"

enum
{
    PROBLEM_TEXTS = 4,
    /* Of librdkafka's reason, the broker's address and the longest name of a topic, with words of ours between. */
    PROBLEM_TEXT_MAX = 1024,
};

struct problem
{
    int cell; /* for the log */
    pthread_mutex_t mutex;
    char text[PROBLEM_TEXT_MAX]; /* written under the mutex by one thread, which may read it without; "": all is well */
    struct log_rate rate;
    uint64_t logged[PROBLEM_TEXTS]; /* digests of the last texts that were: two that take turns are no news */
    int next;
    int64_t warns_us;   /* from when on it is a warning */
    bool told_early;    /* logged before that */
    int64_t changed_us; /* when the last of them came; 0: never */
};

void problem_init(struct problem *problem, int cell);
void problem_done(struct problem *problem);

/* "doing: what". */
void problem_set(struct problem *problem, const char *doing, const char *what);
void problem_clear(struct problem *problem);

/* False, and "", while all is well. */
bool problem_copy(struct problem *problem, char *into, size_t size);

#endif
