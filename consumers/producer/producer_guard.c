#include "consumers/producer/producer_guard.h"

#include <stdio.h>

static const struct guarded
{
    int16_t api_key;
    const char *name;
} guarded[] = {
    { 0, "Produce" },          { 22, "InitProducerId" }, { 24, "AddPartitionsToTxn" },
    { 25, "AddOffsetsToTxn" }, { 26, "EndTxn" },         { 28, "TxnOffsetCommit" },
};

enum
{
    GUARDED_COUNT = sizeof(guarded) / sizeof(*guarded),
};

static const char *guarded_name(int api_key)
{
    for (int i = 0; i < GUARDED_COUNT; i++)
        if (guarded[i].api_key == api_key)
            return guarded[i].name;
    return NULL;
}

/* Runs on librdkafka's broker threads, twice for some answers: it sets a flag and does nothing else. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *client, int socket, const char *broker, int32_t broker_id,
                                       int16_t api_key, int16_t api_version, int32_t correlation, size_t size,
                                       int64_t round_trip, rd_kafka_resp_err_t error, void *owner)
{
    struct producer_guard *guard = owner;
    (void)client, (void)socket, (void)broker, (void)broker_id, (void)api_version, (void)correlation, (void)size;
    (void)round_trip;

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || guarded_name(api_key) == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    if (!atomic_load_explicit(&guard->suspect, memory_order_relaxed))
    {
        atomic_store_explicit(&guard->api_key, api_key, memory_order_relaxed);
        atomic_store_explicit(&guard->error, error, memory_order_relaxed);
        /* Release: whoever reads the flag reads what it is about. */
        atomic_store_explicit(&guard->suspect, true, memory_order_release);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *client, const rd_kafka_conf_t *conf, void *owner, char *problem,
                                  size_t problem_size)
{
    (void)conf, (void)problem, (void)problem_size;
    return rd_kafka_interceptor_add_on_response_received(client, "interlock guard", on_response, owner);
}

void producer_guard_init(struct producer_guard *guard)
{
    atomic_init(&guard->suspect, false);
    atomic_init(&guard->api_key, -1);
    atomic_init(&guard->error, 0);
}

bool producer_guard_watch(struct producer_guard *guard, rd_kafka_conf_t *conf)
{
    return rd_kafka_conf_interceptor_add_on_new(conf, "interlock guard", on_new, guard) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool producer_guard_is_suspect(const struct producer_guard *guard)
{
    return atomic_load_explicit(&guard->suspect, memory_order_acquire);
}

void producer_guard_describe(const struct producer_guard *guard, char *into, size_t size)
{
    const char *name = guarded_name(atomic_load_explicit(&guard->api_key, memory_order_relaxed));
    int error = atomic_load_explicit(&guard->error, memory_order_relaxed);

    snprintf(into, size, "%s: %s", name ? name : "no request", rd_kafka_err2str((rd_kafka_resp_err_t)error));
}
