#include "consumers/takeover/published.h"

#include <stdio.h>

#include "consumers/takeover/partition_owner_private.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/settings/settings.h"

/* `published` in PostgreSQL lags by this at the most. A lag costs a look-up after a foreign commit; a raise costs a row
 * version, which stays for as long as somebody holds an old snapshot. */
static const int64_t RAISE_EVERY_US = 3000000;
static const int64_t RECONNECT_US = 5000000; /* between two attempts while only `published` is to be raised */

/* --- the takeover ------------------------------------------------------------------------------------------------ */

bool published_claim(struct partition_owner *owners, struct owned_partition *owned, int64_t reached,
                     const struct session_stop *stop, int64_t *ret_published, struct audit_positions *ret_from)
{
    static const char sql[] =
        "INSERT INTO interlock.partition_published AS p (partition_id, fence, owner_token, published) "
        "VALUES ($1::int, $2::bigint, $3::uuid, $4::bigint) ON CONFLICT (partition_id) DO UPDATE SET "
        "fence = excluded.fence, owner_token = excluded.owner_token, "
        "published = greatest(p.published, excluded.published), pause_epoch = 0 "
        "RETURNING published, CASE WHEN audit_topic = $5 THEN audit_from::text END, "
        "coalesce((SELECT k.pause_epoch FROM interlock.parking k), 0), EXISTS (SELECT FROM interlock.pause z WHERE "
        "z.resumed_at IS NULL AND (z.ends_at IS NULL OR z.ends_at > clock_timestamp()) AND CASE z.scope "
        "WHEN 'all' THEN true WHEN 'topic' THEN z.target = $6::text WHEN 'partition' THEN z.target = $7::text "
        "ELSE false END)";
    struct number_text id, fence, reached_text;
    char whole[TOPIC_NAME_MAX + 16];
    char token[TOKEN_TEXT_SIZE];
    const char *values[7] = { partition_owner_print_number(&id, owned->partition.partition_id),
                              partition_owner_print_number(&fence, owned->partition.fence),
                              token,
                              partition_owner_print_number(&reached_text, reached > 0 ? reached : 0),
                              owners->settings->kafka.audit_topic,
                              owned->topic,
                              whole };

    partition_owner_print_token(owned->partition.token, token);
    snprintf(whole, sizeof(whole), "%s/%d", owned->topic, owned->partition.number);
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, sql, 7, values, stop);
    if (result == NULL)
        return false;
    owned->pause_epoch = partition_owner_read_number(result, 0, 2);
    owned->begins_on_pause = *PQgetvalue(result, 0, 3) == 't';
    *ret_published = partition_owner_read_number(result, 0, 0);
    audit_positions_read(ret_from, PQgetvalue(result, 0, 1));
    return true;
}

bool published_pass(struct partition_owner *owners, const struct owned_partition *owned, int64_t to,
                    const struct session_stop *stop)
{
    static const char sql[] = "UPDATE interlock.partition_published SET published = greatest(published, $4::bigint) "
                              "WHERE partition_id = $1::int AND fence = $2::bigint AND owner_token = $3::uuid";
    struct number_text id, fence, to_text;
    char token[TOKEN_TEXT_SIZE];
    const char *values[4] = { partition_owner_print_number(&id, owned->partition.partition_id),
                              partition_owner_print_number(&fence, owned->partition.fence), token,
                              partition_owner_print_number(&to_text, to) };

    partition_owner_print_token(owned->partition.token, token);
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, sql, 4, values, stop);
    if (result == NULL)
        return false;
    return PQcmdTuples(result)[0] == '1' || partition_owner_fail(owners, "somebody else has taken the partition over");
}

/* Nothing is applied twice by it. Offsets that expired and a recreated topic look like offsets moved on purpose. */
static void tell_rewind(const struct owned_partition *owned, int64_t below, int64_t start)
{
    struct number_text to;

    metrics_add(METRIC_REWINDS, 1);
    log_warning("ownership: %s/%d: offsets went back from %lld to %s: what lies between is read again", owned->topic,
                owned->partition.number, (long long)below,
                start < 0 ? "the beginning" : partition_owner_print_number(&to, start));
}

bool published_begin_at(struct partition_owner *owners, struct owned_partition *owned, int64_t below, int64_t start,
                        const struct session_stop *stop)
{
    static const char sql[] =
        "WITH moved AS (UPDATE interlock.partition_published SET published = $5::bigint WHERE partition_id = $1::int "
        "AND fence = $2::bigint AND owner_token = $3::uuid RETURNING partition_id), "
        "rewound AS (INSERT INTO interlock.partition_rewind (partition_id, fence, below) "
        "SELECT partition_id, $2::bigint, $4::bigint FROM moved WHERE $4::bigint > $5::bigint RETURNING 1) "
        "SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM rewound)";
    struct number_text id, fence, below_text, start_text;
    char token[TOKEN_TEXT_SIZE];
    int64_t begin = start > 0 ? start : 0;
    const char *values[5] = { partition_owner_print_number(&id, owned->partition.partition_id),
                              partition_owner_print_number(&fence, owned->partition.fence), token,
                              partition_owner_print_number(&below_text, below),
                              partition_owner_print_number(&start_text, begin) };

    partition_owner_print_token(owned->partition.token, token);
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, sql, 5, values, stop);
    if (result == NULL)
        return false;
    if (partition_owner_read_number(result, 0, 0) != 1)
        return partition_owner_fail(owners, "somebody else has taken the partition over");
    if (partition_owner_read_number(result, 0, 1) > 0)
        tell_rewind(owned, below, start);
    owned->publisher.published_known = owned->publisher.published_reached = begin;
    return true;
}

/* --- raising it -------------------------------------------------------------------------------------------------- */

/* A zombie's late write must not land: fence and token are part of the condition, and stand in the row itself, because
 * an UPDATE that had to wait for a row looks again at that row alone. */
static const char raise_sql[] =
    "UPDATE interlock.partition_published p SET published = raised.published, "
    "audit_topic = coalesce($5::text, p.audit_topic), audit_from = coalesce($6::bigint[], p.audit_from) "
    "FROM unnest($1::int[], $2::bigint[], $3::uuid[], $4::bigint[]) AS raised (id, fence, token, published) "
    "WHERE p.partition_id = raised.id AND p.fence = raised.fence AND p.owner_token = raised.token AND "
    "p.published < raised.published";

static void collect_raise(struct partition_owner *owners, struct owned_partition *const *owned_partitions, int count)
{
    PGresult *result = NULL;
    enum session_answer answer = session_collect(owners->session, &result);

    if (answer == SESSION_BUSY)
        return;
    bool raised = answer == SESSION_ANSWERED && result && !session_is_refused(owners->session, result, NULL);
    PQclear(result);
    for (int i = 0; raised && i < owners->raised_count; i++)
        for (int t = 0; t < count; t++)
            if (owned_partitions[t]->partition.partition_id == owners->raised[i].partition_id &&
                owned_partitions[t]->partition.fence == owners->raised[i].fence)
                owned_partitions[t]->publisher.published_known = owners->raised[i].reached;
    owners->raised_count = 0;
}

static bool send_raise(struct partition_owner *owners, struct owned_partition *const *owned_partitions, int count,
                       const struct audit_positions *from)
{
    struct buffer lists[4] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY }, positions = BUFFER_EMPTY;
    struct number_text text;
    char token[TOKEN_TEXT_SIZE];
    int raised = 0;

    for (int t = 0; t < count && raised < RAISED_MAX; t++)
    {
        const struct owned_partition *owned = owned_partitions[t];
        if (!owned_is_live(owned) || owned->publisher.published_reached <= owned->publisher.published_known)
            continue;
        partition_owner_add_element(&lists[0], partition_owner_print_number(&text, owned->partition.partition_id));
        partition_owner_add_element(&lists[1], partition_owner_print_number(&text, owned->partition.fence));
        partition_owner_print_token(owned->partition.token, token);
        partition_owner_add_element(&lists[2], token);
        partition_owner_add_element(&lists[3], partition_owner_print_number(&text, owned->publisher.published_reached));
        owners->raised[raised].partition_id = owned->partition.partition_id;
        owners->raised[raised].fence = owned->partition.fence;
        owners->raised[raised].reached = owned->publisher.published_reached;
        raised++;
    }
    audit_positions_print(from, &positions);
    buffer_add_byte(&positions, '\0');
    bool known = from->count > 0;
    const char *values[6] = {
        [4] = known ? owners->settings->kafka.audit_topic : NULL, [5] = known ? positions.at : NULL
    };
    bool complete = raised > 0 && !buffer_failed(&positions);
    for (int i = 0; i < 4; i++)
    {
        partition_owner_end_list(&lists[i]);
        values[i] = lists[i].at;
        complete = complete && !buffer_failed(&lists[i]);
    }
    owners->raised_count = complete && session_send(owners->session, raise_sql, 6, values) ? raised : 0;
    for (int i = 0; i < 4; i++)
        buffer_done(&lists[i]);
    buffer_done(&positions);
    return owners->raised_count > 0;
}

static bool reconnect(struct partition_owner *owners)
{
    if (monotonic_us() < owners->next_connect_us)
        return false;
    owners->next_connect_us = monotonic_us() + RECONNECT_US;
    return session_connect(owners->session, NULL);
}

static bool is_anything_new(struct owned_partition *const *owned_partitions, int count)
{
    for (int i = 0; i < count; i++)
        if (owned_is_live(owned_partitions[i]) &&
            owned_partitions[i]->publisher.published_reached > owned_partitions[i]->publisher.published_known)
            return true;
    return false;
}

void published_raise(struct partition_owner *owners, struct owned_partition *const *owned_partitions, int count,
                     const struct audit_positions *from, int64_t wait_us)
{
    int64_t deadline_us = monotonic_us() + wait_us;

    if (owners->raised_count > 0)
        collect_raise(owners, owned_partitions, count);
    if ((wait_us == 0 && monotonic_us() < owners->next_raise_us) || !is_anything_new(owned_partitions, count))
        return;
    owners->next_raise_us = monotonic_us() + RAISE_EVERY_US;
    if (!session_is_open(owners->session) && (wait_us > 0 || !reconnect(owners)))
        return; /* a lag only costs */
    if (owners->raised_count > 0 || !session_is_open(owners->session) ||
        !send_raise(owners, owned_partitions, count, from) || wait_us == 0)
        return;
    PGresult *flushed = session_run(owners->session, "SELECT 1", 0, NULL, deadline_us - monotonic_us(), NULL);
    PQclear(flushed);
    owners->raised_count = 0;
}
