/* Check: the lines of `interlock check`. Each says ok, note (it works, but read this), or fix (with the remedy).
 *
 * Threads    main.
 * Ownership  the caller frees the report's text.
 * Failure    out of memory shows when the text is printed.
 */
#ifndef WORKER_CLI_CHECK_H
#define WORKER_CLI_CHECK_H

#include "worker/settings/settings.h"

enum check_result
{
    CHECK_OK,
    CHECK_NOTE,
    CHECK_FIX,
};

struct check
{
    bool json;
    int count, fixes;
    struct buffer text;
};

void check_add(struct check *check, enum check_result result, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with a text of any length. */
void check_add_text(struct check *check, enum check_result result, const char *what, const struct buffer *says);

void check_database(struct check *check, const struct settings *settings);
/* Whether PostgreSQL has room for the locks of the lanes; `report`: the topics, as Kafka has them. */
struct topics_report;
void check_locks(struct check *check, const struct settings *settings, const struct topics_report *report);
void check_redis(struct check *check, const struct settings *settings);
void check_transport(struct check *check, const struct settings *settings);
/* kafka.consumer and kafka.producer; nothing is connected to. False: no client can be made of them. */
bool check_clients(struct check *check, const struct settings *settings);
void check_kafka(struct check *check, const struct settings *settings);

#endif
