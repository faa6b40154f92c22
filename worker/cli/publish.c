/* publish: CloudEvents from a file or standard input, one a line, each put on the command topic under the key of its
 * aggregate, so that commands of one aggregate stay in order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/command_writer.h"
#include "consumers/message/envelope.h"
#include "worker/cli/verbs.h"

enum
{
    LINE_MAX_SIZE = 1024 * 1024, /* a line longer than this is not looked at: commands are up to 64 KiB */
};

static const int64_t deliver_us = 30000000;
static const int64_t silent_us = 2000000; /* after this the wait is reported */
static const char usage[] =
    "usage: interlock publish [--topic TOPIC] [FILE|-] [--output json]\n"
    "\n"
    "Puts commands on the command topic, each under the key of its aggregate, and waits until the broker has them.\n"
    "A line is one command: a CloudEvent in JSON, such as\n"
    "\n"
    "  "
    "{\"specversion\":\"1.0\",\"id\":\"demo-1\",\"source\":\"/"
    "demo\",\"type\":\"ticket.escalate\",\"data\":{\"ticket_id\":42}}\n"
    "\n"
    "  FILE, -        a file of such lines; - or no name: standard input\n"
    "  --topic TOPIC  default: the first of kafka.topics\n"
    "\n"
    "A line that the worker would not read as a command is reported and not published. A command that it would reject "
    "is\n"
    "reported and published, because its rejection is an event. `interlock describe types` lists the types.\n";

struct publishing
{
    const char *name; /* of the file, for messages */
    struct command_writer *writer;
    struct arena arena;
    long line, sent, bad;
};

static void tell_bad(struct publishing *publishing, const char *what)
{
    verb_tell("%s:%ld: not published: %s", publishing->name, publishing->line, what);
    publishing->bad++;
}

/* The aggregate if the data names one; else the publisher's choice: partitionkey (which the envelope does not
 * keep), or subject. */
static struct span key_of(struct publishing *publishing, const struct command *command, struct span line,
                          char into[AGGREGATE_KEY_MAX])
{
    struct document document;
    struct document_failure failure;

    if (command->aggregate.kind != AGGREGATE_NONE)
        return (struct span){ into, aggregate_print(command->aggregate, into) };
    if (document_parse(&publishing->arena, line, &document, &failure))
    {
        const struct node *key = document_member(&document, &document.nodes[0], "partitionkey");
        if (key && key->kind == NODE_STRING)
            return key->text;
    }
    return command->subject;
}

static void publish_line(struct publishing *publishing, struct span line)
{
    struct envelope_source source = { .key = SPAN_NULL, .value = line };
    struct buffer fault = BUFFER_EMPTY;
    struct command command;
    const char *dead_reason = NULL;
    char message[160] = "", key[AGGREGATE_KEY_MAX];

    arena_reset(&publishing->arena, LINE_MAX_SIZE);
    switch (envelope_decode(&source, &publishing->arena, &command, &dead_reason, message, sizeof(message)))
    {
    case DECODE_MEMORY:
        tell_bad(publishing, "out of memory");
        return;
    case DECODE_DEAD:
        buffer_add_text(&fault, dead_reason);
        buffer_add_text(&fault, ": ");
        buffer_add_text(&fault, message);
        buffer_add_byte(&fault, '\0');
        tell_bad(publishing, fault.failed ? dead_reason : fault.at);
        buffer_done(&fault);
        return;
    case DECODE_COMMAND:
        break;
    }
    /* A command that the worker will refuse is published all the same: its refusal is an event like any other. */
    if (command.refusal != REASON_NONE)
        verb_tell("%s:%ld: will be rejected, and is published all the same: %s %.*s", publishing->name,
                  publishing->line, reason_name(command.refusal), (int)command.refusal_metadata.size,
                  command.refusal_metadata.at ? command.refusal_metadata.at : "");
    if (command_writer_send(publishing->writer, key_of(publishing, &command, line, key), line, &fault))
        publishing->sent++;
    else
    {
        buffer_add_byte(&fault, '\0');
        tell_bad(publishing, fault.failed ? "refused" : fault.at);
    }
    buffer_done(&fault);
}

static bool publish_lines(struct publishing *publishing, FILE *from)
{
    char *line = NULL;
    size_t capacity = 0;

    for (ssize_t size; (size = getline(&line, &capacity, from)) >= 0;)
    {
        publishing->line++;
        while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
            size--;
        if (size > LINE_MAX_SIZE)
            tell_bad(publishing, "longer than 1 MiB");
        else if (size > 0)
            publish_line(publishing, (struct span){ line, (size_t)size });
    }
    bool good = !ferror(from);
    free(line);
    return good;
}

static void tell_silence(void *owner, const char *why)
{
    const struct invocation *invocation = owner;

    verb_tell("publish: Kafka at %s has not answered for %lld s%s%s; waiting for up to %lld s",
              invocation->settings->kafka.bootstrap, (long long)silent_us / 1000000, *why ? ": " : "", why,
              (long long)deliver_us / 1000000);
}

static int tell_result(const struct invocation *invocation, struct publishing *publishing, const char *topic)
{
    struct command_writer_counts counts = command_writer_finish(publishing->writer, deliver_us);

    if (invocation->json)
        printf("{\"topic\":\"%s\",\"delivered\":%ld,\"failed\":%ld,\"bad_lines\":%ld}\n", topic, counts.delivered,
               counts.failed, publishing->bad);
    else
        printf("%ld published to %s\n", counts.delivered, topic);
    if (counts.failed > 0)
        return verb_fail(invocation, "%ld of %ld messages were not delivered to %s at %s: %s", counts.failed,
                         publishing->sent, topic, invocation->settings->kafka.bootstrap, counts.last_error);
    if (publishing->bad > 0)
        return verb_fail(invocation, "%ld lines of %s were not published; see above", publishing->bad,
                         publishing->name);
    return 0;
}

int verb_publish(struct invocation *invocation)
{
    const char *named = NULL;
    const struct verb_option options[] = { { "--topic", &named, NULL }, { NULL, NULL, NULL } };
    struct publishing publishing = { .name = "standard input" };
    struct buffer fault = BUFFER_EMPTY;
    char topic_text[TOPIC_NAME_MAX + 1];
    FILE *from = stdin;

    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc > 2)
        return verb_usage_error(usage, "one file at the most, not %s", invocation->argv[2]);
    if (invocation->argc == 2 && strcmp(invocation->argv[1], "-") != 0)
    {
        publishing.name = invocation->argv[1];
        from = fopen(publishing.name, "re");
        if (from == NULL)
            return verb_fail(invocation, "%s: %s", publishing.name, strerror(errno));
    }
    const char *topic = verb_command_topic(invocation, named, topic_text);
    int code;
    arena_init(&publishing.arena);
    publishing.writer = command_writer_new(invocation->settings, topic, &fault);
    if (publishing.writer)
        command_writer_on_silence(publishing.writer, silent_us, tell_silence, invocation);
    if (publishing.writer == NULL)
        code = verb_fail_with(invocation, &fault);
    else if (!publish_lines(&publishing, from))
        code = verb_fail(invocation, "%s: %s", publishing.name, strerror(errno));
    else
        code = tell_result(invocation, &publishing, topic);
    command_writer_free(publishing.writer);
    arena_done(&publishing.arena);
    buffer_done(&fault);
    if (from != stdin)
        fclose(from);
    return code;
}
