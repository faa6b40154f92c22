/* interlock migrate up | down | status */
#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/migrate.h"
#include "worker/base/progress.h"
#include "worker/cli/operator.h"
#include "worker/postgres/query.h"

static const char usage[] =
    "usage: interlock migrate up     [--to N] [--reason TEXT] [--as NAME]\n"
    "                                           apply pending migrations, up to number N\n"
    "       interlock migrate down   [--to N] [--execute --reason TEXT [--as NAME]]\n"
    "                                           undo the newest, or all above N; their data is lost.\n"
    "                                           Without --execute it only lists them\n"
    "       interlock migrate status            which are applied; exit 0 only if all are, else 3\n"
    "The role interlock_owner may do this. Each step is recorded with its reason and with who did it.\n";

enum
{
    CODE_FOUND = 3, /* looked, and not all of it is applied as it should be */
};

struct migrate_options
{
    const char *verb; /* up, down, status */
    const char *to_text;
    int to; /* MIGRATE_TO_NEWEST: not given */
    const char *reason, *as;
    bool execute;
};

static bool parse_number(const char *text, int *ret)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 4 || text[digits] != '\0')
        return false;
    *ret = atoi(text);
    return true;
}

/* The step reports, then the failure, so that it is plain how far it came. */
static int finish(const struct invocation *invocation, bool done, struct buffer *report, struct buffer *fault)
{
    if (report->size == 0 && done)
        buffer_add_text(report, "nothing to do\n");
    int code = verb_print(invocation, report);
    buffer_done(report);
    if (!done)
        return verb_fail_with(invocation, fault);
    buffer_done(fault);
    return code;
}

static int run_up(struct invocation *invocation, const struct migrate_options *options, PGconn *connection)
{
    struct buffer report = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    char actor[4 * OPERATOR_NAME_MAX + 1];
    const struct migrate_by by = { operator_actor(options->as, actor), options->reason };
    progress_begin("migrate up");
    bool done = migrate_up(connection, options->to, &by, &report, &fault);
    progress_end();
    operator_add_role(&fault, "interlock_owner");
    return finish(invocation, done, &report, &fault);
}

static void plan_down(const struct migrate_status *status, int to, struct buffer *report)
{
    for (int i = status->count - 1; i >= 0; i--)
    {
        const struct migrate_row *row = &status->rows[i];
        char line[128];
        if (row->state == MIGRATE_PENDING || row->number <= to)
            continue;
        snprintf(line, sizeof(line), "%04d_%s: would be undone\n", row->number, row->name);
        buffer_add_text(report, line);
    }
    if (report->size > 0)
        buffer_add_text(report, "nothing was changed: add --execute --reason TEXT to do it\n");
}

static int run_down(struct invocation *invocation, const struct migrate_options *options, PGconn *connection)
{
    struct buffer report = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    struct migrate_status status;
    if (!migrate_read_status(connection, &status, &fault))
        return verb_fail_with(invocation, &fault);
    int to = options->to_text ? options->to : status.applied - 1;
    if (!options->execute)
    {
        plan_down(&status, to, &report);
        return finish(invocation, true, &report, &fault);
    }
    char actor[4 * OPERATOR_NAME_MAX + 1];
    const struct migrate_by by = { operator_actor(options->as, actor), options->reason };
    progress_begin("migrate down");
    bool done = migrate_down(connection, to, &by, &report, &fault);
    progress_end();
    operator_add_role(&fault, "interlock_owner");
    return finish(invocation, done, &report, &fault);
}

static void print_status(const struct migrate_status *status, bool json, struct buffer *into)
{
    buffer_add_text(into, json ? "{\"migrations\":[" : "");
    for (int i = 0; i < status->count; i++)
    {
        const struct migrate_row *row = &status->rows[i];
        char line[200];
        if (json)
            snprintf(line, sizeof(line),
                     "%s\n{\"number\":%d,\"name\":\"%s\",\"state\":\"%s\",\"applied_at\":", i > 0 ? "," : "",
                     row->number, row->name, migrate_state_name(row->state));
        else
            snprintf(line, sizeof(line), "%04d_%-20s %-8s %s\n", row->number, row->name, migrate_state_name(row->state),
                     row->applied_at);
        buffer_add_text(into, line);
        if (!json)
            continue;
        buffer_add_json_string(into, row->applied_at[0] ? span_of(row->applied_at) : SPAN_NULL);
        buffer_add_text(into, "}");
    }
    buffer_add_text(into, json ? "\n]}\n" : "");
}

static int run_status(struct invocation *invocation, PGconn *connection)
{
    struct migrate_status status;
    struct buffer report = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    if (!migrate_read_status(connection, &status, &fault))
        return verb_fail_with(invocation, &fault);
    print_status(&status, invocation->json, &report);
    int code = verb_print(invocation, &report);
    buffer_done(&report);
    if (!migrate_is_current(&status, false, &fault))
    {
        verb_fail_with(invocation, &fault);
        return CODE_FOUND;
    }
    buffer_done(&fault);
    return code;
}

/* True when the options fit the verb; else the usage error is printed. */
static bool check_options(struct invocation *invocation, struct migrate_options *options)
{
    static const char *const verbs[] = { "up", "down", "status" };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs) && invocation->argc == 2; i++)
        if (strcmp(invocation->argv[1], verbs[i]) == 0)
            options->verb = verbs[i];
    if (!options->verb)
    {
        verb_usage_error(usage, "migrate %s: accepted are up, down, status",
                         invocation->argc > 1 ? invocation->argv[invocation->argc - 1] : "");
        return false;
    }
    if (options->to_text && !parse_number(options->to_text, &options->to))
    {
        verb_usage_error(usage, "migrate: --to %s: accepted is a number from 0", options->to_text);
        return false;
    }
    bool down = strcmp(options->verb, "down") == 0, looks = strcmp(options->verb, "status") == 0;
    if (options->execute && !down)
    {
        verb_usage_error(usage, "migrate %s takes no --execute", options->verb);
        return false;
    }
    if (looks && (options->reason || options->as))
    {
        verb_usage_error(usage, "migrate status takes neither --reason nor --as");
        return false;
    }
    if (options->execute && (!options->reason || !*options->reason))
    {
        verb_usage_error(usage, "migrate down --execute needs --reason TEXT");
        return false;
    }
    return true;
}

int verb_migrate(struct invocation *invocation)
{
    struct migrate_options options = { .to = MIGRATE_TO_NEWEST };
    const struct verb_option table[] = {
        { "--to", &options.to_text, NULL },
        { "--reason", &options.reason, NULL },
        { "--as", &options.as, NULL },
        { "--execute", NULL, &options.execute },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, table, usage) || !check_options(invocation, &options))
        return 1;
    if (strcmp(options.verb, "down") == 0 && !operator_may_act(invocation, options.execute))
        return 1;
    struct buffer fault = BUFFER_EMPTY;
    bool looks = strcmp(options.verb, "status") == 0;
    QUERY_CONNECTION connection =
        query_connect(invocation->settings, looks ? SESSION_READS : SESSION_WRITES, "interlock migrate", &fault);
    if (!connection)
        return verb_fail_with(invocation, &fault);
    if (strcmp(options.verb, "up") == 0)
        return run_up(invocation, &options, connection);
    return strcmp(options.verb, "down") == 0 ? run_down(invocation, &options, connection)
                                             : run_status(invocation, connection);
}
