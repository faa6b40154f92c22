#include "consumers/takeover/restoring.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/message/delivery_pool.h"
#include "consumers/partition/commit_mark.h"
#include "consumers/takeover/refetch.h"
#include "worker/base/clock.h"
#include "worker/base/digest.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/batch/audit.h"
#include "worker/batch/quarantine.h"
#include "worker/postgres/statements.h"
#include "worker/settings/settings.h"
#include "workflows/base/hex.h"

static const int64_t ATTEMPT_US = 10000000; /* of one Kafka transaction, at the most */

enum
{
    CHUNK = 100, /* rows of one Kafka transaction: each may be 256 KiB, or a whole message */
    ARENA_KEEP = 65536,
};

/* Events that go out in one Kafka transaction. */
struct chunk
{
    struct restoring *restoring;
    struct owned_partition *owned;
    struct delivery *deliveries[CHUNK]; /* ascending by offset once it is complete */
    int count;
    struct delivery events[CHUNK]; /* those that are events lie here, dead letters in the delivery pool */
    int event_count;
    struct delivery_pool *delivery_pool;
    struct arena arena;
    const PGresult *letters; /* rows of dead letters */
    int letter;              /* the next one of them */
};

static bool fail(struct restoring *restoring, const char *why)
{
    snprintf(restoring->problem, sizeof(restoring->problem), "%s", why);
    return false;
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static bool add_event(struct chunk *chunk, const PGresult *rows, int r)
{
    struct delivery *delivery = &chunk->events[chunk->event_count];
    struct audit_record record;
    struct buffer event = BUFFER_EMPTY;

    memset(&record, 0, sizeof(record));
    memset(delivery, 0, sizeof(*delivery));
    arena_reset(&chunk->arena, ARENA_KEEP);
    statements_read_row(rows, r, 0, &entity_audit_event, &chunk->arena, &record);
    audit_print_event(&record, &event);
    if (buffer_failed(&event) || arena_failed(&chunk->arena))
    {
        buffer_done(&event);
        return fail(chunk->restoring, "out of memory");
    }
    audit_print_key(&record, delivery->event_key, sizeof(delivery->event_key));
    delivery->partition = &chunk->owned->partition;
    delivery->offset = record.kafka_offset.value;
    delivery->answer = ANSWER_EVENT;
    delivery->event = event.at;
    delivery->event_size = event.size;
    chunk->deliveries[chunk->count++] = delivery;
    chunk->event_count++;
    return true;
}

static bool add_events(struct chunk *chunk, int first, int behind, const struct session_stop *stop)
{
    struct restoring *restoring = chunk->restoring;
    PGresult *rows = arrears_load_events(restoring->owners, chunk->owned, first, behind, stop);

    if (rows == NULL)
        return fail(restoring, partition_owner_problem(restoring->owners));
    bool added = true;
    for (int r = 0; r < PQntuples(rows) && chunk->count < CHUNK && added; r++)
        added = add_event(chunk, rows, r);
    PQclear(rows);
    return added;
}

/* --- dead letters ------------------------------------------------------------------------------------------------ */

static int64_t letter_number(const struct chunk *chunk, int column)
{
    return strtoll(PQgetvalue(chunk->letters, chunk->letter, column), NULL, 10);
}

/* Another message may stand there meanwhile: in a recreated topic. */
static bool is_of_letter(const struct chunk *chunk, const struct delivery *delivery)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    char text[2 * DIGEST_SHA256_SIZE + 1];

    if (!digest_sha256(&delivery->value, 1, digest))
        return false;
    hex_print(digest, sizeof(digest), text);
    text[2 * sizeof(digest)] = '\0';
    return strcmp(text, PQgetvalue(chunk->letters, chunk->letter, 2)) == 0;
}

static void tell_gone(const struct chunk *chunk)
{
    log_error("takeover: %s/%d: the message at offset %lld was recorded as unreadable (%s), its dead letter was not "
              "published, and it is no longer in Kafka: it is lost",
              chunk->owned->topic, chunk->owned->partition.number, (long long)letter_number(chunk, 0),
              PQgetvalue(chunk->letters, chunk->letter, 3));
}

/* Rows of messages before `offset` have none. */
static void pass_gone(struct chunk *chunk, int64_t offset)
{
    while (chunk->letter < PQntuples(chunk->letters) && letter_number(chunk, 0) < offset)
    {
        tell_gone(chunk);
        chunk->letter++;
    }
}

static bool add_letter(void *owner, rd_kafka_message_t *message)
{
    struct chunk *chunk = owner;
    struct command command;

    pass_gone(chunk, message->offset);
    struct delivery *delivery = delivery_pool_make(chunk->delivery_pool, message, monotonic_us());
    if (delivery == NULL)
        return fail(chunk->restoring, "out of memory");
    delivery->partition = &chunk->owned->partition;
    if (!is_of_letter(chunk, delivery))
    {
        delivery_pool_give_back(chunk->delivery_pool, delivery);
        return true; /* the next one reports it */
    }
    arena_reset(&chunk->arena, ARENA_KEEP);
    const char *reason = PQgetvalue(chunk->letters, chunk->letter, 3);
    if (strcmp(reason, QUARANTINE_REASON) == 0)
        quarantine_refuse(delivery);
    else
        delivery_decode(delivery, &chunk->arena, &command);
    delivery->dead_reason = reason;
    delivery->first_failed_us = letter_number(chunk, 1);
    delivery->answer = ANSWER_DEAD_LETTER;
    chunk->deliveries[chunk->count++] = delivery;
    chunk->letter++;
    return true;
}

static bool add_dead_letters(struct chunk *chunk)
{
    struct restoring *restoring = chunk->restoring;
    int64_t offsets[CHUNK];
    int count = PQntuples(chunk->letters) < CHUNK ? PQntuples(chunk->letters) : CHUNK;
    struct buffer fault = BUFFER_EMPTY;

    for (chunk->letter = 0; chunk->letter < count; chunk->letter++)
        offsets[chunk->letter] = letter_number(chunk, 0);
    chunk->letter = 0;
    bool read = refetch_messages(restoring->settings, chunk->owned->topic, chunk->owned->partition.number, offsets,
                                 count, add_letter, chunk, &fault);
    if (read)
        pass_gone(chunk, INT64_MAX);
    if (!read && fault.size > 0)
        snprintf(restoring->problem, sizeof(restoring->problem), "%.*s", (int)fault.size, fault.at);
    buffer_done(&fault);
    return read;
}

/* --- a Kafka transaction ----------------------------------------------------------------------------------------- */

static int compare_offsets(const void *a, const void *b)
{
    const struct delivery *const *left = a, *const *right = b;
    return ((*left)->offset > (*right)->offset) - ((*left)->offset < (*right)->offset);
}

static bool send_chunk(struct chunk *chunk, bool is_ours)
{
    struct restoring *restoring = chunk->restoring;
    int64_t half_us = restoring->settings->consumers.transaction_timeout_us / 2;
    int64_t deadline_us = monotonic_us() + (half_us < ATTEMPT_US ? half_us : ATTEMPT_US);
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);

    commit_mark_add(offsets, chunk->owned, restoring->offset, is_ours);
    qsort(chunk->deliveries, (size_t)chunk->count, sizeof(*chunk->deliveries), compare_offsets);
    enum producer_result result = producer_begin(restoring->producer);
    if (result == PRODUCER_DONE)
        result = producer_send_offsets(restoring->producer, offsets, restoring->group, deadline_us);
    rd_kafka_topic_partition_list_destroy(offsets);
    for (int i = 0; i < chunk->count && result == PRODUCER_DONE; i++)
        result = producer_send(restoring->producer, chunk->deliveries[i]);
    if (result == PRODUCER_DONE)
        result = producer_commit(restoring->producer, deadline_us);
    if (result != PRODUCER_DONE)
        return fail(restoring, producer_problem(restoring->producer));
    metrics_add(METRIC_EVENTS, chunk->event_count);
    for (int i = 0; i < chunk->count; i++)
        if (chunk->deliveries[i]->answer == ANSWER_DEAD_LETTER)
            metrics_count_dead_letter(chunk->deliveries[i]->dead_reason);
    metrics_add(METRIC_RESTORED, chunk->count);
    if (restoring->group)
        atomic_store_explicit(&chunk->owned->shared.committed, restoring->offset, memory_order_relaxed);
    return true;
}

static void end_chunk(struct chunk *chunk)
{
    for (int i = 0; i < chunk->event_count; i++)
        free(chunk->events[i].event);
    for (int i = 0; i < chunk->count; i++)
        if (chunk->deliveries[i]->answer == ANSWER_DEAD_LETTER)
        {
            chunk->deliveries[i]->next = NULL;
            delivery_pool_give_back(chunk->delivery_pool, chunk->deliveries[i]);
        }
    chunk->count = chunk->event_count = 0;
}

/* Rows `first` to `behind` - 1 of the portion. */
static bool publish_chunk(struct chunk *chunk, int first, int behind, bool is_ours, const struct session_stop *stop)
{
    struct restoring *restoring = chunk->restoring;
    bool good = add_events(chunk, first, behind, stop);

    if (good && chunk->owned->publisher.arrears->has_dead_letters)
    {
        PGresult *letters = arrears_load_dead_letters(restoring->owners, chunk->owned, first, behind, stop);
        chunk->letters = letters;
        good = letters ? add_dead_letters(chunk) : fail(restoring, partition_owner_problem(restoring->owners));
        /* The reasons lie in the rows until all is sent. */
        good = good && (chunk->count == 0 || send_chunk(chunk, is_ours));
        end_chunk(chunk);
        PQclear(letters);
        return good;
    }
    good = good && (chunk->count == 0 || send_chunk(chunk, is_ours));
    end_chunk(chunk);
    return good;
}

/* Where the next chunk ends: after so many missing rows. */
static int chunk_end(const struct arrears *arrears, int first)
{
    int missing = 0, i = first;

    for (; i < arrears->count && missing < CHUNK; i++)
        missing += !arrears->rows[i].found;
    return i;
}

static bool is_all_found_behind(const struct arrears *arrears, int from)
{
    while (from < arrears->count && arrears->rows[from].found)
        from++;
    return from >= arrears->count;
}

bool restoring_run(struct restoring *restoring, struct owned_partition *owned, const struct session_stop *stop)
{
    const struct arrears *arrears = owned->publisher.arrears;
    struct chunk *chunk = calloc(1, sizeof(*chunk));
    bool good = true;

    restoring->problem[0] = '\0';
    if (chunk)
        chunk->delivery_pool = delivery_pool_new();
    if (chunk == NULL || chunk->delivery_pool == NULL)
    {
        free(chunk);
        return fail(restoring, "out of memory");
    }
    chunk->restoring = restoring;
    chunk->owned = owned;
    arena_init(&chunk->arena);
    log_warning("takeover: %s/%d: %d events and dead letters from offset %lld on are recorded and were never "
                "published: they are published now",
                owned->topic, owned->partition.number, arrears->missing, (long long)arrears->rows[0].offset);
    bool all_below = arrears->last && arrears->rows[arrears->count - 1].offset < owned->start_offset;
    for (int first = 0, behind; first < arrears->count && good; first = behind)
    {
        behind = chunk_end(arrears, first);
        bool is_ours = all_below && is_all_found_behind(arrears, behind);
        good = !owned_is_revoked(owned) ? publish_chunk(chunk, first, behind, is_ours, stop)
                                        : fail(restoring, "the partition was taken away");
    }
    arena_done(&chunk->arena);
    delivery_pool_free(chunk->delivery_pool);
    free(chunk);
    return good;
}
