#include "workflows/document/text.h"

#include <stdlib.h>

enum
{
    CANONICAL_DEPTH_MAX = 256, /* deeper than any command can make a field; beyond it two values count as different */
    NUMBER_EXPONENT_MAX = 1000 * 1000,
    PLAIN_ZEROS_MAX = 40,    /* more of them in a row are printed as an exponent */
    PLAIN_DIGITS_MAX = 1024, /* a number of more digits than that keeps its exponent, too */
};

/* --- scanning ---------------------------------------------------------------------------------------------------- */

struct scan
{
    const char *at;
    const char *end;
};

static struct scan scan_of(struct span text)
{
    return (struct scan){ text.at, text.at ? text.at + text.size : text.at };
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r'))
        scan->at++;
}

static bool take(struct scan *scan, char byte)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != byte)
        return false;
    scan->at++;
    return true;
}

static bool skip_string(struct scan *scan)
{
    bool escaped = false;
    for (scan->at++; scan->at < scan->end; scan->at++)
    {
        if (!escaped && *scan->at == '"')
        {
            scan->at++;
            return true;
        }
        escaped = !escaped && *scan->at == '\\';
    }
    return false;
}

static bool ends_scalar(char byte)
{
    return byte == ',' || byte == ']' || byte == '}' || byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

/* One value with all that is in it, by counting brackets: no recursion, so no depth is too deep. */
static bool take_value(struct scan *scan, struct span *ret)
{
    skip_space(scan);
    const char *begin = scan->at;
    size_t open = 0;
    do
    {
        if (scan->at >= scan->end)
            return false;
        char byte = *scan->at;
        if (byte == '"')
        {
            if (!skip_string(scan))
                return false;
            continue;
        }
        scan->at++;
        if (byte == '{' || byte == '[')
            open++;
        else if (byte == '}' || byte == ']')
        {
            if (open-- == 0)
                return false;
        }
        else if (open == 0)
        {
            while (scan->at < scan->end && !ends_scalar(*scan->at))
                scan->at++;
        }
    } while (open > 0);
    *ret = (struct span){ begin, (size_t)(scan->at - begin) };
    return true;
}

static bool at_end(struct scan *scan)
{
    skip_space(scan);
    return scan->at == scan->end;
}

/* The text of a string value without its escapes. document_parse knows all of them; most strings have none. */
static bool unescape(struct arena *arena, struct span raw, struct span *ret)
{
    if (raw.size < 2 || raw.at[0] != '"')
        return false;
    if (!memchr(raw.at, '\\', raw.size))
    {
        *ret = (struct span){ raw.at + 1, raw.size - 2 };
        return true;
    }
    struct document document;
    struct document_failure failure;
    if (!document_parse(arena, raw, &document, &failure) || document.nodes[0].kind != NODE_STRING)
        return false;
    *ret = document.nodes[0].text;
    return true;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* The members or elements after an opening bracket, so that memory is taken for these and not for deeper ones. */
static size_t count_members(struct scan scan)
{
    size_t count = 1;
    struct span value;
    while (take_value(&scan, &value))
    {
        if (take(&scan, ':'))
            continue;
        if (!take(&scan, ','))
            break;
        count++;
    }
    return count;
}

bool json_text_read_object(struct arena *arena, struct span text, struct json_member **ret, size_t *ret_count)
{
    struct scan scan = scan_of(text);
    *ret_count = 0;
    if (!take(&scan, '{'))
        return false;
    *ret = arena_take(arena, count_members(scan) * sizeof(**ret));
    if (!*ret)
        return false;
    if (take(&scan, '}'))
        return at_end(&scan);
    do
    {
        struct json_member *member = &(*ret)[(*ret_count)++];
        struct span key;
        if (!take_value(&scan, &key) || !unescape(arena, key, &member->key) || !take(&scan, ':') ||
            !take_value(&scan, &member->value))
            return false;
    } while (take(&scan, ','));
    return take(&scan, '}') && at_end(&scan);
}

bool json_text_read_array(struct arena *arena, struct span text, struct span **ret, size_t *ret_count)
{
    struct scan scan = scan_of(text);
    *ret_count = 0;
    if (!take(&scan, '['))
        return false;
    *ret = arena_take(arena, count_members(scan) * sizeof(**ret));
    if (!*ret)
        return false;
    if (take(&scan, ']'))
        return at_end(&scan);
    do
    {
        if (!take_value(&scan, &(*ret)[(*ret_count)++]))
            return false;
    } while (take(&scan, ','));
    return take(&scan, ']') && at_end(&scan);
}

/* --- changing ---------------------------------------------------------------------------------------------------- */

static struct span give(struct arena *arena, struct buffer *text)
{
    struct span copy = buffer_failed(text) ? SPAN_NULL : arena_copy(arena, buffer_span(text));
    if (!copy.at)
        arena->failed = true;
    buffer_done(text);
    return copy;
}

static int compare_spans(struct span a, struct span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.at, b.at, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_members(const void *a, const void *b)
{
    return compare_spans(((const struct json_member *)a)->key, ((const struct json_member *)b)->key);
}

static void add_member(struct buffer *text, const struct json_member *member)
{
    if (text->size > 1)
        buffer_add_byte(text, ',');
    buffer_add_json_string(text, member->key);
    buffer_add_byte(text, ':');
    buffer_add_span(text, member->value);
}

/* Both sides sorted, then walked in step: a command may name thousands of keys. */
bool json_text_merge(struct arena *arena, struct span object, const struct json_member *changes, size_t count,
                     struct span *ret)
{
    struct json_member *present, *sorted = arena_take(arena, count * sizeof(*sorted));
    size_t present_count;
    if (!sorted || !json_text_read_object(arena, object.at ? object : SPAN_LITERAL("{}"), &present, &present_count))
        return false;
    if (count)
        memcpy(sorted, changes, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_members);
    qsort(present, present_count, sizeof(*present), compare_members);

    struct buffer text = BUFFER_EMPTY;
    buffer_add_byte(&text, '{');
    for (size_t i = 0, n = 0; i < present_count || n < count;)
    {
        int order = i == present_count ? 1 : n == count ? -1 : compare_members(&present[i], &sorted[n]);
        add_member(&text, order < 0 ? &present[i] : &sorted[n]);
        i += order <= 0;
        n += order >= 0;
    }
    buffer_add_byte(&text, '}');
    *ret = give(arena, &text);
    return ret->at != NULL;
}

bool json_text_append(struct arena *arena, struct span array, struct span value, size_t length_max, struct span *ret)
{
    struct span *elements;
    size_t count;
    if (!array.at || !json_text_read_array(arena, array, &elements, &count))
        count = 0;
    struct buffer text = BUFFER_EMPTY;
    buffer_add_byte(&text, '[');
    for (size_t i = count >= length_max ? count + 1 - length_max : 0; i < count; i++)
    {
        buffer_add_span(&text, elements[i]);
        buffer_add_byte(&text, ',');
    }
    buffer_add_span(&text, value);
    buffer_add_byte(&text, ']');
    *ret = give(arena, &text);
    return ret->at != NULL;
}

/* --- the canonical form ------------------------------------------------------------------------------------------ */

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* "e+12": the exponent, held within bounds that no stored number reaches. */
static long read_exponent(struct scan *scan)
{
    bool negative = false;
    long exponent = 0;
    if (scan->at < scan->end && (*scan->at == '+' || *scan->at == '-'))
        negative = *scan->at++ == '-';
    for (; scan->at < scan->end && is_digit(*scan->at); scan->at++)
        if (exponent < NUMBER_EXPONENT_MAX)
            exponent = exponent * 10 + (*scan->at - '0');
    return negative ? -exponent : exponent;
}

/* -12.50e3 is -125e2: all digits without zeros at either end, then the power of ten. Digits stay at their place, the
 * point is left out when they are printed. */
static bool print_number(struct span raw, struct buffer *into)
{
    struct scan scan = scan_of(raw);
    bool negative = scan.at < scan.end && *scan.at == '-';
    scan.at += negative;
    const char *first = NULL, *last = NULL; /* digits that are not 0 */
    long places = 0, places_behind_last = 0;
    bool fraction = false;
    for (; scan.at < scan.end && (is_digit(*scan.at) || *scan.at == '.'); scan.at++)
    {
        if (*scan.at == '.')
        {
            fraction = true;
            continue;
        }
        places += fraction;
        if (*scan.at == '0')
        {
            places_behind_last++;
            continue;
        }
        first = first ? first : scan.at;
        last = scan.at;
        places_behind_last = 0;
    }
    long exponent = 0;
    if (scan.at < scan.end && (*scan.at == 'e' || *scan.at == 'E'))
    {
        scan.at++;
        exponent = read_exponent(&scan);
    }
    if (scan.at != scan.end)
        return false;
    if (!first)
    {
        buffer_add_byte(into, '0');
        return true;
    }
    if (negative)
        buffer_add_byte(into, '-');
    for (const char *at = first; at <= last; at++)
        if (*at != '.')
            buffer_add_byte(into, *at);
    exponent += places_behind_last - places;
    if (exponent)
    {
        buffer_add_byte(into, 'e');
        buffer_add_int64(into, exponent);
    }
    return true;
}

static void add_zeros(struct buffer *into, long count)
{
    for (; count > 0; count--)
        buffer_add_byte(into, '0');
}

/* -125e-1 as -12.5, 5e2 as 500. */
static bool print_plain_number(struct span raw, struct buffer *into)
{
    size_t start = into->size;
    if (!print_number(raw, into) || buffer_failed(into))
        return false;
    char text[PLAIN_DIGITS_MAX];
    struct span form = { into->at + start, into->size - start };
    const char *mark = memchr(form.at, 'e', form.size);
    if (!mark || form.size > sizeof(text))
        return true;
    memcpy(text, form.at, form.size);
    struct scan scan = { mark + 1, form.at + form.size };
    long exponent = read_exponent(&scan), digits = mark - form.at - (text[0] == '-');
    const char *first = text + (text[0] == '-');
    if (exponent > PLAIN_ZEROS_MAX || -exponent > PLAIN_ZEROS_MAX + digits)
        return true;
    into->size = start + (text[0] == '-');
    long whole = exponent < 0 ? digits + exponent : digits; /* digits before the point */
    if (whole <= 0)
    {
        buffer_add_text(into, "0.");
        add_zeros(into, -whole);
        buffer_add(into, first, (size_t)digits);
        return true;
    }
    buffer_add(into, first, (size_t)whole);
    add_zeros(into, exponent);
    if (whole < digits)
        buffer_add_byte(into, '.');
    buffer_add(into, first + whole, (size_t)(digits - whole));
    return true;
}

struct printing
{
    struct arena *arena;
    struct buffer *into;
    bool plain;
};

static bool print_value(const struct printing *printing, struct span raw, int depth);

static bool print_object(const struct printing *printing, struct span raw, int depth)
{
    struct buffer *into = printing->into;
    struct json_member *members;
    size_t count;
    if (!json_text_read_object(printing->arena, raw, &members, &count))
        return false;
    qsort(members, count, sizeof(*members), compare_members);
    buffer_add_byte(into, '{');
    for (size_t i = 0; i < count; i++)
    {
        if (i)
            buffer_add_byte(into, ',');
        buffer_add_json_string(into, members[i].key);
        buffer_add_byte(into, ':');
        if (!print_value(printing, members[i].value, depth + 1))
            return false;
    }
    buffer_add_byte(into, '}');
    return true;
}

static bool print_array(const struct printing *printing, struct span raw, int depth)
{
    struct buffer *into = printing->into;
    struct span *elements;
    size_t count;
    if (!json_text_read_array(printing->arena, raw, &elements, &count))
        return false;
    buffer_add_byte(into, '[');
    for (size_t i = 0; i < count; i++)
    {
        if (i)
            buffer_add_byte(into, ',');
        if (!print_value(printing, elements[i], depth + 1))
            return false;
    }
    buffer_add_byte(into, ']');
    return true;
}

static bool print_value(const struct printing *printing, struct span raw, int depth)
{
    struct buffer *into = printing->into;
    if (depth > CANONICAL_DEPTH_MAX || !raw.size)
        return false;
    struct span text;
    switch (raw.at[0])
    {
    case '{':
        return print_object(printing, raw, depth);
    case '[':
        return print_array(printing, raw, depth);
    case '"':
        if (!unescape(printing->arena, raw, &text))
            return false;
        buffer_add_json_string(into, text);
        return true;
    case 't':
    case 'f':
    case 'n':
        buffer_add_span(into, raw);
        return span_is(raw, "true") || span_is(raw, "false") || span_is(raw, "null");
    default:
        return printing->plain ? print_plain_number(raw, into) : print_number(raw, into);
    }
}

static bool print(struct arena *arena, struct span text, bool plain, struct buffer *into)
{
    const struct printing printing = { arena, into, plain };
    struct scan scan = scan_of(text);
    struct span raw;
    return take_value(&scan, &raw) && at_end(&scan) && print_value(&printing, raw, 0);
}

bool json_text_print_canonical(struct arena *arena, struct span text, struct buffer *into)
{
    return print(arena, text, false, into);
}

bool json_text_print_plain(struct arena *arena, struct span text, struct buffer *into)
{
    return print(arena, text, true, into);
}

bool json_text_equal(struct arena *arena, struct span a, struct span b)
{
    struct arena_mark mark = arena_mark(arena);
    struct buffer left = BUFFER_EMPTY, right = BUFFER_EMPTY;
    bool equal = json_text_print_canonical(arena, a, &left) && json_text_print_canonical(arena, b, &right) &&
                 !buffer_failed(&left) && !buffer_failed(&right) && span_equal(buffer_span(&left), buffer_span(&right));
    /* Not known is not unequal. */
    arena->failed = arena->failed || buffer_failed(&left) || buffer_failed(&right);
    buffer_done(&left);
    buffer_done(&right);
    arena_rewind(arena, mark);
    return equal;
}

size_t json_text_size(struct arena *arena, struct span text)
{
    struct arena_mark mark = arena_mark(arena);
    struct buffer form = BUFFER_EMPTY;
    bool printed = json_text_print_canonical(arena, text, &form) && !buffer_failed(&form);
    size_t size = printed ? form.size : SIZE_MAX;
    arena->failed = arena->failed || buffer_failed(&form);
    buffer_done(&form);
    arena_rewind(arena, mark);
    return size;
}

size_t json_text_depth(struct span text)
{
    size_t open = 0, deepest = 0;
    for (struct scan scan = scan_of(text); scan.at < scan.end;)
    {
        char byte = *scan.at;
        if (byte == '"')
        {
            if (!skip_string(&scan))
                break;
            continue;
        }
        scan.at++;
        if (byte == '{' || byte == '[')
            open++;
        else if ((byte == '}' || byte == ']') && open > 0)
            open--;
        deepest = open > deepest ? open : deepest;
    }
    return deepest;
}
