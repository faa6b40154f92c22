#include "consumers/parking/claims.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/postgres/advisory_locks.h"
#include "workflows/base/buffer.h"

/* One returner of the group works at a time.
 *
 * `looked` is what has its turn, up to the limit and before anything is joined. `judged` says of each why it may not go
 * yet, and when to look again:
 *   - nobody owns its partition, and the topic still has it;
 *   - it is paused, or nothing of its partition is read (PROTOCOL L5);
 *   - its last copy is on the topic, unread: `published` has not passed it, and no rewind has made that meaningless;
 *   - something before it in its aggregate comes later, unless it was cancelled: then it waits for nothing. One that was
 *     held goes alone: it is a probe, and those after it could not be applied either. Of a long queue the first five are
 *     looked at: one that is sent too early changes nothing. */
#define EARLIER "FROM interlock.parked_command p WHERE p.aggregate = l.aggregate AND p.place < l.place "
#define LATER_OF \
    "SELECT max(CASE WHEN e.reason = 'held' AND (e.returned_at IS NOT NULL OR e.turn_at <= now()) " \
    "THEN now() + interval '0.5 s' WHEN e.returned_at IS NULL AND e.turn_at > l.turn_at THEN e.turn_at END) " \
    "FROM (SELECT p.turn_at, p.returned_at, p.reason "

static const char take_sql[] = "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(" SQL_NUMBER(
    RETURNER_LOCK_CLASS) ", 'interlock'::regnamespace::oid::int) AS "
                         "ours), "
                         "looked AS MATERIALIZED (SELECT c.identity, c.place, c.turn_at, c.aggregate, c.partition_id, "
                         "c.waits, c.returns, c.cancelled_by, c.released_by, c.command_type, c.tenant, "
                         "c.returned_at, c.returned_offset, c.returned_fence, coalesce(c.returned_partition_id, "
                         "c.partition_id) AS copy_in, "
                         "octet_length(c.value) + coalesce(octet_length(c.headers), 0) + "
                         "coalesce(octet_length(c.kafka_key), 0) AS size "
                         "FROM interlock.parked_command c WHERE (SELECT ours FROM turn) AND c.turn_at <= now() "
                         "AND (c.turn_at, c.place) > ($1::timestamptz, $2::bigint) ORDER BY c.turn_at, c.place "
                         "LIMIT $4::int FOR UPDATE OF c SKIP LOCKED), "
                         "judged AS MATERIALIZED (SELECT l.*, o.topic, o.partition, o.fence, "
                         "l.returned_at < now() - interval '35 s' AND l.returned_offset IS NULL AS unknown, CASE "
                         "WHEN o.owner_token IS NULL AND o.id <> ALL ($3::int[]) THEN now() + interval '5 s' "
                         "WHEN EXISTS (SELECT FROM interlock.pause z WHERE z.resumed_at IS NULL AND (z.ends_at IS NULL "
                         "OR z.ends_at > "
                         "now()) AND CASE z.scope WHEN 'all' THEN true WHEN 'topic' THEN z.target = o.topic "
                         "WHEN 'partition' THEN z.target = o.topic || '/' || o.partition "
                         "ELSE l.released_by IS NULL AND l.cancelled_by IS NULL AND CASE z.scope "
                         "WHEN 'type' THEN z.target = l.command_type WHEN 'tenant' THEN z.target = l.tenant "
                         "ELSE z.target = l.aggregate END END) THEN now() + interval '1 s' "
                         "WHEN l.returned_at IS NOT NULL AND NOT coalesce(l.returned_offset < i.published OR EXISTS ("
                         "SELECT FROM interlock.partition_rewind r WHERE r.partition_id = l.copy_in AND r.fence > "
                         "l.returned_fence), false) "
                         "THEN now() + interval '5 s' "
                         "WHEN l.cancelled_by IS NOT NULL THEN NULL "
                         "WHEN l.waits THEN (" LATER_OF EARLIER "ORDER BY p.place LIMIT 5) e) "
                         "ELSE (" LATER_OF EARLIER
                         "AND p.blocks AND p.partition_id = l.partition_id ORDER BY p.place LIMIT 5) e) "
                         "END AS later "
                         "FROM looked l JOIN interlock.partition_owner o ON o.id = l.partition_id "
                         "LEFT JOIN interlock.partition_published i ON i.partition_id = l.copy_in), "
                         "sized AS (SELECT identity, topic, partition, fence, sum(size) OVER (ORDER BY turn_at, place) "
                         "- size AS before "
                         "FROM judged WHERE later IS NULL), "
                         "claimed AS (UPDATE interlock.parked_command p SET returned_at = clock_timestamp(), returns = "
                         "p.returns + 1, "
                         "returned_offset = NULL, returned_partition_id = NULL, returned_fence = s.fence, "
                         "next_at = clock_timestamp() + interval '5 s' FROM sized s WHERE p.identity = s.identity AND "
                         "s.before < $5::int "
                         "RETURNING p.identity, p.returns, s.topic, s.partition, p.token, p.kafka_key, p.headers, "
                         "p.value, p.place), "
                         "pushed AS (UPDATE interlock.parked_command p SET next_at = least(j.later, now() + interval "
                         "'60 s') "
                         "FROM judged j WHERE p.identity = j.identity AND j.later IS NOT NULL) "
                         "SELECT '" CLAIM_COPY
                         "', identity, returns, topic, partition, token, kafka_key, headers, value, place, "
                         "NULL::timestamptz FROM claimed "
                         "UNION ALL SELECT '" CLAIM_UNKNOWN
                         "', identity, returns, topic, partition, NULL, NULL, NULL, NULL, place, NULL "
                         "FROM judged WHERE unknown AND later IS NOT NULL "
                         "UNION ALL (SELECT 'last', NULL, (SELECT count(*)::int FROM looked), NULL, (SELECT "
                         "count(*)::int FROM sized), "
                         "NULL, NULL, NULL, NULL, place, turn_at FROM judged ORDER BY turn_at DESC, place DESC LIMIT "
                         "1) "
                         "ORDER BY 10";

/* A row that a batch decides at this moment is skipped. */
static const char report_sql[] =
    "WITH free AS MATERIALIZED (SELECT identity FROM interlock.parked_command WHERE identity = ANY ($1::uuid[]) "
    "FOR UPDATE SKIP LOCKED) "
    "UPDATE interlock.parked_command p SET returned_offset = k.at, "
    "returned_partition_id = (SELECT b.id FROM interlock.partition_owner a JOIN interlock.partition_owner b "
    "ON b.topic = a.topic AND b.partition = k.partition WHERE a.id = p.partition_id), "
    "returned_at = CASE WHEN k.at IS NULL THEN NULL ELSE p.returned_at END, next_at = CASE WHEN k.at IS NULL "
    "THEN clock_timestamp() + least(2 ^ least(p.returns, 6), 60) * interval '1 second' ELSE p.next_at END "
    "FROM (SELECT unnest($1::uuid[]) AS identity, unnest($2::int[]) AS returns, unnest($3::bigint[]) AS at, "
    "unnest($4::int[]) AS partition) k JOIN free USING (identity) "
    "WHERE p.identity = k.identity AND p.returns = k.returns AND p.returned_at IS NOT NULL";

static const char unowned_sql[] =
    "SELECT id, topic, partition FROM interlock.partition_owner WHERE owner_token IS NULL ORDER BY topic";

enum
{
    COLUMN_PLACE = CLAIM_VALUE + 1,
    COLUMN_TURN,
    REPORT_COLUMNS = 4,
};

struct claims
{
    claims_ask_fn *ask;
    void *owner;
    char turn[64], place[24];             /* the next look begins after them */
    struct buffer gone;                   /* an array of PostgreSQL; empty: none */
    struct buffer report[REPORT_COLUMNS]; /* the same, without its end */
};

static void begin_again(struct claims *claims)
{
    snprintf(claims->turn, sizeof(claims->turn), "-infinity");
    snprintf(claims->place, sizeof(claims->place), "0");
}

struct claims *claims_new(claims_ask_fn *ask, void *owner)
{
    struct claims *claims = calloc(1, sizeof(*claims));

    if (claims == NULL)
        return NULL;
    claims->ask = ask;
    claims->owner = owner;
    begin_again(claims);
    return claims;
}

void claims_free(struct claims *claims)
{
    if (claims == NULL)
        return;
    buffer_done(&claims->gone);
    for (int i = 0; i < REPORT_COLUMNS; i++)
        buffer_done(&claims->report[i]);
    free(claims);
}

/* Rows that a look has left alone lie before the position, so a look never walks over rows that earlier ones have
 * moved. A look that found fewer rows than it may has seen the end. Rows that did not fit in the bytes of a round are
 * looked at again. */
static void remember(struct claims *claims, const PGresult *rows, int last, int copies)
{
    bool all = copies == atoi(PQgetvalue(rows, last, CLAIM_PARTITION));

    if (atoi(PQgetvalue(rows, last, CLAIM_RETURNS)) < CLAIMS_MAX && all)
        begin_again(claims);
    else if (all)
    {
        snprintf(claims->turn, sizeof(claims->turn), "%s", PQgetvalue(rows, last, COLUMN_TURN));
        snprintf(claims->place, sizeof(claims->place), "%s", PQgetvalue(rows, last, COLUMN_PLACE));
    }
}

PGresult *claims_take(struct claims *claims)
{
    char limit[16], bytes[16];
    const char *values[5] = { claims->turn, claims->place, claims->gone.size > 0 ? claims->gone.at : "{}", limit,
                              bytes };

    snprintf(limit, sizeof(limit), "%d", CLAIMS_MAX);
    snprintf(bytes, sizeof(bytes), "%d", CLAIMS_BYTES);
    PGresult *rows = claims->ask(claims->owner, take_sql, 5, values);
    int copies = 0, last = -1;

    for (int r = 0; r < PQntuples(rows); r++)
    {
        copies += strcmp(PQgetvalue(rows, r, CLAIM_KIND), CLAIM_COPY) == 0;
        if (strcmp(PQgetvalue(rows, r, CLAIM_KIND), "last") == 0)
            last = r;
    }
    if (last >= 0)
        remember(claims, rows, last, copies);
    else if (rows)
        begin_again(claims);
    return rows;
}

void claims_add(struct claims *claims, const char *identity, const char *returns, int64_t offset, int32_t partition)
{
    char numbers[2][24] = { "NULL", "NULL" };

    if (offset != CLAIM_NOT_SENT)
        snprintf(numbers[0], sizeof(numbers[0]), "%lld", (long long)offset);
    if (partition >= 0)
        snprintf(numbers[1], sizeof(numbers[1]), "%d", partition);
    const char *texts[REPORT_COLUMNS] = { identity, returns, numbers[0], numbers[1] };
    for (int i = 0; i < REPORT_COLUMNS; i++)
    {
        buffer_add_byte(&claims->report[i], claims->report[i].size == 0 ? '{' : ',');
        buffer_add_text(&claims->report[i], texts[i]);
    }
}

void claims_report(struct claims *claims)
{
    const char *values[REPORT_COLUMNS];
    bool failed = false;

    if (claims->report[0].size == 0)
        return;
    for (int i = 0; i < REPORT_COLUMNS; i++)
    {
        buffer_add(&claims->report[i], "}", 2);
        values[i] = claims->report[i].at;
        failed = failed || buffer_failed(&claims->report[i]);
    }
    if (!failed)
        PQclear(claims->ask(claims->owner, report_sql, REPORT_COLUMNS, values));
    for (int i = 0; i < REPORT_COLUMNS; i++)
        buffer_clear(&claims->report[i]);
}

void claims_find_gone(struct claims *claims, int (*count_of)(void *owner, const char *topic))
{
    PGresult *rows = claims->ask(claims->owner, unowned_sql, 0, NULL);
    const char *topic = "";
    int count = -1;

    buffer_clear(&claims->gone);
    for (int r = 0; r < PQntuples(rows); r++)
    {
        if (strcmp(topic, PQgetvalue(rows, r, 1)) != 0)
        {
            topic = PQgetvalue(rows, r, 1);
            count = count_of(claims->owner, topic);
        }
        if (count < 0 || atoi(PQgetvalue(rows, r, 2)) < count)
            continue;
        buffer_add_byte(&claims->gone, claims->gone.size == 0 ? '{' : ',');
        buffer_add_text(&claims->gone, PQgetvalue(rows, r, 0));
    }
    if (claims->gone.size > 0)
        buffer_add(&claims->gone, "}", 2);
    if (buffer_failed(&claims->gone))
        buffer_clear(&claims->gone);
    PQclear(rows);
}
