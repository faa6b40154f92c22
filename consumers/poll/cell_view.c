#include <stdio.h>

#include "consumers/poll/cell_private.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/lane/held_keys.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"

static const int64_t HEALTH_US = 30000000; /* the poll thread is stuck when it was not seen for longer */

bool cell_is_alive(const struct cell *cell)
{
    int64_t allowed_us = cell->settings->consumers.drain_timeout_us + HEALTH_US;
    return monotonic_us() - atomic_load_explicit(&cell->seen_us, memory_order_relaxed) < allowed_us;
}

bool cell_ready(struct cell *cell, char *why, size_t why_size)
{
    if (problem_copy(&cell->problem, why, why_size) || publisher_problem(cell->publisher, why, why_size))
        return false;
    if (cell_state(cell) == CELL_WAITING)
    {
        snprintf(why, why_size, "asking Kafka at %s for the command topics", cell->settings->kafka.bootstrap);
        return false;
    }
    if (!assignment_is_ready(cell->assignment, why, why_size) || !watchdog_is_content(&cell->watchdog, why, why_size))
        return false;
    if (atomic_load_explicit(&cell->quiet, memory_order_relaxed) || cell_is_stopping(cell))
    {
        snprintf(why, why_size, "it takes no more commands");
        return false;
    }
    return lanes_is_ready(cell->lanes, why, why_size);
}

/* `held` is filled. */
static struct stall_causes find_causes(struct cell *cell, struct held_keys *held)
{
    char why[PROBLEM_TEXT_MAX];

    held_keys_clear(held);
    lanes_held(cell->lanes, held);
    return (struct stall_causes){ .quiet = atomic_load_explicit(&cell->quiet, memory_order_relaxed),
                                  .database = !lanes_is_ready(cell->lanes, why, sizeof(why)),
                                  .publishing = publisher_problem(cell->publisher, why, sizeof(why)),
                                  .held = held };
}

void cell_report(struct cell *cell, struct partition_reports *into)
{
    struct held_keys held;
    struct stall_causes causes = find_causes(cell, &held);

    assignment_report(cell->assignment, &causes, into);
}

void cell_held(struct cell *cell, struct held_keys *into)
{
    lanes_held(cell->lanes, into);
}

void cell_status(struct cell *cell, struct buffer *json)
{
    char why[PROBLEM_TEXT_MAX] = "";
    struct held_keys held;
    bool ready = cell_ready(cell, why, sizeof(why));

    buffer_add_text(json, "{\"cell\":");
    buffer_add_int64(json, cell->number);
    buffer_add_text(json, ready ? ",\"ready\":true" : ",\"ready\":false");
    if (!ready)
    {
        buffer_add_text(json, ",\"waits_for\":");
        buffer_add_json_string(json, span_of(why));
    }
    buffer_add_text(json, ",\"partitions\":");
    struct stall_causes causes = find_causes(cell, &held);
    assignment_print(cell->assignment, &causes, json);
    buffer_add_text(json, ",\"held\":");
    held_keys_print(&held, monotonic_us(), json);
    buffer_add_byte(json, '}');
}

/* --- what is left at the end ------------------------------------------------------------------------------------- */

void held_keys_log(int cell, const struct held_keys *held)
{
    int64_t now_us = monotonic_us();

    for (int i = 0; i < held->shown; i++)
    {
        const struct held_key *key = &held->longest[i];
        log_warning("cell %d: left: key %s, held for %lld s, %s/%d at offset %lld, %d commands: %s", cell, key->key,
                    (long long)(now_us - key->since_us) / 1000000, key->topic, key->partition, (long long)key->offset,
                    key->commands, key->reason);
    }
    if (held->keys > held->shown)
        log_warning("cell %d: left: %lld further held keys", cell, (long long)(held->keys - held->shown));
}

int64_t cell_left(struct cell *cell)
{
    struct held_keys held;

    if (cell_is_stopped(cell))
        return atomic_load_explicit(&cell->left, memory_order_relaxed);
    int64_t left = assignment_tell_left(cell->assignment);
    held_keys_clear(&held);
    lanes_held(cell->lanes, &held);
    held_keys_log(cell->number, &held);
    return left;
}
