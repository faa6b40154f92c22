#include "consumers/takeover/takeover.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/partition/commit_mark.h"
#include "consumers/takeover/committed.h"
#include "consumers/takeover/published.h"
#include "consumers/takeover/restoring.h"
#include "consumers/takeover/search.h"
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
    struct ownership_books *books;
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
    takeover->settings = settings;
    takeover->committed = committed_new(settings);
    takeover->books = ownership_new(settings);
    if (takeover->committed && takeover->books)
        return takeover;
    takeover_free(takeover);
    return NULL;
}

void takeover_free(struct takeover *takeover)
{
    if (takeover == NULL)
        return;
    search_free(takeover->search);
    committed_free(takeover->committed);
    ownership_free(takeover->books);
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

static void tell_problem(struct takeover *takeover, const struct tenure *tenure, const char *why)
{
    snprintf(takeover->problem, sizeof(takeover->problem), "taking over %s/%d: %.320s", tenure->topic,
             tenure->ownership.partition, why);
}

/* --- taking (PROTOCOL O3) --------------------------------------------------------------------------------------- */

static void take(struct takeover *takeover, struct tenure *tenure, const rd_kafka_topic_partition_t *found)
{
    struct session_stop stop = { .flag = &tenure->revoked, .fd = -1 };
    struct commitment committed = {
        .offset = found->offset < 0 ? OFFSET_NONE : found->offset,
        .metadata = commit_mark_of(found),
        .is_lost = tenure->forget_committed,
    };
    enum ownership_result result = ownership_take(takeover->books, tenure, &committed, &stop);

    if (result == OWNERSHIP_AGAIN)
        tell_problem(takeover, tenure, ownership_problem(takeover->books));
    tenure->taken = result == OWNERSHIP_TAKEN && !FAULT_POINT_FAILS(AFTER_TAKEOVER);
}

static rd_kafka_topic_partition_list_t *list_of(struct tenure *const *tenures, int count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);

    for (int i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, tenures[i]->topic, tenures[i]->ownership.partition);
    return list;
}

static void take_all(struct takeover *takeover, struct tenure *const *tenures, int count,
                     rd_kafka_topic_partition_list_t *offsets)
{
    for (int i = 0; i < count; i++)
    {
        struct tenure *tenure = tenures[i];
        if (tenure_is_revoked(tenure))
            break;
        if (FAULT_POINT_FAILS(IN_TAKEOVER))
            continue;
        const rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(offsets, tenure->topic, tenure->ownership.partition);
        if (found)
            take(takeover, tenure, found);
    }
}

/* Kafka has no answer at all while one of the partitions is in a transaction that is still open: that of a worker that
 * died in it, which ends with its timeout, and the others have nothing to do with it: halves. (Measured: 18 s for all
 * of them.) */
static void take_part(struct takeover *takeover, struct tenure *const *tenures, int count, int64_t wait_us,
                      int64_t until_us)
{
    if (count == 0 || monotonic_us() > until_us || tenure_is_revoked(tenures[0]))
        return;
    rd_kafka_topic_partition_list_t *offsets = list_of(tenures, count);
    bool known = read_committed(takeover, offsets, wait_us);
    if (known)
        take_all(takeover, tenures, count, offsets);
    rd_kafka_topic_partition_list_destroy(offsets);
    if (known || count == 1)
        return;
    int half = count / 2;
    /* Either half first in turn: where one takes all the time of a round, the other has the next. */
    for (unsigned turn = 0; turn < 2; turn++)
        if ((takeover->rounds + turn) % 2 == 0)
            take_part(takeover, tenures, half, PART_US, until_us);
        else
            take_part(takeover, tenures + half, count - half, PART_US, until_us);
}

struct learners
{
    struct tenure *const *tenures;
    int count;
};

static void learn_topic_id(void *owner, const char *topic, const char *id)
{
    const struct learners *learners = owner;

    for (int i = 0; i < learners->count; i++)
        if (strcmp(learners->tenures[i]->topic, topic) == 0)
        {
            snprintf(learners->tenures[i]->topic_id, TOPIC_ID_SIZE, "%s", id);
            learners->tenures[i]->topic_told_us = monotonic_us();
        }
}

/* Before the committed offsets are read: a topic that is created again in between is noticed later, by its id. Without
 * an answer the partitions are taken all the same. */
static void learn_topic_ids(struct takeover *takeover, struct tenure *const *tenures, int count)
{
    struct learners learners = { tenures, count };

    if (count > 0 && takeover->settings->protections.topic_ids)
        committed_read_topic_ids(takeover->committed, ANSWER_US, learn_topic_id, &learners);
}

/* Those that are not taken in PostgreSQL yet. */
static void take_new(struct takeover *takeover, struct tenure *const *tenures, int count)
{
    struct tenure **new = calloc((size_t)count + 1, sizeof(struct tenure *));
    int left = 0;

    for (int i = 0; new &&i < count; i++)
        if (tenures[i]->arrears == NULL && !tenures[i]->taken)
            new[left++] = tenures[i];
    if (new)
        learn_topic_ids(takeover, new, left);
    if (new)
        take_part(takeover, new, left, ANSWER_US, monotonic_us() + PARTS_US);
    free(new);
}

/* --- arrears (PROTOCOL R1) -------------------------------------------------------------------------------------- */

/* What was found out counts no more: it is taken over again, under the next fence. */
static void give_up(struct takeover *takeover, struct tenure *tenure, const char *why)
{
    tell_problem(takeover, tenure, why);
    search_forget(takeover->search, tenure);
    arrears_free(tenure->arrears);
    tenure->arrears = NULL;
}

/* The offset that is committed with what is published now: the one it begins at. */
static bool find_start(struct takeover *takeover, const struct tenure *tenure, int64_t *ret_offset)
{
    *ret_offset = tenure->start_offset;
    if (tenure->start_offset != OFFSET_NONE || !takeover->settings->kafka.exactly_once)
        return true;
    return committed_read_first(takeover->committed, tenure->topic, tenure->ownership.partition, ANSWER_US, ret_offset);
}

static bool restore(struct takeover *takeover, const struct takeover_means *means, struct tenure *tenure,
                    const struct session_stop *stop)
{
    struct restoring restoring = {
        .settings = takeover->settings,
        .books = takeover->books,
        .producer = means->producer,
        .group = takeover->settings->kafka.exactly_once ? means->group : NULL,
    };

    if (tenure->arrears->missing == 0)
        return true;
    if (takeover->settings->kafka.exactly_once && means->group == NULL)
        return give_up(takeover, tenure, "the group's generation is not known"), false;
    if (!find_start(takeover, tenure, &restoring.offset))
        return give_up(takeover, tenure, committed_problem(takeover->committed)), false;
    if (!restoring_run(&restoring, tenure, stop))
        return give_up(takeover, tenure, restoring.problem), false;
    return true;
}

/* A portion is known: what it lacks is published; then the next one, or the tenure begins. */
static void settle(struct takeover *takeover, const struct takeover_means *means, struct tenure *tenure)
{
    struct session_stop stop = { .flag = &tenure->revoked, .fd = -1 };
    struct arrears *arrears = tenure->arrears;

    if (!restore(takeover, means, tenure, &stop))
        return;
    search_forget(takeover->search, tenure);
    if (arrears->count > 0)
        arrears->published = arrears->rows[arrears->count - 1].offset + 1;
    arrears->count = arrears->missing = 0;
    arrears->state = ARREARS_UNREAD;
    bool good = arrears->last
                    ? published_begin_at(takeover->books, tenure, arrears->published, tenure->start_offset, &stop)
                    : published_pass(takeover->books, tenure, arrears->published, &stop);
    if (!good)
        give_up(takeover, tenure, ownership_problem(takeover->books));
    else if (arrears->last)
    {
        arrears_free(tenure->arrears);
        tenure->arrears = NULL;
        tenure->taken = !FAULT_POINT_FAILS(AFTER_TAKEOVER);
    }
}

/* One portion: reads it if it is unread, and settles it if it is known. */
static void go_on(struct takeover *takeover, const struct takeover_means *means, struct tenure *tenure)
{
    struct session_stop stop = { .flag = &tenure->revoked, .fd = -1 };

    if (tenure->arrears->state == ARREARS_UNREAD && !arrears_read(takeover->books, tenure, &stop))
        give_up(takeover, tenure, ownership_problem(takeover->books));
    else if (tenure->arrears->state == ARREARS_KNOWN)
        settle(takeover, means, tenure);
}

static void begin_search(struct takeover *takeover, struct tenure *const *tenures, int count)
{
    struct tenure **wanted = calloc((size_t)count + 1, sizeof(struct tenure *));
    int found = 0;

    for (int i = 0; wanted && i < count; i++)
        if (tenures[i]->arrears && tenures[i]->arrears->state == ARREARS_LOOKED_UP)
            wanted[found++] = tenures[i];
    takeover->search = found > 0 ? search_new(takeover->settings, wanted, found) : NULL;
    if (takeover->search)
        search_describe(takeover->search, takeover->problem, sizeof(takeover->problem));
    else if (wanted == NULL || found > 0)
        snprintf(takeover->problem, sizeof(takeover->problem), "out of memory");
    free(wanted);
}

static void step_search(struct takeover *takeover, struct tenure *const *tenures, int count)
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
        if (tenures[i]->arrears && tenures[i]->arrears->state == ARREARS_LOOKED_UP)
            give_up(takeover, tenures[i], buffer_failed(&fault) ? "out of memory" : fault.at);
    buffer_done(&fault);
}

/* --- a round ---------------------------------------------------------------------------------------------------- */

/* Those taken go behind the others, in order. */
static int put_taken_last(struct tenure **tenures, int count)
{
    int left = 0;

    for (int i = 0; i < count; i++)
        if (!tenures[i]->taken)
        {
            struct tenure *tenure = tenures[i];
            tenures[i] = tenures[left];
            tenures[left++] = tenure;
        }
    return left;
}

int takeover_round(struct takeover *takeover, const struct takeover_means *means, struct tenure **tenures, int count)
{
    takeover->rounds++;
    take_new(takeover, tenures, count);
    if (takeover->search)
        step_search(takeover, tenures, count);
    for (int i = 0; i < count; i++)
        if (tenures[i]->arrears && !tenure_is_revoked(tenures[i]))
            go_on(takeover, means, tenures[i]);
    if (takeover->search == NULL)
        begin_search(takeover, tenures, count);
    takeover->busy = false;
    for (int i = 0; i < count; i++)
        takeover->busy = takeover->busy || tenures[i]->arrears != NULL;
    return put_taken_last(tenures, count);
}

void takeover_give_back(struct takeover *takeover, struct tenure *const *tenures, int count, int64_t wait_us)
{
    ownership_give_back(takeover->books, tenures, count, wait_us);
}

void takeover_raise_published(struct takeover *takeover, const struct takeover_means *means,
                              struct tenure *const *tenures, int count, int64_t wait_us)
{
    static const struct audit_positions unknown = { NULL, 0 };
    bool exact = takeover->settings->kafka.exactly_once;

    /* At-least-once, the events are ahead of the offsets: a look-up must not begin behind them. */
    published_raise(takeover->books, tenures, count, exact ? producer_positions(means->producer) : &unknown, wait_us);
}
