#include "consumers/takeover/partition_owner_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "consumers/partition/arrears.h"
#include "consumers/partition/commit_mark.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/postgres/advisory_locks.h"
#include "worker/postgres/blockers.h"
#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"

static const int64_t CAREFUL_US = 30000000;  /* how long an owner runs with care after crashes */
static const int64_t STATEMENT_US = 5000000; /* of a statement that waits for no lock */
static const int64_t LOCK_WAIT_US = 5000000; /* PROTOCOL O3: then the holders are ended */
static const int64_t HOLDERS_LOG_US = 30000000;
static const int64_t LOCK_SLACK_US = 3000000; /* how much later than that the server must have answered */

enum
{
    CRASHES_CAREFUL = 2, /* owners in a row that ended without progress and without giving the partition back */
};

struct partition_owner *partition_owner_new(const struct settings *settings)
{
    struct partition_owner *owners = calloc(1, sizeof(*owners));
    if (owners == NULL)
        return NULL;
    owners->settings = settings;
    owners->session = session_new(settings, "interlock ownership");
    if (owners->session && getrandom(owners->mark, sizeof(owners->mark), 0) == sizeof(owners->mark))
        return owners;
    session_free(owners->session);
    free(owners);
    return NULL;
}

void partition_owner_free(struct partition_owner *owners)
{
    if (owners == NULL)
        return;
    session_free(owners->session);
    free(owners);
}

const char *partition_owner_problem(const struct partition_owner *owners)
{
    return owners->problem;
}

bool partition_owner_fail(struct partition_owner *owners, const char *what)
{
    snprintf(owners->problem, sizeof(owners->problem), "%s", what);
    session_close(owners->session); /* takeovers are rare */
    return false;
}

const char *partition_owner_print_number(struct number_text *text, int64_t number)
{
    snprintf(text->at, sizeof(text->at), "%lld", (long long)number);
    return text->at;
}

int64_t partition_owner_read_number(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

void partition_owner_print_token(const uint8_t token[16], char into[TOKEN_TEXT_SIZE])
{
    id_print_uuid(id_of_bytes(token), into);
    into[UUID_TEXT_SIZE] = '\0';
}

void partition_owner_add_element(struct buffer *list, const char *text)
{
    buffer_add_byte(list, list->size == 0 ? '{' : ',');
    buffer_add_text(list, text);
}

void partition_owner_end_list(struct buffer *list)
{
    buffer_add_text(list, list->size == 0 ? "{}" : "}");
    buffer_add_byte(list, '\0');
}

void partition_owner_clear(PGresult **result)
{
    PQclear(*result);
}

/* NULL, and the problem is noted, where the statement failed. */
static PGresult *must_succeed(struct partition_owner *owners, PGresult *result)
{
    const char *sqlstate = "";
    char why[320];

    if (result && !session_is_refused(owners->session, result, &sqlstate))
        return result;
    PQclear(result);
    /* 42703, 42P01: a column or table that is not there yet. */
    bool behind = strcmp(sqlstate, "42703") == 0 || strcmp(sqlstate, "42P01") == 0;
    snprintf(why, sizeof(why), "%.200s%s", session_problem(owners->session),
             behind ? ": the schema is behind this program, run `interlock migrate up`" : "");
    partition_owner_fail(owners, why);
    return NULL;
}

PGresult *partition_owner_run(struct partition_owner *owners, const char *sql, int count, const char *const *values,
                              const struct session_stop *stop)
{
    return must_succeed(owners, session_run(owners->session, sql, count, values, STATEMENT_US, stop));
}

PGresult *partition_owner_run_binary(struct partition_owner *owners, const char *sql, int count,
                                     const char *const *values, const struct session_stop *stop)
{
    return must_succeed(owners, session_run_binary(owners->session, sql, count, values, STATEMENT_US, stop));
}

static bool run_plain(struct partition_owner *owners, const char *sql, const struct session_stop *stop)
{
    PGresult *result = partition_owner_run(owners, sql, 0, NULL, stop);
    PQclear(result);
    return result != NULL;
}

/* Rows are there, and committed, before anybody locks them (PROTOCOL O2). Looked for first: an INSERT that conflicts
 * takes a number all the same, and a takeover that is stuck tries again five times a second. */
static bool find_partition(struct partition_owner *owners, struct owned_partition *owned,
                           const struct session_stop *stop)
{
    static const char find_sql[] = "SELECT id, (SELECT id FROM interlock.schema_identity) FROM "
                                   "interlock.partition_owner WHERE topic = $1 AND partition = $2::int";
    struct number_text partition;
    const char *values[2] = { owned->topic, partition_owner_print_number(&partition, owned->partition.number) };
    PGresult *found = partition_owner_run(owners, find_sql, 2, values, stop);

    if (found && PQntuples(found) == 0)
    {
        PQclear(found);
        PGresult *inserted = partition_owner_run(owners,
                                                 "INSERT INTO interlock.partition_owner (topic, partition) VALUES "
                                                 "($1, $2::int) ON CONFLICT DO NOTHING",
                                                 2, values, stop);
        PQclear(inserted);
        found = inserted ? partition_owner_run(owners, find_sql, 2, values, stop) : NULL;
    }
    if (found == NULL)
        return false;
    bool there = PQntuples(found) == 1;
    if (there)
    {
        owned->partition.partition_id = (int32_t)partition_owner_read_number(found, 0, 0);
        snprintf(owned->publisher.mark, sizeof(owned->publisher.mark), "%s:", PQgetvalue(found, 0, 1));
    }
    PQclear(found);
    return there || partition_owner_fail(owners, "partition_owner: the row is not there");
}

/* --- the lock ---------------------------------------------------------------------------------------------------- */

/* A worker that was stopped between two writes of a pipeline holds its lock as long as it likes: it is not idle to any
 * timeout of the server. Asked on this session, after the wait: pg_blocking_pids only knows who is waiting now. */
static bool end_holders(struct partition_owner *owners, int32_t partition_id, const struct session_stop *stop)
{
    static const char sql[] =
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE usename = current_user AND locktype = 'advisory' AND granted AND "
        "database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND "
        "classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2 AND pid <> pg_backend_pid()";
    struct number_text class, id;
    const char *values[2] = { partition_owner_print_number(&class, PARTITION_OWNER_LOCK_CLASS),
                              partition_owner_print_number(&id, partition_id) };
    PGresult *ended = partition_owner_run(owners, sql, 2, values, stop);

    PQclear(ended);
    return ended != NULL;
}

/* Those of other roles are not ours to end: they are named. True: there are some. */
static bool name_holders(struct partition_owner *owners, int32_t partition_id, const struct session_stop *stop)
{
    struct buffer sql = BUFFER_EMPTY;
    bool written = blockers_write_sql(BLOCKERS_OF_TAKEOVER, &partition_id, 1, &sql);
    PARTITION_OWNER_RESULT holders = written ? partition_owner_run(owners, sql.at, 0, NULL, stop) : NULL;

    buffer_done(&sql);
    if (holders == NULL || PQgetvalue(holders, 0, 0)[0] == '\0')
        return false;
    snprintf(owners->problem, sizeof(owners->problem),
             "the partition's lock is held in PostgreSQL by %.160s: end that session, or take its right to advisory "
             "locks away (schema/roles.sql)",
             PQgetvalue(holders, 0, 0));
    /* At once: the round has more partitions, and may wait for each. */
    if (log_allowed(&owners->holders_rate, HOLDERS_LOG_US))
        log_warning("ownership: %s", owners->problem);
    return true;
}

enum lock_answer
{
    LOCKED,
    LOCK_HELD, /* by others, past the wait: the transaction is rolled back */
    LOCK_FAILED,
};

static enum lock_answer lock_partition(struct partition_owner *owners, int32_t partition_id,
                                       const struct session_stop *stop)
{
    struct number_text class, id;
    const char *values[2] = { partition_owner_print_number(&class, PARTITION_OWNER_LOCK_CLASS),
                              partition_owner_print_number(&id, partition_id) };
    const char *sqlstate = "";

    if (!run_plain(owners, TRANSACTION_BEGIN, stop) ||
        !run_plain(owners,
                   "SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '10s', true), "
                   "set_config('idle_in_transaction_session_timeout', '10s', true)",
                   stop))
        return LOCK_FAILED;
    PARTITION_OWNER_RESULT locked = session_run(owners->session, "SELECT pg_advisory_xact_lock($1::int, $2::int)", 2,
                                                values, LOCK_WAIT_US + LOCK_SLACK_US, stop);
    if (locked && !session_is_refused(owners->session, locked, &sqlstate))
        return LOCKED;
    if (locked && strcmp(sqlstate, "55P03") == 0)
        return run_plain(owners, "ROLLBACK", stop) ? LOCK_HELD : LOCK_FAILED;
    partition_owner_fail(owners, session_problem(owners->session));
    return LOCK_FAILED;
}

/* --- the takeover ------------------------------------------------------------------------------------------------ */

/* A former owner that did not give the partition back has crashed, or might have; not if it is ourselves, cut off. */
static const char fence_sql[] =
    "UPDATE interlock.partition_owner o SET fence = o.fence + 1, owner_token = $2::uuid, crash_offset = $3::bigint, "
    "published = 0, crashes = CASE WHEN o.owner_token IS NULL THEN 0 ELSE CASE WHEN o.crash_offset = $3::bigint "
    "THEN o.crashes ELSE 0 END + CASE WHEN left(o.owner_token::text, 18) = left($2::uuid::text, 18) THEN 0 ELSE 1 END "
    "END, topic_id = coalesce($4::text, o.topic_id), "
    "topic_fence = CASE WHEN o.topic_id <> $4::text THEN o.fence + 1 ELSE o.topic_fence END "
    "FROM (SELECT id, published, topic_id FROM interlock.partition_owner WHERE id = $1::int FOR UPDATE) was "
    "WHERE o.id = was.id RETURNING o.fence, o.crashes, EXISTS (SELECT FROM interlock.dead_letter d "
    "WHERE d.partition_id = $1::int AND d.reason = 'crashed_worker')::int, was.published, o.topic_fence, was.topic_id";

/* Notes from earlier crashes no longer count. */
static bool forget_suspects(struct partition_owner *owners, const char *id, const struct session_stop *stop)
{
    PGresult *deleted =
        partition_owner_run(owners, "DELETE FROM interlock.crash_suspect WHERE partition_id = $1::int", 1, &id, stop);
    PQclear(deleted);
    return deleted != NULL;
}

/* Under the lock: fence and token. *ret_before: what a worker of before schema/0017 knew to be published. */
static bool raise_fence(struct partition_owner *owners, struct owned_partition *owned, int64_t committed,
                        const struct session_stop *stop, int64_t *ret_before)
{
    struct number_text id, reached;
    char token[TOKEN_TEXT_SIZE];

    memcpy(owned->partition.token, owners->mark, 8);
    if (getrandom(owned->partition.token + 8, 8, 0) != 8)
        return partition_owner_fail(owners, "getrandom");
    partition_owner_print_token(owned->partition.token, token);
    const char *values[4] = { partition_owner_print_number(&id, owned->partition.partition_id), token,
                              partition_owner_print_number(&reached, committed > 0 ? committed : 0),
                              owned->shared.topic_id[0] ? owned->shared.topic_id : NULL };
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, fence_sql, 4, values, stop);
    if (result == NULL)
        return false;
    if (PQntuples(result) != 1)
        return partition_owner_fail(owners, "partition_owner: the row is not there");
    owned->partition.fence = partition_owner_read_number(result, 0, 0);
    int64_t crashes = partition_owner_read_number(result, 0, 1);
    owned->partition.quarantined = partition_owner_read_number(result, 0, 2) != 0;
    *ret_before = partition_owner_read_number(result, 0, 3);
    owned->publisher.topic_fence = partition_owner_read_number(result, 0, 4);
    if (owned->publisher.topic_fence == owned->partition.fence)
        log_warning("ownership: %s/%d: the topic was created again, its id was %s and is %s: offsets that were "
                    "committed for the former one are not used",
                    owned->topic, owned->partition.number, PQgetvalue(result, 0, 5), owned->shared.topic_id);
    owned->partition.solo_until_us = crashes >= CRASHES_CAREFUL ? monotonic_us() + CAREFUL_US : 0;
    if (crashes >= CRASHES_CAREFUL)
        log_warning("ownership: %s/%d: %lld owners in a row ended at offset %lld without giving it back: its commands "
                    "run one at a time for %lld s",
                    owned->topic, owned->partition.number, (long long)crashes, (long long)committed,
                    (long long)CAREFUL_US / 1000000);
    return crashes > 0 || forget_suspects(owners, values[0], stop);
}

static bool commit(struct partition_owner *owners, const struct session_stop *stop)
{
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, "COMMIT", 0, NULL, stop);
    if (result == NULL)
        return false;
    /* COMMIT of a failed transaction reports success with the tag ROLLBACK. */
    return strcmp(PQcmdStatus(result), "COMMIT") == 0 || partition_owner_fail(owners, "the takeover was rolled back");
}

static void mark_commits(struct owned_partition *owned)
{
    char *colon = strchr(owned->publisher.mark, ':');

    assert(colon);
    colon++;
    snprintf(colon, sizeof(owned->publisher.mark) - (size_t)(colon - owned->publisher.mark), "%lld",
             (long long)owned->partition.fence);
}

/* One transaction. *ret_retry: call again with what was found out meanwhile. */
static bool take_once(struct partition_owner *owners, struct owned_partition *owned, int64_t start, int64_t reached,
                      const struct session_stop *stop, int64_t *ret_published, struct audit_positions *ret_from,
                      bool *ret_retry)
{
    int32_t id = owned->partition.partition_id;

    switch (lock_partition(owners, id, stop))
    {
    case LOCKED:
        break;
    case LOCK_HELD:
        *ret_retry = end_holders(owners, id, stop) && !name_holders(owners, id, stop);
        return false;
    case LOCK_FAILED:
        return false;
    }
    int64_t before = 0;
    return raise_fence(owners, owned, start, stop, &before) &&
           published_claim(owners, owned, reached > before ? reached : before, stop, ret_published, ret_from) &&
           commit(owners, stop);
}

/* The published offset is known where the commit is ours, and not below the known one: the events below it went out
 * with it, in one Kafka transaction, and none of those above did. In at-least-once mode some of those may be out. */
static enum partition_owner_result end_take(const struct partition_owner *owners, struct owned_partition *owned,
                                            int64_t start, int64_t reached, int64_t published,
                                            struct audit_positions *from)
{
    bool exact = owners->settings->kafka.exactly_once;

    owned->start_offset = start;
    mark_commits(owned);
    if (exact && reached >= 0 && reached == published && start == reached)
    {
        audit_positions_done(from);
        owned->publisher.published_known = owned->publisher.published_reached = reached;
        return PARTITION_OWNER_TAKEN;
    }
    owned->publisher.arrears = arrears_new(published, from);
    if (owned->publisher.arrears)
        return PARTITION_OWNER_IN_ARREARS;
    audit_positions_done(from);
    return PARTITION_OWNER_AGAIN;
}

/* PROTOCOL O5: the offset of a former topic of this name says what was published of that, but not where to begin. */
static bool is_of_former_topic(const struct owned_partition *owned, const struct commitment *committed)
{
    return committed->offset >= 0 && commit_mark_is_ours(owned, committed->metadata) &&
           commit_mark_fence(committed->metadata) < owned->publisher.topic_fence;
}

enum partition_owner_result partition_owner_take(struct partition_owner *owners, struct owned_partition *owned,
                                                 const struct commitment *committed, const struct session_stop *stop)
{
    struct audit_positions from = AUDIT_POSITIONS_NONE;
    int64_t start = committed->is_lost || committed->offset < 0 ? OFFSET_NONE : committed->offset, published = 0;
    bool retry = true, taken = false;

    owners->problem[0] = '\0';
    if (!session_is_open(owners->session) && !session_connect(owners->session, stop))
        return partition_owner_fail(owners, session_problem(owners->session)), PARTITION_OWNER_AGAIN;
    if (!find_partition(owners, owned, stop))
        return PARTITION_OWNER_AGAIN;
    bool ours = committed->offset >= 0 &&
                (commit_mark_is_ours(owned, committed->metadata) || !owners->settings->protections.commit_marks);
    int64_t reached = ours ? committed->offset : OFFSET_NONE;
    /* Two rounds suffice: holders ended, taken. More means rare contention: the caller pauses. */
    for (int round = 0; retry && !taken && round < 3; round++)
    {
        retry = false;
        taken = take_once(owners, owned, start, reached, stop, &published, &from, &retry);
    }
    if (taken && is_of_former_topic(owned, committed))
        start = OFFSET_NONE;
    if (taken)
        return end_take(owners, owned, start, reached, published, &from);
    audit_positions_done(&from);
    if (owners->problem[0] == '\0')
        snprintf(owners->problem, sizeof(owners->problem), "partition %s/%d is held by another takeover", owned->topic,
                 owned->partition.number);
    return PARTITION_OWNER_AGAIN;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static const char give_back_sql[] =
    "UPDATE interlock.partition_owner owner SET owner_token = NULL FROM unnest($1::int[], $2::bigint[], $3::uuid[]) "
    "AS given (id, fence, token) WHERE owner.id = given.id AND owner.fence = given.fence AND "
    "owner.owner_token = given.token";

void partition_owner_give_back(struct partition_owner *owners, struct owned_partition *const *owned_partitions,
                               int count, int64_t wait_us)
{
    struct buffer lists[3] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    struct number_text text;
    char token[TOKEN_TEXT_SIZE];

    for (int t = 0; t < count; t++)
    {
        partition_owner_add_element(&lists[0],
                                    partition_owner_print_number(&text, owned_partitions[t]->partition.partition_id));
        partition_owner_add_element(&lists[1],
                                    partition_owner_print_number(&text, owned_partitions[t]->partition.fence));
        partition_owner_print_token(owned_partitions[t]->partition.token, token);
        partition_owner_add_element(&lists[2], token);
    }
    const char *values[3];
    bool complete = count > 0 && session_is_open(owners->session);
    for (int i = 0; i < 3; i++)
    {
        partition_owner_end_list(&lists[i]);
        values[i] = lists[i].at;
        complete = complete && !buffer_failed(&lists[i]);
    }
    PGresult *given = complete ? session_run(owners->session, give_back_sql, 3, values, wait_us, NULL) : NULL;
    PQclear(given);
    owners->raised_count = 0;
    for (int i = 0; i < 3; i++)
        buffer_done(&lists[i]);
}
