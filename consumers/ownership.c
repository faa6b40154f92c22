#include "consumers/ownership.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "worker/blockers.h"
#include "worker/log.h"
#include "worker/metrics.h"
#include "worker/monotonic.h"
#include "worker/ownership_lock.h"
#include "worker/session_terms.h"
#include "worker/settings.h"

static const int64_t CAREFUL_US = 30000000;  /* how long an owner runs with care after crashes */
static const int64_t STATEMENT_US = 5000000; /* of a statement that waits for no lock */
static const int64_t LOCK_WAIT_US = 5000000; /* PROTOCOL O3: then the holders are ended */
static const int64_t RECONNECT_US = 5000000; /* between two attempts while only `published` is to be raised */
static const int64_t HOLDERS_LOG_US = 30000000;
static const int64_t LOCK_SLACK_US = 3000000; /* how much later than that the server must have answered */

enum
{
    RAISED_MAX = 512,    /* partitions of one statement */
    CRASHES_CAREFUL = 2, /* owners in a row that ended without progress and without giving the partition back */
};

struct ownership_books
{
    const struct settings *settings;
    struct session *session;
    uint8_t mark[8]; /* the first half of our tokens, and nobody else's */
    ownership_find_published_fn *find_published;
    void *owner;
    bool went_back; /* the offsets of the partition that is being taken stand below what is known to be published */
    char problem[320];
    struct log_rate holders_rate;

    /* The statement that raises `published` and is out: what the tenures will be known to have when it is answered. */
    struct
    {
        int32_t partition_id;
        int64_t fence, reached;
    } raised[RAISED_MAX];
    int raised_count;
    int64_t next_connect_us; /* a lost session is not tried more often than this */
};

struct ownership_books *ownership_new(const struct settings *settings, ownership_find_published_fn *find_published,
                                      void *owner)
{
    struct ownership_books *books = calloc(1, sizeof(*books));
    if (books == NULL)
        return NULL;
    books->settings = settings;
    books->find_published = find_published;
    books->owner = owner;
    books->session = session_new(settings, "interlock ownership");
    if (books->session && getrandom(books->mark, sizeof(books->mark), 0) == sizeof(books->mark))
        return books;
    session_free(books->session);
    free(books);
    return NULL;
}

void ownership_free(struct ownership_books *books)
{
    if (books == NULL)
        return;
    session_free(books->session);
    free(books);
}

const char *ownership_problem(const struct ownership_books *books)
{
    return books->problem;
}

static enum ownership_result again(struct ownership_books *books, const char *what)
{
    snprintf(books->problem, sizeof(books->problem), "%s", what);
    /* Whatever transaction was open ends with the session; takeovers are rare. */
    session_close(books->session);
    return OWNERSHIP_AGAIN;
}

/* Numbers as texts, the form session_run takes. */
struct number_text
{
    char at[24];
};

static const char *print_number(struct number_text *text, int64_t number)
{
    snprintf(text->at, sizeof(text->at), "%lld", (long long)number);
    return text->at;
}

static int64_t read_number(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static void clear_result(PGresult **result)
{
    PQclear(*result);
}
#define cleanup_result __attribute__((cleanup(clear_result)))

/* One statement that must succeed; NULL: it did not, and the session is closed. */
static PGresult *run(struct ownership_books *books, const char *sql, int count, const char *const *values,
                     const struct session_stop *stop)
{
    PGresult *result = session_run(books->session, sql, count, values, STATEMENT_US, stop);
    const char *sqlstate = "";
    char why[320];

    if (result && !session_is_refused(books->session, result, &sqlstate))
        return result;
    PQclear(result);
    /* 42703, 42P01: a column or table that is not there yet. */
    bool behind = strcmp(sqlstate, "42703") == 0 || strcmp(sqlstate, "42P01") == 0;
    snprintf(why, sizeof(why), "%.200s%s", session_problem(books->session),
             behind ? ": the schema is behind this program, run `interlock migrate up`" : "");
    again(books, why);
    return NULL;
}

static bool run_plain(struct ownership_books *books, const char *sql, const struct session_stop *stop)
{
    PGresult *result = run(books, sql, 0, NULL, stop);
    PQclear(result);
    return result != NULL;
}

/* Rows are there, and committed, before anybody locks them (PROTOCOL O2). */
static bool find_partition(struct ownership_books *books, struct tenure *tenure, const struct session_stop *stop)
{
    struct number_text partition;
    const char *values[2] = { tenure->topic, print_number(&partition, tenure->ownership.partition) };
    PGresult *inserted = run(books,
                             "INSERT INTO interlock.partition_owner (topic, partition) VALUES ($1, $2::int) "
                             "ON CONFLICT DO NOTHING",
                             2, values, stop);
    if (inserted == NULL)
        return false;
    PQclear(inserted);
    cleanup_result PGresult *found = run(
        books, "SELECT id FROM interlock.partition_owner WHERE topic = $1 AND partition = $2::int", 2, values, stop);
    if (found == NULL)
        return false;
    if (PQntuples(found) != 1)
        return again(books, "partition_owner: the row is not there"), false;
    tenure->ownership.partition_id = (int32_t)read_number(found, 0, 0);
    return true;
}

/* --- the lock --------------------------------------------------------------------------------------------------- */

/* A worker that was stopped between two writes of a pipeline holds its lock as long as it likes: it is not idle to any
 * timeout of the server. Asked on this session, after the wait: pg_blocking_pids only knows who is waiting now. */
static bool end_holders(struct ownership_books *books, int32_t partition_id, const struct session_stop *stop)
{
    static const char sql[] =
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE usename = current_user AND locktype = 'advisory' AND granted AND "
        "database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND "
        "classid = $1::bigint::oid AND objid = $2::bigint::oid AND objsubid = 2 AND pid <> pg_backend_pid()";
    struct number_text class, id;
    const char *values[2] = { print_number(&class, OWNERSHIP_LOCK_CLASS), print_number(&id, partition_id) };
    PGresult *ended = run(books, sql, 2, values, stop);

    PQclear(ended);
    return ended != NULL;
}

/* Those of other roles are not ours to end: they are named. True: there are some. */
static bool name_holders(struct ownership_books *books, int32_t partition_id, const struct session_stop *stop)
{
    struct buffer sql = BUFFER_EMPTY;
    bool written = blockers_write_sql(BLOCKERS_OF_TAKEOVER, &partition_id, 1, &sql);
    cleanup_result PGresult *holders = written ? run(books, sql.at, 0, NULL, stop) : NULL;

    buffer_done(&sql);
    if (holders == NULL || PQgetvalue(holders, 0, 0)[0] == '\0')
        return false;
    snprintf(books->problem, sizeof(books->problem),
             "the partition's lock is held in PostgreSQL by %.160s: end that session, or take its right to advisory "
             "locks away (schema/roles.sql)",
             PQgetvalue(holders, 0, 0));
    /* At once: the round has more partitions, and may wait for each. */
    if (log_allowed(&books->holders_rate, HOLDERS_LOG_US))
        log_warning("ownership: %s", books->problem);
    return true;
}

enum lock_answer
{
    LOCKED,
    LOCK_HELD, /* by others, past the wait: the transaction is rolled back */
    LOCK_FAILED,
};

static enum lock_answer lock_partition(struct ownership_books *books, int32_t partition_id,
                                       const struct session_stop *stop)
{
    struct number_text class, id;
    const char *values[2] = { print_number(&class, OWNERSHIP_LOCK_CLASS), print_number(&id, partition_id) };
    const char *sqlstate = "";

    if (!run_plain(books, TRANSACTION_BEGIN, stop) ||
        !run_plain(books,
                   "SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '10s', true), "
                   "set_config('idle_in_transaction_session_timeout', '10s', true)",
                   stop))
        return LOCK_FAILED;
    cleanup_result PGresult *locked = session_run(books->session, "SELECT pg_advisory_xact_lock($1::int, $2::int)", 2,
                                                  values, LOCK_WAIT_US + LOCK_SLACK_US, stop);
    if (locked && !session_is_refused(books->session, locked, &sqlstate))
        return LOCKED;
    if (locked && strcmp(sqlstate, "55P03") == 0)
        return run_plain(books, "ROLLBACK", stop) ? LOCK_HELD : LOCK_FAILED;
    again(books, session_problem(books->session));
    return LOCK_FAILED;
}

/* --- what was published (PROTOCOL R1) --------------------------------------------------------------------------- */

/* Positions from `published` up that no earlier rewind covers, the highest first, a page at a time. */
static const char recorded_sql[] =
    "SELECT kafka_offset, event_id, (extract(epoch FROM at) * 1000000)::bigint FROM ("
    "SELECT kafka_offset, event_id, fence, changed_at AS at FROM interlock.audit_event WHERE partition_id = $1::int "
    "AND kafka_offset >= $2::bigint AND kafka_offset < $3::bigint UNION ALL "
    "SELECT kafka_offset, NULL, fence, first_failed_at FROM interlock.dead_letter WHERE partition_id = $1::int "
    "AND kafka_offset >= $2::bigint AND kafka_offset < $3::bigint) recorded "
    "WHERE NOT EXISTS (SELECT 1 FROM interlock.partition_rewind rewind WHERE rewind.partition_id = $1::int "
    "AND recorded.fence < rewind.fence AND recorded.kafka_offset < rewind.below) "
    "ORDER BY kafka_offset DESC LIMIT 50000";

static struct id read_uuid(const char *text)
{
    struct id id = { 0, 0 };
    int digits = 0;

    for (; *text && digits < 32; text++)
    {
        const char *hex = "0123456789abcdef";
        const char *found = strchr(hex, *text);
        if (*text == '-' || found == NULL)
            continue;
        uint64_t *half = digits++ < 16 ? &id.high : &id.low;
        *half = *half << 4 | (uint64_t)(found - hex);
    }
    return id;
}

enum page_answer
{
    PAGE_FOUND, /* *ret_highest */
    PAGE_NONE,  /* nothing of the page was published: *ret_lowest is where the next one ends */
    PAGE_END,   /* there are no rows */
    PAGE_FAILED,
};

static enum page_answer search_page(struct ownership_books *books, const struct tenure *tenure, const PGresult *result,
                                    int64_t *ret_highest, int64_t *ret_lowest, struct buffer *reterr)
{
    int count = PQntuples(result);
    struct recorded_event *events = calloc((size_t)count + 1, sizeof(*events));

    if (count == 0 || events == NULL)
    {
        free(events);
        return count == 0 ? PAGE_END : PAGE_FAILED;
    }
    for (int i = 0; i < count; i++)
        events[count - 1 - i] = (struct recorded_event){
            .offset = read_number(result, i, 0),
            .event_id = PQgetisnull(result, i, 1) ? (struct id){ 0, 0 } : read_uuid(PQgetvalue(result, i, 1)),
            .recorded_at_us = read_number(result, i, 2),
        };
    *ret_lowest = events[0].offset;
    bool searched = books->find_published(books->owner, tenure, events, count, books->went_back, ret_highest, reterr);
    free(events);
    if (!searched)
        return PAGE_FAILED;
    return *ret_highest >= 0 ? PAGE_FOUND : PAGE_NONE;
}

/* *ret_below: 1 + the highest position that was published, at least `published`. */
static bool find_below(struct ownership_books *books, const struct tenure *tenure, int64_t published,
                       const struct session_stop *stop, int64_t *ret_below)
{
    struct number_text id, from, to;
    int64_t highest = -1, end = INT64_MAX;

    for (;;)
    {
        const char *values[3] = { print_number(&id, tenure->ownership.partition_id), print_number(&from, published),
                                  print_number(&to, end) };
        cleanup_result PGresult *result = run(books, recorded_sql, 3, values, stop);
        if (result == NULL)
            return false;
        struct buffer fault = BUFFER_EMPTY;
        enum page_answer answer = search_page(books, tenure, result, &highest, &end, &fault);
        buffer_add_byte(&fault, '\0');
        if (answer == PAGE_FAILED)
            again(books, buffer_failed(&fault) ? "out of memory" : fault.at);
        buffer_done(&fault);
        if (answer == PAGE_FAILED)
            return false;
        if (answer == PAGE_FOUND || answer == PAGE_END)
            break;
    }
    *ret_below = highest + 1 > published ? highest + 1 : published;
    return true;
}

/* --- the takeover ----------------------------------------------------------------------------------------------- */

static void print_token(const uint8_t token[16], char into[37])
{
    for (int i = 0; i < 16; i++)
        into += snprintf(into, 4, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", token[i]);
}

/* A former owner that did not give the partition back has crashed, or might have; not if it is ourselves, cut off. */
static const char fence_sql[] =
    "UPDATE interlock.partition_owner SET fence = fence + 1, owner_token = $2::uuid, "
    "published = greatest(published, $3::bigint), crash_offset = $3::bigint, "
    "crashes = CASE WHEN owner_token IS NULL THEN 0 ELSE CASE WHEN crash_offset = $3::bigint THEN crashes ELSE 0 END + "
    "CASE WHEN left(owner_token::text, 18) = left($2::uuid::text, 18) THEN 0 ELSE 1 END END "
    "WHERE id = $1::int RETURNING fence, published, crashes, EXISTS (SELECT FROM interlock.dead_letter d "
    "WHERE d.partition_id = $1::int AND d.reason = 'crashed_worker')::int";

/* What was noted of its commands is of crashes that are over. */
static bool forget_suspects(struct ownership_books *books, const char *id, const struct session_stop *stop)
{
    PGresult *deleted = run(books, "DELETE FROM interlock.crash_suspect WHERE partition_id = $1::int", 1, &id, stop);
    PQclear(deleted);
    return deleted != NULL;
}

/* Under the lock: fence and token. *ret_published: what `published` is now; above the committed offset it means that
 * offsets went back. */
static bool raise_fence(struct ownership_books *books, struct tenure *tenure, int64_t committed,
                        const struct session_stop *stop, int64_t *ret_published)
{
    struct number_text id, reached;
    char token[37];

    memcpy(tenure->ownership.token, books->mark, 8);
    if (getrandom(tenure->ownership.token + 8, 8, 0) != 8)
        return again(books, "getrandom"), false;
    print_token(tenure->ownership.token, token);
    const char *values[3] = { print_number(&id, tenure->ownership.partition_id), token,
                              print_number(&reached, committed > 0 ? committed : 0) };
    cleanup_result PGresult *result = run(books, fence_sql, 3, values, stop);
    if (result == NULL)
        return false;
    if (PQntuples(result) != 1)
        return again(books, "partition_owner: the row is not there"), false;
    tenure->ownership.fence = read_number(result, 0, 0);
    *ret_published = read_number(result, 0, 1);
    int64_t crashes = read_number(result, 0, 2);
    tenure->ownership.quarantined = read_number(result, 0, 3) != 0;
    tenure->ownership.careful_until_us = crashes >= CRASHES_CAREFUL ? monotonic_us() + CAREFUL_US : 0;
    if (crashes >= CRASHES_CAREFUL)
        log_warning("ownership: %s/%d: %lld owners in a row ended at offset %lld without giving it back: its commands "
                    "run one at a time for %lld s",
                    tenure->topic, tenure->ownership.partition, (long long)crashes, (long long)committed,
                    (long long)CAREFUL_US / 1000000);
    return crashes > 0 || forget_suspects(books, values[0], stop);
}

static bool write_rewind(struct ownership_books *books, const struct tenure *tenure, int64_t below, int64_t committed,
                         const struct session_stop *stop)
{
    struct number_text id, fence, below_text, reached;
    const char *values[3] = { print_number(&id, tenure->ownership.partition_id),
                              print_number(&fence, tenure->ownership.fence), print_number(&below_text, below) };
    const char *lowered[2] = { values[0], print_number(&reached, committed > 0 ? committed : 0) };
    PGresult *inserted = run(books,
                             "INSERT INTO interlock.partition_rewind (partition_id, fence, below) "
                             "VALUES ($1::int, $2::bigint, $3::bigint)",
                             3, values, stop);
    if (inserted == NULL)
        return false;
    PQclear(inserted);
    PGresult *updated =
        run(books, "UPDATE interlock.partition_owner SET published = $2::bigint WHERE id = $1::int", 2, lowered, stop);
    PQclear(updated);
    return updated != NULL;
}

static bool commit(struct ownership_books *books, const struct session_stop *stop)
{
    cleanup_result PGresult *result = run(books, "COMMIT", 0, NULL, stop);
    if (result == NULL)
        return false;
    /* COMMIT of a failed transaction reports success with the tag ROLLBACK. */
    if (strcmp(PQcmdStatus(result), "COMMIT") != 0)
        return again(books, "the takeover was rolled back"), false;
    return true;
}

/* Nothing is applied twice by it. Offsets that expired and a topic made anew look like offsets moved on purpose. */
static void tell_rewind(const struct tenure *tenure, int64_t below, int64_t committed)
{
    struct number_text to;

    metrics_add(METRIC_REWINDS, 1);
    log_warning("ownership: %s/%d: offsets went back from %lld to %s: what lies between is read again", tenure->topic,
                tenure->ownership.partition, (long long)below,
                committed < 0 ? "the beginning" : print_number(&to, committed));
}

/* Looked up for one value of `published`; under the lock it must still be that one. */
struct rewind_known
{
    bool known;
    int64_t published, below;
};

/* One transaction. *ret_retry: call again with what was found out meanwhile. */
static enum ownership_result take_once(struct ownership_books *books, struct tenure *tenure, int64_t committed,
                                       struct rewind_known *rewind, const struct session_stop *stop, bool *ret_retry)
{
    int32_t id = tenure->ownership.partition_id;
    int64_t published = 0;

    switch (lock_partition(books, id, stop))
    {
    case LOCKED:
        break;
    case LOCK_HELD:
        *ret_retry = end_holders(books, id, stop) && !name_holders(books, id, stop);
        return OWNERSHIP_AGAIN;
    case LOCK_FAILED:
        return OWNERSHIP_AGAIN;
    }
    if (!raise_fence(books, tenure, committed, stop, &published))
        return OWNERSHIP_AGAIN;
    /* `published` may lag the last Kafka commit by one write, so offsets moved by hand right after a crash need not lie
     * below it: rows at or above it that no rewind covers are looked up on the audit topic, every time. There are none
     * but after a crash. Without the lock: it may take seconds, and nobody publishes for this partition now. */
    if (!(rewind->known && rewind->published == published))
    {
        books->went_back = published > (committed > 0 ? committed : 0);
        if (!run_plain(books, "ROLLBACK", stop) || !find_below(books, tenure, published, stop, &rewind->below))
            return OWNERSHIP_AGAIN;
        rewind->known = true;
        rewind->published = published;
        *ret_retry = true;
        return OWNERSHIP_AGAIN;
    }
    bool went_back = rewind->below > (committed > 0 ? committed : 0);
    if ((went_back && !write_rewind(books, tenure, rewind->below, committed, stop)) || !commit(books, stop))
        return OWNERSHIP_AGAIN;
    if (went_back)
        tell_rewind(tenure, rewind->below, committed);
    return OWNERSHIP_TAKEN;
}

enum ownership_result ownership_take(struct ownership_books *books, struct tenure *tenure, int64_t committed,
                                     const struct session_stop *stop)
{
    struct rewind_known rewind = { .known = false };
    enum ownership_result result = OWNERSHIP_AGAIN;
    bool retry = true;

    if (!session_is_open(books->session) && !session_connect(books->session, stop))
        return again(books, session_problem(books->session));
    if (!find_partition(books, tenure, stop))
        return OWNERSHIP_AGAIN;
    /* Three rounds suffice: holders ended, rewind looked up, taken. More is somebody's ill luck: the caller pauses. */
    for (int round = 0; retry && round < 4; round++)
    {
        retry = false;
        result = take_once(books, tenure, committed, &rewind, stop, &retry);
    }
    if (result != OWNERSHIP_TAKEN)
    {
        if (books->problem[0] == '\0')
            snprintf(books->problem, sizeof(books->problem), "partition %s/%d is held by another takeover",
                     tenure->topic, tenure->ownership.partition);
        return result;
    }
    books->problem[0] = '\0';
    tenure->published_known = committed > 0 ? committed : 0;
    tenure->published_reached = tenure->published_known;
    return result;
}

/* --- raising `published` ---------------------------------------------------------------------------------------- */

/* A zombie's late write must not land: fence and token are part of the condition. */
static const char raise_sql[] =
    "UPDATE interlock.partition_owner owner SET published = raised.published FROM unnest($1::int[], $2::bigint[], "
    "$3::uuid[], $4::bigint[]) AS raised (id, fence, token, published) WHERE owner.id = raised.id AND "
    "owner.fence = raised.fence AND owner.owner_token = raised.token AND owner.published < raised.published";

static const char give_back_sql[] =
    "UPDATE interlock.partition_owner owner SET owner_token = NULL FROM unnest($1::int[], $2::bigint[], $3::uuid[]) "
    "AS given (id, fence, token) WHERE owner.id = given.id AND owner.fence = given.fence AND "
    "owner.owner_token = given.token";

static void add_element(struct buffer *list, const char *text)
{
    buffer_add_byte(list, list->size == 0 ? '{' : ',');
    buffer_add_text(list, text);
}

static void end_list(struct buffer *list)
{
    buffer_add_byte(list, '}');
    buffer_add_byte(list, '\0');
}

static void collect_raise(struct ownership_books *books, struct tenure *const *tenures, int count)
{
    PGresult *result = NULL;
    enum session_answer answer = session_collect(books->session, &result);

    if (answer == SESSION_BUSY)
        return;
    bool raised = answer == SESSION_ANSWERED && result && !session_is_refused(books->session, result, NULL);
    PQclear(result);
    for (int i = 0; raised && i < books->raised_count; i++)
        for (int t = 0; t < count; t++)
            if (tenures[t]->ownership.partition_id == books->raised[i].partition_id &&
                tenures[t]->ownership.fence == books->raised[i].fence)
                tenures[t]->published_known = books->raised[i].reached;
    books->raised_count = 0;
}

static bool send_raise(struct ownership_books *books, struct tenure *const *tenures, int count)
{
    struct buffer lists[4] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    struct number_text text;
    char token[37];
    int raised = 0;

    for (int t = 0; t < count && raised < RAISED_MAX; t++)
    {
        const struct tenure *tenure = tenures[t];
        if (!tenure->live || tenure->published_reached <= tenure->published_known)
            continue;
        add_element(&lists[0], print_number(&text, tenure->ownership.partition_id));
        add_element(&lists[1], print_number(&text, tenure->ownership.fence));
        print_token(tenure->ownership.token, token);
        add_element(&lists[2], token);
        add_element(&lists[3], print_number(&text, tenure->published_reached));
        books->raised[raised].partition_id = tenure->ownership.partition_id;
        books->raised[raised].fence = tenure->ownership.fence;
        books->raised[raised].reached = tenure->published_reached;
        raised++;
    }
    const char *values[4];
    bool complete = raised > 0;
    for (int i = 0; i < 4; i++)
    {
        end_list(&lists[i]);
        values[i] = lists[i].at;
        complete = complete && !buffer_failed(&lists[i]);
    }
    books->raised_count = complete && session_send(books->session, raise_sql, 4, values) ? raised : 0;
    for (int i = 0; i < 4; i++)
        buffer_done(&lists[i]);
    return books->raised_count > 0;
}

void ownership_give_back(struct ownership_books *books, struct tenure *const *tenures, int count, int64_t wait_us)
{
    struct buffer lists[3] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    struct number_text text;
    char token[37];

    for (int t = 0; t < count; t++)
    {
        add_element(&lists[0], print_number(&text, tenures[t]->ownership.partition_id));
        add_element(&lists[1], print_number(&text, tenures[t]->ownership.fence));
        print_token(tenures[t]->ownership.token, token);
        add_element(&lists[2], token);
    }
    const char *values[3];
    bool complete = count > 0 && session_is_open(books->session);
    for (int i = 0; i < 3; i++)
    {
        end_list(&lists[i]);
        values[i] = lists[i].at;
        complete = complete && !buffer_failed(&lists[i]);
    }
    PGresult *given = complete ? session_run(books->session, give_back_sql, 3, values, wait_us, NULL) : NULL;
    PQclear(given);
    books->raised_count = 0;
    for (int i = 0; i < 3; i++)
        buffer_done(&lists[i]);
}

static bool reconnect(struct ownership_books *books)
{
    if (monotonic_us() < books->next_connect_us)
        return false;
    books->next_connect_us = monotonic_us() + RECONNECT_US;
    return session_connect(books->session, NULL);
}

void ownership_raise(struct ownership_books *books, struct tenure *const *tenures, int count, int64_t wait_us)
{
    int64_t deadline_us = monotonic_us() + wait_us;

    if (!session_is_open(books->session) && (wait_us > 0 || !reconnect(books)))
        return; /* a lag only costs */
    if (books->raised_count > 0)
        collect_raise(books, tenures, count);
    if (books->raised_count > 0 || !session_is_open(books->session) || !send_raise(books, tenures, count) ||
        wait_us == 0)
        return;
    PGresult *flushed = session_run(books->session, "SELECT 1", 0, NULL, deadline_us - monotonic_us(), NULL);
    PQclear(flushed);
    books->raised_count = 0;
}
