/* What stands between a settings file and libconfig 1.5.
 *
 * libconfig wraps integers silently (4294967297 reads as 1), ends the process on a clever @include, and has no names
 * with dots, which librdkafka's names are made of. So the file is read here first, token by token, and only what is
 * harmless is handed on: comments are left out, @include and stray bytes are refused, nesting is bounded, a number
 * becomes a marked string that keeps its digits as written, and the dots of a name become a mark that names cannot
 * contain. Every newline is kept, so libconfig's line numbers are the file's. */
#include <stdio.h>

#include "worker/settings_parts.h"
#include "worker/utf8.h"

enum
{
    DEPTH_MAX = 8,
};

struct scan
{
    const char *at, *end;
    const char *file;
    unsigned line;
    int depth;
    struct buffer *into;
    struct buffer *reterr;
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

static bool take_name(struct scan *scan)
{
    for (; scan->at < scan->end; scan->at++)
    {
        char byte = *scan->at;
        if (!is_letter(byte) && !is_digit(byte) && !strchr("-_.", byte))
            break;
        if (byte == '\0')
            break;
        buffer_add_byte(scan->into, byte == '.' ? SETTINGS_DOT_MARK : byte);
    }
    return true;
}

/* Anything that begins like a number, as written: whether it is one, and in range, its key decides. */
static bool take_number(struct scan *scan)
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
    return true;
}

static bool take_sign(struct scan *scan)
{
    char byte = *scan->at;
    if (strchr("{([", byte) && ++scan->depth > DEPTH_MAX)
        return refuse(scan, scan->line, "groups are nested too deep: at most 8");
    if (strchr("})]", byte) && --scan->depth < 0)
        return refuse(scan, scan->line, "a closing bracket without an opening one");
    buffer_add_byte(scan->into, byte);
    scan->at++;
    return true;
}

static bool refuse_byte(struct scan *scan)
{
    if (next_is(scan, "@include"))
        return refuse(scan, scan->line, "@include is not accepted: all settings stand in one file");
    char why[80];
    unsigned char byte = (unsigned char)*scan->at;
    snprintf(why, sizeof(why), byte > 0x20 && byte < 0x7F ? "unexpected '%c'" : "unexpected byte 0x%02x", byte);
    return refuse(scan, scan->line, why);
}

static bool take_token(struct scan *scan)
{
    char byte = *scan->at;
    if (byte == '#' || next_is(scan, "//"))
        return skip_line(scan), true;
    if (next_is(scan, "/*"))
        return skip_block(scan);
    if (byte == '"')
        return take_string(scan);
    if (is_letter(byte))
        return take_name(scan);
    if (is_digit(byte) || byte == '+' || byte == '-' || byte == '.')
        return take_number(scan);
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

bool settings_prepare_text(struct span text, const char *file, struct buffer *into, struct buffer *reterr)
{
    struct scan scan = { text.at, text.at + text.size, file, 1, 0, into, reterr };
    if (!utf8_is_valid(text.at, text.size))
        return refuse(&scan, 1, "the file is not UTF-8 text");
    while (scan.at < scan.end)
        if (!take_token(&scan))
            return false;
    buffer_add_byte(into, '\0');
    if (buffer_failed(into))
        return refuse(&scan, scan.line, "out of memory");
    return true;
}
