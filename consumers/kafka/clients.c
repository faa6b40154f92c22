#include "consumers/kafka/clients.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/contact.h"
#include "consumers/kafka/login.h"
#include "consumers/kafka/monotonic_cnd.h"
#include "consumers/kafka/spin_brake.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/settings/settings.h"

enum kind_set /* bits of enum client_kind */
{
    FOR_CONSUMER = 1 << CLIENT_CONSUMER,
    FOR_TRANSACTIONAL = 1 << CLIENT_TRANSACTIONAL,
    FOR_IDEMPOTENT = 1 << CLIENT_IDEMPOTENT,
    FOR_READER = 1 << CLIENT_READER,
    FOR_ADMIN = 1 << CLIENT_ADMIN,
    FOR_PROBE = 1 << CLIENT_PROBE,
    FOR_PRODUCERS = FOR_TRANSACTIONAL | FOR_IDEMPOTENT,
    FOR_FETCHERS = FOR_CONSUMER | FOR_READER,
    FOR_ALL = FOR_FETCHERS | FOR_PRODUCERS | FOR_ADMIN | FOR_PROBE,
};

static const int64_t DRAIN_SLACK_US = 10000000; /* of a rebalance callback, besides the drain itself */

/* Set before the operator's own pairs (kafka.consumer, kafka.producer), which may change them. */
static const struct client_default
{
    unsigned kinds;
    const char *name, *value;
} defaults[] = {
    /* Off by default in 2.0.2 only: it costs 40 ms where two small requests follow one another. */
    { FOR_ALL, "socket.nagle.disable", "true" },
    /* The default of 10 s between two attempts made a broker that was gone for 5 s come back after 24 s. */
    { FOR_ALL, "reconnect.backoff.ms", "100" },
    { FOR_ALL, "reconnect.backoff.max.ms", "1000" },
    /* The default of 30 s leaves a connection to the kernel's retransmissions, which are half a minute apart by then.
     */
    { FOR_ALL, "socket.connection.setup.timeout.ms", "5000" },
    { FOR_ALL, "socket.keepalive.enable", "true" },
    /* A broker that ends a connection at once often wants TLS or a login (contact.h); see is_news. */
    { FOR_ALL, "log.connection.close", "true" },
    { FOR_ALL, "topic.metadata.refresh.interval.ms", "60000" },
    /* Messages fetched ahead. 2.0.2 looks again only a second after the queue was full, which would cost a third of the
     * rate at this size; the cell asks for more before that (assignment_nudge). */
    { FOR_FETCHERS, "queued.min.messages", "20000" }, /* each costs librdkafka half a KiB besides its bytes */
    { FOR_FETCHERS, "queued.max.messages.kbytes", "4096" },
    { FOR_FETCHERS, "fetch.message.max.bytes", "1048576" },
    { FOR_FETCHERS, "fetch.max.bytes", "4194304" },
    { FOR_FETCHERS, "receive.message.max.bytes", "16777216" },
    { FOR_FETCHERS, "fetch.min.bytes", "1" },
    { FOR_FETCHERS, "fetch.wait.max.ms", "500" }, /* only how long an empty fetch is parked at the broker */
    { FOR_FETCHERS, "fetch.error.backoff.ms", "100" },
    { FOR_CONSUMER, "partition.assignment.strategy", "range" }, /* eager: notes of PROTOCOL K2; one key, one process */
    /* A publication is 8 MiB and one event; by default a gigabyte would fit. */
    { FOR_PRODUCERS, "queue.buffering.max.kbytes", "16384" },
    { FOR_PRODUCERS | FOR_ADMIN, "receive.message.max.bytes", "16777216" },
    { FOR_PRODUCERS, "linger.ms", "0" },                /* the publisher gathers by itself */
    { FOR_PRODUCERS, "partitioner", "murmur2_random" }, /* as the Java client: one aggregate, one partition */
    /* Mostly the wait for the markers of the transaction before (see producer_send_offsets), which take a few ms. */
    { FOR_PRODUCERS, "retry.backoff.ms", "2" },
    { 0, NULL, NULL },
};

/* The same of names that 2.0.2 does not know: set where the library knows them. */
static const struct client_default newer_defaults[] = {
    /* Since 2.3.0 retry.backoff.ms is doubled each time, up to a second, with a jitter. */
    { FOR_PRODUCERS, "retry.backoff.max.ms", "8" },
    /* Since 2.2.0 the second that a full queue rests is a setting. */
    { FOR_FETCHERS, "fetch.queue.backoff.ms", "50" },
    /* 2.5.0 to 2.8.0 wait a second for their telemetry when a handle ends. Nobody reads it here. */
    { FOR_ALL, "enable.metrics.push", "false" },
    { 0, NULL, NULL },
};

/* Set after the operator's pairs: what the protocol rests on. */
static const struct client_default fixed[] = {
    { FOR_FETCHERS, "enable.auto.commit", "false" },
    { FOR_FETCHERS, "enable.auto.offset.store", "false" },
    { FOR_FETCHERS, "isolation.level", "read_committed" },
    { FOR_CONSUMER, "enable.partition.eof", "true" }, /* the last stable offset: consumers/partition/backlog.h */
    { FOR_READER, "enable.partition.eof", "false" },
    { FOR_CONSUMER, "auto.offset.reset", "error" }, /* PROTOCOL O5 */
    { FOR_READER, "auto.offset.reset", "error" },
    { FOR_PRODUCERS, "enable.idempotence", "true" },
    { FOR_PRODUCERS, "acks", "all" },
    { FOR_PROBE, "enable.idempotence", "false" },
    { FOR_PROBE, "acks", "2" }, /* only -1, 0 and 1 mean something to a broker */
    { FOR_PROBE, "message.send.max.retries", "0" },
    { FOR_PROBE, "message.timeout.ms", "8000" },
    { FOR_PROBE, "linger.ms", "0" },
    { FOR_ALL, "statistics.interval.ms", "0" },
    { 0, NULL, NULL },
};

/* Brokers close idle connections all day, and an attempt that the library repeats is told by who waits for it
 * (consumers/kafka/problem.h). syslog's levels: 3 error, 4 warning, 5 notice, 6 info. */
static bool is_news(int level, const char *text)
{
    return level <= 4 && strstr(text, ": Disconnected") == NULL && strstr(text, ": retrying") == NULL;
}

static const int64_t TRY_US = 3000000; /* of ending a handle that was only tried */

static atomic_bool news_wanted = true;

void clients_log_news(bool wanted)
{
    atomic_store(&news_wanted, wanted);
}

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    if (strcmp(facility, "FAIL") == 0)
        contact_note(client, text);
    /* An error that is fatal for a handle is not for us: the handle is replaced. */
    enum log_level ours = atomic_load(&news_wanted) && is_news(level, text) ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG;
    static struct log_rate rate;
    if (ours != LOG_LEVEL_WARNING || log_allowed(&rate, 1000000))
        log_write(ours, "kafka: %s: %s", facility, text);
}

/* Without a callback librdkafka logs the same again through on_log; what an error means is told by the call it hits. */
static void on_error(rd_kafka_t *client, int error, const char *reason, void *owner)
{
    (void)client;
    (void)owner;
    log_debug("kafka: %s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)error), reason);
}

bool clients_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct buffer *reterr)
{
    char problem[256];

    if (rd_kafka_conf_set(conf, name, value, problem, sizeof(problem)) == RD_KAFKA_CONF_OK)
        return true;
    buffer_add_text(reterr, problem);
    return false;
}

static bool set_table(rd_kafka_conf_t *conf, const struct client_default *table, enum client_kind kind,
                      struct buffer *reterr)
{
    for (; table->name; table++)
        if ((table->kinds & (1u << kind)) && !clients_set(conf, table->name, table->value, reterr))
            return false;
    return true;
}

static void set_where_known(rd_kafka_conf_t *conf, enum client_kind kind)
{
    char problem[256];

    for (const struct client_default *at = newer_defaults; at->name; at++)
        if (at->kinds & (1u << kind))
            (void)rd_kafka_conf_set(conf, at->name, at->value, problem, sizeof(problem));
}

static const char *section_of(enum client_kind kind)
{
    return ((1u << kind) & FOR_FETCHERS) ? "kafka.consumer" : "kafka.producer";
}

static bool set_pairs(rd_kafka_conf_t *conf, const struct settings *settings, enum client_kind kind,
                      struct buffer *reterr)
{
    const struct settings_pairs *pairs =
        ((1u << kind) & FOR_FETCHERS) ? &settings->kafka.consumer : &settings->kafka.producer;
    struct buffer why = BUFFER_EMPTY;
    bool good = true;

    for (int i = 0; i < pairs->count && good; i++)
        good = clients_set(conf, pairs->at[i].name, pairs->at[i].value, &why);
    good = good && login_is_possible(conf, &why);
    if (!good)
    {
        buffer_add_text(reterr, section_of(kind));
        buffer_add_text(reterr, ": ");
        buffer_add_span(reterr, buffer_span(&why));
    }
    buffer_done(&why);
    return good;
}

static bool set_ms(rd_kafka_conf_t *conf, const char *name, int64_t us, struct buffer *reterr)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)(us / 1000));
    return clients_set(conf, name, text, reterr);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t clients_poll_interval_us(const struct settings *settings)
{
    int64_t drain_us = settings->consumers.drain_timeout_us + DRAIN_SLACK_US;
    int64_t session_us = settings->consumers.session_timeout_us; /* librdkafka wants it to be no longer */

    return drain_us > session_us ? drain_us : session_us;
}

/* The unsubscribed readers have no session, and the same limits between the two. */
static bool set_fetcher_times(rd_kafka_conf_t *conf, const struct settings *settings, struct buffer *reterr)
{
    int64_t session_us = settings->consumers.session_timeout_us;

    return set_ms(conf, "session.timeout.ms", session_us, reterr) &&
           set_ms(conf, "heartbeat.interval.ms", smaller(session_us / 3, 3000000), reterr) &&
           (!settings->protections.watchdog ||
            set_ms(conf, "max.poll.interval.ms", clients_poll_interval_us(settings), reterr)) &&
           set_ms(conf, "socket.timeout.ms", 10000000, reterr);
}

/* Timeouts that follow from our settings: librdkafka refuses a message timeout above the transaction's, and a request
 * must be given up well before the broker ends the transaction it belongs to. */
static bool set_times(rd_kafka_conf_t *conf, const struct settings *settings, enum client_kind kind,
                      struct buffer *reterr)
{
    int64_t transaction_us = settings->consumers.transaction_timeout_us;

    if (kind == CLIENT_CONSUMER || kind == CLIENT_READER)
        return set_fetcher_times(conf, settings, reterr);
    if (kind == CLIENT_TRANSACTIONAL)
        return set_ms(conf, "transaction.timeout.ms", transaction_us, reterr) &&
               set_ms(conf, "message.timeout.ms", transaction_us, reterr) &&
               set_ms(conf, "socket.timeout.ms", smaller(transaction_us / 2, 10000000), reterr);
    if (kind == CLIENT_IDEMPOTENT)
        return set_ms(conf, "message.timeout.ms", 30000000, reterr) &&
               set_ms(conf, "socket.timeout.ms", 10000000, reterr);
    return set_ms(conf, "socket.timeout.ms", 10000000, reterr);
}

static const int SPINS_BELOW = 0x02040000; /* consumers/kafka/spin_brake.h */

/* Without `bootstrap` the handle has nobody to connect to. */
static rd_kafka_conf_t *make_conf(const struct settings *settings, enum client_kind kind, const char *bootstrap,
                                  struct buffer *reterr)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool fetches = ((1u << kind) & FOR_FETCHERS) != 0;

    monotonic_cnd_use(settings->protections.steady_waits);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    set_where_known(conf, kind);
    if ((bootstrap == NULL || clients_set(conf, "bootstrap.servers", bootstrap, reterr)) &&
        clients_set(conf, "client.id", "interlock", reterr) && set_table(conf, defaults, kind, reterr) &&
        set_times(conf, settings, kind, reterr) && set_pairs(conf, settings, kind, reterr) &&
        set_table(conf, fixed, kind, reterr) &&
        (!fetches || clients_set(conf, "group.id", settings->kafka.group, reterr)))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

rd_kafka_conf_t *clients_conf(const struct settings *settings, enum client_kind kind, struct buffer *reterr)
{
    return make_conf(settings, kind, settings->kafka.bootstrap, reterr);
}

rd_kafka_t *clients_new(enum client_kind kind, rd_kafka_conf_t *conf, struct buffer *reterr)
{
    char problem[512];
    bool fetches = kind == CLIENT_CONSUMER || kind == CLIENT_READER;
    static struct log_rate rate;

    spin_brake_use(rd_kafka_version() < SPINS_BELOW && spin_brake_is_found());
    if (!monotonic_cnd_is_found() && log_allowed(&rate, INT64_C(3600000000)))
        log_warning("kafka: this librdkafka waits on the wall clock: should that be set back, it sleeps for as long");
    rd_kafka_t *client = rd_kafka_new(fetches ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));

    if (client == NULL)
    {
        buffer_add_text(reterr, problem);
        rd_kafka_conf_destroy(conf);
    }
    return client;
}

rd_kafka_t *clients_new_reader(const struct settings *settings, struct buffer *reterr)
{
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_READER, reterr);

    if (conf && clients_set(conf, "enable.partition.eof", "true", reterr))
        return clients_new(CLIENT_READER, conf, reterr);
    if (conf)
        rd_kafka_conf_destroy(conf);
    return NULL;
}

static bool try_kind(const struct settings *settings, enum client_kind kind, struct buffer *reterr)
{
    rd_kafka_conf_t *conf = make_conf(settings, kind, NULL, reterr);
    struct buffer why = BUFFER_EMPTY;

    if (conf == NULL)
        return false;
    if (kind == CLIENT_TRANSACTIONAL && !clients_set(conf, "transactional.id", "interlock", reterr))
    {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_t *client = clients_new(kind, conf, &why);
    if (client == NULL)
    {
        buffer_add_text(reterr, section_of(kind));
        buffer_add_text(reterr, ": ");
        buffer_add_span(reterr, buffer_span(&why));
    }
    buffer_done(&why);
    bool good = client != NULL;
    clients_destroy(client, TRY_US);
    return good;
}

bool clients_try(const struct settings *settings, struct buffer *reterr)
{
    return try_kind(settings, CLIENT_CONSUMER, reterr) &&
           try_kind(settings, settings->kafka.exactly_once ? CLIENT_TRANSACTIONAL : CLIENT_IDEMPOTENT, reterr);
}

bool clients_find_bare(const struct settings *settings, struct buffer *into)
{
    static const enum client_kind kinds[] = { CLIENT_READER, CLIENT_IDEMPOTENT };
    struct buffer fault = BUFFER_EMPTY;
    bool bare = false;

    for (int i = 0; i < 2; i++)
    {
        rd_kafka_conf_t *conf = make_conf(settings, kinds[i], NULL, &fault);
        const char *what = conf ? login_find_bare(conf) : NULL;
        if (what)
        {
            buffer_add_text(into, bare ? "; " : "");
            buffer_add_text(into, section_of(kinds[i]));
            buffer_add_text(into, ": ");
            buffer_add_text(into, what);
            bare = true;
        }
        if (conf)
            rd_kafka_conf_destroy(conf);
    }
    buffer_done(&fault);
    return bare;
}

bool clients_doubt(const struct settings *settings, struct buffer *into)
{
    static const enum client_kind kinds[] = { CLIENT_READER, CLIENT_IDEMPOTENT };
    struct buffer fault = BUFFER_EMPTY;
    bool doubtful = false;

    for (int i = 0; i < 2 && !doubtful; i++)
    {
        rd_kafka_conf_t *conf = make_conf(settings, kinds[i], NULL, &fault);
        doubtful = conf && login_is_doubtful(conf);
        if (doubtful)
        {
            buffer_add_text(into, section_of(kinds[i]));
            buffer_add_text(into, ": SCRAM by librdkafka ");
            buffer_add_text(into, rd_kafka_version_str());
            buffer_add_text(into, ", which Kafka 4 refuses as a false password: use librdkafka 2.6.1 or later, PLAIN "
                                  "over TLS, or certificates");
        }
        if (conf)
            rd_kafka_conf_destroy(conf);
    }
    buffer_done(&fault);
    return doubtful;
}

/* --- the end of a handle ----------------------------------------------------------------------------------------- */

/* Shared by the caller and the thread that destroys; the last one frees it. */
struct ending
{
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    rd_kafka_t *client;
    bool ended, left;
};

static void free_ending(struct ending *ending)
{
    pthread_cond_destroy(&ending->cond);
    pthread_mutex_destroy(&ending->mutex);
    free(ending);
}

static void *end_client(void *opaque)
{
    struct ending *ending = opaque;

    /* Closing is done by the cell, bounded; here it could block for a session timeout. */
    rd_kafka_destroy_flags(ending->client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    contact_forget(ending->client);
    pthread_mutex_lock(&ending->mutex);
    ending->ended = true;
    bool left = ending->left;
    pthread_cond_signal(&ending->cond);
    pthread_mutex_unlock(&ending->mutex);
    if (left)
        free_ending(ending);
    return NULL;
}

static struct ending *begin_ending(rd_kafka_t *client)
{
    struct ending *ending = calloc(1, sizeof(*ending));

    if (ending == NULL)
        return NULL;
    ending->client = client;
    pthread_mutex_init(&ending->mutex, NULL);
    condition_init(&ending->cond);
    return ending;
}

bool clients_destroy(rd_kafka_t *client, int64_t wait_us)
{
    if (client == NULL)
        return true;
    if (rd_kafka_type(client) == RD_KAFKA_PRODUCER)
        rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    struct ending *ending = begin_ending(client);
    pthread_t thread;
    if (ending == NULL || pthread_create(&thread, NULL, end_client, ending) != 0)
    {
        if (ending)
            free_ending(ending);
        rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        contact_forget(client);
        return true;
    }
    struct timespec until = monotonic_timespec(monotonic_us() + wait_us);
    pthread_mutex_lock(&ending->mutex);
    while (!ending->ended)
        if (pthread_cond_timedwait(&ending->cond, &ending->mutex, &until) != 0)
            break;
    bool ended = ending->ended;
    ending->left = !ended;
    pthread_mutex_unlock(&ending->mutex);
    if (!ended)
    {
        pthread_detach(thread);
        return false;
    }
    pthread_join(thread, NULL);
    free_ending(ending);
    return true;
}

int64_t clients_number(const rd_kafka_conf_t *conf, const char *name, int64_t otherwise)
{
    char text[64];
    size_t size = sizeof(text);
    char *end;

    if (rd_kafka_conf_get(conf, name, text, &size) != RD_KAFKA_CONF_OK)
        return otherwise;
    long long value = strtoll(text, &end, 10);
    return end != text && *end == '\0' ? value : otherwise;
}

void clients_describe(rd_kafka_error_t *error, struct buffer *into)
{
    buffer_add_text(into, rd_kafka_error_name(error));
    buffer_add_text(into, ": ");
    buffer_add_text(into, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}
