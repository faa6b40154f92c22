#include "consumers/parking/operator_events.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "worker/base/clock.h"
#include "workflows/base/buffer.h"

static const int64_t EVERY_US = 1000000;

enum
{
    EVENTS_MAX = 100, /* of one round */
    ID_MAX = 24,
};

/* Where each claimed action stands. A round claims when all reports of the one before it have come. */
struct event
{
    char id[ID_MAX];
    bool confirmed;
};

struct operator_events
{
    const char *topic;
    claims_ask_fn *ask;
    void *owner;
    struct event events[EVENTS_MAX];
    int count, reported;
    int64_t next_us;
};

/* Claimed for half a minute, so that the processes of a group do not publish each other's. json_build_object prints the
 * members in this order: the same bytes every time. Ids begin at 1 again after the schema was made again; the time tells
 * them apart. */
static const char claim_sql[] =
    "WITH claimed AS (UPDATE interlock.operator_outbox o SET claimed_at = clock_timestamp() FROM (SELECT action_id "
    "FROM interlock.operator_outbox WHERE claimed_at IS NULL OR claimed_at < now() - interval '30 s' ORDER BY "
    "action_id "
    "LIMIT 100 FOR UPDATE SKIP LOCKED) w WHERE o.action_id = w.action_id RETURNING o.action_id) "
    "SELECT a.id, 'operator/' || a.id, json_build_object('specversion', '1.0', 'type', 'interlock.operator', "
    "'source', '/interlock', 'id', 'operator/' || a.id || '/' || (extract(epoch FROM a.at) * 1000000)::bigint, "
    "'subject', 'operator/' || a.id, 'time', to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "'datacontenttype', 'application/json', 'data', json_build_object('action', a.id, 'verb', a.verb, 'actor', "
    "a.actor, "
    "'db_user', a.db_user, 'host', a.host, 'version', a.version, 'reason', a.reason, 'filter', a.filter, "
    "'expected', a.expected, 'before', to_char(a.before AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')))::text "
    "FROM claimed c JOIN interlock.operator_action a ON a.id = c.action_id ORDER BY a.id";
static const char forget_sql[] = "DELETE FROM interlock.operator_outbox WHERE action_id = ANY ($1::bigint[])";

struct operator_events *operator_events_new(const char *audit_topic, claims_ask_fn *ask, void *owner)
{
    struct operator_events *events = calloc(1, sizeof(*events));

    if (events == NULL)
        return NULL;
    events->topic = audit_topic;
    events->ask = ask;
    events->owner = owner;
    return events;
}

void operator_events_free(struct operator_events *events)
{
    free(events);
}

static void forget_confirmed(struct operator_events *events)
{
    struct buffer ids = BUFFER_EMPTY;
    const char *values[1];

    for (int i = 0; i < events->count; i++)
    {
        if (!events->events[i].confirmed)
            continue;
        buffer_add_byte(&ids, ids.size == 0 ? '{' : ',');
        buffer_add_text(&ids, events->events[i].id);
    }
    events->count = events->reported = 0;
    if (ids.size > 0)
    {
        buffer_add(&ids, "}", 2);
        values[0] = ids.at;
        if (!buffer_failed(&ids))
            PQclear(events->ask(events->owner, forget_sql, 1, values));
    }
    buffer_done(&ids);
}

static void publish(struct operator_events *events, rd_kafka_t *producer, const PGresult *rows, int row)
{
    struct event *event = &events->events[events->count];
    const char *key = PQgetvalue(rows, row, 1), *value = PQgetvalue(rows, row, 2);

    *event = (struct event){ .confirmed = false };
    strncpy(event->id, PQgetvalue(rows, row, 0), sizeof(event->id) - 1);
    rd_kafka_resp_err_t error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(events->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(clients_copied(key), strlen(key)), RD_KAFKA_V_VALUE(clients_copied(value), strlen(value)),
        RD_KAFKA_V_HEADER("content-type", "application/cloudevents+json", -1), RD_KAFKA_V_OPAQUE(event),
        RD_KAFKA_V_END);
    events->count += error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void operator_events_step(struct operator_events *events, rd_kafka_t *producer)
{
    if (events->reported < events->count || monotonic_us() < events->next_us)
        return;
    forget_confirmed(events);
    events->next_us = monotonic_us() + EVERY_US;
    PGresult *rows = events->ask(events->owner, claim_sql, 0, NULL);
    for (int row = 0; row < PQntuples(rows) && events->count < EVENTS_MAX; row++)
        publish(events, producer, rows, row);
    PQclear(rows);
}

bool operator_events_report(struct operator_events *events, const rd_kafka_message_t *message)
{
    struct event *event = message->_private;

    if (event < events->events || event >= events->events + EVENTS_MAX)
        return false;
    event->confirmed = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    events->reported++;
    return true;
}
