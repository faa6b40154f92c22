/* Redis URL: redis://[[user]:password@]host[:port][/database] or unix:path, taken apart. User and password may be
 * percent-encoded; an IPv6 address stands in brackets.
 *
 * Threads    values; no state.
 * Ownership  redis_url_done frees, and wipes the password first.
 * Failure    false, and the reason; the text never contains the password.
 */
#ifndef WORKER_SETTINGS_REDIS_URL_H
#define WORKER_SETTINGS_REDIS_URL_H

#include <stdbool.h>

#include "workflows/base/buffer.h"

enum
{
    REDIS_PORT_DEFAULT = 6379,
    REDIS_DATABASE_MAX = 9999,
};

struct redis_url
{
    char *host;            /* NULL: a Unix socket */
    char *path;            /* of the Unix socket, or NULL */
    char *user, *password; /* NULL: none */
    int port;
    int database;
};

bool redis_url_parse(const char *text, struct redis_url *ret, const char **reterr);
void redis_url_done(struct redis_url *url);

/* All of a URL for people: user and password as ***, and the whole as *** where it is not understood. */
void redis_url_print(const char *text, struct buffer *into);

/* "127.0.0.1:6379" or "unix:/run/redis.sock", for people. */
void redis_url_print_where(const struct redis_url *url, char *into, unsigned size);

#endif
