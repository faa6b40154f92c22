#include "workflows/document/pointer.h"

/* ~0 is '~' and ~1 is '/'; a '~' before anything else is an error. Most steps have none and are not copied. */
static const char *unescape(struct arena *arena, struct span raw, struct span *ret)
{
    *ret = raw;
    if (!raw.size || !memchr(raw.at, '~', raw.size))
        return NULL;
    char *into = arena_take(arena, raw.size);
    if (!into)
        return "no memory";
    size_t size = 0;
    for (size_t i = 0; i < raw.size; i++)
    {
        if (raw.at[i] != '~')
        {
            into[size++] = raw.at[i];
            continue;
        }
        i++;
        if (i == raw.size || (raw.at[i] != '0' && raw.at[i] != '1'))
            return "expected ~0 or ~1 where a ~ stands";
        into[size++] = raw.at[i] == '0' ? '~' : '/';
    }
    *ret = (struct span){ into, size };
    return NULL;
}

const char *pointer_parse(struct arena *arena, struct span text, struct pointer *ret)
{
    ret->count = 0;
    if (!text.size)
        return NULL;
    if (text.at[0] != '/')
        return "expected a JSON pointer: empty, or beginning with /";
    for (size_t at = 0; at < text.size;)
    {
        if (ret->count == POINTER_STEPS_MAX)
            return "expected a JSON pointer of at most 32 steps";
        const char *begin = text.at + at + 1;
        const char *end = memchr(begin, '/', text.size - at - 1);
        size_t size = end ? (size_t)(end - begin) : text.size - at - 1;
        const char *why = unescape(arena, (struct span){ begin, size }, &ret->steps[ret->count]);
        if (why)
            return why;
        ret->count++;
        at += 1 + size;
    }
    return NULL;
}

enum pointer_index pointer_read_index(struct span step, size_t *ret)
{
    *ret = SIZE_MAX;
    if (step.size == 1 && step.at[0] == '-')
        return POINTER_AFTER_END;
    if (!step.size || (step.at[0] == '0' && step.size > 1))
        return POINTER_NO_INDEX;
    size_t index = 0;
    bool beyond = false;
    for (size_t i = 0; i < step.size; i++)
    {
        if (step.at[i] < '0' || step.at[i] > '9')
            return POINTER_NO_INDEX;
        beyond = beyond || __builtin_mul_overflow(index, (size_t)10, &index) ||
                 __builtin_add_overflow(index, (size_t)(step.at[i] - '0'), &index);
    }
    *ret = beyond ? SIZE_MAX : index;
    return POINTER_AT_INDEX;
}
