/* interlock status | health: the state of a running pool, over HTTP. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/base/shown.h"
#include "worker/cli/http_get.h"
#include "worker/cli/verbs.h"
#include "worker/http.h"

static const char status_usage[] =
    "usage: interlock status [--all] [--output json]   --all: of every pool of this host that\n"
    "                                   took http.listen's port or, if that was in use, one of the 16 after it\n";
static const char health_usage[] =
    "usage: interlock health [--live]   exit 0: the pool is alive and ready; 3: it is not; 1: no\n"
    "                                   answer. --live: alive is enough\n";

enum
{
    TIMEOUT_US = 5 * 1000 * 1000,
    PATH_SIZE_MAX = 256,
    DEPTH_MAX = 8,
    LISTEN_SIZE_MAX = 320,
    EXIT_FOUND = 3, /* asked, and it is not well */
};

static int fail_with(const struct invocation *invocation, struct buffer *fault)
{
    int code = verb_fail(invocation, "%.*s", (int)fault->size, fault->at ? fault->at : "out of memory");
    buffer_done(fault);
    return code;
}

static void add_value(json_t *value, const char *path, int depth, struct buffer *into);

static void add_member(json_t *value, const char *path, const char *name, int depth, struct buffer *into)
{
    char inner[PATH_SIZE_MAX];
    snprintf(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", name);
    add_value(value, inner, depth + 1, into);
}

/* One "path = value" line for everything that is not a group itself. */
static void add_value(json_t *value, const char *path, int depth, struct buffer *into)
{
    const char *name;
    json_t *member;
    if (json_is_object(value) && depth < DEPTH_MAX)
    {
        json_object_foreach(value, name, member) add_member(member, path, name, depth, into);
        return;
    }
    if (json_is_array(value) && depth < DEPTH_MAX)
    {
        char number[24];
        for (size_t i = 0; i < json_array_size(value); i++)
        {
            snprintf(number, sizeof(number), "%zu", i);
            add_member(json_array_get(value, i), path, number, depth, into);
        }
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    shown_add(into, span_of(path));
    buffer_add_text(into, " = ");
    shown_add(into, span_of(json_is_string(value) ? json_string_value(value) : text ? text : ""));
    buffer_add_text(into, "\n");
    free(text);
}

static int print_lines(const struct invocation *invocation, const struct buffer *body)
{
    struct buffer lines = BUFFER_EMPTY;
    json_t *root = json_loadb(body->at ? body->at : "", body->size, JSON_DECODE_ANY, NULL);
    if (!root)
        return verb_fail(invocation, "the answer is not JSON: is it the port of a pool?");
    add_value(root, "", 0, &lines);
    json_decref(root);
    int code = verb_print(invocation, &lines);
    buffer_done(&lines);
    return code;
}

/* The address with the port `behind` places higher; "" if there is no such port. */
static void print_address(const char *listen, int behind, char into[LISTEN_SIZE_MAX])
{
    const char *colon = strrchr(listen, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    into[0] = '\0';
    if (port > 0 && port + behind <= 65535)
        snprintf(into, LISTEN_SIZE_MAX, "%.*s:%ld", (int)(colon - listen), listen, port + behind);
}

/* One pool, if one listens there: its lines, or its document. */
static bool add_pool(const struct invocation *invocation, const char *listen, bool first, struct buffer *into)
{
    struct buffer body = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    int status = 0;
    bool there = http_get(listen, "/status", TIMEOUT_US, &status, &body, &fault) && status == 200;
    json_t *root = there ? json_loadb(body.at ? body.at : "", body.size, 0, NULL) : NULL;
    if (root && invocation->json)
    {
        buffer_add_text(into, first ? "\n{\"listen\":" : ",\n{\"listen\":");
        buffer_add_json_string(into, span_of(listen));
        buffer_add_text(into, ",\"status\":");
        buffer_add_span(into, buffer_span(&body));
        buffer_add_text(into, "}");
    }
    else if (root)
    {
        buffer_add_text(into, "listen = ");
        buffer_add_text(into, listen);
        buffer_add_text(into, "\n");
        add_value(root, "", 0, into);
    }
    there = root != NULL;
    json_decref(root);
    buffer_done(&body);
    buffer_done(&fault);
    return there;
}

static int print_all(const struct invocation *invocation)
{
    const char *listen = invocation->settings->http.listen;
    char address[LISTEN_SIZE_MAX];
    struct buffer text = BUFFER_EMPTY;
    int found = 0;
    buffer_add_text(&text, invocation->json ? "{\"pools\":[" : "");
    for (int behind = 0; behind <= HTTP_PORTS_TRIED; behind++)
    {
        print_address(listen, behind, address);
        found += address[0] && add_pool(invocation, address, found == 0, &text);
    }
    buffer_add_text(&text, invocation->json ? "\n]}\n" : "");
    int code = found > 0 ? verb_print(invocation, &text)
                         : verb_fail(invocation, "no pool answers at %s or at the %d ports after it", listen,
                                     (int)HTTP_PORTS_TRIED);
    buffer_done(&text);
    return code;
}

int verb_status(struct invocation *invocation)
{
    bool all = false;
    const struct verb_option options[] = { { "--all", NULL, &all }, { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, options, status_usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(status_usage, "status takes no operands");
    if (all)
        return print_all(invocation);
    struct buffer body = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    int status = 0;
    if (!http_get(invocation->settings->http.listen, "/status", TIMEOUT_US, &status, &body, &fault))
    {
        buffer_done(&body);
        return fail_with(invocation, &fault);
    }
    int code = status != 200      ? verb_fail(invocation, "the pool answered %d", status)
               : invocation->json ? verb_print(invocation, &body)
                                  : print_lines(invocation, &body);
    buffer_done(&body);
    buffer_done(&fault);
    return code;
}

/* Asks one probe; the body goes out as it came, or in one word and why. */
static int ask(const struct invocation *invocation, const char *path)
{
    struct buffer body = BUFFER_EMPTY, line = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    int status = 0;
    if (!http_get(invocation->settings->http.listen, path, TIMEOUT_US, &status, &body, &fault))
    {
        buffer_done(&body);
        return fail_with(invocation, &fault);
    }
    json_t *root = invocation->json ? NULL : json_loadb(body.at ? body.at : "", body.size, 0, NULL);
    const char *word = json_string_value(json_object_get(root, "status"));
    if (word)
    {
        buffer_add_text(&line, word);
        const char *name;
        json_t *why;
        json_object_foreach(json_object_get(root, "errors"), name, why)
        {
            buffer_add_text(&line, ": ");
            shown_add(&line, span_of(json_is_string(why) ? json_string_value(why) : name));
        }
        buffer_add_text(&line, "\n");
    }
    int code = verb_print(invocation, word ? &line : &body);
    json_decref(root);
    buffer_done(&line);
    buffer_done(&body);
    buffer_done(&fault);
    return code != 0 ? code : status != 200 ? EXIT_FOUND : 0;
}

int verb_health(struct invocation *invocation)
{
    bool live = false;
    const struct verb_option options[] = { { "--live", NULL, &live }, { NULL, NULL, NULL } };
    if (!verb_parse_options(invocation, options, health_usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(health_usage, "health takes no operands");
    int code = ask(invocation, "/healthz");
    return code != 0 || live ? code : ask(invocation, "/readyz");
}
