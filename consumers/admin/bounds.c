#include "consumers/admin/bounds.h"

#include <stdio.h>

#include "consumers/kafka/clients.h"
#include "consumers/message/delivery_pool.h"
#include "consumers/parking/claims.h"
#include "consumers/poll/cell.h"
#include "worker/batch/batch.h"
#include "worker/http.h"
#include "worker/settings/settings.h"
#include "workflows/model/limits.h"

enum
{
    KIB = 1024,
    MIB = 1024 * 1024,
    PROGRAM = 20 * MIB,  /* with its libraries; measured 13 */
    THREAD = 96 * KIB,   /* touched pages of its stack, and its part of malloc; measured 40 to 60 */
    CLIENT = 1 * MIB,    /* a librdkafka handle at rest; measured 0.3 to 0.6 */
    SESSION = 512 * KIB, /* a PostgreSQL session at rest, with its prepared statements' texts */
    MESSAGE = 512,       /* of librdkafka for each message, besides its bytes */
    RECORD_MIN = 64,     /* bytes: a command is never smaller on the wire */
    BATCH_BUFFERS = 3,   /* times BATCH_ARENA_MAX: parameters, libpq's output buffer, events, each at their growth */
    ROUND = 1000,        /* messages that a round may take over the cap */
    SPARE_PARTS = 4,     /* a quarter on top: memory that malloc keeps between blocks and does not give back */
    CLIENTS_OF_CELL =
        6,            /* consumer, producer, committed offsets, a scan (or a question about the group); two that end */
    OWN_THREADS = 4,  /* main, http, returner, rights */
    OWN_CLIENTS = 2,  /* returner, rights */
    CELL_THREADS = 4, /* poll, publisher; two that end a client */
    CLIENT_THREADS = 3,     /* main, internal, a coordinator; and one a broker */
    BROKER_DESCRIPTORS = 3, /* its connection, and the pipe that wakes its thread */
    BASE_DESCRIPTORS = 16,  /* standard ones, signals, http's own, the service manager's */
    CELL_SESSIONS = 1,      /* ownership; and one a lane */
    OWN_SESSIONS = 2,       /* slot, returner */
};

/* The terms of the sums. */
struct quantities
{
    const struct settings *settings;
    int64_t cells, lanes; /* lanes of all cells */
    int64_t brokers, clients;
    int64_t fetch_bytes, queued_bytes, queued_messages, produce_bytes;
};

static void add(struct bounds *bounds, enum bound_kind kind, const char *what, const char *setting, int64_t each,
                int64_t times)
{
    if (bounds->count == BOUND_LINES_MAX)
        return;
    bounds->lines[bounds->count++] = (struct bound_line){ kind, what, setting, each, times };
    bounds->total[kind] += each * times;
}

static int64_t count_bootstrap(const char *list)
{
    int64_t count = 1;

    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* librdkafka's own limits, the operator's pairs included. */
static bool read_client_limits(const struct settings *settings, struct quantities *quantities, struct buffer *reterr)
{
    rd_kafka_conf_t *consumer = clients_conf(settings, CLIENT_CONSUMER, reterr);
    rd_kafka_conf_t *producer = clients_conf(settings, CLIENT_TRANSACTIONAL, reterr);
    bool known = consumer && producer;

    if (known)
    {
        quantities->fetch_bytes = clients_number(consumer, "fetch.max.bytes", 0);
        quantities->queued_bytes = clients_number(consumer, "queued.max.messages.kbytes", 0) * KIB;
        quantities->queued_messages = clients_number(consumer, "queued.min.messages", 0);
        quantities->produce_bytes = clients_number(producer, "queue.buffering.max.kbytes", 0) * KIB;
    }
    if (consumer)
        rd_kafka_conf_destroy(consumer);
    if (producer)
        rd_kafka_conf_destroy(producer);
    return known;
}

static void add_cells_memory(struct bounds *bounds, const struct quantities *q)
{
    int64_t commands = q->settings->consumers.in_flight_commands;

    add(bounds, BOUND_MEMORY, "received and not published, with the events", "consumers.in_flight_bytes",
        CELL_BYTES_TIMES * q->settings->consumers.in_flight_bytes, q->cells);
    add(bounds, BOUND_MEMORY, "bookkeeping of each of them", "consumers.in_flight_commands",
        (commands + ROUND) * (int64_t)(delivery_room() + 2 * sizeof(void *)), q->cells);
    add(bounds, BOUND_MEMORY, "fetched ahead, and answers being read", "queued.max.messages.kbytes, fetch.max.bytes",
        q->queued_bytes + 2 * q->fetch_bytes * q->brokers, q->cells);
    add(bounds, BOUND_MEMORY, "librdkafka's room for each message", "queued.min.messages, fetch.max.bytes",
        (q->queued_messages + q->fetch_bytes / RECORD_MIN) * MESSAGE, q->cells);
    add(bounds, BOUND_MEMORY, "a scan of the audit topic at a takeover", "fetch.max.bytes",
        q->queued_bytes + 2 * q->fetch_bytes, q->cells);
    add(bounds, BOUND_MEMORY, "events being published", "queue.buffering.max.kbytes", q->produce_bytes, q->cells);
}

static void add_lanes_memory(struct bounds *bounds, const struct quantities *q)
{
    add(bounds, BOUND_MEMORY, "a batch's documents and rows", "fixed", (int64_t)BATCH_ARENA_MAX + BATCH_ARENA_KEEP,
        q->lanes);
    add(bounds, BOUND_MEMORY, "its statements' parameters and events", "fixed",
        (int64_t)BATCH_BUFFERS * BATCH_ARENA_MAX, q->lanes);
    add(bounds, BOUND_MEMORY, "its rows as PostgreSQL sends them", "worker.batch_max",
        q->settings->worker.batch_max * JSON_FIELD_MAX, q->lanes);
}

static void add_memory(struct bounds *bounds, const struct quantities *q)
{
    add(bounds, BOUND_MEMORY, "the program and its libraries", "fixed", PROGRAM, 1);
    add(bounds, BOUND_MEMORY, "threads", "see below", THREAD, bounds->total[BOUND_THREADS]);
    add(bounds, BOUND_MEMORY, "Kafka clients at rest", "consumers.count", CLIENT, q->clients);
    add(bounds, BOUND_MEMORY, "PostgreSQL sessions at rest", "see below", SESSION, bounds->total[BOUND_POSTGRESQL]);
    add_cells_memory(bounds, q);
    add_lanes_memory(bounds, q);
    add(bounds, BOUND_MEMORY, "returning parked commands, as text and while published",
        "fixed, queue.buffering.max.kbytes", 3 * (int64_t)CLAIMS_BYTES + q->produce_bytes, 1);
    add(bounds, BOUND_MEMORY, "memory that malloc keeps: a quarter of the sum", "fixed",
        bounds->total[BOUND_MEMORY] / SPARE_PARTS, 1);
}

static void add_counts(struct bounds *bounds, const struct quantities *q)
{
    add(bounds, BOUND_THREADS, "main, http, returner, rights", "fixed", OWN_THREADS, 1);
    add(bounds, BOUND_THREADS, "poll, publisher, ends of clients", "consumers.count", CELL_THREADS, q->cells);
    add(bounds, BOUND_THREADS, "lanes", "consumers.count * worker.lanes", 1, q->lanes);
    add(bounds, BOUND_THREADS, "of each Kafka client", "consumers.count, kafka.bootstrap", CLIENT_THREADS + q->brokers,
        q->clients);
    add(bounds, BOUND_POSTGRESQL, "slot, returner", "fixed", OWN_SESSIONS, 1);
    add(bounds, BOUND_POSTGRESQL, "ownership", "consumers.count", CELL_SESSIONS, q->cells);
    add(bounds, BOUND_POSTGRESQL, "lanes", "consumers.count * worker.lanes", 1, q->lanes);
    add(bounds, BOUND_REDIS, "lanes", "consumers.count * worker.lanes, redis.enabled", 1,
        q->settings->redis.enabled ? q->lanes : 0);
    add(bounds, BOUND_KAFKA, "of each client, with each broker and a coordinator", "consumers.count, kafka.bootstrap",
        q->brokers + 1, q->clients);
    add(bounds, BOUND_DESCRIPTORS, "standard ones, signals, http", "fixed", BASE_DESCRIPTORS + HTTP_CONNECTIONS_MAX, 1);
    add(bounds, BOUND_DESCRIPTORS, "PostgreSQL", "see its line", 1, bounds->total[BOUND_POSTGRESQL]);
    add(bounds, BOUND_DESCRIPTORS, "Redis", "see its line", 1, bounds->total[BOUND_REDIS]);
    add(bounds, BOUND_DESCRIPTORS, "Kafka, and the wake-up of its threads", "see its line", BROKER_DESCRIPTORS,
        bounds->total[BOUND_KAFKA] + q->clients);
}

bool bounds_derive(const struct settings *settings, struct bounds *ret, struct buffer *reterr)
{
    int64_t bootstrap = count_bootstrap(settings->kafka.bootstrap);
    struct quantities q = { .settings = settings,
                            .cells = settings->consumers.count,
                            .lanes = settings->consumers.count * settings->worker.lanes,
                            .brokers = bootstrap > BOUND_BROKERS_MIN ? bootstrap : BOUND_BROKERS_MIN,
                            .clients = settings->consumers.count * CLIENTS_OF_CELL + OWN_CLIENTS };

    *ret = (struct bounds){ .count = 0 };
    if (!read_client_limits(settings, &q, reterr))
        return false;
    add_counts(ret, &q);
    add_memory(ret, &q);
    return true;
}

/* --- printing ---------------------------------------------------------------------------------------------------- */

static const struct
{
    const char *name, *says;
} kinds[BOUND__COUNT] = {
    [BOUND_MEMORY] = { "memory", "memory, in bytes (MemoryMax)" },
    [BOUND_DESCRIPTORS] = { "descriptors", "file descriptors (LimitNOFILE)" },
    [BOUND_THREADS] = { "threads", "threads (TasksMax)" },
    [BOUND_POSTGRESQL] = { "postgresql", "PostgreSQL sessions (its max_connections)" },
    [BOUND_REDIS] = { "redis", "Redis connections" },
    [BOUND_KAFKA] = { "kafka", "Kafka connections" },
};

static void print_text_line(const struct bound_line *line, struct buffer *into)
{
    char text[256];

    snprintf(text, sizeof(text), "  %12lld = %11lld x %-4lld %s (%s)\n", (long long)(line->each * line->times),
             (long long)line->each, (long long)line->times, line->what, line->setting);
    buffer_add_text(into, text);
}

static void print_text_kind(const struct bounds *bounds, enum bound_kind kind, struct buffer *into)
{
    buffer_add_text(into, kinds[kind].says);
    buffer_add_text(into, ": ");
    buffer_add_int64(into, bounds->total[kind]);
    buffer_add_text(into, "\n");
    for (int i = 0; i < bounds->count; i++)
        if (bounds->lines[i].kind == kind)
            print_text_line(&bounds->lines[i], into);
}

static void print_json_line(const struct bound_line *line, struct buffer *into)
{
    buffer_add_text(into, "{\"what\":");
    buffer_add_json_string(into, span_of(line->what));
    buffer_add_text(into, ",\"setting\":");
    buffer_add_json_string(into, span_of(line->setting));
    buffer_add_text(into, ",\"each\":");
    buffer_add_int64(into, line->each);
    buffer_add_text(into, ",\"times\":");
    buffer_add_int64(into, line->times);
    buffer_add_byte(into, '}');
}

static void print_json_kind(const struct bounds *bounds, enum bound_kind kind, struct buffer *into)
{
    bool first = true;

    buffer_add_json_string(into, span_of(kinds[kind].name));
    buffer_add_text(into, ":{\"total\":");
    buffer_add_int64(into, bounds->total[kind]);
    buffer_add_text(into, ",\"lines\":[");
    for (int i = 0; i < bounds->count; i++)
    {
        if (bounds->lines[i].kind != kind)
            continue;
        buffer_add_text(into, first ? "\n" : ",\n");
        print_json_line(&bounds->lines[i], into);
        first = false;
    }
    buffer_add_text(into, "]}");
}

void bounds_print(const struct bounds *bounds, bool json, struct buffer *into)
{
    buffer_add_text(into, json ? "{" : "");
    for (int kind = 0; kind < BOUND__COUNT; kind++)
        if (json)
        {
            buffer_add_text(into, kind > 0 ? ",\n" : "");
            print_json_kind(bounds, (enum bound_kind)kind, into);
        }
        else
            print_text_kind(bounds, (enum bound_kind)kind, into);
    buffer_add_text(into, json ? "}\n" : "");
}
