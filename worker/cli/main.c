#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumers/kafka/clients.h"
#include "worker/base/log.h"
#include "worker/cli/verbs.h"

struct verb
{
    const char *name;
    int (*call)(struct invocation *invocation);
    bool needs_settings;
    const char *says;
};

static const struct verb verbs[] = {
    { "run", verb_run, true, "a worker: apply commands until TERM or INT" },
    { "migrate", verb_migrate, true, "up | down | status of the database schema" },
    { "topics", verb_topics, true, "plan | create the Kafka topics that the settings name" },
    { "publish", verb_publish, true, "put CloudEvents, one a line, on the command topic" },
    { "audit", verb_audit, true, "list | show | verify the results of commands" },
    { "action", verb_action, true, "list | show | stop: who did what to the pool, and why" },
    { "explain", verb_explain, true, "one command or aggregate: what became of it, and what to do" },
    { "replay", verb_replay, true, "name the commands that PostgreSQL has lost, and bring them back" },
    { "dlq", verb_dlq, true, "list | show | redrive | discard | restore dead letters" },
    { "check", verb_check, true, "settings, services, schema, topics: each line ok, or what to do" },
    { "describe", verb_describe, true, "types | settings | topics, --json-schema, --asyncapi" },
    { "sweep", verb_sweep, true, "jobs | tickets: publish the commands that have become due by time" },
    { "prune", verb_prune, true, "forget inbox rows whose commands Kafka no longer has" },
    { "parked", verb_parked, true, "list | show | release | cancel commands that wait in PostgreSQL" },
    { "pause", verb_pause, true, "hold back commands of a type, tenant, key, topic, partition; pause list" },
    { "resume", verb_resume, true, "end a pause: what waits for it returns" },
    { "status", verb_status, true, "state and work of a running worker, or of all" },
    { "health", verb_health, true, "whether a running worker is alive and ready" },
    { "version", verb_version, false, "of this program and the libraries it runs with" },
};

enum
{
    VERB_COUNT = sizeof(verbs) / sizeof(*verbs),
};

static const char synopsis[] = "usage: interlock VERB [--config FILE] [--output text|json] [OPTION...]\n"
                               "       interlock VERB --help\n";

static void print_help(FILE *into)
{
    fputs(synopsis, into);
    fputs("\n", into);
    for (int i = 0; i < VERB_COUNT; i++)
        fprintf(into, "  %-10s%s\n", verbs[i].name, verbs[i].says);
    fputs("\nEvery setting can be given as INTERLOCK_<SECTION>_<KEY>; KAFKA_BOOTSTRAP, DATABASE_URL and REDIS_URL\n"
          "override the file. `interlock describe settings --example` prints the documented settings file.\n",
          into);
}

static const struct verb *find_verb(const char *name)
{
    for (int i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* Whether argv[*at] is the global option `name`? Its value, "" when there is none, may stand in the next argument. */
static bool is_global(int argc, char **argv, int *at, const char *name, const char **ret_value)
{
    size_t size = strlen(name);
    const char *argument = argv[*at];
    if (strncmp(argument, name, size) != 0 || (argument[size] != '=' && argument[size] != '\0'))
        return false;
    if (argument[size] == '=')
        *ret_value = argument + size + 1;
    else
        *ret_value = *at + 1 < argc ? argv[++*at] : "";
    return true;
}

/* Takes --config and --output out of the command line, wherever they stand. */
static bool take_globals(struct invocation *invocation, int argc, char **argv)
{
    int kept = 0;
    bool ended = false;
    for (int i = 1; i < argc; i++)
    {
        const char *value = "";
        ended = ended || strcmp(argv[i], "--") == 0;
        if (!ended && is_global(argc, argv, &i, "--config", &value))
        {
            if (*value == '\0' || invocation->config_file)
            {
                verb_usage_error(synopsis, "--config takes one file name");
                return false;
            }
            invocation->config_file = value;
        }
        else if (!ended && is_global(argc, argv, &i, "--output", &value))
        {
            if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
            {
                verb_usage_error(synopsis, "--output %s: accepted are text, json", value);
                return false;
            }
            invocation->json = strcmp(value, "json") == 0;
        }
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    invocation->argc = kept;
    invocation->argv = argv;
    return true;
}

static void tell_warnings(struct span lines)
{
    for (size_t from = 0; from < lines.size;)
    {
        const char *end = memchr(lines.at + from, '\n', lines.size - from);
        size_t size = end ? (size_t)(end - lines.at) - from : lines.size - from;
        log_warning("settings: %.*s", (int)size, lines.at + from);
        from += size + 1;
    }
}

/* Whoever asks how a verb is used may have settings that are not right yet. */
static bool asks_for_help(struct invocation *invocation)
{
    for (int i = 1; i < invocation->argc; i++)
        if (strcmp(invocation->argv[i], "--help") == 0)
        {
            invocation->argv[1] = invocation->argv[i];
            invocation->argc = 2;
            return true;
        }
    return false;
}

static int call_with_settings(const struct verb *verb, struct invocation *invocation)
{
    static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
    static const char *const level_names[] = { "error", "warning", "info", "debug" };
    struct buffer fault = BUFFER_EMPTY;
    struct settings settings;
    if (!settings_load(&settings, invocation->config_file, &fault))
    {
        if (asks_for_help(invocation))
        {
            buffer_done(&fault);
            return verb->call(invocation); /* which prints it, and ends the process */
        }
        verb_tell("interlock: %.*s", (int)fault.size, fault.at ? fault.at : "out of memory");
        buffer_done(&fault);
        return 1;
    }
    for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
        if (strcmp(settings.log.level, level_names[i]) == 0)
            log_setup(levels[i], strcmp(settings.log.format, "json") == 0);
    clients_log_news(verb->call == verb_run || verb->call == verb_sweep); /* they have a log, and nobody waits */
    tell_warnings(settings_warnings(&settings));
    invocation->settings = &settings;
    int code = verb->call(invocation);
    settings_done(&settings);
    buffer_done(&fault);
    return code;
}

/* A stream that is closed at the start would be the next file or socket that is opened: log lines in PostgreSQL's. */
static bool open_standard_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", stream == STDIN_FILENO ? O_RDONLY : O_WRONLY) != stream)
            return false;
    return true;
}

/* A peer that is gone, or a file past its limit, answers writes with an error, which every caller handles; the others
 * mean nothing here, and would end the process. Whoever starts us keeps what he ignores. */
static void ignore_signals(void)
{
    static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO };

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
}

int main(int argc, char **argv)
{
    if (!open_standard_streams())
        return 1;
    ignore_signals();
    struct invocation invocation = { 0 };
    if (!take_globals(&invocation, argc, argv))
        return 1;
    if (invocation.argc == 0)
    {
        print_help(stderr);
        return 1;
    }
    const char *name = invocation.argv[0];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
    {
        print_help(stdout);
        return 0;
    }
    const struct verb *verb = find_verb(strcmp(name, "--version") == 0 ? "version" : name);
    if (!verb)
    {
        verb_tell("interlock: unknown verb %s", name);
        print_help(stderr);
        return 1;
    }
    return verb->needs_settings ? call_with_settings(verb, &invocation) : verb->call(&invocation);
}
