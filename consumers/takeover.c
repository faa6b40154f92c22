#include "consumers/takeover.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/audit_scan.h"
#include "consumers/committed.h"
#include "consumers/ownership.h"
#include "worker/fault_point.h"
#include "worker/monotonic.h"
#include "worker/settings.h"
#include "workflows/parameters.h"

static const int64_t ANSWER_US = 1000000;            /* of one question about committed offsets */
static const int64_t PART_US = 200000;               /* and of one about some of them, after it had no answer */
static const int64_t PARTS_US = 2000000;             /* all of those of one round */
static const int64_t SCAN_MARGIN_US = 600 * 1000000; /* clocks of PostgreSQL and Kafka differ by less than this */

struct takeover
{
    const struct settings *settings;
    struct committed *committed;
    struct ownership_books *books;
    unsigned rounds;
    char problem[400];
};

/* --- which of the recorded events were published (PROTOCOL R1) -------------------------------------------------- */

struct published_search
{
    const struct tenure *tenure;
    const struct recorded_event *events; /* ascending by offset */
    int count;
    int64_t highest;
};

static void see_event(struct published_search *search, const struct audit_scanned *scanned)
{
    struct id id;

    if (!audit_scan_event_id(scanned, &id))
        return;
    /* Few events are looked for, and only those above the highest found so far matter. One whose commit was lost in a
     * failover has the id of what was recorded in its place, and must not pass for its event. */
    for (int i = search->count - 1; i >= 0 && search->events[i].offset > search->highest; i--)
        if (id_equal(search->events[i].event_id, id) && audit_scan_is_of(scanned, search->events[i].recorded_at_us))
            search->highest = search->events[i].offset;
}

static void see_dead_letter(struct published_search *search, const struct audit_scanned *scanned)
{
    int64_t partition, offset, failed_us;

    /* Its time, too: of another group that reads the same topic, or of a commit that was lost in a failover, there may
     * be one with the same position. */
    if (!span_is(audit_scan_header(scanned, "__dlq.errors.topic"), search->tenure->topic) ||
        !audit_scan_header_number(scanned, "__dlq.errors.partition", &partition) ||
        !audit_scan_header_number(scanned, "__dlq.errors.offset", &offset) ||
        !parameters_parse_time(audit_scan_header(scanned, "interlock.first-failed-at"), &failed_us) ||
        partition != search->tenure->ownership.partition)
        return;
    for (int i = search->count - 1; i >= 0 && search->events[i].offset > search->highest; i--)
        if (search->events[i].offset == offset && search->events[i].recorded_at_us == failed_us &&
            id_equal(search->events[i].event_id, (struct id){ 0, 0 }))
            search->highest = offset;
}

static bool on_event(void *owner, const struct audit_scanned *scanned)
{
    see_event(owner, scanned);
    return true;
}

static bool on_dead_letter(void *owner, const struct audit_scanned *scanned)
{
    see_dead_letter(owner, scanned);
    return true;
}

static bool find_published(void *owner, const struct tenure *tenure, const struct recorded_event *events, int count,
                           bool went_back, int64_t *ret_highest, struct buffer *reterr)
{
    struct takeover *takeover = owner;
    struct published_search search = { .tenure = tenure, .events = events, .count = count, .highest = -1 };
    int64_t since_us = INT64_MAX;
    bool has_dead_letters = false;
    char topic[300];

    for (int i = 0; i < count; i++)
    {
        since_us = events[i].recorded_at_us < since_us ? events[i].recorded_at_us : since_us;
        has_dead_letters = has_dead_letters || id_equal(events[i].event_id, (struct id){ 0, 0 });
    }
    since_us -= SCAN_MARGIN_US;
    const atomic_bool *stop = &tenure->revoked;
    bool read = audit_scan(takeover->settings, takeover->settings->kafka.audit_topic, since_us, went_back, stop,
                           on_event, &search, reterr);
    snprintf(topic, sizeof(topic), "%s%s", tenure->topic, takeover->settings->kafka.dlq_suffix);
    if (read && has_dead_letters)
        read = audit_scan(takeover->settings, topic, since_us, went_back, stop, on_dead_letter, &search, reterr);
    *ret_highest = search.highest;
    return read;
}

/* --- a round ---------------------------------------------------------------------------------------------------- */

struct takeover *takeover_new(const struct settings *settings)
{
    struct takeover *takeover = calloc(1, sizeof(*takeover));

    if (takeover == NULL)
        return NULL;
    takeover->settings = settings;
    takeover->committed = committed_new(settings);
    takeover->books = ownership_new(settings, find_published, takeover);
    if (takeover->committed && takeover->books)
        return takeover;
    takeover_free(takeover);
    return NULL;
}

void takeover_free(struct takeover *takeover)
{
    if (takeover == NULL)
        return;
    committed_free(takeover->committed);
    ownership_free(takeover->books);
    free(takeover);
}

const char *takeover_problem(const struct takeover *takeover)
{
    return takeover->problem;
}

static bool read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets, int64_t wait_us)
{
    if (committed_read(takeover->committed, offsets, wait_us))
        return true;
    snprintf(takeover->problem, sizeof(takeover->problem), "%s", committed_problem(takeover->committed));
    return false;
}

bool takeover_read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets)
{
    return read_committed(takeover, offsets, ANSWER_US);
}

static bool take(struct takeover *takeover, struct tenure *tenure, int64_t committed)
{
    struct session_stop stop = { .flag = &tenure->revoked, .fd = -1 };

    if (committed < 0 || tenure->forget_committed)
        committed = OFFSET_NONE;
    if (ownership_take(takeover->books, tenure, committed, &stop) != OWNERSHIP_TAKEN)
    {
        snprintf(takeover->problem, sizeof(takeover->problem), "taking over %s/%d: %s", tenure->topic,
                 tenure->ownership.partition, ownership_problem(takeover->books));
        return false;
    }
    tenure->start_offset = committed;
    return true;
}

static rd_kafka_topic_partition_list_t *list_of(struct tenure *const *tenures, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);

    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, tenures[i]->topic, tenures[i]->ownership.partition);
    return list;
}

/* How many are left in front. */
static int take_all(struct takeover *takeover, struct tenure **tenures, int count,
                    rd_kafka_topic_partition_list_t *offsets)
{
    int left = count;

    for (int i = count - 1; i >= 0; i--)
    {
        struct tenure *tenure = tenures[i];
        if (tenure_is_revoked(tenure))
            break;
        if (FAULT_POINT_FAILS(IN_TAKEOVER))
            continue;
        const rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(offsets, tenure->topic, tenure->ownership.partition);
        if (found == NULL || !take(takeover, tenure, found->offset) || FAULT_POINT_FAILS(AFTER_TAKEOVER))
            continue;
        left--;
        tenures[i] = tenures[left];
        tenures[left] = tenure;
    }
    return left;
}

static int take_part(struct takeover *takeover, struct tenure **tenures, int count, int64_t wait_us, int64_t until_us);

/* Kafka has no answer at all while one of the partitions is in a transaction that is still open: that of a worker that
 * died in it, which ends with its timeout, and the others have nothing to do with it. (Measured: 18 s for all of them.)
 */
static int take_halves(struct takeover *takeover, struct tenure **tenures, int count, int64_t until_us)
{
    int half = count / 2, left = 0, right = 0;

    /* Either half first in turn: where one takes all the time of a round, the other has the next. */
    for (unsigned turn = 0; turn < 2; turn++)
        if ((takeover->rounds + turn) % 2 == 0)
            left = take_part(takeover, tenures, half, PART_US, until_us);
        else
            right = take_part(takeover, tenures + half, count - half, PART_US, until_us);

    /* What is left of the second half changes places with what was taken of the first. */
    for (int i = 0; i < right; i++)
    {
        struct tenure *tenure = tenures[left + i];
        tenures[left + i] = tenures[half + i];
        tenures[half + i] = tenure;
    }
    return left + right;
}

static int take_part(struct takeover *takeover, struct tenure **tenures, int count, int64_t wait_us, int64_t until_us)
{
    if (count == 0 || monotonic_us() > until_us || tenure_is_revoked(tenures[0]))
        return count;
    rd_kafka_topic_partition_list_t *offsets = list_of(tenures, count);
    bool known = read_committed(takeover, offsets, wait_us);
    int left = known ? take_all(takeover, tenures, count, offsets) : count;
    rd_kafka_topic_partition_list_destroy(offsets);
    return known || count == 1 ? left : take_halves(takeover, tenures, count, until_us);
}

int takeover_round(struct takeover *takeover, struct tenure **tenures, int count)
{
    takeover->rounds++;
    return take_part(takeover, tenures, count, ANSWER_US, monotonic_us() + PARTS_US);
}

void takeover_give_back(struct takeover *takeover, struct tenure *const *tenures, int count, int64_t wait_us)
{
    ownership_give_back(takeover->books, tenures, count, wait_us);
}

bool takeover_raise_published(struct takeover *takeover, struct tenure *const *tenures, int count, int64_t wait_us)
{
    bool told = true;

    ownership_raise(takeover->books, tenures, count, wait_us);
    for (int i = 0; i < count; i++)
        told = told && (!tenures[i]->live || tenures[i]->published_known >= tenures[i]->published_reached);
    return told;
}
