/* The order of start and end, as the functions below have it.
 *
 * Start
 *   clients_try           librdkafka takes its settings
 *   open_signals          signals are blocked, before any thread starts, and read from a descriptor
 *   rights_watch_start    a thread tries the rights at Kafka
 *   process_start_http    from here on probes are answered: alive, not ready
 *   slot_keep             waits for a slot of the group (PROTOCOL O1)
 *   start_cells           once the slot is there: cells, then the returner of parked commands
 *
 * End
 *   begin_stop            a signal: the deadline is set, and every cell is asked to drain and to leave its group
 *   serve returns         every cell has stopped, or the slot is refused
 *   force_end             instead, where messages stay unpublished, time is over, or a second signal comes: code 2
 *   end                   HTTP, returner, rights, cells, slot; no later than the deadline
 */
#include "consumers/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/rights_watch.h"
#include "consumers/parking/pause_board.h"
#include "consumers/parking/returner.h"
#include "consumers/poll/cell.h"
#include "consumers/process_private.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/http.h"
#include "worker/settings/settings.h"
#include "worker/slot.h"

static const int64_t ROUND_US = 1000000;      /* of the main loop, while nothing happens */
static const int64_t STOP_ROUND_US = 20000;   /* while cells stop */
static const int64_t STOP_SLACK_US = 5000000; /* after the deadline; then the end is forced */
static const int64_t END_US = 1000000;        /* at least, for threads that have nothing left to do */
static const int64_t LOG_EVERY_US = 30000000;

/* --- start ------------------------------------------------------------------------------------------------------- */

/* False: librdkafka does not take its settings. */
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

static bool start(struct process *process)
{
    const struct settings *settings = process->settings;

    process->signals = open_signals();
    if (process->signals < 0)
    {
        log_error("run: signals: %s", strerror(errno));
        return false;
    }
    process->slot = slot_new(settings);
    if (process->slot == NULL)
    {
        log_error("run: out of memory");
        return false;
    }
    log_info("run: interlock %s, group %s, topics %s, %s", INTERLOCK_VERSION, settings->kafka.group,
             settings->kafka.topics, settings->kafka.exactly_once ? "exactly once" : "at least once");
    process->rights = rights_watch_start(settings);
    if (process->rights == NULL)
    {
        log_error("run: no thread for the watch over rights");
        return false;
    }
    process_start_http(process);
    return true;
}

/* --- the slot, and cells once it is held ------------------------------------------------------------------------- */

static void use_session(void *owner, returner_ask_fn *ask, void *asker)
{
    struct process *process = owner;

    process_group_round(&process->group, ask, asker);
    audit_merge_round(&process->merge, metrics_get(METRIC_BATCH_COMMANDS), monotonic_us(), ask, asker);
}

static void leave_session(void *owner, returner_ask_fn *ask, void *asker)
{
    struct process *process = owner;

    process_group_leave(&process->group, ask, asker);
}

static bool start_cells(struct process *process)
{
    int64_t wanted = process->settings->consumers.count;
    int count = wanted < CELLS_MAX ? (int)wanted : CELLS_MAX;
    const char *why = "";

    process->board = pause_board_new();
    if (process->board == NULL)
        return log_error("run: out of memory"), false;
    for (int i = 0; i < count; i++)
    {
        process->cells[i] = cell_new(process->settings, i, process->slot, &why);
        if (process->cells[i])
            cell_use_board(process->cells[i], process->board);
        if (process->cells[i] == NULL || !cell_start(process->cells[i], &why))
        {
            log_error("run: cell %d cannot start: %s", i, why);
            return false;
        }
        if (process->quiet)
            cell_quiet(process->cells[i]);
    }
    const struct returner_guest guest = { use_session, leave_session, process };
    process->returner = returner_start(process->settings, process->board, &guest, &why);
    if (process->returner == NULL)
    {
        log_error("run: parked commands cannot be brought back: %s", why);
        return false;
    }
    if (process->quiet)
        returner_quiet(process->returner);
    /* Release: the HTTP thread sees whole cells, and the returner. */
    atomic_store_explicit(&process->cell_count, count, memory_order_release);
    return true;
}

static void warn_waiting(struct process *process)
{
    int64_t now_us = monotonic_us();

    if (now_us < process->next_warning_us)
        return;
    process->next_warning_us = now_us + LOG_EVERY_US;
    log_warning("run: waiting for %s: %s", slot_where(process->slot), slot_problem(process->slot));
}

static void note_slot(struct process *process, const char *why)
{
    pthread_mutex_lock(&process->mutex);
    snprintf(process->slot_why, sizeof(process->slot_why), "%s", why);
    pthread_mutex_unlock(&process->mutex);
}

/* False: the process cannot go on. */
static bool take_slot_event(struct process *process, enum slot_event event)
{
    if (event != SLOT_SAME)
        note_slot(process, event == SLOT_TAKEN ? "" : slot_problem(process->slot));
    switch (event)
    {
    case SLOT_SAME:
        return true;
    case SLOT_TAKEN:
        process->next_warning_us = 0;
        log_info("run: slot %d of group %s", slot_number(process->slot), process->settings->kafka.group);
        return process_cells(process) > 0 || process->stop_deadline_us > 0 || start_cells(process);
    case SLOT_LOST:
        log_warning("run: the slot's session is lost: %s; nothing is published until there is a new one",
                    slot_problem(process->slot));
        return true;
    case SLOT_WAITING:
        warn_waiting(process);
        return true;
    case SLOT_REFUSED:
        log_error("run: %s", slot_problem(process->slot));
        return false;
    }
    return false;
}

/* --- signals: quiet, stop, force --------------------------------------------------------------------------------- */

static void begin_quiet(struct process *process)
{
    log_info("run: quiet: no more commands are taken");
    process->quiet = true;
    for (int i = 0; i < process_cells(process); i++)
        cell_quiet(process->cells[i]);
    returner_quiet(process->returner);
}

static void begin_stop(struct process *process)
{
    process->stop_deadline_us = monotonic_us() + process->settings->consumers.drain_timeout_us;
    slot_hurry(process->slot, process->stop_deadline_us);
    for (int i = 0; i < process_cells(process); i++)
        cell_stop(process->cells[i], process->stop_deadline_us);
}

/* Each cell logs what it leaves; nothing is lost, the next owner of the partitions reads it again. */
static int64_t count_left(struct process *process)
{
    int64_t left = 0;

    for (int i = 0; i < process_cells(process); i++)
        left += cell_left(process->cells[i]);
    return left;
}

static void force_end(struct process *process, const char *why)
{
    log_error("run: %s: ending by force; %lld messages were received and not published, they are read again", why,
              (long long)count_left(process));
    _exit(PROCESS_FORCED);
}

static void take_signals(struct process *process)
{
    struct signalfd_siginfo info;

    while (read(process->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo == SIGTSTP)
            begin_quiet(process);
        else if (process->stop_deadline_us > 0)
            force_end(process, "a second signal came");
        else
        {
            log_info("run: ending: up to %lld ms to finish what is in flight",
                     (long long)process->settings->consumers.drain_timeout_us / 1000);
            begin_stop(process);
        }
}

/* --- the main loop ----------------------------------------------------------------------------------------------- */

static bool is_over(const struct process *process)
{
    if (process->stop_deadline_us == 0)
        return false;
    for (int i = 0; i < process_cells(process); i++)
        if (!cell_is_stopped(process->cells[i]))
            return false;
    return true;
}

static int serve(struct process *process)
{
    while (!is_over(process))
    {
        bool stopping = process->stop_deadline_us > 0;
        enum slot_event event = slot_keep(process->slot, process->signals, stopping ? STOP_ROUND_US : ROUND_US);
        if (!take_slot_event(process, event))
            return PROCESS_FAILED;
        take_signals(process);
        process_watch_held(process);
        http_step(process->http);
        if (stopping && monotonic_us() > process->stop_deadline_us + STOP_SLACK_US)
            force_end(process, "the threads did not end in time");
    }
    /* Threads may wait for a server that is gone: nobody waits for them. */
    if (count_left(process) > 0)
        force_end(process, "not everything in flight could be finished");
    return PROCESS_DONE;
}

/* --- end --------------------------------------------------------------------------------------------------------- */

static void free_cells(struct process *process)
{
    for (int i = 0; i < CELLS_MAX && process->cells[i]; i++)
    {
        cell_stop(process->cells[i], process->stop_deadline_us); /* one that a failed start left, too */
        cell_free(process->cells[i]);
    }
}

/* A thread. A revoked lane has nothing left to finish, but it may still wait for a server's answer: the process ends
 * without it at the deadline. */
static void *end_in_time(void *owner)
{
    struct process *process = owner;
    int64_t soon_us = monotonic_us() + END_US;
    struct timespec until =
        monotonic_timespec(process->stop_deadline_us > soon_us ? process->stop_deadline_us : soon_us);

    pthread_mutex_lock(&process->mutex);
    while (!process->ended && pthread_cond_timedwait(&process->over, &process->mutex, &until) == 0)
        ;
    bool late = !process->ended;
    pthread_mutex_unlock(&process->mutex);
    if (late)
    {
        log_info("run: ended; a thread that waits for a server is left behind");
        _exit(process->code);
    }
    return NULL;
}

/* False: no thread; then the end takes as long as the servers do. */
static bool bound_end(struct process *process, pthread_t *thread)
{

    condition_init(&process->over);
    if (process->stop_deadline_us == 0)
        begin_stop(process);
    return pthread_create(thread, NULL, end_in_time, process) == 0;
}

static void release_end(struct process *process, bool bounded, pthread_t thread)
{
    pthread_mutex_lock(&process->mutex);
    process->ended = true;
    pthread_cond_signal(&process->over);
    pthread_mutex_unlock(&process->mutex);
    if (bounded)
        pthread_join(thread, NULL);
    pthread_cond_destroy(&process->over);
}

static void end(struct process *process)
{
    pthread_t thread;

    http_stop(process->http);
    bool bounded = bound_end(process, &thread);
    returner_stop(process->returner);
    rights_watch_stop(process->rights);
    free_cells(process);
    pause_board_free(process->board);
    slot_free(process->slot);
    release_end(process, bounded, thread);
    close(process->signals);
    log_info("run: ended");
}

int process_run(const struct settings *settings)
{
    struct process process = { .settings = settings, .begun_us = wall_us(), .mutex = PTHREAD_MUTEX_INITIALIZER };

    process_init_group(&process);
    if (!try_clients(settings) || !start(&process))
        return PROCESS_FAILED;
    process.code = serve(&process);
    end(&process);
    process_group_done(&process.group);
    return process.code;
}
