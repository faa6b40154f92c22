#include "worker/base/memory.h"

#include <unistd.h>

#include "worker/base/log.h"

enum
{
    EXIT_FORCED = 2, /* CONTRACT.md */
};

void die_out_of_memory(const char *what)
{
    log_error("out of memory for %s: ending; what was in flight is read again", what);
    _exit(EXIT_FORCED);
}
