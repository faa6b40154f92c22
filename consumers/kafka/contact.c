#include "consumers/kafka/contact.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/hint.h"
#include "consumers/kafka/login.h"
#include "worker/base/clock.h"

static const int64_t KNOWN_US = 4000000;   /* then a reason that is known is told; a broker may just be starting */
static const int64_t RECENT_US = 40000000; /* librdkafka repeats the same text every 30 s only */

enum
{
    SLICE_MS = 1000,
};

struct note
{
    const rd_kafka_t *client;
    int64_t noted_us;
    char text[CONTACT_TEXT_MAX];
    int times; /* the same text in a row; librdkafka tells it twice, then every 30 s */
    struct note *next;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct note *notes; /* under the mutex: one per handle that ever failed, some dozens at the most */

static struct note *find(const rd_kafka_t *client)
{
    struct note *note = notes;

    while (note && note->client != client)
        note = note->next;
    return note;
}

static struct note *find_or_add(const rd_kafka_t *client)
{
    struct note *note = find(client);

    if (note)
        return note;
    note = calloc(1, sizeof(*note));
    if (note == NULL)
        return NULL;
    note->client = client;
    note->next = notes;
    notes = note;
    return note;
}

/* "[thrd:ssl://a:1/bootstrap]: ssl://a:1/bootstrap: text (after 3ms in state CONNECT)": thread and state say nothing
 * new, and a text has one line. */
static void copy_text(char *into, size_t size, const char *text)
{
    static const char refused[] = ": Connection refused";
    const char *end = strncmp(text, "[thrd:", 6) == 0 ? strstr(text, "]: ") : NULL;

    snprintf(into, size, "%s", end ? end + 3 : text);
    char *state = strstr(into, " (after ");
    if (state)
        *state = '\0';
    for (char *at = into; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    size_t used = strlen(into);
    /* One of two causes is named. */
    if (strstr(into, "certificate verify failed"))
        snprintf(into + used, size - used, "; or the certificate is not of this host name");
    else if (used >= sizeof(refused) - 1 && strcmp(into + used - (sizeof(refused) - 1), refused) == 0)
        snprintf(into + used, size - used, "; is Kafka running there?");
    else if (strstr(into, "invalid credentials with SASL mechanism SCRAM") && rd_kafka_version() < LOGIN_SCRAM_CURED)
        snprintf(into + used, size - used, "; or it is SCRAM of a librdkafka before 2.6.1 and Kafka 4");
}

void contact_note(const rd_kafka_t *client, const char *text)
{
    pthread_mutex_lock(&mutex);
    struct note *note = find_or_add(client);
    char copy[CONTACT_TEXT_MAX];
    if (note)
    {
        copy_text(copy, sizeof(copy), text);
        note->times = strcmp(copy, note->text) == 0 ? note->times + 1 : 1;
        memcpy(note->text, copy, sizeof(note->text));
        note->noted_us = monotonic_us();
    }
    pthread_mutex_unlock(&mutex);
}

void contact_forget(const rd_kafka_t *client)
{
    pthread_mutex_lock(&mutex);
    for (struct note **at = &notes; *at; at = &(*at)->next)
        if ((*at)->client == client)
        {
            struct note *gone = *at;
            *at = gone->next;
            free(gone);
            break;
        }
    pthread_mutex_unlock(&mutex);
}

bool contact_problem(const rd_kafka_t *client, char *into, size_t size)
{
    into[0] = '\0';
    pthread_mutex_lock(&mutex);
    const struct note *note = find(client);
    if (note && monotonic_us() - note->noted_us < RECENT_US)
        snprintf(into, size, "%s", note->text);
    pthread_mutex_unlock(&mutex);
    return into[0] != '\0';
}

bool contact_is_refused(const rd_kafka_t *client)
{
    static const struct
    {
        const char *text;
        int times; /* a broker that is just going away ends a connection once in such a way */
    } signs[] = {
        { "certificate verify failed", 1 },           { "SASL authentication error", 1 },
        { "mechanism handshake failed: Broker:", 1 }, { "SSL handshake failed: error:", 2 },
        { "SSL handshake failed: Disconnected", 2 },  { "security.protocol", 2 },
    };
    bool refused = false;

    pthread_mutex_lock(&mutex);
    const struct note *note = find(client);
    for (size_t i = 0; note && i < sizeof(signs) / sizeof(*signs); i++)
        refused = refused || (note->times >= signs[i].times && strstr(note->text, signs[i].text) != NULL);
    pthread_mutex_unlock(&mutex);
    return refused;
}

static bool is_of_contact(rd_kafka_resp_err_t error)
{
    switch (error)
    {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
        return true;
    default:
        return false;
    }
}

void contact_explain(const rd_kafka_t *client, rd_kafka_resp_err_t error, struct buffer *into)
{
    char text[CONTACT_TEXT_MAX];

    if (is_of_contact(error) && contact_problem(client, text, sizeof(text)))
    {
        buffer_add_text(into, text);
        return;
    }
    buffer_add_text(into, rd_kafka_err2str(error));
    buffer_add_text(into, hint_for_error(error));
}

rd_kafka_resp_err_t contact_metadata(rd_kafka_t *client, rd_kafka_topic_t *topic,
                                     const struct rd_kafka_metadata **ret_metadata, int wait_ms)
{
    int64_t begun_us = monotonic_us(), deadline_us = begun_us + wait_ms * INT64_C(1000);
    char why[CONTACT_TEXT_MAX];

    for (;;)
    {
        int64_t left_ms = (deadline_us - monotonic_us()) / 1000;
        int slice_ms = left_ms < 1 ? 1 : left_ms < SLICE_MS ? (int)left_ms : SLICE_MS;
        rd_kafka_resp_err_t error = rd_kafka_metadata(client, topic == NULL, topic, ret_metadata, slice_ms);
        bool silent = error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__TIMED_OUT;
        bool known = contact_problem(client, why, sizeof(why)) && monotonic_us() - begun_us > KNOWN_US;
        if (!silent || left_ms <= SLICE_MS || known || contact_is_refused(client))
            return error;
    }
}
