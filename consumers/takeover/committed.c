#include "consumers/takeover/committed.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "worker/settings/settings.h"

static const int64_t DESTROY_US = 3000000;

struct committed
{
    const struct settings *settings;
    rd_kafka_t *client; /* made when first needed, kept: a takeover is quick with the connections there */
    char problem[256];
};

struct committed *committed_new(const struct settings *settings)
{
    struct committed *committed = calloc(1, sizeof(*committed));
    if (committed)
        committed->settings = settings;
    return committed;
}

void committed_free(struct committed *committed)
{
    if (committed == NULL)
        return;
    clients_destroy(committed->client, DESTROY_US);
    free(committed);
}

const char *committed_problem(const struct committed *committed)
{
    return committed->problem;
}

static bool make_client(struct committed *committed)
{
    struct buffer fault = BUFFER_EMPTY;
    rd_kafka_conf_t *conf = clients_conf(committed->settings, CLIENT_READER, &fault);

    committed->client = conf ? clients_new(CLIENT_READER, conf, &fault) : NULL;
    if (committed->client == NULL)
        snprintf(committed->problem, sizeof(committed->problem), "%.*s", (int)fault.size, fault.at ? fault.at : "");
    buffer_done(&fault);
    return committed->client != NULL;
}

bool committed_read(struct committed *committed, struct rd_kafka_topic_partition_list_s *partitions, int64_t wait_us)
{
    if (committed->client == NULL && !make_client(committed))
        return false;
    for (int i = 0; i < partitions->cnt; i++)
        partitions->elems[i].offset = RD_KAFKA_OFFSET_INVALID;
    rd_kafka_resp_err_t error = rd_kafka_committed(committed->client, partitions, (int)(wait_us / 1000) + 1);
    /* An error of one partition is an answer about none of them: "none committed" must be said, not guessed. */
    for (int i = 0; i < partitions->cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR; i++)
        error = partitions->elems[i].err;
    rd_kafka_poll(committed->client, 0);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    struct buffer why = BUFFER_EMPTY;
    contact_explain(committed->client, error, &why);
    snprintf(committed->problem, sizeof(committed->problem), "committed offsets: %.*s", (int)why.size,
             why.at ? why.at : "");
    buffer_done(&why);
    return false;
}

bool committed_read_first(struct committed *committed, const char *topic, int32_t partition, int64_t wait_us,
                          int64_t *ret_offset)
{
    if (committed->client == NULL && !make_client(committed))
        return false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *first = rd_kafka_topic_partition_list_add(list, topic, partition);

    first->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(committed->client, list, (int)(wait_us / 1000) + 1);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        error = first->err;
    *ret_offset = first->offset;
    rd_kafka_topic_partition_list_destroy(list);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && *ret_offset >= 0)
        return true;
    snprintf(committed->problem, sizeof(committed->problem), "the first offset of %.200s/%d: %s", topic, partition,
             rd_kafka_err2str(error));
    return false;
}
