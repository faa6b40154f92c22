#include "consumers/takeover/search.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/takeover/topic_scan.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/settings/settings.h"
#include "workflows/describe/dead_letter_headers.h"
#include "workflows/parameters/parameters.h"

static const int64_t MARGIN_US = 600 * INT64_C(1000000); /* clocks of PostgreSQL and Kafka differ by less than this */

struct sought
{
    struct owned_partition *owned;
    bool forgotten; /* its rows may be gone */
};

struct slot
{
    struct sought *sought; /* NULL: free */
    struct recorded *row;
};

struct search
{
    const struct settings *settings;
    struct sought *sought; /* each holds a reference on its owned partition */
    int count;
    struct slot *slots; /* by event id, or by position: a hash table */
    size_t slot_count;  /* a power of two */
    struct topic_scan *scan;
    char topic[300];                  /* of the scan */
    int next;                         /* 0: the audit topic; else the dead letters of owned partition number next - 1 */
    struct owned_partition *looks_in; /* whose topic's dead letters they are; NULL: events */
    bool news;                        /* an owned partition became known within this step */
};

/* --- what is looked for ------------------------------------------------------------------------------------------ */

static size_t hash_of(struct id event_id, int64_t offset)
{
    uint64_t mixed = event_id.high ^ event_id.low;

    if (mixed == 0)
        mixed = (uint64_t)offset;
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return (size_t)(mixed ^ mixed >> 31);
}

static bool fill_slots(struct search *search)
{
    size_t wanted = 16;

    for (int t = 0; t < search->count; t++)
        wanted += 2 * (size_t)search->sought[t].owned->publisher.arrears->count;
    for (search->slot_count = 16; search->slot_count < wanted;)
        search->slot_count *= 2;
    search->slots = calloc(search->slot_count, sizeof(*search->slots));
    if (search->slots == NULL)
        return false;
    for (int t = 0; t < search->count; t++)
        for (int i = 0; i < search->sought[t].owned->publisher.arrears->count; i++)
        {
            struct recorded *row = &search->sought[t].owned->publisher.arrears->rows[i];
            size_t at = hash_of(row->event_id, row->offset) & (search->slot_count - 1);
            while (search->slots[at].sought)
                at = (at + 1) & (search->slot_count - 1);
            search->slots[at] = (struct slot){ &search->sought[t], row };
        }
    return true;
}

struct search *search_new(const struct settings *settings, struct owned_partition *const *owned_partitions, int count)
{
    struct search *search = calloc(1, sizeof(*search));

    if (search == NULL)
        return NULL;
    search->settings = settings;
    search->sought = calloc((size_t)count + 1, sizeof(*search->sought));
    for (int i = 0; search->sought && i < count; i++)
        search->sought[search->count++].owned = owned_retain(owned_partitions[i], 1);
    if (search->sought && fill_slots(search))
        return search;
    search_free(search);
    return NULL;
}

void search_free(struct search *search)
{
    if (search == NULL)
        return;
    topic_scan_close(search->scan);
    for (int i = 0; i < search->count; i++)
        owned_release(search->sought[i].owned, 1);
    free(search->sought);
    free(search->slots);
    free(search);
}

void search_forget(struct search *search, const struct owned_partition *owned)
{
    for (int i = 0; search && i < search->count; i++)
        if (search->sought[i].owned == owned)
            search->sought[i].forgotten = true;
}

/* --- what is found ----------------------------------------------------------------------------------------------- */

/* A known portion is handed over at once: the step ends. */
static void note_found(struct search *search, const struct slot *slot)
{
    struct arrears *arrears = slot->sought->owned->publisher.arrears;

    if (!slot->row->found)
    {
        slot->row->found = true;
        if (--arrears->missing == 0 && arrears->state == ARREARS_LOOKED_UP)
        {
            arrears->state = ARREARS_KNOWN;
            search->news = true;
        }
    }
}

static bool see_event(void *owner, const struct scanned_message *scanned)
{
    struct search *search = owner;
    struct id id;

    if (!topic_scan_event_id(scanned, &id))
        return true;
    /* One whose commit was lost in a failover has the id of what was recorded in its place, and must not pass for its
     * event. */
    for (size_t at = hash_of(id, 0) & (search->slot_count - 1); search->slots[at].sought;
         at = (at + 1) & (search->slot_count - 1))
        if (!search->slots[at].sought->forgotten && id_equal(search->slots[at].row->event_id, id) &&
            topic_scan_is_of(scanned, search->slots[at].row->recorded_at_us))
            note_found(search, &search->slots[at]);
    return !search->news;
}

static bool see_dead_letter(void *owner, const struct scanned_message *scanned)
{
    struct search *search = owner;
    int64_t partition, offset, failed_us;

    assert(search->looks_in->topic);
    /* Its time, too: of another group that reads the same topic, or of a commit that was lost in a failover, there may
     * be one with the same position. */
    if (!span_is(topic_scan_header(scanned, DEAD_LETTER_TOPIC), search->looks_in->topic) ||
        !topic_scan_header_number(scanned, DEAD_LETTER_PARTITION, &partition) ||
        !topic_scan_header_number(scanned, DEAD_LETTER_OFFSET, &offset) ||
        !parameters_parse_time(topic_scan_header(scanned, DEAD_LETTER_FIRST_FAILED_AT), &failed_us))
        return true;
    for (size_t at = hash_of((struct id){ 0, 0 }, offset) & (search->slot_count - 1); search->slots[at].sought;
         at = (at + 1) & (search->slot_count - 1))
    {
        const struct slot *slot = &search->slots[at];
        if (!slot->sought->forgotten && !recorded_is_event(slot->row) && slot->row->offset == offset &&
            slot->row->recorded_at_us == failed_us && slot->sought->owned->partition.number == partition &&
            strcmp(slot->sought->owned->topic, search->looks_in->topic) == 0)
            note_found(search, slot);
    }
    return !search->news;
}

/* --- one topic after another ------------------------------------------------------------------------------------- */

static bool is_wanted(const struct sought *sought, bool dead_letters)
{
    return !sought->forgotten && !owned_is_revoked(sought->owned) &&
           sought->owned->publisher.arrears->state == ARREARS_LOOKED_UP &&
           (!dead_letters || sought->owned->publisher.arrears->has_dead_letters);
}

/* The first record is not older than the first of what is looked for. */
static int64_t since_of(const struct search *search, bool dead_letters)
{
    int64_t since_us = INT64_MAX;

    for (int t = 0; t < search->count; t++)
        for (int i = 0;
             is_wanted(&search->sought[t], dead_letters) && i < search->sought[t].owned->publisher.arrears->count; i++)
        {
            const struct recorded *row = &search->sought[t].owned->publisher.arrears->rows[i];
            if (recorded_is_event(row) != dead_letters && row->recorded_at_us < since_us)
                since_us = row->recorded_at_us;
        }
    return since_us == INT64_MAX ? since_us : since_us - MARGIN_US;
}

/* Where all of them are known. In at-least-once mode the events are ahead of the offsets, and so of `published`. */
static void find_positions(const struct search *search, struct audit_positions *ret)
{
    bool first = true;

    for (int t = 0; t < search->count && search->settings->kafka.exactly_once; t++)
    {
        if (!is_wanted(&search->sought[t], false))
            continue;
        if (first)
            audit_positions_copy(ret, &search->sought[t].owned->publisher.arrears->from);
        else
            audit_positions_lower(ret, &search->sought[t].owned->publisher.arrears->from);
        first = false;
    }
}

/* Dead letters of one topic are looked for once. */
static bool is_first_of_topic(const struct search *search, int number)
{
    for (int t = 0; t < number; t++)
        if (is_wanted(&search->sought[t], true) &&
            strcmp(search->sought[t].owned->topic, search->sought[number].owned->topic) == 0)
            return false;
    return is_wanted(&search->sought[number], true);
}

static bool open_events(struct search *search, struct buffer *reterr)
{
    struct audit_positions from = AUDIT_POSITIONS_NONE;
    int64_t since_us = since_of(search, false);

    search->looks_in = NULL;
    if (since_us == INT64_MAX)
        return true;
    find_positions(search, &from);
    snprintf(search->topic, sizeof(search->topic), "%s", search->settings->kafka.audit_topic);
    metrics_add(METRIC_AUDIT_SEARCHES, 1);
    log_info("takeover: %s is searched for recorded events%s", search->topic,
             from.count > 0 ? "" : "; where they may begin is known by their time alone");
    search->scan = topic_scan_open(search->settings, search->topic, &from, since_us, reterr);
    audit_positions_done(&from);
    return search->scan != NULL;
}

static bool open_dead_letters(struct search *search, int number, struct buffer *reterr)
{
    search->looks_in = search->sought[number].owned;
    if (!is_first_of_topic(search, number))
        return true;
    snprintf(search->topic, sizeof(search->topic), "%s%s", search->looks_in->topic, search->settings->kafka.dlq_suffix);
    metrics_add(METRIC_AUDIT_SEARCHES, 1);
    search->scan = topic_scan_open(search->settings, search->topic, NULL, since_of(search, true), reterr);
    return search->scan != NULL;
}

static bool is_over(const struct search *search)
{
    for (int t = 0; t < search->count; t++)
        if (is_wanted(&search->sought[t], false))
            return false;
    return true;
}

/* Events that were not found are missing. */
static enum search_state end(struct search *search)
{
    for (int t = 0; t < search->count; t++)
        if (is_wanted(&search->sought[t], false))
            search->sought[t].owned->publisher.arrears->state = ARREARS_KNOWN;
    return SEARCH_END;
}

enum search_state search_step(struct search *search, int64_t until_us, struct buffer *reterr)
{
    search->news = false;
    for (;;)
    {
        if (is_over(search))
            return SEARCH_END;
        if (search->scan == NULL)
        {
            if (search->next > search->count)
                return end(search);
            int number = search->next++ - 1;
            if (!(number < 0 ? open_events(search, reterr) : open_dead_letters(search, number, reterr)))
                return SEARCH_FAILED;
            continue;
        }
        enum topic_scan_state state =
            topic_scan_step(search->scan, until_us, search->looks_in ? see_dead_letter : see_event, search, reterr);
        if (state != TOPIC_SCAN_END)
            return state == TOPIC_SCAN_MORE ? SEARCH_MORE : SEARCH_FAILED;
        topic_scan_close(search->scan);
        search->scan = NULL;
    }
}

void search_describe(const struct search *search, char *into, size_t size)
{
    snprintf(into, size, "%s is searched for recorded events%s", search->topic[0] ? search->topic : "the audit topic",
             search->scan && topic_scan_is_held_up(search->scan)
                 ? ": a transaction on it stays open, which hides what is behind it. If it outlasts its timeout: "
                   "kafka-transactions.sh find-hanging, then abort"
                 : "");
}
