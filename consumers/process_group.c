#include "consumers/process_group.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consumers/poll/partition_report.h"
#include "worker/base/metrics.h"
#include "worker/lane/held_keys.h"
#include "worker/postgres/advisory_locks.h"
#include "worker/postgres/row_holders.h"

static const int64_t SEEN_EVERY_US = 5000000;
static const int64_t NUMBERS_EVERY_US = 2000000;
static const int64_t HOLDERS_EVERY_US = 2000000;
static const int64_t LOCK_EVERY_US = 1000000;
static const int64_t ALONE_US = 5000000; /* without news the lock may be somebody else's by now */
static const int64_t OLD_US = 60000000;  /* numbers that are older are not shown to people */

enum
{
    NUMBERS_REST = 50, /* times as long as the numbers took to count */
    HOLDERS_OF = 5,    /* keys, those that are held for longest */
};

/* --- what this process tells ------------------------------------------------------------------------------------- */

static const char seen_sql[] =
    "INSERT INTO interlock.worker_seen (slot, pid, started_at, ready, host, version, http, waits_for) "
    "VALUES ($1::int, $2::int, to_timestamp($3::float8), $4::bool, $5, '" INTERLOCK_VERSION "', $6, $7) "
    "ON CONFLICT (slot) DO UPDATE SET pid = excluded.pid, started_at = excluded.started_at, ready = excluded.ready, "
    "host = excluded.host, version = excluded.version, http = excluded.http, waits_for = excluded.waits_for, "
    "seen_at = clock_timestamp()";

static const char left_sql[] = "DELETE FROM interlock.worker_seen WHERE slot = $1::int AND pid = $2::int AND host = $3";

/* The publisher writes other columns of these rows: it is not waited for, so neither waits for the other. */
static const char positions_sql[] =
    "WITH told AS (SELECT unnest($1::int[]) AS id, unnest($2::bigint[]) AS fence, unnest($3::bigint[]) AS committed, "
    "unnest($4::bigint[]) AS end_offset), "
    "free AS MATERIALIZED (SELECT p.partition_id FROM interlock.partition_published p JOIN told t "
    "ON t.id = p.partition_id AND t.fence = p.fence WHERE (p.committed, p.end_offset) IS DISTINCT FROM "
    "(t.committed, t.end_offset) FOR NO KEY UPDATE OF p SKIP LOCKED) "
    "UPDATE interlock.partition_published p SET committed = t.committed, end_offset = t.end_offset "
    "FROM told t JOIN free f ON f.partition_id = t.id WHERE p.partition_id = t.id";

/* Once after each takeover: then there is nothing to change. */
static const char owner_sql[] =
    "WITH told AS (SELECT unnest($1::int[]) AS id, unnest($2::bigint[]) AS fence), "
    "free AS MATERIALIZED (SELECT o.id FROM interlock.partition_owner o JOIN told t ON t.id = o.id "
    "AND t.fence = o.fence WHERE o.owner_slot IS DISTINCT FROM $3::int FOR NO KEY UPDATE OF o SKIP LOCKED) "
    "UPDATE interlock.partition_owner o SET owner_slot = $3::int FROM free f WHERE o.id = f.id";

static void tell_seen(const struct group_sources *sources, returner_ask_fn *ask, void *asker)
{
    char slot[16], pid[16], began[32], host[256] = "";
    struct buffer why = BUFFER_EMPTY;
    bool ready = sources->ready(sources->owner, &why);
    const char *values[7] = { slot, pid, began, ready ? "t" : "f", host, sources->http(sources->owner), NULL };

    snprintf(slot, sizeof(slot), "%d", sources->slot(sources->owner));
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    snprintf(began, sizeof(began), "%lld.%06lld", (long long)(sources->begun_us / 1000000),
             (long long)(sources->begun_us % 1000000));
    gethostname(host, sizeof(host) - 1);
    buffer_add_byte(&why, '\0');
    if (!ready)
        values[6] = why.at;
    PQclear(ask(asker, seen_sql, 7, values));
    buffer_done(&why);
}

static void add_element(struct buffer *array, int64_t value)
{
    buffer_add_byte(array, array->size == 0 ? '{' : ',');
    buffer_add_int64(array, value);
}

/* Ids, fences, committed offsets, ends. */
static void tell_arrays(const char *const arrays[4], int slot, returner_ask_fn *ask, void *asker)
{
    char number[16];
    const char *owners[3] = { arrays[0], arrays[1], number };

    snprintf(number, sizeof(number), "%d", slot);
    PQclear(ask(asker, positions_sql, 4, arrays));
    PQclear(ask(asker, owner_sql, 3, owners));
}

static void tell_positions(const struct group_sources *sources, returner_ask_fn *ask, void *asker)
{
    struct partition_reports reports = PARTITION_REPORTS_EMPTY;
    struct buffer arrays[4] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    const char *values[4];
    bool failed = false;

    sources->partitions(sources->owner, &reports);
    for (int i = 0; i < reports.count; i++)
    {
        const struct partition_report *report = &reports.at[i];
        if (!report->taken || report->watermark < 0 || report->end < 0)
            continue;
        const int64_t numbers[4] = { report->id, report->fence, report->watermark,
                                     report->watermark + report->backlog };
        for (int column = 0; column < 4; column++)
            add_element(&arrays[column], numbers[column]);
    }
    bool some = arrays[0].size > 0;
    for (int column = 0; column < 4; column++)
    {
        buffer_add(&arrays[column], "}", 2);
        values[column] = arrays[column].at;
        failed = failed || buffer_failed(&arrays[column]);
    }
    if (some && !failed)
        tell_arrays(values, sources->slot(sources->owner), ask, asker);
    for (int column = 0; column < 4; column++)
        buffer_done(&arrays[column]);
    partition_reports_done(&reports);
}

/* --- what the group's numbers are -------------------------------------------------------------------------------- */

#define IN_FORCE "FROM interlock.pause u WHERE u.resumed_at IS NULL AND (u.ends_at IS NULL OR u.ends_at > now())"

/* kind, two labels, a value, and for people: two texts more. At most 100 pauses are listed. */
static const char numbers_sql[] =
    "SELECT 'parked', reason, NULL, count(*)::text, NULL, NULL FROM interlock.parked_command GROUP BY reason "
    "UNION ALL SELECT 'letters', state, reason, count(*)::text, NULL, NULL FROM interlock.dead_letter "
    "GROUP BY state, reason "
    "UNION ALL SELECT 'backlog', CASE WHEN EXISTS (SELECT " IN_FORCE " AND (u.scope = 'all' OR (u.scope = 'topic' AND "
    "u.target = o.topic) OR (u.scope = 'partition' AND u.target = o.topic || '/' || o.partition))) THEN 'paused' "
    "ELSE 'waiting' END, NULL, coalesce(sum(greatest(p.end_offset - p.committed, 0)), 0)::text, NULL, NULL "
    "FROM interlock.partition_published p JOIN interlock.partition_owner o ON o.id = p.partition_id "
    "WHERE o.owner_token IS NOT NULL GROUP BY 2 "
    "UNION ALL SELECT 'workers', 'seen', NULL, count(*)::text, NULL, NULL FROM interlock.worker_seen "
    "WHERE seen_at > now() - interval '20 s' "
    "UNION ALL SELECT 'workers', 'ready', NULL, count(*)::text, NULL, NULL FROM interlock.worker_seen "
    "WHERE seen_at > now() - interval '20 s' AND ready "
    "UNION ALL SELECT 'pauses', NULL, NULL, (SELECT count(*)::text " IN_FORCE "), NULL, NULL "
    "UNION ALL (SELECT 'pause', u.id::text, u.scope, coalesce(extract(epoch FROM u.ends_at)::text, '+Inf'), u.target, "
    "(SELECT a.actor || ': ' || a.reason FROM interlock.operator_action a WHERE a.id = u.action_id) " IN_FORCE
    " ORDER BY u.id LIMIT 100)";

enum field
{
    KIND,
    LABEL,
    SECOND_LABEL,
    VALUE,
    TARGET,
    SAYS,
};

static const char *const parked_reasons[] = { "notbefore", "held", "behind", "paused", "redriven", "replayed" };

static bool is_kind(const PGresult *rows, int row, const char *kind)
{
    return strcmp(PQgetvalue(rows, row, KIND), kind) == 0;
}

/* The value of a row; NULL: there is no such row. `second` NULL: it has no second label. */
static const char *find(const PGresult *rows, const char *kind, const char *label, const char *second)
{
    for (int row = 0; row < PQntuples(rows); row++)
        if (is_kind(rows, row, kind) && strcmp(PQgetvalue(rows, row, LABEL), label) == 0 &&
            (second == NULL || strcmp(PQgetvalue(rows, row, SECOND_LABEL), second) == 0))
            return PQgetvalue(rows, row, VALUE);
    return NULL;
}

static int64_t count_of(const char *text)
{
    return text ? strtoll(text, NULL, 10) : 0;
}

static void add_label(struct buffer *into, const char *name, const char *value)
{
    buffer_add_byte(into, ',');
    buffer_add_text(into, name);
    buffer_add_text(into, "=\"");
    for (; *value; value++)
        if (*value == '\n')
            buffer_add_text(into, "\\n");
        else
        {
            if (*value == '"' || *value == '\\')
                buffer_add_byte(into, '\\');
            buffer_add_byte(into, *value);
        }
    buffer_add_byte(into, '"');
}

/* Label values NULL: without this label. */
static void add_series(struct buffer *into, const char *name, const char *const labels[4], const char *value)
{
    buffer_add_text(into, name);
    buffer_add_text(into, "{scope=\"group\"");
    for (int i = 0; i < 4; i += 2)
        if (labels[i])
            add_label(into, labels[i], labels[i + 1]);
    buffer_add_text(into, "} ");
    buffer_add_text(into, value);
    buffer_add_byte(into, '\n');
}

#define SERIES(into, name, value, ...) add_series(into, name, (const char *const[4]){ __VA_ARGS__ }, value)

static void print_parked(const PGresult *rows, struct buffer *into)
{
    static const char name[] = "interlock_parked_commands";

    metrics_print_head(into, name, "gauge", "Parked commands of the group, by reason.");
    for (size_t i = 0; i < sizeof(parked_reasons) / sizeof(*parked_reasons); i++)
    {
        const char *count = find(rows, "parked", parked_reasons[i], NULL);
        SERIES(into, name, count ? count : "0", "reason", parked_reasons[i]);
    }
}

/* A series of each cause that is open is shown from the start, at zero. */
static void print_letters(const PGresult *rows, struct buffer *into)
{
    static const char name[] = "interlock_dead_letters";
    const char *cause;

    metrics_print_head(into, name, "gauge", "Dead letters that PostgreSQL keeps of the group, by state and cause.");
    for (int i = 0; (cause = metrics_dead_letter_cause(i)); i++)
        if (find(rows, "letters", "open", cause) == NULL)
            SERIES(into, name, "0", "state", "open", "cause", cause);
    for (int row = 0; row < PQntuples(rows); row++)
        if (is_kind(rows, row, "letters"))
            SERIES(into, name, PQgetvalue(rows, row, VALUE), "state", PQgetvalue(rows, row, LABEL), "cause",
                   PQgetvalue(rows, row, SECOND_LABEL));
}

static void print_pauses(const PGresult *rows, struct buffer *into)
{
    const char *count = find(rows, "pauses", "", NULL);

    metrics_print_head(into, "interlock_pauses", "gauge", "Pauses in force.");
    SERIES(into, "interlock_pauses", count ? count : "0", NULL);
    metrics_print_head(into, "interlock_pause_end_seconds", "gauge",
                       "When a pause ends by itself, since unix epoch in seconds; +Inf: it does not.");
    for (int row = 0; row < PQntuples(rows); row++)
        if (is_kind(rows, row, "pause"))
            SERIES(into, "interlock_pause_end_seconds", PQgetvalue(rows, row, VALUE), "id",
                   PQgetvalue(rows, row, LABEL), "of", PQgetvalue(rows, row, SECOND_LABEL));
}

static int64_t sum_of_parked(const PGresult *rows, bool paused)
{
    int64_t sum = 0;

    for (size_t i = 0; i < sizeof(parked_reasons) / sizeof(*parked_reasons); i++)
        if ((strcmp(parked_reasons[i], "paused") == 0) == paused)
            sum += count_of(find(rows, "parked", parked_reasons[i], NULL));
    return sum;
}

struct backlog_sums
{
    int64_t waiting, parked, paused;
};

static struct backlog_sums sum_backlog(const PGresult *rows)
{
    return (struct backlog_sums){ .waiting = count_of(find(rows, "backlog", "waiting", NULL)),
                                  .parked = sum_of_parked(rows, false),
                                  .paused =
                                      count_of(find(rows, "backlog", "paused", NULL)) + sum_of_parked(rows, true) };
}

static void print_backlog(const PGresult *rows, struct buffer *into)
{
    static const char name[] = "interlock_backlog_commands";
    struct backlog_sums sums = sum_backlog(rows);
    const struct
    {
        const char *state;
        int64_t value;
    } states[] = { { "waiting", sums.waiting }, { "parked", sums.parked }, { "paused", sums.paused } };

    metrics_print_head(into, name, "gauge",
                       "Undecided commands of the group: waiting for a worker, parked until later, or paused.");
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
    {
        char value[24];
        snprintf(value, sizeof(value), "%lld", (long long)states[i].value);
        SERIES(into, name, value, "state", states[i].state);
    }
}

static void add_member(struct buffer *json, const char *name, int64_t value)
{
    buffer_add_text(json, name);
    buffer_add_int64(json, value);
}

static void print_pause(const PGresult *rows, int row, struct buffer *json)
{
    const char *end = PQgetvalue(rows, row, VALUE);

    buffer_add_text(json, "{\"id\":");
    buffer_add_text(json, PQgetvalue(rows, row, LABEL));
    buffer_add_text(json, ",\"scope\":");
    buffer_add_json_string(json, span_of(PQgetvalue(rows, row, SECOND_LABEL)));
    buffer_add_text(json, ",\"target\":");
    buffer_add_json_string(json, span_of(PQgetvalue(rows, row, TARGET)));
    buffer_add_text(json, ",\"says\":");
    buffer_add_json_string(json, span_of(PQgetvalue(rows, row, SAYS)));
    buffer_add_text(json, ",\"ends_at\":");
    buffer_add_text(json, strcmp(end, "+Inf") == 0 ? "null}" : "");
    if (strcmp(end, "+Inf") == 0)
        return;
    buffer_add_byte(json, '"');
    buffer_add_time(json, (int64_t)(strtod(end, NULL) * 1e6));
    buffer_add_text(json, "\"}");
}

static void print_status(const PGresult *rows, struct buffer *json)
{
    static const char *const states[] = { "open", "redriving", "resolved", "replaced", "discarded" };
    struct backlog_sums sums = sum_backlog(rows);
    bool first = true;

    add_member(json, "{\"backlog\":{\"waiting\":", sums.waiting);
    add_member(json, ",\"parked\":", sums.parked);
    add_member(json, ",\"paused\":", sums.paused);
    buffer_add_text(json, "},\"dead_letters\":{");
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
    {
        int64_t count = 0;
        for (int row = 0; row < PQntuples(rows); row++)
            if (is_kind(rows, row, "letters") && strcmp(PQgetvalue(rows, row, LABEL), states[i]) == 0)
                count += count_of(PQgetvalue(rows, row, VALUE));
        buffer_add_text(json, i > 0 ? ",\"" : "\"");
        buffer_add_text(json, states[i]);
        add_member(json, "\":", count);
    }
    add_member(json, "},\"workers\":{\"seen\":", count_of(find(rows, "workers", "seen", NULL)));
    add_member(json, ",\"ready\":", count_of(find(rows, "workers", "ready", NULL)));
    buffer_add_text(json, "},\"pauses\":[");
    for (int row = 0; row < PQntuples(rows); row++)
        if (is_kind(rows, row, "pause"))
        {
            buffer_add_text(json, first ? "" : ",");
            print_pause(rows, row, json);
            first = false;
        }
    buffer_add_text(json, "]}");
}

static void replace(struct buffer *into, struct buffer *by)
{
    buffer_done(into);
    *into = *by;
}

/* Counting must stay a small part of the time, however much there is. */
static void read_numbers(struct process_group *group, returner_ask_fn *ask, void *asker)
{
    struct buffer metrics = BUFFER_EMPTY, status = BUFFER_EMPTY;
    int64_t begun_us = monotonic_us();
    PGresult *rows = ask(asker, numbers_sql, 0, NULL);
    int64_t ended_us = monotonic_us(), rest_us = NUMBERS_REST * (ended_us - begun_us);

    group->next_numbers_us = ended_us + (rest_us > NUMBERS_EVERY_US ? rest_us : NUMBERS_EVERY_US);
    if (rows == NULL)
        return;
    print_parked(rows, &metrics);
    print_letters(rows, &metrics);
    print_pauses(rows, &metrics);
    print_backlog(rows, &metrics);
    print_status(rows, &status);
    group->something_stuck = count_of(find(rows, "parked", "held", NULL)) > 0;
    PQclear(rows);
    mutex_lock(&group->mutex);
    replace(&group->metrics, &metrics);
    replace(&group->status, &status);
    group->told_us = ended_us;
    mutex_unlock(&group->mutex);
}

/* --- who holds rows ---------------------------------------------------------------------------------------------- */

static const char stuck_sql[] = "SELECT aggregate FROM interlock.parked_command WHERE reason = 'held' AND aggregate IS "
                                "NOT NULL ORDER BY place LIMIT 5";

static void add_text_member(struct buffer *json, const char *name, const char *text)
{
    buffer_add_text(json, name);
    buffer_add_json_string(json, text ? span_of(text) : SPAN_NULL);
}

static void add_holders(struct span key, struct buffer *json, returner_ask_fn *ask, void *asker)
{
    struct buffer sql = BUFFER_EMPTY;
    PGresult *rows = row_holders_write_sql(key, &sql) ? ask(asker, sql.at, 0, NULL) : NULL;

    for (int row = 0; row < PQntuples(rows); row++)
    {
        buffer_add_text(json, json->size > 1 ? ",{\"key\":" : "{\"key\":");
        buffer_add_json_string(json, key);
        buffer_add_text(json, ",\"pid\":");
        buffer_add_text(json, PQgetvalue(rows, row, ROW_HOLDER_PID));
        add_text_member(json, ",\"program\":", PQgetvalue(rows, row, ROW_HOLDER_PROGRAM));
        add_text_member(json, ",\"role\":", PQgetvalue(rows, row, ROW_HOLDER_ROLE));
        add_text_member(json, ",\"state\":", query_text(rows, row, ROW_HOLDER_STATE));
        add_text_member(json, ",\"since\":", query_text(rows, row, ROW_HOLDER_SINCE));
        buffer_add_byte(json, '}');
    }
    PQclear(rows);
    buffer_done(&sql);
}

/* Only while something is held. */
static void find_holders(struct process_group *group, returner_ask_fn *ask, void *asker)
{
    struct buffer json = BUFFER_EMPTY;
    struct held_keys held;
    PGresult *stuck = group->something_stuck ? ask(asker, stuck_sql, 0, NULL) : NULL;

    held_keys_clear(&held);
    if (metrics_get(METRIC_HELD_KEYS) > 0)
        group->sources.held(group->sources.owner, &held);
    buffer_add_byte(&json, '[');
    for (int i = 0; i < held.shown && i < HOLDERS_OF; i++)
        add_holders(span_of(held.longest[i].key), &json, ask, asker);
    for (int row = 0; row < PQntuples(stuck); row++)
        add_holders(span_of(PQgetvalue(stuck, row, 0)), &json, ask, asker);
    PQclear(stuck);
    buffer_add_byte(&json, ']');
    mutex_lock(&group->mutex);
    replace(&group->holders, &json);
    mutex_unlock(&group->mutex);
}

/* --- who shows them ---------------------------------------------------------------------------------------------- */

/* The lock is of the session: it is gone with it, and the next process has it a second later. */
static const char lock_sql[] =
    "SELECT pg_backend_pid(), CASE WHEN pg_backend_pid() = $1::int THEN true "
    "ELSE pg_try_advisory_lock(" SQL_NUMBER(GROUP_NUMBERS_LOCK_CLASS) ", 'interlock'::regnamespace::oid::int) END";

static void try_lock(struct process_group *group, returner_ask_fn *ask, void *asker)
{
    const char *values[1] = { group->backend };
    int64_t begun_us = monotonic_us();
    PGresult *rows = ask(asker, lock_sql, 1, values);
    bool alone = rows && PQgetvalue(rows, 0, 1)[0] == 't';

    group->next_lock_us = begun_us + LOCK_EVERY_US;
    snprintf(group->backend, sizeof(group->backend), "%s", alone ? PQgetvalue(rows, 0, 0) : "0");
    PQclear(rows);
    mutex_lock(&group->mutex);
    group->alone_us = alone ? begun_us : 0;
    mutex_unlock(&group->mutex);
}

static void sample_rates(struct process_group *group, int64_t now_us)
{
    struct buffer json = BUFFER_EMPTY, line = BUFFER_EMPTY;

    group->next_sample_us = now_us + SEEN_EVERY_US;
    process_rates_sample(&group->rates, now_us);
    process_rates_print(&group->rates, &json);
    process_rates_print_line(&group->rates, &line);
    mutex_lock(&group->mutex);
    replace(&group->minute, &json);
    replace(&group->minute_line, &line);
    mutex_unlock(&group->mutex);
}

/* --- rounds ------------------------------------------------------------------------------------------------------ */

void process_group_round(void *owner, returner_ask_fn *ask, void *asker)
{
    struct process_group *group = owner;
    int64_t now_us = monotonic_us();

    if (now_us >= group->next_seen_us)
    {
        group->next_seen_us = now_us + SEEN_EVERY_US;
        tell_seen(&group->sources, ask, asker);
        tell_positions(&group->sources, ask, asker);
    }
    if (now_us >= group->next_sample_us)
        sample_rates(group, now_us);
    if (now_us >= group->next_numbers_us)
        read_numbers(group, ask, asker);
    if (now_us >= group->next_holders_us)
    {
        group->next_holders_us = now_us + HOLDERS_EVERY_US;
        find_holders(group, ask, asker);
    }
    if (now_us >= group->next_lock_us)
        try_lock(group, ask, asker);
}

void process_group_leave(void *owner, returner_ask_fn *ask, void *asker)
{
    const struct process_group *group = owner;
    const struct group_sources *sources = &group->sources;
    char slot[16], pid[16], host[256] = "";
    const char *values[3] = { slot, pid, host };

    snprintf(slot, sizeof(slot), "%d", sources->slot(sources->owner));
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    gethostname(host, sizeof(host) - 1);
    PQclear(ask(asker, left_sql, 3, values));
}

/* --- for others -------------------------------------------------------------------------------------------------- */

void process_group_init(struct process_group *group, const struct group_sources *sources)
{
    group->sources = *sources;
    mutex_init(&group->mutex);
    snprintf(group->backend, sizeof(group->backend), "0");
}

void process_group_done(struct process_group *group)
{
    buffer_done(&group->metrics);
    buffer_done(&group->status);
    buffer_done(&group->holders);
    buffer_done(&group->minute);
    buffer_done(&group->minute_line);
}

void process_group_print_metrics(struct process_group *group, struct buffer *into)
{
    int64_t now_us = monotonic_us();

    mutex_lock(&group->mutex);
    if (group->alone_us > 0 && now_us - group->alone_us < ALONE_US && group->told_us > 0)
        buffer_add_span(into, buffer_span(&group->metrics));
    mutex_unlock(&group->mutex);
}

void process_group_print_rates(struct process_group *group, struct buffer *into)
{
    mutex_lock(&group->mutex);
    buffer_add_span(into, buffer_span(&group->minute_line));
    mutex_unlock(&group->mutex);
}

void process_group_print_status(struct process_group *group, struct buffer *json)
{
    int64_t now_us = monotonic_us();

    mutex_lock(&group->mutex);
    buffer_add_text(json, ",\"last_minute\":");
    buffer_add_span(json, group->minute.size > 0 ? buffer_span(&group->minute) : SPAN_LITERAL("null"));
    buffer_add_text(json, ",\"holders\":");
    buffer_add_span(json, group->holders.size > 0 ? buffer_span(&group->holders) : SPAN_LITERAL("[]"));
    buffer_add_text(json, ",\"of_group\":");
    if (group->told_us > 0 && now_us - group->told_us < OLD_US)
    {
        buffer_add_span(json, buffer_span(&group->status));
        buffer_add_text(json, ",\"of_group_age_s\":");
        buffer_add_int64(json, (now_us - group->told_us) / 1000000);
    }
    else
        buffer_add_text(json, "null,\"of_group_age_s\":null");
    mutex_unlock(&group->mutex);
}
