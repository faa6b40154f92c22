/* Log: one line per event, JSON or text, on standard error. Ids, offsets, codes, lengths; never payloads or secrets.
 *
 * Threads    any; a line is written by one write(2).
 * Failure    a line that cannot be written is dropped.
 */
#ifndef WORKER_BASE_LOG_H
#define WORKER_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level
{
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

void log_setup(enum log_level level, bool json);
bool log_is_on(enum log_level level);

/* Control characters in the message are escaped. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* For lines that may repeat in a loop: at most one line per `every_us`; says how many were left out. Each call site has
 * its own `struct log_rate`, zeroed; racy use only miscounts. */
struct log_rate
{
    int64_t last_us;
    int64_t left_out;
};
bool log_allowed(struct log_rate *rate, int64_t every_us);

#endif
