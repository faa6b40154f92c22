/* Rights watch: what a running worker may not do, for log and /readyz. Kafka says so once, or not before the right is
 * needed, and everything else looks well: so the rights are tried (rights.h) at the start, after every answer that may
 * mean that one is missing, and while one is.
 *
 * Threads    one of its own. rights_watch_problem: any. rights_watch_suspect: any, also without a watch.
 * Ownership  rights_watch_stop frees.
 * Failure    NULL: no thread, no memory. Without an answer of Kafka nothing is known, and it is tried again.
 */
#ifndef CONSUMERS_KAFKA_RIGHTS_WATCH_H
#define CONSUMERS_KAFKA_RIGHTS_WATCH_H

#include <librdkafka/rdkafka.h>

#include "workflows/base/buffer.h"

struct settings;
struct rights_watch;

struct rights_watch *rights_watch_start(const struct settings *settings);
void rights_watch_stop(struct rights_watch *watch); /* joins; NULL is fine */

/* True: a right is missing, and which goes into `why`. NULL: no. */
bool rights_watch_problem(struct rights_watch *watch, struct buffer *why);

/* True once the rights were tried, or could not be. NULL: yes. */
bool rights_watch_has_looked(struct rights_watch *watch);

/* An error that Kafka answered: one of authorization has the rights tried soon. */
void rights_watch_suspect(rd_kafka_resp_err_t error);

#endif
