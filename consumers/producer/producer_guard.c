#include "consumers/producer/producer_guard.h"

/* Produce, InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit. */
static const int16_t guarded[] = { 0, 22, 24, 25, 26, 28 };

enum
{
    GUARDED_COUNT = sizeof(guarded) / sizeof(*guarded),
};

static bool is_guarded(int16_t api_key)
{
    for (int i = 0; i < GUARDED_COUNT; i++)
        if (guarded[i] == api_key)
            return true;
    return false;
}

/* Runs on librdkafka's broker threads, twice for some answers: it sets a flag and does nothing else. */
static rd_kafka_resp_err_t on_response(rd_kafka_t *client, int socket, const char *broker, int32_t broker_id,
                                       int16_t api_key, int16_t api_version, int32_t correlation, size_t size,
                                       int64_t round_trip, rd_kafka_resp_err_t error, void *owner)
{
    struct producer_guard *guard = owner;
    (void)client, (void)socket, (void)broker, (void)broker_id, (void)api_version, (void)correlation, (void)size;
    (void)round_trip;

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || !is_guarded(api_key))
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    atomic_store_explicit(&guard->suspect, true, memory_order_release);
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
}

bool producer_guard_watch(struct producer_guard *guard, rd_kafka_conf_t *conf)
{
    return rd_kafka_conf_interceptor_add_on_new(conf, "interlock guard", on_new, guard) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool producer_guard_is_suspect(const struct producer_guard *guard)
{
    return atomic_load_explicit(&guard->suspect, memory_order_acquire);
}
