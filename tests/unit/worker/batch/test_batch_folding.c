#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/engine.h"
#include "workflows/job/job.h"

/* PROTOCOL B3: a batch of one and a batch of a thousand leave identical rows and events, times apart. */

enum
{
    STREAM = 600,
    TICKETS = 7,
    TABLES = 9,
};

/* --- the stream -------------------------------------------------------------------------------------------------- */

/* Ids are named, never drawn: which drawn ids go unused depends on what was drawn together. */
struct said
{
    char id[16], type[32], more[64], key[32], data[512];
};

#define say(field, ...) snprintf((field), sizeof(field), __VA_ARGS__)

static void say_ticket(unsigned *seed, int n, struct said *said)
{
    static const char *const statuses[] = { "NEW", "OPEN", "ONHOLD", "RESOLVED", "CLOSED", "CANCELLED", "NOWHERE" };
    static const char *const priorities[] = { "LOW", "HIGH", "CRITICAL" };
    int arrival = 1000 + rand_r(seed) % TICKETS, other = 1000 + rand_r(seed) % TICKETS;

    say(said->key, "ticket/%d", arrival);
    switch (rand_r(seed) % 8)
    {
    case 0:
        say(said->type, "ticket.create");
        say(said->data, "{\"ticket_id\":%d,\"priority\":\"%s\"%s}", arrival, priorities[n % 3],
            n % 2 ? ",\"category\":\"c\",\"site_id\":1,\"client_id\":2" : "");
        break;
    case 1:
        say(said->type, "ticket.transition");
        say(said->data, "{\"ticket_id\":%d,\"status\":\"%s\"}", arrival, statuses[rand_r(seed) % 7]);
        break;
    case 2:
        say(said->type, "ticket.assign");
        say(said->data, "{\"ticket_id\":%d,\"assigned_person_id\":%d}", arrival, rand_r(seed) % 4);
        break;
    case 3:
        say(said->type, "ticket.append_history");
        say(said->data, "{\"ticket_id\":%d,\"entry\":{\"action\":\"note\",\"details\":{\"n\":%d}}}", arrival, n);
        break;
    case 4:
        say(said->type, "ticket.bulk_update");
        say(said->data, "{\"ticket_ids\":[%d,%d],\"priority\":\"%s\"}", arrival, other, priorities[rand_r(seed) % 3]);
        break;
    default:
        say(said->type, "ticket.escalate");
        say(said->data, "{\"ticket_id\":%d%s}", arrival, n % 5 ? "" : ",\"level\":2");
        if (n % 7 == 0)
            say(said->more, "\"expectedversion\":%d,", rand_r(seed) % 6);
        if (n % 11 == 0)
            say(said->more, "\"subject\":\"ticket/1\","); /* refused, though its data name a ticket */
        break;
    }
}

static void say_job(unsigned *seed, int n, struct said *said)
{
    static const char *const statuses[] = { "INPROGRESS", "COMPLETED", "AUTOCLOSED", "ASSIGNED" };
    int job = 10 * (1 + rand_r(seed) % 3), child = job + 1 + rand_r(seed) % 2;

    say(said->key, "jobneed/%d", job);
    switch (rand_r(seed) % 5)
    {
    case 0:
        say(said->type, "job.create");
        say(said->data,
            "{\"jobneed_id\":%d,\"identifier\":\"INTERNALTOUR\",\"type\":\"SCHEDULE\",\"starts_at\":"
            "\"2026-11-24T08:00:00Z\",\"checkpoints\":[{\"jobneed_id\":%d,\"asset_id\":1,\"question_set_id\":1,"
            "\"seq\":1},{\"jobneed_id\":%d,\"asset_id\":2,\"question_set_id\":1,\"seq\":2}]%s}",
            job, job + 1, job + 2, n % 2 ? ",\"other_info\":{\"a\":1}" : "");
        break;
    case 1:
        say(said->type, "job.transition");
        say(said->data, "{\"jobneed_id\":%d,\"status\":\"%s\"}", job, statuses[rand_r(seed) % 4]);
        break;
    case 2:
        say(said->type, "job.update_checkpoint");
        say(said->data, "{\"jobneed_id\":%d,\"parent_id\":%d,\"status\":\"%s\"}", child, job,
            statuses[rand_r(seed) % 4]);
        break;
    case 3:
        say(said->type, "job.autoclose");
        say(said->data, "{\"jobneed_id\":%d,\"notify\":%s}", job, n % 2 ? "\"AUTOCLOSENOTIFY\"" : "null");
        break;
    default:
        say(said->type, "json.merge");
        say(said->data, "{\"aggregate\":\"jobneed/%d\",\"field\":\"other_info\",\"value\":{\"k%d\":%d}}", job, n % 4,
            n);
        break;
    }
}

static struct delivery *make_command(unsigned *seed, int n, int what)
{
    struct said said = { .more = "" };

    say(said.id, "s-%d", n);
    if (what < 13)
        say_ticket(seed, n, &said);
    else if (what < 19)
        say_job(seed, n, &said);
    else
    {
        say(said.type, "face.record_verification");
        say(said.key, "face-model/5");
        say(said.data, "{\"verification_id\":%d,\"model_id\":5,\"user_id\":3,\"result\":\"SUCCESS\"}", n + 1);
    }
    return engine_command(said.key, said.id, said.type, said.more, said.data);
}

static void make_stream(struct delivery **stream)
{
    unsigned seed = 20261124;

    for (int n = 0; n < STREAM; n++)
    {
        int what = rand_r(&seed) % 20, earlier = rand_r(&seed) % (n + 1);
        char id[16];
        say(id, "s-%d", earlier);
        if (what == 0 || n == 0)
            stream[n] = engine_message(0, "k", n % 2 ? "not json" : "{\"specversion\":\"1.0\"}");
        else if (what == 1)
            stream[n] = engine_duplicate(stream[earlier < n ? earlier : 0]);
        else if (what == 2) /* a used id, mostly with another body */
            stream[n] = engine_command("ticket/1000", id, "ticket.escalate", "", "{\"ticket_id\":1000,\"level\":77}");
        else
            stream[n] = make_command(&seed, n, what);
    }
}

/* --- what is compared -------------------------------------------------------------------------------------------- */

static const char *const tables[TABLES] = {
    "SELECT to_jsonb(t) - '{created_at,modified_at}'::text[] AS r FROM interlock.ticket t",
    "SELECT to_jsonb(t) - 'occurred_at' AS r FROM interlock.ticket_history t",
    "SELECT to_jsonb(t) - '{created_at,modified_at}'::text[] AS r FROM interlock.jobneed t",
    "SELECT to_jsonb(t) - 'last_used' AS r FROM interlock.face_model t",
    "SELECT to_jsonb(t) - 'verified_at' AS r FROM interlock.face_verification_log t",
    "SELECT to_jsonb(t) - 'recorded_at' AS r FROM interlock.inbox t",
    "SELECT to_jsonb(t) - '{changed_at,lock_wait_us,transaction_us}'::text[] AS r FROM interlock.audit_event t",
    "SELECT to_jsonb(t) - 'changed_at' AS r FROM interlock.audit_also t",
    "SELECT to_jsonb(t) - 'first_failed_at' AS r FROM interlock.dead_letter t",
};

struct outcome_of_run
{
    char tables[TABLES][33];
    char *events[STREAM];
};

/* Puts a member's value out of the way: everything from behind `name` up to `end`. */
static void blank(char *event, const char *name, const char *end)
{
    char *at = strstr(event, name);
    if (at)
        for (at += strlen(name); *at && !strchr(end, *at); at++)
            *at = '_';
}

static char *event_of(const struct delivery *delivery)
{
    char *text = calloc(1, delivery->event_size + 64);
    assert_non_null(text);
    if (delivery->answer != ANSWER_EVENT)
    {
        snprintf(text, 64, "%s", engine_outcome(delivery));
        return text;
    }
    memcpy(text, delivery->event, delivery->event_size);
    blank(text, "\"time\":\"", "\"");
    /* Their lengths differ too, so what follows is moved up. */
    for (int i = 0; i < 2; i++)
    {
        char *from = strstr(text, i ? "\"transaction_us\":" : "\"lock_wait_us\":");
        char *to = strchr(from, ',');
        memmove(from, to, strlen(to) + 1);
    }
    return text;
}

static void run_stream(int batch_max, struct outcome_of_run *ret)
{
    static struct delivery *stream[STREAM];

    engine_restart();
    engine_ask("INSERT INTO interlock.face_model (id) VALUES (5)");
    engine_ask("INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level, assigned_person_id) "
               "VALUES (1, 'c', 2, 1, 50), (1, 'c', 2, 3, 51)");
    make_stream(stream);
    for (int i = 0; i < STREAM; i += batch_max)
        engine_run(stream + i, STREAM - i < batch_max ? STREAM - i : batch_max);
    for (int i = 0; i < STREAM; i++)
        ret->events[i] = event_of(stream[i]);
    for (int t = 0; t < TABLES; t++)
        snprintf(ret->tables[t], sizeof(ret->tables[t]), "%s",
                 engine_ask("SELECT md5(coalesce(string_agg(r::text, chr(10) ORDER BY r::text), '')) FROM (%s) x",
                            tables[t]));
}

static void free_outcome(struct outcome_of_run *outcome)
{
    for (int i = 0; i < STREAM; i++)
        free(outcome->events[i]);
}

static void the_size_of_the_batches_changes_neither_rows_nor_events(void **state)
{
    static const int sizes[] = { 1000, 13, 100 };
    static struct outcome_of_run one, many;
    (void)state;
    run_stream(1, &one);
    /* The stream is worth comparing: it has some of everything. */
    assert_sql("t", "SELECT count(*) > 100 FROM interlock.audit_event WHERE outcome = 'applied'");
    assert_sql("t", "SELECT count(DISTINCT reason) > 5 FROM interlock.audit_event");
    assert_sql("t", "SELECT count(*) > 5 FROM interlock.audit_also");
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
    {
        run_stream(sizes[s], &many);
        for (int i = 0; i < STREAM; i++)
            assert_string_equal(many.events[i], one.events[i]);
        for (int t = 0; t < TABLES; t++)
            if (strcmp(many.tables[t], one.tables[t]) != 0)
                fail_msg("batches of %d: other rows in %s", sizes[s], tables[t]);
        free_outcome(&many);
    }
    free_outcome(&one);
}

/* Applied versions of one aggregate are gapless over subjects and also (PROTOCOL B7, B9). */
static void versions_have_no_gaps(void **state)
{
    static struct outcome_of_run outcome;
    (void)state;
    run_stream(1000, &outcome);
    free_outcome(&outcome);
    assert_sql(
        "0", "SELECT count(*) FROM (SELECT aggregate, version_from, lag(version_to, 1, 0::bigint) OVER "
             "(PARTITION BY aggregate ORDER BY version_to) AS before FROM (SELECT aggregate, version_from, version_to "
             "FROM interlock.audit_event WHERE outcome = 'applied' AND version_from < version_to UNION ALL SELECT "
             "aggregate, version_from, version_to FROM interlock.audit_also) v) w WHERE version_from <> before");
    assert_sql("0", "SELECT count(*) FROM interlock.ticket t WHERE version <> (SELECT max(version_to) FROM (SELECT "
                    "aggregate, version_to FROM interlock.audit_event UNION ALL SELECT aggregate, version_to FROM "
                    "interlock.audit_also) v WHERE aggregate = 'ticket/' || t.id)");
}

/* --- rows that come and go in one batch -------------------------------------------------------------------------- */

static void want_tour(const struct command *command, struct rows *rows)
{
    rows_want_children(rows, &entity_jobneed, command->aggregate.id);
}

static void decide_add(const struct command *command, struct rows *rows, struct decision *decision)
{
    struct jobneed_row *root = rows_edit(rows, &entity_jobneed, command->aggregate.id);
    struct jobneed_row *child = rows_insert_child(rows, &entity_jobneed, id_of(15), command->aggregate.id);
    struct span nothing = root->other_info;
    if (child)
    {
        child->status = JOBNEED_ASSIGNED;
        child->identifier = root->identifier;
        child->type = root->type;
        child->starts_at = root->starts_at;
        child->seq = child->grace_minutes = child->attachment_count = int_of(0);
        child->other_info = nothing;
    }
    decision_apply(decision);
}

static void decide_remove(const struct command *command, struct rows *rows, struct decision *decision)
{
    rows_edit(rows, &entity_jobneed, command->aggregate.id);
    rows_delete(rows, &entity_jobneed, id_of(15));
    decision_apply(decision);
}

static const struct workflow add_child = {
    .type = "test.add", .operation = OPERATION_CREATION, .needs = want_tour, .decide = decide_add
};
static const struct workflow remove_child = {
    .type = "test.remove", .operation = OPERATION_DELETION, .needs = want_tour, .decide = decide_remove
};

static struct delivery *tour_command(const char *id, const struct workflow *workflow)
{
    return engine_command_of("jobneed/10", id, workflow, jobneed_aggregate(10));
}

static void a_child_that_goes_is_no_aggregate_of_its_own(void **state)
{
    (void)state;
    engine_run_one(engine_command("jobneed/10", "j-1", "job.create", "",
                                  "{\"jobneed_id\":10,\"identifier\":\"TASK\",\"type\":\"ADHOC\",\"starts_at\":"
                                  "\"2026-11-24T08:00:00Z\"}"));
    /* Added and removed within a batch cancels; removed and added is an update. */
    struct delivery *given[] = { tour_command("a-1", &add_child), tour_command("r-1", &remove_child) };
    engine_run(given, 2);
    assert_sql("1", "SELECT count(*) FROM interlock.jobneed");
    engine_run_one(tour_command("a-2", &add_child));
    assert_sql("10", "SELECT parent_id FROM interlock.jobneed WHERE id = 15");
    struct delivery *back[] = { tour_command("r-2", &remove_child), tour_command("a-3", &add_child) };
    engine_run(back, 2);
    assert_sql("10", "SELECT parent_id FROM interlock.jobneed WHERE id = 15");
    struct delivery *gone = tour_command("r-3", &remove_child);
    engine_run_one(gone);
    assert_sql("1", "SELECT count(*) FROM interlock.jobneed");
    assert_string_equal(engine_event(gone, "data.also"), "[]");
    assert_string_equal(engine_event(gone, "data.version"), "{\"from\":6,\"to\":7}");
    assert_sql("0", "SELECT count(*) FROM interlock.audit_also");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(the_size_of_the_batches_changes_neither_rows_nor_events),
        ENGINE_TEST(versions_have_no_gaps),
        ENGINE_TEST(a_child_that_goes_is_no_aggregate_of_its_own),
    };
    if (!engine_has_postgresql())
        return 0;
    return cmocka_run_group_tests(tests, engine_group_set_up, engine_group_tear_down);
}
