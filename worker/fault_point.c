#include "worker/fault_point.h"

#ifdef INTERLOCK_TEST_BUILD

#include <pthread.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum action
{
    ACTION_NONE,
    ACTION_CRASH,
    ACTION_STOP,
    ACTION_DELAY,
};

struct fault
{
    enum action action;
    long delay_ms;
    long at; /* the n-th time; 0: every time */
};

static const char *const names[] = {
#define X(symbol, name) name,
    FAULT_POINTS(X)
#undef X
};

static struct fault faults[FAULT__COUNT]; /* constant once read */
static atomic_long reached[FAULT__COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void refuse(const char *spec)
{
    fprintf(stderr, "FAULT_POINTS: cannot read %s: <point>=crash|stop|delay:<ms>[@<n>],...\n", spec);
    abort();
}

static bool starts(const char **at, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0)
        return false;
    *at += size;
    return true;
}

static struct fault read_fault(const char **at, const char *spec)
{
    struct fault fault = { ACTION_NONE, 0, 0 };
    char *end;

    if (starts(at, "crash"))
        fault.action = ACTION_CRASH;
    else if (starts(at, "stop"))
        fault.action = ACTION_STOP;
    else if (starts(at, "delay:"))
    {
        fault.action = ACTION_DELAY;
        fault.delay_ms = strtol(*at, &end, 10);
        *at = end;
    }
    else
        refuse(spec);
    if (starts(at, "@"))
    {
        fault.at = strtol(*at, &end, 10);
        *at = end;
    }
    return fault;
}

static void read_all(void)
{
    const char *spec = getenv("FAULT_POINTS");

    for (const char *at = spec; at && *at; at += *at == ',')
    {
        size_t size = strcspn(at, "=");
        int point = 0;
        while (point < FAULT__COUNT && (strlen(names[point]) != size || strncmp(names[point], at, size) != 0))
            point++;
        if (point == FAULT__COUNT || at[size] != '=')
            refuse(spec);
        at += size + 1;
        faults[point] = read_fault(&at, spec);
        if (*at != '\0' && *at != ',')
            refuse(spec);
    }
}

void fault_point_reach(enum fault_point point)
{
    pthread_once(&once, read_all);
    const struct fault *fault = &faults[point];
    if (fault->action == ACTION_NONE)
        return;
    long count = atomic_fetch_add(&reached[point], 1) + 1;
    if (fault->at != 0 && fault->at != count)
        return;
    fprintf(stderr, "fault point %s, time %ld\n", names[point], count);
    if (fault->action == ACTION_CRASH)
        raise(SIGKILL);
    else if (fault->action == ACTION_STOP)
        raise(SIGSTOP);
    else
        nanosleep(&(struct timespec){ fault->delay_ms / 1000, fault->delay_ms % 1000 * 1000000 }, NULL);
}

void fault_point_command(const char *id, size_t size)
{
    const char *poison = getenv("FAULT_COMMAND");
    if (poison && strlen(poison) == size && memcmp(poison, id, size) == 0)
        raise(SIGKILL);
}

#else

/* ISO C wants something in every file. */
typedef int fault_point_nothing;

#endif
