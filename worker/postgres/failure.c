#include "worker/postgres/failure.h"

#include <stddef.h>
#include <string.h>

/* The longest prefix that matches decides, so single codes stand before their class. */
static const struct
{
    const char *prefix;
    enum failure_class class;
} classes[] = {
    { "40001", FAILURE_TRANSIENT }, /* serialization_failure */
    { "40P01", FAILURE_TRANSIENT }, /* deadlock_detected */
    { "55P03", FAILURE_TRANSIENT }, /* lock_not_available */
    { "57014", FAILURE_TRANSIENT }, /* query_canceled: statement_timeout */
    { "25P03", FAILURE_SESSION },   /* idle_in_transaction_session_timeout */
    { "25006", FAILURE_SESSION },   /* read_only_sql_transaction: a standby; another host may answer */
    { "57P", FAILURE_SESSION },     /* shutdown, crash, cannot connect now */
    { "08", FAILURE_SESSION },      /* connection */
    { "53", FAILURE_RESOURCES },    /* out of memory, disk, connections */
    { "58", FAILURE_RESOURCES },    /* system error outside PostgreSQL */
    { "22", FAILURE_COMMAND },      /* data exception */
    { "23", FAILURE_COMMAND },      /* integrity constraint */
    { "P0001", FAILURE_COMMAND },   /* raise_exception */
    { "XX", FAILURE_CORRUPTION },
};

enum failure_class failure_classify(const char *sqlstate)
{
    if (sqlstate == NULL || sqlstate[0] == '\0')
        return FAILURE_SESSION;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
            return classes[i].class;
    /* A code nobody thought of must not reject commands: it is ours until somebody says otherwise. */
    return FAILURE_OURS;
}

const char *failure_class_name(enum failure_class class)
{
    static const char *const names[] = { "none", "transient", "session", "resources", "command", "ours", "corruption" };
    _Static_assert(sizeof(names) / sizeof(names[0]) == FAILURE__COUNT, "a name for every class");
    return names[class];
}

bool failure_may_pass(const struct failure *failure)
{
    return strcmp(failure->sqlstate, "23505") == 0 || strcmp(failure->sqlstate, "23503") == 0 ||
           strcmp(failure->sqlstate, "23P01") == 0;
}
