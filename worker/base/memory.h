/* Memory: the end of a process that cannot have a few bytes where nobody can be told, and where going on without would
 * leave a command out. Everywhere else a failed allocation is answered by its caller: another try, or no start.
 *
 * Failure    ends the process: a line in the log, exit code 2. No command is lost: those in flight are read again.
 */
#ifndef WORKER_BASE_MEMORY_H
#define WORKER_BASE_MEMORY_H

#include <stddef.h>

/* `what`: the purpose of the memory, for people. */
_Noreturn void die_out_of_memory(const char *what);

#endif
