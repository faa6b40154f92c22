/* Explain report: what `interlock explain` prints: the verdict first, then the story, the next step last.
 *
 * Threads    main.
 * Ownership  buffers of its own; explain_report_done.
 */
#ifndef WORKER_CLI_EXPLAIN_REPORT_H
#define WORKER_CLI_EXPLAIN_REPORT_H

#include "worker/cli/verbs.h"

struct explain_report
{
    struct buffer verdict, headline, next;
    struct buffer story;  /* lines, each with its end */
    struct buffer looked; /* where it was looked for, and what was not looked at; lines */
    struct buffer topic, partition, offset, aggregate, event;
    bool answered;
};

void explain_report_done(struct explain_report *report);

/* A line of printf. */
void explain_tell(struct buffer *into, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replaces the verdict with what follows. */
void explain_conclude(struct explain_report *report, const char *verdict, const char *headline, const char *next);

/* Prints it; returns the exit code: 0 answered, 3 needs a look, 1 not printed. */
int explain_print(const struct invocation *invocation, const struct explain_report *report);

#endif
