#include "consumers/parking/pause_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/parking_room.h"
#include "worker/settings/settings.h"

/* Half of what a pause may last past its time. */
static const int64_t LOOK_EVERY_US = 500000;
static const int64_t COUNT_EVERY_US = 2000000;

/* One snapshot: the epoch counts every change of pauses. A row without a scope says that there is none. */
static const char look_sql[] =
    "SELECT k.pause_epoch, coalesce(z.scope, ''), coalesce(z.target, ''), coalesce(z.ends_at <= clock_timestamp(), "
    "false) FROM interlock.parking k LEFT JOIN interlock.pause z ON z.resumed_at IS NULL";
static const char end_sql[] = "UPDATE interlock.pause SET resumed_at = clock_timestamp() WHERE resumed_at IS NULL AND "
                              "ends_at <= clock_timestamp()";
/* Also what was parked by a batch that had read the pauses before this one ended. All are due at one time, so that their
 * places decide; those behind them begin their turns again. */
static const char resume_sql[] =
    "WITH waiting AS MATERIALIZED (SELECT p.identity, p.aggregate FROM interlock.parked_command p JOIN interlock.pause "
    "z "
    "ON z.id = p.pause_id WHERE z.resumed_at IS NOT NULL ORDER BY p.place LIMIT 10000 FOR UPDATE OF p SKIP LOCKED), "
    "due AS (UPDATE interlock.parked_command p SET pause_id = NULL, next_at = NULL, due_at = now() FROM waiting w "
    "WHERE p.identity = w.identity) "
    "UPDATE interlock.parked_command p SET next_at = NULL WHERE p.next_at IS NOT NULL AND p.pause_id IS NULL AND "
    "p.aggregate IN (SELECT w.aggregate FROM waiting w)";
static const char obeyed_sql[] =
    "UPDATE interlock.partition_published p SET pause_epoch = k.epoch FROM unnest($1::int[], $2::bigint[], $3::uuid[], "
    "$4::bigint[]) AS k (id, fence, token, epoch) WHERE p.partition_id = k.id AND p.fence = k.fence AND "
    "p.owner_token = k.token AND p.pause_epoch < k.epoch";

enum
{
    COLUMN_EPOCH,
    COLUMN_SCOPE,
    COLUMN_TARGET,
    COLUMN_OVER,
    OBEYED_COLUMNS = 4,
    HEX_TOKEN = 32,
    COUNT_REST = 20, /* times as long as the count took */
};

/* --- room -------------------------------------------------------------------------------------------------------- */

/* A source that was full stays so until it is drained to half: $1. */
static const char count_sql[] =
    "WITH p AS MATERIALIZED (SELECT command_source AS source, pause_id, octet_length(value)::bigint + "
    "coalesce(octet_length(headers), 0) + coalesce(octet_length(kafka_key), 0) AS size FROM interlock.parked_command) "
    "SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE pause_id IS NOT NULL), "
    "coalesce(sum(size) FILTER (WHERE pause_id IS NOT NULL), 0), "
    "(SELECT string_agg(f.source, E'\\n' ORDER BY f.source) FROM (SELECT q.source FROM p q GROUP BY 1 "
    "HAVING count(*) >= $1::bigint LIMIT 17) f) FROM p";

static void note_sources(struct pause_watch *watch, const char *lines)
{
    uint64_t hashes[PARKING_SOURCES_MAX];
    int count = 0;

    for (const char *at = lines; at && *at; at += strcspn(at, "\n"), at += *at == '\n', count++)
        if (count < PARKING_SOURCES_MAX)
            hashes[count] = parking_room_hash((struct span){ at, strcspn(at, "\n") });
    if ((count > 0) != watch->sources_full)
        log_warning("returner: worker.park_source_max: %s",
                    count > 0 ? "sources have too many parked commands; their next ones are held at their offsets"
                              : "every source has room again");
    watch->sources_full = count > 0;
    parking_room_note_sources(hashes, count);
}

static void count_room(struct pause_watch *watch)
{
    const struct settings *settings = watch->settings;
    const struct parking_limits limits = { .commands = settings->worker.park_max,
                                           .bytes = settings->worker.park_bytes,
                                           .paused_bytes = settings->worker.pause_bytes };
    char most[24];
    const char *const values[] = { most };

    snprintf(most, sizeof(most), "%lld",
             (long long)settings->worker.park_source_max / (watch->sources_full ? 2 : 1) + watch->sources_full);
    int64_t begun_us = monotonic_us();
    PGresult *counted = watch->ask(watch->owner, count_sql, 1, values);
    int64_t ended_us = monotonic_us();
    /* Where much is parked, counting it must stay a small part of the time. */
    int64_t rest_us = COUNT_REST * (ended_us - begun_us);
    watch->next_count_us = ended_us + (rest_us > COUNT_EVERY_US ? rest_us : COUNT_EVERY_US);
    if (counted == NULL)
        return;
    struct parking_count count = { .commands = strtoll(PQgetvalue(counted, 0, 0), NULL, 10),
                                   .bytes = strtoll(PQgetvalue(counted, 0, 1), NULL, 10),
                                   .paused_commands = strtoll(PQgetvalue(counted, 0, 2), NULL, 10),
                                   .paused_bytes = strtoll(PQgetvalue(counted, 0, 3), NULL, 10) };
    if (parking_room_note(&count, &limits))
        log_warning("returner: %lld commands are parked (%lld bytes), %lld of them wait for pauses (%lld bytes): %s",
                    (long long)count.commands, (long long)count.bytes, (long long)count.paused_commands,
                    (long long)count.paused_bytes,
                    parking_room_is_pause_full() || parking_room_is_full(SPAN_NULL)
                        ? "there is no room for more; partitions stop, and nothing is dropped"
                        : "there is room again");
    note_sources(watch, PQgetisnull(counted, 0, 4) ? NULL : PQgetvalue(counted, 0, 4));
    metrics_set(METRIC_PAUSE_FULL, parking_room_is_pause_full());
    metrics_set(METRIC_PARKING_FULL, parking_room_is_full(SPAN_NULL) || watch->sources_full);
    PQclear(counted);
}

/* --- pauses ------------------------------------------------------------------------------------------------------ */

static void look(struct pause_watch *watch)
{
    PGresult *rows = watch->ask(watch->owner, look_sql, 0, NULL);
    bool over = false;

    if (rows == NULL || PQntuples(rows) == 0)
    {
        PQclear(rows);
        return;
    }
    int64_t epoch = strtoll(PQgetvalue(rows, 0, COLUMN_EPOCH), NULL, 10);
    for (int row = 0; row < PQntuples(rows); row++)
        over = over || *PQgetvalue(rows, row, COLUMN_OVER) == 't';
    /* One that is over stays on the board until it is marked as ended, which raises the epoch. */
    pause_board_set(watch->board, epoch, rows, COLUMN_SCOPE, COLUMN_TARGET);
    PQclear(rows);
    if (over)
    {
        PQclear(watch->ask(watch->owner, end_sql, 0, NULL));
        watch->next_us = 0;
    }
    if (epoch > 0)
        PQclear(watch->ask(watch->owner, resume_sql, 0, NULL));
}

static void add_element(struct buffer *list, const char *text)
{
    buffer_add_byte(list, list->size == 0 ? '{' : ',');
    buffer_add_text(list, text);
}

static void add_number(struct buffer *list, int64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%lld", (long long)number);
    add_element(list, text);
}

static void add_token(struct buffer *list, const uint8_t token[16])
{
    char text[HEX_TOKEN + 1];

    for (int i = 0; i < 16; i++)
        snprintf(text + 2 * i, 3, "%02x", token[i]);
    add_element(list, text);
}

/* A partition that obeys is written again until PostgreSQL has it; an owner that is not one any more matches no row. */
static void write_obeyed(struct pause_watch *watch)
{
    struct buffer lists[OBEYED_COLUMNS] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    const char *values[OBEYED_COLUMNS];
    bool failed = false;

    if (watch->obeyed == NULL)
        watch->obeyed = pause_board_take_obeyed(watch->board, &watch->obeyed_count);
    if (watch->obeyed == NULL)
        return;
    for (int i = 0; i < watch->obeyed_count; i++)
    {
        add_number(&lists[0], watch->obeyed[i].partition_id);
        add_number(&lists[1], watch->obeyed[i].fence);
        add_token(&lists[2], watch->obeyed[i].token);
        add_number(&lists[3], watch->obeyed[i].epoch);
    }
    for (int i = 0; i < OBEYED_COLUMNS; i++)
    {
        buffer_add(&lists[i], "}", 2);
        values[i] = lists[i].at;
        failed = failed || buffer_failed(&lists[i]);
    }
    PGresult *written = failed ? NULL : watch->ask(watch->owner, obeyed_sql, OBEYED_COLUMNS, values);
    if (written)
    {
        free(watch->obeyed);
        watch->obeyed = NULL;
        watch->obeyed_count = 0;
    }
    PQclear(written);
    for (int i = 0; i < OBEYED_COLUMNS; i++)
        buffer_done(&lists[i]);
}

void pause_watch_step(struct pause_watch *watch, int64_t now_us)
{
    if (now_us >= watch->next_us)
    {
        watch->next_us = now_us + LOOK_EVERY_US;
        look(watch);
    }
    write_obeyed(watch);
    if (now_us >= watch->next_count_us)
        count_room(watch);
}

void pause_watch_done(struct pause_watch *watch)
{
    free(watch->obeyed);
    watch->obeyed = NULL;
}
