#include "consumers/kafka/problem.h"

#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"

static const int64_t LOG_EVERY_US = 30000000;
static const int64_t CHANGE_EVERY_US = 1000000; /* so that no loop of many texts fills the log */
static const int64_t START_US = 10000000;       /* a broker that loads its coordinators is waited for in most starts */

void complaint_init(struct complaint *complaint, int cell)
{
    memset(complaint, 0, sizeof(*complaint));
    complaint->cell = cell;
    complaint->warns_us = monotonic_us() + START_US;
    pthread_mutex_init(&complaint->mutex, NULL);
}

void complaint_done(struct complaint *complaint)
{
    pthread_mutex_destroy(&complaint->mutex);
}

/* The first thing that goes wrong often only hides the cause, which the next attempt meets: a new text is logged at
 * once. */
static void note_text(struct complaint *complaint, const char *text)
{
    uint64_t digest = 14695981039346656037u; /* FNV-1a */
    int64_t now_us = monotonic_us();

    for (const char *at = text; *at; at++)
        if (*at < '0' || *at > '9') /* "after 3 ms" */
            digest = (digest ^ (unsigned char)*at) * 1099511628211u;
    for (int i = 0; i < COMPLAINT_TEXTS; i++)
        if (complaint->logged[i] == digest)
            return;
    if (complaint->changed_us != 0 && now_us - complaint->changed_us < CHANGE_EVERY_US)
        return;
    complaint->changed_us = now_us;
    complaint->logged[complaint->next] = digest;
    complaint->next = (complaint->next + 1) % COMPLAINT_TEXTS;
    complaint->rate = (struct log_rate){ 0 };
}

void complaint_make(struct complaint *complaint, const char *doing, const char *what)
{
    char text[sizeof(complaint->text)];

    snprintf(text, sizeof(text), "%s: %s", doing, what);
    pthread_mutex_lock(&complaint->mutex);
    memcpy(complaint->text, text, sizeof(text));
    pthread_mutex_unlock(&complaint->mutex);
    note_text(complaint, text);
    bool starts = monotonic_us() < complaint->warns_us;
    if (complaint->told_early && !starts)
    {
        complaint->told_early = false;
        complaint->rate = (struct log_rate){ 0 };
    }
    if (log_allowed(&complaint->rate, LOG_EVERY_US))
    {
        complaint->told_early = starts;
        log_write(starts ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "cell %d: %s; trying again", complaint->cell, text);
    }
}

void complaint_end(struct complaint *complaint)
{
    if (complaint->text[0] == '\0')
        return;
    pthread_mutex_lock(&complaint->mutex);
    complaint->text[0] = '\0';
    pthread_mutex_unlock(&complaint->mutex);
    /* The next one is a new one: it is logged at once. */
    complaint->rate = (struct log_rate){ 0 };
    complaint->told_early = false;
    memset(complaint->logged, 0, sizeof(complaint->logged));
}

bool complaint_copy(struct complaint *complaint, char *into, size_t size)
{
    pthread_mutex_lock(&complaint->mutex);
    snprintf(into, size, "%s", complaint->text);
    pthread_mutex_unlock(&complaint->mutex);
    return into[0] != '\0';
}
