/* Scan: stands between a settings file and libconfig 1.5.
 *
 * libconfig wraps integers silently (4294967297 reads as 1), ends the process on a clever @include, and has no names
 * with dots, which librdkafka's names are made of. So the file is read here first, token by token, and only what is
 * harmless is handed on: comments are left out, @include and stray bytes are refused, nesting is bounded, a number
 * becomes a marked string that keeps its digits as written, and the dots of a name become a mark that names cannot
 * contain. Every newline is kept, so libconfig's line numbers are the file's. */
#include <stdio.h>

#include "worker/settings/key.h"
#include "workflows/base/utf8.h"

enum
{
    DEPTH_MAX = 8,
    NAMES_MAX = 1000, /* settings in a file */
};

struct scan
{
    const char *at, *end;
    const char *file;
    unsigned line;
    int depth;
    struct buffer *into;
    struct buffer *reterr;

    /* libconfig finds names given twice, but does not say which. */
    struct span name;         /* the last name read: a setting's when '=' or ':' follows */
    struct buffer path;       /* "kafka.consumer.a": the group we are in, and the last setting in it */
    size_t group;             /* how much of the path is the group */
    size_t groups[DEPTH_MAX]; /* the same of the groups around it */
    struct buffer seen;       /* every path so far, each between newlines */
    int count;
};

static bool is_letter(char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool next_is(const struct scan *scan, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(scan->end - scan->at) >= size && memcmp(scan->at, text, size) == 0;
}

static bool refuse(struct scan *scan, unsigned line, const char *why)
{
    settings_add_text(scan->reterr, "%s:%u: %s", scan->file, line, why);
    return false;
}

/* The last name is a setting's: its path must be new. */
static bool see_setting(struct scan *scan)
{
    if (!scan->name.at)
        return true;
    scan->path.size = scan->group;
    buffer_add_text(&scan->path, scan->group > 0 ? "." : "\n");
    buffer_add_span(&scan->path, scan->name);
    scan->name = SPAN_NULL;
    buffer_add_byte(&scan->path, '\n');
    struct span path = buffer_span(&scan->path);
    if (scan->seen.size > 0 && memmem(scan->seen.at, scan->seen.size, path.at, path.size))
    {
        settings_add_text(scan->reterr, "%s:%u: %.*s: it is set a second time; each name once in its group", scan->file,
                          scan->line, (int)path.size - 2, path.at + 1);
        return false;
    }
    buffer_add_span(&scan->seen, path);
    scan->path.size = path.size - 1;
    return ++scan->count <= NAMES_MAX || refuse(scan, scan->line, "too many settings: at most 1000");
}

static void skip_line(struct scan *scan)
{
    while (scan->at < scan->end && *scan->at != '\n')
        scan->at++;
}

static bool skip_block(struct scan *scan)
{
    unsigned start = scan->line;
    for (scan->at += 2; scan->at < scan->end; scan->at++)
    {
        if (next_is(scan, "*/"))
        {
            scan->at += 2;
            buffer_add_byte(scan->into, ' ');
            return true;
        }
        if (*scan->at == '\n')
        {
            scan->line++;
            buffer_add_byte(scan->into, '\n');
        }
    }
    return refuse(scan, start, "the comment that begins here has no end: */ is missing");
}

static bool take_string(struct scan *scan)
{
    const char *start = scan->at++;
    for (; scan->at < scan->end; scan->at++)
    {
        unsigned char byte = (unsigned char)*scan->at;
        if (byte == '"')
        {
            buffer_add(scan->into, start, (size_t)(++scan->at - start));
            return true;
        }
        if (byte == '\n')
            break;
        if (byte < 0x20 && byte != '\t')
            return refuse(scan, scan->line, "a control byte in a string");
        if (byte == '\\' && (++scan->at == scan->end || !strchr("\\\"nrtf", *scan->at) || *scan->at == '\0'))
            return refuse(scan, scan->line, "a backslash in a string: accepted are \\\\ \\\" \\n \\r \\t \\f");
    }
    return refuse(scan, scan->line, "the string that begins here has no end: \" is missing on this line");
}

static void take_name(struct scan *scan)
{
    const char *start = scan->at;
    for (; scan->at < scan->end; scan->at++)
    {
        char byte = *scan->at;
        if (byte == '\0' || (!is_letter(byte) && !is_digit(byte) && !strchr("-_.", byte)))
            break;
        buffer_add_byte(scan->into, byte == '.' ? SETTINGS_DOT_MARK : byte);
    }
    scan->name = (struct span){ start, (size_t)(scan->at - start) };
}

/* Anything that begins like a number, as written: whether it is one, and in range, its key decides. */
static void take_number(struct scan *scan)
{
    buffer_add_byte(scan->into, '"');
    buffer_add_byte(scan->into, SETTINGS_NUMBER_MARK);
    for (; scan->at < scan->end; scan->at++)
    {
        char byte = *scan->at;
        if (byte == '\0' || (!is_letter(byte) && !is_digit(byte) && !strchr("+-._", byte)))
            break;
        buffer_add_byte(scan->into, byte);
    }
    buffer_add_byte(scan->into, '"');
}

static bool take_sign(struct scan *scan)
{
    char byte = *scan->at;
    if (strchr("{([", byte))
    {
        if (scan->depth == DEPTH_MAX)
            return refuse(scan, scan->line, "groups are nested too deep: at most 8");
        scan->groups[scan->depth++] = scan->group;
        scan->group = scan->path.size;
    }
    else if (strchr("})]", byte))
    {
        if (scan->depth == 0)
            return refuse(scan, scan->line, "a closing bracket without an opening one");
        scan->path.size = scan->group = scan->groups[--scan->depth];
    }
    else if (strchr("=:", byte) && !see_setting(scan))
        return false;
    buffer_add_byte(scan->into, byte);
    scan->at++;
    return true;
}

static bool refuse_byte(struct scan *scan)
{
    if (next_is(scan, "@include"))
        return refuse(scan, scan->line, "@include is not accepted: all settings are in one file");
    char why[80];
    unsigned char byte = (unsigned char)*scan->at;
    snprintf(why, sizeof(why), byte > 0x20 && byte < 0x7F ? "unexpected '%c'" : "unexpected byte 0x%02x", byte);
    return refuse(scan, scan->line, why);
}

static bool take_token(struct scan *scan)
{
    char byte = *scan->at;
    if (byte == '#' || next_is(scan, "//"))
    {
        skip_line(scan);
        return true;
    }
    if (next_is(scan, "/*"))
        return skip_block(scan);
    if (byte == '"')
        return take_string(scan);
    if (is_letter(byte))
    {
        take_name(scan);
        return true;
    }
    if (is_digit(byte) || byte == '+' || byte == '-' || byte == '.')
    {
        take_number(scan);
        return true;
    }
    if (byte != '\0' && strchr("{}()[]=:;,", byte))
        return take_sign(scan);
    if (byte != '\n' && byte != ' ' && byte != '\t' && byte != '\r')
        return refuse_byte(scan);
    if (byte == '\n')
        scan->line++;
    buffer_add_byte(scan->into, byte);
    scan->at++;
    return true;
}

static bool scan_text(struct scan *scan)
{
    if (!utf8_is_valid(scan->at, (size_t)(scan->end - scan->at)))
        return refuse(scan, 1, "the file is not UTF-8 text");
    while (scan->at < scan->end)
        if (!take_token(scan))
            return false;
    buffer_add_byte(scan->into, '\0');
    if (buffer_failed(scan->into) || buffer_failed(&scan->path) || buffer_failed(&scan->seen))
        return refuse(scan, scan->line, "out of memory");
    return true;
}

bool settings_prepare_text(struct span text, const char *file, struct buffer *into, struct buffer *reterr)
{
    struct scan scan = {
        .at = text.at, .end = text.at + text.size, .file = file, .line = 1, .into = into, .reterr = reterr
    };
    bool ok = scan_text(&scan);
    buffer_done(&scan.path);
    buffer_done(&scan.seen);
    return ok;
}
