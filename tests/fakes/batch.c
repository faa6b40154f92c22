#include "tests/fakes/batch.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fixtures/cmocka.h"
#include "worker/base/log.h"

enum
{
    KEYS_MAX = 4096,
    EPOCHS_MAX = 64,
    BATCH_MAX = 64,             /* a thread keeps the results of that many deliveries */
    PATIENCE_US = 30 * 1000000, /* far more than anything here takes, whatever else the machine does */
};

static struct
{
    struct settings settings;
    struct partition epochs[EPOCHS_MAX];
    atomic_bool revoked[EPOCHS_MAX];
    int epoch;
    struct delivery *deliveries;
    struct fate *fates;
    int delivery_count;
    int numbers[KEYS_MAX];

    pthread_mutex_t mutex; /* over what follows */
    pthread_cond_t changed;
    const enum batch_end *script;
    int script_left;
    const char *script_sqlstate;
    int connect_refusals, connects;
    bool gate_closed;
    uint64_t gate_key;
    int at_gate;
    const struct delivery **completed, **committed;
    int completed_count, committed_count;
    struct fake_run *runs;
    int run_count;
} world = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* A lane is a thread; these stand for its database. */
static _Thread_local bool connected;
static _Thread_local struct failure failure;
static _Thread_local struct batch_result results[BATCH_MAX];

/* --- the test's side --------------------------------------------------------------------------------------------- */

static void fill_settings(int lanes, int batch_max)
{
    struct settings *settings = &world.settings;

    memset(settings, 0, sizeof(*settings));
    settings->protections.retry = settings->protections.parking = settings->protections.quarantine = true;
    settings->worker.lanes = lanes;
    settings->worker.batch_max = batch_max;
    settings->worker.park_after_us = INT64_C(3600000000);
    for (int kind = 0; kind < RETRY__COUNT; kind++)
        settings->retries[kind] = (struct retry_policy){ "test", 3, 500, 2.0, 2000, 0.1 };
    for (int class = 0; class < LOCK__COUNT; class ++)
    {
        settings->locks[class].lease_us = 1000000;
        settings->locks[class].wait_us = 10000;
    }
}

void fake_begin(int lanes, int batch_max)
{
    assert_true(batch_max <= BATCH_MAX);
    log_setup(LOG_LEVEL_ERROR, false);
    fill_settings(lanes, batch_max);
    world.deliveries = calloc(FAKE_DELIVERIES_MAX, sizeof(*world.deliveries));
    world.fates = calloc(FAKE_DELIVERIES_MAX, sizeof(*world.fates));
    world.completed = calloc(FAKE_DELIVERIES_MAX, sizeof(*world.completed));
    world.committed = calloc(FAKE_DELIVERIES_MAX, sizeof(*world.committed));
    world.runs = calloc(FAKE_RUNS_MAX, sizeof(*world.runs));
    assert_true(world.deliveries && world.fates && world.completed && world.committed && world.runs);
    memset(world.numbers, 0, sizeof(world.numbers));
    for (int i = 0; i < EPOCHS_MAX; i++)
    {
        atomic_store(&world.revoked[i], false);
        world.epochs[i] = (struct partition){ .epoch = (uint64_t)i, .revoked = &world.revoked[i] };
    }
    world.epoch = world.delivery_count = world.completed_count = world.committed_count = world.run_count = 0;
    world.script_left = world.connect_refusals = world.connects = world.at_gate = 0;
    world.gate_closed = false;
}

void fake_end(void)
{
    free(world.deliveries);
    free(world.fates);
    free(world.completed);
    free(world.committed);
    free(world.runs);
}

struct settings *fake_settings(void)
{
    return &world.settings;
}

static void complete(void *owner, struct delivery *chain)
{
    (void)owner;
    pthread_mutex_lock(&world.mutex);
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        chain->next = NULL;
        world.completed[world.completed_count++] = chain;
    }
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
}

struct lanes_options fake_options(void)
{
    return (struct lanes_options){ .settings = &world.settings, .lock_owner = "test/0/0/0", .complete = complete };
}

struct delivery *fake_delivery(uint64_t key)
{
    assert_true(world.delivery_count < FAKE_DELIVERIES_MAX && key < KEYS_MAX);
    struct delivery *delivery = &world.deliveries[world.delivery_count];
    struct fate *fate = &world.fates[world.delivery_count++];

    fate->key = key;
    fate->number = world.numbers[key]++;
    delivery->message = fate;
    delivery->partition = &world.epochs[world.epoch];
    delivery->lane_hash = key << 32 | key;
    return delivery;
}

struct fate *fake_fate(const struct delivery *delivery)
{
    return delivery->message;
}

uint64_t fake_revoke_epoch(void)
{
    assert_true(world.epoch + 1 < EPOCHS_MAX);
    atomic_store(&world.revoked[world.epoch], true);
    return (uint64_t)world.epoch++;
}

struct delivery *fake_chain(struct delivery *const *deliveries, int count)
{
    for (int i = 0; i < count; i++)
        deliveries[i]->next = i + 1 < count ? deliveries[i + 1] : NULL;
    return deliveries[0];
}

void fake_script(const enum batch_end *ends, int count, const char *sqlstate)
{
    pthread_mutex_lock(&world.mutex);
    world.script = ends;
    world.script_left = count;
    world.script_sqlstate = sqlstate;
    pthread_mutex_unlock(&world.mutex);
}

void fake_refuse_connects(int count)
{
    pthread_mutex_lock(&world.mutex);
    world.connect_refusals = count;
    pthread_mutex_unlock(&world.mutex);
}

void fake_close_gate(uint64_t key)
{
    pthread_mutex_lock(&world.mutex);
    world.gate_closed = true;
    world.gate_key = key;
    pthread_mutex_unlock(&world.mutex);
}

void fake_open_gate(void)
{
    pthread_mutex_lock(&world.mutex);
    world.gate_closed = false;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
}

/* Waits until the counter has reached `count`. */
static void await(const int *counter, int count, const char *what)
{
    struct timespec until;
    bool late = false;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_US / 1000000;
    pthread_mutex_lock(&world.mutex);
    while (*counter < count && !late)
        late = pthread_cond_timedwait(&world.changed, &world.mutex, &until) != 0;
    int reached = *counter;
    pthread_mutex_unlock(&world.mutex);
    if (reached < count)
        fail_msg("waited too long for %d %s, there are %d", count, what, reached);
}

void fake_await_at_gate(int runs)
{
    await(&world.at_gate, runs, "runs at the gate");
}

void fake_await_completed(int count)
{
    await(&world.completed_count, count, "deliveries to come back");
}

void fake_await_runs(int count)
{
    await(&world.run_count, count, "runs");
}

void fake_await_connects(int count)
{
    await(&world.connects, count, "connects");
}

int fake_completed(const struct delivery **into, int max)
{
    pthread_mutex_lock(&world.mutex);
    int count = world.completed_count < max ? world.completed_count : max;
    memcpy(into, world.completed, (size_t)count * sizeof(*into));
    pthread_mutex_unlock(&world.mutex);
    return count;
}

int fake_committed(const struct delivery **into, int max)
{
    pthread_mutex_lock(&world.mutex);
    int count = world.committed_count < max ? world.committed_count : max;
    memcpy(into, world.committed, (size_t)count * sizeof(*into));
    pthread_mutex_unlock(&world.mutex);
    return count;
}

int fake_runs(struct fake_run *into, int max)
{
    pthread_mutex_lock(&world.mutex);
    int count = world.run_count < max ? world.run_count : max;
    memcpy(into, world.runs, (size_t)count * sizeof(*into));
    pthread_mutex_unlock(&world.mutex);
    return count;
}

int fake_connects(void)
{
    pthread_mutex_lock(&world.mutex);
    int connects = world.connects;
    pthread_mutex_unlock(&world.mutex);
    return connects;
}

/* In order of commit, the numbers of a key rise within an epoch; what was dropped is missing at the end only. */
void fake_assert_order(void)
{
    int *next = calloc(KEYS_MAX, sizeof(*next));
    bool *back = calloc(FAKE_DELIVERIES_MAX, sizeof(*back));

    assert_true(next && back);
    pthread_mutex_lock(&world.mutex);
    for (int i = 0; i < world.committed_count; i++)
    {
        const struct fate *fate = fake_fate(world.committed[i]);
        if (fate->number < next[fate->key])
            fail_msg("key %d: number %d was committed behind number %d", (int)fate->key, fate->number,
                     next[fate->key] - 1);
        next[fate->key] = fate->number + 1;
    }
    for (int i = 0; i < world.completed_count; i++)
    {
        ptrdiff_t at = world.completed[i] - world.deliveries;
        assert_false(back[at]);
        back[at] = true;
        assert_true(world.completed[i]->answer == ANSWER_DROPPED || fake_fate(world.completed[i])->committed);
    }
    pthread_mutex_unlock(&world.mutex);
    free(next);
    free(back);
}

/* --- the lanes' side --------------------------------------------------------------------------------------------- */

static void set_failure(enum failure_class class, const char *sqlstate)
{
    memset(&failure, 0, sizeof(failure));
    failure.class = class;
    snprintf(failure.sqlstate, sizeof(failure.sqlstate), "%s", sqlstate ? sqlstate : "");
    snprintf(failure.message, sizeof(failure.message), "scripted");
}

static bool is_at_gate(struct delivery *const *deliveries, int count)
{
    for (int i = 0; i < count; i++)
        if (world.gate_key == 0 || fake_fate(deliveries[i])->key == world.gate_key)
            return world.gate_closed;
    return false;
}

static void pass_gate(struct delivery *const *deliveries, int count)
{
    if (!is_at_gate(deliveries, count))
        return;
    world.at_gate++;
    pthread_cond_broadcast(&world.changed);
    while (is_at_gate(deliveries, count))
        pthread_cond_wait(&world.changed, &world.mutex);
    world.at_gate--;
}

static enum batch_end end_by_script(void)
{
    enum batch_end end = *world.script++;

    world.script_left--;
    bool late = world.script_sqlstate && strcmp(world.script_sqlstate, "late") == 0;
    const char *sqlstate = late ? "" : world.script_sqlstate;
    set_failure(failure_classify(sqlstate), sqlstate);
    failure.late = late;
    if (end == BATCH_SESSION)
        connected = false;
    return end;
}

/* The one whose fault it is that the transaction fails, or NULL. */
static struct fate *find_culprit(struct delivery *const *deliveries, int count, const struct batch_mode *mode)
{
    for (int i = 0; i < count; i++)
    {
        struct fate *fate = fake_fate(deliveries[i]);
        int *left = mode->refused                              ? &fate->record_refusals
                    : mode->waiting && fate->waits_in_vain > 0 ? &fate->waits_in_vain
                                                               : &fate->refusals;
        if (*left > 0)
        {
            *left -= count == 1 && *left < FAKE_FOR_EVER;
            return fate;
        }
    }
    return NULL;
}

static bool is_held_here(struct delivery *const *deliveries, int before, uint64_t key)
{
    for (int i = 0; i < before; i++)
        if (results[i].hold != HOLD_NOT && deliveries[i]->lane_hash == key)
            return true;
    return false;
}

static void hold(struct batch_result *result, enum hold_reason reason, enum retry_kind retry, const char *why)
{
    result->hold = reason;
    result->retry = retry;
    snprintf(result->why, sizeof(result->why), "%s", why);
}

static void commit(struct delivery *const *deliveries, int count, const struct batch_mode *mode)
{
    enum retry_kind own = workflow_retry(workflows[0]);

    for (int i = 0; i < count; i++)
    {
        struct fate *fate = fake_fate(deliveries[i]);
        results[i] = (struct batch_result){ .hold = HOLD_NOT };
        if (is_held_here(deliveries, i, deliveries[i]->lane_hash))
            hold(&results[i], HOLD_BEHIND, own, "behind a command that is held");
        else if (fate->busy > 0 && !mode->waiting && !mode->park && !mode->refused)
        {
            hold(&results[i], HOLD_BUSY, fate->lock_refused ? RETRY_LOCK_ACQUISITION : own,
                 "busy: ticket/1, or a row of it, is locked by another session");
            results[i].wait_us = world.settings.locks[workflows[0]->lock_class].wait_us;
            fate->busy -= fate->busy < FAKE_FOR_EVER;
        }
        fate->held += results[i].hold != HOLD_NOT;
        if (results[i].hold != HOLD_NOT)
            continue;
        assert(!fate->committed);
        fate->committed = true;
        deliveries[i]->answer = ANSWER_EVENT;
        world.committed[world.committed_count++] = deliveries[i];
    }
}

void __wrap_batch_result(const struct batch *batch, int index, struct batch_result *ret)
{
    (void)batch;
    *ret = results[index];
}

static enum batch_end run(struct delivery *const *deliveries, int count, const struct batch_mode *mode)
{
    if (world.script_left > 0)
        return end_by_script();
    const struct fate *culprit = find_culprit(deliveries, count, mode);
    if (culprit == NULL)
    {
        commit(deliveries, count, mode);
        return BATCH_DONE;
    }
    if (mode->waiting && culprit->sqlstate == NULL)
    {
        set_failure(FAILURE_TRANSIENT, "55P03");
        return BATCH_AGAIN;
    }
    set_failure(failure_classify(culprit->sqlstate), culprit->sqlstate);
    return BATCH_SPLIT;
}

enum batch_end __wrap_batch_run(struct batch *batch, struct delivery *const *deliveries, int count,
                                struct batch_mode mode)
{
    (void)batch;
    pthread_mutex_lock(&world.mutex);
    assert(count > 0 && count <= world.settings.worker.batch_max);
    assert(connected);
    pass_gate(deliveries, count);
    for (int i = 0; i < count; i++)
    {
        struct fate *fate = fake_fate(deliveries[i]);
        fate->runs++;
        fate->alone += count == 1;
        fate->waited += mode.waiting;
        fate->parked += mode.park;
        fate->recorded_refusals += mode.refused != NULL;
    }
    enum batch_end end = run(deliveries, count, &mode);
    const struct fate *first = fake_fate(deliveries[0]);
    assert(world.run_count < FAKE_RUNS_MAX);
    world.runs[world.run_count++] = (struct fake_run){ .count = count,
                                                       .waiting = mode.waiting,
                                                       .refused = mode.refused != NULL,
                                                       .park = mode.park,
                                                       .wait_us = mode.wait_us,
                                                       .end = end,
                                                       .first_key = first->key,
                                                       .first_number = first->number };
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
    return end;
}

bool __wrap_pipeline_connect(struct pipeline *pipeline, const atomic_bool *stop)
{
    (void)pipeline;
    (void)stop;
    pthread_mutex_lock(&world.mutex);
    assert(!connected);
    world.connects++;
    if (world.connect_refusals > 0)
    {
        world.connect_refusals -= world.connect_refusals < FAKE_FOR_EVER;
        set_failure(FAILURE_SESSION, "");
    }
    else
        connected = true;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.mutex);
    return connected;
}

bool __wrap_pipeline_is_connected(const struct pipeline *pipeline)
{
    (void)pipeline;
    return connected;
}

const struct failure *__wrap_pipeline_failure(const struct pipeline *pipeline)
{
    (void)pipeline;
    return &failure;
}
