#include "worker/postgres/connect.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "workflows/base/utf8.h"

enum
{
    LIST_MAX = 1024, /* bytes of a list of hosts; a longer one stays as it is */
    TEXT_MAX = 1024,
};

static unsigned count_items(const char *list)
{
    unsigned count = 1;

    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* "a,b,c" begun with its second item: "b,c,a". */
static bool rotate(const char *list, unsigned first, char into[LIST_MAX])
{
    size_t size = strlen(list);
    const char *at = list;

    if (size >= LIST_MAX)
        return false;
    for (; first > 0; first--)
        at = strchr(at, ',') + 1;
    size_t behind = (size_t)(list + size - at);
    memcpy(into, at, behind);
    if (at > list)
    {
        into[behind] = ',';
        memcpy(into + behind + 1, list, (size_t)(at - list) - 1);
    }
    into[size] = '\0';
    return true;
}

/* The lists of hosts, addresses and ports, each begun with the same item. A single port is everybody's. */
struct rotated
{
    const char *values[3];
    char texts[3][LIST_MAX];
};

static const char *const list_names[3] = { "host", "hostaddr", "port" };

static void rotate_url(const char *url, unsigned first, struct rotated *rotated)
{
    PQconninfoOption *options = first > 0 ? PQconninfoParse(url, NULL) : NULL;

    for (int i = 0; i < 3; i++)
        rotated->values[i] = NULL;
    for (PQconninfoOption *option = options; option && option->keyword; option++)
        for (int i = 0; i < 3; i++)
        {
            if (strcmp(option->keyword, list_names[i]) != 0 || option->val == NULL)
                continue;
            unsigned count = count_items(option->val);
            if (count > 1 && rotate(option->val, first % count, rotated->texts[i]))
                rotated->values[i] = rotated->texts[i];
        }
    PQconninfoFree(options);
}

PGconn *connect_begin(const struct connect_attempt *connect_attempt, const char *url, const char *const *names,
                      const char *const *values)
{
    const char *all_names[CONNECTING_PARAMETERS_MAX + 6] = { "dbname", "target_session_attrs" };
    const char *all_values[CONNECTING_PARAMETERS_MAX + 6] = { url, "read-write" };
    int count = 2;
    struct rotated rotated;

    /* Later names have precedence over those of the URL. */
    rotate_url(url, connect_attempt->first, &rotated);
    for (int i = 0; i < 3; i++)
        if (rotated.values[i])
        {
            all_names[count] = list_names[i];
            all_values[count++] = rotated.values[i];
        }
    for (int i = 0; names[i]; i++)
    {
        assert(i < CONNECTING_PARAMETERS_MAX);
        all_names[count] = names[i];
        all_values[count++] = values[i];
    }
    PGconn *connection = PQconnectStartParams(all_names, all_values, 1);
    /* libpq 15 has no other way to say the SQLSTATE of a connection that was refused. */
    if (connection)
        PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
    return connection;
}

void connect_timed_out(struct connect_attempt *connect_attempt)
{
    connect_attempt->first++;
}

void connect_end(PGconn *connection)
{
    PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
}

/* The lines below a message: advice, details that may quote rows, places in the server. */
static bool is_beside(const char *line)
{
    static const char *const heads[] = { "\t", "DETAIL:", "HINT:", "CONTEXT:", "LOCATION:" };

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (strncmp(line, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

static bool is_sqlstate(const char *at)
{
    for (int i = 0; i < 5; i++)
        if (!isdigit((unsigned char)at[i]) && !isupper((unsigned char)at[i]))
            return false;
    return at[5] == ':';
}

/* "... failed: FATAL:  53300: sorry, too many clients already" */
void connect_explain(const PGconn *connection, char *into, size_t into_size, char sqlstate[6])
{
    char text[TEXT_MAX];
    size_t size = 0;

    sqlstate[0] = '\0';
    for (const char *line = PQerrorMessage(connection); *line;)
    {
        size_t length = strcspn(line, "\n");
        const char *code = strstr(line, ":  ");
        bool told = !is_beside(line);
        if (told && code && code < line + length && is_sqlstate(code + 3))
            memcpy(sqlstate, code + 3, 5), sqlstate[5] = '\0';
        if (told && size + length + 2 < sizeof(text))
        {
            if (size > 0)
                text[size++] = ';', text[size++] = ' ';
            memcpy(text + size, line, length);
            size += length;
        }
        line += length + (line[length] == '\n');
    }
    text[size] = '\0';
    /* libpq's words for a session that target_session_attrs refuses; they do not say where to look. */
    static const char read_only[] = " (a standby, or default_transaction_read_only of server, database or role)";
    if (strstr(text, "session is read-only") && size + sizeof(read_only) < sizeof(text))
        memcpy(text + size, read_only, sizeof(read_only));
    utf8_copy_line(into, into_size, text);
}
