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
} fake = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* A lane is a thread; these stand for its database. */
static _Thread_local bool connected;
static _Thread_local struct failure failure;
static _Thread_local struct batch_result results[BATCH_MAX];

/* --- the test's side --------------------------------------------------------------------------------------------- */

static void fill_settings(int lanes, int batch_max)
{
    struct settings *settings = &fake.settings;

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
    fake.deliveries = calloc(FAKE_DELIVERIES_MAX, sizeof(*fake.deliveries));
    fake.fates = calloc(FAKE_DELIVERIES_MAX, sizeof(*fake.fates));
    fake.completed = calloc(FAKE_DELIVERIES_MAX, sizeof(*fake.completed));
    fake.committed = calloc(FAKE_DELIVERIES_MAX, sizeof(*fake.committed));
    fake.runs = calloc(FAKE_RUNS_MAX, sizeof(*fake.runs));
    assert_true(fake.deliveries && fake.fates && fake.completed && fake.committed && fake.runs);
    memset(fake.numbers, 0, sizeof(fake.numbers));
    for (int i = 0; i < EPOCHS_MAX; i++)
    {
        atomic_store(&fake.revoked[i], false);
        fake.epochs[i] = (struct partition){ .epoch = (uint64_t)i, .revoked = &fake.revoked[i] };
    }
    fake.epoch = fake.delivery_count = fake.completed_count = fake.committed_count = fake.run_count = 0;
    fake.script_left = fake.connect_refusals = fake.connects = fake.at_gate = 0;
    fake.gate_closed = false;
}

void fake_end(void)
{
    free(fake.deliveries);
    free(fake.fates);
    free(fake.completed);
    free(fake.committed);
    free(fake.runs);
}

struct settings *fake_settings(void)
{
    return &fake.settings;
}

static void complete(void *owner, struct delivery *chain)
{
    (void)owner;
    pthread_mutex_lock(&fake.mutex);
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        chain->next = NULL;
        fake.completed[fake.completed_count++] = chain;
    }
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
}

struct lanes_options fake_options(void)
{
    return (struct lanes_options){ .settings = &fake.settings, .lock_owner = "test/0/0/0", .complete = complete };
}

struct delivery *fake_delivery(uint64_t key)
{
    assert_true(fake.delivery_count < FAKE_DELIVERIES_MAX && key < KEYS_MAX);
    struct delivery *delivery = &fake.deliveries[fake.delivery_count];
    struct fate *fate = &fake.fates[fake.delivery_count++];

    fate->key = key;
    fate->number = fake.numbers[key]++;
    delivery->message = fate;
    delivery->partition = &fake.epochs[fake.epoch];
    delivery->lane_hash = key << 32 | key;
    return delivery;
}

struct fate *fake_fate(const struct delivery *delivery)
{
    return delivery->message;
}

uint64_t fake_revoke_epoch(void)
{
    assert_true(fake.epoch + 1 < EPOCHS_MAX);
    atomic_store(&fake.revoked[fake.epoch], true);
    return (uint64_t)fake.epoch++;
}

struct delivery *fake_chain(struct delivery *const *deliveries, int count)
{
    for (int i = 0; i < count; i++)
        deliveries[i]->next = i + 1 < count ? deliveries[i + 1] : NULL;
    return deliveries[0];
}

void fake_script(const enum batch_end *ends, int count, const char *sqlstate)
{
    pthread_mutex_lock(&fake.mutex);
    fake.script = ends;
    fake.script_left = count;
    fake.script_sqlstate = sqlstate;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_refuse_connects(int count)
{
    pthread_mutex_lock(&fake.mutex);
    fake.connect_refusals = count;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_close_gate(uint64_t key)
{
    pthread_mutex_lock(&fake.mutex);
    fake.gate_closed = true;
    fake.gate_key = key;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_open_gate(void)
{
    pthread_mutex_lock(&fake.mutex);
    fake.gate_closed = false;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
}

/* Waits until the counter has reached `count`. */
static void await(const int *counter, int count, const char *what)
{
    struct timespec until;
    bool late = false;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_US / 1000000;
    pthread_mutex_lock(&fake.mutex);
    while (*counter < count && !late)
        late = pthread_cond_timedwait(&fake.changed, &fake.mutex, &until) != 0;
    int reached = *counter;
    pthread_mutex_unlock(&fake.mutex);
    if (reached < count)
        fail_msg("waited too long for %d %s, there are %d", count, what, reached);
}

void fake_await_at_gate(int runs)
{
    await(&fake.at_gate, runs, "runs at the gate");
}

void fake_await_completed(int count)
{
    await(&fake.completed_count, count, "deliveries to come back");
}

void fake_await_runs(int count)
{
    await(&fake.run_count, count, "runs");
}

void fake_await_connects(int count)
{
    await(&fake.connects, count, "connects");
}

int fake_completed(const struct delivery **into, int max)
{
    pthread_mutex_lock(&fake.mutex);
    int count = fake.completed_count < max ? fake.completed_count : max;
    memcpy(into, fake.completed, (size_t)count * sizeof(*into));
    pthread_mutex_unlock(&fake.mutex);
    return count;
}

int fake_committed(const struct delivery **into, int max)
{
    pthread_mutex_lock(&fake.mutex);
    int count = fake.committed_count < max ? fake.committed_count : max;
    memcpy(into, fake.committed, (size_t)count * sizeof(*into));
    pthread_mutex_unlock(&fake.mutex);
    return count;
}

int fake_runs(struct fake_run *into, int max)
{
    pthread_mutex_lock(&fake.mutex);
    int count = fake.run_count < max ? fake.run_count : max;
    memcpy(into, fake.runs, (size_t)count * sizeof(*into));
    pthread_mutex_unlock(&fake.mutex);
    return count;
}

int fake_connects(void)
{
    pthread_mutex_lock(&fake.mutex);
    int connects = fake.connects;
    pthread_mutex_unlock(&fake.mutex);
    return connects;
}

/* In order of commit, the numbers of a key rise within an epoch; what was dropped is missing at the end only. */
void fake_assert_order(void)
{
    int *next = calloc(KEYS_MAX, sizeof(*next));
    bool *back = calloc(FAKE_DELIVERIES_MAX, sizeof(*back));

    assert_true(next && back);
    pthread_mutex_lock(&fake.mutex);
    for (int i = 0; i < fake.committed_count; i++)
    {
        const struct fate *fate = fake_fate(fake.committed[i]);
        if (fate->number < next[fate->key])
            fail_msg("key %d: number %d was committed behind number %d", (int)fate->key, fate->number,
                     next[fate->key] - 1);
        next[fate->key] = fate->number + 1;
    }
    for (int i = 0; i < fake.completed_count; i++)
    {
        ptrdiff_t at = fake.completed[i] - fake.deliveries;
        assert_false(back[at]);
        back[at] = true;
        assert_true(fake.completed[i]->answer == ANSWER_DROPPED || fake_fate(fake.completed[i])->committed);
    }
    pthread_mutex_unlock(&fake.mutex);
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
        if (fake.gate_key == 0 || fake_fate(deliveries[i])->key == fake.gate_key)
            return fake.gate_closed;
    return false;
}

static void pass_gate(struct delivery *const *deliveries, int count)
{
    if (!is_at_gate(deliveries, count))
        return;
    fake.at_gate++;
    pthread_cond_broadcast(&fake.changed);
    while (is_at_gate(deliveries, count))
        pthread_cond_wait(&fake.changed, &fake.mutex);
    fake.at_gate--;
}

static enum batch_end end_by_script(void)
{
    enum batch_end end = *fake.script++;

    fake.script_left--;
    bool late = fake.script_sqlstate && strcmp(fake.script_sqlstate, "late") == 0;
    const char *sqlstate = late ? "" : fake.script_sqlstate;
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
            results[i].wait_us = fake.settings.locks[workflows[0]->lock_class].wait_us;
            fate->busy -= fate->busy < FAKE_FOR_EVER;
        }
        fate->held += results[i].hold != HOLD_NOT;
        if (results[i].hold != HOLD_NOT)
            continue;
        assert(!fate->committed);
        fate->committed = true;
        deliveries[i]->answer = ANSWER_EVENT;
        fake.committed[fake.committed_count++] = deliveries[i];
    }
}

void __wrap_batch_result(const struct batch *batch, int index, struct batch_result *ret)
{
    (void)batch;
    *ret = results[index];
}

static enum batch_end run(struct delivery *const *deliveries, int count, const struct batch_mode *mode)
{
    if (fake.script_left > 0)
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
    pthread_mutex_lock(&fake.mutex);
    assert(count > 0 && count <= fake.settings.worker.batch_max);
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
    assert(fake.run_count < FAKE_RUNS_MAX);
    fake.runs[fake.run_count++] = (struct fake_run){ .count = count,
                                                     .waiting = mode.waiting,
                                                     .refused = mode.refused != NULL,
                                                     .park = mode.park,
                                                     .wait_us = mode.wait_us,
                                                     .end = end,
                                                     .first_key = first->key,
                                                     .first_number = first->number };
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
    return end;
}

bool __wrap_pipeline_connect(struct pipeline *pipeline, const atomic_bool *stop)
{
    (void)pipeline;
    (void)stop;
    pthread_mutex_lock(&fake.mutex);
    assert(!connected);
    fake.connects++;
    if (fake.connect_refusals > 0)
    {
        fake.connect_refusals -= fake.connect_refusals < FAKE_FOR_EVER;
        set_failure(FAILURE_SESSION, "");
    }
    else
        connected = true;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
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
