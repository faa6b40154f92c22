#include "consumers/kafka/problem.h"

#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/hash.h"

static const int64_t LOG_EVERY_US = 30000000;
static const int64_t CHANGE_EVERY_US = 1000000; /* so that no loop of many texts fills the log */
static const int64_t START_US = 10000000;       /* a broker that loads its coordinators is waited for in most starts */

void problem_init(struct problem *problem, int cell)
{
    memset(problem, 0, sizeof(*problem));
    problem->cell = cell;
    problem->warns_us = monotonic_us() + START_US;
    pthread_mutex_init(&problem->mutex, NULL);
}

void problem_done(struct problem *problem)
{
    pthread_mutex_destroy(&problem->mutex);
}

/* The first thing that goes wrong often only hides the cause, which the next attempt meets: a new text is logged at
 * once. */
static void note_text(struct problem *problem, const char *text)
{
    uint64_t digest = HASH_START;
    int64_t now_us = monotonic_us();

    for (const char *at = text; *at; at++)
        if (*at < '0' || *at > '9') /* "after 3 ms" */
            digest = hash_add_byte(digest, *at);
    for (int i = 0; i < PROBLEM_TEXTS; i++)
        if (problem->logged[i] == digest)
            return;
    if (problem->changed_us != 0 && now_us - problem->changed_us < CHANGE_EVERY_US)
        return;
    problem->changed_us = now_us;
    problem->logged[problem->next] = digest;
    problem->next = (problem->next + 1) % PROBLEM_TEXTS;
    problem->rate = (struct log_rate){ 0 };
}

void problem_set(struct problem *problem, const char *doing, const char *what)
{
    char text[sizeof(problem->text)];

    snprintf(text, sizeof(text), "%s: %s", doing, what);
    pthread_mutex_lock(&problem->mutex);
    memcpy(problem->text, text, sizeof(text));
    pthread_mutex_unlock(&problem->mutex);
    note_text(problem, text);
    bool starts = monotonic_us() < problem->warns_us;
    if (problem->told_early && !starts)
    {
        problem->told_early = false;
        problem->rate = (struct log_rate){ 0 };
    }
    if (log_allowed(&problem->rate, LOG_EVERY_US))
    {
        problem->told_early = starts;
        log_write(starts ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "cell %d: %s; trying again", problem->cell, text);
    }
}

void problem_clear(struct problem *problem)
{
    if (problem->text[0] == '\0')
        return;
    pthread_mutex_lock(&problem->mutex);
    problem->text[0] = '\0';
    pthread_mutex_unlock(&problem->mutex);
    /* The next one is a new one: it is logged at once. */
    problem->rate = (struct log_rate){ 0 };
    problem->told_early = false;
    memset(problem->logged, 0, sizeof(problem->logged));
}

bool problem_copy(struct problem *problem, char *into, size_t size)
{
    pthread_mutex_lock(&problem->mutex);
    snprintf(into, size, "%s", problem->text);
    pthread_mutex_unlock(&problem->mutex);
    return into[0] != '\0';
}
