/* interlock version: this program and the libraries it runs with, which need not be those it was built with. */
#include <jansson.h>
#include <libconfig.h>
#include <libpq-fe.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "consumers/kafka/library.h"
#include "worker/cli/verbs.h"
#include "worker/redis/check.h"

static const char usage[] = "usage: interlock version [--output json]\n";

enum
{
    VERSION_MAX = 32,
};

static void print_number(int version, char into[VERSION_MAX])
{
    snprintf(into, VERSION_MAX, "%d.%d", version / 10000, version % 10000);
}

int verb_version(struct invocation *invocation)
{
    const struct verb_option none[] = { { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, none, usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(usage, "version takes no operands");
    char libpq[VERSION_MAX], libconfig[VERSION_MAX];
    print_number(PQlibVersion(), libpq);
    /* libconfig has no call to ask: its header is all there is. */
    snprintf(libconfig, sizeof(libconfig), "%d.%d", LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR);
    const struct
    {
        const char *name;
        const char *version;
    } rows[] = {
        { "interlock", INTERLOCK_VERSION },
#ifdef INTERLOCK_TEST_BUILD
        { "build", "for tests: protections can be switched off" },
#endif
        { "librdkafka", library_version() },
        { "libpq", libpq },
        { "hiredis", redis_check_library() },
        { "jansson", jansson_version_str() },
        { "libconfig", libconfig },
        { "libmicrohttpd", MHD_get_version() },
        { "openssl", OpenSSL_version(OPENSSL_VERSION_STRING) },
    };
    struct buffer text = BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
    {
        buffer_add_text(&text, invocation->json ? (i > 0 ? "," : "{") : "");
        if (invocation->json)
            buffer_add_json_string(&text, span_of(rows[i].name));
        else
            buffer_add_text(&text, rows[i].name);
        buffer_add_text(&text, invocation->json ? ":" : " ");
        if (invocation->json)
            buffer_add_json_string(&text, span_of(rows[i].version));
        else
            buffer_add_text(&text, rows[i].version);
        buffer_add_text(&text, invocation->json ? "" : "\n");
    }
    buffer_add_text(&text, invocation->json ? "}\n" : "");
    int code = verb_print(invocation, &text);
    buffer_done(&text);
    return code;
}
