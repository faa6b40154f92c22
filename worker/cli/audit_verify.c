/* audit verify: PostgreSQL's audit rows against the audit topic as a read_committed reader sees it (PROTOCOL R7):
 * holes, doubles, mismatches, order. --repair publishes the missing events, with the same ids and bytes; it is a dry
 * run until --execute. */
#include <stdio.h>
#include <stdlib.h>

#include "consumers/admin/audit_repair.h"
#include "consumers/kafka/topics.h"
#include "consumers/takeover/topic_scan.h"
#include "worker/admin/audit_compare.h"
#include "worker/admin/prune.h"
#include "worker/base/progress.h"
#include "worker/cli/operator.h"
#include "worker/postgres/query.h"
#include "worker/postgres/statement_text.h"
#include "worker/postgres/statements.h"

enum
{
    PAGE_ROWS = 5000,
    AUDIT_OFFSET_COLUMN = 1, /* of entity_audit_event */
    TOLD_MAX = 20,           /* faults printed one by one; the rest is counted */
    PASS_EVENTS = 1000000,   /* at most some 130 MiB with as many aggregates */
    PASSES_MAX = 1024,
    EXIT_FOUND = 3, /* looked, and there is something */
};

static const char usage[] =
    "usage: interlock audit verify [--since T] [--passes N] [--repair [--execute --reason TEXT [--as NAME]]] [--output "
    "json]\n"
    "                              compares audit_event with the audit topic, and with the command topics' ends. Exit "
    "0:\n"
    "                              no difference; 3: there are differences; 1: the comparison failed. The role\n"
    "                              interlock_payload_reader may do this; --execute needs interlock_operator, too\n"
    "   --since T                  what was changed since then: 2026-11-24T09:00:00Z, or 24h for 24 hours ago\n"
    "   --passes N                 at least so many passes, each over a part of the aggregates, with less memory "
    "each.\n"
    "                              More than a million events are not compared in one, except by --execute\n";

struct verification
{
    struct invocation *invocation;
    PGconn *connection;
    struct audit_compare *compare;
    struct audit_repair *repair; /* NULL: nothing is published */
    struct buffer fault, event;
    struct arena arena;
    bool wants_repair, executes;
    const char *reason, *as;
    const char *since; /* NULL: from the beginning */
    int64_t since_us;
    int passes;                   /* at least */
    struct prune_log_starts ends; /* of the command topics: the offset after each one's last message */
    long told, repaired, impossible;
    int64_t events, rows; /* read so far */
    int64_t action;
};

static void tell(struct verification *verification, const char *what, struct id event_id, const char *where)
{
    char id[UUID_TEXT_SIZE];

    if (verification->invocation->json || verification->told++ >= TOLD_MAX)
        return;
    id_print_uuid(event_id, id);
    progress_hide();
    printf("%-10s event %.*s  %s\n", what, UUID_TEXT_SIZE, id, where);
}

/* Published since then, and changed before. */
static bool is_earlier(const struct verification *verification, const struct scanned_message *scanned)
{
    int64_t time_us;
    return verification->since && topic_scan_event_time(scanned, &time_us) && time_us < verification->since_us;
}

static bool see_event(void *owner, const struct scanned_message *scanned)
{
    struct verification *verification = owner;
    bool is_double;
    struct id id;
    char where[64];

    progress_count(++verification->events, 0);
    if (!topic_scan_event_id(scanned, &id))
        return true; /* somebody else's message: not ours to judge */
    if (!audit_compare_takes(verification->compare, scanned->key) || is_earlier(verification, scanned))
        return true;
    if (!audit_compare_event(verification->compare, id, scanned->value, scanned->partition, scanned->offset,
                             &is_double))
    {
        buffer_add_text(&verification->fault, "out of memory");
        return false;
    }
    if (is_double)
    {
        snprintf(where, sizeof(where), "partition %d offset %lld", scanned->partition, (long long)scanned->offset);
        tell(verification, "double", id, where);
    }
    return true;
}

/* --- rows -------------------------------------------------------------------------------------------------------- */

static bool repair_hole(struct verification *verification, const struct audit_record *record)
{
    char key[AGGREGATE_KEY_MAX + 64];

    verification->repaired++;
    if (verification->repair == NULL)
        return true;
    audit_print_key(record, key, sizeof(key));
    return audit_repair_publish(verification->repair, key, buffer_span(&verification->event), &verification->fault);
}

static bool judge_row(struct verification *verification, const struct audit_record *record, int64_t published)
{
    enum audit_fit fit;
    char where[64];

    progress_count(++verification->rows, 0);
    if (!audit_compare_takes(verification->compare, record->aggregate))
        return true;
    if (!audit_compare_row(verification->compare, record, published, &verification->event, &fit))
    {
        buffer_add_text(&verification->fault, "out of memory");
        return false;
    }
    snprintf(where, sizeof(where), "command at offset %lld", (long long)record->kafka_offset.value);
    switch (fit)
    {
    case AUDIT_HOLE:
        tell(verification, "hole", record->event_id, where);
        return !verification->wants_repair || repair_hole(verification, record);
    case AUDIT_MISMATCH:
        tell(verification, "mismatch", record->event_id, where);
        return true;
    case AUDIT_REORDERED:
        tell(verification, "reordered", record->event_id, where);
        return true;
    case AUDIT_FITS:
    case AUDIT_NOT_YET:
    case AUDIT_TOO_OLD:
        break;
    }
    return true;
}

static PGresult *read_page(struct verification *verification, const char *partition_id, int64_t from)
{
    struct buffer sql = BUFFER_EMPTY;
    char offset[32];
    const char *values[3] = { partition_id, offset, verification->since };

    snprintf(offset, sizeof(offset), "%lld", (long long)from);
    buffer_add_text(&sql, "SELECT ");
    statement_write_columns(&sql, &entity_audit_event);
    buffer_add_text(&sql, " FROM interlock.audit_event t WHERE t.partition_id = $1 AND t.kafka_offset >= $2 "
                          "AND ($3::timestamptz IS NULL OR t.changed_at >= $3::timestamptz) "
                          "ORDER BY t.kafka_offset, t.fence LIMIT 5000");
    buffer_add_byte(&sql, '\0');
    PGresult *page = sql.failed ? NULL : PQexecParams(verification->connection, sql.at, 3, NULL, values, NULL, NULL, 1);
    buffer_done(&sql);
    if (page && PQresultStatus(page) == PGRES_TUPLES_OK)
        return page;
    buffer_add_text(&verification->fault, PQerrorMessage(verification->connection));
    PQclear(page);
    return NULL;
}

/* One offset may have rows of several fences: a full page is judged up to its last offset, which begins the next. */
static bool judge_partition(struct verification *verification, const char *partition_id, int64_t published,
                            int64_t first)
{
    for (int64_t from = first;;)
    {
        PGresult *page = read_page(verification, partition_id, from);
        if (page == NULL)
            return false;
        int rows = PQntuples(page);
        bool good = true, more = rows == PAGE_ROWS;
        from = more ? array_read_int64(PQgetvalue(page, rows - 1, AUDIT_OFFSET_COLUMN)) : INT64_MAX;
        for (int r = 0; r < rows && good; r++)
        {
            struct audit_record record;
            memset(&record, 0, sizeof(record));
            arena_reset(&verification->arena, 65536);
            statements_read_row(page, r, 0, &entity_audit_event, &verification->arena, &record);
            if (record.kafka_offset.value < from)
                good = judge_row(verification, &record, published);
        }
        PQclear(page);
        if (!good || !more)
            return good;
    }
}

/* --- rows that no message can stand for -------------------------------------------------------------------------- */

/* Before the beginning of a topic or after its end, where no rewind tells that it was another topic then; of a fence
 * or of a partition that nobody ever had. Every row is read, whatever its partition. */
static const char impossible_sql[] =
    "SELECT a.event_id, a.partition_id, a.kafka_offset, count(*) OVER () FROM interlock.audit_event a "
    "LEFT JOIN interlock.partition_owner o ON o.id = a.partition_id "
    "LEFT JOIN unnest($1::text[], $2::integer[], $3::bigint[]) AS e (topic, partition, log_end) "
    "ON e.topic = o.topic AND e.partition = o.partition "
    "WHERE ($4::timestamptz IS NULL OR a.changed_at >= $4::timestamptz) AND (o.id IS NULL OR a.kafka_offset < 0 OR "
    "a.fence < 1 OR a.fence > o.fence OR (a.kafka_offset >= e.log_end "
    "AND NOT EXISTS (SELECT FROM interlock.partition_rewind r WHERE r.partition_id = a.partition_id "
    "AND a.fence < r.fence AND a.kafka_offset < r.below))) ORDER BY 2, 3 LIMIT 20";

static void see_end(void *owner, const char *topic, int32_t partition, int64_t log_start, int64_t log_end)
{
    (void)log_start;
    prune_log_starts_add(owner, topic, partition, log_end);
}

/* The rows are those of a snapshot that is older than the ends, or a command that arrives meanwhile would be one. */
static bool look_for_impossible(struct verification *verification)
{
    struct buffer *fault = &verification->fault;
    struct prune_log_starts *ends = &verification->ends;
    PGconn *connection = verification->connection;

    QUERY_RESULT begin = query_run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL, fault);
    QUERY_RESULT first =
        begin ? query_run(connection, "SELECT FROM interlock.audit_event LIMIT 1", 0, NULL, fault) : NULL;
    if (first == NULL || !topics_logs(verification->invocation->settings, see_end, ends, fault))
        return false;
    prune_log_starts_end(ends);
    const char *const values[] = { ends->topics.at, ends->partitions.at, ends->offsets.at, verification->since };
    if (buffer_failed(&ends->topics) || buffer_failed(&ends->partitions) || buffer_failed(&ends->offsets))
    {
        buffer_add_text(fault, "out of memory");
        return false;
    }
    QUERY_RESULT rows = query_run(connection, impossible_sql, 4, values, fault);
    QUERY_RESULT end = rows ? query_run(connection, "COMMIT", 0, NULL, fault) : NULL;
    for (int r = 0; end && r < PQntuples(rows); r++)
    {
        verification->impossible = atol(query_text(rows, r, 3));
        if (!verification->invocation->json)
            printf("impossible event %s  partition_id %s offset %s: no message can stand for this row\n",
                   query_text(rows, r, 0), query_text(rows, r, 1), query_text(rows, r, 2));
    }
    return end != NULL;
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

/* REPAIR_LOCK_CLASS, by a function that those may call who may take no advisory lock. */
static bool take_repair_lock(struct verification *verification)
{
    QUERY_RESULT held =
        query_run(verification->connection, "SELECT interlock.try_repair_lock()", 0, NULL, &verification->fault);
    if (held == NULL)
        return false;
    if (query_text(held, 0, 0)[0] == 't')
        return true;
    buffer_add_text(&verification->fault, "another repair is running");
    return false;
}

/* Before anything is published; how many were, when their transactions are committed. */
static bool record(struct verification *verification)
{
    char actor[4 * OPERATOR_NAME_MAX + 1];
    const struct operator_action action = { .verb = "audit verify --repair",
                                            .actor = operator_actor(verification->as, actor),
                                            .reason = verification->reason };

    verification->action = operator_action_insert(verification->connection, &action, &verification->fault);
    return verification->action > 0;
}

static bool commit_repair(struct verification *verification)
{
    char outcome[48];

    if (!audit_repair_commit(verification->repair, &verification->fault))
        return false;
    snprintf(outcome, sizeof(outcome), "%ld events published", verification->repaired);
    return operator_action_add_item(verification->connection, verification->action,
                                    verification->invocation->settings->kafka.audit_topic, outcome,
                                    &verification->fault);
}

/* Of each partition what is published, and the offset of its first row. */
static const char partitions_sql[] =
    "SELECT p.partition_id, p.published, CASE WHEN $1::timestamptz IS NULL THEN 0 ELSE f.first END "
    "FROM interlock.partition_published p LEFT JOIN (SELECT e.partition_id, min(e.kafka_offset) AS first "
    "FROM interlock.audit_event e WHERE e.changed_at >= $1::timestamptz GROUP BY 1) f USING (partition_id) ORDER BY 1";

static bool run_pass(struct verification *verification, const PGresult *partitions, uint32_t number, uint32_t of)
{
    const struct settings *settings = verification->invocation->settings;
    int64_t since_us;
    char which[32] = "";

    if (of > 1)
        snprintf(which, sizeof(which), "pass %u of %u: ", (unsigned)number + 1, (unsigned)of);
    audit_compare_begin(verification->compare, number, of);
    verification->events = verification->rows = 0;
    progress_stage("%sevents read", which);
    if (!topic_scan_all(settings, settings->kafka.audit_topic, verification->since_us, see_event, verification,
                        &since_us, &verification->fault) ||
        verification->fault.size > 0)
        return false;
    audit_compare_since(verification->compare, since_us);
    progress_stage("%saudit rows read", which);
    for (int i = 0; i < PQntuples(partitions); i++)
        if (!PQgetisnull(partitions, i, 2) &&
            !judge_partition(verification, query_text(partitions, i, 0), atoll(query_text(partitions, i, 1)),
                             atoll(query_text(partitions, i, 2))))
            return false;
    audit_compare_end(verification->compare);
    return true;
}

/* A repair's own open transaction would hide what lies behind it from the next pass. */
static bool run_passes(struct verification *verification, const PGresult *partitions)
{
    const struct settings *settings = verification->invocation->settings;
    int64_t events, passes = 1;

    if (!verification->executes)
    {
        if (!topic_scan_count(settings, settings->kafka.audit_topic, verification->since_us, &events,
                              &verification->fault))
            return false;
        passes += events / PASS_EVENTS;
    }
    passes = passes > verification->passes ? passes : verification->passes;
    passes = passes < PASSES_MAX ? passes : PASSES_MAX;
    for (uint32_t number = 0; number < (uint32_t)passes; number++)
        if (!run_pass(verification, partitions, number, (uint32_t)passes))
            return false;
    return true;
}

/* `published` is read before the topic's ends; both after the repair's producer has fenced an earlier one. */
static bool verify(struct verification *verification)
{
    const struct settings *settings = verification->invocation->settings;

    verification->connection = query_connect(settings, verification->executes ? SESSION_WRITES : SESSION_READS,
                                             "interlock-audit-verify", &verification->fault);
    if (verification->connection == NULL)
        return false;
    if (verification->executes)
    {
        if (!take_repair_lock(verification) || !record(verification))
            return false;
        verification->repair = audit_repair_new(settings, &verification->fault);
        if (verification->repair == NULL)
            return false;
    }
    progress_stage("looking for the first audit rows");
    QUERY_RESULT partitions =
        query_run(verification->connection, partitions_sql, 1, &verification->since, &verification->fault);
    if (partitions == NULL || !run_passes(verification, partitions))
        return false;
    progress_stage("looking for rows that no message can stand for");
    if (!look_for_impossible(verification))
        return false;
    return verification->repair == NULL || commit_repair(verification);
}

static int report(struct verification *verification, bool execute)
{
    struct audit_compare_counts counts = audit_compare_counts(verification->compare);
    long faults = counts.holes + counts.doubles + counts.mismatches + counts.unknown + counts.reordered +
                  verification->impossible;

    if (verification->invocation->json)
        printf("{\"events\":%ld,\"rows\":%ld,\"holes\":%ld,\"doubles\":%ld,\"mismatches\":%ld,\"unknown\":%ld,"
               "\"reordered\":%ld,\"impossible\":%ld,\"repaired\":%ld}\n",
               counts.events, counts.rows, counts.holes, counts.doubles, counts.mismatches, counts.unknown,
               counts.reordered, verification->impossible, execute ? verification->repaired : 0);
    else
    {
        printf(
            "%ld events on %s, %ld audit rows: %ld holes, %ld doubles, %ld mismatches, %ld without a row, %ld out of "
            "order, %ld rows that no message can stand for\n",
            counts.events, verification->invocation->settings->kafka.audit_topic, counts.rows, counts.holes,
            counts.doubles, counts.mismatches, counts.unknown, counts.reordered, verification->impossible);
        if (verification->wants_repair)
            printf(execute ? "%ld events published\n"
                           : "%ld events would be published: add --execute --reason TEXT to publish them\n",
                   verification->repaired);
    }
    return faults - (execute ? verification->repaired : 0) > 0 ? EXIT_FOUND : 0;
}

int verify_run(struct invocation *invocation)
{
    bool repair = false, execute = false;
    const char *reason = NULL, *as = NULL, *since = NULL, *passes = NULL;
    char since_text[VERB_TIME_TEXT_MAX];
    const struct verb_option options[] = { { "--since", &since, NULL },   { "--passes", &passes, NULL },
                                           { "--repair", NULL, &repair }, { "--execute", NULL, &execute },
                                           { "--reason", &reason, NULL }, { "--as", &as, NULL },
                                           { NULL, NULL, NULL } };

    if (!verb_parse_options(invocation, options, usage))
        return 1;
    if (invocation->argc > 1)
        return verb_usage_error(usage, "%s takes no operands", invocation->argv[1]);
    if (execute && !repair)
        return verb_usage_error(usage, "--execute needs --repair");
    if (execute && (reason == NULL || reason[0] == '\0'))
        return verb_usage_error(usage, "--execute needs --reason");
    if (passes && (strspn(passes, "0123456789") != strlen(passes) || atoi(passes) < 1 || atoi(passes) > PASSES_MAX ||
                   strlen(passes) > 4 || execute))
        return verb_usage_error(usage, "--passes %s: accepted is a number from 1 to 1024, without --execute", passes);
    if (!verb_read_time("audit verify", "--since", &since, since_text) ||
        (repair && !operator_may_act(invocation, execute)))
        return 1;
    struct verification verification = { .invocation = invocation,
                                         .wants_repair = repair,
                                         .executes = execute,
                                         .reason = reason,
                                         .as = as,
                                         .since = since,
                                         .passes = passes ? atoi(passes) : 1 };
    if (since)
        (void)parameters_parse_time(span_of(since), &verification.since_us); /* verb_read_time printed it */
    arena_init(&verification.arena);
    verification.compare = audit_compare_new();
    int code;
    progress_begin("audit verify");
    bool verified = verification.compare && verify(&verification);
    progress_end();
    if (verified)
    {
        if (execute)
            verb_tell("audit verify: repaired %ld events, reason: %s", verification.repaired, reason);
        code = report(&verification, execute);
    }
    else
    {
        operator_add_role(&verification.fault, execute ? "a member of interlock_operator and interlock_payload_reader"
                                                       : "interlock_payload_reader");
        code = verb_fail_with(invocation, &verification.fault);
    }
    prune_log_starts_done(&verification.ends);
    audit_repair_free(verification.repair);
    audit_compare_free(verification.compare);
    query_closep(&verification.connection);
    buffer_done(&verification.fault);
    buffer_done(&verification.event);
    arena_done(&verification.arena);
    return code;
}
