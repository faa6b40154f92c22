#include "worker/batch/pauses.h"

#include <stdlib.h>
#include <string.h>

#include "worker/postgres/array.h"
#include "workflows/parameters/command.h"

const char pauses_sql[] = "SELECT id, keeps_order, ends_at, scope, target FROM interlock.pause WHERE resumed_at IS "
                          "NULL AND scope IN ('type', "
                          "'tenant', 'key') ORDER BY keeps_order DESC, id";

static const char *const scope_names[] = { [PAUSE_TYPE] = "type", [PAUSE_TENANT] = "tenant", [PAUSE_KEY] = "key" };

void pauses_done(struct pauses *pauses)
{
    for (int i = 0; i < pauses->count; i++)
        free(pauses->at[i].target);
    free(pauses->at);
    *pauses = (struct pauses){ .epoch = 0 };
}

static bool read_pause(struct pause *pause, const PGresult *rows, int row)
{
    const char *scope = PQgetvalue(rows, row, 3);

    *pause =
        (struct pause){ .id = array_read_int32(PQgetvalue(rows, row, 0)),
                        .keeps_order = *PQgetvalue(rows, row, 1) != 0,
                        .ends_us = PQgetisnull(rows, row, 2) ? INT64_MAX : array_read_time(PQgetvalue(rows, row, 2)),
                        .target_size = (size_t)PQgetlength(rows, row, 4) };
    for (size_t i = 0; i < sizeof(scope_names) / sizeof(*scope_names); i++)
        if (strlen(scope_names[i]) == (size_t)PQgetlength(rows, row, 3) &&
            memcmp(scope, scope_names[i], strlen(scope_names[i])) == 0)
            pause->scope = (enum pause_scope)i;
    pause->target = malloc(pause->target_size + 1);
    if (pause->target)
        memcpy(pause->target, PQgetvalue(rows, row, 4), pause->target_size);
    return pause->target != NULL;
}

bool pauses_take(struct pauses *pauses, int64_t epoch, const PGresult *rows)
{
    int count = PQntuples(rows);
    bool good = true;

    pauses_done(pauses);
    if (count > 0)
    {
        pauses->at = calloc((size_t)count, sizeof(*pauses->at));
        good = pauses->at != NULL;
    }
    for (int row = 0; good && row < count; row++)
    {
        good = read_pause(&pauses->at[row], rows, row);
        pauses->count = row + 1;
    }
    if (!good)
        pauses_done(pauses);
    else
        pauses->epoch = epoch;
    return good;
}

static bool matches(const struct pause *pause, const struct command *command, struct span key)
{
    const struct span texts[] = { [PAUSE_TYPE] = command->type, [PAUSE_TENANT] = command->tenant, [PAUSE_KEY] = key };
    const struct span text = texts[pause->scope];

    return text.at && text.size == pause->target_size && memcmp(text.at, pause->target, text.size) == 0;
}

const struct pause *pauses_find(const struct pauses *pauses, const struct command *command, int64_t now_us)
{
    char name[AGGREGATE_KEY_MAX];
    struct span key = SPAN_NULL;

    if (pauses->count == 0)
        return NULL;
    if (command->aggregate.kind != AGGREGATE_NONE)
        key = (struct span){ name, aggregate_print(command->aggregate, name) };
    for (int i = 0; i < pauses->count; i++)
        if (now_us < pauses->at[i].ends_us && matches(&pauses->at[i], command, key))
            return &pauses->at[i];
    return NULL;
}
