#include "worker/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker/base/clock.h"
#include "worker/base/progress.h"
#include "worker/base/shown.h"

enum
{
    MESSAGE_MAX = 2048,             /* longer ones are cut */
    LINE_MAX_SIZE = 6 * 2048 + 256, /* every byte of a message may become \u00xx */
    THREAD_NAME_MAX = 16,           /* Linux */
};

/* Writer: log_setup, before the threads start or while they run; readers: any thread. */
static atomic_int level_max = LOG_LEVEL_INFO;
static atomic_bool as_json = false;

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void log_setup(enum log_level level, bool json)
{
    atomic_store_explicit(&level_max, (int)level, memory_order_relaxed);
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_max, memory_order_relaxed);
}

struct line
{
    char at[LINE_MAX_SIZE];
    size_t size;
};

static void line_add(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof(line->at) - 1 - line->size; /* one byte is the newline's */
    size_t taken = size < room ? size : room;
    memcpy(line->at + line->size, text, taken);
    line->size += taken;
}

static void line_add_text(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

static void line_add_time(struct line *line)
{
    int64_t now = wall_us();
    time_t seconds = (time_t)(now / 1000000);
    struct tm parts;
    char text[40];
    gmtime_r(&seconds, &parts);
    size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    size += (size_t)snprintf(text + size, sizeof(text) - size, ".%03dZ", (int)(now / 1000 % 1000));
    line_add(line, text, size);
}

static void line_add_escaped(struct line *line, const char *text, bool json)
{
    const unsigned char *at = (const unsigned char *)text;
    for (size_t size = strlen(text); size > 0;)
    {
        char escape[SHOWN_ESCAPE_MAX];
        size_t step = shown_step(at, size, escape);
        if (escape[0])
            line_add_text(line, escape);
        else
        {
            if (json && (*at == '"' || *at == '\\'))
                line_add_text(line, "\\");
            line_add(line, (const char *)at, step);
        }
        at += step;
        size -= step;
    }
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_is_on(level))
        return;
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    bool json = atomic_load_explicit(&as_json, memory_order_relaxed);
    char thread[THREAD_NAME_MAX] = "";
    pthread_getname_np(pthread_self(), thread, sizeof(thread));
    struct line line;
    line.size = 0;
    line_add_text(&line, json ? "{\"time\":\"" : "");
    line_add_time(&line);
    line_add_text(&line, json ? "\",\"level\":\"" : " ");
    line_add_text(&line, level_names[level]);
    line_add_text(&line, json ? "\",\"thread\":\"" : " [");
    line_add_escaped(&line, thread, json);
    line_add_text(&line, json ? "\",\"message\":\"" : "] ");
    line_add_escaped(&line, message, json);
    line_add_text(&line, json ? "\"}" : "");
    line.at[line.size++] = '\n';
    progress_hide();
    /* One call, so that lines of several threads do not mix; a failure cannot be reported anywhere. */
    ssize_t written = write(STDERR_FILENO, line.at, line.size);
    (void)written;
}

bool log_allowed(struct log_rate *rate, int64_t every_us)
{
    int64_t now = monotonic_us();
    int64_t last = __atomic_load_n(&rate->last_us, __ATOMIC_RELAXED);
    if (last != 0 && now - last < every_us)
    {
        __atomic_fetch_add(&rate->left_out, 1, __ATOMIC_RELAXED);
        return false;
    }
    __atomic_store_n(&rate->last_us, now, __ATOMIC_RELAXED);
    int64_t left_out = __atomic_exchange_n(&rate->left_out, 0, __ATOMIC_RELAXED);
    if (left_out > 0)
        log_info("%lld lines like the next one were left out", (long long)left_out);
    return true;
}
