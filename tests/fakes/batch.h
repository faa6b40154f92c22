/* Batch (fake): a batch_run that answers by script, so that lanes and pools can be tested without PostgreSQL.
 *
 * Each delivery's `message` is a struct fate: how it ends. The fake records what the lanes did with them: every
 * run, every delivery in the order of its commit, and every one that came back.
 *
 * wrap: batch_run batch_result pipeline_connect pipeline_is_connected pipeline_failure
 *
 * Threads    fake_* are called by the test's thread; everything shared is under one mutex.
 * Ownership  deliveries and fates are the fake's; fake_begin forgets all of them.
 */
#ifndef TESTS_FAKES_BATCH_H
#define TESTS_FAKES_BATCH_H

#include "worker/batch/batch.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"

enum
{
    FAKE_DELIVERIES_MAX = 40000,
    FAKE_RUNS_MAX = 100000,
    FAKE_FOR_EVER = 1000000,
};

struct fate
{
    uint64_t key;
    int number; /* place among the deliveries of its key, from 0 */
    /* The script. */
    int busy;             /* so many runs find its row busy, unless they may wait */
    int waits_in_vain;    /* so many runs that wait give up: 55P03 */
    bool lock_refused;    /* it is busy because Redis refuses its lock */
    const char *sqlstate; /* PostgreSQL refuses it with this */
    int refusals;         /* when it runs alone, so many times */
    int record_refusals;  /* its refusal cannot be recorded so many times */
    /* The course of things. */
    int runs, alone, waited, parked, recorded_refusals, held;
    bool committed;
};

struct fake_run
{
    int count;
    bool waiting, refused, park;
    int64_t wait_us;
    enum batch_end end;
    uint64_t first_key;
    int first_number;
};

/* Begins a test: everything is as new, the gate open, PostgreSQL there. `keys` deliveries get their numbers by key. */
void fake_begin(int lanes, int batch_max);
void fake_end(void);
struct settings *fake_settings(void);
struct lanes_options fake_options(void);

/* A new delivery of the key, in the present epoch. */
struct delivery *fake_delivery(uint64_t key);
struct fate *fake_fate(const struct delivery *delivery);
/* Deliveries made from now on are of a new epoch; the one before is revoked. Returns the number of the revoked one. */
uint64_t fake_revoke_epoch(void);
/* The deliveries as a chain, in order. */
struct delivery *fake_chain(struct delivery *const *deliveries, int count);

/* The next runs end like this, whatever is in them; the SQLSTATE "late": by a deadline of our own. */
void fake_script(const enum batch_end *ends, int count, const char *sqlstate);
/* So many connects fail from now on. */
void fake_refuse_connects(int count);

/* Runs wait at a closed gate, in which `key` is, or any when `key` is 0; already inside they finish. */
void fake_close_gate(uint64_t key);
void fake_open_gate(void);
void fake_await_at_gate(int runs);

/* The deliveries that came back, in order. Waiting fails the test when it takes longer than it ever should. */
void fake_await_completed(int count);
int fake_completed(const struct delivery **into, int max);
int fake_committed(const struct delivery **into, int max);
int fake_runs(struct fake_run *into, int max);
void fake_await_runs(int count);
int fake_connects(void);
void fake_await_connects(int count);

/* Every delivery that was committed was committed after all earlier ones of its key, once; and came back once. */
void fake_assert_order(void);

__typeof__(batch_run) __wrap_batch_run;
__typeof__(batch_result) __wrap_batch_result;
__typeof__(pipeline_connect) __wrap_pipeline_connect;
__typeof__(pipeline_is_connected) __wrap_pipeline_is_connected;
__typeof__(pipeline_failure) __wrap_pipeline_failure;

#endif
