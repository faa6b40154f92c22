#include "worker/admin/replay_judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/admin/operator_action.h"
#include "worker/base/topic_name.h"
#include "worker/postgres/query.h"
#include "workflows/base/hex.h"

enum
{
    PAGE = 1000,
    ID_TEXT = 2 * DIGEST_SIZE + 1,
};

const char *const replay_class_names[REPLAY_CLASS__COUNT] = { "answered", "duplicate",  "parked", "letter",
                                                              "missing",  "unreadable", "pruned", "not_read_yet" };

/* A row a message, in their order. A letter is of the position, or of the identity while it is not answered. */
static const char judge_sql[] =
    "SELECT CASE WHEN p.identity IS NOT NULL THEN CASE WHEN p.partition_id = o.id AND p.kafka_offset = k.at THEN 2 "
    "ELSE 1 "
    "END WHEN a.found THEN CASE WHEN i.partition_id = o.id AND i.kafka_offset = k.at THEN 0 ELSE 1 END "
    "WHEN d.found THEN 3 WHEN k.at >= coalesce(w.published, 0) THEN 7 WHEN k.at < w.pruned_below THEN 6 "
    "WHEN k.identity IS NULL THEN 5 ELSE 4 END "
    "FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) WITH ORDINALITY AS k (identity, number, at, nr) "
    "LEFT JOIN interlock.partition_owner o ON o.topic = $4::text AND o.partition = k.number "
    "LEFT JOIN interlock.partition_published w ON w.partition_id = o.id "
    "LEFT JOIN interlock.inbox i ON i.identity = k.identity "
    "LEFT JOIN interlock.parked_command p ON p.identity = k.identity "
    "LEFT JOIN LATERAL (SELECT true AS found FROM interlock.audit_event e WHERE e.partition_id = i.partition_id AND "
    "e.kafka_offset = i.kafka_offset AND e.fence = i.fence LIMIT 1) a ON true "
    "LEFT JOIN LATERAL (SELECT true AS found FROM interlock.dead_letter d WHERE (d.partition_id = o.id AND "
    "d.kafka_offset = k.at) OR d.identity = k.identity LIMIT 1) d ON true ORDER BY k.nr";

static const char put_back_sql[] =
    "SELECT interlock.put_back($1::bigint, 'replayed', $2::uuid, $3::uuid, o.id, $6::bigint, o.fence, "
    "clock_timestamp(), "
    "$7, $8, $9, $10, $11, $12::bytea, $13::bytea, $14::bytea) FROM interlock.partition_owner o "
    "WHERE o.topic = $4 AND o.partition = $5::integer";

struct replay_judge
{
    PGconn *connection;
    int64_t limit, bytes_max, bytes, counts[REPLAY_CLASS__COUNT];
    char topic[TOPIC_NAME_MAX + 1]; /* of the page */
    struct buffer identities, numbers, offsets;
    struct replay_missing *page;
    int page_count;
    struct replay_missing *missing;
    int missing_count;
};

static char *copy_span(struct span text)
{
    return text.at ? strndup(text.at, text.size) : NULL;
}

static void free_bytes(struct replay_missing *missing)
{
    buffer_done(&missing->key);
    buffer_done(&missing->headers);
    buffer_done(&missing->value);
    missing->has_bytes = false;
}

static void free_missing(struct replay_missing *missing)
{
    char *const texts[] = { missing->topic, missing->source, missing->id,
                            missing->type,  missing->tenant, missing->aggregate };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        free(texts[i]);
    free_bytes(missing);
    *missing = (struct replay_missing){ 0 };
}

struct replay_judge *replay_judge_new(PGconn *connection, int64_t limit, int64_t bytes_max)
{
    struct replay_judge *judge = calloc(1, sizeof(*judge));

    if (judge == NULL)
        return NULL;
    *judge = (struct replay_judge){ .connection = connection, .limit = limit, .bytes_max = bytes_max };
    judge->page = calloc(PAGE, sizeof(*judge->page));
    judge->missing = calloc((size_t)limit, sizeof(*judge->missing));
    if (judge->page && judge->missing)
        return judge;
    replay_judge_free(judge);
    return NULL;
}

void replay_judge_free(struct replay_judge *judge)
{
    if (judge == NULL)
        return;
    for (int i = 0; i < judge->page_count; i++)
        free_missing(&judge->page[i]);
    for (int i = 0; i < judge->missing_count; i++)
        free_missing(&judge->missing[i]);
    free(judge->page);
    free(judge->missing);
    buffer_done(&judge->identities);
    buffer_done(&judge->numbers);
    buffer_done(&judge->offsets);
    free(judge);
}

/* A copy that came back, or a duplicate, of one that is missing is no second one. */
static bool is_kept(const struct replay_judge *judge, const struct replay_missing *missing)
{
    for (int i = 0; i < judge->missing_count; i++)
        if (memcmp(judge->missing[i].identity, missing->identity, DIGEST_SIZE) == 0)
            return true;
    return false;
}

static void keep(struct replay_judge *judge, struct replay_missing *message)
{
    judge->bytes += (int64_t)(message->key.size + message->headers.size + message->value.size);
    if (judge->bytes > judge->bytes_max)
        free_bytes(message);
    judge->missing[judge->missing_count++] = *message;
}

static void count(struct replay_judge *judge, int class, struct replay_missing *message)
{
    if (class == REPLAY_MISSING && is_kept(judge, message))
        class = REPLAY_DUPLICATE;
    judge->counts[class]++;
    if (class == REPLAY_MISSING && judge->missing_count < judge->limit)
        keep(judge, message);
    else
        free_missing(message);
}

bool replay_judge_finish(struct replay_judge *judge, struct buffer *reterr)
{
    struct buffer *const arrays[] = { &judge->identities, &judge->numbers, &judge->offsets };

    if (judge->page_count == 0)
        return true;
    for (size_t i = 0; i < 3; i++)
    {
        buffer_add(arrays[i], "}", 2);
        if (buffer_failed(arrays[i]))
        {
            buffer_add_text(reterr, "out of memory");
            return false;
        }
    }
    const char *const values[] = { judge->identities.at, judge->numbers.at, judge->offsets.at, judge->topic };
    QUERY_RESULT rows = query_run(judge->connection, judge_sql, 4, values, reterr);
    if (rows == NULL || PQntuples(rows) != judge->page_count)
        return false;
    for (int row = 0; row < judge->page_count; row++)
        count(judge, atoi(PQgetvalue(rows, row, 0)), &judge->page[row]);
    judge->page_count = 0;
    for (size_t i = 0; i < 3; i++)
        buffer_clear(arrays[i]);
    return true;
}

static void keep_bytes(struct replay_missing *message, const struct delivery *delivery)
{
    message->has_bytes = true;
    message->has_key = delivery->key.at != NULL;
    buffer_add_span(&message->key, delivery->key);
    buffer_add_span(&message->headers, delivery->headers);
    buffer_add_span(&message->value, delivery->value);
}

static void keep_command(struct replay_missing *message, const struct command *command)
{
    char key[AGGREGATE_KEY_MAX];

    message->source = copy_span(command->source);
    message->id = copy_span(command->id);
    message->type = copy_span(command->type);
    message->tenant = copy_span(command->tenant);
    if (command->aggregate.kind != AGGREGATE_NONE)
        message->aggregate = copy_span((struct span){ key, aggregate_print(command->aggregate, key) });
    memcpy(message->identity, command->identity, DIGEST_SIZE);
    memcpy(message->body_digest, command->body_digest, DIGEST_SIZE);
}

static void add_element(struct buffer *array, const char *text)
{
    buffer_add_byte(array, array->size == 0 ? '{' : ',');
    buffer_add_text(array, text);
}

bool replay_judge_add(struct replay_judge *judge, const char *topic, int32_t partition, const struct delivery *delivery,
                      const struct command *command, struct buffer *reterr)
{
    char identity[ID_TEXT] = "NULL", number[24], offset[24];

    if ((judge->page_count == PAGE || strcmp(judge->topic, topic) != 0) && !replay_judge_finish(judge, reterr))
        return false;
    snprintf(judge->topic, sizeof(judge->topic), "%s", topic);
    struct replay_missing *message = &judge->page[judge->page_count++];
    *message = (struct replay_missing){ .topic = strdup(topic), .partition = partition, .offset = delivery->offset };
    if (command)
    {
        keep_command(message, command);
        hex_print(command->identity, DIGEST_SIZE, identity);
        identity[ID_TEXT - 1] = '\0';
    }
    if (command)
        keep_bytes(message, delivery);
    snprintf(number, sizeof(number), "%d", partition);
    snprintf(offset, sizeof(offset), "%lld", (long long)delivery->offset);
    add_element(&judge->identities, identity);
    add_element(&judge->numbers, number);
    add_element(&judge->offsets, offset);
    if (message->topic && (!command || (message->source && message->id && message->type)) &&
        !buffer_failed(&message->value))
        return true;
    buffer_add_text(reterr, "out of memory");
    return false;
}

int64_t replay_judge_count(const struct replay_judge *judge, enum replay_class class)
{
    return judge->counts[class];
}

int replay_judge_missing(const struct replay_judge *judge, const struct replay_missing **ret)
{
    *ret = judge->missing;
    return judge->missing_count;
}

/* --- the way back ------------------------------------------------------------------------------------------------ */

/* As PostgreSQL takes bytes in text; NULL: no memory. Freed with PQfreemem. */
static char *escape(PGconn *connection, const struct buffer *bytes)
{
    size_t size;
    const unsigned char *at = (const unsigned char *)(bytes->at ? bytes->at : "");

    return (char *)PQescapeByteaConn(connection, at, bytes->size, &size);
}

static bool put_back_one(PGconn *connection, const char *action, const struct replay_missing *missing, bool *ret_parked,
                         struct buffer *reterr)
{
    char identity[ID_TEXT], digest[ID_TEXT], partition[16], offset[24];
    char *key = escape(connection, &missing->key), *headers = escape(connection, &missing->headers);
    char *value = escape(connection, &missing->value);

    hex_print(missing->identity, DIGEST_SIZE, identity);
    hex_print(missing->body_digest, DIGEST_SIZE, digest);
    identity[ID_TEXT - 1] = digest[ID_TEXT - 1] = '\0';
    snprintf(partition, sizeof(partition), "%d", missing->partition);
    snprintf(offset, sizeof(offset), "%lld", (long long)missing->offset);
    const char *const values[] = { action,
                                   identity,
                                   digest,
                                   missing->topic,
                                   partition,
                                   offset,
                                   missing->aggregate,
                                   missing->source,
                                   missing->id,
                                   missing->type,
                                   missing->tenant,
                                   missing->has_key ? key : NULL,
                                   missing->headers.size > 0 ? headers : NULL,
                                   value };
    bool good = key && headers && value;
    QUERY_RESULT answer = good ? query_run(connection, put_back_sql, 14, values, reterr) : NULL;
    PQfreemem(key);
    PQfreemem(headers);
    PQfreemem(value);
    *ret_parked = answer && PQntuples(answer) == 1 && strcmp(PQgetvalue(answer, 0, 0), "parked") == 0;
    return answer != NULL;
}

int64_t replay_put_back(PGconn *connection, int64_t action, const struct replay_judge *judge, struct buffer *reterr)
{
    char id[24], subject[TOPIC_NAME_MAX + 48];
    int64_t parked = 0;

    snprintf(id, sizeof(id), "%lld", (long long)action);
    for (int i = 0; i < judge->missing_count; i++)
    {
        const struct replay_missing *missing = &judge->missing[i];
        bool is_parked;
        if (!put_back_one(connection, id, missing, &is_parked, reterr))
            return -1;
        if (!is_parked)
            continue;
        snprintf(subject, sizeof(subject), "%s/%d/%lld", missing->topic, missing->partition,
                 (long long)missing->offset);
        if (!operator_action_add_item(connection, action, subject, "put back", reterr))
            return -1;
        parked++;
    }
    return parked;
}
