#include "worker/cli/pause_shown.h"

#include <string.h>

#include "worker/admin/pause.h"
#include "worker/base/shown.h"
#include "worker/postgres/query.h"

void pause_shown_name(const char *scope, const char *target, struct buffer *into)
{
    buffer_add_text(into, strcmp(scope, "all") == 0 ? "everything" : scope);
    if (*target)
    {
        buffer_add_byte(into, ' ');
        shown_add(into, span_of(target));
    }
}

void pause_shown_json(const PGresult *rows, int row, struct buffer *into)
{
    static const struct
    {
        const char *name;
        bool number;
    } columns[PAUSE__COLUMNS] = { { "pause", true },      { "scope", false },  { "target", false },
                                  { "order", false },     { "since", false },  { "until", false },
                                  { "by", false },        { "reason", false }, { "commands", true },
                                  { "aggregates", true }, { "ended", false },  { "ended_by", false } };

    for (int column = 0; column < PAUSE__COLUMNS; column++)
    {
        const char *text = query_text(rows, row, column);
        buffer_add_text(into, column > 0 ? ",\"" : "{\"");
        buffer_add_text(into, columns[column].name);
        buffer_add_text(into, "\":");
        if (text && columns[column].number)
            buffer_add_text(into, text);
        else
            buffer_add_json_string(into, span_of(text));
    }
    buffer_add_byte(into, '}');
}

void pause_shown_text(const PGresult *rows, int row, struct buffer *into)
{
    const char *until = query_text(rows, row, PAUSE_UNTIL), *ended = query_text(rows, row, PAUSE_RESUMED);
    const char *ended_by = query_text(rows, row, PAUSE_RESUMED_BY);

    buffer_add_text(into, PQgetvalue(rows, row, PAUSE_ID));
    buffer_add_text(into, "  ");
    pause_shown_name(PQgetvalue(rows, row, PAUSE_SCOPE), PQgetvalue(rows, row, PAUSE_TARGET), into);
    buffer_add_text(into, strcmp(PQgetvalue(rows, row, PAUSE_ORDER), "pass") == 0 ? " (later ones pass)" : "");
    buffer_add_text(into, ", since ");
    buffer_add_text(into, PQgetvalue(rows, row, PAUSE_SINCE));
    buffer_add_text(into, ended ? ", ended " : until ? " until " : " until it is resumed");
    buffer_add_text(into, ended ? ended : until ? until : "");
    if (ended)
    {
        buffer_add_text(into, " by ");
        shown_add(into, span_of(ended_by ? ended_by : "itself"));
    }
    buffer_add_text(into, ", by ");
    shown_add(into, span_of(PQgetvalue(rows, row, PAUSE_ACTOR)));
    buffer_add_text(into, ": \"");
    shown_add(into, span_of(PQgetvalue(rows, row, PAUSE_REASON)));
    buffer_add_text(into, "\"; ");
    buffer_add_text(into, PQgetvalue(rows, row, PAUSE_COMMANDS));
    buffer_add_text(into, " commands of ");
    buffer_add_text(into, PQgetvalue(rows, row, PAUSE_AGGREGATES));
    buffer_add_text(into, " aggregates wait\n");
}
