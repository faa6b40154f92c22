#include <malloc.h>

#include "consumers/process.h"
#include "worker/base/log.h"
#include "worker/cli/verbs.h"

enum
{
    ARENAS = 2, /* of malloc: more cost 10 to 20 MiB of resident memory under a backlog and save no time (measured) */
};

static const char usage[] =
    "usage: interlock run [--config FILE]\n"
    "\n"
    "Applies the commands of kafka.topics until a signal ends it.\n"
    "  TERM, INT   finish and publish the work in flight, then end: exit code 0; HUP does the same\n"
    "  a second    end at once: exit code 2; no command is lost, those in flight are read again. The same happens,\n"
    "              with a list of them in the log, if they are not finished within consumers.drain_timeout\n"
    "  TSTP        take no more commands, finish those in flight, keep running\n";

/* Before any thread starts. */
static bool prepare_limits(const struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;

#ifdef M_ARENA_MAX /* only the GNU C library has arenas to be limited */
    mallopt(M_ARENA_MAX, ARENAS);
#endif
    bool ready = limits_prepare(settings, &fault);
    if (!ready)
        log_error("run: %.*s", (int)fault.size, fault.at ? fault.at : "out of memory");
    buffer_done(&fault);
    return ready;
}

int verb_run(struct invocation *invocation)
{
    const struct verb_option none[] = { { NULL, NULL, NULL } };

    if (!verb_parse_options(invocation, none, usage))
        return 1;
    if (invocation->argc > 1)
        return verb_usage_error(usage, "run: unexpected %s", invocation->argv[1]);
    if (!prepare_limits(invocation->settings))
        return 1;
    return process_run(invocation->settings);
}
