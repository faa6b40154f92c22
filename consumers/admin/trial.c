#include "consumers/admin/trial.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "consumers/message/delivery_pool.h"
#include "worker/base/clock.h"
#include "worker/base/progress.h"
#include "worker/batch/batch.h"

static const int64_t LONGEST_US = 30000000; /* of one letter */
static const int64_t LOOK_US = 2000;

enum
{
    BEFORE_MAX = 500, /* commands of its aggregate that one is decided after */
    CHILD_DONE = 0,
    CHILD_FAILED = 1, /* the reason is in the result of its letter */
};

/* Shared with the child. */
struct shared
{
    int at; /* the letter in hand */
    struct trial_result results[];
};

struct trials
{
    const struct settings *settings;
    struct delivery *const *deliveries;
    int count;
    bool decides;
    struct shared *shared;
    struct progress_line line; /* the parent's, which has no other thread: it forks */

    /* The child's. */
    struct pipeline *pipeline;
    struct statements *statements;
    struct batch *batch;
};

static size_t size_of(int count)
{
    return sizeof(struct shared) + (size_t)count * sizeof(struct trial_result);
}

/* --- in the child ------------------------------------------------------------------------------------------------ */

static void limit_child(void)
{
    const struct rlimit none = { 0, 0 };

    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which reserve terabytes */
    const struct rlimit memory = { 4ul << 30, 4ul << 30 };
    setrlimit(RLIMIT_AS, &memory);
#endif
}

static void copy(char into[TRIAL_TEXT_MAX], struct span text)
{
    snprintf(into, TRIAL_TEXT_MAX, "%.*s", text.at ? (int)text.size : 0, text.at ? text.at : "");
}

static void copy_names(struct trial_result *result, const struct command *command)
{
    memcpy(result->identity, command->identity, DIGEST_SIZE);
    memcpy(result->body_digest, command->body_digest, DIGEST_SIZE);
    if (command->aggregate.kind != AGGREGATE_NONE)
        aggregate_print(command->aggregate, result->aggregate);
    copy(result->source, command->source);
    copy(result->id, command->id);
    copy(result->type, command->type);
    copy(result->tenant, command->tenant);
    result->has_names = true;
}

static bool is_repeated(const struct trials *trials, int index)
{
    const struct trial_result *results = trials->shared->results;

    for (int i = 0; i < index; i++)
        if (results[i].has_names && memcmp(results[i].identity, results[index].identity, DIGEST_SIZE) == 0)
            return true;
    return false;
}

/* False: it is not to be decided. */
static bool read_letter(struct trials *trials, int index)
{
    struct trial_result *result = &trials->shared->results[index];
    struct delivery *delivery = trials->deliveries[index];
    struct arena arena;
    struct command command;

    memset(&command, 0, sizeof(command));
    arena_init(&arena);
    enum decode_result decoded = delivery_decode(delivery, &arena, &command);
    if (decoded == DECODE_COMMAND)
        copy_names(result, &command);
    else if (decoded == DECODE_DEAD)
        copy(result->says, span_of(delivery->dead_reason));
    else
        copy(result->says, SPAN_LITERAL("out of memory"));
    arena_done(&arena);
    result->kind = decoded == DECODE_DEAD       ? TRIAL_UNREADABLE
                   : decoded == DECODE_MEMORY   ? TRIAL_UNDECIDED
                   : is_repeated(trials, index) ? TRIAL_REPEATED
                                                : TRIAL_READ;
    return result->kind == TRIAL_READ && trials->decides;
}

/* The letter after the ones of its aggregate that would come back before it. Returns how many in all. */
static int gather(const struct trials *trials, int index, struct delivery *into[BEFORE_MAX + 1])
{
    const struct trial_result *results = trials->shared->results;
    int count = 0;

    for (int i = 0; i < index && count < BEFORE_MAX; i++)
        if (results[i].kind == TRIAL_DECIDED && *results[index].aggregate &&
            strcmp(results[i].aggregate, results[index].aggregate) == 0)
            into[count++] = trials->deliveries[i];
    into[count++] = trials->deliveries[index];
    return count;
}

static void tell_decision(const struct trials *trials, int place, struct trial_result *result)
{
    struct batch_trial trial;

    batch_tried(trials->batch, place, &trial);
    result->has_versions = trial.has_versions;
    result->version_from = trial.version_from;
    result->version_to = trial.version_to;
    if (trial.reason.at)
        snprintf(result->says, sizeof(result->says), "%s: %.*s", trial.outcome, (int)trial.reason.size,
                 trial.reason.at);
    else
        snprintf(result->says, sizeof(result->says), "%s", trial.outcome ? trial.outcome : "");
    result->kind = trial.outcome ? TRIAL_DECIDED : trial.waits ? TRIAL_WAITS : TRIAL_UNDECIDED;
    if (result->kind == TRIAL_UNDECIDED)
        copy(result->says, SPAN_LITERAL("one that it follows is not decided"));
}

/* False: the session is lost; a new child goes on. */
static bool decide_letter(struct trials *trials, int index)
{
    struct trial_result *result = &trials->shared->results[index];
    struct delivery *run[BEFORE_MAX + 1];
    int count = gather(trials, index, run);

    enum batch_end end = batch_try(trials->batch, run, count);
    if (end == BATCH_SPLIT)
    {
        /* Too much in one transaction: alone, on the rows of now. */
        run[0] = run[count - 1];
        count = 1;
        end = batch_try(trials->batch, run, count);
    }
    if (end == BATCH_DONE)
        tell_decision(trials, count - 1, result);
    else
    {
        const struct failure *failure = pipeline_failure(trials->pipeline);
        result->kind = TRIAL_UNDECIDED;
        copy(result->says, span_of(*failure->message ? failure->message : "out of memory"));
    }
    return end != BATCH_SESSION;
}

static bool open_session(struct trials *trials)
{
    struct batch_tools tools = { .settings = trials->settings, .decode = delivery_decode };

    trials->pipeline = pipeline_new(trials->settings, "interlock trial");
    trials->statements = trials->pipeline ? statements_new(trials->pipeline) : NULL;
    if (trials->statements)
        pipeline_only_try(trials->pipeline);
    if (trials->statements == NULL || !pipeline_connect(trials->pipeline, NULL))
        return false;
    tools.pipeline = trials->pipeline;
    tools.statements = trials->statements;
    trials->batch = batch_new(&tools);
    return trials->batch != NULL;
}

static int run_child(struct trials *trials, int from)
{
    struct trial_result *results = trials->shared->results;

    limit_child();
    if (trials->decides && !open_session(trials))
    {
        const char *message = trials->pipeline ? pipeline_failure(trials->pipeline)->message : "out of memory";
        results[from].kind = TRIAL_UNDECIDED;
        copy(results[from].says, span_of(message));
        return CHILD_FAILED;
    }
    for (int i = from; i < trials->count; i++)
    {
        trials->shared->at = i;
        results[i].step = "reading";
        if (!read_letter(trials, i))
            continue;
        results[i].kind = TRIAL_NOT_RUN;
        results[i].step = "decide";
        if (!decide_letter(trials, i))
            return CHILD_FAILED;
    }
    trials->shared->at = trials->count;
    return CHILD_DONE;
}

/* --- in the parent ----------------------------------------------------------------------------------------------- */

/* Waits for the child; one that takes too long with a letter is ended. Returns its status. */
static int await_child(struct trials *trials, pid_t child, bool *ret_too_long)
{
    const volatile int *at = &trials->shared->at;
    int status = 0, last = *at;
    int64_t since_us = monotonic_us();

    *ret_too_long = false;
    for (;;)
    {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child || (ended < 0 && errno != EINTR))
            return status;
        if (*at != last)
        {
            last = *at;
            since_us = monotonic_us();
        }
        else if (monotonic_us() - since_us > LONGEST_US && !*ret_too_long)
        {
            *ret_too_long = true;
            kill(child, SIGKILL);
        }
        trials->line.done = *at;
        progress_line_tick(&trials->line, monotonic_us());
        nanosleep(&(struct timespec){ .tv_nsec = (long)LOOK_US * 1000 }, NULL);
    }
}

static void tell_end(struct trial_result *result, int status, bool too_long)
{
    const char *step = result->step ? result->step : "reading";

    result->kind = TRIAL_ENDS;
    if (too_long)
        snprintf(result->says, sizeof(result->says), "more than %d s in %s", (int)(LONGEST_US / 1000000), step);
    else if (WIFSIGNALED(status))
        snprintf(result->says, sizeof(result->says), "signal %d in %s", WTERMSIG(status), step);
    else
        snprintf(result->says, sizeof(result->says), "exit %d in %s", WEXITSTATUS(status), step);
}

/* Each child goes on after the letter that ended the one before it. */
static bool run_children(struct trials *trials, struct buffer *reterr)
{
    for (int from = 0; from < trials->count;)
    {
        bool too_long;
        trials->shared->at = from;
        fflush(NULL);
        pid_t child = fork();
        if (child < 0)
        {
            buffer_add_text(reterr, "no child process: ");
            buffer_add_text(reterr, strerror(errno));
            return false;
        }
        if (child == 0)
            _exit(run_child(trials, from));
        int status = await_child(trials, child, &too_long);
        int at = trials->shared->at;
        if (at >= trials->count)
            return true;
        if (!WIFEXITED(status) || WEXITSTATUS(status) != CHILD_FAILED)
            tell_end(&trials->shared->results[at], status, too_long);
        from = at + 1;
    }
    return true;
}

struct trial_result *trials_run(const struct settings *settings, const char *verb, struct delivery *const *deliveries,
                                int count, bool decides, struct buffer *reterr)
{
    void *shared = mmap(NULL, size_of(count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct trials trials = {
        .settings = settings, .deliveries = deliveries, .count = count, .decides = decides, .shared = shared
    };

    if (shared == MAP_FAILED)
    {
        buffer_add_text(reterr, "out of memory");
        return NULL;
    }
    progress_line_begin(&trials.line, STDERR_FILENO, verb, monotonic_us());
    snprintf(trials.line.stage, sizeof(trials.line.stage), decides ? "commands decided" : "commands read");
    trials.line.of = count;
    bool good = run_children(&trials, reterr);
    progress_line_hide(&trials.line, monotonic_us());
    if (good)
        return trials.shared->results;
    munmap(shared, size_of(count));
    return NULL;
}

void trials_free(struct trial_result *results, int count)
{
    if (results)
        munmap((char *)results - offsetof(struct shared, results), size_of(count));
}
