#include "consumers/admin/audit_repair.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/clients.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

enum
{
    TRANSACTION_EVENTS_MAX = 1000,
    ANSWER_MS = 30000,
    AGAIN_MS = 100,
    DESTROY_US = 5000000,
};

struct audit_repair
{
    const struct settings *settings;
    rd_kafka_t *producer;
    int open; /* events in the open transaction; 0: no transaction is open */
};

/* True when there was no error. */
static bool is_good(rd_kafka_error_t *error, struct buffer *reterr)
{
    if (error == NULL)
        return true;
    clients_describe(error, reterr);
    return false;
}

/* Calls again what answers "retriable" (a coordinator that still loads, a transaction that still ends), ANSWER_MS long.
 */
static bool call_until_done(struct audit_repair *repair, rd_kafka_error_t *call(rd_kafka_t *, int),
                            struct buffer *reterr)
{
    int64_t deadline_us = monotonic_us() + ANSWER_MS * INT64_C(1000);

    for (;;)
    {
        rd_kafka_error_t *error = call(repair->producer, ANSWER_MS);
        if (error && rd_kafka_error_is_retriable(error) && monotonic_us() < deadline_us)
        {
            rd_kafka_error_destroy(error);
            rd_kafka_poll(repair->producer, AGAIN_MS);
            continue;
        }
        return is_good(error, reterr);
    }
}

struct audit_repair *audit_repair_new(const struct settings *settings, struct buffer *reterr)
{
    struct audit_repair *repair = calloc(1, sizeof(*repair));
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_TRANSACTIONAL, reterr);
    char id[256];

    snprintf(id, sizeof(id), "interlock.%s.repair", settings->kafka.group);
    if (repair == NULL || conf == NULL || !clients_set(conf, "transactional.id", id, reterr))
    {
        free(repair);
        if (conf)
            rd_kafka_conf_destroy(conf);
        return NULL;
    }
    repair->settings = settings;
    repair->producer = clients_new(CLIENT_TRANSACTIONAL, conf, reterr);
    if (repair->producer && call_until_done(repair, rd_kafka_init_transactions, reterr))
        return repair;
    audit_repair_free(repair);
    return NULL;
}

void audit_repair_free(struct audit_repair *repair)
{
    if (repair == NULL)
        return;
    clients_destroy(repair->producer, DESTROY_US);
    free(repair);
}

bool audit_repair_publish(struct audit_repair *repair, const char *key, struct span event, struct buffer *reterr)
{
    if (repair->open == 0 && !is_good(rd_kafka_begin_transaction(repair->producer), reterr))
        return false;
    repair->open++;
    void *key_or_none = key[0] ? clients_copied(key) : NULL;
    rd_kafka_resp_err_t error =
        rd_kafka_producev(repair->producer, RD_KAFKA_V_TOPIC(repair->settings->kafka.audit_topic),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key_or_none, strlen(key)),
                          RD_KAFKA_V_VALUE(clients_copied(event.at), event.size),
                          RD_KAFKA_V_HEADER("content-type", "application/cloudevents+json", -1), RD_KAFKA_V_END);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        buffer_add_text(reterr, rd_kafka_err2str(error));
        return false;
    }
    rd_kafka_poll(repair->producer, 0);
    return repair->open < TRANSACTION_EVENTS_MAX || audit_repair_commit(repair, reterr);
}

bool audit_repair_commit(struct audit_repair *repair, struct buffer *reterr)
{
    if (repair->open == 0)
        return true;
    repair->open = 0;
    return call_until_done(repair, rd_kafka_commit_transaction, reterr);
}
