#include "worker/admin/due.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char due_source[] = "/interlock/sweep";

#define TIME_TEXT(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* The page is cut from the index alone, whatever of it is due, so that a statement's work has a bound. $1, $2: the key
 * of the last row looked at; $3: rows of a page; $4: the source of our commands. */
#define PAGE_BEGIN "WITH page AS MATERIALIZED ("
#define PAGE_END(key) " ORDER BY " key ", id LIMIT $3::bigint), due AS ("

/* The inbox's key of the command that the row would become: the first 128 bits of sha256(source, NUL, id). */
#define UNANSWERED(id) \
    " AND NOT EXISTS (SELECT 1 FROM interlock.inbox i WHERE i.identity = encode(substr(sha256(convert_to($4::text," \
    " 'UTF8') || '\\x00'::bytea || convert_to(" id ", 'UTF8')), 1, 16), 'hex')::uuid)"

/* One row at least, so that a page without anything due still says where it ended. */
#define ANSWER(key) \
    ") SELECT seen.rows, " TIME_TEXT("seen." key) ", seen.id, due.id, due.version, " TIME_TEXT( \
        "due.due_at") " FROM (SELECT count(*) OVER () AS rows, " key ", id FROM page ORDER BY " key \
                      " DESC, id DESC LIMIT 1) seen LEFT JOIN due ON true ORDER BY due." key ", due.id"

enum answer_column
{
    ANSWER_ROWS,
    ANSWER_KEY_AT,
    ANSWER_KEY_ID,
    ANSWER_ID,
    ANSWER_VERSION,
    ANSWER_DUE_AT,
};

static const char jobs_sql[] = PAGE_BEGIN
    "SELECT id, version, expires_at, status, other_info FROM interlock.jobneed"
    " WHERE parent_id IS NULL AND NOT dynamic"
    " AND identifier IN ('TASK', 'INTERNALTOUR', 'EXTERNALTOUR', 'PPM', 'SITEREPORT')"
    " AND expires_at <= now() AND expires_at > now() - interval '1 day'"
    " AND (expires_at, id) > ($1::timestamptz, $2::bigint)" PAGE_END(
        "expires_at") "SELECT id, version, expires_at, expires_at AS due_at FROM page"
                      " WHERE status NOT IN ('COMPLETED', 'AUTOCLOSED') AND NOT other_info @> "
                      "'{\"autoclosed_by_server\": true}'" UNANSWERED(
                          "'sweep:job.autoclose:jobneed/' || page.id || ':v' || page.version") ANSWER("expires_at");

static const char tickets_sql[] = PAGE_BEGIN
    "SELECT id, version, created_at, level, site_id, category, client_id FROM interlock.ticket"
    " WHERE NOT final AND created_at <= now() AND (created_at, id) > ($1::timestamptz, $2::bigint)" PAGE_END(
        "created_at") "SELECT page.id, version, created_at, created_at + interval_minutes * interval '1 minute' AS "
                      "due_at FROM page"
                      " JOIN interlock.escalation_matrix m ON m.site_id = page.site_id AND m.category = page.category"
                      " AND m.client_id = page.client_id AND m.level = page.level + 1"
                      " WHERE created_at + interval_minutes * interval '1 minute' <= now()" UNANSWERED(
                          "'sweep:ticket.escalate:ticket/' || page.id || ':v' || page.version") ANSWER("created_at");

const struct due_rule due_rules[] = {
    { "jobs", "job.autoclose", "jobneed_id", "expired", AGGREGATE_JOBNEED, true, jobs_sql },
    { "tickets", "ticket.escalate", "ticket_id", "due", AGGREGATE_TICKET, false, tickets_sql },
    { .name = NULL },
};

const struct due_rule *due_find(const char *name)
{
    for (const struct due_rule *due_rule = due_rules; due_rule->name; due_rule++)
        if (strcmp(due_rule->name, name) == 0)
            return due_rule;
    return NULL;
}

struct due_cursor sweep_begin(void)
{
    return (struct due_cursor){ .at = "-infinity", .id = "0" };
}

static PGresult *ask(struct session *session, const struct due_rule *due_rule, const struct due_cursor *cursor,
                     bool plan, int64_t wait_us, const struct session_stop *stop)
{
    char rows[16];
    struct buffer sql = BUFFER_EMPTY;
    snprintf(rows, sizeof(rows), "%d", SWEEP_PAGE_ROWS);
    const char *const values[] = { cursor->at, cursor->id, rows, due_source };
    buffer_add_text(&sql, plan ? "EXPLAIN (ANALYZE, BUFFERS) " : "");
    buffer_add_text(&sql, due_rule->sql);
    buffer_add_byte(&sql, '\0');
    PGresult *result = buffer_failed(&sql) ? NULL : session_run(session, sql.at, 4, values, wait_us, stop);
    buffer_done(&sql);
    if (result && session_is_refused(session, result, NULL))
    {
        PQclear(result);
        return NULL;
    }
    return result;
}

PGresult *due_read(struct session *session, const struct due_rule *due_rule, struct due_cursor *cursor, bool plan,
                   int64_t wait_us, const struct session_stop *stop)
{
    PGresult *result = ask(session, due_rule, cursor, plan, wait_us, stop);
    if (!result || plan)
        return result;
    if (PQntuples(result) == 0 || atoi(PQgetvalue(result, 0, ANSWER_ROWS)) < SWEEP_PAGE_ROWS)
        cursor->ended = true;
    if (PQntuples(result) > 0)
    {
        snprintf(cursor->at, sizeof(cursor->at), "%s", PQgetvalue(result, 0, ANSWER_KEY_AT));
        snprintf(cursor->id, sizeof(cursor->id), "%s", PQgetvalue(result, 0, ANSWER_KEY_ID));
    }
    return result;
}

bool due_command_at(const struct due_rule *due_rule, const PGresult *page, int index, struct due_command *ret)
{
    if (index >= PQntuples(page) || PQgetisnull(page, index, ANSWER_ID))
        return false;
    *ret = (struct due_command){
        .due_rule = due_rule,
        .aggregate = { due_rule->kind, id_of(strtoll(PQgetvalue(page, index, ANSWER_ID), NULL, 10)) },
        .version = strtoll(PQgetvalue(page, index, ANSWER_VERSION), NULL, 10),
        .due_at = PQgetvalue(page, index, ANSWER_DUE_AT),
    };
    return true;
}

static void add_key(const struct due_command *command, struct buffer *into)
{
    char key[AGGREGATE_KEY_MAX];
    buffer_add(into, key, aggregate_print(command->aggregate, key));
}

/* The statements above build the same text; a test compares the two. */
void due_add_id(const struct due_command *command, struct buffer *into)
{
    buffer_add_text(into, "sweep:");
    buffer_add_text(into, command->due_rule->type);
    buffer_add_byte(into, ':');
    add_key(command, into);
    buffer_add_text(into, ":v");
    buffer_add_int64(into, command->version);
}

void due_add_event(const struct due_command *command, const char *notify, int64_t now_us, struct buffer *into)
{
    /* Nothing here needs escaping: types and members are ours, the rest are numbers. */
    buffer_add_text(into, "{\"specversion\":\"1.0\",\"id\":\"");
    due_add_id(command, into);
    buffer_add_text(into, "\",\"source\":\"");
    buffer_add_text(into, due_source);
    buffer_add_text(into, "\",\"type\":\"");
    buffer_add_text(into, command->due_rule->type);
    buffer_add_text(into, "\",\"subject\":\"");
    add_key(command, into);
    buffer_add_text(into, "\",\"time\":\"");
    buffer_add_time(into, now_us);
    buffer_add_text(into, "\",\"datacontenttype\":\"application/json\",\"partitionkey\":\"");
    add_key(command, into);
    buffer_add_text(into, "\",\"actor\":\"sweep\",\"expectedversion\":");
    buffer_add_int64(into, command->version);
    buffer_add_text(into, ",\"data\":{\"");
    buffer_add_text(into, command->due_rule->member);
    buffer_add_text(into, "\":");
    buffer_add_int64(into, (int64_t)command->aggregate.id.low);
    if (command->due_rule->has_notify)
    {
        buffer_add_text(into, ",\"notify\":");
        buffer_add_json_string(into, notify ? span_of(notify) : SPAN_NULL);
    }
    buffer_add_text(into, "}}");
}
