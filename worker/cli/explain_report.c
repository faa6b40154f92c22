#include "worker/cli/explain_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/shown.h"

enum
{
    EXIT_LOOK = 3,
};

void explain_report_done(struct explain_report *report)
{
    struct buffer *const all[] = { &report->verdict,   &report->headline, &report->next,      &report->story,
                                   &report->looked,    &report->topic,    &report->partition, &report->offset,
                                   &report->aggregate, &report->event };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        buffer_done(all[i]);
}

void explain_tell(struct buffer *into, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0)
    {
        into->failed = true;
        return;
    }
    shown_add(into, (struct span){ text, (size_t)size });
    buffer_add_byte(into, '\n');
    free(text);
}

void explain_conclude(struct explain_report *report, const char *verdict, const char *headline, const char *next)
{
    buffer_clear(&report->verdict);
    buffer_clear(&report->headline);
    buffer_clear(&report->next);
    buffer_add_text(&report->verdict, verdict);
    buffer_add_text(&report->headline, headline);
    buffer_add_text(&report->next, next);
}

static void add_member(struct buffer *into, const char *name, const struct buffer *value, bool number)
{
    buffer_add_text(into, name);
    if (value->size == 0)
        buffer_add_text(into, "null");
    else if (number)
        buffer_add_span(into, buffer_span(value));
    else
        buffer_add_json_string(into, buffer_span(value));
}

static void add_lines(struct buffer *into, const char *name, const struct buffer *lines)
{
    struct span all = buffer_span(lines);
    bool first = true;

    buffer_add_text(into, name);
    for (size_t from = 0; from < all.size; first = false)
    {
        const char *end = memchr(all.at + from, '\n', all.size - from);
        size_t size = end ? (size_t)(end - all.at) - from : all.size - from, blank = 0;
        while (blank < size && all.at[from + blank] == ' ')
            blank++;
        buffer_add_text(into, first ? "" : ",");
        buffer_add_json_string(into, (struct span){ all.at + from + blank, size - blank });
        from += size + 1;
    }
    buffer_add_byte(into, ']');
}

int explain_print(const struct invocation *invocation, const struct explain_report *report)
{
    struct buffer out = BUFFER_EMPTY;

    if (invocation->json)
    {
        add_member(&out, "{\"verdict\":", &report->verdict, false);
        add_member(&out, ",\"says\":", &report->headline, false);
        add_lines(&out, ",\"story\":[", &report->story);
        add_lines(&out, ",\"looked\":[", &report->looked);
        add_member(&out, ",\"topic\":", &report->topic, false);
        add_member(&out, ",\"partition\":", &report->partition, true);
        add_member(&out, ",\"offset\":", &report->offset, true);
        add_member(&out, ",\"aggregate\":", &report->aggregate, false);
        add_member(&out, ",\"event\":", &report->event, false);
        buffer_add_text(&out, report->answered ? ",\"answered\":true" : ",\"answered\":false");
        add_member(&out, ",\"next\":", &report->next, false);
        buffer_add_text(&out, "}\n");
    }
    else
    {
        shown_add(&out, buffer_span(&report->verdict));
        /* "applied 4 min ago: ...", "dead letter (open) since ...", but "held: ticket/42 for ..." */
        char first = report->headline.size > 0 ? report->headline.at[0] : ' ';
        bool goes_on = first == '(' || (report->answered && first >= '0' && first <= '9');
        buffer_add_text(&out, goes_on ? " " : ": ");
        shown_add(&out, buffer_span(&report->headline));
        buffer_add_byte(&out, '\n');
        buffer_add_span(&out, buffer_span(&report->story));
        buffer_add_span(&out, buffer_span(&report->looked));
        buffer_add_text(&out, "next: ");
        shown_add(&out, buffer_span(&report->next));
        buffer_add_byte(&out, '\n');
    }
    int code = verb_print(invocation, &out);
    buffer_done(&out);
    return code != 0 ? code : report->answered ? 0 : EXIT_LOOK;
}
