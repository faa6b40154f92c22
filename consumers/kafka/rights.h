/* Rights: what Kafka lets a worker do, found by doing it. Every right of consumers/kafka/acls.h is tried in a way that
 * leaves no trace: a fetch at the end of each topic; a message that asks for acknowledgements no broker knows,
 * which is refused after the right was looked at and before anything is written; offsets of a topic that there is not,
 * refused likewise and whether or not the group has members; a transactional id of its own, which fences no worker's
 * publisher.
 *
 * Threads    the caller's.
 * Failure    false, with a message: Kafka did not let itself be asked.
 */
#ifndef CONSUMERS_KAFKA_RIGHTS_H
#define CONSUMERS_KAFKA_RIGHTS_H

#include <stdatomic.h>

#include "workflows/base/buffer.h"

struct settings;

/* One call for each right that is missing, with the line that gives it. */
typedef void rights_missing_fn(void *owner, const struct buffer *says);

/* `publish`: also a transaction that publishes to the audit topic and is aborted. Topics that are not there are passed
 * over. `stop` may be NULL. */
bool rights_probe(const struct settings *settings, bool publish, const atomic_bool *stop, rights_missing_fn *missing,
                  void *owner, struct buffer *reterr);

#endif
