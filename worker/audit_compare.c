#include "worker/audit_compare.h"

#include <stdlib.h>

#include "workflows/document.h"

enum
{
    SLOTS_MIN = 1024, /* power of two; doubled at three quarters */
};

struct seen
{
    struct id event_id; /* both halves 0: a free slot */
    uint64_t bytes;     /* a hash of the event */
    uint32_t count;
    bool answered;
};

struct last_version
{
    uint64_t aggregate; /* a hash of its key; 0: a free slot */
    int64_t version;
};

struct audit_compare
{
    struct seen *seen;
    size_t seen_slots, seen_count;
    struct last_version *versions;
    size_t version_slots, version_count;
    int64_t oldest_us; /* of the events */
    struct arena arena;
    struct audit_compare_counts counts;
};

struct audit_compare *audit_compare_new(void)
{
    struct audit_compare *compare = calloc(1, sizeof(*compare));

    if (compare == NULL)
        return NULL;
    compare->seen = calloc(SLOTS_MIN, sizeof(*compare->seen));
    compare->versions = calloc(SLOTS_MIN, sizeof(*compare->versions));
    compare->seen_slots = compare->version_slots = SLOTS_MIN;
    compare->oldest_us = INT64_MAX;
    arena_init(&compare->arena);
    if (compare->seen && compare->versions)
        return compare;
    audit_compare_free(compare);
    return NULL;
}

void audit_compare_free(struct audit_compare *compare)
{
    if (compare == NULL)
        return;
    free(compare->seen);
    free(compare->versions);
    arena_done(&compare->arena);
    free(compare);
}

/* FNV-1a; never 0. */
static uint64_t hash_of(struct span text)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < text.size; i++)
        hash = (hash ^ (unsigned char)text.at[i]) * UINT64_C(1099511628211);
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

static struct last_version *find_version(struct last_version *slots, size_t count, uint64_t aggregate)
{
    size_t at = (size_t)aggregate & (count - 1);

    while (slots[at].aggregate && slots[at].aggregate != aggregate)
        at = (at + 1) & (count - 1);
    return &slots[at];
}

static bool grow_versions(struct audit_compare *compare)
{
    size_t slots = compare->version_slots * 2;
    struct last_version *grown = calloc(slots, sizeof(*grown));

    if (grown == NULL)
        return false;
    for (size_t i = 0; i < compare->version_slots; i++)
        if (compare->versions[i].aggregate)
            *find_version(grown, slots, compare->versions[i].aggregate) = compare->versions[i];
    free(compare->versions);
    compare->versions = grown;
    compare->version_slots = slots;
    return true;
}

/* Whether an applied event stands behind a later version of its aggregate. The topic's partition is the aggregate's, so
 * what comes later was published later. */
static bool is_reordered(struct audit_compare *compare, struct span event)
{
    struct document document;
    struct document_failure failure;

    arena_reset(&compare->arena, 1024 * 1024);
    if (!document_parse(&compare->arena, event, &document, &failure))
        return false;
    const struct node *subject = document_member(&document, &document.nodes[0], "subject");
    const struct node *data = document_member(&document, &document.nodes[0], "data");
    const struct node *version = data ? document_member(&document, data, "version") : NULL;
    const struct node *to = version && version->kind == NODE_OBJECT ? document_member(&document, version, "to") : NULL;
    if (subject == NULL || subject->kind != NODE_STRING || to == NULL || to->kind != NODE_INTEGER)
        return false;
    struct last_version *last = find_version(compare->versions, compare->version_slots, hash_of(subject->text));
    if (last->aggregate == 0)
    {
        last->aggregate = hash_of(subject->text);
        compare->version_count++;
    }
    bool behind = to->integer < last->version;
    if (!behind)
        last->version = to->integer;
    return behind;
}

bool audit_compare_event(struct audit_compare *compare, struct id event_id, struct span event, int64_t timestamp_us,
                         const char **ret_fault)
{
    *ret_fault = NULL;
    if ((compare->seen_count * 4 >= compare->seen_slots * 3 && !grow_seen(compare)) ||
        (compare->version_count * 4 >= compare->version_slots * 3 && !grow_versions(compare)))
        return false;
    compare->counts.events++;
    if (timestamp_us >= 0 && timestamp_us < compare->oldest_us)
        compare->oldest_us = timestamp_us;
    struct seen *seen = find_seen(compare->seen, compare->seen_slots, event_id);
    if (seen->count++ > 0)
    {
        compare->counts.doubles++;
        *ret_fault = "double";
        return true;
    }
    seen->event_id = event_id;
    seen->bytes = hash_of(event);
    compare->seen_count++;
    if (is_reordered(compare, event))
    {
        compare->counts.reordered++;
        *ret_fault = "reordered";
    }
    return true;
}

enum audit_fit audit_compare_row(struct audit_compare *compare, const struct audit_record *record, int64_t published,
                                 struct buffer *event)
{
    struct seen *seen = find_seen(compare->seen, compare->seen_slots, record->event_id);

    compare->counts.rows++;
    buffer_clear(event);
    audit_print_event(record, event);
    if (seen->count > 0)
    {
        seen->answered = true;
        if (seen->bytes == hash_of(buffer_span(event)))
            return AUDIT_FITS;
        compare->counts.mismatches++;
        return AUDIT_MISMATCH;
    }
    if (record->kafka_offset.value >= published)
        return AUDIT_NOT_YET;
    /* The topic's time stands in milliseconds. A topic with no record at all says nothing about age. */
    if (compare->oldest_us != INT64_MAX && record->changed_at.value < compare->oldest_us - 1000)
        return AUDIT_TOO_OLD;
    compare->counts.holes++;
    return AUDIT_HOLE;
}

struct audit_compare_counts audit_compare_counts(struct audit_compare *compare)
{
    compare->counts.unknown = 0;
    for (size_t i = 0; i < compare->seen_slots; i++)
        compare->counts.unknown += compare->seen[i].count > 0 && !compare->seen[i].answered;
    return compare->counts;
}
