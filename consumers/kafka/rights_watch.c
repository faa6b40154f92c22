#include "consumers/kafka/rights_watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/rights.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"

static const int64_t ROUND_US = 500000;
static const int64_t AGAIN_US =
    3000000; /* while a right is missing; doubled while Kafka does not let itself be asked */
static const int64_t AGAIN_MAX_US = 60000000;
static const int64_t LOG_EVERY_US = 30000000;

enum
{
    TEXT_MAX = 1200,
};

struct rights_watch
{
    const struct settings *settings;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool looked;         /* under the mutex, like what follows */
    char text[TEXT_MAX]; /* "": nothing is missing */

    /* Of its thread. */
    char found[TEXT_MAX];
    int found_count;
    int64_t next_us, again_us;
    struct log_rate rate;
};

/* Any part of the process may meet such an error, and there is one Kafka. */
static atomic_bool suspected;

void rights_watch_suspect(rd_kafka_resp_err_t error)
{
    if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
        error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED ||
        error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
        error == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        atomic_store_explicit(&suspected, true, memory_order_relaxed);
}

bool rights_watch_problem(struct rights_watch *watch, struct buffer *why)
{
    if (watch == NULL)
        return false;
    pthread_mutex_lock(&watch->mutex);
    bool missing = watch->text[0] != '\0';
    if (missing)
        buffer_add_text(why, watch->text);
    pthread_mutex_unlock(&watch->mutex);
    return missing;
}

bool rights_watch_has_looked(struct rights_watch *watch)
{
    if (watch == NULL)
        return true;
    pthread_mutex_lock(&watch->mutex);
    bool looked = watch->looked;
    pthread_mutex_unlock(&watch->mutex);
    return looked;
}

/* One line for all of them: the first in full. */
static void take_missing(void *owner, const struct buffer *says)
{
    struct rights_watch *watch = owner;

    if (watch->found_count++ == 0)
        snprintf(watch->found, sizeof(watch->found), "%.*s", (int)says->size, says->at ? says->at : "out of memory");
}

static void tell(struct rights_watch *watch)
{
    char former[TEXT_MAX];

    if (watch->found_count > 1)
    {
        size_t used = strlen(watch->found);
        snprintf(watch->found + used, sizeof(watch->found) - used, "; and %d more: `interlock check` lists them",
                 watch->found_count - 1);
    }
    pthread_mutex_lock(&watch->mutex);
    memcpy(former, watch->text, sizeof(former));
    memcpy(watch->text, watch->found, sizeof(watch->text));
    pthread_mutex_unlock(&watch->mutex);
    if (strcmp(former, watch->found) != 0)
        watch->rate = (struct log_rate){ 0 };
    if (watch->found[0] && log_allowed(&watch->rate, LOG_EVERY_US))
        log_error("kafka: %s", watch->found);
    else if (former[0] && !watch->found[0])
        log_info("kafka: the rights that were missing are there");
}

static void plan_next(struct rights_watch *watch, bool looked)
{
    int64_t doubled_us = 2 * watch->again_us;

    if (looked || watch->found_count > 0)
        watch->again_us = AGAIN_US;
    else
        watch->again_us = doubled_us < AGAIN_US ? AGAIN_US : doubled_us < AGAIN_MAX_US ? doubled_us : AGAIN_MAX_US;
    watch->next_us = looked && watch->found_count == 0 ? INT64_MAX : monotonic_us() + watch->again_us;
}

/* Kafka does not answer every question about rights. A missing right that it does not tell is noticed by the part that
 * needs it; where no part does, nobody is kept from being ready. */
static void look(struct rights_watch *watch)
{
    struct buffer fault = BUFFER_EMPTY;

    atomic_store_explicit(&suspected, false, memory_order_relaxed);
    watch->found[0] = '\0';
    watch->found_count = 0;
    bool looked = rights_probe(watch->settings, false, &watch->stopping, take_missing, watch, &fault);
    if (looked || watch->found_count > 0)
        tell(watch);
    else
        log_debug("kafka: the rights could not be tried: %.*s", (int)fault.size, fault.at ? fault.at : "");
    buffer_done(&fault);
    pthread_mutex_lock(&watch->mutex);
    watch->looked = true;
    pthread_mutex_unlock(&watch->mutex);
    plan_next(watch, looked);
}

static void *watch_main(void *owner)
{
    struct rights_watch *watch = owner;

    while (!atomic_load(&watch->stopping))
    {
        if (monotonic_us() >= watch->next_us || atomic_load_explicit(&suspected, memory_order_relaxed))
            look(watch);
        struct timespec until = monotonic_timespec(monotonic_us() + ROUND_US);
        pthread_mutex_lock(&watch->mutex);
        if (!atomic_load(&watch->stopping))
            pthread_cond_timedwait(&watch->wake, &watch->mutex, &until);
        pthread_mutex_unlock(&watch->mutex);
    }
    return NULL;
}

static void free_watch(struct rights_watch *watch)
{
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

struct rights_watch *rights_watch_start(const struct settings *settings)
{
    struct rights_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return NULL;
    watch->settings = settings;
    pthread_mutex_init(&watch->mutex, NULL);
    condition_init(&watch->wake);
    if (pthread_create(&watch->thread, NULL, watch_main, watch) == 0)
    {
        pthread_setname_np(watch->thread, "rights");
        return watch;
    }
    free_watch(watch);
    return NULL;
}

void rights_watch_stop(struct rights_watch *watch)
{
    if (watch == NULL)
        return;
    pthread_mutex_lock(&watch->mutex);
    atomic_store(&watch->stopping, true);
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->mutex);
    pthread_join(watch->thread, NULL);
    free_watch(watch);
}
