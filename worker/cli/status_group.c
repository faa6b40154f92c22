#include "worker/cli/status_group.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/base/clock.h"
#include "worker/base/shown.h"
#include "worker/cli/http_get.h"
#include "worker/cli/status_screen.h"
#include "worker/http.h"
#include "worker/postgres/query.h"

enum
{
    TIMEOUT_US = 3 * 1000 * 1000,
    EXIT_FOUND = 3,
    LISTEN_SIZE_MAX = 320,
    WHO_MAX = 480,
};

struct group_look
{
    const struct invocation *invocation;
    struct status_screen screen;
    struct buffer work;  /* a line or two of each worker */
    struct buffer pools; /* JSON, of those that answer */
    struct buffer missing;
    json_t *first; /* the first answer */
    int answers;
};

/* --- one worker -------------------------------------------------------------------------------------------------- */

static json_t *ask(const char *listen, struct buffer *body, struct buffer *fault)
{
    int status = 0;

    if (!http_get(listen, "/status", TIMEOUT_US, &status, body, fault) || status != 200)
        return NULL;
    return json_loadb(body->at ? body->at : "", body->size, 0, NULL);
}

static void take_answer(struct group_look *look, const char *who, const char *listen, const struct buffer *body,
                        json_t *root)
{
    buffer_add_text(&look->pools, look->answers++ == 0 ? "\n{\"listen\":" : ",\n{\"listen\":");
    buffer_add_json_string(&look->pools, span_of(listen));
    buffer_add_text(&look->pools, ",\"status\":");
    buffer_add_span(&look->pools, buffer_span(body));
    buffer_add_byte(&look->pools, '}');
    status_screen_add_worker(&look->screen, who, root);
    shown_add(&look->work, span_of(who));
    buffer_add_text(&look->work, json_is_true(json_object_get(root, "ready")) ? ": ready" : ": not ready");
    buffer_add_text(&look->work, "\n  ");
    status_screen_print_work(root, &look->work);
    if (look->first == NULL)
        look->first = json_incref(root);
}

static void take_silence(struct group_look *look, const char *who, const char *listen, const char *seen,
                         const struct buffer *fault)
{
    struct buffer why = BUFFER_EMPTY;

    buffer_add_text(&look->missing, look->missing.size == 0 ? "{\"worker\":" : ",{\"worker\":");
    buffer_add_json_string(&look->missing, span_of(who));
    buffer_add_text(&look->missing, ",\"listen\":");
    buffer_add_json_string(&look->missing, *listen ? span_of(listen) : SPAN_NULL);
    buffer_add_text(&look->missing, ",\"seen_at\":");
    buffer_add_json_string(&look->missing, span_of(seen));
    buffer_add_byte(&look->missing, '}');
    buffer_add_text(&why, "it does not answer: ");
    if (*listen)
        buffer_add_span(&why, buffer_span(fault));
    else
        buffer_add_text(&why, "it has no HTTP endpoint");
    buffer_add_text(&why, "; seen last at ");
    buffer_add_text(&why, seen);
    status_screen_add_missing(&look->screen, who, buffer_span(&why));
    buffer_done(&why);
}

static void ask_one(struct group_look *look, const char *who, const char *listen, const char *seen)
{
    struct buffer body = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    json_t *root = *listen ? ask(listen, &body, &fault) : NULL;

    if (root)
        take_answer(look, who, listen, &body, root);
    else if (seen)
        take_silence(look, who, listen, seen, &fault);
    json_decref(root);
    buffer_done(&body);
    buffer_done(&fault);
}

/* --- all of them ------------------------------------------------------------------------------------------------- */

static const char seen_sql[] = "SELECT slot, host, pid, coalesce(http, ''), "
                               "to_char(seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
                               "FROM interlock.worker_seen WHERE seen_at > now() - interval '1 day' ORDER BY slot";

static bool is_loopback(const char *listen)
{
    return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0 ||
           strncmp(listen, "localhost:", 10) == 0;
}

/* An address as the worker knows it, for us: "every interface" of another host is that host's name. */
static void print_address(const char *host, const char *listen, char into[LISTEN_SIZE_MAX])
{
    char own[256] = "";
    const char *port = strrchr(listen, ':');
    bool everywhere = strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0;

    gethostname(own, sizeof(own) - 1);
    bool is_here = strcmp(own, host) == 0;
    if (is_here || !everywhere || port == NULL)
        snprintf(into, LISTEN_SIZE_MAX, "%s", !is_here && is_loopback(listen) ? "" : listen);
    else
        snprintf(into, LISTEN_SIZE_MAX, "%s%s", host, port);
}

/* False: PostgreSQL does not say, or nobody is seen. */
static bool ask_seen(struct group_look *look, struct buffer *fault)
{
    QUERY_CONNECTION connection = query_connect(look->invocation->settings, SESSION_READS, "interlock status", fault);
    QUERY_RESULT rows = connection ? query_run(connection, seen_sql, 0, NULL, fault) : NULL;
    char who[WHO_MAX], address[LISTEN_SIZE_MAX];

    for (int row = 0; row < PQntuples(rows); row++)
    {
        const char *host = query_text(rows, row, 1), *listen = query_text(rows, row, 3);
        print_address(host, listen, address);
        snprintf(who, sizeof(who), "slot %s, %s, pid %s%s%s", query_text(rows, row, 0), host, query_text(rows, row, 2),
                 *listen ? ", " : "", listen);
        ask_one(look, who, address, query_text(rows, row, 4));
    }
    return PQntuples(rows) > 0;
}

/* Workers of this host, which take the next port where one is in use. */
static void ask_ports(struct group_look *look)
{
    const char *listen = look->invocation->settings->http.listen, *colon = strrchr(listen, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    char address[LISTEN_SIZE_MAX];

    for (int behind = 0; behind <= HTTP_PORTS_TRIED && port > 0 && port + behind <= 65535; behind++)
    {
        snprintf(address, sizeof(address), "%.*s:%ld", (int)(colon - listen), listen, port + behind);
        ask_one(look, address, address, NULL);
    }
}

static void print_json(const struct group_look *look, struct buffer *into)
{
    buffer_add_text(into, "{\"pools\":[");
    buffer_add_span(into, buffer_span(&look->pools));
    buffer_add_text(into, "\n],\"missing\":[");
    buffer_add_span(into, buffer_span(&look->missing));
    buffer_add_text(into, "]}\n");
}

static void print_text(struct group_look *look, bool line, struct buffer *into)
{
    if (line)
    {
        buffer_add_time(into, wall_us());
        buffer_add_text(into, "  ");
    }
    status_screen_print_verdict(&look->screen, into);
    buffer_add_text(into, "     ");
    status_screen_print_where(look->first, into);
    buffer_add_byte(into, '\n');
    if (line)
        return;
    buffer_add_span(into, buffer_span(&look->screen.things));
    buffer_add_span(into, buffer_span(&look->work));
    status_screen_print_group(look->first, into);
}

int status_group_look(const struct invocation *invocation, bool line, struct buffer *into, struct buffer *fault)
{
    struct group_look look = { .invocation = invocation, .screen = STATUS_SCREEN_EMPTY };
    int code = 1;

    if (!ask_seen(&look, fault) && look.answers == 0)
    {
        if (fault->size > 0)
            verb_tell("interlock status: %.*s; asking the ports from http.listen on", (int)fault->size, fault->at);
        ask_ports(&look);
    }
    buffer_clear(fault);
    if (look.answers > 0)
    {
        status_screen_add_group(&look.screen, look.first);
        if (invocation->json)
            print_json(&look, into);
        else
            print_text(&look, line, into);
        code = look.screen.count > 0 ? EXIT_FOUND : 0;
    }
    else
    {
        buffer_add_text(fault, "no worker answers, neither those that PostgreSQL has seen within a day nor one at ");
        buffer_add_text(fault, invocation->settings->http.listen);
        buffer_add_text(fault, " or at the 16 ports after it");
    }
    json_decref(look.first);
    status_screen_done(&look.screen);
    buffer_done(&look.work);
    buffer_done(&look.pools);
    buffer_done(&look.missing);
    return code;
}
