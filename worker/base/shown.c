#include "worker/base/shown.h"

#include <stdio.h>

#include "workflows/base/utf8.h"

struct range
{
    unsigned first, last;
};

/* Characters that look like others, or are invisible, or are obeyed. */
static const struct range hidden[] = {
    { 0x0000, 0x001F },   /* C0 */
    { 0x007F, 0x009F },   /* DEL, C1 */
    { 0x061C, 0x061C },   /* Arabic letter mark */
    { 0x200B, 0x200F },   /* of no width; marks of direction */
    { 0x2028, 0x202E },   /* line and paragraph separators; embeddings and overrides of direction */
    { 0x2060, 0x206F },   /* of no width; isolates of direction */
    { 0xFEFF, 0xFEFF },   /* byte order mark */
    { 0xFFF9, 0xFFFB },   /* annotations */
    { 0xE0000, 0xE0FFF }, /* tags */
};

static bool is_hidden(unsigned code)
{
    for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
        if (code >= hidden[i].first && code <= hidden[i].last)
            return true;
    return false;
}

static unsigned decode(const unsigned char *at, size_t size)
{
    unsigned code = size == 1 ? at[0] : at[0] & (0xFFu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        code = code << 6 | (at[i] & 0x3Fu);
    return code;
}

size_t shown_step(const unsigned char *at, size_t size, char escape[SHOWN_ESCAPE_MAX])
{
    size_t step = at[0] < 0x80 ? 1 : utf8_measure((const char *)at, size);
    unsigned code = step ? decode(at, step) : 0xFFFD;

    escape[0] = '\0';
    if (step > 0 && !is_hidden(code))
        return step;
    if (code > 0xFFFF)
        snprintf(escape, SHOWN_ESCAPE_MAX, "\\u%04x\\u%04x", 0xD7C0 + (code >> 10), 0xDC00 + (code & 0x3FF));
    else
        snprintf(escape, SHOWN_ESCAPE_MAX, "\\u%04x", code);
    return step ? step : 1;
}

static void add(struct buffer *into, struct span text, const char *kept)
{
    const unsigned char *at = (const unsigned char *)text.at;

    for (size_t left = text.at ? text.size : 0; left > 0;)
    {
        char escape[SHOWN_ESCAPE_MAX];
        size_t step = shown_step(at, left, escape);
        if (escape[0] == '\0' || (*at != 0 && strchr(kept, *at)))
            buffer_add(into, (const char *)at, step);
        else
            buffer_add_text(into, escape);
        at += step;
        left -= step;
    }
}

void shown_add(struct buffer *into, struct span text)
{
    add(into, text, "");
}

void shown_add_lines(struct buffer *into, struct span text)
{
    add(into, text, "\n\t");
}
