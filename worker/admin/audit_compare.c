#include "worker/admin/audit_compare.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/hash.h"

enum
{
    SLOTS_MIN = 1024, /* power of two; doubled at three quarters */
};

struct seen
{
    struct id event_id; /* both halves 0: a free slot */
    uint64_t bytes;     /* a hash of the event */
    int64_t offset;     /* where it lies; where it lies first, if twice */
    int32_t partition;
    uint32_t count;
    bool answered;
};

/* Of the commands of one aggregate that came through one partition, the event of the last one judged. */
struct last_event
{
    uint64_t stream; /* a hash of the two; 0: a free slot */
    int64_t offset, fence;
    int32_t partition;
};

struct audit_compare
{
    struct seen *seen;
    size_t seen_slots, seen_count;
    struct last_event *last;
    size_t last_slots, last_count;
    int64_t since_us; /* earlier events may be gone */
    uint32_t pass, passes;
    struct audit_compare_counts counts;
};

struct audit_compare *audit_compare_new(void)
{
    struct audit_compare *compare = calloc(1, sizeof(*compare));

    if (compare == NULL)
        return NULL;
    compare->seen = calloc(SLOTS_MIN, sizeof(*compare->seen));
    compare->last = calloc(SLOTS_MIN, sizeof(*compare->last));
    compare->seen_slots = compare->last_slots = SLOTS_MIN;
    compare->passes = 1;
    if (compare->seen && compare->last)
        return compare;
    audit_compare_free(compare);
    return NULL;
}

void audit_compare_free(struct audit_compare *compare)
{
    if (compare == NULL)
        return;
    free(compare->seen);
    free(compare->last);
    free(compare);
}

/* Never 0. */
static uint64_t hash_of(struct span text)
{
    uint64_t hash = hash_add(HASH_START, text);

    return hash ? hash : 1;
}

static struct seen *find_seen(struct seen *slots, size_t count, struct id event_id)
{
    size_t at = (size_t)event_id.high & (count - 1);

    while ((slots[at].event_id.high | slots[at].event_id.low) && !id_equal(slots[at].event_id, event_id))
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static bool grow_seen(struct audit_compare *compare)
{
    size_t slots = compare->seen_slots * 2;
    struct seen *grown = calloc(slots, sizeof(*grown));

    if (grown == NULL)
        return false;
    for (size_t i = 0; i < compare->seen_slots; i++)
        if (compare->seen[i].event_id.high | compare->seen[i].event_id.low)
            *find_seen(grown, slots, compare->seen[i].event_id) = compare->seen[i];
    free(compare->seen);
    compare->seen = grown;
    compare->seen_slots = slots;
    return true;
}

static struct last_event *find_last(struct last_event *slots, size_t count, uint64_t stream)
{
    size_t at = (size_t)stream & (count - 1);

    while (slots[at].stream && slots[at].stream != stream)
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static bool grow_last(struct audit_compare *compare)
{
    size_t slots = compare->last_slots * 2;
    struct last_event *grown = calloc(slots, sizeof(*grown));

    if (grown == NULL)
        return false;
    for (size_t i = 0; i < compare->last_slots; i++)
        if (compare->last[i].stream)
            *find_last(grown, slots, compare->last[i].stream) = compare->last[i];
    free(compare->last);
    compare->last = grown;
    compare->last_slots = slots;
    return true;
}

static uint64_t stream_of(const struct audit_record *record)
{
    uint64_t stream = hash_of(record->aggregate) ^ ((uint64_t)record->partition_id.value << 32);

    return stream ? stream : 1;
}

/* Events of one partition are published in the order of its commands, by any publisher. Between partitions
 * nothing is promised, and a recreated topic begins with offset 0 again, under a higher fence. */
static bool is_reordered(struct audit_compare *compare, const struct audit_record *record, const struct seen *seen)
{
    struct last_event *last = find_last(compare->last, compare->last_slots, stream_of(record));
    struct last_event before = *last;

    compare->last_count += before.stream == 0;
    *last = (struct last_event){ stream_of(record), seen->offset, record->fence.value, seen->partition };
    return before.stream && before.partition == seen->partition && before.offset > seen->offset &&
           before.fence <= record->fence.value;
}

void audit_compare_since(struct audit_compare *compare, int64_t since_us)
{
    compare->since_us = since_us;
}

bool audit_compare_event(struct audit_compare *compare, struct id event_id, struct span event, int32_t partition,
                         int64_t offset, bool *ret_double)
{
    if (compare->seen_count * 4 >= compare->seen_slots * 3 && !grow_seen(compare))
        return false;
    compare->counts.events++;
    struct seen *seen = find_seen(compare->seen, compare->seen_slots, event_id);
    *ret_double = seen->count++ > 0;
    if (*ret_double)
    {
        compare->counts.doubles++;
        return true;
    }
    seen->event_id = event_id;
    seen->bytes = hash_of(event);
    seen->partition = partition;
    seen->offset = offset;
    compare->seen_count++;
    return true;
}

static enum audit_fit judge_missing(struct audit_compare *compare, const struct audit_record *record, int64_t published)
{
    if (record->kafka_offset.value >= published)
        return AUDIT_NOT_YET;
    /* An event is published after its change. The topic's time stands in milliseconds. */
    if (record->changed_at.value < compare->since_us - 1000)
        return AUDIT_TOO_OLD;
    compare->counts.holes++;
    return AUDIT_HOLE;
}

bool audit_compare_row(struct audit_compare *compare, const struct audit_record *record, int64_t published,
                       struct buffer *event, enum audit_fit *ret_fit)
{
    if (compare->last_count * 4 >= compare->last_slots * 3 && !grow_last(compare))
        return false;
    struct seen *seen = find_seen(compare->seen, compare->seen_slots, record->event_id);
    compare->counts.rows++;
    buffer_clear(event);
    audit_print_event(record, event);
    if (seen->count == 0)
    {
        *ret_fit = judge_missing(compare, record, published);
        return true;
    }
    seen->answered = true;
    bool behind = record->aggregate.at && is_reordered(compare, record, seen);
    bool same = seen->bytes == hash_of(buffer_span(event));
    compare->counts.reordered += behind;
    compare->counts.mismatches += !same;
    *ret_fit = !same ? AUDIT_MISMATCH : behind ? AUDIT_REORDERED : AUDIT_FITS;
    return true;
}

void audit_compare_end(struct audit_compare *compare)
{
    for (size_t i = 0; i < compare->seen_slots; i++)
        compare->counts.unknown += compare->seen[i].count > 0 && !compare->seen[i].answered;
}

struct audit_compare_counts audit_compare_counts(const struct audit_compare *compare)
{
    return compare->counts;
}

/* --- passes ------------------------------------------------------------------------------------------------------ */

void audit_compare_begin(struct audit_compare *compare, uint32_t number, uint32_t of)
{
    assert(number < of);
    if (number == 0)
        memset(&compare->counts, 0, sizeof(compare->counts));
    memset(compare->seen, 0, compare->seen_slots * sizeof(*compare->seen));
    memset(compare->last, 0, compare->last_slots * sizeof(*compare->last));
    compare->seen_count = compare->last_count = 0;
    compare->pass = number;
    compare->passes = of;
}

bool audit_compare_takes(const struct audit_compare *compare, struct span key)
{
    return compare->passes == 1 || (hash_of(key) >> 32) % compare->passes == compare->pass;
}

size_t audit_compare_size(const struct audit_compare *compare)
{
    return compare->seen_count;
}
