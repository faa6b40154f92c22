/* Progress: where a long work is, for the person who waits for it. On a terminal one line of standard error is
 * rewritten while the work goes on, and gone at its end; elsewhere a line is written now and then. Work that ends
 * soon says nothing. A thread writes, so that a statement that takes minutes is seen, too.
 *
 *     progress_begin("audit verify"); progress_stage("events read"); progress_count(++events, 0); progress_end();
 *
 * A process has one standard error, and so one progress. Without progress_begin all of these do nothing.
 *
 * Threads    progress_begin and progress_end by the main thread, the others by any.
 * Locks      one of its own, the last that a thread takes.
 * Failure    none: work without progress is done all the same.
 */
#ifndef WORKER_BASE_PROGRESS_H
#define WORKER_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* `verb` must live until the end. The process may not fork between these two. */
void progress_begin(const char *verb);
void progress_end(void);

/* The next part of the work; its count is unknown. */
void progress_stage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* How much of the part is done; `of` 0: of how many is unknown. */
void progress_count(int64_t done, int64_t of);
/* Before something else is written, so that it has a line of its own on a terminal. */
void progress_hide(void);

/* --- the line itself, for a clock of the caller's ------------------------------------------------------------------ */

enum
{
    PROGRESS_STAGE_MAX = 80,
    PROGRESS_LINE_MAX = 79, /* one less than a terminal is wide: a line that wraps cannot be rewritten */
    PROGRESS_REWRITE_US = 250000,
};

struct progress_line
{
    int file;
    bool terminal;
    const char *verb;
    char stage[PROGRESS_STAGE_MAX];
    int64_t done, of; /* done -1: not known */
    int64_t begun_us, written_us;
    int shown; /* bytes of the line that stands on the terminal */
};

void progress_line_begin(struct progress_line *line, int file, const char *verb, int64_t now_us);
/* Writes the line if it is time. */
void progress_line_tick(struct progress_line *line, int64_t now_us);
void progress_line_hide(struct progress_line *line, int64_t now_us);

#endif
