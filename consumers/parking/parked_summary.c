#include "consumers/parking/parked_summary.h"

#include <stdio.h>
#include <stdlib.h>

#include "workflows/base/span.h"
#include "workflows/base/utf8.h"

#define TIME_FORMAT "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'"

const char parked_count_sql[] =
    "SELECT count(*), count(*) FILTER (WHERE reason = 'notbefore'), count(*) FILTER (WHERE reason = 'held'), "
    "count(*) FILTER (WHERE reason = 'behind'), "
    "to_char(min(due_at) FILTER (WHERE reason NOT IN ('behind', 'paused') AND returned_at IS NULL) AT TIME ZONE "
    "'UTC', " TIME_FORMAT "), to_char(min(parked_at) AT TIME ZONE 'UTC', " TIME_FORMAT "), "
    "count(*) FILTER (WHERE reason = 'paused'), count(*) FILTER (WHERE reason = 'redriven'), "
    "count(*) FILTER (WHERE reason = 'replayed'), "
    "to_char(min(due_at) FILTER (WHERE reason = 'notbefore' AND returned_at IS NULL) AT TIME ZONE 'UTC', " TIME_FORMAT
    ") FROM interlock.parked_command";

/* 5: PARKED_STUCK_MAX. */
const char parked_stuck_sql[] =
    "SELECT coalesce(p.aggregate, ''), p.command_type, p.command_id, o.topic, o.partition, "
    "to_char(p.parked_at AT TIME ZONE 'UTC', " TIME_FORMAT "), p.parkings FROM interlock.parked_command p "
    "JOIN interlock.partition_owner o ON o.id = p.partition_id WHERE p.reason = 'held' ORDER BY p.place LIMIT 5";

static int64_t number_at(const PGresult *rows, int column)
{
    return strtoll(PQgetvalue(rows, 0, column), NULL, 10);
}

void parked_summary_count(struct parked_summary *summary, const PGresult *counted)
{
    summary->commands = number_at(counted, 0);
    summary->early = number_at(counted, 1);
    summary->held = number_at(counted, 2);
    summary->behind = number_at(counted, 3);
    snprintf(summary->next_due, sizeof(summary->next_due), "%s", PQgetvalue(counted, 0, 4));
    snprintf(summary->oldest, sizeof(summary->oldest), "%s", PQgetvalue(counted, 0, 5));
    summary->paused = number_at(counted, 6);
    summary->redriven = number_at(counted, 7);
    summary->replayed = number_at(counted, 8);
    snprintf(summary->next_early, sizeof(summary->next_early), "%s", PQgetvalue(counted, 0, 9));
}

void parked_summary_name(struct parked_summary *summary, const PGresult *named)
{
    summary->stuck_count = PQntuples(named) < PARKED_STUCK_MAX ? PQntuples(named) : PARKED_STUCK_MAX;
    for (int i = 0; i < summary->stuck_count; i++)
    {
        struct parked_stuck *stuck = &summary->stuck[i];
        const struct
        {
            char *into;
            size_t size;
        } texts[] = {
            { stuck->aggregate, sizeof(stuck->aggregate) },
            { stuck->type, sizeof(stuck->type) },
            { stuck->id, sizeof(stuck->id) },
            { stuck->topic, sizeof(stuck->topic) },
            { stuck->partition, sizeof(stuck->partition) },
            { stuck->parked_at, sizeof(stuck->parked_at) },
            { stuck->parkings, sizeof(stuck->parkings) },
        };
        for (size_t column = 0; column < sizeof(texts) / sizeof(texts[0]); column++)
            utf8_copy_line(texts[column].into, texts[column].size, PQgetvalue(named, i, (int)column));
    }
}

static void add_member(struct buffer *json, const char *name, const char *text)
{
    buffer_add_text(json, name);
    buffer_add_json_string(json, text[0] ? span_of(text) : SPAN_NULL);
}

void parked_summary_print(const struct parked_summary *summary, struct buffer *json)
{
    const struct
    {
        const char *name;
        int64_t value;
    } numbers[] = { { "{\"commands\":", summary->commands }, { ",\"early\":", summary->early },
                    { ",\"held\":", summary->held },         { ",\"behind\":", summary->behind },
                    { ",\"paused\":", summary->paused },     { ",\"redriven\":", summary->redriven },
                    { ",\"replayed\":", summary->replayed } };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
    {
        buffer_add_text(json, numbers[i].name);
        buffer_add_int64(json, numbers[i].value);
    }
    add_member(json, ",\"next_due\":", summary->next_due);
    add_member(json, ",\"next_early\":", summary->next_early);
    add_member(json, ",\"oldest\":", summary->oldest);
    buffer_add_text(json, ",\"stuck\":[");
    for (int i = 0; i < summary->stuck_count; i++)
    {
        const struct parked_stuck *stuck = &summary->stuck[i];
        add_member(json, i > 0 ? ",{\"aggregate\":" : "{\"aggregate\":", stuck->aggregate);
        add_member(json, ",\"type\":", stuck->type);
        add_member(json, ",\"id\":", stuck->id);
        add_member(json, ",\"topic\":", stuck->topic);
        buffer_add_text(json, ",\"partition\":");
        buffer_add_text(json, stuck->partition);
        add_member(json, ",\"since\":", stuck->parked_at);
        buffer_add_text(json, ",\"parkings\":");
        buffer_add_text(json, stuck->parkings);
        buffer_add_byte(json, '}');
    }
    buffer_add_text(json, "]}");
}
