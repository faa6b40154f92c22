#include "worker/redis/reply.h"

static enum redis_reply refuse(const char **reterr, const char *why)
{
    *reterr = why;
    return LOCK_REPLY_REFUSED;
}

/* The first line, with its end: 0 when that has not come. */
static size_t measure_line(struct span received)
{
    const char *end = received.size ? memchr(received.at, '\n', received.size) : NULL;
    return end ? (size_t)(end - received.at) + 1 : 0;
}

/* The digits between the first byte and the end of the line; false: no number, or a larger one than any of ours. */
static bool read_number(const char *line, size_t size, int64_t *ret)
{
    size_t at = 1;
    bool negative = size > 1 && line[1] == '-';
    int64_t value = 0;

    at += negative;
    if (at + 2 >= size || size - at > 2 + 18)
        return false;
    for (; at + 2 < size; at++)
    {
        if (line[at] < '0' || line[at] > '9')
            return false;
        value = value * 10 + (line[at] - '0');
    }
    *ret = negative ? -value : value;
    return true;
}

static enum redis_reply measure_bulk(struct span received, size_t line, int64_t size, size_t *ret_size,
                                     const char **reterr)
{
    if (size == -1)
    {
        *ret_size = line;
        return LOCK_REPLY_WHOLE;
    }
    if (size < 0 || size > (int64_t)(LOCK_REPLY_MAX - line - 2))
        return refuse(reterr, "a reply larger than any request asks for");
    *ret_size = line + (size_t)size + 2;
    if (received.size < *ret_size)
        return LOCK_REPLY_PART;
    return memcmp(received.at + *ret_size - 2, "\r\n", 2) == 0
               ? LOCK_REPLY_WHOLE
               : refuse(reterr, "a reply that does not end where it said");
}

enum redis_reply redis_reply_measure(struct span received, size_t *ret_size, const char **reterr)
{
    int64_t number = 0;

    *ret_size = 0;
    if (received.size == 0)
        return LOCK_REPLY_PART;
    char kind = received.at[0];
    if (kind == '*')
        return refuse(reterr, "an array, for which no request asks");
    if (kind != '+' && kind != '-' && kind != ':' && kind != '$')
        return refuse(reterr, "the answer is not from Redis");
    size_t line = measure_line(received);
    if (line > LOCK_REPLY_LINE_MAX || (line == 0 && received.size >= LOCK_REPLY_LINE_MAX))
        return refuse(reterr, "a line without an end");
    if (line == 0)
        return LOCK_REPLY_PART;
    if (line < 3 || received.at[line - 2] != '\r' || memchr(received.at, '\r', line - 2))
        return refuse(reterr, "a line that does not end as Redis ends them");
    if ((kind == ':' || kind == '$') && !read_number(received.at, line, &number))
        return refuse(reterr, "an invalid number");
    if (kind == '$')
        return measure_bulk(received, line, number, ret_size, reterr);
    *ret_size = line;
    return LOCK_REPLY_WHOLE;
}
