/* Connect: how a session with PostgreSQL begins, and why it did not.
 *
 * database.url may name several hosts, a primary and its standbys; libpq goes through them, but only as long as each
 * answers or refuses. One that is silent (a machine that is gone, a server that is stopped) takes all the time of an
 * attempt, so the next attempt begins with the host after it.
 *
 * Threads    one owner for a struct connecting.
 * Failure    NULL from connect_begin: out of memory. The connection itself tells every other failure.
 */
#ifndef WORKER_POSTGRES_CONNECT_H
#define WORKER_POSTGRES_CONNECT_H

#include <libpq-fe.h>
#include <stddef.h>

struct connect_attempt
{
    unsigned first; /* the host of the list that the next attempt begins with; counts on */
};

/* Begins to connect, without waiting, to a server that may be written to. `names` and `values`: further parameters of
 * libpq, ended by NULL, at most CONNECTING_PARAMETERS_MAX. */
enum
{
    CONNECTING_PARAMETERS_MAX = 8,
};
PGconn *connect_begin(const struct connect_attempt *connect_attempt, const char *url, const char *const *names,
                      const char *const *values);

/* The attempt's time has passed. */
void connect_timed_out(struct connect_attempt *connect_attempt);

/* It stands: from now on messages are as usual. */
void connect_end(PGconn *connection);

/* Why it failed, on one line, with the hosts; `sqlstate` is empty where the server did not say one. */
void connect_explain(const PGconn *connection, char *into, size_t into_size, char sqlstate[6]);

#endif
