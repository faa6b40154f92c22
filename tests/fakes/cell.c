#include "tests/fakes/cell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/consumer.h"
#include "consumers/message/delivery_pool.h"
#include "tests/fixtures/cmocka.h"
#include "worker/base/clock.h"

enum
{
    MESSAGES_MAX = 64,
};

static const int64_t BOUND_US = 20000000; /* a test that waits longer has failed */

struct fake_cell fake_cell;
static rd_kafka_message_t *messages[MESSAGES_MAX];
static int message_count, message_next;
static char there; /* the opaque pointers point at it */

/* --- what was called --------------------------------------------------------------------------------------------- */

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Under the mutex. */
static void note(const char *format, ...)
{
    char text[256];
    size_t used = strlen(fake_cell.log), size;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size = strlen(text);
    if (used >= size && strcmp(fake_cell.log + used - size, text) == 0)
        return; /* once more */
    snprintf(fake_cell.log + used, sizeof(fake_cell.log) - used, "%s", text);
    pthread_cond_broadcast(&fake_cell.changed);
}

#define NOTE(...) \
    do \
    { \
        pthread_mutex_lock(&fake_cell.mutex); \
        note(__VA_ARGS__); \
        pthread_mutex_unlock(&fake_cell.mutex); \
    } while (0)

bool fake_cell_wait(int64_t until_us)
{
    struct timespec until = monotonic_timespec(until_us);
    return pthread_cond_timedwait(&fake_cell.changed, &fake_cell.mutex, &until) == 0;
}

void fake_cell_await_log(const char *expected)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_cell.mutex);
    while (strcmp(fake_cell.log, expected) != 0 && fake_cell_wait(until_us))
        continue;
    pthread_mutex_unlock(&fake_cell.mutex); /* a test that fails goes on with its teardown */
    assert_string_equal(fake_cell.log, expected);
}

void fake_cell_await_polls(void)
{
    int64_t until_us = monotonic_us() + BOUND_US;

    pthread_mutex_lock(&fake_cell.mutex);
    int polls = fake_cell.polls;
    while ((message_next < message_count || fake_cell.polls < polls + 2) && fake_cell_wait(until_us))
        continue;
    pthread_mutex_unlock(&fake_cell.mutex);
    assert_int_equal(message_next, message_count);
    assert_true(fake_cell.polls >= polls + 2);
}

/* --- the test's side --------------------------------------------------------------------------------------------- */

void fake_cell_begin(void)
{
    pthread_condattr_t attributes;

    memset(&fake_cell, 0, sizeof(fake_cell));
    pthread_mutex_init(&fake_cell.mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fake_cell.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    fake_cell.slot_held = true;
    fake_cell.slot_number = 3;
    fake_cell.pool = delivery_pool_new();
    for (int i = 0; i < FAKE_CELL_PARTITIONS; i++)
        fake_cell.owned[i] = owned_new("commands", i, 1);
    message_count = message_next = 0;
}

void fake_cell_end(void)
{
    for (int i = message_next; i < message_count; i++)
        free(messages[i]);
    for (int i = 0; i < FAKE_CELL_PARTITIONS; i++)
        owned_release(fake_cell.owned[i], 1);
    delivery_pool_free(fake_cell.pool);
    pthread_cond_destroy(&fake_cell.changed);
    pthread_mutex_destroy(&fake_cell.mutex);
}

static void add_message(int partition, int64_t offset, rd_kafka_resp_err_t error)
{
    static char key[] = "key", value[] = "value";
    rd_kafka_message_t *message = calloc(1, sizeof(*message));

    assert_true(message && message_count < MESSAGES_MAX);
    *message = (rd_kafka_message_t){ .err = error, .partition = partition, .offset = offset };
    message->key = key;
    message->key_len = sizeof(key) - 1;
    message->payload = value;
    message->len = sizeof(value) - 1;
    pthread_mutex_lock(&fake_cell.mutex);
    messages[message_count++] = message;
    pthread_cond_broadcast(&fake_cell.changed);
    pthread_mutex_unlock(&fake_cell.mutex);
}

void fake_cell_message(int partition, int64_t offset)
{
    add_message(partition, offset, RD_KAFKA_RESP_ERR_NO_ERROR);
}

void fake_cell_error(rd_kafka_resp_err_t error, int partition)
{
    add_message(partition, 0, error);
}

/* --- librdkafka -------------------------------------------------------------------------------------------------- */

__typeof__(rd_kafka_consumer_poll) __wrap_rd_kafka_consumer_poll;
__typeof__(rd_kafka_message_destroy) __wrap_rd_kafka_message_destroy;
__typeof__(rd_kafka_message_errstr) __wrap_rd_kafka_message_errstr;
__typeof__(rd_kafka_fatal_error) __wrap_rd_kafka_fatal_error;
__typeof__(rd_kafka_queue_get_consumer) __wrap_rd_kafka_queue_get_consumer;
__typeof__(rd_kafka_queue_destroy) __wrap_rd_kafka_queue_destroy;
__typeof__(rd_kafka_queue_yield) __wrap_rd_kafka_queue_yield;

rd_kafka_message_t *__wrap_rd_kafka_consumer_poll(rd_kafka_t *consumer, int timeout_ms)
{
    int64_t until_us = monotonic_us() + timeout_ms * INT64_C(1000);
    rd_kafka_message_t *message = NULL;

    (void)consumer;
    pthread_mutex_lock(&fake_cell.mutex);
    fake_cell.polls++;
    pthread_cond_broadcast(&fake_cell.changed);
    if (message_next == message_count && timeout_ms > 0)
        fake_cell_wait(until_us);
    if (message_next < message_count)
        message = messages[message_next++];
    pthread_mutex_unlock(&fake_cell.mutex);
    return message;
}

void __wrap_rd_kafka_message_destroy(rd_kafka_message_t *message)
{
    free(message);
}

const char *__wrap_rd_kafka_message_errstr(const rd_kafka_message_t *message)
{
    return rd_kafka_err2str(message->err);
}

rd_kafka_resp_err_t __wrap_rd_kafka_fatal_error(rd_kafka_t *consumer, char *text, size_t size)
{
    (void)consumer;
    snprintf(text, size, "fenced");
    return RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
}

rd_kafka_queue_t *__wrap_rd_kafka_queue_get_consumer(rd_kafka_t *consumer)
{
    (void)consumer;
    return (rd_kafka_queue_t *)(void *)&there;
}

void __wrap_rd_kafka_queue_destroy(rd_kafka_queue_t *queue)
{
    (void)queue;
}

/* The cell's own mutex is held by the caller. */
void __wrap_rd_kafka_queue_yield(rd_kafka_queue_t *queue)
{
    (void)queue;
    pthread_mutex_lock(&fake_cell.mutex);
    pthread_cond_broadcast(&fake_cell.changed);
    pthread_mutex_unlock(&fake_cell.mutex);
}

/* --- the consumer and the slot ----------------------------------------------------------------------------------- */

__typeof__(consumer_open) __wrap_consumer_open;
__typeof__(consumer_leave) __wrap_consumer_leave;
__typeof__(consumer_close) __wrap_consumer_close;
__typeof__(slot_is_held) __wrap_slot_is_held;
__typeof__(slot_number) __wrap_slot_number;

rd_kafka_t *__wrap_consumer_open(const struct settings *settings, int slot, int cell,
                                 consumer_rebalance_fn *on_rebalance, consumer_error_fn *on_error, void *owner,
                                 struct buffer *reterr)
{
    (void)settings, (void)on_rebalance, (void)on_error, (void)owner;
    pthread_mutex_lock(&fake_cell.mutex);
    const char *refusal = fake_cell.refusal;
    if (refusal)
        buffer_add_text(reterr, refusal);
    note(refusal ? "refused; " : "open %d.%d; ", slot, cell);
    pthread_mutex_unlock(&fake_cell.mutex);
    return refusal ? NULL : (rd_kafka_t *)(void *)&there;
}

void __wrap_consumer_leave(rd_kafka_t *consumer, int64_t deadline_us)
{
    (void)consumer, (void)deadline_us;
    NOTE("quit; ");
}

bool __wrap_consumer_close(rd_kafka_t *consumer, int64_t deadline_us)
{
    (void)consumer, (void)deadline_us;
    NOTE("close; ");
    return true;
}

bool __wrap_slot_is_held(const struct slot *slot)
{
    (void)slot;
    pthread_mutex_lock(&fake_cell.mutex);
    bool held = fake_cell.slot_held;
    pthread_mutex_unlock(&fake_cell.mutex);
    return held;
}

int __wrap_slot_number(const struct slot *slot)
{
    (void)slot;
    pthread_mutex_lock(&fake_cell.mutex);
    int number = fake_cell.slot_number;
    pthread_mutex_unlock(&fake_cell.mutex);
    return number;
}

/* --- publisher and lanes ----------------------------------------------------------------------------------------- */

__typeof__(publisher_new) __wrap_publisher_new;
__typeof__(publisher_free) __wrap_publisher_free;
__typeof__(publisher_set_consumer) __wrap_publisher_set_consumer;
__typeof__(publisher_complete) __wrap_publisher_complete;
__typeof__(publisher_problem) __wrap_publisher_problem;
__typeof__(lanes_new) __wrap_lanes_new;
__typeof__(lanes_free) __wrap_lanes_free;
__typeof__(lanes_submit) __wrap_lanes_submit;
__typeof__(lanes_revoke) __wrap_lanes_revoke;
__typeof__(lanes_is_ready) __wrap_lanes_is_ready;
__typeof__(lanes_held) __wrap_lanes_held;

struct publisher *__wrap_publisher_new(const struct publisher_options *options, const char **reterr)
{
    (void)reterr;
    fake_cell.wake = options->wake;
    fake_cell.wake_owner = options->owner;
    return (struct publisher *)(void *)&there;
}

void __wrap_publisher_free(struct publisher *publisher)
{
    (void)publisher;
}

void __wrap_publisher_set_consumer(struct publisher *publisher, rd_kafka_t *consumer)
{
    (void)publisher, (void)consumer;
}

void __wrap_publisher_complete(void *publisher, struct delivery *chain)
{
    (void)publisher, (void)chain;
}

bool __wrap_publisher_problem(struct publisher *publisher, char *into, size_t size)
{
    (void)publisher, (void)into, (void)size;
    return false;
}

struct lanes *__wrap_lanes_new(const struct lanes_options *options, const char **reterr)
{
    (void)reterr;
    snprintf(fake_cell.lock_owner, sizeof(fake_cell.lock_owner), "%s", options->lock_owner);
    return (struct lanes *)(void *)&there;
}

void __wrap_lanes_free(struct lanes *lanes, int64_t deadline_us)
{
    (void)lanes, (void)deadline_us;
}

/* Plays lanes and publisher: the message is published and not in flight any longer. */
void __wrap_lanes_submit(struct lanes *lanes, struct delivery *chain)
{
    char text[200] = "submit";

    (void)lanes;
    for (const struct delivery *delivery = chain; delivery; delivery = delivery->next)
    {
        struct owned_partition *owned = owned_of(delivery);
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, " %d/%lld#%llu", (int)delivery->partition->number,
                 (long long)delivery->offset, (unsigned long long)delivery->sequence);
        assert_true(atomic_fetch_sub(&owned->shared.in_flight, 1) > 0);
        assert_true(atomic_fetch_sub(&owned->shared.in_flight_bytes, (int64_t)delivery_size(delivery)) > 0);
        owned_release(owned, 1);
    }
    NOTE("%s; ", text);
    delivery_pool_give_back(fake_cell.pool, chain);
}

void __wrap_lanes_revoke(struct lanes *lanes)
{
    (void)lanes;
    NOTE("revoke; ");
}

bool __wrap_lanes_is_ready(struct lanes *lanes, char *why, size_t why_size)
{
    (void)lanes;
    pthread_mutex_lock(&fake_cell.mutex);
    const char *problem = fake_cell.lanes_problem;
    pthread_mutex_unlock(&fake_cell.mutex);
    snprintf(why, why_size, "%s", problem ? problem : "");
    return problem == NULL;
}

void __wrap_lanes_held(struct lanes *lanes, struct held_keys *into)
{
    (void)lanes, (void)into;
}

/* librdkafka does not know our messages. */
__typeof__(delivery_pool_make) __wrap_delivery_pool_make;

struct delivery *__wrap_delivery_pool_make(struct delivery_pool *pool, rd_kafka_message_t *message, int64_t now_us)
{
    (void)pool;
    struct span key = { message->key, message->key_len }, value = { message->payload, message->len };
    struct delivery *delivery = delivery_pool_copy(fake_cell.pool, key, value, NULL);

    assert_non_null(delivery);
    delivery->offset = message->offset;
    delivery->received_us = now_us;
    return delivery;
}

/* --- the assignment, and what watches it ------------------------------------------------------------------------- */

__typeof__(assignment_new) __wrap_assignment_new;
__typeof__(assignment_free) __wrap_assignment_free;
__typeof__(assignment_join) __wrap_assignment_join;
__typeof__(assignment_step) __wrap_assignment_step;
__typeof__(assignment_find) __wrap_assignment_find;
__typeof__(assignment_end_partition) __wrap_assignment_end_partition;
__typeof__(assignment_leave) __wrap_assignment_leave;
__typeof__(assignment_pressure) __wrap_assignment_pressure;
__typeof__(assignment_largest) __wrap_assignment_largest;
__typeof__(assignment_balance) __wrap_assignment_balance;
__typeof__(assignment_pause_all) __wrap_assignment_pause_all;
__typeof__(assignment_resume_all) __wrap_assignment_resume_all;
__typeof__(assignment_nudge) __wrap_assignment_nudge;
__typeof__(assignment_measure) __wrap_assignment_measure;
__typeof__(assignment_extent) __wrap_assignment_extent;
__typeof__(assignment_is_ready) __wrap_assignment_is_ready;
__typeof__(watchdog_step) __wrap_watchdog_step;
__typeof__(watchdog_rest_us) __wrap_watchdog_rest_us;
__typeof__(watchdog_is_content) __wrap_watchdog_is_content;
__typeof__(reach_step) __wrap_reach_step;
__typeof__(spread_note) __wrap_spread_note;

struct assignment *__wrap_assignment_new(const struct settings *settings, int cell, struct lanes *lanes,
                                         struct publisher *publisher)
{
    (void)settings, (void)cell, (void)lanes, (void)publisher;
    return (struct assignment *)(void *)&there;
}

void __wrap_assignment_free(struct assignment *assignment)
{
    (void)assignment;
}

void __wrap_assignment_join(struct assignment *assignment)
{
    (void)assignment;
}

void __wrap_assignment_step(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us)
{
    (void)assignment, (void)consumer, (void)now_us;
}

/* Others are of a former assignment. */
struct owned_partition *__wrap_assignment_find(struct assignment *assignment, const rd_kafka_message_t *message)
{
    (void)assignment;
    return message->partition < FAKE_CELL_PARTITIONS ? fake_cell.owned[message->partition] : NULL;
}

void __wrap_assignment_end_partition(struct assignment *assignment, rd_kafka_t *consumer, struct owned_partition *owned,
                                     bool forget, const char *why)
{
    (void)assignment, (void)consumer, (void)why;
    NOTE("end %d%s; ", (int)owned->partition.number, forget ? " forget" : "");
}

bool __wrap_assignment_leave(struct assignment *assignment, rd_kafka_t *consumer, int64_t deadline_us, bool lost,
                             int64_t *ret_left)
{
    (void)assignment, (void)consumer, (void)deadline_us;
    pthread_mutex_lock(&fake_cell.mutex);
    note("leave%s; ", lost ? " lost" : "");
    *ret_left = fake_cell.left;
    fake_cell.pressure = (struct pressure){ 0, 0 };
    bool done = !fake_cell.publisher_is_stuck;
    pthread_mutex_unlock(&fake_cell.mutex);
    return done;
}

struct pressure __wrap_assignment_pressure(const struct assignment *assignment)
{
    (void)assignment;
    pthread_mutex_lock(&fake_cell.mutex);
    struct pressure pressure = fake_cell.pressure;
    fake_cell.looks++;
    pthread_cond_broadcast(&fake_cell.changed);
    pthread_mutex_unlock(&fake_cell.mutex);
    return pressure;
}

struct owned_partition *__wrap_assignment_largest(const struct assignment *assignment)
{
    (void)assignment;
    return fake_cell.owned[1];
}

void __wrap_assignment_balance(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us)
{
    (void)assignment, (void)consumer, (void)now_us;
}

void __wrap_assignment_pause_all(struct assignment *assignment, rd_kafka_t *consumer)
{
    (void)assignment, (void)consumer;
    NOTE("pause; ");
}

/* Said in every round with room: only what follows a pause is written down. */
void __wrap_assignment_resume_all(struct assignment *assignment, rd_kafka_t *consumer)
{
    (void)assignment, (void)consumer;
    pthread_mutex_lock(&fake_cell.mutex);
    size_t used = strlen(fake_cell.log), size = strlen("pause; ");
    if (used >= size && strcmp(fake_cell.log + used - size, "pause; ") == 0)
        note("resume; ");
    pthread_mutex_unlock(&fake_cell.mutex);
}

void __wrap_assignment_measure(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us)
{
    (void)assignment, (void)consumer, (void)now_us;
}

void __wrap_assignment_nudge(struct assignment *assignment, rd_kafka_t *consumer, int wait_ms)
{
    (void)assignment, (void)consumer, (void)wait_ms;
    NOTE("nudge; ");
}

enum extent __wrap_assignment_extent(const struct assignment *assignment, uint64_t *ret_epoch)
{
    (void)assignment;
    *ret_epoch = 1;
    return EXTENT_FULL;
}

bool __wrap_assignment_is_ready(struct assignment *assignment, char *why, size_t why_size)
{
    (void)assignment, (void)why, (void)why_size;
    return true;
}

bool __wrap_watchdog_step(struct watchdog *watchdog, enum extent extent, uint64_t epoch, int64_t now_us)
{
    (void)watchdog, (void)extent, (void)epoch, (void)now_us;
    pthread_mutex_lock(&fake_cell.mutex);
    bool rebuild = fake_cell.rebuild;
    fake_cell.rebuild = false;
    pthread_mutex_unlock(&fake_cell.mutex);
    return rebuild;
}

int64_t __wrap_watchdog_rest_us(const struct watchdog *watchdog)
{
    (void)watchdog;
    return fake_cell.rest_us;
}

bool __wrap_watchdog_is_content(struct watchdog *watchdog, char *why, size_t why_size)
{
    (void)watchdog, (void)why, (void)why_size;
    return true;
}

enum reach_state __wrap_reach_step(struct reach *reach, const struct settings *settings, rd_kafka_t *consumer,
                                   int64_t now_us, char *why, size_t why_size)
{
    (void)reach, (void)settings, (void)consumer, (void)now_us;
    pthread_mutex_lock(&fake_cell.mutex);
    enum reach_state state = fake_cell.reach;
    fake_cell.reach = REACH_SAME;
    pthread_mutex_unlock(&fake_cell.mutex);
    snprintf(why, why_size, "no broker answers");
    return state;
}

void __wrap_spread_note(struct spread *spread, rd_kafka_t *consumer, uint64_t epoch, const rd_kafka_message_t *message)
{
    (void)spread, (void)consumer, (void)epoch, (void)message;
}
