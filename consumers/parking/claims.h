/* Claims: which parked commands return now, in what order, and where the copies that were sent of them are (PROTOCOL
 * L4). One statement looks at the next ones by their turn, claims what may go, and pushes the turn of the others on:
 * what it costs does not depend on how many are due.
 *
 * A command whose copy is on its topic is not claimed before consumption has passed that copy. Where it is, the
 * delivery report says; where that was lost, it is below what the topic ends with half a minute later.
 *
 * Threads    one owner, the returner.
 * Ownership  results are the caller's (PQclear).
 * Failure    no result: `ask` has said why. The copy of a claimed row that was not reported is found out later.
 */
#ifndef CONSUMERS_PARKING_CLAIMS_H
#define CONSUMERS_PARKING_CLAIMS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

enum
{
    /* Of one round: more is left to the next. */
    CLAIMS_MAX = 1000,
    CLAIMS_BYTES = 8 * 1024 * 1024,
};

enum claim_column
{
    CLAIM_KIND, /* CLAIM_COPY or CLAIM_UNKNOWN */
    CLAIM_IDENTITY,
    CLAIM_RETURNS,
    CLAIM_TOPIC,
    CLAIM_PARTITION,
    CLAIM_TOKEN,
    CLAIM_KEY,
    CLAIM_HEADERS,
    CLAIM_VALUE,
};

#define CLAIM_COPY "copy"       /* to be published */
#define CLAIM_UNKNOWN "unknown" /* published before, or not: its partition's end is to be reported, less one */

enum
{
    CLAIM_NOT_SENT = -2, /* for claims_add: nothing of it can be on the topic */
};

typedef PGresult *claims_ask_fn(void *owner, const char *sql, int count, const char *const *values);

struct claims;

struct claims *claims_new(claims_ask_fn *ask, void *owner);
void claims_free(struct claims *claims);

/* The rows that are to be dealt with, in order. */
PGresult *claims_take(struct claims *claims);

/* The fate of the copy of a row; `partition` -1: where it was sent to. Told to PostgreSQL by claims_report. */
void claims_add(struct claims *claims, const char *identity, const char *returns, int64_t offset, int32_t partition);
void claims_report(struct claims *claims);

/* Partitions that their topics no longer have: their parked commands return, although nobody owns them. `count_of` is
 * asked for the number of a topic's partitions, or -1. */
void claims_find_gone(struct claims *claims, int (*count_of)(void *owner, const char *topic));

#endif
