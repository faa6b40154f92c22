/* The needs of the outer lock in Redis. */
#include "worker/cli/check.h"
#include "worker/redis/check.h"

void check_redis(struct check *check, const struct settings *settings)
{
    const struct lock_options options = {
        .url = settings->redis.url,
        .prefix = settings->redis.prefix,
        .owner = "check",
        .connect_timeout_us = settings->redis.connect_timeout_us,
        .command_timeout_us = settings->redis.command_timeout_us,
    };
    struct buffer says = BUFFER_EMPTY;
    bool good = redis_check(&options, &says);
    check_add_text(check, good ? CHECK_OK : CHECK_FIX, "redis", &says);
    buffer_done(&says);
}
