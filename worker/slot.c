#include "worker/slot.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/hash.h"
#include "worker/postgres/session.h"
#include "worker/schema_version.h"
#include "worker/settings/settings.h"

static const int64_t RETRY_US = 500000;   /* between two attempts to get a session */
static const int64_t PROBE_US = 5000000;  /* a silent session is asked this often: a cut wire says nothing by itself */
static const int64_t ANSWER_US = 5000000; /* and has this long to answer */

struct slot
{
    const struct settings *settings;
    struct session *session;
    uint64_t key_base; /* of the advisory locks: slot n is key_base + n */
    int64_t next_try_us;
    int64_t next_probe_us;
    int64_t answer_by_us;     /* of the probe that is out; 0: no probe is out */
    struct session_stop stop; /* of waits for answers */
    char problem[320];
    /* Writer: the owner loop. Readers: publishers, before they build a producer or begin a transaction; poll threads.
     */
    atomic_bool held;
    atomic_int number;
};

struct slot *slot_new(const struct settings *settings)
{
    struct slot *slot = calloc(1, sizeof(*slot));
    if (slot == NULL)
        return NULL;
    slot->settings = settings;
    slot->session = session_new(settings, "interlock slot");
    if (slot->session == NULL)
    {
        free(slot);
        return NULL;
    }
    char name[512];
    snprintf(name, sizeof(name), "interlock/slot/%s", settings->kafka.group);
    /* The low bits are the slot's number. */
    slot->key_base = hash_add(HASH_START, span_of(name)) & ~(uint64_t)(SLOTS_MAX - 1);
    slot->stop = (struct session_stop){ .flag = NULL, .fd = -1 };
    atomic_init(&slot->number, -1);
    return slot;
}

void slot_free(struct slot *slot)
{
    if (slot == NULL)
        return;
    session_free(slot->session);
    free(slot);
}

bool slot_is_held(const struct slot *slot)
{
    return atomic_load_explicit(&slot->held, memory_order_acquire);
}

int slot_number(const struct slot *slot)
{
    return atomic_load_explicit(&slot->number, memory_order_acquire);
}

const char *slot_problem(const struct slot *slot)
{
    return slot->problem;
}

const char *slot_where(const struct slot *slot)
{
    return session_where(slot->session);
}

static enum slot_event wait_for(struct slot *slot, const char *what)
{
    snprintf(slot->problem, sizeof(slot->problem), "%s", what);
    session_close(slot->session);
    return SLOT_WAITING;
}

/* PROTOCOL O2: the first group that starts on a schema owns it. */
static enum slot_event check_group(struct slot *slot)
{
    static const char claim[] = "WITH claimed AS (INSERT INTO interlock.consumer_group (group_id) VALUES ($1) "
                                "ON CONFLICT DO NOTHING RETURNING group_id) "
                                "SELECT group_id FROM claimed UNION ALL SELECT group_id FROM interlock.consumer_group";
    const char *values[1] = { slot->settings->kafka.group };
    const char *sqlstate = "";
    PGresult *result = session_run(slot->session, claim, 1, values, ANSWER_US, &slot->stop);
    enum slot_event event = SLOT_TAKEN;

    if (result == NULL)
        return wait_for(slot, session_problem(slot->session));
    if (session_is_refused(slot->session, result, &sqlstate))
    {
        bool no_schema = strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0;
        event = wait_for(slot, no_schema ? "the tables are missing: run `interlock migrate up`"
                                         : session_problem(slot->session));
    }
    else if (PQntuples(result) == 0)
        /* Somebody else's row was committed between the two snapshots: it is seen at the next try. */
        event = wait_for(slot, "the consumer group's row is being written");
    else if (strcmp(PQgetvalue(result, 0, 0), values[0]) != 0)
    {
        snprintf(slot->problem, sizeof(slot->problem),
                 "the schema interlock of this database belongs to consumer group '%s', kafka.group is '%s': one group "
                 "per schema",
                 PQgetvalue(result, 0, 0), values[0]);
        session_close(slot->session);
        event = SLOT_REFUSED;
    }
    PQclear(result);
    return event;
}

/* A program that is deployed before its migration waits for it: what it needs would be missing one by one. */
static enum slot_event check_schema(struct slot *slot)
{
    static const char sql[] = "SELECT coalesce(max(number), 0) FROM interlock.schema_migration";
    PGresult *result = session_run(slot->session, sql, 0, NULL, ANSWER_US, &slot->stop);
    const char *sqlstate = "";
    enum slot_event event = SLOT_TAKEN;
    char problem[160];

    if (result == NULL || session_is_refused(slot->session, result, &sqlstate))
        event = wait_for(slot, session_problem(slot->session));
    else if (atoi(PQgetvalue(result, 0, 0)) < schema_newest)
    {
        snprintf(problem, sizeof(problem),
                 "the schema is that of migration %s, this program needs %d: run `interlock migrate up`",
                 PQgetvalue(result, 0, 0), schema_newest);
        event = wait_for(slot, problem);
    }
    PQclear(result);
    return event;
}

/* Tries to lock slot `number`: 1 locked, 0 somebody else's, -1 the session is gone. */
static int try_number(struct slot *slot, int number)
{
    char key[32];
    const char *values[1] = { key };

    snprintf(key, sizeof(key), "%lld", (long long)(int64_t)(slot->key_base + (uint64_t)number));
    PGresult *result =
        session_run(slot->session, "SELECT pg_try_advisory_lock($1::bigint)", 1, values, ANSWER_US, &slot->stop);
    int locked = -1;
    if (result && !session_is_refused(slot->session, result, NULL))
        locked = PQgetvalue(result, 0, 0)[0] == 't';
    PQclear(result);
    return locked;
}

static enum slot_event take_number(struct slot *slot)
{
    int own = slot_number(slot);
    int locked = own < 0 ? 0 : try_number(slot, own);
    int number = own;

    for (int n = 0; locked == 0 && n < SLOTS_MAX; n++)
    {
        locked = try_number(slot, n);
        number = n;
    }
    if (locked < 0)
        return wait_for(slot, session_problem(slot->session));
    if (locked == 0)
        return wait_for(slot, "all slots of the consumer group are taken");
    atomic_store_explicit(&slot->number, number, memory_order_release);
    atomic_store_explicit(&slot->held, true, memory_order_release);
    slot->problem[0] = '\0';
    slot->next_probe_us = monotonic_us() + PROBE_US;
    return SLOT_TAKEN;
}

static enum slot_event open_slot(struct slot *slot, int wake_fd)
{
    slot->stop.fd = wake_fd;
    slot->next_try_us = monotonic_us() + RETRY_US;
    slot->answer_by_us = 0;
    if (!session_connect(slot->session, &slot->stop))
    {
        wait_for(slot, session_problem(slot->session));
        /* At the start somebody has to set it right first; later it may be one of several servers. */
        return session_is_unfit(slot->session) && slot_number(slot) < 0 ? SLOT_REFUSED : SLOT_WAITING;
    }
    enum slot_event event = check_group(slot);
    if (event == SLOT_TAKEN)
        event = check_schema(slot);
    return event == SLOT_TAKEN ? take_number(slot) : event;
}

static enum slot_event lose_slot(struct slot *slot, const char *why)
{
    atomic_store_explicit(&slot->held, false, memory_order_release);
    snprintf(slot->problem, sizeof(slot->problem), "%s", why);
    session_close(slot->session);
    slot->next_try_us = 0;
    return SLOT_LOST;
}

void slot_hurry(struct slot *slot, int64_t deadline_us)
{
    slot->stop.deadline_us = deadline_us;
}

static void pause_until(int64_t deadline_us, int socket, int wake_fd)
{
    int64_t left_us = deadline_us - monotonic_us();
    struct pollfd waited[2] = { { .fd = socket, .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };
    (void)poll(waited, 2, left_us > 0 ? (int)(left_us / 1000) + 1 : 0);
}

/* Never waits: signals are looked at while a silent server is given its time. */
static bool probe(struct slot *slot, const char **reterr)
{
    int64_t now_us = monotonic_us();
    PGresult *result = NULL;

    *reterr = session_problem(slot->session);
    if (slot->answer_by_us == 0)
    {
        if (now_us < slot->next_probe_us)
            return true;
        slot->next_probe_us = now_us + PROBE_US;
        slot->answer_by_us = now_us + ANSWER_US;
        return session_send(slot->session, "SELECT 1", 0, NULL);
    }
    enum session_answer answer = session_collect(slot->session, &result);
    bool alive = answer == SESSION_ANSWERED && result && !session_is_refused(slot->session, result, NULL);
    PQclear(result);
    if (answer == SESSION_BUSY)
    {
        *reterr = "no answer within the time allowed";
        return now_us < slot->answer_by_us;
    }
    slot->answer_by_us = 0;
    return alive;
}

enum slot_event slot_keep(struct slot *slot, int wake_fd, int64_t wait_us)
{
    int64_t deadline_us = monotonic_us() + wait_us;

    if (!session_is_open(slot->session))
    {
        if (slot->next_try_us > monotonic_us())
        {
            pause_until(slot->next_try_us < deadline_us ? slot->next_try_us : deadline_us, -1, wake_fd);
            return SLOT_SAME;
        }
        return open_slot(slot, wake_fd);
    }
    assert(slot_is_held(slot));
    pause_until(deadline_us, session_socket(slot->session), wake_fd);
    if (!session_listen(slot->session))
        return lose_slot(slot, session_problem(slot->session));
    const char *why = NULL;
    return probe(slot, &why) ? SLOT_SAME : lose_slot(slot, why);
}
