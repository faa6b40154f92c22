/* interlock status | health: the state of a running pool, over HTTP. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/base/clock.h"
#include "worker/base/shown.h"
#include "worker/cli/http_get.h"
#include "worker/cli/status_group.h"
#include "worker/cli/status_screen.h"
#include "worker/cli/verbs.h"

static const char status_usage[] =
    "usage: interlock status [--all] [--watch] [--output json]\n"
    "   --all      of every worker of the group, as interlock.worker_seen names them; without PostgreSQL: of those\n"
    "              at http.listen and the 16 ports after it\n"
    "   --watch    again and again: the screen on a terminal, a line every 10 s elsewhere\n"
    "   exit 0: all is well; 3: there is something to look at; 1: no answer\n";
static const char health_usage[] =
    "usage: interlock health [--live]   exit 0: the worker is alive and ready; 3: it is not; 1: no\n"
    "                                   answer. --live: alive is enough\n";

enum
{
    TIMEOUT_US = 5 * 1000 * 1000,
    EXIT_FOUND = 3, /* asked, and it is not well */
    SCREEN_EVERY_S = 2,
    LINE_EVERY_S = 10,
};

/* --- one look ---------------------------------------------------------------------------------------------------- */

/* The answer of the worker at http.listen, as it came in `body`. NULL: said in `fault`. */
static json_t *ask_worker(const struct invocation *invocation, struct buffer *body, struct buffer *fault)
{
    int status = 0;

    if (!http_get(invocation->settings->http.listen, "/status", TIMEOUT_US, &status, body, fault))
        return NULL;
    json_t *root = status == 200 ? json_loadb(body->at ? body->at : "", body->size, 0, NULL) : NULL;
    if (root == NULL)
        buffer_add_text(fault, status == 200 ? "the answer is not JSON: is it the port of a pool?"
                                             : "the pool refused to answer: is it the port of a pool?");
    return root;
}

static void print_screen(const struct status_screen *screen, json_t *root, struct buffer *into)
{
    status_screen_print_verdict(screen, into);
    do
        buffer_add_byte(into, ' ');
    while (into->size < 44);
    status_screen_print_where(root, into);
    buffer_add_byte(into, '\n');
    buffer_add_span(into, buffer_span(&screen->things));
    status_screen_print_work(root, into);
    status_screen_print_group(root, into);
}

/* One line: for a log. */
static void print_line(const struct status_screen *screen, json_t *root, struct buffer *into)
{
    buffer_add_time(into, wall_us());
    buffer_add_text(into, "  ");
    status_screen_print_verdict(screen, into);
    buffer_add_text(into, "  ");
    status_screen_print_work(root, into);
}

/* Adds the text, or the document. The exit code; 1: `fault` says why. */
static int look_at_one(const struct invocation *invocation, bool line, struct buffer *into, struct buffer *fault)
{
    struct buffer body = BUFFER_EMPTY;
    struct status_screen screen = STATUS_SCREEN_EMPTY;
    json_t *root = ask_worker(invocation, &body, fault);

    if (root)
    {
        status_screen_add_worker(&screen, "", root);
        status_screen_add_group(&screen, root);
    }
    if (root && invocation->json)
        buffer_add_span(into, buffer_span(&body));
    else if (root)
        (line ? print_line : print_screen)(&screen, root, into);
    int code = root == NULL ? 1 : screen.count > 0 ? EXIT_FOUND : 0;
    status_screen_done(&screen);
    json_decref(root);
    buffer_done(&body);
    return code;
}

static int look(const struct invocation *invocation, bool all, bool line, struct buffer *into, struct buffer *fault)
{
    return all ? status_group_look(invocation, line, into, fault) : look_at_one(invocation, line, into, fault);
}

/* --- again and again --------------------------------------------------------------------------------------------- */

static void pause_for(int seconds)
{
    struct timespec rest = { .tv_sec = seconds };
    nanosleep(&rest, NULL);
}

/* Until a signal ends the program, or nobody reads. Each answer is printed: a worker that is away comes back. */
static int watch(const struct invocation *invocation, bool all)
{
    static const char clear[] = "\033[H\033[2J";
    bool terminal = isatty(STDOUT_FILENO) && !invocation->json;
    int code = 0;

    while (code == 0)
    {
        struct buffer text = BUFFER_EMPTY, fault = BUFFER_EMPTY;
        buffer_add_text(&text, terminal ? clear : "");
        if (look(invocation, all, !terminal && !invocation->json, &text, &fault) == 1)
        {
            buffer_add_time(&text, wall_us());
            buffer_add_text(&text, "  NO ANSWER  ");
            shown_add(&text, buffer_span(&fault));
            buffer_add_byte(&text, '\n');
        }
        code = verb_print(invocation, &text);
        fflush(stdout);
        buffer_done(&text);
        buffer_done(&fault);
        pause_for(terminal ? SCREEN_EVERY_S : LINE_EVERY_S);
    }
    return code;
}

int verb_status(struct invocation *invocation)
{
    bool all = false, again = false;
    const struct verb_option options[] = { { "--all", NULL, &all }, { "--watch", NULL, &again }, { NULL, NULL, NULL } };
    struct buffer text = BUFFER_EMPTY, fault = BUFFER_EMPTY;

    if (!verb_parse_options(invocation, options, status_usage))
        return 1;
    if (invocation->argc != 1)
        return verb_usage_error(status_usage, "status takes no operands");
    if (again && invocation->json)
        return verb_usage_error(status_usage, "--watch has no JSON: --output json is one document");
    if (again)
        return watch(invocation, all);
    int code = look(invocation, all, false, &text, &fault);
    if (code == 1)
    {
        buffer_done(&text);
        return verb_fail_with(invocation, &fault);
    }
    int printed = verb_print(invocation, &text);
    buffer_done(&text);
    buffer_done(&fault);
    return printed != 0 ? printed : code;
}

/* --- health ------------------------------------------------------------------------------------------------------ */

/* Asks one probe; the body goes out as it came, or in one word and why. */
static int ask(const struct invocation *invocation, const char *path)
{
    struct buffer body = BUFFER_EMPTY, line = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    int status = 0;
    if (!http_get(invocation->settings->http.listen, path, TIMEOUT_US, &status, &body, &fault))
    {
        buffer_done(&body);
        return verb_fail_with(invocation, &fault);
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
