/* Due: rows that have become due by time alone, and the commands for them (DOMAIN.md, "Two sweeps"). The two statements
 * and the event's text stand here; who asks and who publishes is worker/cli/sweep.c.
 *
 * A command's id names the version that was read, so that two sweepers, or one run twice, make the same command again,
 * which changes nothing (PROTOCOL R2), and another one after a refusal when the row has changed. A command that the
 * inbox holds already is not made again.
 *
 * Threads    one owner of the session.
 * Ownership  pages are PGresults, the caller's (PQclear). A command's texts live as long as its page.
 * Failure    due_read returns NULL and says why in session_problem; the cursor stays where it was.
 */
#ifndef WORKER_ADMIN_DUE_H
#define WORKER_ADMIN_DUE_H

#include "worker/postgres/session.h"
#include "workflows/model/id.h"

enum
{
    SWEEP_PAGE_ROWS = 1000, /* rows that one statement looks at, due or not */
    SWEEP_KEY_MAX = 40,
};

struct due_rule
{
    const char *name;        /* jobs */
    const char *type;        /* job.autoclose */
    const char *member;      /* of the data: jobneed_id */
    const char *due_because; /* for people: expired */
    enum aggregate_kind kind;
    bool has_notify;
    const char *sql;
};

extern const struct due_rule due_rules[]; /* ends with name NULL */
extern const char due_source[];

const struct due_rule *due_find(const char *name);

/* Where reading goes on: the index's key of the last row looked at. */
struct due_cursor
{
    char at[SWEEP_KEY_MAX];
    char id[SWEEP_KEY_MAX];
    bool ended;
};

struct due_cursor sweep_begin(void);

/* The next page; the cursor moves past it. `plan`: the page's plan instead, one line a row, and the cursor stays.
 */
PGresult *due_read(struct session *session, const struct due_rule *due_rule, struct due_cursor *cursor, bool plan,
                   int64_t wait_us, const struct session_stop *stop);

struct due_command
{
    const struct due_rule *due_rule;
    int64_t version;
    const char *due_at; /* RFC 3339 */
    struct aggregate aggregate;
};

/* Command `index` of a page; false: the page has no such. */
bool due_command_at(const struct due_rule *due_rule, const PGresult *page, int index, struct due_command *ret);

/* sweep:job.autoclose:jobneed/7:v3 */
void due_add_id(const struct due_command *command, struct buffer *into);

/* The CloudEvent. `notify` NULL: nobody is told; only for sweeps that have it. */
void due_add_event(const struct due_command *command, const char *notify, int64_t now_us, struct buffer *into);

#endif
