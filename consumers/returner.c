#include "consumers/returner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/clients.h"
#include "consumers/parcels.h"
#include "consumers/rights_watch.h"
#include "worker/fault_point.h"
#include "worker/log.h"
#include "worker/metrics.h"
#include "worker/monotonic.h"
#include "worker/session.h"
#include "worker/settings.h"

static const int64_t ROUND_US = 200000;        /* a due command is back well within a second */
static const int64_t COUNT_EVERY_US = 2000000; /* what status shows */
static const int64_t ANSWER_US = 5000000;      /* of one statement */
static const int64_t LOG_EVERY_US = 60000000;
static const int64_t DESTROY_US = 2000000;

enum
{
    POLL_MS = 100,
    COUNT_REST = 50, /* times as long as the count took */
    TIME_TEXT_MAX = 40,
};

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define RETURNER_BYTES_TEXT TEXT(RETURNER_BYTES)

/* What is due, was not published again lately, and waits for nothing that is not due itself. Published again after 2,
 * 4, 8, then every 10 seconds: a long backlog on the topic must not be made longer by what waits in it. 4812405: the
 * class of the lock, next to OWNERSHIP_LOCK_CLASS; one group has a schema (PROTOCOL O2), so the schema is the key. */
static const char claim_sql[] =
    "WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(4812405, 'interlock'::regnamespace::oid::int) AS "
    "ours), "
    "due AS MATERIALIZED (SELECT c.identity, c.place, coalesce(octet_length(c.value), 0) + "
    "coalesce(octet_length(c.headers), 0) + coalesce(octet_length(c.kafka_key), 0) AS size FROM "
    "interlock.parked_command c WHERE (SELECT ours FROM turn) "
    "AND c.due_at <= now() AND (c.returned_at IS NULL "
    "OR c.returned_at < now() - least(2 ^ least(c.returns, 4), 10) * interval '1 second') "
    "AND NOT EXISTS (SELECT 1 FROM interlock.parked_command e WHERE e.aggregate = c.aggregate AND e.place < c.place "
    "AND (c.waits OR (e.blocks AND e.partition_id = c.partition_id)) AND e.due_at > now()) "
    "ORDER BY c.place LIMIT 500 FOR UPDATE OF c SKIP LOCKED), "
    "sized AS (SELECT identity, sum(size) OVER (ORDER BY place) - size AS before FROM due), "
    "claimed AS (UPDATE interlock.parked_command p SET returned_at = clock_timestamp(), returns = p.returns + 1 "
    "FROM sized, interlock.partition_owner o WHERE p.identity = sized.identity AND o.id = p.partition_id "
    "AND sized.before < " RETURNER_BYTES_TEXT " "
    "RETURNING p.place, o.topic, o.partition, p.token, p.kafka_key, p.headers, p.value) "
    "SELECT topic, partition, token, kafka_key, headers, value FROM claimed ORDER BY place";

static const char count_sql[] =
    "SELECT count(*), count(*) FILTER (WHERE reason = 'notbefore'), count(*) FILTER (WHERE reason = 'held'), "
    "count(*) FILTER (WHERE reason = 'behind'), "
    "to_char(min(due_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "to_char(min(parked_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM interlock.parked_command";

struct summary
{
    int64_t commands, early, held, behind;
    char next_due[TIME_TEXT_MAX], oldest[TIME_TEXT_MAX];
};

struct returner
{
    const struct settings *settings;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct summary summary; /* under the mutex */

    /* Of its thread. */
    struct session *session;
    rd_kafka_t *producer;
    int64_t next_count_us;
    struct log_rate database_rate, kafka_rate;
};

/* --- publishing -------------------------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *owner)
{
    struct returner *returner = owner;

    (void)producer;
    rights_watch_suspect(message->err);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        metrics_add(METRIC_RETURNED, 1);
    else if (log_allowed(&returner->kafka_rate, LOG_EVERY_US))
        log_warning("returner: a parked command could not be published to %s yet: %s",
                    message->rkt ? rd_kafka_topic_name(message->rkt) : "its topic", rd_kafka_err2str(message->err));
}

static bool open_producer(struct returner *returner)
{
    struct buffer fault = BUFFER_EMPTY;

    if (returner->producer)
        return true;
    rd_kafka_conf_t *conf = clients_conf(returner->settings, CLIENT_IDEMPOTENT, &fault);
    if (conf)
    {
        rd_kafka_conf_set_opaque(conf, returner);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        returner->producer = clients_new(CLIENT_IDEMPOTENT, conf, &fault);
    }
    if (returner->producer == NULL && log_allowed(&returner->kafka_rate, LOG_EVERY_US))
        log_error("returner: no producer: %.*s", (int)fault.size, fault.at ? fault.at : "out of memory");
    buffer_done(&fault);
    return returner->producer != NULL;
}

struct bytes
{
    unsigned char *at; /* NULL: SQL null, or no memory */
    size_t size;
};

static struct bytes read_bytes(const PGresult *rows, int row, int column)
{
    struct bytes bytes = { NULL, 0 };

    if (!PQgetisnull(rows, row, column))
        bytes.at = PQunescapeBytea((const unsigned char *)PQgetvalue(rows, row, column), &bytes.size);
    return bytes;
}

/* The headers it came with, and the one that says it comes back. */
static rd_kafka_headers_t *make_headers(const struct bytes *kept, const char *token)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    struct span all = { (const char *)kept->at, kept->size }, name, value;

    for (size_t cursor = 0; parcel_header_of(all, &cursor, &name, &value);)
        if (!span_is(name, PARCEL_RETURN_HEADER))
            rd_kafka_header_add(headers, name.at, (ssize_t)name.size, value.at, value.at ? (ssize_t)value.size : 0);
    rd_kafka_header_add(headers, PARCEL_RETURN_HEADER, -1, token, -1);
    return headers;
}

static rd_kafka_resp_err_t produce(struct returner *returner, const char *topic, int32_t partition,
                                   const struct bytes *key, const struct bytes *value, rd_kafka_headers_t *headers)
{
    return rd_kafka_producev(returner->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key->at, key->size),
                             RD_KAFKA_V_VALUE(value->at, value->size), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
}

/* What there was no memory for must not go as nothing: it is claimed again. */
static rd_kafka_resp_err_t publish_bytes(struct returner *returner, const PGresult *rows, int row,
                                         const struct bytes *key, const struct bytes *kept, const struct bytes *value)
{
    if ((!key->at && !PQgetisnull(rows, row, 3)) || (!kept->at && !PQgetisnull(rows, row, 4)) || !value->at)
        return RD_KAFKA_RESP_ERR__FAIL;
    const char *topic = PQgetvalue(rows, row, 0);
    rd_kafka_headers_t *headers = make_headers(kept, PQgetvalue(rows, row, 2));
    rd_kafka_resp_err_t error =
        produce(returner, topic, (int32_t)strtol(PQgetvalue(rows, row, 1), NULL, 10), key, value, headers);

    /* A topic made anew with fewer partitions: its key says where. */
    if (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        error = produce(returner, topic, RD_KAFKA_PARTITION_UA, key, value, headers);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers); /* producev takes them only when it takes the message */
    return error;
}

static void publish_row(struct returner *returner, const PGresult *rows, int row)
{
    struct bytes key = read_bytes(rows, row, 3), kept = read_bytes(rows, row, 4), value = read_bytes(rows, row, 5);
    rd_kafka_resp_err_t error = publish_bytes(returner, rows, row, &key, &kept, &value);

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && log_allowed(&returner->kafka_rate, LOG_EVERY_US))
        log_warning("returner: a parked command of %s could not be published yet: %s", PQgetvalue(rows, row, 0),
                    error == RD_KAFKA_RESP_ERR__FAIL ? "out of memory" : rd_kafka_err2str(error));
    PQfreemem(key.at);
    PQfreemem(kept.at);
    PQfreemem(value.at);
}

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

/* NULL: the session is lost, or the server refused; said. */
static PGresult *ask(struct returner *returner, const char *sql)
{
    struct session_stop stop = { .flag = &returner->stopping, .fd = -1 };
    PGresult *rows = NULL;

    if (session_is_open(returner->session) || session_connect(returner->session, &stop))
        rows = session_run(returner->session, sql, 0, NULL, ANSWER_US, &stop);
    if (rows && !session_is_refused(returner->session, rows, NULL))
        return rows;
    PQclear(rows);
    if (!atomic_load(&returner->stopping) && log_allowed(&returner->database_rate, LOG_EVERY_US))
        log_warning("returner: %s: %s; parked commands wait", session_where(returner->session),
                    session_problem(returner->session));
    return NULL;
}

static void publish_due(struct returner *returner)
{
    /* What is still on its way out would only be claimed again. */
    if (!open_producer(returner) || rd_kafka_outq_len(returner->producer) > 0)
        return;
    PGresult *rows = ask(returner, claim_sql);
    /* Published or not, what was claimed comes again until it is decided. */
    bool lost = PQntuples(rows) > 0 && FAULT_POINT_FAILS(AFTER_CLAIM);
    for (int r = 0; r < PQntuples(rows) && !lost; r++)
    {
        publish_row(returner, rows, r);
        FAULT_POINT(AFTER_RETURN);
    }
    PQclear(rows);
}

static int64_t number_at(const PGresult *rows, int column)
{
    return strtoll(PQgetvalue(rows, 0, column), NULL, 10);
}

static void count_parked(struct returner *returner)
{
    int64_t begun_us = monotonic_us();
    PGresult *rows = begun_us < returner->next_count_us ? NULL : ask(returner, count_sql);

    if (rows == NULL)
        return;
    struct summary summary = { .commands = number_at(rows, 0),
                               .early = number_at(rows, 1),
                               .held = number_at(rows, 2),
                               .behind = number_at(rows, 3) };
    snprintf(summary.next_due, sizeof(summary.next_due), "%s", PQgetvalue(rows, 0, 4));
    snprintf(summary.oldest, sizeof(summary.oldest), "%s", PQgetvalue(rows, 0, 5));
    PQclear(rows);
    metrics_set(METRIC_PARKED_NOW, summary.commands);
    pthread_mutex_lock(&returner->mutex);
    returner->summary = summary;
    pthread_mutex_unlock(&returner->mutex);
    /* Where much is parked, counting it must stay a small part of the time. */
    int64_t ended_us = monotonic_us(), rest_us = COUNT_REST * (ended_us - begun_us);
    returner->next_count_us = ended_us + (rest_us > COUNT_EVERY_US ? rest_us : COUNT_EVERY_US);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static void wait_round(struct returner *returner)
{
    struct timespec until = monotonic_timespec(monotonic_us() + ROUND_US);

    pthread_mutex_lock(&returner->mutex);
    if (!atomic_load(&returner->stopping))
        pthread_cond_timedwait(&returner->wake, &returner->mutex, &until);
    pthread_mutex_unlock(&returner->mutex);
}

static void *returner_main(void *owner)
{
    struct returner *returner = owner;

    while (!atomic_load(&returner->stopping))
    {
        publish_due(returner);
        count_parked(returner);
        if (returner->producer)
            rd_kafka_poll(returner->producer, rd_kafka_outq_len(returner->producer) > 0 ? POLL_MS : 0);
        wait_round(returner);
    }
    return NULL;
}

static void free_parts(struct returner *returner)
{
    clients_destroy(returner->producer, DESTROY_US);
    session_free(returner->session);
    pthread_cond_destroy(&returner->wake);
    pthread_mutex_destroy(&returner->mutex);
    free(returner);
}

struct returner *returner_start(const struct settings *settings, const char **reterr)
{
    struct returner *returner = calloc(1, sizeof(*returner));
    pthread_condattr_t attributes;

    *reterr = "out of memory";
    if (returner == NULL)
        return NULL;
    returner->settings = settings;
    pthread_mutex_init(&returner->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&returner->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    returner->session = session_new(settings, "interlock returner");
    if (returner->session)
        *reterr = "no thread";
    if (returner->session && pthread_create(&returner->thread, NULL, returner_main, returner) == 0)
    {
        pthread_setname_np(returner->thread, "returner");
        return returner;
    }
    free_parts(returner);
    return NULL;
}

void returner_stop(struct returner *returner)
{
    if (returner == NULL)
        return;
    pthread_mutex_lock(&returner->mutex);
    atomic_store(&returner->stopping, true);
    pthread_cond_signal(&returner->wake);
    pthread_mutex_unlock(&returner->mutex);
    pthread_join(returner->thread, NULL);
    free_parts(returner);
}

static void add_count(struct buffer *json, const char *name, int64_t count)
{
    buffer_add_text(json, name);
    buffer_add_int64(json, count);
}

static void add_time(struct buffer *json, const char *name, const char *text)
{
    buffer_add_text(json, name);
    buffer_add_json_string(json, text[0] ? span_of(text) : SPAN_NULL);
}

void returner_print(struct returner *returner, struct buffer *json)
{
    pthread_mutex_lock(&returner->mutex);
    struct summary summary = returner->summary;
    pthread_mutex_unlock(&returner->mutex);

    add_count(json, "{\"commands\":", summary.commands);
    add_count(json, ",\"early\":", summary.early);
    add_count(json, ",\"held\":", summary.held);
    add_count(json, ",\"behind\":", summary.behind);
    add_time(json, ",\"next_due\":", summary.next_due);
    add_time(json, ",\"oldest\":", summary.oldest);
    buffer_add_byte(json, '}');
}
