#include "tests/fakes/world.h"

#include <glob.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "consumers/message/envelope.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"

enum
{
    TEXTS = 8,
    TEXT_SIZE = 65536,
    URL_SIZE = 1024,
    FORMER_MAX = 256,
    OWN_MAX = 64,
    PATIENCE_US = 180 * 1000000,
};

struct world world;
static PGconn *admin; /* in the database of DATABASE_URL */
static char name[64];
static struct ownership former[FORMER_MAX]; /* owners before a takeover, for the deliveries that point at them */
static int former_count;

/* --- texts ----------------------------------------------------------------------------------------------------- */

static char *next_text(void)
{
    static _Thread_local char texts[TEXTS][TEXT_SIZE];
    static _Thread_local int next;
    return texts[next++ % TEXTS];
}

/* DATABASE_URL with another database, as a connection string. */
static void make_url(const char *database, char into[URL_SIZE])
{
    char *error = NULL;
    PQconninfoOption *options = PQconninfoParse(getenv("DATABASE_URL"), &error);
    size_t used = (size_t)snprintf(into, URL_SIZE, "dbname='%s'", database);

    if (options == NULL)
        fail_msg("DATABASE_URL: %s", error);
    for (PQconninfoOption *option = options; option->keyword; option++)
        if (option->val && strcmp(option->keyword, "dbname") != 0 && used < URL_SIZE)
            used += (size_t)snprintf(into + used, URL_SIZE - used, " %s='%s'", option->keyword, option->val);
    PQconninfoFree(options);
    assert_true(used < URL_SIZE);
}

/* --- PostgreSQL beside the batches ----------------------------------------------------------------------------- */

static PGconn *connect_to(const char *database)
{
    char into[URL_SIZE];
    make_url(database, into);
    PGconn *connection = PQconnectdb(into);
    if (PQstatus(connection) != CONNECTION_OK)
        fail_msg("%s", PQerrorMessage(connection));
    return connection;
}

__attribute__((format(printf, 2, 0))) static const char *ask(PGconn *session, const char *format, va_list arguments)
{
    char sql[4096], *text = next_text();

    vsnprintf(sql, sizeof(sql), format, arguments);
    PGresult *result = PQexec(session, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s\n%s", sql, PQerrorMessage(session));
    if (PQntuples(result) == 0)
        snprintf(text, TEXT_SIZE, "(none)");
    else
        snprintf(text, TEXT_SIZE, "%s", PQgetisnull(result, 0, 0) ? "(null)" : PQgetvalue(result, 0, 0));
    PQclear(result);
    return text;
}

const char *world_ask_on(PGconn *session, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *text = ask(session, format, arguments);
    va_end(arguments);
    return text;
}

const char *world_ask(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const char *text = ask(world.sql, format, arguments);
    va_end(arguments);
    return text;
}

void world_await_on(PGconn *session, const char *expected, const char *sql)
{
    int64_t deadline_us = monotonic_us() + PATIENCE_US;
    const char *text;
    while (strcmp(text = world_ask_on(session, "%s", sql), expected) != 0)
    {
        if (monotonic_us() > deadline_us)
            fail_msg("waited in vain for %s, it is %s", expected, text);
        sched_yield();
    }
}

PGconn *world_session(void)
{
    return connect_to(name);
}

static void run_file(PGconn *connection, const char *path)
{
    static char text[TEXT_SIZE];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    PGresult *result = PQexec(connection, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", path, PQerrorMessage(connection));
    PQclear(result);
}

static void make_database(void)
{
    glob_t files;

    snprintf(name, sizeof(name), "interlock_test_%d", (int)getpid());
    world_ask_on(admin, "CREATE DATABASE %s", name);
    world.sql = connect_to(name);
    world_ask("SET client_min_messages = warning");
    world_ask("CREATE SCHEMA interlock");
    assert_int_equal(glob("schema/*.up.sql", 0, NULL, &files), 0); /* sorted */
    for (size_t i = 0; i < files.gl_pathc; i++)
        run_file(world.sql, files.gl_pathv[i]);
    globfree(&files);
}

/* As new; the rows of the audit are immutable, so their triggers have to be off meanwhile. */
static void empty_database(void)
{
    /* A test that failed may have left sessions that hold something. */
    world_ask("SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = current_database() "
              "AND pid <> pg_backend_pid()");
    world_ask("DO $$ DECLARE tables text; BEGIN "
              "ALTER TABLE interlock.audit_event DISABLE TRIGGER USER; "
              "ALTER TABLE interlock.audit_also DISABLE TRIGGER USER; "
              "SELECT string_agg(oid::regclass::text, ', ') INTO tables FROM pg_class "
              "WHERE relnamespace = 'interlock'::regnamespace AND relkind = 'r' "
              "AND relname NOT IN ('parking', 'schema_identity'); "
              "EXECUTE 'TRUNCATE ' || tables || ' RESTART IDENTITY'; "
              "ALTER TABLE interlock.audit_event ENABLE TRIGGER USER; "
              "ALTER TABLE interlock.audit_also ENABLE TRIGGER USER; "
              "UPDATE interlock.parking SET parked = false; "
              "ALTER SEQUENCE interlock.ticket_id_seq RESTART; "
              "ALTER SEQUENCE interlock.jobneed_id_seq RESTART; END $$");
    world_ask("INSERT INTO interlock.partition_owner (topic, partition, fence, owner_token) "
              "SELECT 'commands', p, 1, lpad(p::text, 32, '0')::uuid FROM generate_series(0, %d) p ORDER BY p",
              WORLD_PARTITIONS_MAX - 1);
}

/* --- messages -------------------------------------------------------------------------------------------------- */

/* A workflow of the test's own, by the delivery that carries it. */
static struct
{
    const struct delivery *delivery;
    const struct workflow *workflow;
    struct aggregate aggregate;
    char id[32];
} own_commands[OWN_MAX];
static int own_count;

static void decode_own(int at, struct command *ret)
{
    size_t size = strlen(own_commands[at].id);
    memset(ret, 0, sizeof(*ret));
    ret->source = SPAN_LITERAL("/own");
    ret->id = (struct span){ own_commands[at].id, size };
    ret->type = span_of(own_commands[at].workflow->type);
    ret->workflow = own_commands[at].workflow;
    ret->aggregate = own_commands[at].aggregate;
    memcpy(ret->identity, own_commands[at].id, size < DIGEST_SIZE ? size : DIGEST_SIZE);
}

static struct
{
    struct workflow workflow; /* as the real one, but for decide */
    const struct workflow *real;
    char id[32];
    void (*between)(void);
} interruption;

static void decide_interrupted(const struct command *command, struct rows *rows, struct decision *decision)
{
    void (*between)(void) = interruption.between;
    if (between && span_is(command->id, interruption.id))
    {
        interruption.between = NULL;
        between();
    }
    interruption.real->decide(command, rows, decision);
}

void world_interrupt(const char *id, void (*between)(void))
{
    snprintf(interruption.id, sizeof(interruption.id), "%s", id);
    interruption.between = between;
}

static enum decode_result decode_message(struct delivery *delivery, struct arena *arena, struct command *ret)
{
    struct envelope_source source = { .key = delivery->key, .value = delivery->value };
    for (int i = 0; i < own_count; i++)
        if (own_commands[i].delivery == delivery)
            return decode_own(i, ret), DECODE_COMMAND;
    enum decode_result result = envelope_decode(&source, arena, ret, &delivery->dead_reason, delivery->dead_message,
                                                sizeof(delivery->dead_message));
    if (result == DECODE_COMMAND && interruption.between && ret->workflow && span_is(ret->id, interruption.id))
    {
        interruption.real = ret->workflow;
        interruption.workflow = *ret->workflow;
        interruption.workflow.decide = decide_interrupted;
        ret->workflow = &interruption.workflow;
    }
    return result;
}

static struct span copy(struct span text)
{
    if (text.at == NULL)
        return SPAN_NULL;
    char *at = malloc(text.size + 1);
    assert_non_null(at);
    memcpy(at, text.at, text.size);
    return (struct span){ at, text.size };
}

static struct delivery *make(int partition, int64_t offset, struct span key, struct span value)
{
    assert_true(world.delivery_count < WORLD_DELIVERIES_MAX);
    struct delivery *delivery = &world.deliveries[world.delivery_count++];
    *delivery = (struct delivery){
        .ownership = &world.partitions[partition], .key = copy(key), .value = copy(value), .offset = offset
    };
    struct envelope_source source = { .key = delivery->key, .value = delivery->value };
    delivery->lane_hash = envelope_lane_hash(&source);
    return delivery;
}

struct delivery *world_message(int partition, const char *key, const char *value)
{
    return make(partition, world.next_offset[partition]++, span_of(key), span_of(value));
}

struct delivery *world_command(const char *key, const char *id, const char *type, const char *more, const char *data)
{
    char *value = next_text();
    int size = snprintf(value, TEXT_SIZE,
                        "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/test\",\"type\":\"%s\",%s\"data\":%s}",
                        id, type, more, data);
    assert_true(size > 0 && size < TEXT_SIZE);
    return world_message(0, key, value);
}

struct delivery *world_create(int ticket)
{
    char key[32], id[32], data[96];
    snprintf(key, sizeof(key), "ticket/%d", ticket);
    snprintf(id, sizeof(id), "create-%d", ticket);
    snprintf(data, sizeof(data), "{\"ticket_id\":%d,\"priority\":\"LOW\"}", ticket);
    return world_command(key, id, "ticket.create", "", data);
}

struct delivery *world_escalate(int ticket, const char *id)
{
    char key[32], data[64];
    snprintf(key, sizeof(key), "ticket/%d", ticket);
    snprintf(data, sizeof(data), "{\"ticket_id\":%d}", ticket);
    return world_command(key, id, "ticket.escalate", "", data);
}

struct delivery *world_again(const struct delivery *first)
{
    int partition = first->ownership->partition;
    return make(partition, first->offset, first->key, first->value);
}

struct delivery *world_duplicate(const struct delivery *first)
{
    int partition = first->ownership->partition;
    return make(partition, world.next_offset[partition]++, first->key, first->value);
}

struct delivery *world_command_of(const char *key, const char *id, const struct workflow *workflow,
                                  struct aggregate aggregate)
{
    struct delivery *delivery = world_message(0, key, "");
    assert_true(own_count < OWN_MAX);
    own_commands[own_count].delivery = delivery;
    own_commands[own_count].workflow = workflow;
    own_commands[own_count].aggregate = aggregate;
    snprintf(own_commands[own_count].id, sizeof(own_commands[own_count].id), "%s", id);
    own_count++;
    return delivery;
}

/* --- life ------------------------------------------------------------------------------------------------------ */

bool world_is_there(void)
{
    if (getenv("DATABASE_URL"))
        return true;
    fprintf(stderr, "skipped: DATABASE_URL is not set, and these tests are about a real PostgreSQL\n");
    return false;
}

int world_group_set_up(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_ERROR, false);
    admin = PQconnectdb(getenv("DATABASE_URL"));
    if (PQstatus(admin) != CONNECTION_OK)
    {
        fprintf(stderr, "DATABASE_URL: %s", PQerrorMessage(admin));
        return -1;
    }
    world_ask_on(admin, "SET client_min_messages = warning");
    make_database();
    return 0;
}

int world_group_tear_down(void **state)
{
    (void)state;
    PQfinish(world.sql);
    world_ask_on(admin, "DROP DATABASE %s WITH (FORCE)", name);
    PQfinish(admin);
    return 0;
}

/* The partition's owner as the database has it. */
static void read_owner(int partition)
{
    struct ownership *ownership = &world.partitions[partition];
    const char *row = world_ask("SELECT id || ' ' || fence || ' ' || replace(owner_token::text, '-', '') "
                                "FROM interlock.partition_owner WHERE partition = %d",
                                partition);
    char token[33];
    long long fence;
    int id;

    assert_int_equal(sscanf(row, "%d %lld %32s", &id, &fence, token), 3);
    *ownership = (struct ownership){ .partition_id = id,
                                     .fence = fence,
                                     .topic = SPAN_LITERAL("commands"),
                                     .partition = partition,
                                     .revoked = &world.revoked };
    for (int i = 0; i < 16; i++)
    {
        unsigned byte;
        assert_int_equal(sscanf(token + 2 * i, "%2x", &byte), 1);
        ownership->token[i] = (uint8_t)byte;
    }
}

static void begin(void)
{
    char url[URL_SIZE];

    make_url(name, url);
    world.settings.database.url = strdup(url);
    empty_database();
    for (int i = 0; i < WORLD_PARTITIONS_MAX; i++)
        read_owner(i);
    world.database = database_new(&world.settings, "test batch");
    world.statements = statements_new(world.database);
    struct batch_tools tools = { &world.settings, world.database, world.statements, NULL, decode_message };
    assert_true(batch_init(&world.batch, &tools));
    if (!database_connect(world.database, NULL))
        fail_msg("%s", database_failure(world.database)->message);
}

static void end(void)
{
    batch_done(&world.batch);
    statements_free(world.statements);
    database_free(world.database);
    free(world.settings.database.url);
    world.settings.database.url = NULL;
    for (int i = 0; i < world.delivery_count; i++)
    {
        free((void *)(uintptr_t)world.deliveries[i].key.at);
        free((void *)(uintptr_t)world.deliveries[i].value.at);
        free(world.deliveries[i].event);
    }
    memset(world.deliveries, 0, sizeof(world.deliveries));
    memset(world.next_offset, 0, sizeof(world.next_offset));
    world.delivery_count = former_count = own_count = 0;
}

int world_set_up(void **state)
{
    struct buffer error = BUFFER_EMPTY;
    (void)state;
    interruption.between = NULL;
    if (!settings_load(&world.settings, NULL, &error))
        return -1;
    world.settings.redis.enabled = false;
    world.settings.worker.lanes = 1;
    world.settings.protections.row_locks = world.settings.protections.inbox = world.settings.protections.fence = true;
    free(world.settings.database.url);
    begin();
    return 0;
}

int world_tear_down(void **state)
{
    (void)state;
    end();
    settings_done(&world.settings);
    return 0;
}

void world_start_anew(void)
{
    end();
    begin();
}

/* --- batches --------------------------------------------------------------------------------------------------- */

enum batch_end world_run_as(struct delivery *const *deliveries, int count, struct batch_mode mode)
{
    return batch_run(&world.batch, deliveries, count, mode);
}

void world_run(struct delivery *const *deliveries, int count)
{
    enum batch_end ended = world_run_as(deliveries, count, (struct batch_mode){ .waiting = false });
    if (ended != BATCH_DONE)
        fail_msg("the batch ended with %d: %s %s", (int)ended, database_failure(world.database)->sqlstate,
                 database_failure(world.database)->message);
}

void world_run_one(struct delivery *delivery)
{
    world_run(&delivery, 1);
}

/* --- through a pool ---------------------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* over `completed` */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int completed;

static void complete(void *owner, struct delivery *chain)
{
    (void)owner;
    pthread_mutex_lock(&mutex);
    for (; chain; chain = chain->next)
        completed++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static int await_completed(int count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_US / 1000000;
    pthread_mutex_lock(&mutex);
    while (completed < count && pthread_cond_timedwait(&changed, &mutex, &until) == 0)
        ;
    int reached = completed;
    pthread_mutex_unlock(&mutex);
    return reached;
}

void world_await_progress(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    pthread_mutex_lock(&mutex);
    int before = completed;
    while (completed == before && pthread_cond_timedwait(&changed, &mutex, &until) == 0)
        ;
    pthread_mutex_unlock(&mutex);
}

void world_run_in_pool(struct delivery *const *deliveries, int count)
{
    struct pool_options options = {
        .settings = &world.settings, .lock_owner = "test/0/0/0", .decode = decode_message, .complete = complete
    };
    const char *why = NULL;

    for (int kind = 0; kind < RETRY__COUNT; kind++)
        world.settings.retries[kind] = (struct retry_policy){ "test", 3, 2000, 2.0, 20000, 0.1 };
    for (int class = 0; class < LOCK__COUNT; class ++)
        world.settings.locks[class].wait_us = 100000;
    completed = 0;
    struct pool *pool = pool_new(&options, &why);
    assert_non_null(pool);
    for (int i = 0; i < count; i++)
        deliveries[i]->next = i + 1 < count ? deliveries[i + 1] : NULL;
    pool_submit(pool, deliveries[0]);
    int reached = await_completed(count);
    pool_free(pool, 0);
    if (reached != count)
        fail_msg("%d of %d deliveries came back", reached, count);
}

/* --- owners ------------------------------------------------------------------------------------------------------ */

void world_take_over(int partition)
{
    /* Deliveries of the owner before keep pointing at what they were given. */
    assert_true(former_count < FORMER_MAX);
    former[former_count] = world.partitions[partition];
    for (int i = 0; i < world.delivery_count; i++)
        if (world.deliveries[i].ownership == &world.partitions[partition])
            world.deliveries[i].ownership = &former[former_count];
    former_count++;
    world_ask("UPDATE interlock.partition_owner SET fence = fence + 1, owner_token = gen_random_uuid() "
              "WHERE partition = %d",
              partition);
    read_owner(partition);
}

void world_rewind(int partition, int64_t below)
{
    world_take_over(partition);
    world_ask("INSERT INTO interlock.partition_rewind (partition_id, fence, below) VALUES (%d, %lld, %lld)",
              (int)world.partitions[partition].partition_id, (long long)world.partitions[partition].fence,
              (long long)below);
}

/* --- answers --------------------------------------------------------------------------------------------------- */

const char *world_event(const struct delivery *delivery, const char *path)
{
    char *text = next_text(), part[64];

    if (delivery->event == NULL)
        return "(none)";
    json_t *root = json_loadb(delivery->event, delivery->event_size, JSON_REJECT_DUPLICATES, NULL), *at = root;
    assert_non_null(root);
    for (const char *next = path; at && *next;)
    {
        size_t size = strcspn(next, ".");
        snprintf(part, sizeof(part), "%.*s", (int)size, next);
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(part)) : json_object_get(at, part);
        next += size + (next[size] == '.');
    }
    char *dumped = at ? json_dumps(at, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    snprintf(text, TEXT_SIZE, "%s", dumped ? dumped : "(none)");
    free(dumped);
    json_decref(root);
    return text;
}

static const char *unquoted(const char *json)
{
    char *text = next_text();
    size_t size = strlen(json);
    snprintf(text, TEXT_SIZE, "%.*s", (int)(size >= 2 ? size - 2 : 0), json + 1);
    return text;
}

const char *world_outcome(const struct delivery *delivery)
{
    static const char *const answers[] = {
        [ANSWER_EVENT] = "event",     [ANSWER_NOTHING] = "nothing",     [ANSWER_DEAD_LETTER] = "dead_letter",
        [ANSWER_DROPPED] = "dropped", [ANSWER_NOT_OWNER] = "not_owner",
    };
    char *text = next_text();

    if (delivery->answer != ANSWER_EVENT)
        return answers[delivery->answer];
    const char *outcome = unquoted(world_event(delivery, "data.outcome"));
    const char *reason = world_event(delivery, "data.reason");
    if (strcmp(reason, "null") == 0)
        return outcome;
    snprintf(text, TEXT_SIZE, "%s:%s", outcome, unquoted(reason));
    return text;
}
