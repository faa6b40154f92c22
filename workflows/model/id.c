#include "workflows/model/id.h"

#include <assert.h>

#include "workflows/base/digits.h"
#include "workflows/base/hex.h"

struct kind
{
    const char *name;
    bool uuid;
};

static const struct kind kinds[AGGREGATE__COUNT] = {
    [AGGREGATE_JOBNEED] = { "jobneed", false },     [AGGREGATE_JOB] = { "job", false },
    [AGGREGATE_TICKET] = { "ticket", false },       [AGGREGATE_ATTENDANCE] = { "attendance", true },
    [AGGREGATE_FACE_USER] = { "face-user", false }, [AGGREGATE_FACE_MODEL] = { "face-model", false },
    [AGGREGATE_BEHAVIOUR] = { "behaviour", false },
};

bool aggregate_has_uuid(enum aggregate_kind kind)
{
    return kinds[kind].uuid;
}

static bool is_hyphen_place(size_t place)
{
    return place == 8 || place == 13 || place == 18 || place == 23;
}

void id_print_uuid(struct id id, char into[UUID_TEXT_SIZE])
{
    static const uint8_t groups[] = { 4, 2, 2, 2, 6 }; /* bytes between two hyphens */
    uint8_t bytes[16];
    const uint8_t *from = bytes;

    for (int i = 0; i < 8; i++)
    {
        bytes[i] = (uint8_t)(id.high >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(id.low >> (56 - 8 * i));
    }
    for (size_t i = 0; i < sizeof(groups); i++)
    {
        if (i > 0)
            *into++ = '-';
        hex_print(from, groups[i], into);
        from += groups[i];
        into += 2 * groups[i];
    }
}

bool id_parse_uuid(struct span text, struct id *ret)
{
    if (text.size != UUID_TEXT_SIZE)
        return false;
    struct id id = { 0, 0 };
    for (size_t place = 0; place < UUID_TEXT_SIZE; place++)
    {
        if (is_hyphen_place(place))
        {
            if (text.at[place] != '-')
                return false;
            continue;
        }
        int value = hex_value(text.at[place]);
        if (value < 0)
            return false;
        id.high = id.high << 4 | id.low >> 60;
        id.low = id.low << 4 | (uint64_t)value;
    }
    *ret = id;
    return true;
}

size_t aggregate_print(struct aggregate aggregate, char into[AGGREGATE_KEY_MAX])
{
    assert(aggregate.kind > AGGREGATE_NONE && aggregate.kind < AGGREGATE__COUNT);
    const struct kind *kind = &kinds[aggregate.kind];
    size_t size = strlen(kind->name);
    memcpy(into, kind->name, size);
    into[size++] = '/';
    if (kind->uuid)
    {
        id_print_uuid(aggregate.id, into + size);
        size += UUID_TEXT_SIZE;
    }
    else
    {
        size += digits_print_unsigned(aggregate.id.low, into + size);
    }
    into[size] = '\0';
    return size;
}

static bool parse_number(struct span text, struct id *ret)
{
    if (text.size == 0 || text.size > 19 || text.at[0] == '0')
        return false;
    uint64_t number = 0; /* 19 digits cannot overflow it */
    for (size_t i = 0; i < text.size; i++)
    {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    *ret = (struct id){ 0, number };
    return number <= INT64_MAX;
}

bool aggregate_parse(struct span text, struct aggregate *ret)
{
    const char *slash = text.size ? memchr(text.at, '/', text.size) : NULL;
    if (!slash)
        return false;
    struct span name = { text.at, (size_t)(slash - text.at) };
    struct span rest = { slash + 1, text.size - name.size - 1 };
    for (int kind = AGGREGATE_NONE + 1; kind < AGGREGATE__COUNT; kind++)
    {
        if (!span_is(name, kinds[kind].name))
            continue;
        ret->kind = (enum aggregate_kind)kind;
        return kinds[kind].uuid ? id_parse_uuid(rest, &ret->id) : parse_number(rest, &ret->id);
    }
    return false;
}
