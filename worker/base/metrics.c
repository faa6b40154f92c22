#include "worker/base/metrics.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "worker/base/clock.h"
#include "workflows/workflow.h"

enum
{
    TYPES_MAX = 128, /* command types counted apart; the slot after them is the unknown type's */
    UNKNOWN_TYPE = TYPES_MAX,
};

enum kind
{
    COUNTER,
    GAUGE,
    COUNTER_US,
    AGE,
    HEAP,
};

static const struct
{
    enum kind kind;
    const char *name;
    const char *help;
} table[] = {
#define X(symbol, kind, name, help) { kind, name, help },
    METRICS(X)
#undef X
};
_Static_assert(sizeof(table) / sizeof(*table) == METRIC__COUNT, "a row for every metric");

/* The words of CONTRACT.md, "Dead letters". */
static const char *const causes[] = {
    "tombstone",    "too_large",     "too_deep",         "duplicate_key", "bad_encoding",
    "not_json",     "not_an_object", "not_a_cloudevent", "missing_id",    "missing_source",
    "missing_type", "id_too_long",   "source_too_long",  "type_too_long", "crashed_worker",
};

enum
{
    CAUSE_COUNT = sizeof(causes) / sizeof(*causes),
};

/* Upper bounds, from a Kafka transaction's few milliseconds to a backlog of minutes. */
static const int64_t bounds_us[] = { 1000,   2000,    5000,    10000,   20000,    50000,    100000,   200000,
                                     500000, 1000000, 2000000, 5000000, 10000000, 30000000, 60000000, 300000000 };

enum
{
    BOUND_COUNT = sizeof(bounds_us) / sizeof(*bounds_us),
};

_Static_assert(METRICS_LATENCY_SLOTS == BOUND_COUNT + 1, "a slot below each bound, and one above");

/* Writers: any thread, relaxed: a reader may see one number before another. Reader: the HTTP thread. */
static atomic_llong values[METRIC__COUNT];
static atomic_llong commands[TYPES_MAX + 1][OUTCOME__COUNT];
static atomic_llong dead_letters[CAUSE_COUNT + 1]; /* the last is of any other cause */
static atomic_llong latency[BOUND_COUNT + 1];      /* not cumulated; the last is above every bound */
static atomic_llong latency_sum_us;

void metrics_add(enum metric metric, int64_t value)
{
    atomic_fetch_add_explicit(&values[metric], value, memory_order_relaxed);
}

void metrics_set(enum metric metric, int64_t value)
{
    atomic_store_explicit(&values[metric], value, memory_order_relaxed);
}

int64_t metrics_get(enum metric metric)
{
    return atomic_load_explicit(&values[metric], memory_order_relaxed);
}

void metrics_count_command(int workflow_index, int outcome, int64_t count)
{
    if (outcome < 0 || outcome >= OUTCOME__COUNT)
        return;
    int type = workflow_index >= 0 && workflow_index < TYPES_MAX ? workflow_index : UNKNOWN_TYPE;
    atomic_fetch_add_explicit(&commands[type][outcome], count, memory_order_relaxed);
}

void metrics_count_dead_letter(const char *cause)
{
    int at = 0;

    while (at < CAUSE_COUNT && strcmp(causes[at], cause ? cause : "") != 0)
        at++;
    atomic_fetch_add_explicit(&dead_letters[at], 1, memory_order_relaxed);
}

const char *metrics_dead_letter_cause(int index)
{
    return index >= 0 && index < CAUSE_COUNT ? causes[index] : NULL;
}

int64_t metrics_dead_letters(void)
{
    int64_t count = 0;

    for (int i = 0; i <= CAUSE_COUNT; i++)
        count += atomic_load_explicit(&dead_letters[i], memory_order_relaxed);
    return count;
}

void metrics_observe_latency(int64_t us)
{
    /* A producer's clock may run ahead of ours: that is no negative latency. */
    int64_t seen = us < 0 ? 0 : us;
    int slot = 0;
    while (slot < BOUND_COUNT && seen > bounds_us[slot])
        slot++;
    atomic_fetch_add_explicit(&latency[slot], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&latency_sum_us, seen, memory_order_relaxed);
}

void metrics_print_seconds(struct buffer *into, int64_t us)
{
    char text[40];
    snprintf(text, sizeof(text), "%lld.%06lld", (long long)(us / 1000000), (long long)(us % 1000000));
    buffer_add_text(into, text);
}

void metrics_print_head(struct buffer *into, const char *name, const char *type, const char *help)
{
    buffer_add_text(into, "# HELP ");
    buffer_add_text(into, name);
    buffer_add_text(into, " ");
    buffer_add_text(into, help);
    buffer_add_text(into, "\n# TYPE ");
    buffer_add_text(into, name);
    buffer_add_text(into, " ");
    buffer_add_text(into, type);
    buffer_add_text(into, "\n");
}

static void print_command(struct buffer *into, const char *type, int outcome, int64_t count)
{
    buffer_add_text(into, "interlock_commands_total{type=\"");
    buffer_add_text(into, type);
    buffer_add_text(into, "\",outcome=\"");
    buffer_add_text(into, outcome_name((enum outcome)outcome));
    buffer_add_text(into, "\"} ");
    buffer_add_int64(into, count);
    buffer_add_text(into, "\n");
}

static void print_commands(struct buffer *into)
{
    metrics_print_head(into, "interlock_commands_total", "counter", "Commands decided, by type and outcome.");
    /* A series is shown from the start, at zero, so that a first rejection is a step a query can see. */
    for (int type = 0; type < TYPES_MAX && workflows[type]; type++)
        for (int outcome = 0; outcome < OUTCOME__COUNT; outcome++)
            print_command(into, workflows[type]->type, outcome,
                          atomic_load_explicit(&commands[type][outcome], memory_order_relaxed));
    for (int outcome = 0; outcome < OUTCOME__COUNT; outcome++)
    {
        int64_t count = atomic_load_explicit(&commands[UNKNOWN_TYPE][outcome], memory_order_relaxed);
        if (count > 0)
            print_command(into, "unknown", outcome, count);
    }
}

void metrics_read_latency(int64_t ret[METRICS_LATENCY_SLOTS])
{
    for (int slot = 0; slot < METRICS_LATENCY_SLOTS; slot++)
        ret[slot] = atomic_load_explicit(&latency[slot], memory_order_relaxed);
}

int64_t metrics_latency_bound_us(int slot)
{
    return slot < BOUND_COUNT ? bounds_us[slot] : 0;
}

static void print_dead_letters(struct buffer *into)
{
    metrics_print_head(into, "interlock_dlq_total", "counter", "Dead letters published, by cause.");
    for (int i = 0; i <= CAUSE_COUNT; i++)
    {
        int64_t count = atomic_load_explicit(&dead_letters[i], memory_order_relaxed);
        if (i == CAUSE_COUNT && count == 0)
            return;
        buffer_add_text(into, "interlock_dlq_total{cause=\"");
        buffer_add_text(into, i < CAUSE_COUNT ? causes[i] : "other");
        buffer_add_text(into, "\"} ");
        buffer_add_int64(into, count);
        buffer_add_text(into, "\n");
    }
}

static void print_latency(struct buffer *into)
{
    static const char name[] = "interlock_effective_latency_seconds";
    metrics_print_head(into, name, "histogram", "From a message's timestamp to the publication of its audit event.");
    int64_t count = 0;
    for (int slot = 0; slot <= BOUND_COUNT; slot++)
    {
        count += atomic_load_explicit(&latency[slot], memory_order_relaxed);
        buffer_add_text(into, name);
        buffer_add_text(into, "_bucket{le=\"");
        if (slot < BOUND_COUNT)
            metrics_print_seconds(into, bounds_us[slot]);
        else
            buffer_add_text(into, "+Inf");
        buffer_add_text(into, "\"} ");
        buffer_add_int64(into, count);
        buffer_add_text(into, "\n");
    }
    buffer_add_text(into, name);
    buffer_add_text(into, "_sum ");
    metrics_print_seconds(into, atomic_load_explicit(&latency_sum_us, memory_order_relaxed));
    buffer_add_text(into, "\n");
    buffer_add_text(into, name);
    buffer_add_text(into, "_count ");
    buffer_add_int64(into, count);
    buffer_add_text(into, "\n");
}

static bool is_counter(enum kind kind)
{
    return kind == COUNTER || kind == COUNTER_US;
}

/* Tells a leak from a high-water mark: malloc keeps what was freed below something that was not, so resident memory
 * stays near the fullest moment. mallinfo2 walks the free chunks of an arena under its lock: a lane may wait for that
 * once a scrape, and pays nothing else. A thread's own cache of freed chunks counts as handed out. The sanitizers'
 * allocators are not in the number. */
static int64_t heap_bytes(void)
{
#ifdef __GLIBC__
    struct mallinfo2 all_arenas = mallinfo2();
    return (int64_t)(all_arenas.uordblks + all_arenas.hblkhd);
#else
    return 0;
#endif
}

static void print_value(struct buffer *into, enum kind kind, int64_t value)
{
    switch (kind)
    {
    case COUNTER:
    case GAUGE:
        buffer_add_int64(into, value);
        return;
    case COUNTER_US:
        metrics_print_seconds(into, value);
        return;
    case AGE:
        metrics_print_seconds(into, value > 0 ? monotonic_us() - value : 0);
        return;
    case HEAP:
        buffer_add_int64(into, heap_bytes());
        return;
    }
}

void metrics_print(struct buffer *into)
{
    for (int i = 0; i < METRIC__COUNT; i++)
    {
        metrics_print_head(into, table[i].name, is_counter(table[i].kind) ? "counter" : "gauge", table[i].help);
        buffer_add_text(into, table[i].name);
        buffer_add_text(into, " ");
        print_value(into, table[i].kind, metrics_get((enum metric)i));
        buffer_add_text(into, "\n");
    }
    print_commands(into);
    print_dead_letters(into);
    print_latency(into);
}
