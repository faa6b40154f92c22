/* Connections that are not encrypted, or whose server is not verified: from the settings alone. On loopback
 * neither matters. */
#include <stdio.h>

#include <libpq-fe.h>

#include "consumers/kafka/clients.h"
#include "worker/cli/check.h"

static bool is_local_host(struct span host)
{
    static const char *const local[] = { "", "localhost", "::1", "[::1]", "127.0.0.1", "ip6-localhost" };

    if (host.size > 0 && (host.at[0] == '/' || host.at[0] == '@')) /* a socket of this host */
        return true;
    for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
        if (span_is(host, local[i]))
            return true;
    return host.size > 4 && memcmp(host.at, "127.", 4) == 0;
}

/* Of "a:1,b:2"; the port follows the last colon, unless that is one of an address without brackets. */
static bool are_local(const char *hosts)
{
    for (const char *at = hosts; *at; at += *at == ',')
    {
        struct span host = { at, strcspn(at, ",") };
        at += host.size;
        const char *colon = memrchr(host.at, ':', host.size);
        if (colon && (colon == host.at || memchr(host.at, ':', (size_t)(colon - host.at)) == NULL || colon[-1] == ']'))
            host.size = (size_t)(colon - host.at);
        if (!is_local_host(host))
            return false;
    }
    return true;
}

static void tell(struct check *check, const char *what, bool local, const char *fault, const char *hint)
{
    if (local)
        check_add(check, CHECK_OK, what, "%s", fault ? "not protected: on this host alone" : "protected");
    else if (fault)
        check_add(check, CHECK_NOTE, what, "%s: %s", fault, hint);
    else
        check_add(check, CHECK_OK, what, "encrypted, and the server is verified");
}

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

static const struct
{
    const char *mode, *fault;
} ssl_modes[] = {
    { "disable", "sslmode=disable: not encrypted, the server not verified" },
    { "allow", "sslmode=allow: encrypted only if the server asks for it, the server not verified" },
    { "prefer", "sslmode=prefer: any server that answers gets the password and all data in the clear" },
    { "require", "sslmode=require: encrypted, the server not verified" },
    { "verify-ca", "sslmode=verify-ca: encrypted, but any server of that authority passes for this one" },
    { "verify-full", NULL },
};

static const char *find_option(const PQconninfoOption *options, const char *name)
{
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, name) == 0)
            return options->val;
    return NULL;
}

/* As libpq will have it: of the URL, else of the environment or libpq's own. */
static const char *find_either(const PQconninfoOption *url, const PQconninfoOption *defaults, const char *name)
{
    const char *value = find_option(url, name);
    return value ? value : find_option(defaults, name);
}

static const char *find_ssl_fault(const char *mode, const char *authority)
{
    for (size_t i = 0; mode && i < sizeof(ssl_modes) / sizeof(*ssl_modes); i++)
        /* libpq: with an authority's file "require" is "verify-ca". */
        if (strcmp(ssl_modes[i].mode, strcmp(mode, "require") == 0 && authority ? "verify-ca" : mode) == 0)
            return ssl_modes[i].fault;
    return ssl_modes[2].fault;
}

static void check_postgresql(struct check *check, const struct settings *settings)
{
    PQconninfoOption *url = PQconninfoParse(settings->database.url, NULL), *defaults = PQconndefaults();
    const char *address = find_either(url, defaults, "hostaddr"), *host = find_either(url, defaults, "host");

    if (address == NULL || *address == '\0')
        address = host;
    if (url)
        tell(check, "postgresql transport", address == NULL || are_local(address),
             find_ssl_fault(find_either(url, defaults, "sslmode"), find_either(url, defaults, "sslrootcert")),
             "database.url = \"postgresql://.../interlock?sslmode=verify-full&sslrootcert=/path/ca.pem\"");
    PQconninfoFree(url);
    PQconninfoFree(defaults);
}

/* --- Kafka, Redis, HTTP ------------------------------------------------------------------------------------------ */

static void check_brokers(struct check *check, const struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;
    bool bare = clients_find_bare(settings, &fault);

    buffer_add_byte(&fault, '\0');
    tell(check, "kafka transport", are_local(settings->kafka.bootstrap), bare ? fault.at : NULL,
         "security.protocol = \"sasl_ssl\" (or \"ssl\", with certificates) and ssl.ca.location, in kafka.consumer and "
         "in "
         "kafka.producer");
    buffer_done(&fault);
}

/* The host of redis://user:password@host:port/0. */
static bool is_local_url(const char *url)
{
    char host[256];
    const char *at = strstr(url, "://");

    if (at == NULL)
        return true; /* unix:/path */
    at += 3;
    size_t size = strcspn(at, "/");
    const char *user = memrchr(at, '@', size);
    if (user)
    {
        size -= (size_t)(user + 1 - at);
        at = user + 1;
    }
    snprintf(host, sizeof(host), "%.*s", (int)size, at);
    return are_local(host);
}

void check_transport(struct check *check, const struct settings *settings)
{
    check_postgresql(check, settings);
    check_brokers(check, settings);
    if (settings->redis.enabled && settings->redis.url && *settings->redis.url)
        tell(check, "redis transport", is_local_url(settings->redis.url),
             "not encrypted: the password and the names of aggregates are in the clear",
             "this build has no TLS for Redis: a trusted network, or a tunnel");
    if (settings->http.listen && *settings->http.listen)
        tell(check, "http transport", are_local(settings->http.listen),
             "not encrypted and without authentication: status names keys of commands",
             "http.listen = \"127.0.0.1:9464\", or a proxy that authenticates in front of it");
}
