/* Migrate: the numbered, reversible migrations of the schema `interlock`, which are part of the binary (embed.cmake).
 *
 * Each is one transaction that takes an advisory lock first and then reads the list of applied ones, so any number of
 * processes may migrate at once: one does the work, the others find it done. interlock.schema_migration lists the
 * applied ones, with the SHA-256 of their text; a text that changed after it was applied is refused.
 *
 * Threads    one owner per connection; no state besides.
 * Ownership  the connection is borrowed (query.h).
 * Failure    false, and one line in *reterr; the migration at hand has had no effect, those before it stay.
 */
#ifndef WORKER_ADMIN_MIGRATE_H
#define WORKER_ADMIN_MIGRATE_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

struct migration
{
    int number; /* from 1, without gaps */
    const char *name;
    const unsigned char *up, *down; /* SQL text, ends with NUL */
};

extern const struct migration migrations[]; /* ends with name NULL */

enum
{
    MIGRATIONS_MAX = 256,
    MIGRATE_CHECKSUM_SIZE = 65, /* hexadecimal, with its NUL */
    MIGRATE_TO_NEWEST = -1,
};

enum migrate_state
{
    MIGRATE_PENDING, /* known here, not applied */
    MIGRATE_APPLIED,
    MIGRATE_CHANGED, /* applied, but from another text than this program's */
    MIGRATE_UNKNOWN, /* applied by a newer program */
};

struct migrate_row
{
    int number;
    char name[64];
    enum migrate_state state;
    char applied_at[40]; /* empty when pending */
};

struct migrate_status
{
    struct migrate_row rows[MIGRATIONS_MAX]; /* by number */
    int count;
    int applied; /* highest number applied, 0: none */
    int newest;  /* highest number this program knows */
};

/* Reads only; a database that was never migrated is all pending. */
bool migrate_read_status(PGconn *connection, struct migrate_status *ret, struct buffer *reterr);

/* True when every migration of this program is applied unchanged; else *reterr says the fault and the remedy.
 * A newer schema is accepted with `allow_newer`. */
bool migrate_is_current(const struct migrate_status *status, bool allow_newer, struct buffer *reterr);

/* Who migrates, and why. The reason is kept in interlock.schema_migration_log, and both in an operator action of the same
 * transaction, where that table is there before and after the step. */
struct migrate_by
{
    const char *actor;
    const char *reason; /* NULL: none was given */
};

/* Applies the pending ones, up to number `to`. One line per migration is added to `report`. */
bool migrate_up(PGconn *connection, int to, const struct migrate_by *by, struct buffer *report, struct buffer *reterr);

/* Undoes, newest first, the applied ones above number `to`. */
bool migrate_down(PGconn *connection, int to, const struct migrate_by *by, struct buffer *report,
                  struct buffer *reterr);

const char *migrate_state_name(enum migrate_state state);
void migrate_checksum(const struct migration *migration, char into[MIGRATE_CHECKSUM_SIZE]);

#endif
