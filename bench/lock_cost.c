/* bench_lock: what the Redis lock of a name costs, taken and released in batches of some names, in CPU of Redis and of
 * the client.
 *
 * usage: REDIS_URL=redis://host:port bench_lock --pid PID-OF-REDIS [--names N] [--rounds N]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/options.h"
#include "worker/base/clock.h"
#include "worker/redis/lock.h"

enum
{
    TICKETS = 100000,
    STRIDE = 7919, /* prime to TICKETS: no name twice in a batch */
    LEASE_US = 10000000,
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_lock: %s: %s\n", what, why);
    exit(1);
}

static double cpu_us_of(int64_t pid)
{
    char path[64];
    unsigned long user = 0, system = 0;

    snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL ||
        fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        fail(path, "cannot be read");
    fclose(file);
    return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static double own_cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void run_round(struct lock *lock, struct lock_name *names, char (*texts)[32], int64_t count, int64_t first)
{
    int64_t valid_until_us;

    for (int64_t i = 0; i < count; i++)
    {
        int size = snprintf(texts[i], sizeof(texts[i]), "ticket/%" PRId64, (first + i) * STRIDE % TICKETS);
        names[i] = (struct lock_name){ { texts[i], (size_t)size }, LEASE_US, false, false };
    }
    if (lock_acquire(lock, names, (int)count, &valid_until_us) != LOCK_TAKEN)
        fail("degraded", lock_reason(lock));
    for (int64_t i = 0; i < count; i++)
        if (!names[i].taken)
            fail(texts[i], "was refused");
    lock_release_send(lock, names, (int)count);
}

int main(int argc, char **argv)
{
    int64_t pid = 0, count = 1000, rounds = 1000;
    const struct option_row rows[] = {
        { "--pid", NULL, &pid, NULL },
        { "--names", NULL, &count, NULL },
        { "--rounds", NULL, &rounds, NULL },
        { NULL, NULL, NULL, NULL },
    };
    options_read(rows, argc, argv);
    const struct lock_options options = {
        getenv("REDIS_URL"), "interlock:", "interlock/0/9f3c2a71d5e04b86/0/1", 1000000, 500000,
    };
    struct lock *lock = lock_new(&options);
    struct lock_name *names = calloc((size_t)count, sizeof(*names));
    char(*texts)[32] = calloc((size_t)count, sizeof(*texts));
    if (pid <= 0 || count <= 0 || count > TICKETS || !lock || !names || !texts)
        fail("--pid, --names", "a process, and 1 to 100000 names");

    double redis_us = cpu_us_of(pid), client_us = own_cpu_us();
    int64_t begun_us = monotonic_us();
    for (int64_t round = 0; round < rounds; round++)
        run_round(lock, names, texts, count, round * count);
    lock_free(lock);
    double total = (double)(count * rounds);
    printf("{\"names\":%" PRId64 ",\"redis_us\":%.2f,\"client_us\":%.2f,\"wall_us\":%.2f}\n", count,
           (cpu_us_of(pid) - redis_us) / total, (own_cpu_us() - client_us) / total,
           (double)(monotonic_us() - begun_us) / total);
    free(names);
    free(texts);
    return EXIT_SUCCESS;
}
