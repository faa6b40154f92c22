#include "consumers/kafka/acls.h"

#include <stdio.h>
#include <string.h>

#include "worker/base/shell_word.h"
#include "worker/settings/key.h"
#include "worker/settings/settings.h"

static const struct role
{
    const char *name, *principal, *says;
} roles[] = {
    [ACL_WORKER] = { "worker", "interlock_worker", "run, check, audit verify --repair" },
    [ACL_PUBLISHER] = { "publisher", "interlock_publisher", "publish, and programs that send commands" },
    [ACL_READER] = { "reader", "interlock_reader", "audit verify, and programs that read audit events" },
    [ACL_SWEEPER] = { "sweeper", "interlock_sweeper", "sweep" },
    [ACL_OPERATOR] = { "operator", "interlock_operator", "topics plan and create" },
};

static const struct grant
{
    enum acl_role role;
    enum acl_right right;
    enum acl_resource resource;
    const char *why;
} grants[] = {
    { ACL_WORKER, ACL_READ, ACL_COMMANDS, "to take commands" },
    { ACL_WORKER, ACL_WRITE, ACL_COMMANDS, "for parked commands that come back" },
    { ACL_WORKER, ACL_READ, ACL_AUDIT, "to find what a worker that died has published" },
    { ACL_WORKER, ACL_WRITE, ACL_AUDIT, "to publish audit events" },
    { ACL_WORKER, ACL_READ, ACL_DEAD_LETTERS, "to find what a worker that died has published" },
    { ACL_WORKER, ACL_WRITE, ACL_DEAD_LETTERS, "for what is no command" },
    { ACL_WORKER, ACL_READ, ACL_GROUP, "to join the consumer group and to commit offsets" },
    { ACL_WORKER, ACL_WRITE, ACL_TRANSACTIONAL_IDS, "to publish exactly once" },
    { ACL_PUBLISHER, ACL_WRITE, ACL_COMMANDS, "to send commands" },
    { ACL_READER, ACL_READ, ACL_AUDIT, "to read audit events" },
    { ACL_READER, ACL_DESCRIBE, ACL_COMMANDS, "for audit verify, which asks where they begin" },
    { ACL_READER, ACL_READ, ACL_READER_GROUPS, "to read as a group" },
    { ACL_SWEEPER, ACL_WRITE, ACL_COMMANDS, "to send commands" },
    { ACL_OPERATOR, ACL_DESCRIBE, ACL_COMMANDS, "to see what there is" },
    { ACL_OPERATOR, ACL_DESCRIBE, ACL_AUDIT, "to see what there is" },
    { ACL_OPERATOR, ACL_DESCRIBE, ACL_DEAD_LETTERS, "to see what there is" },
    { ACL_OPERATOR, ACL_CREATE, ACL_COMMANDS, "to make what is missing" },
    { ACL_OPERATOR, ACL_CREATE, ACL_AUDIT, "to make what is missing" },
    { ACL_OPERATOR, ACL_CREATE, ACL_DEAD_LETTERS, "to make what is missing" },
    { ACL_OPERATOR, ACL_DESCRIBE_CONFIGS, ACL_COMMANDS, "to look at settings" },
    { ACL_OPERATOR, ACL_DESCRIBE_CONFIGS, ACL_AUDIT, "to look at settings" },
    { ACL_OPERATOR, ACL_DESCRIBE_CONFIGS, ACL_DEAD_LETTERS, "to look at settings" },
};

static const struct
{
    const char *operation, *verb;
} rights[] = {
    [ACL_READ] = { "Read", "read" },
    [ACL_WRITE] = { "Write", "write to" },
    [ACL_DESCRIBE] = { "Describe", "look at" },
    [ACL_CREATE] = { "Create", "create" },
    [ACL_DESCRIBE_CONFIGS] = { "DescribeConfigs", "look at the settings of" },
};

static const struct resource
{
    const char *option, *noun;
    bool is_prefix;
} resources[] = {
    [ACL_COMMANDS] = { "--topic", "topic", false },
    [ACL_AUDIT] = { "--topic", "topic", false },
    [ACL_DEAD_LETTERS] = { "--topic", "topic", false },
    [ACL_GROUP] = { "--group", "group", false },
    [ACL_TRANSACTIONAL_IDS] = { "--transactional-id", "transactional ids that begin with", true },
    [ACL_READER_GROUPS] = { "--group", "groups that begin with", true },
};

enum
{
    NAME_MAX_SIZE = 600, /* a group's name has no limit of Kafka's; the settings' has */
};

static void add_line(const struct settings *settings, const char *principal, enum acl_right right,
                     enum acl_resource resource, const char *name, struct buffer *into)
{
    buffer_add_text(into, "kafka-acls.sh --bootstrap-server ");
    shell_word_add(into, settings->kafka.bootstrap);
    buffer_add_text(into, " --add --allow-principal ");
    char user[NAME_MAX_SIZE];
    snprintf(user, sizeof(user), "User:%s", principal);
    shell_word_add(into, user);
    buffer_add_text(into, " --operation ");
    buffer_add_text(into, rights[right].operation);
    buffer_add_text(into, resources[resource].is_prefix ? " --resource-pattern-type prefixed " : " ");
    buffer_add_text(into, resources[resource].option);
    buffer_add_byte(into, ' ');
    shell_word_add(into, name);
}

/* --- all of them ------------------------------------------------------------------------------------------------- */

struct printing
{
    const struct settings *settings;
    bool json;
    int count;
    struct buffer *into;
};

static void add_member(struct buffer *into, const char *name, const char *value)
{
    buffer_add_text(into, name);
    buffer_add_json_string(into, span_of(value));
}

static void print_grant(struct printing *printing, const struct grant *grant, const char *name)
{
    struct buffer *into = printing->into, command = BUFFER_EMPTY;
    const struct role *role = &roles[grant->role];

    add_line(printing->settings, role->principal, grant->right, grant->resource, name, &command);
    if (printing->json)
    {
        add_member(into, printing->count > 0 ? ",\n{\"role\":" : "\n{\"role\":", role->name);
        add_member(into, ",\"operation\":", rights[grant->right].operation);
        add_member(into, ",\"why\":", grant->why);
        buffer_add_text(into, ",\"command\":");
        buffer_add_json_string(into, buffer_span(&command));
        buffer_add_byte(into, '}');
    }
    else
    {
        buffer_add_span(into, buffer_span(&command));
        buffer_add_byte(into, '\n');
    }
    into->failed = into->failed || buffer_failed(&command);
    printing->count++;
    buffer_done(&command);
}

static void print_topics(struct printing *printing, const struct grant *grant, const char *suffix)
{
    char name[NAME_MAX_SIZE];

    for (const char *at = printing->settings->kafka.topics; *at; at += strspn(at, ", "))
    {
        size_t size = strcspn(at, ", ");
        snprintf(name, sizeof(name), "%.*s%s", (int)size, at, suffix);
        if (size > 0)
            print_grant(printing, grant, name);
        at += size;
    }
}

static void name_resource(const struct settings *settings, enum acl_resource resource, char *into, size_t size)
{
    switch (resource)
    {
    case ACL_AUDIT:
        snprintf(into, size, "%s", settings->kafka.audit_topic);
        return;
    case ACL_TRANSACTIONAL_IDS:
        snprintf(into, size, "interlock.%s.", settings->kafka.group);
        return;
    case ACL_READER_GROUPS:
        snprintf(into, size, "%s.", settings->kafka.group);
        return;
    default:
        snprintf(into, size, "%s", settings->kafka.group);
        return;
    }
}

static void print_row(struct printing *printing, const struct grant *grant)
{
    char name[NAME_MAX_SIZE];

    if (grant->resource == ACL_COMMANDS)
        print_topics(printing, grant, "");
    else if (grant->resource == ACL_DEAD_LETTERS)
        print_topics(printing, grant, printing->settings->kafka.dlq_suffix);
    else
    {
        name_resource(printing->settings, grant->resource, name, sizeof(name));
        print_grant(printing, grant, name);
    }
}

void acls_print(const struct settings *settings, bool json, struct buffer *into)
{
    struct printing printing = { .settings = settings, .json = json, .into = into };
    enum acl_role last = ACL_OPERATOR;

    buffer_add_text(into, json ? "{\"acls\":[" : "");
    for (size_t i = 0; i < sizeof(grants) / sizeof(*grants); i++)
    {
        if (!json && (i == 0 || grants[i].role != last))
        {
            buffer_add_text(into, "# ");
            buffer_add_text(into, roles[grants[i].role].name);
            buffer_add_text(into, ": ");
            buffer_add_text(into, roles[grants[i].role].says);
            buffer_add_byte(into, '\n');
        }
        last = grants[i].role;
        print_row(&printing, &grants[i]);
    }
    buffer_add_text(into, json ? "\n]}\n" : "");
}

/* --- one that is missing ----------------------------------------------------------------------------------------- */

static const struct grant *find_grant(enum acl_right right, enum acl_resource resource)
{
    for (size_t i = 0; i < sizeof(grants) / sizeof(*grants); i++)
        if (grants[i].right == right && grants[i].resource == resource)
            return &grants[i];
    return NULL;
}

/* Who logs in by a name is that user; who shows a certificate is whom the broker makes of it. */
static const char *principal_of(const struct settings *settings, enum acl_right right, enum acl_resource resource)
{
    bool reads = right == ACL_READ && resource != ACL_TRANSACTIONAL_IDS;
    const char *name =
        settings_find_pair(reads ? &settings->kafka.consumer : &settings->kafka.producer, "sasl.username");
    return name ? name : roles[ACL_WORKER].principal;
}

void acls_add_missing(const struct settings *settings, enum acl_right right, enum acl_resource resource,
                      const char *topic, struct buffer *into)
{
    const struct grant *grant = find_grant(right, resource);
    char name[NAME_MAX_SIZE];

    if (topic)
        snprintf(name, sizeof(name), "%s", topic);
    else
        name_resource(settings, resource, name, sizeof(name));
    buffer_add_text(into, "no right to ");
    buffer_add_text(into, resource == ACL_TRANSACTIONAL_IDS ? "use" : rights[right].verb);
    buffer_add_byte(into, ' ');
    buffer_add_text(into, resources[resource].noun);
    buffer_add_byte(into, ' ');
    buffer_add_text(into, name);
    if (grant)
    {
        buffer_add_text(into, " (");
        buffer_add_text(into, grant->why);
        buffer_add_byte(into, ')');
    }
    buffer_add_text(into, ": ");
    add_line(settings, principal_of(settings, right, resource), right, resource, name, into);
}
