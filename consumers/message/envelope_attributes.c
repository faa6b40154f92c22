#include "consumers/message/envelope_attributes.h"

#include <strings.h>

#include "workflows/base/utf8.h"

struct attribute_row
{
    struct span name;
    size_t longest;
    const char *header;
    enum attribute_form form;
};

static const struct attribute_row rows[ATTRIBUTE__COUNT] = {
#define X(symbol, name, longest, form, description) \
    [ATTRIBUTE_##symbol] = { { name, sizeof(name) - 1 }, longest, "ce_" name, form },
    CLOUDEVENT_ATTRIBUTES(X)
#undef X
};

const char *attribute_name(enum attribute attribute)
{
    return rows[attribute].name.at;
}

size_t attribute_longest(enum attribute attribute)
{
    return rows[attribute].longest;
}

enum attribute_form attribute_form(enum attribute attribute)
{
    return rows[attribute].form;
}

bool envelope_attributes_is_media_type(struct span text, const char *type)
{
    size_t size = strlen(type);
    if (!text.at || text.size < size || strncasecmp(text.at, type, size) != 0)
        return false;
    return text.size == size || text.at[size] == ';' || text.at[size] == ' ' || text.at[size] == '\t';
}

bool envelope_attributes_is_json_type(struct span text)
{
    const struct span suffix = SPAN_LITERAL("+json");
    if (envelope_attributes_is_media_type(text, "application/json") ||
        envelope_attributes_is_media_type(text, "text/json"))
        return true;
    size_t size = 0;
    while (size < text.size && !strchr("; \t", text.at[size]))
        size++;
    const char *slash = memchr(text.at, '/', size);
    return slash && slash > text.at && text.at + size > slash + 1 + suffix.size &&
           !memchr(slash + 1, '/', size - (size_t)(slash + 1 - text.at)) &&
           strncasecmp(text.at + size - suffix.size, suffix.at, suffix.size) == 0;
}

/* CloudEvents: lower-case letters and digits. */
static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.size; i++)
    {
        if (!(name.at[i] >= 'a' && name.at[i] <= 'z') && !(name.at[i] >= '0' && name.at[i] <= '9'))
            return false;
    }
    return name.size > 0;
}

bool envelope_attributes_is_misspelt(struct span header)
{
    if (header.size < 3 || strncasecmp(header.at, "ce", 2) != 0 || (header.at[2] != '_' && header.at[2] != '-'))
        return false;
    return memcmp(header.at, "ce_", 3) != 0 || !is_name((struct span){ header.at + 3, header.size - 3 });
}

static struct value value_of(const struct node *node)
{
    switch (node->kind)
    {
    case NODE_NULL:
        return (struct value){ VALUE_ABSENT, SPAN_NULL, 0 };
    case NODE_STRING:
        return (struct value){ VALUE_TEXT, node->text, 0 };
    case NODE_INTEGER:
        return (struct value){ VALUE_INTEGER, SPAN_NULL, node->integer };
    case NODE_TRUE:
    case NODE_FALSE:
        return (struct value){ VALUE_BOOLEAN, SPAN_NULL, node->kind == NODE_TRUE };
    default:
        return (struct value){ VALUE_OTHER, SPAN_NULL, 0 };
    }
}

/* The attribute of that name, or ATTRIBUTE__COUNT; the search begins at `expected`, where a producer that writes the
 * usual order has it. */
static int find(struct span name, int expected)
{
    for (int i = 0; i < ATTRIBUTE__COUNT; i++)
    {
        int index = expected + i < ATTRIBUTE__COUNT ? expected + i : expected + i - ATTRIBUTE__COUNT;
        if (span_equal(rows[index].name, name))
            return index;
    }
    return ATTRIBUTE__COUNT;
}

void envelope_attributes_of_object(const struct document *document, const struct node *object,
                                   struct envelope_attributes *ret)
{
    memset(ret, 0, sizeof(*ret));
    int expected = 0;
    for (const struct node *child = document_first(document, object); child;
         child = document_next(document, object, child))
    {
        if (span_is(child->key, "data"))
        {
            ret->data = child;
            continue;
        }
        int index = find(child->key, expected);
        if (index < ATTRIBUTE__COUNT)
        {
            ret->values[index] = value_of(child);
            expected = index + 1;
        }
        else if (span_is(child->key, "data_base64"))
        {
            ret->has_data_base64 = child->kind != NODE_NULL;
        }
        else if (!is_name(child->key) && !ret->bad_name.at)
        {
            ret->bad_name = child->key;
        }
    }
}

/* Headers are texts; the one attribute that is a number is written in decimal, the one that is a boolean as a word. */
static struct value value_of_word(struct span text)
{
    bool yes = text.size == 4 && strncasecmp(text.at, "true", 4) == 0; /* Python's str() makes True of it */
    if (yes || (text.size == 5 && strncasecmp(text.at, "false", 5) == 0))
        return (struct value){ VALUE_BOOLEAN, text, yes };
    return (struct value){ VALUE_OTHER, text, 0 };
}

static struct value value_of_decimal(struct span text)
{
    int64_t number = 0;
    if (text.size == 0 || text.size > 18)
        return (struct value){ VALUE_OTHER, text, 0 };
    for (size_t i = 0; i < text.size; i++)
    {
        if (text.at[i] < '0' || text.at[i] > '9')
            return (struct value){ VALUE_OTHER, text, 0 };
        number = number * 10 + (text.at[i] - '0');
    }
    return (struct value){ VALUE_INTEGER, text, number };
}

static bool is_text(struct span text)
{
    return utf8_is_valid(text.at, text.size) && !memchr(text.at, '\0', text.size);
}

/* A header that is passed over because of its spelling may be a protection that somebody counts on. */
static void note_misspelt(const struct envelope_source *source, struct envelope_attributes *attributes)
{
    struct span name, value;
    for (size_t cursor = 0; source->next_header(source->owner, &cursor, &name, &value);)
    {
        if (!envelope_attributes_is_misspelt(name))
            continue;
        attributes->bad_encoding = attributes->bad_encoding || !is_text(name);
        if (!attributes->bad_name.at)
            attributes->bad_name = name;
    }
}

void envelope_attributes_of_headers(const struct envelope_source *source, struct envelope_attributes *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (int index = 0; index < ATTRIBUTE__COUNT; index++)
    {
        /* In binary mode the content type of the data is the message's own. */
        const char *header = index == ATTRIBUTE_DATACONTENTTYPE ? "content-type" : rows[index].header;
        struct span text = SPAN_NULL;
        if (!source->header(source->owner, header, &text) || !text.at)
            continue;
        ret->bad_encoding = ret->bad_encoding || !is_text(text);
        ret->values[index] = index == ATTRIBUTE_EXPECTEDVERSION ? value_of_decimal(text)
                             : index == ATTRIBUTE_AFTERPARKED   ? value_of_word(text)
                                                                : (struct value){ VALUE_TEXT, text, 0 };
    }
    note_misspelt(source, ret);
}
