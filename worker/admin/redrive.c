#include "worker/admin/redrive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/postgres/query.h"
#include "workflows/base/hex.h"

static const char look_sql[] =
    "SELECT CASE WHEN i.parked THEN 'already parked' WHEN e.outcome IS NOT NULL THEN 'already answered: ' || e.outcome "
    "|| "
    "coalesce(': ' || e.reason, '') ELSE '" REDRIVE_KNOWN "' END FROM interlock.inbox i LEFT JOIN "
    "interlock.audit_event e ON e.partition_id = i.partition_id AND e.kafka_offset = i.kafka_offset AND "
    "e.command_source = $2 AND e.command_id = $3 WHERE i.identity = $1::uuid";
/* The letter is locked first: of two operators the second finds it on its way. */
static const char put_back_sql[] =
    "WITH letter AS MATERIALIZED (SELECT d.state, d.action_id FROM interlock.dead_letter d WHERE d.partition_id = "
    "$2::int "
    "AND d.kafka_offset = $3::bigint AND d.digest = decode($4, 'hex') FOR UPDATE), "
    "put AS MATERIALIZED (SELECT CASE WHEN state = 'open' THEN interlock.put_back($1::bigint, 'redriven', $5::uuid, "
    "$6::uuid, $2::int, $3::bigint, $7::bigint, now() + $8::bigint * interval '1 microsecond', $9, $10, $11, $12, $13, "
    "$14::bytea, $15::bytea, $16::bytea) ELSE state || coalesce(' by action ' || action_id, '') END AS said FROM "
    "letter), "
    "moved AS (UPDATE interlock.dead_letter d SET state = $17, state_at = clock_timestamp(), action_id = $1::bigint, "
    "identity = CASE WHEN $17 = 'redriving' THEN $5::uuid ELSE d.identity END WHERE d.partition_id = $2::int AND "
    "d.kafka_offset = $3::bigint AND d.digest = decode($4, 'hex') AND (SELECT said FROM put) = 'parked'), "
    "told AS (INSERT INTO interlock.operator_item (action_id, subject, outcome) SELECT $1::bigint, o.topic || '/' || "
    "o.partition || '/' || $3::text, 'put back' FROM interlock.partition_owner o WHERE o.id = $2::int) "
    "SELECT said FROM put";
static const char left_sql[] = "SELECT count(*) FROM interlock.parked_command WHERE action_id = $1::bigint";
static const char outcomes_sql[] =
    "SELECT outcome, count(*) FROM interlock.operator_item WHERE action_id = $1::bigint AND "
    "outcome <> 'put back' GROUP BY outcome ORDER BY 2 DESC, 1";
static const char take_back_sql[] =
    "WITH mine AS MATERIALIZED (SELECT p.identity, o.topic || '/' || o.partition || '/' || p.kafka_offset AS subject "
    "FROM "
    "interlock.parked_command p JOIN interlock.partition_owner o ON o.id = p.partition_id WHERE p.action_id = "
    "$2::bigint "
    "AND p.returned_at IS NULL AND p.returns = 0), "
    "taken AS MATERIALIZED (SELECT subject FROM mine WHERE interlock.take_back($1::bigint, identity)) "
    "INSERT INTO interlock.operator_item (action_id, subject, outcome) SELECT $1::bigint, subject, 'taken back' FROM "
    "taken";

enum
{
    UUID_ROOM = 2 * DIGEST_SIZE + 1,
    NUMBER_ROOM = 24,
};

static const char *print_uuid(const uint8_t digest[DIGEST_SIZE], char into[UUID_ROOM])
{
    hex_print(digest, DIGEST_SIZE, into);
    into[UUID_ROOM - 1] = '\0';
    return into;
}

static const char *print_number(int64_t number, char into[NUMBER_ROOM])
{
    snprintf(into, NUMBER_ROOM, "%lld", (long long)number);
    return into;
}

static const char *null_if_empty(const char *text)
{
    return text && *text ? text : NULL;
}

bool redrive_look(PGconn *connection, const uint8_t identity[DIGEST_SIZE], const char *source, const char *id,
                  char into[REDRIVE_SAYS_MAX], struct buffer *reterr)
{
    char uuid[UUID_ROOM];
    const char *const values[] = { print_uuid(identity, uuid), source, id };

    QUERY_RESULT known = query_run(connection, look_sql, 3, values, reterr);
    if (known == NULL)
        return false;
    snprintf(into, REDRIVE_SAYS_MAX, "%s", PQntuples(known) > 0 ? PQgetvalue(known, 0, 0) : "");
    return true;
}

/* \x and hex digits; NULL for null. */
static bool print_bytes(struct span bytes, struct buffer *into)
{
    if (bytes.at == NULL)
        return true;
    buffer_add_text(into, "\\x");
    if (!buffer_reserve(into, 2 * bytes.size + 1))
        return false;
    hex_print((const uint8_t *)bytes.at, bytes.size, into->at + into->size);
    into->size += 2 * bytes.size;
    buffer_add_byte(into, '\0');
    return !buffer_failed(into);
}

bool redrive_put_back(PGconn *connection, int64_t action, const struct redrive_letter *letter, struct buffer *reterr)
{
    char number[NUMBER_ROOM], delay[NUMBER_ROOM], identity[UUID_ROOM], body[UUID_ROOM];
    struct buffer bytes[3] = { BUFFER_EMPTY, BUFFER_EMPTY, BUFFER_EMPTY };
    bool printed = print_bytes(letter->key, &bytes[0]) && print_bytes(letter->headers, &bytes[1]) &&
                   print_bytes(letter->value, &bytes[2]);
    const char *const values[] = { print_number(action, number),
                                   letter->partition_id,
                                   letter->offset,
                                   letter->digest,
                                   print_uuid(letter->identity, identity),
                                   print_uuid(letter->body_digest, body),
                                   letter->fence,
                                   print_number(letter->delay_us, delay),
                                   null_if_empty(letter->aggregate),
                                   null_if_empty(letter->source),
                                   null_if_empty(letter->id),
                                   null_if_empty(letter->type),
                                   null_if_empty(letter->tenant),
                                   bytes[0].at,
                                   bytes[1].at,
                                   bytes[2].at,
                                   letter->edited ? "replaced" : "redriving" };
    QUERY_RESULT put = NULL;

    if (printed)
        put = query_run(connection, put_back_sql, sizeof(values) / sizeof(values[0]), values, reterr);
    else
        buffer_add_text(reterr, "out of memory");
    for (int i = 0; i < 3; i++)
        buffer_done(&bytes[i]);
    if (put == NULL)
        return false;
    const char *said = PQntuples(put) > 0 ? PQgetvalue(put, 0, 0) : "its letter is gone";
    if (strcmp(said, "parked") == 0)
        return true;
    buffer_add_text(reterr, said);
    return false;
}

int64_t redrive_left(PGconn *connection, int64_t action, PGresult **ret_outcomes, struct buffer *reterr)
{
    char number[NUMBER_ROOM];
    const char *const values[] = { print_number(action, number) };

    /* A row that is gone here has its outcome there: both are of one transaction. */
    QUERY_RESULT left = query_run(connection, left_sql, 1, values, reterr);
    *ret_outcomes = left ? query_run(connection, outcomes_sql, 1, values, reterr) : NULL;
    return *ret_outcomes ? strtoll(PQgetvalue(left, 0, 0), NULL, 10) : -1;
}

int64_t redrive_take_back(PGconn *connection, int64_t action, int64_t of_action, struct buffer *reterr)
{
    char number[NUMBER_ROOM], of_number[NUMBER_ROOM];
    const char *const values[] = { print_number(action, number), print_number(of_action, of_number) };

    QUERY_RESULT taken = query_run(connection, take_back_sql, 2, values, reterr);
    return taken ? strtoll(PQcmdTuples(taken), NULL, 10) : -1;
}
