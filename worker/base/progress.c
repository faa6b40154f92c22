#include "worker/base/progress.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "worker/base/mutex.h"

#define SILENT_US INT64_C(2000000)
#define PLAIN_US INT64_C(10000000) /* between two lines that stay */

/* --- the line ---------------------------------------------------------------------------------------------------- */

void progress_line_begin(struct progress_line *line, int file, const char *verb, int64_t now_us)
{
    *line = (struct progress_line){
        .file = file, .terminal = isatty(file) == 1, .verb = verb, .done = -1, .begun_us = now_us, .written_us = now_us
    };
}

static int print_line(const struct progress_line *line, int64_t now_us, char into[PROGRESS_LINE_MAX + 1])
{
    char count[64] = "";

    if (line->done >= 0 && line->of > 0)
        snprintf(count, sizeof(count), ": %lld of %lld", (long long)line->done, (long long)line->of);
    else if (line->done >= 0)
        snprintf(count, sizeof(count), ": %lld", (long long)line->done);
    int size = snprintf(into, PROGRESS_LINE_MAX + 1, "interlock %s: %s%s (%lld s)", line->verb, line->stage, count,
                        (long long)(now_us - line->begun_us) / 1000000);
    return size > PROGRESS_LINE_MAX ? PROGRESS_LINE_MAX : size;
}

/* One call, so that it does not mix with another thread's line; a failure cannot be reported anywhere. */
static void write_out(const struct progress_line *line, const char *text, int size)
{
    ssize_t written = write(line->file, text, (size_t)size);
    (void)written;
}

void progress_line_tick(struct progress_line *line, int64_t now_us)
{
    char text[PROGRESS_LINE_MAX + 1], out[2 * PROGRESS_LINE_MAX + 8];
    int64_t every_us = line->terminal ? PROGRESS_REWRITE_US : PLAIN_US;

    if (now_us - line->begun_us < SILENT_US || now_us - line->written_us < every_us || line->stage[0] == '\0')
        return;
    int size = print_line(line, now_us, text);
    line->written_us = now_us;
    if (!line->terminal)
    {
        write_out(line, out, snprintf(out, sizeof(out), "%s\n", text));
        return;
    }
    int rest = line->shown > size ? line->shown - size : 0; /* of the line before, which may be longer */
    write_out(line, out, snprintf(out, sizeof(out), "\r%s%*s", text, rest, ""));
    line->shown = size + rest;
}

void progress_line_hide(struct progress_line *line, int64_t now_us)
{
    char out[PROGRESS_LINE_MAX + 8];

    if (line->shown == 0)
        return;
    write_out(line, out, snprintf(out, sizeof(out), "\r%*s\r", line->shown, ""));
    line->shown = 0;
    line->written_us = now_us;
}

/* --- the one of the process -------------------------------------------------------------------------------------- */

/* Written by the main thread alone. While it is false, no thread takes the mutex: a worker forks, and its child may
 * find no mutex that another thread held. */
static atomic_bool is_on = false;
static struct mutex mutex;
static pthread_cond_t ends_now;
static struct progress_line line_of_all; /* under the mutex */
static bool is_ending;                   /* under the mutex */
static pthread_t ticker;

static void *tick(void *nothing)
{
    pthread_setname_np(pthread_self(), "progress");
    mutex_lock(&mutex);
    while (!is_ending)
    {
        progress_line_tick(&line_of_all, monotonic_us());
        (void)mutex_wait(&mutex, &ends_now, monotonic_us() + PROGRESS_REWRITE_US);
    }
    mutex_unlock(&mutex);
    return nothing;
}

void progress_begin(const char *verb)
{
    mutex_init(&mutex);
    condition_init(&ends_now);
    progress_line_begin(&line_of_all, STDERR_FILENO, verb, monotonic_us());
    is_ending = false;
    if (pthread_create(&ticker, NULL, tick, NULL) == 0)
        atomic_store(&is_on, true);
}

void progress_end(void)
{
    if (!atomic_load(&is_on))
        return;
    mutex_lock(&mutex);
    is_ending = true;
    progress_line_hide(&line_of_all, monotonic_us());
    pthread_cond_signal(&ends_now);
    mutex_unlock(&mutex);
    pthread_join(ticker, NULL);
    atomic_store(&is_on, false);
}

void progress_stage(const char *format, ...)
{
    va_list values;

    if (!atomic_load(&is_on))
        return;
    va_start(values, format);
    mutex_lock(&mutex);
    vsnprintf(line_of_all.stage, sizeof(line_of_all.stage), format, values);
    line_of_all.done = -1;
    line_of_all.of = 0;
    mutex_unlock(&mutex);
    va_end(values);
}

void progress_count(int64_t done, int64_t of)
{
    if (!atomic_load(&is_on))
        return;
    mutex_lock(&mutex);
    line_of_all.done = done;
    line_of_all.of = of;
    mutex_unlock(&mutex);
}

void progress_hide(void)
{
    if (!atomic_load(&is_on))
        return;
    mutex_lock(&mutex);
    progress_line_hide(&line_of_all, monotonic_us());
    mutex_unlock(&mutex);
}
