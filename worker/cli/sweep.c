/* interlock sweep jobs | tickets: turns time into commands. Due rows are read in pages; the commands of a page are
 * delivered before the next page is read. An answer may be lost at any point: the next sweep makes the same commands
 * again, and they change nothing. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "consumers/kafka/command_writer.h"
#include "worker/admin/due.h"
#include "worker/admin/operator_action.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/cli/operator.h"
#include "worker/postgres/query.h"
#include "workflows/model/names.h"

static const char usage[] =
    "usage: interlock sweep jobs    [--notify AUTOCLOSENOTIFY|RAISETICKETNOTIFY] [OPTION...]\n"
    "       interlock sweep tickets [OPTION...]\n"
    "\n"
    "  jobs      job.autoclose for every jobneed that expired within the last day and is not finished\n"
    "  tickets   ticket.escalate for every open ticket that is older than the escalation matrix allows for its level\n"
    "\n"
    "  --execute     publish; without it the commands are only listed\n"
    "  --every 60s   repeat at this interval until TERM or INT\n"
    "  --notify N    notify of job.autoclose, which no table holds. Default: null. Sweepers that run side by\n"
    "                side must agree on it: the same command with other data is refused as id_reused\n"
    "  --topic T     another command topic than the first one of kafka.topics\n"
    "  --reason TEXT why; default: sweep. It is recorded with who did it (interlock action)\n"
    "  --as NAME     who does it; default: the login name\n"
    "  --plan        PostgreSQL's plan of the first page instead\n"
    "  --output json\n"
    "\n"
    "A command that was answered is not published again until its row has changed. Two sweepers at once do no harm.\n"
    "The role interlock_operator may do this.\n";

static const int64_t every_min_us = 100000, every_max_us = 24 * INT64_C(3600000000);
static const int64_t stall_us = 10000000; /* no broker has answered for so long: the round is given up */
static const int64_t slice_us = 100000;   /* how often a wait for brokers looks for a signal */
static const int64_t complain_every_us = 30000000;

struct sweeping
{
    const struct invocation *invocation;
    const struct due_rule *due_rule;
    const char *topic, *notify, *reason, *as;
    int64_t action; /* of this sweeper; 0: it has published nothing yet */
    bool executes;
    int64_t every_us; /* 0: once */
    struct session_stop stop;
    struct session *session;
    struct command_writer *writer; /* NULL between a failure and the next round that has something to publish */
    struct buffer problem;         /* why the round failed */
    long due, published;           /* of the round */
};

/* --- ending ------------------------------------------------------------------------------------------------------ */

/* Blocked before any thread starts. The signal is left in the descriptor: the end, once asked for, stays asked for. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Waits up to `wait_us` for the signal to end. */
static bool is_told_to_end(const struct sweeping *sweeping, int64_t wait_us)
{
    struct pollfd signals = { .fd = sweeping->stop.fd, .events = POLLIN };
    int64_t until_us = monotonic_us() + wait_us;
    for (;;)
    {
        int64_t left_us = until_us - monotonic_us();
        struct timespec left = monotonic_timespec(left_us > 0 ? left_us : 0);
        if (ppoll(&signals, 1, &left, NULL) > 0)
            return true;
        if (left_us <= 0)
            return false;
    }
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static void add_json_head(const struct sweeping *sweeping, struct buffer *into)
{
    buffer_add_text(into, "{\"sweep\":\"");
    buffer_add_text(into, sweeping->due_rule->name);
    buffer_add_text(into, sweeping->executes ? "\",\"executed\":true,\"topic\":" : "\",\"executed\":false,\"topic\":");
    buffer_add_json_string(into, span_of(sweeping->topic));
    buffer_add_text(into, ",\"commands\":[");
}

static void add_json_command(const struct sweeping *sweeping, const struct due_command *command, struct buffer *into)
{
    char key[AGGREGATE_KEY_MAX];
    buffer_add_text(into, sweeping->due > 0 ? ",{\"id\":\"" : "{\"id\":\"");
    due_add_id(command, into);
    buffer_add_text(into, "\",\"type\":\"");
    buffer_add_text(into, command->due_rule->type);
    buffer_add_text(into, "\",\"aggregate\":\"");
    buffer_add(into, key, aggregate_print(command->aggregate, key));
    buffer_add_text(into, "\",\"expectedversion\":");
    buffer_add_int64(into, command->version);
    buffer_add_text(into, ",\"due_at\":\"");
    buffer_add_text(into, command->due_at);
    buffer_add_text(into, "\"}");
}

static void add_text_command(const struct due_command *command, struct buffer *into)
{
    char key[AGGREGATE_KEY_MAX];
    buffer_add(into, key, aggregate_print(command->aggregate, key));
    buffer_add_text(into, " version ");
    buffer_add_int64(into, command->version);
    buffer_add_byte(into, ' ');
    buffer_add_text(into, command->due_rule->due_because);
    buffer_add_byte(into, ' ');
    buffer_add_text(into, command->due_at);
    buffer_add_text(into, " | ");
    due_add_id(command, into);
    buffer_add_byte(into, '\n');
}

static void add_json_end(const struct sweeping *sweeping, bool done, struct buffer *into)
{
    buffer_add_text(into, "],\"due\":");
    buffer_add_int64(into, sweeping->due);
    buffer_add_text(into, ",\"published\":");
    buffer_add_int64(into, sweeping->published);
    if (!done)
    {
        buffer_add_text(into, ",\"failed\":");
        buffer_add_json_string(into, buffer_span(&sweeping->problem));
    }
    buffer_add_text(into, "}\n");
}

/* A sweeper that runs for days says nothing where nothing was due. */
static void add_text_end(const struct sweeping *sweeping, struct buffer *into)
{
    if (sweeping->every_us > 0 && sweeping->due == 0)
        return;
    buffer_add_int64(into, sweeping->executes ? sweeping->published : sweeping->due);
    buffer_add_byte(into, ' ');
    buffer_add_text(into, sweeping->due_rule->type);
    buffer_add_text(into, sweeping->executes ? " published to " : " would be published to ");
    buffer_add_text(into, sweeping->topic);
    buffer_add_text(into, sweeping->executes ? "\n" : "; nothing was: add --execute\n");
}

/* Prints and empties. */
static bool print(struct sweeping *sweeping, struct buffer *out)
{
    bool printed = verb_print(sweeping->invocation, out) == 0;
    if (!printed)
        buffer_add_text(&sweeping->problem, "standard output cannot be written");
    buffer_clear(out);
    return printed;
}

/* --- one round --------------------------------------------------------------------------------------------------- */

static bool fail_round(struct sweeping *sweeping, const char *where, const char *why)
{
    buffer_add_text(&sweeping->problem, where);
    buffer_add_text(&sweeping->problem, ": ");
    buffer_add_text(&sweeping->problem, why);
    return false;
}

static bool fail_kafka(struct sweeping *sweeping, const char *why)
{
    buffer_add_text(&sweeping->problem, "Kafka at ");
    buffer_add_text(&sweeping->problem, sweeping->invocation->settings->kafka.bootstrap);
    buffer_add_text(&sweeping->problem, ", topic ");
    return fail_round(sweeping, sweeping->topic, why);
}

static bool publish(struct sweeping *sweeping, const struct due_command *command, struct buffer *event)
{
    char key[AGGREGATE_KEY_MAX];
    struct buffer fault = BUFFER_EMPTY;
    if (!sweeping->writer)
        sweeping->writer = command_writer_new(sweeping->invocation->settings, sweeping->topic, &fault);
    buffer_clear(event);
    due_add_event(command, sweeping->notify, wall_us(), event);
    struct span name = { key, aggregate_print(command->aggregate, key) };
    bool sent = sweeping->writer && !buffer_failed(event) &&
                command_writer_send(sweeping->writer, name, buffer_span(event), &fault);
    buffer_add_byte(&fault, '\0');
    if (!sent)
        fail_kafka(sweeping, buffer_failed(&fault) || !*fault.at ? "out of memory" : fault.at);
    buffer_done(&fault);
    return sent;
}

/* Waits for the page's commands as long as brokers answer some of them. */
static bool await_delivery(struct sweeping *sweeping)
{
    int left = command_writer_wait(sweeping->writer, 0);
    for (int64_t until_us = monotonic_us() + stall_us; left > 0;)
    {
        int before = left;
        left = command_writer_wait(sweeping->writer, slice_us);
        if (left < before)
            until_us = monotonic_us() + stall_us;
        else if (monotonic_us() > until_us || is_told_to_end(sweeping, 0))
            break;
    }
    struct command_writer_counts counts = command_writer_finish(sweeping->writer, 0);
    sweeping->published = counts.delivered;
    return counts.failed == 0 || fail_kafka(sweeping, counts.last_error);
}

/* Each sweeper is one action, its items are the rounds that published something. */
static bool record(struct sweeping *sweeping, bool published)
{
    char actor[4 * OPERATOR_NAME_MAX + 1], outcome[48];
    const struct operator_action action = { .verb = "sweep",
                                            .actor = operator_actor(sweeping->as, actor),
                                            .reason = sweeping->reason ? sweeping->reason : "sweep" };
    QUERY_CONNECTION connection =
        query_connect(sweeping->invocation->settings, SESSION_WRITES, "interlock sweep", &sweeping->problem);
    bool good = connection != NULL;

    if (good && sweeping->action == 0)
        good = (sweeping->action = operator_action_insert(connection, &action, &sweeping->problem)) > 0;
    if (!good)
        sweeping->action = 0;
    snprintf(outcome, sizeof(outcome), "%ld published", sweeping->published);
    if (good && published)
        good = operator_action_add_item(connection, sweeping->action, sweeping->due_rule->type, outcome,
                                        &sweeping->problem);
    if (!good)
        operator_add_role(&sweeping->problem, "interlock_operator");
    return good;
}

static bool take_page(struct sweeping *sweeping, const PGresult *page, struct buffer *out)
{
    struct buffer event = BUFFER_EMPTY;
    struct due_command command;
    bool done = true;
    if (sweeping->executes && sweeping->action == 0 && due_command_at(sweeping->due_rule, page, 0, &command))
        done = record(sweeping, false);
    for (int i = 0; done && due_command_at(sweeping->due_rule, page, i, &command); i++)
    {
        done = !sweeping->executes || publish(sweeping, &command, &event);
        if (!done)
            break;
        if (sweeping->invocation->json)
            add_json_command(sweeping, &command, out);
        else if (!sweeping->executes)
            add_text_command(&command, out);
        sweeping->due++;
    }
    buffer_done(&event);
    if (done && sweeping->writer)
        done = await_delivery(sweeping);
    return done && print(sweeping, out);
}

static bool fail_session(struct sweeping *sweeping)
{
    return fail_round(sweeping, session_where(sweeping->session), session_problem(sweeping->session));
}

static PGresult *read_page(struct sweeping *sweeping, struct due_cursor *cursor, bool plan)
{
    if (!session_is_open(sweeping->session) && !session_connect(sweeping->session, &sweeping->stop))
    {
        fail_session(sweeping);
        return NULL;
    }
    PGresult *page = due_read(sweeping->session, sweeping->due_rule, cursor, plan,
                              sweeping->invocation->settings->database.statement_timeout_us, &sweeping->stop);
    if (!page)
        fail_session(sweeping);
    return page;
}

static bool take_pages(struct sweeping *sweeping, struct buffer *out)
{
    for (struct due_cursor cursor = sweep_begin(); !cursor.ended;)
    {
        PGresult *page = read_page(sweeping, &cursor, false);
        bool done = page && take_page(sweeping, page, out);
        PQclear(page);
        if (!done)
            return false;
        if (!cursor.ended && is_told_to_end(sweeping, 0))
            return fail_round(sweeping, "stopped", "the remaining commands are due in the next sweep");
    }
    return true;
}

static bool run_round(struct sweeping *sweeping)
{
    struct buffer out = BUFFER_EMPTY;
    buffer_clear(&sweeping->problem);
    sweeping->due = sweeping->published = 0;
    if (sweeping->invocation->json)
        add_json_head(sweeping, &out);
    bool done = take_pages(sweeping, &out);
    if (sweeping->published > 0)
        done = record(sweeping, true) && done;
    if (sweeping->invocation->json)
        add_json_end(sweeping, done, &out);
    else if (done)
        add_text_end(sweeping, &out);
    done = print(sweeping, &out) && done;
    buffer_done(&out);
    /* Each round that publishes has its own handle, so none grows old or keeps messages of a failed round. */
    command_writer_free(sweeping->writer);
    sweeping->writer = NULL;
    return done;
}

/* --- rounds ------------------------------------------------------------------------------------------------------ */

static int run_once(struct sweeping *sweeping)
{
    if (run_round(sweeping))
        return 0;
    return verb_fail(sweeping->invocation, "%.*s", (int)sweeping->problem.size,
                     sweeping->problem.at ? sweeping->problem.at : "out of memory");
}

static int run_every(struct sweeping *sweeping)
{
    const struct retry_policy *policy = &sweeping->invocation->settings->retries[RETRY_DEFAULT];
    uint64_t random_state = (uint64_t)wall_us();
    struct log_rate rate = { 0, 0 };
    int64_t wait_us = 0;
    for (int failures = 0; !is_told_to_end(sweeping, wait_us);)
    {
        int64_t next_us = monotonic_us() + sweeping->every_us;
        if (run_round(sweeping))
        {
            if (failures > 0)
                log_info("sweep %s: works again after %d failed attempts", sweeping->due_rule->name, failures);
            if (sweeping->due > 0)
                log_info("sweep %s: %ld due, %ld published", sweeping->due_rule->name, sweeping->due,
                         sweeping->published);
            failures = 0;
            wait_us = next_us - monotonic_us();
            continue;
        }
        if (is_told_to_end(sweeping, 0))
            break;
        failures++;
        wait_us = retry_delay_us(policy, failures, &random_state);
        bool allowed = log_allowed(&rate, complain_every_us);
        if (failures == 1 || allowed)
            log_warning("sweep %s: %.*s; trying again", sweeping->due_rule->name, (int)sweeping->problem.size,
                        sweeping->problem.at ? sweeping->problem.at : "out of memory");
    }
    log_info("sweep %s: ended", sweeping->due_rule->name);
    return 0;
}

static int run_plan(struct sweeping *sweeping)
{
    struct buffer out = BUFFER_EMPTY;
    struct due_cursor cursor = sweep_begin();
    PGresult *plan = read_page(sweeping, &cursor, true);
    for (int row = 0; plan && row < PQntuples(plan); row++)
    {
        buffer_add_text(&out, PQgetvalue(plan, row, 0));
        buffer_add_byte(&out, '\n');
    }
    int code = plan ? verb_print(sweeping->invocation, &out)
                    : verb_fail(sweeping->invocation, "%.*s", (int)sweeping->problem.size,
                                sweeping->problem.at ? sweeping->problem.at : "out of memory");
    PQclear(plan);
    buffer_done(&out);
    return code;
}

/* --- options ----------------------------------------------------------------------------------------------------- */

static bool check_options(struct sweeping *sweeping, const char *every)
{
    const struct invocation *invocation = sweeping->invocation;
    sweeping->due_rule = invocation->argc == 2 ? due_find(invocation->argv[1]) : NULL;
    if (!sweeping->due_rule)
    {
        verb_usage_error(usage, "sweep %s: accepted are jobs, tickets",
                         invocation->argc > 1 ? invocation->argv[1] : "");
        return false;
    }
    if (every && (!settings_parse_duration(every, &sweeping->every_us) || sweeping->every_us < every_min_us ||
                  sweeping->every_us > every_max_us))
    {
        verb_usage_error(usage, "sweep: --every %s: accepted is a duration such as 60s, from 100ms to 24h", every);
        return false;
    }
    if (sweeping->notify && !sweeping->due_rule->has_notify)
    {
        verb_usage_error(usage, "sweep %s: --notify is for jobs", sweeping->due_rule->name);
        return false;
    }
    if (sweeping->notify && names_find(&names_autoclose_notice, span_of(sweeping->notify)) <= 0)
    {
        verb_usage_error(usage, "sweep: --notify %s: accepted are AUTOCLOSENOTIFY, RAISETICKETNOTIFY",
                         sweeping->notify);
        return false;
    }
    return true;
}

int verb_sweep(struct invocation *invocation)
{
    struct sweeping sweeping = { .invocation = invocation, .problem = BUFFER_EMPTY };
    const char *every = NULL, *topic = NULL;
    char topic_text[TOPIC_NAME_MAX + 1];
    bool plan = false;
    const struct verb_option options[] = {
        { "--every", &every, NULL },
        { "--notify", &sweeping.notify, NULL },
        { "--reason", &sweeping.reason, NULL },
        { "--as", &sweeping.as, NULL },
        { "--topic", &topic, NULL },
        { "--execute", NULL, &sweeping.executes },
        { "--plan", NULL, &plan },
        { NULL, NULL, NULL },
    };
    if (!verb_parse_options(invocation, options, usage) || !check_options(&sweeping, every) ||
        (!plan && !operator_may_act(invocation, sweeping.executes)))
        return 1;
    sweeping.topic = verb_command_topic(invocation, topic, topic_text);
    sweeping.stop.fd = open_signals();
    sweeping.session = session_new(invocation->settings, "interlock sweep");
    int code;
    if (sweeping.stop.fd < 0 || !sweeping.session)
        code = verb_fail(invocation, "%s", sweeping.session ? strerror(errno) : "out of memory");
    else if (plan)
        code = run_plan(&sweeping);
    else
    {
        if (sweeping.executes && (sweeping.reason || every))
            log_info("sweep %s: publishing to %s%s%s", sweeping.due_rule->name, sweeping.topic,
                     sweeping.reason ? ": " : "", sweeping.reason ? sweeping.reason : "");
        code = every ? run_every(&sweeping) : run_once(&sweeping);
    }
    session_free(sweeping.session);
    if (sweeping.stop.fd >= 0)
        close(sweeping.stop.fd);
    buffer_done(&sweeping.problem);
    return code;
}
