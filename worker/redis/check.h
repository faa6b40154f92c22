/* Redis check: is this Redis fit for locks? For the verb `check`. It takes two, as a batch does.
 *
 * Threads    any; keeps no state.
 * Failure    false: the report has the fault and the remedy; true: the findings. One line, no secrets.
 */
#ifndef WORKER_REDIS_CHECK_H
#define WORKER_REDIS_CHECK_H

#include "worker/redis/lock.h"
#include "workflows/base/buffer.h"

/* `owner` of the options is not looked at. */
bool redis_check(const struct lock_options *options, struct buffer *report);

/* The version of the client library this was built with; 0.14.1 cannot be asked at run time. */
const char *redis_check_library(void);

#endif
