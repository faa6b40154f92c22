/* Process: the program that `interlock run` is, from its first thread to its exit code. It keeps the slot, runs the
 * cells, answers probes, and ends in order when it is asked to.
 *
 * Threads    process_run: main. It starts the threads of ARCHITECTURE.md, "Threads", and ends them before it returns.
 * Ownership  borrows the settings for the call.
 * Failure    waits for servers, and says which; the log has the reason where it cannot start or go on. An end by force
 *            leaves the process with PROCESS_FORCED from within.
 */
#ifndef CONSUMERS_PROCESS_H
#define CONSUMERS_PROCESS_H

struct settings;

enum
{
    PROCESS_DONE = 0,
    PROCESS_FAILED = 1, /* it could not start, or the schema belongs to another group */
    PROCESS_FORCED = 2, /* it ended before everything in flight was published */
};

/* Applies commands until a signal ends it; returns PROCESS_DONE or PROCESS_FAILED. */
int process_run(const struct settings *settings);

#endif
