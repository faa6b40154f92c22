#include "worker/admin/operator_action.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/postgres/query.h"
#include "workflows/base/utf8.h"

enum
{
    HOST_MAX = 255,
    ID_TEXT_MAX = 24,
};

static const char insert_sql[] =
    "INSERT INTO interlock.operator_action (verb, actor, host, version, reason, filter, expected, before) "
    "VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::bigint, $8::timestamptz) RETURNING id";
static const char item_sql[] = "INSERT INTO interlock.operator_item (action_id, subject, outcome) "
                               "VALUES ($1::bigint, $2, $3)";

static size_t count_characters(const char *text)
{
    size_t count = 0;

    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Cut before the character that would be too many. */
static void cut_characters(char *text, size_t limit)
{
    size_t count = 0;

    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80 && ++count > limit)
            *text = '\0';
        else if (count > limit)
            break;
}

const char *operator_actor(const char *claimed, char into[4 * OPERATOR_NAME_MAX + 1])
{
    const char *const names[] = { claimed, getenv("INTERLOCK_OPERATOR"), getenv("SUDO_USER") };
    const char *name = NULL;
    char number[32];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && name == NULL; i++)
        if (names[i] && *names[i])
            name = names[i];
    if (name == NULL)
    {
        const struct passwd *user = getpwuid(getuid());
        snprintf(number, sizeof(number), "uid %ld", (long)getuid());
        name = user && *user->pw_name ? user->pw_name : number;
    }
    utf8_copy_line(into, 4 * OPERATOR_NAME_MAX + 1, name);
    cut_characters(into, OPERATOR_NAME_MAX);
    return into;
}

static bool check_text(const char *name, const char *text, size_t limit, struct buffer *reterr)
{
    char line[128];
    const char *fault = text == NULL || *text == '\0'        ? "is missing or empty"
                        : !utf8_is_valid(text, strlen(text)) ? "is not UTF-8"
                        : count_characters(text) > limit     ? "is too long"
                                                             : NULL;

    if (fault == NULL)
        return true;
    snprintf(line, sizeof(line), "%s %s: a text of at most %zu characters", name, fault, limit);
    buffer_add_text(reterr, line);
    return false;
}

int64_t operator_action_insert(PGconn *connection, const struct operator_action *action, struct buffer *reterr)
{
    char host[HOST_MAX + 1] = "";

    if (!check_text("--reason", action->reason, OPERATOR_REASON_MAX, reterr) ||
        !check_text("--as", action->actor, OPERATOR_NAME_MAX, reterr))
        return -1;
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    const char *const values[] = { action->verb,      action->actor,  host,
                                   INTERLOCK_VERSION, action->reason, action->filter ? action->filter : "{}",
                                   action->expected,  action->before };
    QUERY_RESULT inserted = query_run(connection, insert_sql, sizeof(values) / sizeof(values[0]), values, reterr);
    return inserted && PQntuples(inserted) == 1 ? strtoll(PQgetvalue(inserted, 0, 0), NULL, 10) : -1;
}

bool operator_action_add_item(PGconn *connection, int64_t action, const char *subject, const char *outcome,
                              struct buffer *reterr)
{
    char id[ID_TEXT_MAX];

    snprintf(id, sizeof(id), "%lld", (long long)action);
    const char *const values[] = { id, subject, outcome };
    QUERY_RESULT inserted = query_run(connection, item_sql, 3, values, reterr);
    return inserted != NULL;
}

void operator_add_role(struct buffer *fault, const char *role)
{
    static const char *const signs[] = { "SQLSTATE 42501", "SQLSTATE 25006", "read-only", "permission denied" };

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (fault->size > 0 && memmem(fault->at, fault->size, signs[i], strlen(signs[i])) != NULL)
        {
            buffer_add_text(fault, "; ");
            buffer_add_text(fault, role);
            buffer_add_text(fault, " may do this (schema/roles.sql)");
            return;
        }
}
