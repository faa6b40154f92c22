#include "worker/base/fault_point.h"

#ifdef INTERLOCK_TEST_BUILD

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/base/hash.h"
#include "worker/base/random.h"

enum
{
    RANDOM_MAX = 4,
};

enum errors
{
    NO,
    YES,
    KAFKA,
};

static const struct
{
    const char *name;
    enum errors errors;
} points[] = {
#define X(symbol, name, errors) { name, errors },
    FAULT_POINTS(X)
#undef X
};

/* Longer words before those they begin with. */
static const struct
{
    const char *word;
    enum fault_action action;
    enum fault_error error;
} actions[] = {
    { "crash", FAULT_CRASH, FAULT_NO_ERROR },   { "stop", FAULT_STOP, FAULT_NO_ERROR },
    { "delay:", FAULT_DELAY, FAULT_NO_ERROR },  { "error:retriable", FAULT_FAIL, FAULT_RETRIABLE },
    { "error:fatal", FAULT_FAIL, FAULT_FATAL }, { "error", FAULT_FAIL, FAULT_ERROR },
};

/* Constant once read, before main. */
static struct fault faults[FAULT__COUNT];
static struct fault random_faults[RANDOM_MAX];
static int random_count;
static uint64_t seed;
static bool armed;

static atomic_long reached[FAULT__COUNT];

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void refuse(const char *spec)
{
    fprintf(stderr,
            "FAULT_POINTS: cannot read %s: <point>=crash|stop|delay:<ms>|error[:retriable|:fatal][@<n>],... or "
            "random=<action>:<per mille>,...\n",
            spec);
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

static long read_number(const char **at, const char *spec)
{
    char *end;
    long number = strtol(*at, &end, 10);

    if (end == *at || number < 0)
        refuse(spec);
    *at = end;
    return number;
}

static struct fault read_action(const char **at, const char *spec)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
        if (starts(at, actions[i].word))
        {
            struct fault fault = { .action = actions[i].action, .error = actions[i].error };
            fault.delay_ms = fault.action == FAULT_DELAY ? read_number(at, spec) : 0;
            return fault;
        }
    refuse(spec);
    return (struct fault){ 0 };
}

static bool may_fail(enum fault_point point, const struct fault *fault)
{
    return fault->action != FAULT_FAIL || points[point].errors == KAFKA ||
           (points[point].errors == YES && fault->error == FAULT_ERROR);
}

static void read_random(const char **at, const char *spec)
{
    struct fault fault = read_action(at, spec);

    if (random_count == RANDOM_MAX || !starts(at, ":"))
        refuse(spec);
    fault.per_mille = read_number(at, spec);
    random_faults[random_count++] = fault;
}

static void read_point(const char **at, const char *spec)
{
    size_t size = strcspn(*at, "=");
    int point = 0;

    while (point < FAULT__COUNT && (strlen(points[point].name) != size || strncmp(points[point].name, *at, size) != 0))
        point++;
    if (point == FAULT__COUNT || (*at)[size] != '=')
        refuse(spec);
    *at += size + 1;
    struct fault fault = read_action(at, spec);
    if (starts(at, "@"))
        fault.at = read_number(at, spec);
    if (!may_fail((enum fault_point)point, &fault))
        refuse(spec);
    faults[point] = fault;
}

/* Before main, so that a wrong one ends the program before it did anything, and no thread ever finds it half read. */
__attribute__((constructor)) static void read_all(void)
{
    const char *spec = getenv("FAULT_POINTS"), *from = getenv("FAULT_SEED");

    if (spec == NULL || *spec == '\0')
        return;
    seed = from ? strtoull(from, NULL, 10) : 1;
    for (const char *at = spec; *at; at += *at == ',')
    {
        if (starts(&at, "random="))
            read_random(&at, spec);
        else
            read_point(&at, spec);
        if (*at != '\0' && *at != ',')
            refuse(spec);
    }
    armed = true;
    fprintf(stderr, "fault points: FAULT_POINTS=%s FAULT_SEED=%llu\n", spec, (unsigned long long)seed);
}

/* --- drawing ----------------------------------------------------------------------------------------------------- */

/* Nothing but the seed, the name, the count and the entry decides. */
static long draw(enum fault_point point, long count, int entry)
{
    uint64_t hash = hash_add(HASH_START ^ seed, span_of(points[point].name));

    hash += ((uint64_t)count * RANDOM_MAX + (uint64_t)entry) * RANDOM_STEP;
    return (long)(random_mix(hash) % 1000);
}

struct fault fault_point_draw(enum fault_point point)
{
    struct fault none = { 0 };

    if (!armed)
        return none;
    long count = atomic_fetch_add(&reached[point], 1) + 1;
    const struct fault *chosen = NULL;
    if (faults[point].action != FAULT_NOTHING && (faults[point].at == 0 || faults[point].at == count))
        chosen = &faults[point];
    for (int i = 0; i < random_count && !chosen; i++)
        if (may_fail(point, &random_faults[i]) && draw(point, count, i) < random_faults[i].per_mille)
            chosen = &random_faults[i];
    if (chosen)
        fprintf(stderr, "fault point %s, time %ld\n", points[point].name, count);
    return chosen ? *chosen : none;
}

enum fault_error fault_point_do(const struct fault *fault)
{
    switch (fault->action)
    {
    case FAULT_CRASH:
        raise(SIGKILL);
        break;
    case FAULT_STOP:
        raise(SIGSTOP);
        break;
    case FAULT_DELAY:
        nanosleep(&(struct timespec){ fault->delay_ms / 1000, fault->delay_ms % 1000 * 1000000 }, NULL);
        break;
    case FAULT_FAIL:
        return fault->error;
    case FAULT_NOTHING:
        break;
    }
    return FAULT_NO_ERROR;
}

enum fault_error fault_point_reach(enum fault_point point)
{
    struct fault fault = fault_point_draw(point);
    return fault_point_do(&fault);
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
