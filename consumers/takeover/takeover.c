#include "consumers/takeover/takeover.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/partition/commit_mark.h"
#include "consumers/takeover/committed.h"
#include "consumers/takeover/published.h"
#include "consumers/takeover/restoring.h"
#include "consumers/takeover/search.h"
#include "consumers/takeover/topic_watch.h"
#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/settings/settings.h"

static const int64_t ANSWER_US = 1000000; /* of one question about committed offsets */
static const int64_t PART_US = 200000;    /* and of one about some of them, after it had no answer */
static const int64_t PARTS_US = 2000000;  /* all of those of one round */
static const int64_t SEARCH_US = 100000;  /* of a search, in one round: the others go on publishing in between */

struct takeover
{
    const struct settings *settings;
    struct committed *committed;
    struct partition_owner *owners;
    struct topic_watch watch;
    struct search *search; /* NULL: none is on */
    bool busy;             /* the next round goes on with something */
    unsigned rounds;
    char problem[640];
};

struct takeover *takeover_new(const struct settings *settings)
{
    struct takeover *takeover = calloc(1, sizeof(*takeover));

    if (takeover == NULL)
        return NULL;
    takeover->settings = takeover->watch.settings = settings;
    takeover->committed = committed_new(settings);
    takeover->owners = partition_owner_new(settings);
    if (takeover->committed && takeover->owners)
        return takeover;
    takeover_free(takeover);
    return NULL;
}

void takeover_free(struct takeover *takeover)
{
    if (takeover == NULL)
        return;
    search_free(takeover->search);
    topic_watch_done(&takeover->watch);
    committed_free(takeover->committed);
    partition_owner_free(takeover->owners);
    free(takeover);
}

const char *takeover_problem(const struct takeover *takeover)
{
    return takeover->problem;
}

bool takeover_is_busy(const struct takeover *takeover)
{
    return takeover->busy;
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

static void tell_problem(struct takeover *takeover, const struct owned_partition *owned, const char *why)
{
    snprintf(takeover->problem, sizeof(takeover->problem), "taking over %s/%d: %.320s", owned->topic,
             owned->partition.number, why);
}

/* --- taking (PROTOCOL O3) ---------------------------------------------------------------------------------------- */

static void take(struct takeover *takeover, struct owned_partition *owned, const rd_kafka_topic_partition_t *found)
{
    struct session_stop stop = { .flag = &owned->shared.revoked, .fd = -1 };
    struct commitment committed = {
        .offset = found->offset < 0 ? OFFSET_NONE : found->offset,
        .metadata = commit_mark_of(found),
        .is_lost = owned->forget_committed,
    };
    enum partition_owner_result result = partition_owner_take(takeover->owners, owned, &committed, &stop);

    if (result == PARTITION_OWNER_AGAIN)
        tell_problem(takeover, owned, partition_owner_problem(takeover->owners));
    owned->publisher.taken = result == PARTITION_OWNER_TAKEN && !FAULT_POINT_FAILS(AFTER_TAKEOVER);
}

static rd_kafka_topic_partition_list_t *list_of(struct owned_partition *const *owned_partitions, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);

    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, owned_partitions[i]->topic, owned_partitions[i]->partition.number);
    return list;
}

static void take_all(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count,
                     rd_kafka_topic_partition_list_t *offsets)
{
    for (int i = 0; i < count; i++)
    {
        struct owned_partition *owned = owned_partitions[i];
        if (owned_is_revoked(owned))
            break;
        if (FAULT_POINT_FAILS(IN_TAKEOVER))
            continue;
        const rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(offsets, owned->topic, owned->partition.number);
        if (found)
            take(takeover, owned, found);
    }
}

/* Kafka has no answer at all while one of the partitions is in a transaction that is still open: that of a worker that
 * died in it, which ends with its timeout, and the others have nothing to do with it: halves. (Measured: 18 s for all
 * of them.) */
static void take_part(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count,
                      int64_t wait_us, int64_t until_us)
{
    if (count == 0 || monotonic_us() > until_us || owned_is_revoked(owned_partitions[0]))
        return;
    rd_kafka_topic_partition_list_t *offsets = list_of(owned_partitions, count);
    bool known = read_committed(takeover, offsets, wait_us);
    if (known)
        take_all(takeover, owned_partitions, count, offsets);
    rd_kafka_topic_partition_list_destroy(offsets);
    if (known || count == 1)
        return;
    int half = count / 2;
    /* Either half first in turn: where one takes all the time of a round, the other has the next. */
    for (unsigned turn = 0; turn < 2; turn++)
        if ((takeover->rounds + turn) % 2 == 0)
            take_part(takeover, owned_partitions, half, PART_US, until_us);
        else
            take_part(takeover, owned_partitions + half, count - half, PART_US, until_us);
}

/* Takes those that are not taken in PostgreSQL yet. */
static void take_new(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count)
{
    struct owned_partition **new = calloc((size_t)count + 1, sizeof(struct owned_partition *));
    int left = 0;

    for (int i = 0; new &&i < count; i++)
        if (owned_partitions[i]->publisher.arrears == NULL && !owned_partitions[i]->publisher.taken)
            new[left++] = owned_partitions[i];
    if (new)
        topic_watch_learn(&takeover->watch, new, left, ANSWER_US);
    if (new)
        take_part(takeover, new, left, ANSWER_US, monotonic_us() + PARTS_US);
    free(new);
}

/* --- arrears (PROTOCOL R1) --------------------------------------------------------------------------------------- */

/* Forgets the findings: the partition is taken over again, under the next fence. */
static void give_up(struct takeover *takeover, struct owned_partition *owned, const char *why)
{
    tell_problem(takeover, owned, why);
    search_forget(takeover->search, owned);
    arrears_free(owned->publisher.arrears);
    owned->publisher.arrears = NULL;
}

/* The offset that is committed with what is published now: the one it begins at. */
static bool find_start(struct takeover *takeover, const struct owned_partition *owned, int64_t *ret_offset)
{
    *ret_offset = owned->start_offset;
    if (owned->start_offset != OFFSET_NONE || !takeover->settings->kafka.exactly_once)
        return true;
    return committed_read_first(takeover->committed, owned->topic, owned->partition.number, ANSWER_US, ret_offset);
}

static bool restore(struct takeover *takeover, const struct takeover_means *means, struct owned_partition *owned,
                    const struct session_stop *stop)
{
    struct restoring restoring = {
        .settings = takeover->settings,
        .owners = takeover->owners,
        .producer = means->producer,
        .group = takeover->settings->kafka.exactly_once ? means->group : NULL,
    };

    if (owned->publisher.arrears->missing == 0)
        return true;
    if (takeover->settings->kafka.exactly_once && means->group == NULL)
    {
        give_up(takeover, owned, "the group's generation is not known");
        return false;
    }
    if (!find_start(takeover, owned, &restoring.offset))
    {
        give_up(takeover, owned, committed_problem(takeover->committed));
        return false;
    }
    if (!restoring_run(&restoring, owned, stop))
    {
        give_up(takeover, owned, restoring.problem);
        return false;
    }
    return true;
}

/* A portion is known: what it lacks is published; then the next one, or the owned partition begins. */
static void settle(struct takeover *takeover, const struct takeover_means *means, struct owned_partition *owned)
{
    struct session_stop stop = { .flag = &owned->shared.revoked, .fd = -1 };
    struct arrears *arrears = owned->publisher.arrears;

    if (!restore(takeover, means, owned, &stop))
        return;
    search_forget(takeover->search, owned);
    if (arrears->count > 0)
        arrears->published = arrears->rows[arrears->count - 1].offset + 1;
    arrears->count = arrears->missing = 0;
    arrears->state = ARREARS_UNREAD;
    bool good = arrears->last
                    ? published_begin_at(takeover->owners, owned, arrears->published, owned->start_offset, &stop)
                    : published_pass(takeover->owners, owned, arrears->published, &stop);
    if (!good)
        give_up(takeover, owned, partition_owner_problem(takeover->owners));
    else if (arrears->last)
    {
        arrears_free(owned->publisher.arrears);
        owned->publisher.arrears = NULL;
        owned->publisher.taken = !FAULT_POINT_FAILS(AFTER_TAKEOVER);
    }
}

/* One portion: reads it if it is unread, and settles it if it is known. */
static void go_on(struct takeover *takeover, const struct takeover_means *means, struct owned_partition *owned)
{
    struct session_stop stop = { .flag = &owned->shared.revoked, .fd = -1 };

    if (owned->publisher.arrears->state == ARREARS_UNREAD && !arrears_read(takeover->owners, owned, &stop))
        give_up(takeover, owned, partition_owner_problem(takeover->owners));
    else if (owned->publisher.arrears->state == ARREARS_KNOWN)
        settle(takeover, means, owned);
}

static void begin_search(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count)
{
    struct owned_partition **wanted = calloc((size_t)count + 1, sizeof(struct owned_partition *));
    int found = 0;

    for (int i = 0; wanted && i < count; i++)
        if (owned_partitions[i]->publisher.arrears &&
            owned_partitions[i]->publisher.arrears->state == ARREARS_LOOKED_UP)
            wanted[found++] = owned_partitions[i];
    takeover->search = found > 0 ? search_new(takeover->settings, wanted, found) : NULL;
    if (takeover->search)
        search_describe(takeover->search, takeover->problem, sizeof(takeover->problem));
    else if (wanted == NULL || found > 0)
        snprintf(takeover->problem, sizeof(takeover->problem), "out of memory");
    free(wanted);
}

static void step_search(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count)
{
    struct buffer fault = BUFFER_EMPTY;
    enum search_state state = search_step(takeover->search, monotonic_us() + SEARCH_US, &fault);

    search_describe(takeover->search, takeover->problem, sizeof(takeover->problem));
    if (state != SEARCH_MORE)
    {
        search_free(takeover->search);
        takeover->search = NULL;
    }
    buffer_add_byte(&fault, '\0');
    for (int i = 0; i < count && state == SEARCH_FAILED; i++)
        if (owned_partitions[i]->publisher.arrears &&
            owned_partitions[i]->publisher.arrears->state == ARREARS_LOOKED_UP)
            give_up(takeover, owned_partitions[i], buffer_failed(&fault) ? "out of memory" : fault.at);
    buffer_done(&fault);
}

/* --- a round ----------------------------------------------------------------------------------------------------- */

/* Moves the taken ones to the end, in order. */
static int put_taken_last(struct owned_partition **owned_partitions, int count)
{
    int left = 0;

    for (int i = 0; i < count; i++)
        if (!owned_partitions[i]->publisher.taken)
        {
            struct owned_partition *owned = owned_partitions[i];
            owned_partitions[i] = owned_partitions[left];
            owned_partitions[left++] = owned;
        }
    return left;
}

int takeover_round(struct takeover *takeover, const struct takeover_means *means,
                   struct owned_partition **owned_partitions, int count)
{
    takeover->rounds++;
    take_new(takeover, owned_partitions, count);
    if (takeover->search)
        step_search(takeover, owned_partitions, count);
    for (int i = 0; i < count; i++)
        if (owned_partitions[i]->publisher.arrears && !owned_is_revoked(owned_partitions[i]))
            go_on(takeover, means, owned_partitions[i]);
    if (takeover->search == NULL)
        begin_search(takeover, owned_partitions, count);
    takeover->busy = false;
    for (int i = 0; i < count; i++)
        takeover->busy = takeover->busy || owned_partitions[i]->publisher.arrears != NULL;
    return put_taken_last(owned_partitions, count);
}

void takeover_give_back(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count,
                        int64_t wait_us)
{
    partition_owner_give_back(takeover->owners, owned_partitions, count, wait_us);
}

void takeover_raise_published(struct takeover *takeover, const struct takeover_means *means,
                              struct owned_partition *const *owned_partitions, int count, int64_t wait_us)
{
    static const struct audit_positions unknown = { NULL, 0 };
    bool exact = takeover->settings->kafka.exactly_once;

    /* At-least-once, the events are ahead of the offsets: a look-up must not begin after them. */
    published_raise(takeover->owners, owned_partitions, count, exact ? producer_positions(means->producer) : &unknown,
                    wait_us);
}

void takeover_watch_topics(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count)
{
    topic_watch_step(&takeover->watch, owned_partitions, count, monotonic_us());
}
