#include "consumers/takeover/topic_watch.h"

#include <stdio.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

static const int64_t WATCH_US = TOPIC_WATCH_S * INT64_C(1000000);
static const int64_t DESTROY_US = 500000;

struct watched
{
    struct owned_partition *const *partitions;
    int count;
};

static void drop_answer(struct topic_watch *watch)
{
    if (watch->answer)
        rd_kafka_queue_destroy(watch->answer);
    watch->answer = NULL;
}

void topic_watch_done(struct topic_watch *watch)
{
    drop_answer(watch);
    clients_destroy(watch->client, DESTROY_US);
    watch->client = NULL;
}

/* False: nobody is asked. */
static bool ask(struct topic_watch *watch, int64_t wait_us)
{
    struct buffer fault = BUFFER_EMPTY;

    drop_answer(watch);
    watch->asked_us = monotonic_us();
    if (!watch->settings->protections.topic_ids || !topic_ids_are_told())
        return false;
    if (watch->client == NULL)
    {
        rd_kafka_conf_t *conf = clients_conf(watch->settings, CLIENT_ADMIN, &fault);
        watch->client = conf ? clients_new(CLIENT_ADMIN, conf, &fault) : NULL;
    }
    buffer_done(&fault);
    watch->answer = watch->client ? topic_ids_ask(watch->settings, watch->client, wait_us) : NULL;
    return watch->answer != NULL;
}

static void learn_id(void *owner, const char *topic, const char *id)
{
    const struct watched *watched = owner;

    for (int i = 0; i < watched->count; i++)
        if (strcmp(watched->partitions[i]->topic, topic) == 0)
            snprintf(watched->partitions[i]->shared.topic_id, TOPIC_ID_SIZE, "%s", id);
}

void topic_watch_learn(struct topic_watch *watch, struct owned_partition *const *partitions, int count, int64_t wait_us)
{
    struct watched watched = { partitions, count };

    if (count == 0 || !ask(watch, wait_us))
        return;
    topic_ids_take(watch->answer, wait_us, learn_id, &watched);
    drop_answer(watch);
}

/* A broker that lags may tell a former id: then the topic is read once more than it has to be. */
static void compare_id(void *owner, const char *topic, const char *id)
{
    const struct watched *watched = owner;

    for (int i = 0; i < watched->count; i++)
    {
        struct owned_partition *owned = watched->partitions[i];
        if (strcmp(owned->topic, topic) != 0 || strcmp(owned->shared.topic_id, id) == 0 || owned_is_recreated(owned))
            continue;
        if (owned->shared.topic_id[0] == '\0')
        {
            snprintf(owned->shared.topic_id, sizeof(owned->shared.topic_id), "%s", id);
            continue;
        }
        snprintf(owned->shared.present_id, sizeof(owned->shared.present_id), "%s", id);
        /* Release: the poll thread reads both ids. */
        atomic_store_explicit(&owned->shared.recreated, true, memory_order_release);
    }
}

void topic_watch_step(struct topic_watch *watch, struct owned_partition *const *partitions, int count, int64_t now_us)
{
    struct watched watched = { partitions, count };

    if (watch->answer && topic_ids_take(watch->answer, 0, compare_id, &watched))
        drop_answer(watch);
    if (watch->answer == NULL && count > 0 && now_us - watch->asked_us >= WATCH_US)
        ask(watch, WATCH_US);
}
