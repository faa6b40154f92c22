#include "consumers/parking/returner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/rights_watch.h"
#include "consumers/message/delivery_pool.h"
#include "consumers/parking/claims.h"
#include "consumers/parking/operator_events.h"
#include "consumers/parking/parked_summary.h"
#include "consumers/parking/pause_watch.h"
#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/postgres/session.h"
#include "worker/settings/settings.h"
#include "workflows/describe/dead_letter_headers.h"

static const int64_t ROUND_US = 200000;           /* a due command is back well within a second */
static const int64_t COUNT_EVERY_US = 2000000;    /* the numbers that status shows */
static const int64_t COUNT_FAILED_US = 300000000; /* a count that failed would fail again */
static const int64_t GONE_EVERY_US = 30000000;    /* partitions that their topics have no more are looked for */
static const int64_t METADATA_US = 2000000;
static const int64_t ANSWER_US = 5000000; /* of one statement */
static const int64_t LAST_US = 1000000;   /* of the last one of all */
static const int64_t LOG_EVERY_US = 60000000;
static const int64_t DESTROY_US = 2000000;

enum
{
    POLL_MS = 100,
    POLLS_MAX = 20,  /* for the reports of one round; then the thread looks whether it is to stop */
    COUNT_REST = 50, /* times as long as the count took */
    RETURN_HEADERS_MAX =
        64 * 1024, /* bytes of key, value and headers: past this, only headers that are read go along */
};

/* A copy that is on its way. */
struct sent
{
    char identity[40], returns[16];
    int64_t offset;    /* CLAIM_NOT_SENT; -1: not known */
    int32_t partition; /* another one than its own; -1: its own */
    int32_t wanted;
};

struct returner
{
    const struct settings *settings;
    struct returner_guest guest;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct parked_summary summary; /* under the mutex */

    atomic_bool quiet;

    /* Of its thread. */
    struct session *session;
    struct claims *claims;
    struct operator_events *operator_events;
    struct pause_watch pauses;
    rd_kafka_t *producer;
    struct sent sent[CLAIMS_MAX];
    int sent_count;
    int64_t next_count_us, next_whole_us, next_gone_us;
    struct log_rate database_rate, kafka_rate, stuck_rate;
};

/* --- publishing -------------------------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *owner)
{
    struct returner *returner = owner;
    struct sent *sent = message->_private;

    (void)producer;
    rights_watch_suspect(message->err);
    if (operator_events_report(returner->operator_events, message))
        return;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        sent->offset = message->offset;
        sent->partition = message->partition == sent->wanted ? -1 : message->partition;
        metrics_add(METRIC_RETURNED, 1);
        return;
    }
    if (rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
        sent->offset = CLAIM_NOT_SENT;
    if (log_allowed(&returner->kafka_rate, LOG_EVERY_US))
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
        /* A return is its command and a header more. It has to fit where that did: what is compressed does, and several
         * together must not be larger than one may be. */
        clients_set(conf, "message.max.bytes", "2000000", &fault);
        clients_set(conf, "batch.size", "65536", &fault);
        clients_set(conf, "compression.codec", "gzip", &fault);
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

/* The headers that a command is read from. Of a large message nothing else goes along, so that a return is not larger
 * than the broker allows. The row keeps all of them. */
static bool is_read(struct span name, struct span value)
{
    bool of_events =
        name.size > 2 && (name.at[0] == 'c' || name.at[0] == 'C') && (name.at[1] == 'e' || name.at[1] == 'E');
    return value.size < RETURN_HEADERS_MAX / 2 &&
           (of_events || span_is(name, "content-type") || span_is(name, DEAD_LETTER_REDRIVE_COUNT) ||
            span_is(name, DELIVERY_UNTRIED_HEADER));
}

/* First the header that says that it comes back, since a reader keeps so many headers only. Then those it came with. */
static rd_kafka_headers_t *make_headers(const struct bytes *kept, const char *token, bool large)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    struct span all = { (const char *)kept->at, kept->size }, name, value;

    rd_kafka_header_add(headers, DELIVERY_RETURN_HEADER, -1, token, -1);
    for (size_t cursor = 0; delivery_header_of(all, &cursor, &name, &value);)
        if (!span_is(name, DELIVERY_RETURN_HEADER) && (!large || is_read(name, value)))
            rd_kafka_header_add(headers, name.at, (ssize_t)name.size, value.at, value.at ? (ssize_t)value.size : 0);
    return headers;
}

static rd_kafka_resp_err_t produce(struct returner *returner, const char *topic, int32_t partition,
                                   const struct bytes *key, const struct bytes *value, rd_kafka_headers_t *headers,
                                   struct sent *sent)
{
    return rd_kafka_producev(returner->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key->at, key->size),
                             RD_KAFKA_V_VALUE(value->at, value->size), RD_KAFKA_V_HEADERS(headers),
                             RD_KAFKA_V_OPAQUE(sent), RD_KAFKA_V_END);
}

/* A copy that there was no memory for must not go out empty: its row is claimed again. */
static rd_kafka_resp_err_t publish_bytes(struct returner *returner, const PGresult *rows, int row,
                                         const struct bytes *key, const struct bytes *kept, const struct bytes *value,
                                         struct sent *sent)
{
    if ((!key->at && !PQgetisnull(rows, row, CLAIM_KEY)) || (!kept->at && !PQgetisnull(rows, row, CLAIM_HEADERS)) ||
        !value->at)
        return RD_KAFKA_RESP_ERR__FAIL;
    const char *topic = PQgetvalue(rows, row, CLAIM_TOPIC);
    bool large = key->size + kept->size + value->size > RETURN_HEADERS_MAX;
    rd_kafka_headers_t *headers = make_headers(kept, PQgetvalue(rows, row, CLAIM_TOKEN), large);
    rd_kafka_resp_err_t error = produce(returner, topic, sent->wanted, key, value, headers, sent);

    /* The topic was created again with fewer partitions: the key says where. */
    if (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        error = produce(returner, topic, RD_KAFKA_PARTITION_UA, key, value, headers, sent);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers); /* producev takes them only when it takes the message */
    return error;
}

static struct sent *note_sent(struct returner *returner, const PGresult *rows, int row)
{
    struct sent *sent = &returner->sent[returner->sent_count++];

    *sent = (struct sent){ .offset = -1,
                           .partition = -1,
                           .wanted = (int32_t)strtol(PQgetvalue(rows, row, CLAIM_PARTITION), NULL, 10) };
    snprintf(sent->identity, sizeof(sent->identity), "%s", PQgetvalue(rows, row, CLAIM_IDENTITY));
    snprintf(sent->returns, sizeof(sent->returns), "%s", PQgetvalue(rows, row, CLAIM_RETURNS));
    return sent;
}

static void publish_row(struct returner *returner, const PGresult *rows, int row)
{
    struct bytes key = read_bytes(rows, row, CLAIM_KEY), kept = read_bytes(rows, row, CLAIM_HEADERS),
                 value = read_bytes(rows, row, CLAIM_VALUE);
    struct sent *sent = note_sent(returner, rows, row);
    rd_kafka_resp_err_t error = publish_bytes(returner, rows, row, &key, &kept, &value, sent);

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        sent->offset = CLAIM_NOT_SENT;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR && log_allowed(&returner->kafka_rate, LOG_EVERY_US))
        log_warning("returner: a parked command of %s could not be published yet: %s",
                    PQgetvalue(rows, row, CLAIM_TOPIC),
                    error == RD_KAFKA_RESP_ERR__FAIL ? "out of memory" : rd_kafka_err2str(error));
    PQfreemem(key.at);
    PQfreemem(kept.at);
    PQfreemem(value.at);
}

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

/* The server ends a statement that would not be waited for. */
static bool connect_session(struct returner *returner, const struct session_stop *stop)
{
    if (session_is_open(returner->session))
        return true;
    if (!session_connect(returner->session, stop))
        return false;
    PGresult *set =
        session_run(returner->session, "SELECT set_config('statement_timeout', '4s', false)", 0, NULL, ANSWER_US, stop);
    bool done = set && !session_is_refused(returner->session, set, NULL);
    PQclear(set);
    return done;
}

/* NULL: the session is lost, or the server refused; said. */
static PGresult *ask(void *owner, const char *sql, int count, const char *const *values)
{
    struct returner *returner = owner;
    struct session_stop stop = { .flag = &returner->stopping, .fd = -1 };
    PGresult *rows = NULL;

    if (connect_session(returner, &stop))
        rows = session_run(returner->session, sql, count, values, ANSWER_US, &stop);
    if (rows && !session_is_refused(returner->session, rows, NULL))
        return rows;
    PQclear(rows);
    if (!atomic_load(&returner->stopping) && log_allowed(&returner->database_rate, LOG_EVERY_US))
        log_warning("returner: %s: %s; parked commands wait", session_where(returner->session),
                    session_problem(returner->session));
    return NULL;
}

static PGresult *ask_last(void *owner, const char *sql, int count, const char *const *values)
{
    struct returner *returner = owner;
    return session_run(returner->session, sql, count, values, LAST_US, &(struct session_stop){ .fd = -1 });
}

/* How many partitions a topic has; -1: not known. */
static int count_partitions(void *owner, const char *name)
{
    struct returner *returner = owner;
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(returner->producer, name, NULL);
    int count = -1;

    if (topic &&
        rd_kafka_metadata(returner->producer, 0, topic, &metadata, METADATA_US / 1000) == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            count = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
    }
    if (topic)
        rd_kafka_topic_destroy(topic);
    return count;
}

/* Whether a copy was sent is not known: should it have been, it is below the end. */
static void find_unknown(struct returner *returner, const PGresult *rows, int row)
{
    int64_t low, high;
    rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
        returner->producer, PQgetvalue(rows, row, CLAIM_TOPIC),
        (int32_t)strtol(PQgetvalue(rows, row, CLAIM_PARTITION), NULL, 10), &low, &high, METADATA_US / 1000);

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
        claims_add(returner->claims, PQgetvalue(rows, row, CLAIM_IDENTITY), PQgetvalue(rows, row, CLAIM_RETURNS),
                   error == RD_KAFKA_RESP_ERR_NO_ERROR ? high - 1 : -1, -1);
}

/* Where the copies are that have left; what is not known is found out later. */
static void report_sent(struct returner *returner)
{
    for (int i = 0; i < returner->sent_count; i++)
        if (returner->sent[i].offset != -1)
            claims_add(returner->claims, returner->sent[i].identity, returner->sent[i].returns,
                       returner->sent[i].offset, returner->sent[i].partition);
    returner->sent_count = 0;
    claims_report(returner->claims);
}

static void publish_due(struct returner *returner)
{
    /* Copies that are still on their way out come first: their position has to be known before their rows are claimed
     * again. It is reported a round later, because a worker that decides a copy now must not find its row locked; most
     * rows are gone by then. */
    if (!open_producer(returner) || rd_kafka_outq_len(returner->producer) > 0)
        return;
    report_sent(returner);
    if (atomic_load(&returner->quiet))
        return;
    if (monotonic_us() >= returner->next_gone_us)
    {
        claims_find_gone(returner->claims, count_partitions);
        returner->next_gone_us = monotonic_us() + GONE_EVERY_US;
    }
    PGresult *rows = claims_take(returner->claims);
    /* Published or not, what was claimed comes again until it is decided. */
    bool lost = PQntuples(rows) > 0 && FAULT_POINT_FAILS(AFTER_CLAIM);
    for (int r = 0; r < PQntuples(rows) && !lost; r++)
        if (strcmp(PQgetvalue(rows, r, CLAIM_KIND), CLAIM_COPY) == 0)
        {
            publish_row(returner, rows, r);
            FAULT_POINT(AFTER_RETURN);
        }
        else if (strcmp(PQgetvalue(rows, r, CLAIM_KIND), CLAIM_UNKNOWN) == 0)
            find_unknown(returner, rows, r);
    PQclear(rows);
}

/* The first of those whose row is held, once a minute. */
static void tell_stuck(struct returner *returner, const struct parked_summary *summary)
{
    const struct parked_stuck *first = &summary->stuck[0];

    if (summary->stuck_count > 0 && log_allowed(&returner->stuck_rate, LOG_EVERY_US))
        log_warning(
            "returner: parked, because their rows are held by others: %s%d; the first: %s, %s %s of %s/%s, since "
            "%s, parked %s times",
            summary->stuck_count == PARKED_STUCK_MAX ? "at least " : "", summary->stuck_count, first->aggregate,
            first->type, first->id, first->topic, first->partition, first->parked_at, first->parkings);
}

static void count_parked(struct returner *returner)
{
    int64_t begun_us = monotonic_us();

    if (begun_us < returner->next_count_us)
        return;
    struct parked_summary summary = returner->summary; /* written by this thread only */
    PGresult *named = ask(returner, parked_stuck_sql, 0, NULL);
    PGresult *counted = named && begun_us >= returner->next_whole_us ? ask(returner, parked_count_sql, 0, NULL) : NULL;
    int64_t ended_us = monotonic_us(), rest_us = COUNT_REST * (ended_us - begun_us);

    returner->next_count_us = ended_us + COUNT_EVERY_US;
    if (named)
        parked_summary_name(&summary, named);
    if (counted)
    {
        parked_summary_count(&summary, counted);
        if (summary.commands == 0) /* then no batch need look for any */
            PQclear(ask(returner, "SELECT interlock.clear_parking()", 0, NULL));
        /* Where much is parked, counting it must stay a small part of the time. */
        returner->next_whole_us = ended_us + (rest_us > COUNT_EVERY_US ? rest_us : COUNT_EVERY_US);
    }
    else if (named && begun_us >= returner->next_whole_us)
        returner->next_whole_us = ended_us + COUNT_FAILED_US;
    PQclear(named);
    PQclear(counted);
    tell_stuck(returner, &summary);
    pthread_mutex_lock(&returner->mutex);
    returner->summary = summary;
    pthread_mutex_unlock(&returner->mutex);
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
        pause_watch_step(&returner->pauses, monotonic_us());
        publish_due(returner);
        if (returner->producer && !atomic_load(&returner->quiet))
            operator_events_step(returner->operator_events, returner->producer);
        count_parked(returner);
        returner->guest.round(returner->guest.owner, ask, returner);
        for (int i = 0; returner->producer && i < POLLS_MAX && rd_kafka_outq_len(returner->producer) > 0; i++)
            rd_kafka_poll(returner->producer, POLL_MS);
        wait_round(returner);
    }
    if (session_is_open(returner->session))
        returner->guest.leave(returner->guest.owner, ask_last, returner);
    return NULL;
}

static void free_parts(struct returner *returner)
{
    clients_destroy(returner->producer, DESTROY_US);
    session_free(returner->session);
    claims_free(returner->claims);
    operator_events_free(returner->operator_events);
    pause_watch_done(&returner->pauses);
    pthread_cond_destroy(&returner->wake);
    pthread_mutex_destroy(&returner->mutex);
    free(returner);
}

struct returner *returner_start(const struct settings *settings, struct pause_board *board,
                                const struct returner_guest *guest, const char **reterr)
{
    struct returner *returner = calloc(1, sizeof(*returner));

    *reterr = "out of memory";
    if (returner == NULL)
        return NULL;
    returner->settings = settings;
    returner->guest = *guest;
    pthread_mutex_init(&returner->mutex, NULL);
    condition_init(&returner->wake);
    returner->session = session_new(settings, "interlock returner");
    returner->claims = claims_new(ask, returner);
    returner->pauses = (struct pause_watch){ .ask = ask, .owner = returner, .board = board, .settings = settings };
    returner->operator_events = operator_events_new(settings->kafka.audit_topic, ask, returner);
    bool made = returner->session && returner->claims && returner->operator_events;
    if (made)
        *reterr = "no thread";
    if (made && pthread_create(&returner->thread, NULL, returner_main, returner) == 0)
    {
        pthread_setname_np(returner->thread, "returner");
        return returner;
    }
    free_parts(returner);
    return NULL;
}

void returner_quiet(struct returner *returner)
{
    if (returner)
        atomic_store(&returner->quiet, true);
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

void returner_print(struct returner *returner, struct buffer *json)
{
    pthread_mutex_lock(&returner->mutex);
    struct parked_summary summary = returner->summary;
    pthread_mutex_unlock(&returner->mutex);

    parked_summary_print(&summary, json);
}
