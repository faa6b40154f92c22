/* Advisory locks: every class and key of the advisory locks that we take in PostgreSQL, but those of slots, which are
 * made of the group's name (worker/slot.c). Nobody else may use them in this database.
 *
 * Threads    constants.
 */
#ifndef WORKER_POSTGRES_ADVISORY_LOCKS_H
#define WORKER_POSTGRES_ADVISORY_LOCKS_H

/* Macros, since they are printed into SQL: SQL_NUMBER(PARTITION_OWNER_LOCK_CLASS). Classes are int4. */
#define SQL_NUMBER_OF(number) #number
#define SQL_NUMBER(name) SQL_NUMBER_OF(name)

/* A partition (PROTOCOL O3, O4). A takeover takes pg_advisory_xact_lock(class, partition_owner.id), every batch
 * pg_advisory_xact_lock_shared of the same. "Int" in ASCII. */
#define PARTITION_OWNER_LOCK_CLASS 4812404

/* A round of the returner. A group has a schema of its own (PROTOCOL O2), so the schema's oid is the key. */
#define RETURNER_LOCK_CLASS 4812405

/* Held by the session of the process whose /metrics show the group's numbers; the same key. */
#define GROUP_NUMBERS_LOCK_CLASS 4812406

/* A merge of the audit's indexes; the same key. Taken by interlock.merge_audit_indexes() of the schema, which has this
 * number, too. */
#define AUDIT_MERGE_LOCK_CLASS 4812407

/* `audit verify --repair`, for its whole run; the key is 0. Taken by interlock.try_repair_lock() of the schema, which has
 * this number, too. "Adt" in ASCII. */
#define REPAIR_LOCK_CLASS 4285556

/* A migration: one key of 64 bits, "interlck" in ASCII. */
#define MIGRATE_LOCK_KEY 7597137600480830315

#endif
