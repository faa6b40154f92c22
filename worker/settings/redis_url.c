#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/settings/redis_url.h"
#include "workflows/base/hex.h"

static bool refuse(const char **reterr, const char *why)
{
    *reterr = why;
    return false;
}

/* A copy with %XX decoded, or NULL: memory, a bad escape, or an escaped NUL. */
static char *decode(const char *at, size_t size)
{
    char *text = malloc(size + 1), *to = text;

    if (text == NULL)
        return NULL;
    for (const char *end = at + size; at < end; at++)
    {
        char byte = *at;
        if (byte == '%')
        {
            int high = end - at > 2 ? hex_value(at[1]) : -1, low = end - at > 2 ? hex_value(at[2]) : -1;
            if (high < 0 || low < 0 || high + low == 0)
            {
                free(text);
                return NULL;
            }
            byte = (char)(high * 16 + low);
            at += 2;
        }
        *to++ = byte;
    }
    *to = '\0';
    return text;
}

/* Digits and nothing else, in range. */
static bool read_number(const char *text, int maximum, int *ret)
{
    char *end;

    if (strspn(text, "0123456789") != strlen(text) || *text == '\0' || strlen(text) > 5)
        return false;
    long value = strtol(text, &end, 10);
    *ret = (int)value;
    return value <= maximum;
}

static bool parse_credentials(const char *at, size_t size, struct redis_url *ret)
{
    const char *colon = memchr(at, ':', size);

    if (colon == NULL)
        return false;
    ret->user = colon > at ? decode(at, (size_t)(colon - at)) : NULL;
    ret->password = decode(colon + 1, (size_t)(at + size - colon - 1));
    return ret->password && (ret->user || colon == at);
}

/* host, host:port, [address]:port */
static bool parse_host(const char *at, struct redis_url *ret)
{
    size_t size = strcspn(at, ":");
    const char *behind = at + size;

    if (*at == '[')
    {
        size = strcspn(++at, "]");
        behind = at[size] == ']' ? at + size + 1 : "?";
    }
    if (size == 0 || (*behind != ':' && *behind != '\0'))
        return false;
    ret->host = strndup(at, size);
    return ret->host && (*behind == '\0' || (read_number(behind + 1, 65535, &ret->port) && ret->port > 0));
}

static bool parse_network(const char *text, struct redis_url *ret, const char **reterr)
{
    /* A password may contain '@' where people forgot to encode it, so the last one counts. */
    const char *at = strrchr(text, '@');

    if (at && !parse_credentials(text, (size_t)(at - text), ret))
        return refuse(reterr, "accepted before '@': [user]:password, with reserved characters as %XX");
    char *rest = strdup(at ? at + 1 : text);
    if (rest == NULL)
        return refuse(reterr, "out of memory");
    char *slash = strchr(rest, '/');
    if (slash)
        *slash = '\0';
    bool host_good = parse_host(rest, ret);
    bool database_good = !slash || slash[1] == '\0' || read_number(slash + 1, REDIS_DATABASE_MAX, &ret->database);
    free(rest);
    if (!host_good)
        return refuse(reterr, "no host:port");
    return database_good || refuse(reterr, "accepted after '/': the number of a database");
}

bool redis_url_parse(const char *text, struct redis_url *ret, const char **reterr)
{
    static const char network[] = "redis://", local[] = "unix:";

    *ret = (struct redis_url){ .port = REDIS_PORT_DEFAULT };
    *reterr = "";
    bool good = false;
    if (strncmp(text, network, sizeof(network) - 1) == 0)
        good = parse_network(text + sizeof(network) - 1, ret, reterr);
    else if (strncmp(text, local, sizeof(local) - 1) == 0 && text[sizeof(local) - 1])
        good = (ret->path = strdup(text + sizeof(local) - 1)) != NULL || refuse(reterr, "out of memory");
    else
        refuse(reterr, "neither redis://[:password@]host:port[/number] nor unix:path");
    if (!good)
        redis_url_done(ret);
    return good;
}

void redis_url_print(const char *text, struct buffer *into)
{
    static const char network[] = "redis://";
    struct redis_url url;
    const char *why;
    bool understood = redis_url_parse(text, &url, &why);

    if (understood && url.path)
        buffer_add_text(into, text);
    else if (understood)
    {
        /* As parse_network takes it apart. Without the user: where the colon before a password was forgotten, what
         * stands there is a part of the password. */
        const char *begin = text + sizeof(network) - 1, *at = strrchr(begin, '@');
        buffer_add_text(into, network);
        buffer_add_text(into, at ? "***" : "");
        buffer_add_text(into, at ? at : begin);
    }
    else
        buffer_add_text(into, "***");
    redis_url_done(&url);
}

void redis_url_done(struct redis_url *url)
{
    if (url->password)
        explicit_bzero(url->password, strlen(url->password));
    free(url->host);
    free(url->path);
    free(url->user);
    free(url->password);
    *url = (struct redis_url){ 0 };
}

void redis_url_print_where(const struct redis_url *url, char *into, unsigned size)
{
    if (url->path)
        snprintf(into, size, "unix:%s", url->path);
    else if (url->host)
        snprintf(into, size, strchr(url->host, ':') ? "[%s]:%d" : "%s:%d", url->host, url->port);
    else
        snprintf(into, size, "redis");
}
