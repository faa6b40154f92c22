/* The engine alone: a pool of lanes fed from memory, no Kafka. Tells what PostgreSQL, Redis and the lanes cost before
 * the edge is added. Usage: engine COMMANDS TICKETS; DATABASE_URL, REDIS_URL and INTERLOCK_* as for the worker. The
 * schema must be there, with tickets 1..TICKETS. */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "consumers/message/envelope.h"
#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"

enum
{
    PARTITIONS = 12,
    IN_FLIGHT = 8000,
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static long done, events, dropped;
static size_t event_bytes;

static void complete(void *owner, struct delivery *chain)
{
    long count = 0, with_event = 0, lost = 0;

    (void)owner;
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        count++;
        with_event += chain->answer == ANSWER_EVENT;
        lost += chain->answer == ANSWER_DROPPED || chain->answer == ANSWER_NOT_OWNER;
        event_bytes += chain->event_size;
        free(chain->event);
        free(chain->message);
        free(chain);
    }
    pthread_mutex_lock(&mutex);
    done += count;
    events += with_event;
    dropped += lost;
    pthread_cond_signal(&answered);
    pthread_mutex_unlock(&mutex);
}

static enum decode_result decode(struct delivery *delivery, struct arena *arena, struct command *ret)
{
    struct envelope_source source = { .key = delivery->key, .value = delivery->value };
    return envelope_decode(&source, arena, ret, &delivery->dead_reason, delivery->dead_message,
                           sizeof(delivery->dead_message));
}

static struct delivery *make(long number, long tickets, const struct partition *partitions, const char *run)
{
    struct delivery *delivery = calloc(1, sizeof(*delivery));
    char *text = malloc(768);
    long ticket = 1 + (number * 7919) % tickets;
    int key = snprintf(text, 64, "ticket/%ld", ticket);
    int size = snprintf(
        text + 64, 700,
        number % 2
            ? "{\"specversion\":\"1.0\",\"id\":\"%s-%ld\",\"source\":\"/bench\",\"type\":\"ticket.escalate\","
              "\"subject\":\"ticket/%ld\",\"time\":\"2026-11-24T09:00:00.000Z\",\"datacontenttype\":"
              "\"application/json\",\"correlationid\":\"c-17\",\"actor\":\"user/9\",\"data\":{\"ticket_id\":%ld}}"
            : "{\"specversion\":\"1.0\",\"id\":\"%s-%ld\",\"source\":\"/bench\",\"type\":\"ticket.append_history\","
              "\"subject\":\"ticket/%ld\",\"time\":\"2026-11-24T09:00:00.000Z\",\"datacontenttype\":"
              "\"application/json\",\"correlationid\":\"c-17\",\"actor\":\"user/9\",\"data\":{\"ticket_id\":%ld,"
              "\"entry\":{\"people_id\":9,\"who\":\"user/9\",\"action\":\"NOTE\",\"details\":\"looked at the pump\"}}}",
        run, number, ticket, ticket);

    delivery->message = text;
    delivery->key = (struct span){ text, (size_t)key };
    delivery->value = (struct span){ text + 64, (size_t)size };
    delivery->partition = &partitions[number % PARTITIONS];
    delivery->offset = number / PARTITIONS;
    struct envelope_source source = { .key = delivery->key, .value = delivery->value };
    delivery->lane_hash = envelope_lane_hash(&source);
    delivery->received_us = monotonic_us();
    return delivery;
}

static bool take_over(struct partition *partitions, atomic_bool *revoked, const char *url)
{
    PGconn *connection = PQconnectdb(url);
    char topic[64];

    snprintf(topic, sizeof(topic), "engine.%lld", (long long)wall_us());
    for (int i = 0; i < PARTITIONS; i++)
    {
        char partition[16];
        snprintf(partition, sizeof(partition), "%d", i);
        const char *values[2] = { topic, partition };
        PGresult *row =
            PQexecParams(connection,
                         "INSERT INTO interlock.partition_owner (topic, partition, fence, owner_token) VALUES "
                         "($1, $2::int, 1, '00000000-0000-0000-0000-000000000000') RETURNING id",
                         2, NULL, values, NULL, NULL, 0);
        if (PQresultStatus(row) != PGRES_TUPLES_OK)
        {
            fprintf(stderr, "%s", PQerrorMessage(connection));
            return false;
        }
        partitions[i] = (struct partition){ .partition_id = atoi(PQgetvalue(row, 0, 0)),
                                            .fence = 1,
                                            .topic = SPAN_LITERAL("engine"),
                                            .number = i,
                                            .revoked = revoked };
        PQclear(row);
    }
    PQfinish(connection);
    return true;
}

int main(int argc, char **argv)
{
    static struct partition partitions[PARTITIONS];
    static atomic_bool revoked;
    struct settings settings;
    struct buffer error = BUFFER_EMPTY;
    const char *why;
    char run[32];
    long total = argc > 1 ? atol(argv[1]) : 100000, tickets = argc > 2 ? atol(argv[2]) : 100000;

    if (!settings_load(&settings, NULL, &error))
    {
        fprintf(stderr, "%.*s\n", (int)error.size, error.at);
        return 1;
    }
    if (!take_over(partitions, &revoked, settings.database.url))
        return 1;
    snprintf(run, sizeof(run), "%llx", (unsigned long long)wall_us());
    struct lanes_options options = {
        .settings = &settings, .lock_owner = "bench/0/0/0", .decode = decode, .complete = complete
    };
    struct lanes *lanes = lanes_new(&options, &why);
    if (lanes == NULL)
        return 1;
    while (!lanes_is_ready(lanes, run + 20, 10))
        nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    int64_t begun_us = monotonic_us();
    for (long number = 0; number < total;)
    {
        struct delivery *chain = NULL, **end = &chain;
        for (int i = 0; i < 500 && number < total; i++, end = &(*end)->next)
            *end = make(number++, tickets, partitions, run);
        pthread_mutex_lock(&mutex);
        while (number - done > IN_FLIGHT)
            pthread_cond_wait(&answered, &mutex);
        pthread_mutex_unlock(&mutex);
        lanes_submit(lanes, chain);
    }
    pthread_mutex_lock(&mutex);
    while (done < total)
        pthread_cond_wait(&answered, &mutex);
    pthread_mutex_unlock(&mutex);
    double seconds = (double)(monotonic_us() - begun_us) / 1e6;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    printf("%ld commands, %ld events of %zu bytes, %ld dropped: %.0f/s, own CPU %.1f ms per 1,000, batches of %.0f\n",
           total, events, events ? event_bytes / (size_t)events : 0, dropped, (double)total / seconds,
           cpu * 1e6 / (double)total,
           (double)metrics_get(METRIC_BATCH_COMMANDS) / (double)(metrics_get(METRIC_BATCHES) + 1));
    lanes_free(lanes, monotonic_us() + 1000000);
    settings_done(&settings);
    return 0;
}
