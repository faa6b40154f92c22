/* Fake Redis: a loopback server that plays a script, so that every error of the real one, and every lie, can be had in
 * milliseconds. Requests come in order, over as many connections as it takes.
 *
 * Threads    begin and end: the test. The server is a thread of its own.
 */
#ifndef TESTS_FAKES_REDIS_H
#define TESTS_FAKES_REDIS_H

#include <stdbool.h>

enum fake_redis_act
{
    FAKE_REPLY,  /* answers, goes on with the connection */
    FAKE_SILENT, /* never answers; the client has to hang up */
    FAKE_CLOSE,  /* answers what there is, then hangs up */
};

struct fake_redis_step
{
    const char *verb;   /* first word of the request; NULL ends the script */
    const char *second; /* second word, or NULL: any */
    enum fake_redis_act act;
    const char *reply; /* bytes */
};

struct fake_redis;

struct fake_redis *fake_redis_begin(const struct fake_redis_step *steps);
const char *fake_redis_url(const struct fake_redis *fake);
/* How many connections were accepted so far. */
int fake_redis_connections(struct fake_redis *fake);
/* Ends it. True: every step was played, and every request was the one the script named. */
bool fake_redis_end(struct fake_redis *fake);

#endif
