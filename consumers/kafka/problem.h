/* Complaint: what a thread waits for, in words: kept for /readyz, logged when it begins or becomes
 * another, and every 30 s while it lasts. In the first seconds it is no warning yet.
 *
 * Threads    complaint_make, complaint_end: the thread that waits. complaint_copy: any.
 */
#ifndef CONSUMERS_KAFKA_PROBLEM_H
#define CONSUMERS_KAFKA_PROBLEM_H

#include <pthread.h>
#include <stdint.h>

#include "worker/base/log.h"

enum
{
    COMPLAINT_TEXTS = 4,
};

struct complaint
{
    int cell; /* for the log */
    pthread_mutex_t mutex;
    char text[480]; /* written under the mutex by one thread, which may read it without; "": all is well */
    struct log_rate rate;
    uint64_t logged[COMPLAINT_TEXTS]; /* digests of the last texts that were: two that take turns are no news */
    int next;
    int64_t warns_us;   /* from when on it is a warning */
    bool told_early;    /* logged before that */
    int64_t changed_us; /* when the last of them came; 0: never */
};

void complaint_init(struct complaint *complaint, int cell);
void complaint_done(struct complaint *complaint);

/* "doing: what". */
void complaint_make(struct complaint *complaint, const char *doing, const char *what);
void complaint_end(struct complaint *complaint);

/* False, and "", while all is well. */
bool complaint_copy(struct complaint *complaint, char *into, size_t size);

#endif
