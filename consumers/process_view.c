#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumers/kafka/problem.h"
#include "consumers/kafka/rights_watch.h"
#include "consumers/parking/returner.h"
#include "consumers/poll/cell.h"
#include "consumers/poll/partition_report.h"
#include "consumers/process_metrics.h"
#include "consumers/process_private.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/http.h"
#include "worker/lane/held_keys.h"
#include "worker/settings/settings.h"
#include "worker/slot.h"

static const int64_t HELD_LONG_US = 10000000;      /* a key that is held for longer is named in the log */
static const int64_t HELD_LOG_EVERY_US = 60000000; /* this often, while there is one */

/* --- for probes -------------------------------------------------------------------------------------------------- */

static bool is_healthy(void *owner, struct buffer *why)
{
    struct process *process = owner;
    int count = process_cells(process);

    for (int i = 0; i < count; i++)
        if (!cell_is_alive(process->cells[i]))
        {
            buffer_add_text(why, "the poll thread of cell ");
            buffer_add_int64(why, i);
            buffer_add_text(why, " does not move");
            return false;
        }
    return true;
}

static void print_slot_problem(struct process *process, struct buffer *why)
{
    buffer_add_text(why, "waiting for PostgreSQL: no slot of the consumer group is held yet");
    pthread_mutex_lock(&process->mutex);
    buffer_add_text(why, process->slot_why[0] ? ": " : "");
    buffer_add_text(why, process->slot_why);
    pthread_mutex_unlock(&process->mutex);
}

bool process_is_ready(void *owner, struct buffer *why)
{
    struct process *process = owner;
    int count = process_cells(process);
    char text[PROBLEM_TEXT_MAX];

    if (rights_watch_problem(process->rights, why))
        return false;
    if (count == 0 || !slot_is_held(process->slot))
    {
        print_slot_problem(process, why);
        return false;
    }
    for (int i = 0; i < count; i++)
        if (!cell_ready(process->cells[i], text, sizeof(text)))
        {
            buffer_add_text(why, text);
            return false;
        }
    if (rights_watch_has_looked(process->rights))
        return true;
    buffer_add_text(why, "waiting for Kafka to say what this worker may do");
    return false;
}

/* --- for people and monitoring ----------------------------------------------------------------------------------- */

static void print_cells(struct process *process, struct buffer *json)
{
    int count = process_cells(process);

    buffer_add_text(json, ",\"cells\":[");
    for (int i = 0; i < count; i++)
    {
        if (i > 0)
            buffer_add_byte(json, ',');
        cell_status(process->cells[i], json);
    }
    buffer_add_byte(json, ']');
    if (count > 0)
    {
        buffer_add_text(json, ",\"parked\":");
        returner_print(process->returner, json);
        process_group_print_status(&process->group, json);
    }
}

static void print_counts(const struct process *process, struct buffer *json)
{
    int64_t without_us = metrics_get(METRIC_WITHOUT_REDIS);

    buffer_add_text(json, ",\"up_s\":");
    buffer_add_int64(json, (wall_us() - process->begun_us) / 1000000);
    buffer_add_text(json, ",\"unexpected_partition\":");
    buffer_add_int64(json, metrics_get(METRIC_UNEXPECTED_PARTITION));
    buffer_add_text(json, ",\"without_redis_s\":");
    if (without_us > 0)
        buffer_add_int64(json, (monotonic_us() - without_us) / 1000000);
    else
        buffer_add_text(json, "null");
}

static void print_status(void *owner, struct buffer *json)
{
    struct process *process = owner;
    struct buffer why = BUFFER_EMPTY;
    bool ready = process_is_ready(process, &why);

    buffer_add_text(json, "{\"version\":\"" INTERLOCK_VERSION "\",\"group\":");
    buffer_add_json_string(json, span_of(process->settings->kafka.group));
    buffer_add_text(json, ",\"slot\":");
    buffer_add_int64(json, slot_number(process->slot));
    buffer_add_text(json, ",\"pid\":");
    buffer_add_int64(json, getpid());
    buffer_add_text(json, ready ? ",\"ready\":true" : ",\"ready\":false");
    buffer_add_text(json, ",\"waits_for\":");
    buffer_add_json_string(json, ready ? SPAN_NULL : buffer_span(&why));
    buffer_add_text(json, process->settings->kafka.exactly_once ? ",\"delivery\":\"exactly_once\""
                                                                : ",\"delivery\":\"at_least_once\"");
    print_counts(process, json);
    print_cells(process, json);
    buffer_add_byte(json, '}');
    buffer_done(&why);
}

static void report_partitions(void *owner, struct partition_reports *into)
{
    struct process *process = owner;
    int count = process_cells(process);

    for (int i = 0; i < count; i++)
        cell_report(process->cells[i], into);
}

static void report_held(void *owner, struct held_keys *into)
{
    struct process *process = owner;
    int count = process_cells(process);

    for (int i = 0; i < count; i++)
        cell_held(process->cells[i], into);
}

static int tell_slot(void *owner)
{
    const struct process *process = owner;
    return slot_number(process->slot);
}

static const char *tell_http(void *owner)
{
    const struct process *process = owner;
    return process->http_where[0] ? process->http_where : NULL; /* the endpoint ends before the returner */
}

void process_init_group(struct process *process)
{
    process_group_init(&process->group, &(struct group_sources){ .ready = process_is_ready,
                                                                 .slot = tell_slot,
                                                                 .http = tell_http,
                                                                 .partitions = report_partitions,
                                                                 .held = report_held,
                                                                 .owner = process,
                                                                 .begun_us = process->begun_us });
}

static void print_metrics(void *owner, struct buffer *into)
{
    struct process *process = owner;
    struct partition_reports reports = PARTITION_REPORTS_EMPTY;
    struct buffer why = BUFFER_EMPTY;

    report_partitions(process, &reports);
    into->failed = into->failed || reports.failed;
    process_print_partitions(&reports, into);
    process_group_print_metrics(&process->group, into);
    process_print_self(process_is_ready(process, &why), process->begun_us, into);
    buffer_done(&why);
    partition_reports_done(&reports);
}

static void log_where(const struct process *process)
{
    const char *listen = process->settings->http.listen;
    const char *taken = strrchr(http_where(process->http), ':'), *wanted = strrchr(listen, ':');
    bool moved = wanted && taken && strcmp(wanted, ":0") != 0 && strcmp(wanted, taken) != 0;

    log_info("http: listening on %s%s%s%s", http_where(process->http), moved ? ", because " : "", moved ? listen : "",
             moved ? " is in use" : "");
}

static void print_rates(void *owner, struct buffer *into)
{
    struct process *process = owner;

    if (process_cells(process) > 0)
        process_group_print_rates(&process->group, into);
}

void process_start_http(struct process *process)
{
    const struct http_sources sources = { .healthy = is_healthy,
                                          .ready = process_is_ready,
                                          .status = print_status,
                                          .metrics = print_metrics,
                                          .rates = print_rates,
                                          .owner = process };
    struct buffer fault = BUFFER_EMPTY;

    if (process->settings->http.listen == NULL || process->settings->http.listen[0] == '\0')
        return;
    process->http = http_start(process->settings->http.listen, &sources, &fault);
    if (process->http)
    {
        snprintf(process->http_where, sizeof(process->http_where), "%s", http_where(process->http));
        log_where(process);
    }
    else
        log_warning("http: %.*s; going on without", (int)fault.size, fault.at ? fault.at : "");
    buffer_done(&fault);
}

/* --- held keys --------------------------------------------------------------------------------------------------- */

static void log_longest(const struct held_keys *held, int64_t now_us)
{
    const struct held_key *first = &held->longest[0];
    int64_t next_us = first->next_us > now_us ? first->next_us - now_us : 0;

    log_warning(
        "run: held keys: %lld; the longest for %lld s: %s, %s/%d at offset %lld, %d attempts, next try in %lld ms, "
        "%d commands wait: %s",
        (long long)held->keys, (long long)(now_us - first->since_us) / 1000000, first->key, first->topic,
        first->partition, (long long)first->offset, first->attempts, (long long)next_us / 1000, first->commands,
        first->reason);
}

void process_watch_held(struct process *process)
{
    int64_t now_us = monotonic_us();
    int count = process_cells(process);
    struct held_keys held;

    held_keys_clear(&held);
    for (int i = 0; i < count && metrics_get(METRIC_HELD_KEYS) > 0; i++)
        cell_held(process->cells[i], &held);
    metrics_set(METRIC_HELD_OLDEST, held.oldest_us);
    if (held.shown == 0 || now_us - held.oldest_us < HELD_LONG_US || now_us < process->next_held_us)
        return;
    process->next_held_us = now_us + HELD_LOG_EVERY_US;
    log_longest(&held, now_us);
}
