/* Audit repair: publishes events that the audit topic lacks, in Kafka transactions under an id of its own (PROTOCOL
 * R7).
 *
 * Threads    one caller.
 * Ownership  keys and events are copied.
 * Failure    false, with a message: the open transaction is lost as a whole, earlier ones stay.
 */
#ifndef CONSUMERS_ADMIN_AUDIT_REPAIR_H
#define CONSUMERS_ADMIN_AUDIT_REPAIR_H

#include "workflows/base/buffer.h"

struct settings;
struct audit_repair;

/* After this no earlier repair can finish any more; ends of the topic are to be read after it. */
struct audit_repair *audit_repair_new(const struct settings *settings, struct buffer *reterr);
void audit_repair_free(struct audit_repair *repair);

bool audit_repair_publish(struct audit_repair *repair, const char *key, struct span event, struct buffer *reterr);
/* Commits the open transaction. */
bool audit_repair_commit(struct audit_repair *repair, struct buffer *reterr);

#endif
