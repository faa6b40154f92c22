/* bench_load: puts a stream of commands on a topic, or tells how far a consumer group has come.
 *
 * usage: KAFKA_BOOTSTRAP=host:port bench_load --topic T --count N [--seed N] [--tickets N] [--hot-keys N]
 *            [--duplicates S] [--refusals S] [--undecodable S]     prints the number of distinct commands
 *        KAFKA_BOOTSTRAP=host:port bench_load --topic T --lines FILE     each line as it is, without a key: they spread
 *        KAFKA_BOOTSTRAP=host:port bench_load --topic T --committed GROUP   prints the sum of its committed offsets
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/client.h"
#include "bench/commands.h"
#include "bench/options.h"

enum
{
    DELIVERY_MS = 120000,
    ANSWER_MS = 10000,
};

static int64_t delivered_count;

static void count_delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    (void)producer;
    (void)opaque;
    if (message->err)
        client_fail("delivery", rd_kafka_err2str(message->err));
    delivered_count++;
}

static void load(const char *topic, const struct commands_mix *mix, int64_t count)
{
    const struct client_option options[] = {
        { "linger.ms", "20" }, { "batch.num.messages", "10000" }, { "queue.buffering.max.messages", "200000" },
        { "acks", "all" },     { "enable.idempotence", "true" },  { NULL, NULL },
    };
    rd_kafka_t *producer = client_new(RD_KAFKA_PRODUCER, options, count_delivered);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, topic, NULL);
    struct command_text text;
    int64_t distinct = 0;

    rd_kafka_topic_partition_list_destroy(client_partitions(producer, topic));
    for (int64_t place = 0; place < count; place++)
    {
        distinct += commands_make(mix, (uint64_t)place, &text) == (uint64_t)place;
        client_produce(producer, handle, text.key, text.key_size, text.value, text.value_size);
        if (place % 1000 == 0)
            rd_kafka_poll(producer, 0);
    }
    if (rd_kafka_flush(producer, DELIVERY_MS) || delivered_count != count)
        client_fail(topic, "not everything was delivered");
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(producer);
    printf("%" PRId64 "\n", distinct);
}

static void load_lines(const char *topic, const char *name)
{
    const struct client_option options[] = { { "linger.ms", "5" },
                                             { "acks", "all" },
                                             /* Without it librdkafka fills one partition for a linger's time. */
                                             { "sticky.partitioning.linger.ms", "0" },
                                             { NULL, NULL } };
    rd_kafka_t *producer = client_new(RD_KAFKA_PRODUCER, options, count_delivered);
    rd_kafka_topic_t *handle = rd_kafka_topic_new(producer, topic, NULL);
    FILE *file = fopen(name, "re");
    char *line = NULL;
    size_t capacity = 0;
    int64_t count = 0;

    if (file == NULL)
        client_fail(name, "cannot be read");
    rd_kafka_topic_partition_list_destroy(client_partitions(producer, topic));
    for (ssize_t size; (size = getline(&line, &capacity, file)) > 0; count++)
        client_produce(producer, handle, NULL, 0, line, (size_t)size - (line[size - 1] == '\n'));
    free(line);
    fclose(file);
    if (rd_kafka_flush(producer, DELIVERY_MS) || delivered_count != count)
        client_fail(topic, "not everything was delivered");
    rd_kafka_topic_destroy(handle);
    rd_kafka_destroy(producer);
    printf("%" PRId64 "\n", count);
}

static void print_committed(const char *topic, const char *group)
{
    const struct client_option options[] = { { "group.id", group },
                                             { "isolation.level", "read_committed" },
                                             { NULL, NULL } };
    rd_kafka_t *consumer = client_new(RD_KAFKA_CONSUMER, options, NULL);
    rd_kafka_topic_partition_list_t *list = client_partitions(consumer, topic);
    rd_kafka_resp_err_t error = rd_kafka_committed(consumer, list, ANSWER_MS);
    int64_t sum = 0;

    if (error)
        client_fail(group, rd_kafka_err2str(error));
    for (int i = 0; i < list->cnt; i++)
        sum += list->elems[i].offset > 0 ? list->elems[i].offset : 0;
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(consumer);
    printf("%" PRId64 "\n", sum);
}

int main(int argc, char **argv)
{
    struct commands_mix mix = { .seed = 1, .tickets = 100000 };
    const char *topic = "interlock.commands", *committed = NULL, *lines = NULL;
    int64_t count = 200000, seed = 1;
    const struct option_row rows[] = {
        { "--topic", &topic, NULL, NULL },
        { "--committed", &committed, NULL, NULL },
        { "--lines", &lines, NULL, NULL },
        { "--count", NULL, &count, NULL },
        { "--seed", NULL, &seed, NULL },
        { "--tickets", NULL, &mix.tickets, NULL },
        { "--hot-keys", NULL, &mix.hot_keys, NULL },
        { "--duplicates", NULL, NULL, &mix.duplicates },
        { "--refusals", NULL, NULL, &mix.refusals },
        { "--undecodable", NULL, NULL, &mix.undecodable },
        { NULL, NULL, NULL, NULL },
    };

    options_read(rows, argc, argv);
    mix.seed = (uint64_t)seed;
    if (committed)
        print_committed(topic, committed);
    else if (lines)
        load_lines(topic, lines);
    else
        load(topic, &mix, count);
    return EXIT_SUCCESS;
}
