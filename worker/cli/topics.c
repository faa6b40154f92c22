#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/topics.h"
#include "worker/admin/operator_action.h"
#include "worker/cli/verbs.h"
#include "worker/postgres/query.h"

enum
{
    PARTITIONS_DEFAULT = 12,
    AUDIT_PARTITIONS_DEFAULT = 4,
    PARTITIONS_MAX = 10000,
    EXIT_FOUND = 3, /* looked, or made, and there is something missing or set wrongly */
};

static const char usage[] =
    "usage: interlock topics plan|create [--partitions N] [--audit-partitions N] [--reason TEXT] [--as NAME]\n"
    "                                    [--output text|json]\n"
    "\n"
    "  plan     list the topics that are missing or set wrongly; change nothing\n"
    "  create   create the missing topics, change nothing else\n"
    "\n"
    "  --partitions N        of a new command topic (default 12)\n"
    "  --audit-partitions N  of a new audit topic (default 4): few are quicker, as a transaction marks each that "
    "it touches\n"
    "  --reason TEXT, --as NAME  of create: why, and who, for the record in PostgreSQL (role interlock_operator); "
    "where\n"
    "                        that cannot be written, a line says so and the topics are made all the same\n"
    "\n"
    "Order per aggregate holds only while a command topic keeps its number of partitions: to change it, stop the\n"
    "producers, let the pool drain, add the partitions, start them again.\n";

struct who
{
    const char *reason, *as; /* NULL: not said */
};

static void add_json(const struct topic_state *topic, bool made, const char *fault, struct buffer *into)
{
    const struct
    {
        const char *name;
        int64_t value;
    } numbers[] = { { ",\"partitions\":", topic->partitions },
                    { ",\"replication\":", topic->replication },
                    { ",\"retention_ms\":", topic->retention_ms },
                    { ",\"max_message_bytes\":", topic->max_message_bytes } };

    buffer_add_text(into, "{\"topic\":");
    buffer_add_json_string(into, span_of(topic->name));
    buffer_add_text(into, ",\"role\":");
    buffer_add_json_string(into, span_of(topic->role));
    buffer_add_text(into, topic->exists ? ",\"exists\":true" : ",\"exists\":false");
    buffer_add_text(into, made ? ",\"created\":true" : ",\"created\":false");
    for (size_t i = 0; topic->exists && i < sizeof(numbers) / sizeof(*numbers); i++)
    {
        buffer_add_text(into, numbers[i].name);
        buffer_add_int64(into, numbers[i].value);
    }
    if (topic->exists)
    {
        buffer_add_text(into, ",\"cleanup_policy\":");
        buffer_add_json_string(into, span_of(topic->cleanup_policy));
    }
    buffer_add_text(into, ",\"problem\":");
    buffer_add_json_string(into, *fault ? span_of(fault) : SPAN_NULL);
    buffer_add_byte(into, '}');
}

static void add_text(const struct topic_state *topic, bool made, const char *fault, struct buffer *into)
{
    char line[600];

    if (!topic->exists)
        snprintf(line, sizeof(line), "%-32s %-13s missing%s%s\n", topic->name, topic->role, *fault ? ": " : "", fault);
    else
        snprintf(line, sizeof(line), "%-32s %-13s %s: %d partitions, %d replicas, %s%s%s\n", topic->name, topic->role,
                 made     ? "created"
                 : *fault ? "wrong"
                          : "ok",
                 topic->partitions, topic->replication,
                 topic->settings_unknown ? "settings that may not be looked at" : topic->cleanup_policy,
                 *fault ? ": " : "", fault);
    buffer_add_text(into, line);
}

static bool find_fault(const struct topic_state *topic, bool awaited, struct buffer *into)
{
    if (topic->in_the_way[0])
        buffer_add_text(into, topic->in_the_way);
    else if (topic->exists)
        return topics_find_fault(topic, into);
    else if (topic->forbidden)
        buffer_add_text(into, "or the right to describe it is missing (interlock describe acls)");
    else if (awaited)
        buffer_add_text(into, "created, but the broker does not list it yet; run this again");
    return true;
}

/* Prints the report; *ret_wrong counts topics that are missing or set wrongly. */
static int print_report(const struct invocation *invocation, const struct topics_report *before,
                        const struct topics_report *report, int *ret_wrong)
{
    struct buffer printed = BUFFER_EMPTY;

    if (invocation->json)
        buffer_add_byte(&printed, '[');
    for (int i = 0; i < report->count; i++)
    {
        struct buffer fault = BUFFER_EMPTY;
        bool wrong = find_fault(&report->at[i], before != report, &fault);
        bool made = report->at[i].exists && !before->at[i].exists;
        buffer_add_byte(&fault, '\0');
        *ret_wrong += wrong;
        if (invocation->json && i > 0)
            buffer_add_byte(&printed, ',');
        (invocation->json ? add_json : add_text)(&report->at[i], made, fault.at ? fault.at : "", &printed);
        buffer_done(&fault);
    }
    buffer_add_text(&printed, invocation->json ? "]\n" : "");
    int code = verb_print(invocation, &printed);
    buffer_done(&printed);
    return code;
}

static bool insert_action(PGconn *connection, const struct operator_action *action, const struct topics_report *before,
                          const struct topics_report *after, struct buffer *fault)
{
    QUERY_RESULT begin = query_run(connection, TRANSACTION_BEGIN, 0, NULL, fault);
    int64_t id = begin ? operator_action_insert(connection, action, fault) : -1;
    bool good = id > 0;

    for (int i = 0; good && i < after->count; i++)
        if (after->at[i].exists && !before->at[i].exists)
            good = operator_action_add_item(connection, id, after->at[i].name, "created", fault);
    return good && query_commit(connection, fault);
}

/* Topics are made before the schema is, and without PostgreSQL: then nothing is recorded, and a line says so. */
static void record(const struct invocation *invocation, const struct who *who, const struct topics_report *before,
                   const struct topics_report *after)
{
    char actor[4 * OPERATOR_NAME_MAX + 1];
    const struct operator_action action = { .verb = "topics create",
                                            .actor = operator_actor(who->as, actor),
                                            .reason = who->reason ? who->reason : "topics create" };
    struct buffer fault = BUFFER_EMPTY;
    int made = 0;

    for (int i = 0; i < after->count; i++)
        made += after->at[i].exists && !before->at[i].exists;
    if (made == 0)
        return;
    QUERY_CONNECTION connection = query_connect(invocation->settings, SESSION_WRITES, "interlock topics", &fault);
    if (connection == NULL || !insert_action(connection, &action, before, after, &fault))
    {
        operator_add_role(&fault, "interlock_operator");
        verb_tell("interlock topics: who made them is not recorded: %.*s", (int)fault.size,
                  fault.at ? fault.at : "out of memory");
    }
    buffer_done(&fault);
}

static int create_missing(struct invocation *invocation, int partitions, int audit_partitions, const struct who *who)
{
    struct buffer fault = BUFFER_EMPTY;
    struct topics_report before, after;
    int wrong = 0;

    if (!topics_inspect(invocation->settings, &before, &fault) ||
        !topics_create(invocation->settings, &before, partitions, audit_partitions, &fault) ||
        !topics_await(invocation->settings, &after, &fault))
        return verb_fail_with(invocation, &fault);
    record(invocation, who, &before, &after);
    int code = print_report(invocation, &before, &after, &wrong);
    for (int i = 0; i < after.count && code == 0; i++)
        code = !after.at[i].exists; /* the request is not fulfilled */
    return code != 0 ? code : wrong > 0 ? EXIT_FOUND : 0;
}

static int plan(struct invocation *invocation)
{
    struct buffer fault = BUFFER_EMPTY;
    struct topics_report report;
    int wrong = 0;

    if (!topics_inspect(invocation->settings, &report, &fault))
        return verb_fail_with(invocation, &fault);
    int code = print_report(invocation, &report, &report, &wrong);
    if (wrong > 0 && !invocation->json)
        fprintf(stderr, "%d topics are missing or set wrongly: `interlock topics create` makes the missing ones\n",
                wrong);
    return code != 0 ? code : wrong > 0 ? EXIT_FOUND : 0;
}

/* False: not a number of partitions; said already. */
static bool read_count(const char *option, const char *text, int *ret)
{
    char *end;

    if (text == NULL)
        return true;
    errno = 0;
    long count = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end || count < 1 || count > PARTITIONS_MAX)
    {
        verb_usage_error(usage, "%s %s: a number from 1 to %d", option, text, PARTITIONS_MAX);
        return false;
    }
    *ret = (int)count;
    return true;
}

int verb_topics(struct invocation *invocation)
{
    const char *partitions_text = NULL, *audit_text = NULL;
    struct who who = { NULL, NULL };
    const struct verb_option options[] = { { "--partitions", &partitions_text, NULL },
                                           { "--reason", &who.reason, NULL },
                                           { "--as", &who.as, NULL },
                                           { "--audit-partitions", &audit_text, NULL },
                                           { NULL, NULL, NULL } };
    int partitions = PARTITIONS_DEFAULT, audit_partitions = AUDIT_PARTITIONS_DEFAULT;

    if (!verb_parse_options(invocation, options, usage) || !read_count("--partitions", partitions_text, &partitions) ||
        !read_count("--audit-partitions", audit_text, &audit_partitions))
        return 1;
    const char *what = invocation->argc > 1 ? invocation->argv[1] : "";
    if (invocation->argc == 2 && strcmp(what, "plan") == 0)
        return plan(invocation);
    if (invocation->argc == 2 && strcmp(what, "create") == 0)
        return create_missing(invocation, partitions, audit_partitions, &who);
    return verb_usage_error(usage, "%s%ssay plan or create", what, *what ? ": " : "");
}
