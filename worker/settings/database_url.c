#include "worker/settings/database_url.h"

#include <string.h>

static const char *const schemes[] = { "postgresql://", "postgres://" };

static const char *behind_scheme(const char *url)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
        if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
            return url + strlen(schemes[i]);
    return NULL;
}

static bool are_ports(const char *list)
{
    return strspn(list, "0123456789,") == strlen(list);
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val ? options->val : "";
    return "";
}

PQconninfoOption *database_url_parse(const char *url, const char **reterr)
{
    const char *rest = behind_scheme(url), *at = rest ? strchr(rest, '@') : NULL;

    *reterr = "it does not begin with postgresql://";
    if (rest == NULL)
        return NULL;
    *reterr = "an @ that does not end the user, or a / before it: write / and @ of a password as %2F and %40";
    if (at && (strchr(at + 1, '@') || memchr(rest, '/', (size_t)(at - rest))))
        return NULL;
    *reterr = "libpq cannot read it";
    PQconninfoOption *options = PQconninfoParse(url, NULL); /* its message would quote parts */
    if (options && are_ports(value_of(options, "port")))
        return options;
    PQconninfoFree(options);
    return NULL;
}

/* --- for people -------------------------------------------------------------------------------------------------- */

static bool is_secret(const PQconninfoOption *option)
{
    static const char *const parts[] = { "password", "secret", "scram_", "token" };
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (strcasestr(option->keyword, parts[i]))
            return true;
    return option->dispchar[0] == '*'; /* libpq: not to be shown when it is typed */
}

static void add_encoded(const char *text, size_t size, struct buffer *into)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:$/+ ";
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < size; i++)
    {
        unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x80 || (byte != ' ' && byte != 0 && strchr(plain, byte)))
        {
            buffer_add_byte(into, text[i]);
            continue;
        }
        buffer_add_byte(into, '%');
        buffer_add_byte(into, hex[byte >> 4]);
        buffer_add_byte(into, hex[byte & 15]);
    }
}

/* Each host with its port; a single port is everybody's. */
static void add_hosts(const char *hosts, const char *ports, struct buffer *into)
{
    for (bool more = true; more;)
    {
        size_t host = strcspn(hosts, ","), port = strcspn(ports, ",");
        bool address = memchr(hosts, ':', host) != NULL;
        buffer_add_text(into, address ? "[" : "");
        if (hosts[0] == '/')
            buffer_add_text(into, "%2F"), add_encoded(hosts + 1, host - 1, into);
        else
            add_encoded(hosts, host, into);
        buffer_add_text(into, address ? "]" : "");
        if (port > 0)
        {
            buffer_add_byte(into, ':');
            buffer_add(into, ports, port);
        }
        more = hosts[host] == ',';
        hosts += host + more;
        ports += ports[port] == ',' ? port + 1 : 0;
        if (more)
            buffer_add_byte(into, ',');
    }
}

static bool stands_before(const char *keyword)
{
    static const char *const before[] = { "user", "password", "host", "port", "dbname" };
    for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++)
        if (strcmp(keyword, before[i]) == 0)
            return true;
    return false;
}

void database_url_print(const char *url, struct buffer *into)
{
    const char *why;
    PQconninfoOption *options = database_url_parse(url, &why);

    if (options == NULL)
    {
        buffer_add_text(into, "***");
        return;
    }
    const char *user = value_of(options, "user"), *password = value_of(options, "password");
    const char *database = value_of(options, "dbname");
    buffer_add_text(into, schemes[0]);
    add_encoded(user, strlen(user), into);
    buffer_add_text(into, *password ? ":***" : "");
    buffer_add_text(into, *user || *password ? "@" : "");
    add_hosts(value_of(options, "host"), value_of(options, "port"), into);
    buffer_add_text(into, *database ? "/" : "");
    add_encoded(database, strlen(database), into);
    bool first = true;
    for (const PQconninfoOption *option = options; option->keyword; option++)
    {
        if (option->val == NULL || stands_before(option->keyword))
            continue;
        buffer_add_byte(into, first ? '?' : '&');
        buffer_add_text(into, option->keyword);
        buffer_add_byte(into, '=');
        if (is_secret(option))
            buffer_add_text(into, "***");
        else
            add_encoded(option->val, strlen(option->val), into);
        first = false;
    }
    PQconninfoFree(options);
}
