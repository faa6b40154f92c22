/* Advisory locks: the class of the advisory locks that stand for partitions (PROTOCOL O3, O4). A takeover takes
 * pg_advisory_xact_lock(PARTITION_OWNER_LOCK_CLASS, partition_owner.id), every batch pg_advisory_xact_lock_shared of
 * the same.
 *
 * Threads    constants.
 */
#ifndef WORKER_POSTGRES_ADVISORY_LOCKS_H
#define WORKER_POSTGRES_ADVISORY_LOCKS_H

/* int4 ("Int" in ASCII); nobody else may use the class in this database. A macro, since it is printed into SQL. */
#define PARTITION_OWNER_LOCK_CLASS 4812404

#endif
