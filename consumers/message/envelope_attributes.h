/* Envelope attributes: the CloudEvents attributes of a message, read from the JSON of structured mode or from the
 * headers of binary mode into one form. Private to envelope.c, which judges them.
 *
 * Threads    no state.
 * Ownership  spans point into the message or the document's arena.
 * Failure    none: what is wrong is noted in the value.
 */
#ifndef CONSUMERS_MESSAGE_ENVELOPE_ATTRIBUTES_H
#define CONSUMERS_MESSAGE_ENVELOPE_ATTRIBUTES_H

#include "consumers/message/envelope_source.h"
#include "workflows/document/document.h"
#include "workflows/parameters/cloudevent_attributes.h"

enum attribute
{
#define X(symbol, name, longest, form, description) ATTRIBUTE_##symbol,
    CLOUDEVENT_ATTRIBUTES(X)
#undef X
    ATTRIBUTE__COUNT,
};

enum value_kind
{
    VALUE_ABSENT, /* not there, or JSON null */
    VALUE_TEXT,
    VALUE_INTEGER,
    VALUE_BOOLEAN, /* `integer` is 1 or 0 */
    VALUE_OTHER,   /* there, and of no kind that any attribute has */
};

struct value
{
    enum value_kind kind;
    struct span text;
    int64_t integer;
};

struct envelope_attributes
{
    struct value values[ATTRIBUTE__COUNT];
    const struct node *data; /* of structured mode; NULL: none */
    bool has_data_base64;
    struct span bad_name; /* a member or header whose name no attribute can have; null: none */
    bool bad_encoding;    /* of a header */
};

const char *attribute_name(enum attribute attribute);
size_t attribute_longest(enum attribute attribute);
enum attribute_form attribute_form(enum attribute attribute);

void envelope_attributes_of_object(const struct document *document, const struct node *object,
                                   struct envelope_attributes *ret);
void envelope_attributes_of_headers(const struct envelope_source *source, struct envelope_attributes *ret);

/* Whether `text` is the media type, in any case and with any parameters. */
bool envelope_attributes_is_media_type(struct span text, const char *type);

/* Whether it is one of JSON: application/json, text/json, or any that ends with +json. */
bool envelope_attributes_is_json_type(struct span text);

/* Whether a header is meant to be an attribute in binary mode but is not spelled as Kafka's binding does, "ce_" and a
 * name of lower-case letters and digits: ce-id, CE_ID, ce_expectedVersion. */
bool envelope_attributes_is_misspelt(struct span header);

#endif
