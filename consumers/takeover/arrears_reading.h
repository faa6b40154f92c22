/* Arrears reading: the portions of a partition's arrears, and the rows that are missing on their topics, read from
 * PostgreSQL (PROTOCOL R1).
 *
 * Threads    one owner, the publisher.
 * Ownership  results belong to the caller, who clears them.
 * Failure    false or NULL: partition_owner_problem says why; the owned partition is to be taken over again from the
 * beginning.
 */
#ifndef CONSUMERS_TAKEOVER_ARREARS_READING_H
#define CONSUMERS_TAKEOVER_ARREARS_READING_H

#include "consumers/partition/arrears.h"
#include "consumers/takeover/partition_owner.h"

/* Reads the next portion of what no rewind covers. Afterwards it is looked up, or, with no rows, known; in parts where
 * much is covered: then it is still unread. */
bool arrears_read(struct partition_owner *owners, struct owned_partition *owned, const struct session_stop *stop);

/* The full rows of the missing events among rows `first` to `behind` - 1 of the portion, ascending; binary, in the
 * columns of entity_audit_event. NULL: failed. */
PGresult *arrears_load_events(struct partition_owner *owners, const struct owned_partition *owned, int first,
                              int behind, const struct session_stop *stop);
/* The same of missing dead letters, as text: kafka_offset, first_failed_at in Unix microseconds, digest in hexadecimal
 * digits, reason. */
PGresult *arrears_load_dead_letters(struct partition_owner *owners, const struct owned_partition *owned, int first,
                                    int behind, const struct session_stop *stop);

#endif
