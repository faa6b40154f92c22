/* Settings: every key of the settings file, its default, unit and range, in one table (worker/settings/table.c). They
 * are loaded once.
 *
 * Order of precedence: INTERLOCK_<SECTION>_<KEY>, then KAFKA_BOOTSTRAP / DATABASE_URL / REDIS_URL (CONTRACT.md), then
 * the file, then the default.
 *
 * Threads    loaded before any thread starts, read-only after.
 * Ownership  the struct owns its texts; settings_done frees.
 * Failure    false, with a message that names file, line, key, the given value and the accepted values.
 */
#ifndef WORKER_SETTINGS_SETTINGS_H
#define WORKER_SETTINGS_SETTINGS_H

#include "worker/base/retry.h"
#include "workflows/base/buffer.h"
#include "workflows/workflow.h"

/* librdkafka's own names, verbatim, in order; for kafka.consumer and kafka.producer. */
struct settings_pair
{
    char *name;
    char *value;
};

struct settings_pairs
{
    struct settings_pair *at;
    int count;
};

struct settings
{
    struct
    {
        char *bootstrap;   /* bootstrap.servers */
        char *group;       /* consumer group, default "interlock" */
        char *topics;      /* command topics, separated by commas; default "interlock.commands" */
        char *audit_topic; /* "interlock.audit" */
        char *dlq_suffix;  /* ".dlq" */
        bool exactly_once; /* delivery = "exactly_once" | "at_least_once" */
        struct settings_pairs consumer, producer;
    } kafka;
    struct
    {
        char *url; /* libpq URL; a password belongs in PGPASSFILE, or passfile=... of the URL */
        int64_t statement_timeout_us, lock_timeout_us, idle_in_transaction_timeout_us, connect_timeout_us;
    } database;
    struct
    {
        bool enabled;
        char *url;
        char *prefix;
        int64_t connect_timeout_us, command_timeout_us;
    } redis;
    struct
    {
        int64_t count;                               /* cells, default 1 */
        bool static_membership;                      /* key "static", default true */
        int64_t in_flight_commands, in_flight_bytes; /* caps of a cell (PROTOCOL L3) */
        int64_t session_timeout_us, drain_timeout_us;
        int64_t publish_linger_us; /* gathers more before a Kafka transaction; default 0 */
        int64_t transaction_timeout_us;
        int64_t watchdog_us;
    } consumers;
    struct
    {
        int64_t lanes;     /* per cell */
        int64_t batch_max; /* commands */
        int64_t batch_linger_us;
        int64_t park_after_us, park_when_blocking_us; /* the latter may be 0: never */
        int64_t park_horizon_us;
        int64_t park_max, park_bytes, park_source_max, pause_bytes; /* worker/parking_room.h */
    } worker;
    struct
    {
        int64_t max_redrives; /* of one command */
    } dlq;
    struct
    {
        char *env; /* "production": what an operator must say; empty: nobody is asked */
    } operators;
    struct
    {
        int64_t lease_us, wait_us;
    } locks[LOCK__COUNT];
    struct retry_policy retries[RETRY__COUNT];
    struct
    {
        char *listen; /* host:port */
    } http;
    struct
    {
        char *level, *format;
    } log;
    struct
    {
        /* only test builds may switch them off */
        bool row_locks, inbox, fence, producer_guard;
        bool retry, redis_lock, transaction, parking, quarantine, steady_waits, standby, session_terms, watchdog;
        bool commit_marks, topic_ids;
    } protections;
    struct settings_origins *origins; /* where each value came from, for settings_print */
};

/* `file` NULL: defaults and environment only. */
bool settings_load(struct settings *ret, const char *file, struct buffer *reterr);
void settings_done(struct settings *settings);

/* Values that were accepted and should be changed, a line each; empty as a rule. */
struct span settings_warnings(const struct settings *settings);

/* The first of protections that is false, by its key; NULL: none. */
const char *settings_protection_off(const struct settings *settings);

/* The documented settings file with every key and its default: deploy/interlock.conf is this text. */
void settings_print_example(struct buffer *into);
/* Every key with its present value and where it came from; secrets never. JSON or text. */
void settings_print(const struct settings *settings, bool json, struct buffer *into);

/* "250ms" to microseconds. Strict: digits, then us, ms, s, min or h. */
bool settings_parse_duration(const char *text, int64_t *ret_us);

/* A URL of PostgreSQL or Redis for people: passwords replaced by ***, and all of it where it is not understood. */
void settings_add_url(const char *url, struct buffer *into);

#endif
