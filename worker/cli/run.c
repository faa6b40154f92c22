#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/rights_watch.h"
#include "consumers/parking/returner.h"
#include "consumers/poll/cell.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/cli/verbs.h"
#include "worker/http.h"
#include "worker/lane/held_keys.h"
#include "worker/slot.h"

enum
{
    CELLS_MAX = 64,
    EXIT_FORCED = 2,
    ARENAS = 2, /* of malloc: more cost 10 to 20 MiB of resident memory under a backlog and save no time (measured) */
};

static const int64_t ROUND_US = 1000000;      /* of the main loop, without anything happening */
static const int64_t STOP_ROUND_US = 20000;   /* while cells end */
static const int64_t STOP_SLACK_US = 5000000; /* past the drain's deadline: then it is ended by force */
static const int64_t END_US = 1000000;        /* at least so long, for threads that have nothing left to do */
static const int64_t LOG_EVERY_US = 30000000;
static const int64_t HELD_LONG_US = 10000000;      /* a key held longer is told */
static const int64_t HELD_LOG_EVERY_US = 60000000; /* so often, while one is */

struct pool_run
{
    const struct settings *settings;
    struct slot *slot;
    struct cell *cells[CELLS_MAX];
    struct returner *returner;
    struct rights_watch *rights; /* main starts it before http, and stops it after */
    atomic_int cell_count;       /* writer: main, when all cells are there; reader: HTTP */
    int signals;                 /* signalfd */
    struct http *http;
    bool quiet;
    int64_t stop_deadline_us; /* 0: not stopping */
    int64_t next_warning_us, next_held_us;

    pthread_mutex_t mutex;
    char slot_why[256]; /* under the mutex, for HTTP: why there is no slot */
    pthread_cond_t over;
    bool ended; /* under the mutex: nobody is waited for any more */
    int code;
};

static const char usage[] =
    "usage: interlock run [--config FILE]\n"
    "\n"
    "Applies the commands of kafka.topics until it is told to end.\n"
    "  TERM, INT   finish what is in flight, publish it, end: exit code 0; HUP is the same\n"
    "  again       end at once: exit code 2; nothing is lost, what was in flight is read again. The same, with a list\n"
    "              of it in the log, where not all of it can be finished within consumers.drain_timeout\n"
    "  TSTP        take no more commands, finish what is in flight, stay\n";

/* --- for probes and people --------------------------------------------------------------------------------------- */

static bool is_healthy(void *owner, struct buffer *why)
{
    struct pool_run *run = owner;
    int count = atomic_load_explicit(&run->cell_count, memory_order_acquire);

    for (int i = 0; i < count; i++)
        if (!cell_is_alive(run->cells[i]))
        {
            buffer_add_text(why, "the poll thread of cell ");
            buffer_add_int64(why, i);
            buffer_add_text(why, " does not move");
            return false;
        }
    return true;
}

static bool is_ready(void *owner, struct buffer *why)
{
    struct pool_run *run = owner;
    int count = atomic_load_explicit(&run->cell_count, memory_order_acquire);
    char text[320];

    if (rights_watch_problem(run->rights, why))
        return false;
    if (count == 0 || !slot_is_held(run->slot))
    {
        buffer_add_text(why, "waiting for PostgreSQL: a slot of the consumer group");
        pthread_mutex_lock(&run->mutex);
        buffer_add_text(why, run->slot_why[0] ? ": " : "");
        buffer_add_text(why, run->slot_why);
        pthread_mutex_unlock(&run->mutex);
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!cell_ready(run->cells[i], text, sizeof(text)))
        {
            buffer_add_text(why, text);
            return false;
        }
    if (rights_watch_has_looked(run->rights))
        return true;
    buffer_add_text(why, "waiting for Kafka: what it lets this worker do");
    return false;
}

static void print_status(void *owner, struct buffer *json)
{
    struct pool_run *run = owner;
    struct buffer why = BUFFER_EMPTY;
    int count = atomic_load_explicit(&run->cell_count, memory_order_acquire);
    bool ready = is_ready(run, &why);

    buffer_add_text(json, "{\"version\":\"" INTERLOCK_VERSION "\",\"group\":");
    buffer_add_json_string(json, span_of(run->settings->kafka.group));
    buffer_add_text(json, ",\"slot\":");
    buffer_add_int64(json, slot_number(run->slot));
    buffer_add_text(json, ",\"pid\":");
    buffer_add_int64(json, getpid());
    buffer_add_text(json, ready ? ",\"ready\":true" : ",\"ready\":false");
    buffer_add_text(json, ",\"waits_for\":");
    buffer_add_json_string(json, ready ? SPAN_NULL : buffer_span(&why));
    buffer_add_text(json, run->settings->kafka.exactly_once ? ",\"delivery\":\"exactly_once\""
                                                            : ",\"delivery\":\"at_least_once\"");
    buffer_add_text(json, ",\"cells\":[");
    for (int i = 0; i < count; i++)
    {
        if (i > 0)
            buffer_add_byte(json, ',');
        cell_status(run->cells[i], json);
    }
    buffer_add_byte(json, ']');
    if (count > 0)
    {
        buffer_add_text(json, ",\"parked\":");
        returner_print(run->returner, json);
    }
    buffer_add_byte(json, '}');
    buffer_done(&why);
}

static void print_metrics(void *owner, struct buffer *into)
{
    struct pool_run *run = owner;
    int count = atomic_load_explicit(&run->cell_count, memory_order_acquire);

    for (int i = 0; i < count; i++)
        cell_metrics(run->cells[i], into);
}

static void start_http(struct pool_run *run)
{
    const struct http_sources sources = {
        .healthy = is_healthy, .ready = is_ready, .status = print_status, .metrics = print_metrics, .owner = run
    };
    struct buffer fault = BUFFER_EMPTY;

    if (run->settings->http.listen == NULL || run->settings->http.listen[0] == '\0')
        return;
    run->http = http_start(run->settings->http.listen, &sources, &fault);
    if (run->http)
    {
        const char *taken = strrchr(http_where(run->http), ':'), *wanted = strrchr(run->settings->http.listen, ':');
        bool moved = wanted && taken && strcmp(wanted, ":0") != 0 && strcmp(wanted, taken) != 0;
        log_info("http: listening on %s%s%s%s", http_where(run->http), moved ? ", because " : "",
                 moved ? run->settings->http.listen : "", moved ? " is in use" : "");
    }
    else
        log_warning("http: %.*s; going on without", (int)fault.size, fault.at ? fault.at : "");
    buffer_done(&fault);
}

/* --- signals ----------------------------------------------------------------------------------------------------- */

/* Blocked before any thread starts, so that none of them is ever interrupted; read by the main loop. */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP); /* a terminal that is gone; under nohup it stays ignored */
    sigaddset(&set, SIGTSTP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void begin_stop(struct pool_run *run)
{
    int count = atomic_load(&run->cell_count);

    run->stop_deadline_us = monotonic_us() + run->settings->consumers.drain_timeout_us;
    slot_hurry(run->slot, run->stop_deadline_us);
    for (int i = 0; i < count; i++)
        cell_stop(run->cells[i], run->stop_deadline_us);
}

/* Cells that have not ended yet tell what they leave; nothing is lost, whoever owns the partitions next reads it again.
 */
static int64_t count_left(struct pool_run *run)
{
    int count = atomic_load(&run->cell_count);
    int64_t left = 0;

    for (int i = 0; i < count; i++)
        left += cell_left(run->cells[i]);
    return left;
}

static void force_end(struct pool_run *run, const char *why)
{
    int64_t left = count_left(run);

    log_error("run: %s: ending by force; %lld messages were received and not published, they are read again", why,
              (long long)left);
    _exit(EXIT_FORCED);
}

static void take_signals(struct pool_run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTSTP)
        {
            log_info("run: quiet: no more commands are taken");
            run->quiet = true;
            for (int i = 0; i < atomic_load(&run->cell_count); i++)
                cell_quiet(run->cells[i]);
            returner_quiet(run->returner);
        }
        else if (run->stop_deadline_us > 0)
            force_end(run, "told to end a second time");
        else
        {
            log_info("run: ending: up to %lld ms to finish what is in flight",
                     (long long)run->settings->consumers.drain_timeout_us / 1000);
            begin_stop(run);
        }
}

/* --- the main loop ----------------------------------------------------------------------------------------------- */

static bool start_cells(struct pool_run *run)
{
    int count = run->settings->consumers.count < CELLS_MAX ? (int)run->settings->consumers.count : CELLS_MAX;
    const char *why = "";

    for (int i = 0; i < count; i++)
    {
        run->cells[i] = cell_new(run->settings, i, run->slot, &why);
        if (run->cells[i] == NULL || !cell_start(run->cells[i], &why))
        {
            log_error("run: cell %d cannot start: %s", i, why);
            return false;
        }
        if (run->quiet)
            cell_quiet(run->cells[i]);
    }
    run->returner = returner_start(run->settings, &why);
    if (run->returner == NULL)
    {
        log_error("run: parked commands cannot be brought back: %s", why);
        return false;
    }
    if (run->quiet)
        returner_quiet(run->returner);
    /* Release: the HTTP thread sees whole cells, and the returner. */
    atomic_store_explicit(&run->cell_count, count, memory_order_release);
    return true;
}

static void complain(struct pool_run *run)
{
    int64_t now_us = monotonic_us();

    if (now_us < run->next_warning_us)
        return;
    run->next_warning_us = now_us + LOG_EVERY_US;
    log_warning("run: waiting for %s: %s", slot_where(run->slot), slot_problem(run->slot));
}

/* What waits for long must not wait in silence: the metric, and a line once a minute. */
static void watch_held(struct pool_run *run)
{
    int64_t now_us = monotonic_us();
    int count = atomic_load(&run->cell_count);
    struct held_keys held;

    held_keys_clear(&held);
    for (int i = 0; i < count && metrics_get(METRIC_HELD_KEYS) > 0; i++)
        cell_held(run->cells[i], &held);
    metrics_set(METRIC_HELD_OLDEST, held.oldest_us);
    if (held.shown == 0 || now_us - held.oldest_us < HELD_LONG_US || now_us < run->next_held_us)
        return;
    run->next_held_us = now_us + HELD_LOG_EVERY_US;
    const struct held_key *first = &held.longest[0];
    int64_t next_us = first->next_us > now_us ? first->next_us - now_us : 0;
    log_warning(
        "run: held keys: %lld; the longest for %lld s: %s, %s/%d at offset %lld, %d attempts, next try in %lld ms, "
        "%d commands wait: %s",
        (long long)held.keys, (long long)(now_us - first->since_us) / 1000000, first->key, first->topic,
        first->partition, (long long)first->offset, first->attempts, (long long)next_us / 1000, first->commands,
        first->reason);
}

static void note_slot(struct pool_run *run, const char *why)
{
    pthread_mutex_lock(&run->mutex);
    snprintf(run->slot_why, sizeof(run->slot_why), "%s", why);
    pthread_mutex_unlock(&run->mutex);
}

/* False: it cannot go on. */
static bool take_slot_event(struct pool_run *run, enum slot_event event)
{
    if (event != SLOT_SAME)
        note_slot(run, event == SLOT_TAKEN ? "" : slot_problem(run->slot));
    switch (event)
    {
    case SLOT_SAME:
        return true;
    case SLOT_TAKEN:
        run->next_warning_us = 0;
        log_info("run: slot %d of group %s", slot_number(run->slot), run->settings->kafka.group);
        return atomic_load(&run->cell_count) > 0 || run->stop_deadline_us > 0 || start_cells(run);
    case SLOT_LOST:
        log_warning("run: the slot's session is lost: %s; nothing is published until there is a new one",
                    slot_problem(run->slot));
        return true;
    case SLOT_WAITING:
        complain(run);
        return true;
    case SLOT_REFUSED:
        log_error("run: %s", slot_problem(run->slot));
        return false;
    }
    return false;
}

static bool is_over(const struct pool_run *run)
{
    int count = atomic_load(&run->cell_count);

    if (run->stop_deadline_us == 0)
        return false;
    for (int i = 0; i < count; i++)
        if (!cell_is_stopped(run->cells[i]))
            return false;
    return true;
}

static int serve(struct pool_run *run)
{
    while (!is_over(run))
    {
        bool stopping = run->stop_deadline_us > 0;
        if (!take_slot_event(run, slot_keep(run->slot, run->signals, stopping ? STOP_ROUND_US : ROUND_US)))
            return 1;
        take_signals(run);
        watch_held(run);
        http_step(run->http);
        if (stopping && monotonic_us() > run->stop_deadline_us + STOP_SLACK_US)
            force_end(run, "the threads did not end in time");
    }
    /* Threads may be stuck with a server that is gone: they are not waited for. */
    if (count_left(run) > 0)
        force_end(run, "not everything in flight could be finished");
    return 0;
}

static void end_cells(struct pool_run *run)
{
    returner_stop(run->returner);
    rights_watch_stop(run->rights);
    for (int i = 0; i < CELLS_MAX && run->cells[i]; i++)
    {
        cell_stop(run->cells[i], run->stop_deadline_us);
        cell_free(run->cells[i]);
    }
}

/* A thread: what was taken from a lane leaves nothing to finish, but the lane may still wait for an answer that a
 * server does not give. It is not waited for past the deadline. */
static void *end_in_time(void *owner)
{
    struct pool_run *run = owner;
    int64_t now_us = monotonic_us();
    struct timespec until =
        monotonic_timespec(run->stop_deadline_us > now_us + END_US ? run->stop_deadline_us : now_us + END_US);

    pthread_mutex_lock(&run->mutex);
    while (!run->ended && pthread_cond_timedwait(&run->over, &run->mutex, &until) == 0)
        ;
    bool late = !run->ended;
    pthread_mutex_unlock(&run->mutex);
    if (late)
    {
        log_info("run: ended; a thread that waits for a server is left behind");
        _exit(run->code);
    }
    return NULL;
}

/* Without memory for the thread, the end takes as long as it takes. */
static void end_all(struct pool_run *run)
{
    pthread_condattr_t attributes;
    pthread_t thread;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run->over, &attributes);
    pthread_condattr_destroy(&attributes);
    if (run->stop_deadline_us == 0)
        begin_stop(run);
    bool watched = pthread_create(&thread, NULL, end_in_time, run) == 0;
    end_cells(run);
    slot_free(run->slot);
    pthread_mutex_lock(&run->mutex);
    run->ended = true;
    pthread_cond_signal(&run->over);
    pthread_mutex_unlock(&run->mutex);
    if (watched)
        pthread_join(thread, NULL);
    pthread_cond_destroy(&run->over);
}

static bool try_clients(const struct settings *settings)
{
    struct buffer says = BUFFER_EMPTY;
    bool good = clients_try(settings, &says);

    if (!good)
        log_error("run: %.*s", (int)says.size, says.at ? says.at : "out of memory");
    else if (clients_doubt(settings, &says))
        log_warning("run: %.*s", (int)says.size, says.at ? says.at : "");
    buffer_done(&says);
    return good;
}

static bool prepare_limits(const struct invocation *invocation)
{
    struct buffer fault = BUFFER_EMPTY;
    bool ready = limits_prepare(invocation->settings, &fault);

    if (!ready)
        log_error("run: %.*s", (int)fault.size, fault.at ? fault.at : "out of memory");
    buffer_done(&fault);
    return ready;
}

int verb_run(struct invocation *invocation)
{
    struct pool_run run = { .settings = invocation->settings, .mutex = PTHREAD_MUTEX_INITIALIZER };
    const struct verb_option none[] = { { NULL, NULL, NULL } };

    if (!verb_parse_options(invocation, none, usage))
        return 1;
    if (invocation->argc > 1)
        return verb_usage_error(usage, "run: unexpected %s", invocation->argv[1]);
#ifdef M_ARENA_MAX /* only the GNU C library has arenas to be limited */
    mallopt(M_ARENA_MAX, ARENAS);
#endif
    if (!prepare_limits(invocation) || !try_clients(invocation->settings))
        return 1;
    run.signals = open_signals();
    run.slot = slot_new(run.settings);
    if (run.signals < 0 || run.slot == NULL)
        return verb_fail(invocation, "%s", run.signals < 0 ? strerror(errno) : "out of memory");
    log_info("run: interlock %s, group %s, topics %s, %s", INTERLOCK_VERSION, run.settings->kafka.group,
             run.settings->kafka.topics, run.settings->kafka.exactly_once ? "exactly once" : "at least once");
    run.rights = rights_watch_start(run.settings);
    if (run.rights == NULL)
        return verb_fail(invocation, "no thread for the watch over rights");
    start_http(&run);
    run.code = serve(&run);
    http_stop(run.http);
    end_all(&run);
    close(run.signals);
    log_info("run: ended");
    return run.code;
}
