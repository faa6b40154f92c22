/* World: a real PostgreSQL database of a test's own, and batches on it. Nothing in it is a fake but the publisher: what
 * a batch answers stays in the deliveries.
 *
 * It needs DATABASE_URL (deploy/stack env prints it) and a role that may create databases. A program has one database,
 * under a name that no other process uses, emptied for each test; a test that changes its schema changes it back.
 *
 * Threads    the test's.
 * Ownership  deliveries live until world_tear_down.
 * Failure    cmocka's asserts.
 */
#ifndef TESTS_FAKES_WORLD_H
#define TESTS_FAKES_WORLD_H

#include <libpq-fe.h>

#include "worker/batch/batch.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"

enum
{
    WORLD_DELIVERIES_MAX = 8192,
    WORLD_PARTITIONS_MAX = 4,
};

struct world
{
    struct settings settings;
    PGconn *sql; /* a session beside the batches */
    struct database *database;
    struct statements *statements;
    struct batch batch;
    struct ownership partitions[WORLD_PARTITIONS_MAX]; /* of the topic "commands"; 0 to 3, all ours */
    atomic_bool revoked;
    struct delivery deliveries[WORLD_DELIVERIES_MAX];
    int delivery_count;
    int64_t next_offset[WORLD_PARTITIONS_MAX];
};

extern struct world world;

/* Runs the tests, each in a world of its own; without DATABASE_URL it says so, and none is run. */
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
bool world_is_there(void);
int world_group_set_up(void **state);
int world_group_tear_down(void **state);
int world_set_up(void **state);
int world_tear_down(void **state);

/* Everything as the test began. */
void world_start_anew(void);

/* A message at the next offset of a partition. `key` NULL: none. */
struct delivery *world_message(int partition, const char *key, const char *value);
/* A command: {"specversion":"1.0","id":<id>,"source":"/test","type":<type>,<more>"data":<data>}. `more` may be "", or
 * end with a comma. On partition 0. */
struct delivery *world_command(const char *key, const char *id, const char *type, const char *more, const char *data);
/* ticket.create with the id "create-<ticket>"; ticket.escalate of one level. */
struct delivery *world_create(int ticket);
struct delivery *world_escalate(int ticket, const char *id);
/* The same message once more, at its own place, as an owner after a crash gets it. */
struct delivery *world_again(const struct delivery *first);
/* The same message at the next offset, as a publisher's duplicate. */
struct delivery *world_duplicate(const struct delivery *first);

enum batch_end world_run_as(struct delivery *const *deliveries, int count, struct batch_mode mode);
/* It has to end with BATCH_DONE. */
void world_run(struct delivery *const *deliveries, int count);
void world_run_one(struct delivery *delivery);

/* The same through the lanes of a real pool, with short retries and waits: for what takes more than one batch. It ends
 * with the test. */
void world_run_in_pool(struct delivery *const *deliveries, int count);

/* Of another thread meanwhile: waits until a delivery comes back, 5 s at the most. */
void world_await_progress(void);

/* Calls `between` once, in the thread of the batch, when the command with this id is decided: between the two round
 * trips to PostgreSQL. */
void world_interrupt(const char *id, void (*between)(void));

/* A command whose workflow is the test's own. The delivery's value is not looked at. */
struct delivery *world_command_of(const char *key, const char *id, const struct workflow *workflow,
                                  struct aggregate aggregate);

/* The owner of a partition changes: a takeover. Deliveries made from now on are the new owner's. */
void world_take_over(int partition);
/* PROTOCOL R1: the takeover found offsets gone back, with everything below `below` published. */
void world_rewind(int partition, int64_t below);

/* The only field of a query's only row; "(null)" and "(none)". Valid until the next call but seven. */
const char *world_ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *world_ask_on(PGconn *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
PGconn *world_session(void); /* another one; the caller ends it with PQfinish */
/* Waits until the query answers `expected`, within far more time than it ever takes. */
void world_await_on(PGconn *session, const char *expected, const char *sql);

/* A member of the delivery's event by its path ("data.version.to"), as JSON text; "(none)" where there is none. */
const char *world_event(const struct delivery *delivery, const char *path);
/* "applied", "unchanged", "rejected:<reason>", or the answer where it is no event. */
const char *world_outcome(const struct delivery *delivery);

#define assert_event(delivery, path, json) assert_string_equal(world_event((delivery), (path)), (json))
#define assert_outcome(delivery, outcome) assert_string_equal(world_outcome(delivery), (outcome))
#define assert_sql(expected, ...) assert_string_equal(world_ask(__VA_ARGS__), (expected))

#endif
