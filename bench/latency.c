/* bench_latency: an open loop. Commands leave at a fixed rate, whatever comes back; the latency of each is from the
 * time it was meant to leave to the time a read_committed consumer has its audit event. Prints one JSON object.
 *
 * usage: KAFKA_BOOTSTRAP=host:port bench_latency --topic T --audit-topic A --rate N [--seconds N] [--warm-up N]
 *            [--seed N] [--tickets N] [--linger-ms TEXT]
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/client.h"
#include "bench/commands.h"
#include "bench/histogram.h"
#include "bench/options.h"
#include "worker/base/clock.h"

enum
{
    ANSWER_MS = 10000,
    LATE_US = 30000000, /* an event that has not come so long after the last command counts as missing */
    POLL_MS = 100,
    US_PER_S = 1000000,
};

static struct
{
    struct commands_mix mix;
    const char *topic, *audit_topic, *linger_ms;
    int64_t rate, count, warm_count;
    int64_t begun_us; /* command n is meant to leave at begun_us + n / rate */
    rd_kafka_t *consumer, *producer;
    atomic_llong finished_us;      /* writer: publisher; reader: consumer; 0: still publishing */
    struct histogram latency, lag; /* lag: how late a command left */
    int64_t seen;
} run;

static int64_t intended_us(int64_t number)
{
    return run.begun_us + (int64_t)((double)number * US_PER_S / (double)run.rate);
}

static void fail_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err)
        client_fail("delivery", rd_kafka_err2str(message->err));
}

/* Commands that are due together are put together: a producer that slept for each could not keep the rate. */
static void *publish(void *unused)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(run.producer, run.topic, NULL);
    struct command_text text;

    for (int64_t number = 0; number < run.count; number++)
    {
        int64_t due_us = intended_us(number), now_us = monotonic_us();
        if (due_us > now_us)
        {
            struct timespec due = monotonic_timespec(due_us);
            rd_kafka_poll(run.producer, 0);
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
            now_us = monotonic_us();
        }
        if (number >= run.warm_count)
            histogram_add(&run.lag, now_us - due_us);
        commands_make(&run.mix, (uint64_t)number, &text);
        client_produce(run.producer, handle, text.key, text.key_size, text.value, text.value_size);
    }
    if (rd_kafka_flush(run.producer, ANSWER_MS))
        client_fail(run.topic, "not everything was delivered");
    rd_kafka_topic_destroy(handle);
    atomic_store(&run.finished_us, monotonic_us());
    return unused;
}

/* The id of the command that an event is about, by its attribute: events are printed by one function. */
static uint64_t number_of_event(const rd_kafka_message_t *message)
{
    static const char mark[] = "\"causationid\":\"";
    const char *at = memmem(message->payload, message->len, mark, sizeof(mark) - 1);

    if (at == NULL)
        return UINT64_MAX;
    at += sizeof(mark) - 1;
    const char *end = (const char *)message->payload + message->len;
    const char *quote = memchr(at, '"', (size_t)(end - at));
    return quote ? commands_number_of(&run.mix, at, (size_t)(quote - at)) : UINT64_MAX;
}

static void take(const rd_kafka_message_t *message, int64_t now_us)
{
    if (message->err)
        client_fail(run.audit_topic, rd_kafka_message_errstr(message));
    uint64_t number = number_of_event(message);
    if (number >= (uint64_t)run.count)
        return;
    run.seen++;
    if (number >= (uint64_t)run.warm_count)
        histogram_add(&run.latency, now_us - intended_us((int64_t)number));
}

static void consume(void)
{
    while (run.seen < run.count)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(run.consumer, POLL_MS);
        int64_t finished_us = atomic_load(&run.finished_us), now_us = monotonic_us();
        if (message)
        {
            take(message, now_us);
            rd_kafka_message_destroy(message);
        }
        else if (finished_us && now_us - finished_us > LATE_US)
            return;
    }
}

/* A topic that was made a moment ago has no leader yet: asked again. */
static int64_t end_of(const rd_kafka_topic_partition_t *partition)
{
    int64_t low, high, deadline_us = monotonic_us() + (int64_t)ANSWER_MS * 1000;
    rd_kafka_resp_err_t error;

    do
        error = rd_kafka_query_watermark_offsets(run.consumer, partition->topic, partition->partition, &low, &high,
                                                 ANSWER_MS);
    while (error && monotonic_us() < deadline_us);
    if (error)
        client_fail(partition->topic, rd_kafka_err2str(error));
    return high;
}

/* From the topic's end on. The positions are asked for before anything is sent: "end" would be looked up too late. */
static void open_consumer(void)
{
    const struct client_option options[] = {
        { "group.id", "bench-latency" }, { "isolation.level", "read_committed" }, { "enable.auto.commit", "false" },
        { "fetch.wait.max.ms", "100" },  { "queued.min.messages", "100000" },     { NULL, NULL },
    };
    run.consumer = client_new(RD_KAFKA_CONSUMER, options, NULL);
    rd_kafka_topic_partition_list_t *list = client_partitions(run.consumer, run.audit_topic);
    rd_kafka_poll_set_consumer(run.consumer);
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = end_of(&list->elems[i]);
    rd_kafka_assign(run.consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void print_result(void)
{
    static const double shares[] = { 0.5, 0.9, 0.99, 0.999 };
    static const char *const names[] = { "p50_us", "p90_us", "p99_us", "p999_us" };

    printf("{\"rate\":%" PRId64 ",\"count\":%" PRId64 ",\"missing\":%" PRId64 ",\"lag_p99_us\":%" PRId64, run.rate,
           run.latency.count, run.count - run.seen, histogram_value(&run.lag, 0.99));
    for (int i = 0; i < 4; i++)
        printf(",\"%s\":%" PRId64, names[i], histogram_value(&run.latency, shares[i]));
    printf(",\"max_us\":%" PRId64 "}\n", run.latency.largest_us);
}

int main(int argc, char **argv)
{
    int64_t seconds = 10, warm_up = 2, seed = monotonic_us();
    run.mix = (struct commands_mix){ .tickets = 100000 };
    run.topic = "interlock.commands";
    run.audit_topic = "interlock.audit";
    run.linger_ms = "0";
    run.rate = 1000;
    const struct option_row rows[] = {
        { "--topic", &run.topic, NULL, NULL },
        { "--audit-topic", &run.audit_topic, NULL, NULL },
        { "--linger-ms", &run.linger_ms, NULL, NULL },
        { "--rate", NULL, &run.rate, NULL },
        { "--seconds", NULL, &seconds, NULL },
        { "--warm-up", NULL, &warm_up, NULL },
        { "--seed", NULL, &seed, NULL },
        { "--tickets", NULL, &run.mix.tickets, NULL },
        { NULL, NULL, NULL, NULL },
    };
    options_read(rows, argc, argv);
    run.mix.seed = (uint64_t)seed;
    run.warm_count = run.rate * warm_up;
    run.count = run.rate * (warm_up + seconds);

    const struct client_option options[] = {
        { "linger.ms", run.linger_ms }, { "acks", "all" }, { "queue.buffering.max.messages", "1000000" }, { NULL, NULL }
    };
    run.producer = client_new(RD_KAFKA_PRODUCER, options, fail_delivery);
    rd_kafka_topic_partition_list_destroy(client_partitions(run.producer, run.topic));
    open_consumer();
    pthread_t publisher;
    run.begun_us = monotonic_us() + US_PER_S / 2;
    if (pthread_create(&publisher, NULL, publish, NULL) != 0)
        client_fail("pthread_create", "failed");
    consume();
    pthread_join(publisher, NULL);
    print_result();
    rd_kafka_consumer_close(run.consumer);
    rd_kafka_destroy(run.consumer);
    rd_kafka_destroy(run.producer);
    return EXIT_SUCCESS;
}
