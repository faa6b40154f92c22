#include "consumers/complaint.h"

#include <stdio.h>
#include <string.h>

static const int64_t LOG_EVERY_US = 30000000;

void complaint_init(struct complaint *complaint, int cell)
{
    memset(complaint, 0, sizeof(*complaint));
    complaint->cell = cell;
    pthread_mutex_init(&complaint->mutex, NULL);
}

void complaint_done(struct complaint *complaint)
{
    pthread_mutex_destroy(&complaint->mutex);
}

void complaint_make(struct complaint *complaint, const char *doing, const char *what)
{
    char text[sizeof(complaint->text)];

    snprintf(text, sizeof(text), "%s: %s", doing, what);
    pthread_mutex_lock(&complaint->mutex);
    memcpy(complaint->text, text, sizeof(text));
    pthread_mutex_unlock(&complaint->mutex);
    if (log_allowed(&complaint->rate, LOG_EVERY_US))
        log_warning("cell %d: %s; trying again", complaint->cell, text);
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
}

bool complaint_copy(struct complaint *complaint, char *into, size_t size)
{
    pthread_mutex_lock(&complaint->mutex);
    snprintf(into, size, "%s", complaint->text);
    pthread_mutex_unlock(&complaint->mutex);
    return into[0] != '\0';
}
