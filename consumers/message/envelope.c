#include "consumers/message/envelope.h"

#include <stdio.h>

#include "consumers/message/envelope_attributes.h"
#include "worker/base/digest.h"
#include "worker/base/identity.h"
#include "workflows/workflow.h"

struct decoding
{
    const struct envelope_source *source;
    struct arena *arena;
    struct command *command;
    struct envelope_attributes attributes;
    const char *dead_reason; /* static; set: the message is dead */
    char *message;
    size_t message_size;
};

static const char structured_type[] = "application/cloudevents+json";
static const char batch_type[] = "application/cloudevents-batch+json";

/* --- dead -------------------------------------------------------------------------------------------------------- */

static enum decode_result dead(struct decoding *decoding, const char *reason, const char *message)
{
    decoding->dead_reason = reason;
    snprintf(decoding->message, decoding->message_size, "%s", message);
    return DECODE_DEAD;
}

static enum decode_result dead_document(struct decoding *decoding, const struct document_failure *failure)
{
    if (failure->fault == DOCUMENT_NO_MEMORY)
        return DECODE_MEMORY;
    decoding->dead_reason = document_fault_name(failure->fault);
    snprintf(decoding->message, decoding->message_size, "byte %zu: %s", failure->position, failure->what);
    return DECODE_DEAD;
}

/* The attributes without which there is nothing that an event could be about. */
struct needed
{
    enum attribute attribute;
    const char *missing, *too_long;
};

static const struct needed needed[] = {
    { ATTRIBUTE_ID, "missing_id", "id_too_long" },
    { ATTRIBUTE_SOURCE, "missing_source", "source_too_long" },
    { ATTRIBUTE_TYPE, "missing_type", "type_too_long" },
};

static struct span text_within(const struct value *value, size_t longest)
{
    return value->kind == VALUE_TEXT && value->text.size > 0 && value->text.size <= longest ? value->text : SPAN_NULL;
}

/* A dead message has those that can be read: people look for it by them. */
static void read_names(struct decoding *decoding)
{
    const struct value *values = decoding->attributes.values;

    decoding->command->id = text_within(&values[ATTRIBUTE_ID], attribute_longest(ATTRIBUTE_ID));
    decoding->command->source = text_within(&values[ATTRIBUTE_SOURCE], attribute_longest(ATTRIBUTE_SOURCE));
    decoding->command->type = text_within(&values[ATTRIBUTE_TYPE], attribute_longest(ATTRIBUTE_TYPE));
}

/* DECODE_COMMAND: identity and type can be read. */
static enum decode_result check_identity(struct decoding *decoding)
{
    const struct value *values = decoding->attributes.values;
    char message[80];
    if (decoding->attributes.bad_encoding)
        return dead(decoding, "bad_encoding", "a ce_ header is not UTF-8, or holds a NUL");
    read_names(decoding);
    if (values[ATTRIBUTE_SPECVERSION].kind == VALUE_ABSENT)
        return dead(decoding, "not_a_cloudevent", "no specversion");
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
    {
        enum attribute attribute = needed[i].attribute;
        const struct value *value = &values[attribute];
        if (value->kind != VALUE_TEXT || value->text.size == 0)
        {
            snprintf(message, sizeof(message), "%s is not there, or is not a text, or is empty",
                     attribute_name(attribute));
            return dead(decoding, needed[i].missing, message);
        }
        if (value->text.size > attribute_longest(attribute))
        {
            snprintf(message, sizeof(message), "%s has %zu bytes, %zu are accepted", attribute_name(attribute),
                     value->text.size, attribute_longest(attribute));
            return dead(decoding, needed[i].too_long, message);
        }
    }
    return DECODE_COMMAND;
}

/* --- refusals ---------------------------------------------------------------------------------------------------- */

/* The first refusal stays. */
static void refuse(struct decoding *decoding, enum reason reason, struct span metadata)
{
    if (decoding->command->refusal != REASON_NONE)
        return;
    decoding->command->refusal = reason;
    decoding->command->refusal_metadata = metadata;
}

static void refuse_parameter(struct decoding *decoding, const char *pointer, const char *message)
{
    if (decoding->command->refusal == REASON_NONE)
        refuse(decoding, REASON_INVALID_DATA, parameters_failure(decoding->arena, span_of(pointer), message));
}

static void refuse_attribute(struct decoding *decoding, enum attribute attribute, const char *message)
{
    char pointer[32];
    snprintf(pointer, sizeof(pointer), "/%s", attribute_name(attribute));
    refuse_parameter(decoding, pointer, message);
}

static void refuse_name(struct decoding *decoding, struct span name)
{
    struct buffer pointer = BUFFER_EMPTY;
    parameters_add_pointer(&pointer, name);
    buffer_add_byte(&pointer, '\0');
    refuse_parameter(decoding, buffer_failed(&pointer) ? "/" : pointer.at,
                     envelope_attributes_is_misspelt(name)
                         ? "a header with an attribute is spelled ce_ and lower-case letters and digits"
                         : "the name of an attribute has lower-case letters and digits only");
    buffer_done(&pointer);
}

static bool may_be_empty(enum attribute attribute)
{
    return attribute_form(attribute) == FORM_COPIED || attribute_form(attribute) == FORM_JSON_TYPE;
}

/* The attribute's text, or null when it is absent or refused: what is wrong never gets into an event. */
static struct span read_text(struct decoding *decoding, enum attribute attribute)
{
    const struct value *value = &decoding->attributes.values[attribute];
    if (value->kind == VALUE_ABSENT)
        return SPAN_NULL;
    if (value->kind == VALUE_TEXT && value->text.size == 0 && may_be_empty(attribute))
        return SPAN_NULL;
    size_t longest = attribute_longest(attribute);
    if (value->kind == VALUE_TEXT && value->text.size > 0 && value->text.size <= longest)
        return value->text;
    char message[64];
    snprintf(message, sizeof(message), "expected a text of 1 to %zu bytes", longest);
    refuse_attribute(decoding, attribute, message);
    return SPAN_NULL;
}

static bool read_time(struct decoding *decoding, enum attribute attribute, struct span *ret_text, int64_t *ret_unix_us)
{
    struct span text = read_text(decoding, attribute);
    if (!text.at)
        return false;
    if (!parameters_parse_time(text, ret_unix_us))
    {
        refuse_attribute(decoding, attribute, "expected an RFC 3339 time like 2026-11-24T09:00:00Z");
        return false;
    }
    *ret_text = text;
    return true;
}

static void read_content_type(struct decoding *decoding)
{
    struct span text = read_text(decoding, ATTRIBUTE_DATACONTENTTYPE);
    if (text.at && !envelope_attributes_is_json_type(text))
        refuse_attribute(decoding, ATTRIBUTE_DATACONTENTTYPE, "expected application/json, or another type of JSON");
}

static void read_attributes(struct decoding *decoding)
{
    struct command *command = decoding->command;
    const struct value *version = &decoding->attributes.values[ATTRIBUTE_EXPECTEDVERSION];
    struct span text = SPAN_NULL;
    int64_t time;
    if (!span_is(decoding->attributes.values[ATTRIBUTE_SPECVERSION].text, "1.0"))
        refuse_attribute(decoding, ATTRIBUTE_SPECVERSION, "expected \"1.0\"");
    command->subject = read_text(decoding, ATTRIBUTE_SUBJECT);
    read_time(decoding, ATTRIBUTE_TIME, &command->time, &time);
    read_content_type(decoding);
    read_text(decoding, ATTRIBUTE_DATASCHEMA);
    read_text(decoding, ATTRIBUTE_PARTITIONKEY);
    command->correlationid = read_text(decoding, ATTRIBUTE_CORRELATIONID);
    command->causationid = read_text(decoding, ATTRIBUTE_CAUSATIONID);
    command->traceparent = read_text(decoding, ATTRIBUTE_TRACEPARENT);
    command->actor = read_text(decoding, ATTRIBUTE_ACTOR);
    command->tenant = read_text(decoding, ATTRIBUTE_TENANT);
    command->has_not_before = read_time(decoding, ATTRIBUTE_NOTBEFORE, &text, &command->not_before_us);
    if (version->kind == VALUE_INTEGER && version->integer >= 0)
    {
        command->has_expected_version = true;
        command->expected_version = version->integer;
    }
    else if (version->kind != VALUE_ABSENT)
    {
        refuse_attribute(decoding, ATTRIBUTE_EXPECTEDVERSION, "expected a whole number of at least 0");
    }
    const struct value *after = &decoding->attributes.values[ATTRIBUTE_AFTERPARKED];
    command->after_parked = after->kind == VALUE_BOOLEAN && after->integer == 1;
    if (after->kind != VALUE_BOOLEAN && after->kind != VALUE_ABSENT)
        refuse_attribute(decoding, ATTRIBUTE_AFTERPARKED, "expected true or false");
    if (decoding->attributes.bad_name.at)
        refuse_name(decoding, decoding->attributes.bad_name);
    if (decoding->attributes.has_data_base64)
        refuse_parameter(decoding, "/data_base64", "data is accepted as JSON only");
}

/* The version is the root's: a command without one root, or one that raises no version, has none to expect (PROTOCOL
 * B8, B9). */
static void check_version(struct decoding *decoding)
{
    struct command *command = decoding->command;
    if (command->has_expected_version && (command->workflow->flags & (WORKFLOW_BULK | WORKFLOW_COUNTERS)))
        refuse_attribute(decoding, ATTRIBUTE_EXPECTEDVERSION, "this type of command has no version to expect");
}

static void check_subject(struct decoding *decoding)
{
    struct command *command = decoding->command;
    char key[AGGREGATE_KEY_MAX];
    char message[AGGREGATE_KEY_MAX + 64];
    struct aggregate subject;
    if (!command->subject.at)
        return;
    if (command->aggregate.kind == AGGREGATE_NONE)
    {
        refuse_attribute(decoding, ATTRIBUTE_SUBJECT, "the data names no aggregate, so neither may the subject");
        return;
    }
    if (aggregate_parse(command->subject, &subject) && subject.kind == command->aggregate.kind &&
        id_equal(subject.id, command->aggregate.id))
        return;
    aggregate_print(command->aggregate, key);
    snprintf(message, sizeof(message), "the data names %s", key);
    refuse_attribute(decoding, ATTRIBUTE_SUBJECT, message);
}

/* Who waits for an event under a key is to hear of a refusal too: it is about the aggregate that the data names, else
 * the subject, else the key, the first that is a well-formed one. */
static void name_refused(struct decoding *decoding)
{
    struct command *command = decoding->command;
    struct aggregate *aggregate = &command->aggregate;
    if (aggregate->kind == AGGREGATE_NONE && command->workflow && command->data)
        *aggregate = workflow_named_aggregate(command->workflow, &command->document, command->data);
    if (aggregate->kind == AGGREGATE_NONE && !aggregate_parse(command->subject, aggregate) &&
        !aggregate_parse(decoding->source->key, aggregate))
        *aggregate = (struct aggregate){ AGGREGATE_NONE, { 0, 0 } };
}

/* Also done for a command that is refused already, so that its event carries the aggregate where the data names one. */
static void read_data(struct decoding *decoding)
{
    struct command *command = decoding->command;
    struct span metadata = SPAN_NULL;
    if (!command->data)
    {
        refuse_parameter(decoding, "/data", "is required");
        return;
    }
    if (command->data->kind != NODE_OBJECT)
    {
        refuse_parameter(decoding, "/data", "expected an object");
        return;
    }
    command->parameters = arena_take_zeroed(decoding->arena, command->workflow->parameters_size);
    if (!command->parameters)
        return;
    if (!parameters_decode(command->workflow->parameters, &command->document, command->data, decoding->arena,
                           command->parameters, &metadata) ||
        !workflow_identify(command->workflow, command->parameters, decoding->arena, &command->aggregate, &metadata))
    {
        command->aggregate = (struct aggregate){ AGGREGATE_NONE, { 0, 0 } };
        refuse(decoding, REASON_INVALID_DATA, metadata);
        return;
    }
    check_subject(decoding);
}

/* --- digests ----------------------------------------------------------------------------------------------------- */

static bool make_digest(const struct span parts[3], uint8_t ret[DIGEST_SIZE])
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    if (!digest_sha256(parts, 3, digest))
        return false;
    memcpy(ret, digest, DIGEST_SIZE);
    return true;
}

/* `unparsed`: the data of a binary message that is not JSON has no canonical form, and stands for itself. */
static bool make_digests(struct decoding *decoding, struct span unparsed)
{
    struct command *command = decoding->command;
    struct buffer canonical = BUFFER_EMPTY;
    const struct span nul = { "", 1 };
    bool changed = command->data && document_canonical(&command->document, command->data, &canonical);
    bool made = !buffer_failed(&canonical) && identity_make(command->source, command->id, command->identity);
    struct span body[] = { command->type, nul, command->data ? buffer_span(&canonical) : unparsed };
    made = made && make_digest(body, command->body_digest);
    memcpy(command->written_digest, command->body_digest, sizeof(command->written_digest));
    if (made && changed)
    {
        buffer_clear(&canonical);
        document_canonical_as_written(&command->document, command->data, &canonical);
        body[2] = buffer_span(&canonical);
        made = !buffer_failed(&canonical) && make_digest(body, command->written_digest);
    }
    buffer_done(&canonical);
    return made;
}

/* --- both modes -------------------------------------------------------------------------------------------------- */

static enum decode_result finish(struct decoding *decoding, struct span unparsed)
{
    struct command *command = decoding->command;
    if (!make_digests(decoding, unparsed))
        return DECODE_MEMORY;
    command->workflow = workflow_find(command->type);
    if (!command->workflow)
        refuse(decoding, REASON_UNKNOWN_TYPE,
               parameters_failure(decoding->arena, SPAN_LITERAL("/type"), "no such type of command"));
    if (unparsed.at)
        refuse_parameter(decoding, "/data", "is not JSON");
    read_attributes(decoding);
    if (command->workflow)
    {
        check_version(decoding);
        read_data(decoding);
    }
    if (command->refusal != REASON_NONE)
        name_refused(decoding);
    return arena_failed(decoding->arena) ? DECODE_MEMORY : DECODE_COMMAND;
}

static enum decode_result decode_structured(struct decoding *decoding)
{
    struct command *command = decoding->command;
    struct document_failure failure;
    if (!document_parse(decoding->arena, decoding->source->value, &command->document, &failure))
        return dead_document(decoding, &failure);
    const struct node *root = &command->document.nodes[0];
    if (root->kind != NODE_OBJECT)
        return dead(decoding, "not_an_object", "the value is JSON, but not an object");
    envelope_attributes_of_object(&command->document, root, &decoding->attributes);
    command->data = decoding->attributes.data;
    enum decode_result result = check_identity(decoding);
    return result == DECODE_COMMAND ? finish(decoding, SPAN_NULL) : result;
}

static enum decode_result decode_binary(struct decoding *decoding)
{
    struct command *command = decoding->command;
    struct span value = decoding->source->value;
    struct span unparsed = SPAN_NULL;
    envelope_attributes_of_headers(decoding->source, &decoding->attributes);
    enum decode_result result = check_identity(decoding);
    if (result != DECODE_COMMAND)
        return result;
    struct document_failure failure;
    if (value.size == 0)
        return finish(decoding, SPAN_NULL);
    if (document_parse(decoding->arena, value, &command->document, &failure))
        command->data = &command->document.nodes[0];
    else if (failure.fault == DOCUMENT_SYNTAX)
        unparsed = value;
    else
        return dead_document(decoding, &failure);
    return finish(decoding, unparsed);
}

enum mode
{
    MODE_STRUCTURED,
    MODE_BINARY,
    MODE_BATCH,
};

/* A message that says nothing is structured: it then has to be a JSON object with a specversion. */
static enum mode mode_of(const struct envelope_source *source)
{
    struct span content_type = SPAN_NULL;
    struct span version;
    if (!source->header)
        return MODE_STRUCTURED;
    if (!source->header(source->owner, "content-type", &content_type))
        content_type = SPAN_NULL;
    if (envelope_attributes_is_media_type(content_type, structured_type))
        return MODE_STRUCTURED;
    if (envelope_attributes_is_media_type(content_type, batch_type))
        return MODE_BATCH;
    return source->header(source->owner, "ce_specversion", &version) ? MODE_BINARY : MODE_STRUCTURED;
}

/* A publisher that spells its headers as HTTP or AMQP do is told so, rather than that its data is no CloudEvent. */
static enum decode_result name_misspelt(struct decoding *decoding, enum decode_result result)
{
    const struct envelope_source *source = decoding->source;
    char seen[64] = "";
    size_t used = 0;
    struct span name, value;
    if (!source->header || !decoding->dead_reason || strncmp(decoding->dead_reason, "not_", 4) != 0)
        return result;
    for (size_t cursor = 0; source->next_header(source->owner, &cursor, &name, &value);)
    {
        bool shown = envelope_attributes_is_misspelt(name) && used + name.size + 3 < sizeof(seen);
        for (size_t i = 0; i < name.size && shown; i++)
            shown = name.at[i] > ' ' && name.at[i] <= '~';
        if (shown)
            used +=
                (size_t)snprintf(seen + used, sizeof(seen) - used, "%s%.*s", used ? ", " : "", (int)name.size, name.at);
    }
    char message[sizeof(seen) + 128];
    snprintf(message, sizeof(message),
             "no specversion; there are headers %s: in Kafka an attribute is spelled ce_ and lower case, "
             "as in ce_specversion",
             seen);
    return used > 0 ? dead(decoding, "not_a_cloudevent", message) : result;
}

static enum decode_result decode(struct decoding *decoding)
{
    struct span value = decoding->source->value;
    if (!value.at)
        return dead(decoding, "tombstone", "the message has no value");
    if (value.size > DOCUMENT_SIZE_MAX)
    {
        char message[80];
        snprintf(message, sizeof(message), "%zu bytes, %d are accepted", value.size, DOCUMENT_SIZE_MAX);
        return dead(decoding, "too_large", message);
    }
    switch (mode_of(decoding->source))
    {
    case MODE_BATCH:
        return dead(decoding, "not_a_cloudevent", "batches of events are not accepted: one message, one command");
    case MODE_BINARY:
        return decode_binary(decoding);
    default:
        return name_misspelt(decoding, decode_structured(decoding));
    }
}

enum decode_result envelope_decode(const struct envelope_source *source, struct arena *arena, struct command *ret,
                                   const char **ret_dead_reason, char *ret_message, size_t message_size)
{
    struct decoding decoding = {
        .source = source,
        .arena = arena,
        .command = ret,
        .message = ret_message,
        .message_size = message_size,
    };
    struct arena_mark mark = arena_mark(arena);
    memset(ret, 0, sizeof(*ret));
    enum decode_result result = decode(&decoding);
    *ret_dead_reason = decoding.dead_reason;
    if (result == DECODE_DEAD)
        arena_rewind(arena, mark); /* a batch of bombs must not keep their nodes */
    return result;
}

/* --- routing ----------------------------------------------------------------------------------------------------- */

/* Multiply, fold, repeat, eight bytes at a time. The names of aggregates differ in their last bytes only, so the end is
 * mixed well; nothing depends on the hash being hard to guess: a crowded lane is slow and still right. */
static uint64_t hash_bytes(uint64_t hash, struct span text)
{
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ text.size) * odd;
    for (size_t at = 0; at < text.size; at += 8)
    {
        uint64_t word = 0;
        memcpy(&word, text.at + at, text.size - at < 8 ? text.size - at : 8);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    hash *= UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

static uint64_t hash_attributes(const struct envelope_source *source, const struct envelope_attributes *attributes)
{
    const struct value *values = attributes->values;
    if (values[ATTRIBUTE_SUBJECT].kind == VALUE_TEXT && values[ATTRIBUTE_SUBJECT].text.size > 0)
        return hash_bytes(0, values[ATTRIBUTE_SUBJECT].text);
    if (values[ATTRIBUTE_ID].kind == VALUE_TEXT && values[ATTRIBUTE_SOURCE].kind == VALUE_TEXT)
        return hash_bytes(hash_bytes(0, values[ATTRIBUTE_SOURCE].text), values[ATTRIBUTE_ID].text);
    return hash_bytes(0, source->value);
}

uint64_t envelope_lane_hash(const struct envelope_source *source)
{
    if (source->key.size > 0)
        return hash_bytes(0, source->key);
    if (source->value.size == 0 || source->value.size > DOCUMENT_SIZE_MAX)
        return 0;
    struct envelope_attributes attributes;
    if (mode_of(source) == MODE_BINARY)
    {
        envelope_attributes_of_headers(source, &attributes);
        return hash_attributes(source, &attributes);
    }
    struct arena arena;
    struct document document;
    struct document_failure failure;
    uint64_t hash = 0;
    arena_init(&arena);
    if (document_parse(&arena, source->value, &document, &failure) && document.nodes[0].kind == NODE_OBJECT)
    {
        envelope_attributes_of_object(&document, &document.nodes[0], &attributes);
        hash = hash_attributes(source, &attributes);
    }
    arena_done(&arena);
    return hash;
}
