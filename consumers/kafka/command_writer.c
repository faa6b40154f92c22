#include "consumers/kafka/command_writer.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "worker/base/clock.h"

enum
{
    POLL_MS = 100,
    DESTROY_US = 5000000,
};

struct command_writer
{
    rd_kafka_t *producer;
    char *topic;
    struct command_writer_counts counts;
    int64_t moved_us; /* when something was last reported, or there was nothing to report */
    int64_t silent_us;
    command_writer_silence_fn *tell; /* NULL: nobody, or it was told */
    void *owner;
};

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *owner)
{
    struct command_writer *writer = owner;

    writer->moved_us = monotonic_us();
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        writer->counts.delivered++;
        return;
    }
    writer->counts.failed++;
    struct buffer why = BUFFER_EMPTY;
    contact_explain(producer, message->err, &why);
    snprintf(writer->counts.last_error, sizeof(writer->counts.last_error), "%.*s", (int)why.size, why.at ? why.at : "");
    buffer_done(&why);
}

struct command_writer *command_writer_new(const struct settings *settings, const char *topic, struct buffer *reterr)
{
    struct command_writer *writer = calloc(1, sizeof(*writer));
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_IDEMPOTENT, reterr);

    if (writer == NULL || conf == NULL)
    {
        free(writer);
        if (conf)
            rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_opaque(conf, writer);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    writer->topic = strdup(topic);
    writer->moved_us = monotonic_us();
    writer->producer = clients_new(CLIENT_IDEMPOTENT, conf, reterr);
    if (writer->producer && writer->topic)
        return writer;
    command_writer_free(writer);
    return NULL;
}

void command_writer_free(struct command_writer *writer)
{
    if (writer == NULL)
        return;
    clients_destroy(writer->producer, DESTROY_US);
    free(writer->topic);
    free(writer);
}

void command_writer_on_silence(struct command_writer *writer, int64_t silent_us, command_writer_silence_fn *tell,
                               void *owner)
{
    writer->silent_us = silent_us;
    writer->tell = tell;
    writer->owner = owner;
}

static void serve(struct command_writer *writer, int wait_ms)
{
    char why[CONTACT_TEXT_MAX];
    command_writer_silence_fn *tell = writer->tell;

    rd_kafka_poll(writer->producer, wait_ms);
    if (rd_kafka_outq_len(writer->producer) == 0)
        writer->moved_us = monotonic_us();
    if (tell == NULL || monotonic_us() - writer->moved_us < writer->silent_us)
        return;
    contact_problem(writer->producer, why, sizeof(why));
    writer->tell = NULL;
    tell(writer->owner, why);
}

bool command_writer_send(struct command_writer *writer, struct span key, struct span value, struct buffer *reterr)
{
    if (rd_kafka_outq_len(writer->producer) == 0)
        writer->moved_us = monotonic_us(); /* the one before may have been long ago */
    for (;;)
    {
        rd_kafka_resp_err_t error = rd_kafka_producev(
            writer->producer, RD_KAFKA_V_TOPIC(writer->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
            RD_KAFKA_V_KEY(clients_copied(key.at), key.size), RD_KAFKA_V_VALUE(clients_copied(value.at), value.size),
            RD_KAFKA_V_HEADER("content-type", "application/cloudevents+json", -1), RD_KAFKA_V_END);
        if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        {
            serve(writer, POLL_MS);
            continue;
        }
        serve(writer, 0);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
            buffer_add_text(reterr, rd_kafka_err2str(error));
        return error == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
}

int command_writer_wait(struct command_writer *writer, int64_t wait_us)
{
    int64_t deadline_us = monotonic_us() + wait_us;

    while (rd_kafka_outq_len(writer->producer) > 0 && monotonic_us() < deadline_us &&
           !contact_is_refused(writer->producer))
        serve(writer, POLL_MS);
    return rd_kafka_outq_len(writer->producer);
}

struct command_writer_counts command_writer_finish(struct command_writer *writer, int64_t wait_us)
{
    int left = command_writer_wait(writer, wait_us);
    if (left > 0)
    {
        char why[CONTACT_TEXT_MAX];
        writer->counts.failed += left;
        snprintf(writer->counts.last_error, sizeof(writer->counts.last_error), "%s",
                 contact_problem(writer->producer, why, sizeof(why)) ? why : "no answer from the brokers in time");
    }
    return writer->counts;
}
