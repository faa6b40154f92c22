/* Failure: the class of a failed PostgreSQL call. The table is in failure.c.
 *
 * Threads    values; no state.
 */
#ifndef WORKER_POSTGRES_FAILURE_H
#define WORKER_POSTGRES_FAILURE_H

#include <stdbool.h>

enum failure_class
{
    FAILURE_NONE,
    FAILURE_TRANSIENT,  /* 40001 40P01 55P03 57014: the keys concerned are held back */
    FAILURE_SESSION,    /* connection gone: reconnect, batch again */
    FAILURE_RESOURCES,  /* 53, 58: hold, probe, resume */
    FAILURE_COMMAND,    /* 22, 23, P0001: one command's own fault */
    FAILURE_OURS,       /* 42, 28, 3D, 3F, 0A, ...: stop taking work, not ready, say why */
    FAILURE_CORRUPTION, /* XX: stop */
    FAILURE__COUNT,
};

struct failure
{
    enum failure_class class;
    bool late;           /* the session was given up by us: no answer within the time allowed */
    char sqlstate[6];    /* "" when the session died without one */
    char constraint[64]; /* of class 23 */
    char column[64];
    char message[160]; /* primary message only: DETAIL may quote row values */
};

/* By SQLSTATE; NULL or "" means the session died. */
enum failure_class failure_classify(const char *sqlstate);

const char *failure_class_name(enum failure_class class);

/* 23505, 23503, 23P01: may pass when loaded and decided again (PROTOCOL B4). */
bool failure_may_pass(const struct failure *failure);

#endif
