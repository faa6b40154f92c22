/* Explaining: the search for one command: PostgreSQL is asked first (worker/admin/explain.h), then the worker that owns
 * the partition, over HTTP, then Kafka. For `explain`, which prints the report, and for `audit show`, which asks who
 * keeps a command from being recorded.
 *
 * Threads    main.
 * Ownership  zeroed memory; the connection is borrowed; explaining_done.
 * Failure    -1, and one line in `fault`; or the report says which part could not be looked at.
 */
#ifndef WORKER_CLI_EXPLAINING_H
#define WORKER_CLI_EXPLAINING_H

#include "consumers/admin/message_reading.h"
#include "worker/admin/explain.h"
#include "worker/cli/explain_report.h"

enum
{
    EXPLAINING_SCAN = 100000, /* messages of Kafka, unless --scan says another number */
};

struct explaining
{
    struct invocation *invocation;
    PGconn *connection;
    struct explain_target target;
    const char *key, *last;
    int64_t scan;
    struct explain_report report;
    struct buffer holders; /* of the row, as row_holders.h says it, with commas */
    struct buffer fault;
    char topic[TOPIC_NAME_MAX + 1], partition[16], offset[24]; /* of the target, where they are found out */
    char source[512], id[512], message_key[160];
    uint8_t identity[DIGEST_SIZE];
    bool found;        /* in Kafka */
    int64_t looked_at; /* messages of Kafka */
};

/* Looks until there is a verdict. */
int explaining_run(struct explaining *explaining);
void explaining_done(struct explaining *explaining);

/* Who holds rows of the aggregate: a line of the story each. */
void explaining_add_holders(struct explaining *explaining, struct span key);

/* Into `explaining->holders` who holds the row of a command that is not answered; nothing if nobody does. Kafka is read
 * only while a worker holds something back. */
void explaining_find_holders(struct explaining *explaining);

#endif
