#include "tests/fixtures/core.h"

#include <stdio.h>
#include <string.h>

#include "workflows/document/text.h"

static const char *const status_words[] = { "ASSIGNED",  "INPROGRESS", "PARTIALLYCOMPLETED",
                                            "COMPLETED", "AUTOCLOSED", "MAINTENANCE",
                                            "STANDBY",   "WORKING" };

/* DOMAIN.md, written out a second time by hand: the rows from, the columns to, in the order of the words. */
static const char allowed[8][9] = {
    /* ASSIGNED           */ "=+--+---",
    /* INPROGRESS         */ "-=+++---",
    /* PARTIALLYCOMPLETED */ "--=++---",
    /* COMPLETED          */ "---=----",
    /* AUTOCLOSED         */ "----=---",
    /* MAINTENANCE        */ "-----=++",
    /* STANDBY            */ "-----+=+",
    /* WORKING            */ "---+-+-=",
};

static const struct ticket_row *ticket_of(const struct core *core, int64_t jobneed_id, int *ret_count)
{
    const struct table *table = &core->tables[PLACE_TICKET];
    const struct ticket_row *found = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < table->count; i++)
    {
        const struct ticket_row *ticket = table->rows[i];
        if (!ticket->jobneed_id.set || ticket->jobneed_id.value != jobneed_id)
            continue;
        found = ticket;
        ++*ret_count;
    }
    return found;
}

static void every_pair_of_statuses_passes_or_is_refused_as_the_domain_says(void **state)
{
    struct core *core = *state;
    char data[128];
    for (int from = 0; from < 8; from++)
        for (int to = 0; to < 8; to++)
        {
            core_put_jobneed(core, 1, 0, from + 1, IDENTIFIER_TASK);
            snprintf(data, sizeof(data), "{\"jobneed_id\":1,\"status\":\"%s\",\"remarks\":\"r\"}", status_words[to]);
            struct answer answer = core_run(core, "job.transition", data);
            const struct jobneed_row *jobneed = core_jobneed(core, 1);
            bool applies = allowed[from][to] == '+';
            assert_int_equal(jobneed->status, (applies ? to : from) + 1);
            assert_int_equal(jobneed->version.value, applies ? 2 : 1);
            assert_text(jobneed->remarks, applies ? "r" : NULL);
            if (applies)
                assert_applied(answer);
            else if (allowed[from][to] == '=')
                assert_unchanged(answer);
            else
                assert_refused(answer, REASON_INVALID_TRANSITION);
        }
    for (int to = 1; to <= 8; to++)
        assert_int_equal(transition_check(&machine_jobneed, NAME_UNKNOWN, to), TRANSITION_REFUSED);
}

static void every_pair_holds_for_checkpoints_too(void **state)
{
    struct core *core = *state;
    char data[128];
    for (int from = 0; from < 8; from++)
        for (int to = 0; to < 8; to++)
        {
            core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
            core_put_jobneed(core, 2, 1, from + 1, IDENTIFIER_INTERNALTOUR);
            snprintf(data, sizeof(data), "{\"jobneed_id\":2,\"parent_id\":1,\"status\":\"%s\"}", status_words[to]);
            struct answer answer = core_run(core, "job.update_checkpoint", data);
            bool applies = allowed[from][to] == '+';
            assert_int_equal(core_jobneed(core, 2)->status, (applies ? to : from) + 1);
            assert_int_equal(core_jobneed(core, 1)->version.value, applies ? 2 : 1);
            assert_int_equal(answer.outcome, applies                    ? OUTCOME_APPLIED
                                             : allowed[from][to] == '=' ? OUTCOME_UNCHANGED
                                                                        : OUTCOME_REJECTED);
        }
}

static void a_checkpoint_is_not_a_root_for_any_command(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_INPROGRESS, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(core, 2, 1, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    struct answer answer = core_run(core, "job.transition", "{\"jobneed_id\":2,\"status\":\"INPROGRESS\"}");
    assert_refused(answer, REASON_INVALID_DATA);
    assert_non_null(strstr(answer.metadata, "job.update_checkpoint"));
    assert_non_null(strstr(answer.metadata, "\"parent_id\":1"));
    assert_refused(core_run(core, "job.autoclose", "{\"jobneed_id\":2}"), REASON_INVALID_DATA);
    assert_refused(core_run(core, "job.autoclose_checkpoints", "{\"jobneed_id\":2}"), REASON_INVALID_DATA);
    assert_refused(core_run(core, "job.create",
                            "{\"parent_id\":2,\"identifier\":\"TASK\",\"type\":\"ADHOC\","
                            "\"starts_at\":\"2026-11-24T09:00:00Z\"}"),
                   REASON_INVALID_DATA);
    assert_refused(core_run(core, "job.update_checkpoint", "{\"jobneed_id\":1,\"parent_id\":2,\"seq\":1}"),
                   REASON_INVALID_DATA);
    assert_int_equal(core_jobneed(core, 2)->status, JOBNEED_ASSIGNED);
}

static void a_missing_aggregate_is_not_found(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_put_jobneed(core, 3, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_put_jobneed(core, 4, 3, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    assert_refused(core_run(core, "job.transition", "{\"jobneed_id\":9,\"status\":\"INPROGRESS\"}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "job.autoclose", "{\"jobneed_id\":9}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "job.autoclose_checkpoints", "{\"jobneed_id\":9}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "job.update_checkpoint", "{\"jobneed_id\":4,\"parent_id\":9,\"seq\":1}"),
                   REASON_NOT_FOUND);
    /* a checkpoint of another parent, a root, and none at all */
    static const char *const others[] = { "{\"jobneed_id\":4,\"parent_id\":1,\"seq\":1}",
                                          "{\"jobneed_id\":3,\"parent_id\":1,\"seq\":1}",
                                          "{\"jobneed_id\":9,\"parent_id\":1,\"seq\":1}",
                                          "{\"jobneed_id\":1,\"parent_id\":1,\"seq\":1}" };
    for (size_t i = 0; i < 4; i++)
        assert_refused(core_run(core, "job.update_checkpoint", others[i]), REASON_NOT_FOUND);
}

/* --- create ------------------------------------------------------------------------------------------------------ */

static void a_jobneed_is_created_assigned_with_its_checkpoints(void **state)
{
    struct core *core = *state;
    core_put(core, &entity_job, &(struct job_row){ .id = int_of(5), .other_info = SPAN_LITERAL("{}") });
    struct answer answer =
        core_run(core, "job.create",
                 "{\"jobneed_id\":70,\"job_id\":5,\"identifier\":\"INTERNALTOUR\",\"type\":\"SCHEDULE\","
                 "\"starts_at\":\"2026-11-24T09:00:00Z\",\"expires_at\":\"2026-11-24T10:00:00+00:00\","
                 "\"grace_minutes\":5,\"assigned_person_id\":1,\"assigned_group_id\":8,\"site_id\":3,\"client_id\":4,"
                 "\"checkpoints\":[{\"jobneed_id\":71,\"asset_id\":1,\"question_set_id\":2,\"seq\":1},"
                 "{\"asset_id\":1,\"question_set_id\":3,\"seq\":2}],\"other_info\":{\"a\":1}}");
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"checkpoint_ids\":[71,1000000]}");
    assert_int_equal(answer.aggregate.id.low, 70);
    assert_int_equal(answer.further, 0);
    const struct jobneed_row *root = core_jobneed(core, 70);
    assert_int_equal(root->status, JOBNEED_ASSIGNED);
    assert_int_equal(root->version.value, 1);
    assert_int_equal(root->grace_minutes.value, 5);
    assert_false(root->assigned_person_id.set);
    assert_int_equal(root->assigned_group_id.value, 8);
    assert_int_equal(root->expires_at.value - root->starts_at.value, INT64_C(3600000000));
    assert_text(root->other_info, "{\"a\":1}");
    const struct jobneed_row *child = core_jobneed(core, 1000000);
    assert_int_equal(child->parent_id.value, 70);
    assert_int_equal(child->status, JOBNEED_ASSIGNED);
    assert_int_equal(child->identifier, IDENTIFIER_INTERNALTOUR);
    assert_int_equal(child->starts_at.value, root->starts_at.value);
    assert_int_equal(child->question_set_id.value, 3);
    assert_int_equal(child->seq.value, 2);
    assert_text(child->other_info, "{}");
}

#define CREATE "\"identifier\":\"TASK\",\"type\":\"ADHOC\",\"starts_at\":\"2026-11-24T09:00:00Z\""

static void a_jobneed_with_a_parent_becomes_its_checkpoint_and_raises_its_version(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_INPROGRESS, IDENTIFIER_TASK);
    struct answer answer = core_run(core, "job.create", "{\"parent_id\":1," CREATE "}");
    assert_applied(answer);
    assert_int_equal(answer.aggregate.id.low, 1);
    assert_int_equal(answer.version_to, 2);
    assert_string_equal(answer.metadata, "{\"jobneed_id\":1000000}");
    assert_int_equal(core_jobneed(core, 1000000)->parent_id.value, 1);
    assert_refused(core_run(core, "job.create", "{\"parent_id\":2," CREATE "}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "job.create", "{\"parent_id\":1,\"jobneed_id\":1," CREATE "}"),
                   REASON_ALREADY_EXISTS);
}

static void ids_in_use_and_twin_checkpoints_are_refused_whole(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    static const char *const data[] = {
        "{\"jobneed_id\":1," CREATE "}",
        "{" CREATE ",\"checkpoints\":[{\"jobneed_id\":1,\"asset_id\":1,\"question_set_id\":1,\"seq\":1}]}",
        "{\"jobneed_id\":2," CREATE
        ",\"checkpoints\":[{\"jobneed_id\":2,\"asset_id\":1,\"question_set_id\":1,\"seq\":1}]}",
        "{" CREATE ",\"checkpoints\":[{\"jobneed_id\":3,\"asset_id\":1,\"question_set_id\":1,\"seq\":1},"
        "{\"jobneed_id\":3,\"asset_id\":1,\"question_set_id\":2,\"seq\":1}]}",
        "{" CREATE ",\"checkpoints\":[{\"asset_id\":1,\"question_set_id\":1,\"seq\":1},"
        "{\"asset_id\":1,\"question_set_id\":2,\"seq\":1},{\"asset_id\":1,\"question_set_id\":1,\"seq\":9}]}",
    };
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
        assert_refused(core_run(core, "job.create", data[i]), REASON_ALREADY_EXISTS);
    assert_int_equal(core->tables[PLACE_JOBNEED].count, 1);
}

static void data_that_does_not_fit_is_refused(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    static const struct order orders[] = {
        { "job.create", "{\"identifier\":\"TASK\",\"type\":\"ADHOC\"}" },
        { "job.create", "{\"identifier\":\"GEOFENCE\",\"type\":\"ADHOC\",\"starts_at\":\"2026-11-24T09:00:00Z\"}" },
        { "job.create", "{" CREATE ",\"expires_at\":\"2026-11-24T08:59:59Z\"}" },
        { "job.create", "{" CREATE ",\"grace_minutes\":-1}" },
        { "job.create", "{" CREATE ",\"other_info\":[]}" },
        { "job.create", "{" CREATE ",\"checkpoints\":[{\"asset_id\":1,\"seq\":1}]}" },
        { "job.create",
          "{\"parent_id\":1," CREATE ",\"checkpoints\":[{\"asset_id\":1,\"question_set_id\":1,\"seq\":1}]}" },
        { "job.transition", "{\"jobneed_id\":1,\"status\":\"DONE\"}" },
        { "job.autoclose", "{\"jobneed_id\":1,\"notify\":\"MAIL\"}" },
        { "job.update_checkpoint", "{\"jobneed_id\":1,\"seq\":1}" },
        { "job.update_checkpoint", "{\"jobneed_id\":1,\"parent_id\":1,\"seq\":-1}" },
    };
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
        assert_refused(core_run(core, orders[i].type, orders[i].data), REASON_INVALID_DATA);
    assert_refused(core_run(core, "job.create", "{\"job_id\":6," CREATE "}"), REASON_NOT_FOUND);
    assert_int_equal(core->tables[PLACE_JOBNEED].count, 1);
}

/* --- autoclose --------------------------------------------------------------------------------------------------- */

static void put_tour(struct core *core, int status, const int *children, int count)
{
    core_put_jobneed(core, 1, 0, status, IDENTIFIER_INTERNALTOUR);
    for (int i = 0; i < count; i++)
        core_put_jobneed(core, 10 + i, 1, children[i], IDENTIFIER_INTERNALTOUR);
}

static void an_untouched_jobneed_is_autoclosed_with_its_flags(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    struct jobneed_row row = *core_jobneed(core, 1);
    row.other_info = SPAN_LITERAL("{\"email_sent\": 5, \"distance\": 0.1}");
    core_put(core, &entity_jobneed, &row);
    struct answer answer = core_run(core, "job.autoclose", "{\"jobneed_id\":1,\"notify\":\"AUTOCLOSENOTIFY\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_AUTOCLOSE);
    assert_int_equal(core_jobneed(core, 1)->status, JOBNEED_AUTOCLOSED);
    assert_true(
        json_text_equal(&core->lasting, core_jobneed(core, 1)->other_info,
                        SPAN_LITERAL("{\"autoclosed_by_server\":true,\"email_sent\":true,\"ticket_generated\":false,"
                                     "\"distance\":0.1}")));
    assert_int_equal(core->tables[PLACE_TICKET].count, 0);
}

static void autoclose_goes_where_the_checkpoints_say(void **state)
{
    enum
    {
        A = JOBNEED_ASSIGNED,
        C = JOBNEED_COMPLETED,
        I = JOBNEED_INPROGRESS,
        P = JOBNEED_PARTIALLYCOMPLETED,
        X = JOBNEED_AUTOCLOSED,
    };
    static const struct
    {
        int from, children[5], count, to;
        enum outcome outcome;
    } cases[] = {
        { A, { 0 }, 0, X, OUTCOME_APPLIED },
        { I, { 0 }, 0, X, OUTCOME_APPLIED },
        { I, { A, A, A, A, A }, 5, X, OUTCOME_APPLIED },   /* none completed */
        { I, { C, C, C, A, A }, 5, P, OUTCOME_APPLIED },   /* some */
        { I, { C, C, C, C, C }, 5, X, OUTCOME_APPLIED },   /* all: nobody said COMPLETED */
        { A, { C, A, A, A, A }, 5, X, OUTCOME_APPLIED },   /* only work that had begun can be partly done */
        { P, { C, A, A, A, A }, 5, P, OUTCOME_APPLIED },   /* the open checkpoints are closed */
        { P, { C, X, X, X, X }, 5, P, OUTCOME_UNCHANGED }, /* nothing is left to close */
        { C, { C, A, A, A, A }, 5, C, OUTCOME_UNCHANGED },
        { X, { A, A, A, A, A }, 5, X, OUTCOME_UNCHANGED },
        { JOBNEED_MAINTENANCE, { 0 }, 0, JOBNEED_MAINTENANCE, OUTCOME_REJECTED },
        { JOBNEED_STANDBY, { 0 }, 0, JOBNEED_STANDBY, OUTCOME_REJECTED },
        { JOBNEED_WORKING, { A, A }, 2, JOBNEED_WORKING, OUTCOME_REJECTED },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        core_tear_down(state);
        core_set_up(state);
        struct core *core = *state;
        put_tour(core, cases[i].from, cases[i].children, cases[i].count);
        struct answer answer = core_run(core, "job.autoclose", "{\"jobneed_id\":1}");
        assert_int_equal(answer.outcome, cases[i].outcome);
        assert_int_equal(core_jobneed(core, 1)->status, cases[i].to);
        assert_int_equal(core_jobneed(core, 1)->version.value, cases[i].outcome == OUTCOME_APPLIED ? 2 : 1);
        if (cases[i].outcome == OUTCOME_REJECTED)
            assert_int_equal(answer.reason, REASON_INVALID_TRANSITION);
        for (int n = 0; n < cases[i].count; n++)
        {
            int before = cases[i].children[n];
            bool closes = cases[i].outcome == OUTCOME_APPLIED && before == A;
            assert_int_equal(core_jobneed(core, 10 + n)->status, closes ? X : before);
            assert_text(core_jobneed(core, 10 + n)->other_info, closes ? "{\"autoclosed_by_server\":true}" : "{}");
        }
    }
}

static void only_assigned_tour_checkpoints_are_autoclosed(void **state)
{
    struct core *core = *state;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(core, 10, 1, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(core, 11, 1, JOBNEED_ASSIGNED, IDENTIFIER_EXTERNALTOUR);
    core_put_jobneed(core, 12, 1, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_put_jobneed(core, 13, 1, JOBNEED_INPROGRESS, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(core, 20, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(core, 21, 20, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    struct answer answer = core_run(core, "job.autoclose_checkpoints", "{\"jobneed_id\":1}");
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"checkpoints_autoclosed\":2}");
    assert_int_equal(answer.version_to, 2);
    static const int after[] = { JOBNEED_AUTOCLOSED, JOBNEED_AUTOCLOSED, JOBNEED_ASSIGNED, JOBNEED_INPROGRESS };
    for (int i = 0; i < 4; i++)
        assert_int_equal(core_jobneed(core, 10 + i)->status, after[i]);
    assert_int_equal(core_jobneed(core, 1)->status, JOBNEED_ASSIGNED);
    assert_int_equal(core_jobneed(core, 21)->status, JOBNEED_ASSIGNED);
    assert_unchanged(core_run(core, "job.autoclose_checkpoints", "{\"jobneed_id\":1}"));
}

static void fifty_autocloses_of_one_job_apply_once_and_raise_one_ticket(void **state)
{
    static const char data[] = "{\"jobneed_id\":1,\"notify\":\"RAISETICKETNOTIFY\"}";
    for (int size = 1; size <= 50; size += 49)
    {
        core_tear_down(state);
        core_set_up(state);
        struct core *core = *state;
        put_tour(core, JOBNEED_INPROGRESS, (const int[]){ JOBNEED_ASSIGNED, JOBNEED_INPROGRESS }, 2);
        struct order orders[50];
        struct answer answers[50];
        for (int i = 0; i < 50; i++)
            orders[i] = (struct order){ "job.autoclose", data };
        for (int i = 0; i < 50; i += size)
            core_run_batch(core, orders + i, (size_t)size, answers + i);
        assert_applied(answers[0]);
        assert_int_equal(answers[0].further, 1);
        for (int i = 1; i < 50; i++)
            assert_unchanged(answers[i]);
        int count;
        const struct ticket_row *ticket = ticket_of(core, 1, &count);
        assert_int_equal(count, 1);
        assert_int_equal(ticket->source, SOURCE_SYSTEMGENERATED);
        assert_int_equal(ticket->status, TICKET_NEW);
        assert_int_equal(core_jobneed(core, 1)->version.value, 2);
    }
}

static void a_jobneed_that_has_a_ticket_gets_no_second_one(void **state)
{
    struct core *core = *state;
    static const char data[] = "{\"jobneed_id\":1,\"notify\":\"RAISETICKETNOTIFY\"}";
    int count;
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_put_ticket(core, 5, TICKET_NEW);
    struct ticket_row ticket = *core_ticket(core, 5);
    ticket.jobneed_id = int_of(1);
    core_put(core, &entity_ticket, &ticket);
    assert_applied(core_run(core, "job.autoclose", data));
    ticket_of(core, 1, &count);
    assert_int_equal(count, 1);

    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_delete(core, &entity_ticket, id_of(5));
    struct jobneed_row jobneed = *core_jobneed(core, 1);
    jobneed.other_info = SPAN_LITERAL("{\"ticket_generated\":true}");
    core_put(core, &entity_jobneed, &jobneed);
    assert_applied(core_run(core, "job.autoclose", data));
    ticket_of(core, 1, &count);
    assert_int_equal(count, 0);
}

static void partial_completion_raises_no_ticket(void **state)
{
    struct core *core = *state;
    put_tour(core, JOBNEED_INPROGRESS, (const int[]){ JOBNEED_COMPLETED, JOBNEED_ASSIGNED }, 2);
    assert_applied(core_run(core, "job.autoclose", "{\"jobneed_id\":1,\"notify\":\"RAISETICKETNOTIFY\"}"));
    assert_int_equal(core_jobneed(core, 1)->status, JOBNEED_PARTIALLYCOMPLETED);
    assert_text(core_jobneed(core, 1)->other_info, "{}");
    assert_int_equal(core->tables[PLACE_TICKET].count, 0);
}

static void other_info_that_is_no_object_refuses_and_leaves_no_trace(void **state)
{
    struct core *core = *state;
    put_tour(core, JOBNEED_ASSIGNED, (const int[]){ JOBNEED_ASSIGNED, JOBNEED_ASSIGNED }, 2);
    struct jobneed_row row = *core_jobneed(core, 11);
    row.other_info = SPAN_LITERAL("[1]");
    core_put(core, &entity_jobneed, &row);
    struct answer answer = core_run(core, "job.autoclose", "{\"jobneed_id\":1}");
    assert_refused(answer, REASON_INVALID_DATA);
    assert_non_null(strstr(answer.metadata, "\"checkpoint_id\":11"));
    assert_int_equal(core_jobneed(core, 10)->status, JOBNEED_ASSIGNED);
    row.other_info = SPAN_LITERAL("{}");
    core_put(core, &entity_jobneed, &row);
    row = *core_jobneed(core, 1);
    row.other_info = SPAN_LITERAL("\"x\"");
    core_put(core, &entity_jobneed, &row);
    assert_refused(core_run(core, "job.autoclose", "{\"jobneed_id\":1}"), REASON_INVALID_DATA);
    assert_int_equal(core_jobneed(core, 10)->status, JOBNEED_ASSIGNED);
}

/* --- checkpoints ------------------------------------------------------------------------------------------------- */

static void a_checkpoint_changes_with_its_parents_version_time_and_author(void **state)
{
    struct core *core = *state;
    put_tour(core, JOBNEED_INPROGRESS, (const int[]){ JOBNEED_ASSIGNED }, 1);
    struct answer answer = core_run(core, "job.update_checkpoint",
                                    "{\"jobneed_id\":10,\"parent_id\":1,\"status\":\"INPROGRESS\",\"seq\":4,"
                                    "\"expires_at\":\"2026-11-24T09:00:00Z\",\"remarks\":\"wet\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CHECKPOINT_UPDATE);
    assert_string_equal(answer.metadata, "{\"jobneed_id\":10}");
    assert_int_equal(answer.version_to, 2);
    assert_int_equal(answer.further, 0);
    const struct jobneed_row *child = core_jobneed(core, 10);
    assert_int_equal(child->seq.value, 4);
    assert_text(child->remarks, "wet");
    assert_int_equal(child->version.value, 1);
    assert_int_equal(core_jobneed(core, 1)->modified_at.value, child->modified_at.value);
    assert_int_equal(core_jobneed(core, 1)->status, JOBNEED_INPROGRESS);
    assert_unchanged(core_run(core, "job.update_checkpoint",
                              "{\"jobneed_id\":10,\"parent_id\":1,\"status\":\"INPROGRESS\",\"seq\":4}"));
    assert_unchanged(core_run(core, "job.update_checkpoint", "{\"jobneed_id\":10,\"parent_id\":1}"));
    assert_applied(core_run(core, "job.update_checkpoint",
                            "{\"jobneed_id\":10,\"parent_id\":1,\"status\":null,\"seq\":null,\"expires_at\":null,"
                            "\"remarks\":null}"));
    child = core_jobneed(core, 10);
    assert_false(child->expires_at.set || child->remarks.at);
    assert_int_equal(child->seq.value, 4);
    assert_unchanged(core_run(core, "job.update_checkpoint",
                              "{\"jobneed_id\":10,\"parent_id\":1,\"expires_at\":null,\"remarks\":null}"));
    assert_int_equal(core_jobneed(core, 1)->version.value, 3);
}

static void a_checkpoint_may_not_expire_before_it_starts(void **state)
{
    struct core *core = *state;
    put_tour(core, JOBNEED_INPROGRESS, (const int[]){ JOBNEED_ASSIGNED }, 1);
    assert_refused(core_run(core, "job.update_checkpoint",
                            "{\"jobneed_id\":10,\"parent_id\":1,\"expires_at\":\"1969-12-31T23:59:59Z\"}"),
                   REASON_INVALID_DATA);
}

static void a_whole_life_folds_into_one_batch(void **state)
{
    struct core *core = *state;
    const struct order orders[] = {
        { "job.create", "{\"jobneed_id\":1," CREATE ",\"checkpoints\":["
                        "{\"jobneed_id\":12,\"asset_id\":1,\"question_set_id\":1,\"seq\":1},"
                        "{\"jobneed_id\":11,\"asset_id\":2,\"question_set_id\":1,\"seq\":2}]}" },
        { "job.create", "{\"parent_id\":1,\"jobneed_id\":10," CREATE "}" },
        { "job.transition", "{\"jobneed_id\":1,\"status\":\"INPROGRESS\"}" },
        { "job.update_checkpoint", "{\"jobneed_id\":11,\"parent_id\":1,\"status\":\"INPROGRESS\"}" },
        { "job.update_checkpoint", "{\"jobneed_id\":11,\"parent_id\":1,\"status\":\"COMPLETED\"}" },
        { "job.transition", "{\"jobneed_id\":1,\"status\":\"ASSIGNED\"}" },
        { "job.autoclose", "{\"jobneed_id\":1}" },
        { "job.transition", "{\"jobneed_id\":1,\"status\":\"COMPLETED\"}" },
        { "job.autoclose", "{\"jobneed_id\":1}" },
    };
    enum
    {
        COUNT = sizeof(orders) / sizeof(orders[0]),
    };
    static const enum outcome expected[COUNT] = { OUTCOME_APPLIED, OUTCOME_APPLIED, OUTCOME_APPLIED,
                                                  OUTCOME_APPLIED, OUTCOME_APPLIED, OUTCOME_REJECTED,
                                                  OUTCOME_APPLIED, OUTCOME_APPLIED, OUTCOME_UNCHANGED };
    struct answer answers[COUNT];
    core_run_batch(core, orders, COUNT, answers);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(answers[i].outcome, expected[i]);
    assert_int_equal(core_jobneed(core, 1)->status, JOBNEED_COMPLETED);
    assert_int_equal(core_jobneed(core, 1)->version.value, 7);
    assert_int_equal(core_jobneed(core, 11)->status, JOBNEED_COMPLETED);
}

static void a_busy_checkpoint_makes_its_command_busy(void **state)
{
    struct core *core = *state;
    put_tour(core, JOBNEED_ASSIGNED, (const int[]){ JOBNEED_ASSIGNED, JOBNEED_ASSIGNED }, 2);
    core->busy_entity = &entity_jobneed;
    core->busy = id_of(11);
    assert_true(core_run(core, "job.update_checkpoint", "{\"jobneed_id\":11,\"parent_id\":1,\"seq\":2}").busy);
    assert_true(core_run(core, "job.autoclose", "{\"jobneed_id\":1}").busy);
    assert_int_equal(core_jobneed(core, 10)->status, JOBNEED_ASSIGNED);
    assert_false(core_run(core, "job.update_checkpoint", "{\"jobneed_id\":10,\"parent_id\":1,\"seq\":2}").busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(every_pair_of_statuses_passes_or_is_refused_as_the_domain_says),
        CORE_TEST(every_pair_holds_for_checkpoints_too),
        CORE_TEST(a_checkpoint_is_not_a_root_for_any_command),
        CORE_TEST(a_missing_aggregate_is_not_found),
        CORE_TEST(a_jobneed_is_created_assigned_with_its_checkpoints),
        CORE_TEST(a_jobneed_with_a_parent_becomes_its_checkpoint_and_raises_its_version),
        CORE_TEST(ids_in_use_and_twin_checkpoints_are_refused_whole),
        CORE_TEST(data_that_does_not_fit_is_refused),
        CORE_TEST(an_untouched_jobneed_is_autoclosed_with_its_flags),
        CORE_TEST(autoclose_goes_where_the_checkpoints_say),
        CORE_TEST(only_assigned_tour_checkpoints_are_autoclosed),
        CORE_TEST(fifty_autocloses_of_one_job_apply_once_and_raise_one_ticket),
        CORE_TEST(a_jobneed_that_has_a_ticket_gets_no_second_one),
        CORE_TEST(partial_completion_raises_no_ticket),
        CORE_TEST(other_info_that_is_no_object_refuses_and_leaves_no_trace),
        CORE_TEST(a_checkpoint_changes_with_its_parents_version_time_and_author),
        CORE_TEST(a_checkpoint_may_not_expire_before_it_starts),
        CORE_TEST(a_whole_life_folds_into_one_batch),
        CORE_TEST(a_busy_checkpoint_makes_its_command_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
