#include "consumers/poll/reach.h"

#include <assert.h>
#include <stdio.h>

#include "consumers/kafka/contact.h"
#include "worker/settings/settings.h"

static const int64_t ASK_EVERY_US = 2000000;

enum
{
    ANSWER_MS = 500,
};

void reach_doubt(struct reach *reach, int64_t since_us, int64_t now_us)
{
    if (reach->silent_since_us != 0)
        return;
    reach->silent_since_us = since_us;
    if (reach->next_us < now_us)
        reach->next_us = now_us;
}

static bool answers(rd_kafka_t *consumer)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error = rd_kafka_metadata(consumer, 0, NULL, &metadata, ANSWER_MS);

    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

enum reach_state reach_step(struct reach *reach, const struct settings *settings, rd_kafka_t *consumer, int64_t now_us,
                            char *why, size_t why_size)
{
    char reason[CONTACT_TEXT_MAX];

    if (reach->silent_since_us == 0 || now_us < reach->next_us)
        return REACH_SAME;
    assert(consumer); /* doubts are about one, and end with it (REACH_NEW) */
    if (answers(consumer))
    {
        bool was_told = reach->told;
        *reach = (struct reach){ .next_us = now_us + ASK_EVERY_US };
        return was_told ? REACH_BACK : REACH_SAME;
    }
    reach->next_us = now_us + ASK_EVERY_US;
    reach->told = true;
    if (!contact_problem(consumer, reason, sizeof(reason)))
        snprintf(reason, sizeof(reason), "connections are accepted, questions are not answered");
    snprintf(why, why_size, "%s has not answered for %lld s: %s", settings->kafka.bootstrap,
             (long long)(now_us - reach->silent_since_us) / 1000000, reason);
    return REACH_SILENT;
}
