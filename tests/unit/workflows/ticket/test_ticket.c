#include "tests/fixtures/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_words[] = { "NEW", "OPEN", "ONHOLD", "RESOLVED", "CLOSED", "CANCELLED" };

/* DOMAIN.md, written out a second time by hand: the rows from, the columns to. */
static const char allowed[6][7] = {
    /*              NEW OPEN ONHOLD RESOLVED CLOSED CANCELLED */
    /* NEW       */ "=+---+",
    /* OPEN      */ "-=++-+",
    /* ONHOLD    */ "-+=+-+",
    /* RESOLVED  */ "-+-=+-",
    /* CLOSED    */ "----=-",
    /* CANCELLED */ "-----=",
};

static const struct ticket_history_row *history(const struct core *core, int64_t ticket_id, int64_t seq)
{
    struct ticket_history_row key = { .ticket_id = int_of(ticket_id), .seq = int_of(seq) };
    return core_find(core, &entity_ticket_history, &key);
}

static void every_pair_of_statuses_passes_or_is_refused_as_the_domain_says(void **state)
{
    struct core *core = *state;
    char data[128];
    for (int from = 0; from < 6; from++)
        for (int to = 0; to < 6; to++)
        {
            core_put_ticket(core, 1, from + 1);
            size_t entries = core->tables[PLACE_TICKET_HISTORY].count;
            core->tables[PLACE_TICKET_HISTORY].count = 0;
            for (size_t i = 0; i < entries; i++)
                free(core->tables[PLACE_TICKET_HISTORY].rows[i]);
            snprintf(data, sizeof(data), "{\"ticket_id\":1,\"status\":\"%s\"}", status_words[to]);
            struct answer answer = core_run(core, "ticket.transition", data);
            const struct ticket_row *ticket = core_ticket(core, 1);
            bool applies = allowed[from][to] == '+';
            assert_int_equal(ticket->status, (applies ? to : from) + 1);
            assert_int_equal(ticket->version.value, applies ? 2 : 1);
            assert_int_equal(core->tables[PLACE_TICKET_HISTORY].count, applies);
            if (applies)
                assert_applied(answer);
            else if (allowed[from][to] == '=')
                assert_unchanged(answer);
            else
            {
                assert_refused(answer, REASON_INVALID_TRANSITION);
                snprintf(data, sizeof(data), "{\"from\":\"%s\",\"to\":\"%s\"}", status_words[from], status_words[to]);
                assert_string_equal(answer.metadata, data);
            }
        }
}

static void an_unknown_or_null_present_status_never_passes(void **state)
{
    (void)state;
    for (int to = 1; to <= 6; to++)
    {
        assert_int_equal(transition_check(&machine_ticket, NAME_UNKNOWN, to), TRANSITION_REFUSED);
        assert_int_equal(transition_check(&machine_ticket, 0, to), TRANSITION_REFUSED);
        assert_int_equal(transition_check(&machine_ticket, 7, to), TRANSITION_REFUSED);
        assert_int_equal(transition_check(&machine_ticket, to, NAME_UNKNOWN), TRANSITION_REFUSED);
        assert_int_equal(transition_check(&machine_ticket, to, 0), TRANSITION_REFUSED);
    }
    assert_int_equal(transition_check(&machine_ticket, NAME_UNKNOWN, NAME_UNKNOWN), TRANSITION_REFUSED);
}

static void a_transition_sets_comments_and_leaves_the_row_before_it_in_the_history(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 7, TICKET_NEW);
    struct answer answer =
        core_run(core, "ticket.transition", "{\"ticket_id\":7,\"status\":\"OPEN\",\"comments\":\"on \\\"it\\\"\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_STATUS_CHANGE);
    const struct ticket_row *ticket = core_ticket(core, 7);
    assert_text(ticket->comments, "on \"it\"");
    assert_int_equal(ticket->history_count.value, 1);
    const struct ticket_history_row *entry = history(core, 7, 1);
    assert_text(entry->action, "STATUS_CHANGE");
    assert_text(entry->who, "user/9");
    assert_text(entry->details, "{\"comments\":\"on \\\"it\\\"\"}");
    assert_text(entry->previous_state,
                "{\"status\":\"NEW\",\"level\":0,\"priority\":\"LOW\",\"assigned_person_id\":null,"
                "\"assigned_group_id\":null,\"version\":1}");
    assert_int_equal(entry->occurred_at.value, ticket->modified_at.value);
}

static void to_the_same_status_nothing_changes_even_with_comments(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 7, TICKET_NEW);
    assert_unchanged(core_run(core, "ticket.transition", "{\"ticket_id\":7,\"status\":\"NEW\",\"comments\":\"x\"}"));
    assert_null(core_ticket(core, 7)->comments.at);
}

static void a_ticket_that_is_not_there_is_not_found_by_any_command(void **state)
{
    struct core *core = *state;
    assert_refused(core_run(core, "ticket.transition", "{\"ticket_id\":9,\"status\":\"OPEN\"}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "ticket.assign", "{\"ticket_id\":9,\"assigned_person_id\":5}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "ticket.escalate", "{\"ticket_id\":9}"), REASON_NOT_FOUND);
    assert_refused(core_run(core, "ticket.append_history", "{\"ticket_id\":9,\"entry\":{\"action\":\"A\"}}"),
                   REASON_NOT_FOUND);
    assert_int_equal(core->tables[PLACE_TICKET].count, 0);
}

/* --- create ------------------------------------------------------------------------------------------------------ */

static void a_created_ticket_is_new_at_level_0_under_the_named_id(void **state)
{
    struct core *core = *state;
    struct answer answer = core_run(core, "ticket.create",
                                    "{\"ticket_id\":42,\"priority\":\"CRITICAL\",\"category\":\"lift\",\"site_id\":"
                                    "3,\"client_id\":4,\"asset_id\":5,"
                                    "\"comments\":\"stuck\",\"assigned_person_id\":6,\"assigned_group_id\":1}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_CREATION);
    assert_int_equal(answer.aggregate.kind, AGGREGATE_TICKET);
    assert_int_equal(answer.aggregate.id.low, 42);
    assert_int_equal(answer.version_from, 0);
    const struct ticket_row *ticket = core_ticket(core, 42);
    assert_int_equal(ticket->status, TICKET_NEW);
    assert_int_equal(ticket->level.value, 0);
    assert_int_equal(ticket->version.value, 1);
    assert_int_equal(ticket->source, SOURCE_USERDEFINED);
    assert_int_equal(ticket->priority, PRIORITY_CRITICAL);
    assert_int_equal(ticket->assigned_person_id.value, 6);
    assert_false(ticket->assigned_group_id.set); /* 1 is nobody */
    assert_text(ticket->category, "lift");
}

static void a_ticket_without_an_id_is_created_under_a_drawn_one(void **state)
{
    struct core *core = *state;
    struct answer answer = core_run(core, "ticket.create", "{\"priority\":\"LOW\",\"source\":\"SYSTEMGENERATED\"}");
    assert_applied(answer);
    assert_int_equal(answer.aggregate.id.low, CORE_FIRST_DRAWN);
    assert_int_equal(core_ticket(core, CORE_FIRST_DRAWN)->source, SOURCE_SYSTEMGENERATED);
}

static void an_id_in_use_already_exists(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 42, TICKET_OPEN);
    struct answer answer = core_run(core, "ticket.create", "{\"ticket_id\":42,\"priority\":\"LOW\"}");
    assert_refused(answer, REASON_ALREADY_EXISTS);
    assert_string_equal(answer.metadata, "{\"ticket_id\":42}");
    assert_int_equal(core_ticket(core, 42)->status, TICKET_OPEN);
}

static void of_two_creators_of_one_id_in_one_batch_the_second_is_refused(void **state)
{
    struct core *core = *state;
    const struct order orders[] = {
        { "ticket.create", "{\"ticket_id\":42,\"priority\":\"LOW\"}" },
        { "ticket.create", "{\"ticket_id\":42,\"priority\":\"HIGH\"}" },
        { "ticket.transition", "{\"ticket_id\":42,\"status\":\"OPEN\"}" },
    };
    struct answer answers[3];
    core_run_batch(core, orders, 3, answers);
    assert_applied(answers[0]);
    assert_refused(answers[1], REASON_ALREADY_EXISTS);
    assert_applied(answers[2]);
    assert_int_equal(answers[2].version_from, 1);
    assert_int_equal(core_ticket(core, 42)->priority, PRIORITY_LOW);
    assert_int_equal(core_ticket(core, 42)->version.value, 2);
}

static void data_that_does_not_fit_is_refused_before_any_row(void **state)
{
    struct core *core = *state;
    static const struct order orders[] = {
        { "ticket.create", "{}" },
        { "ticket.create", "{\"priority\":\"URGENT\"}" },
        { "ticket.create", "{\"priority\":\"LOW\",\"ticket_id\":0}" },
        { "ticket.create", "{\"priority\":\"LOW\",\"ticket_id\":\"7\"}" },
        { "ticket.create", "{\"priority\":\"LOW\",\"extra\":1}" },
        { "ticket.transition", "{\"ticket_id\":1}" },
        { "ticket.transition", "{\"ticket_id\":1,\"status\":\"open\"}" },
        { "ticket.escalate", "{\"ticket_id\":1,\"level\":-1}" },
        { "ticket.escalate", "{\"ticket_id\":1,\"level\":2147483648}" },
        { "ticket.escalate", "{\"ticket_id\":1,\"level\":1.5}" },
        { "ticket.append_history", "{\"ticket_id\":1}" },
        { "ticket.append_history", "{\"ticket_id\":1,\"entry\":{}}" },
        { "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"action\":\"\"}}" },
        { "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"action\":\"A\",\"when\":\"yesterday\"}}" },
        { "ticket.bulk_update", "{\"ticket_ids\":[],\"status\":\"OPEN\"}" },
        { "ticket.bulk_update", "{\"ticket_ids\":[1,1],\"status\":\"OPEN\"}" },
        { "ticket.bulk_update", "{\"ticket_ids\":[1]}" },
        { "ticket.assign", "{\"ticket_id\":1}" },
    };
    core_put_ticket(core, 1, TICKET_NEW);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
    {
        struct answer answer = core_run(core, orders[i].type, orders[i].data);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_non_null(strstr(answer.metadata, "\"parameter\":"));
    }
    assert_int_equal(core_ticket(core, 1)->version.value, 1);
}

/* --- assign ------------------------------------------------------------------------------------------------------ */

static void assigning_sets_what_is_given_and_keeps_what_is_absent(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_NEW);
    struct answer answer = core_run(core, "ticket.assign", "{\"ticket_id\":1,\"assigned_group_id\":8}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_ASSIGNMENT_CHANGE);
    assert_applied(core_run(core, "ticket.assign", "{\"ticket_id\":1,\"assigned_person_id\":5}"));
    const struct ticket_row *ticket = core_ticket(core, 1);
    assert_int_equal(ticket->assigned_person_id.value, 5);
    assert_int_equal(ticket->assigned_group_id.value, 8);
    assert_text(history(core, 1, 2)->action, "ASSIGNMENT_CHANGE");
    assert_non_null(strstr(history(core, 1, 2)->previous_state.at, "\"assigned_group_id\":8,\"version\":2"));
}

static void null_and_1_both_take_the_assignment_away(void **state)
{
    struct core *core = *state;
    static const char *const nobody[] = { "null", "1" };
    for (int i = 0; i < 2; i++)
    {
        char data[128];
        core_put_ticket(core, i + 1, TICKET_NEW);
        snprintf(data, sizeof(data), "{\"ticket_id\":%d,\"assigned_person_id\":5,\"assigned_group_id\":6}", i + 1);
        assert_applied(core_run(core, "ticket.assign", data));
        snprintf(data, sizeof(data), "{\"ticket_id\":%d,\"assigned_person_id\":%s,\"assigned_group_id\":7}", i + 1,
                 nobody[i]);
        assert_applied(core_run(core, "ticket.assign", data));
        assert_false(core_ticket(core, i + 1)->assigned_person_id.set);
        assert_int_equal(core_ticket(core, i + 1)->assigned_group_id.value, 7);
        assert_unchanged(core_run(core, "ticket.assign", data));
    }
}

/* --- escalate ---------------------------------------------------------------------------------------------------- */

static void put_matrix(struct core *core, int64_t level, int64_t person, int64_t group)
{
    struct escalation_matrix_row row = {
        .site_id = int_of(3), .category = SPAN_LITERAL("lift"), .client_id = int_of(4), .level = int_of(level)
    };
    if (person)
        row.assigned_person_id = int_of(person);
    if (group)
        row.assigned_group_id = int_of(group);
    core_put(core, &entity_escalation_matrix, &row);
}

static void put_located_ticket(struct core *core, int64_t id)
{
    struct ticket_row row = {
        .id = int_of(id),
        .version = int_of(1),
        .history_count = int_of(0),
        .level = int_of(0),
        .status = TICKET_OPEN,
        .priority = PRIORITY_HIGH,
        .source = SOURCE_USERDEFINED,
        .site_id = int_of(3),
        .client_id = int_of(4),
        .category = SPAN_LITERAL("lift"),
        .assigned_person_id = int_of(50),
        .assigned_group_id = int_of(60),
    };
    core_put(core, &entity_ticket, &row);
}

static void an_escalation_raises_the_level_by_one_and_keeps_the_assignment(void **state)
{
    struct core *core = *state;
    put_located_ticket(core, 1);
    struct answer answer = core_run(core, "ticket.escalate", "{\"ticket_id\":1}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_ESCALATION);
    const struct ticket_row *ticket = core_ticket(core, 1);
    assert_true(ticket->escalated);
    assert_int_equal(ticket->level.value, 1);
    assert_int_equal(ticket->assigned_person_id.value, 50);
    assert_int_equal(ticket->assigned_group_id.value, 60);
    assert_text(history(core, 1, 1)->previous_state,
                "{\"status\":\"OPEN\",\"level\":0,\"priority\":\"HIGH\",\"assigned_person_id\":50,"
                "\"assigned_group_id\":60,\"version\":1}");
}

static void an_escalation_goes_to_whom_the_matrix_names_for_the_new_level(void **state)
{
    struct core *core = *state;
    put_located_ticket(core, 1);
    put_matrix(core, 3, 73, 0);
    put_matrix(core, 1, 71, 81);
    put_matrix(core, 2, 0, 0);
    assert_applied(core_run(core, "ticket.escalate", "{\"ticket_id\":1}"));
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 71);
    assert_int_equal(core_ticket(core, 1)->assigned_group_id.value, 81);
    assert_applied(core_run(core, "ticket.escalate", "{\"ticket_id\":1}")); /* level 2 names nobody: kept */
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 71);
    assert_applied(core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"assigned_person_id\":1}"));
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 73); /* nobody is not an assignment */
    assert_false(core_ticket(core, 1)->assigned_group_id.set);
}

static void the_commands_own_assignment_goes_before_the_matrix(void **state)
{
    struct core *core = *state;
    put_located_ticket(core, 1);
    put_matrix(core, 1, 71, 81);
    assert_applied(core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"assigned_person_id\":7}"));
    assert_int_equal(core->looks, 0);
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 7);
    assert_int_equal(core_ticket(core, 1)->assigned_group_id.value, 60);
}

static void escalations_in_one_batch_each_meet_the_matrix_row_of_their_level(void **state)
{
    struct core *core = *state;
    put_matrix(core, 1, 71, 0);
    put_matrix(core, 2, 72, 0);
    const struct order orders[] = {
        { "ticket.create",
          "{\"ticket_id\":1,\"priority\":\"LOW\",\"category\":\"lift\",\"site_id\":3,\"client_id\":4}" },
        { "ticket.escalate", "{\"ticket_id\":1}" },
        { "ticket.escalate", "{\"ticket_id\":1}" },
    };
    struct answer answers[3];
    core_run_batch(core, orders, 3, answers);
    assert_applied(answers[1]);
    assert_int_equal(core_ticket(core, 1)->level.value, 2);
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 72);
    assert_non_null(strstr(history(core, 1, 2)->previous_state.at, "\"assigned_person_id\":71"));
    assert_int_equal(core->looks, 1); /* one for all three */
}

static void a_named_level_is_taken_and_the_same_one_again_changes_nothing(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_RESOLVED);
    assert_applied(core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"level\":0}")); /* the flag is set */
    assert_unchanged(core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"level\":0}"));
    assert_applied(core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"level\":2147483647}"));
    assert_refused(core_run(core, "ticket.escalate", "{\"ticket_id\":1}"), REASON_INVALID_DATA);
    assert_int_equal(core_ticket(core, 1)->level.value, 2147483647);
    assert_int_equal(core_ticket(core, 1)->history_count.value, 2);
}

static void a_hundred_escalations_in_any_batches_all_count(void **state)
{
    struct core *core = *state;
    struct order orders[100];
    struct answer answers[100];
    char data[10][64];
    for (int i = 0; i < 10; i++)
    {
        core_put_ticket(core, i + 1, TICKET_OPEN);
        snprintf(data[i], sizeof(data[i]), "{\"ticket_id\":%d}", i + 1);
    }
    for (int i = 0; i < 100; i++)
        orders[i] = (struct order){ "ticket.escalate", data[(i * 7) % 10] };
    for (int i = 0, size = 1; i < 100; i += size, size = (size * 5) % 23)
        core_run_batch(core, orders + i, (size_t)(100 - i < size ? 100 - i : size), answers);
    int64_t sum = 0;
    for (int i = 0; i < 10; i++)
        sum += core_ticket(core, i + 1)->level.value;
    assert_int_equal(sum, 100);
    assert_int_equal(core->tables[PLACE_TICKET_HISTORY].count, 100);
}

/* --- history ----------------------------------------------------------------------------------------------------- */

static void history_is_appended_in_order_as_given(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_NEW);
    const struct order orders[] = {
        { "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"people_id\":5,\"when\":\"2026-11-24T09:00:00Z\","
                                   "\"who\":\"Ann\",\"action\":\"CALL\","
                                   "\"details\":{\"a\": [1, 2.50]},\"previous_state\":\"x\"}}" },
        { "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"action\":\"NOTE\",\"details\":null}}" },
    };
    struct answer answers[2];
    core_run_batch(core, orders, 2, answers);
    assert_applied(answers[0]);
    assert_applied(answers[1]);
    assert_int_equal(answers[0].operation, OPERATION_HISTORY_APPEND);
    assert_string_equal(answers[1].metadata, "{\"seq\":2}");
    assert_int_equal(core_ticket(core, 1)->version.value, 3);
    const struct ticket_history_row *entry = history(core, 1, 1);
    assert_int_equal(entry->people_id.value, 5);
    assert_int_equal(entry->occurred_at.value, INT64_C(1795510800000000));
    assert_text(entry->who, "Ann");
    assert_text(entry->details, "{\"a\": [1, 2.50]}");
    assert_text(entry->previous_state, "\"x\"");
    entry = history(core, 1, 2);
    assert_text(entry->who, "user/9");
    assert_null(entry->details.at);
    assert_false(entry->people_id.set);
}

/* --- bulk -------------------------------------------------------------------------------------------------------- */

static void a_bulk_update_changes_those_that_differ_and_counts_them(void **state)
{
    struct core *core = *state;
    for (int i = 1; i <= 10; i++)
        core_put_ticket(core, i, i <= 3 ? TICKET_OPEN : TICKET_NEW);
    struct answer answer =
        core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[10,9,8,7,6,5,4,3,2,1],\"status\":\"OPEN\"}");
    assert_applied(answer);
    assert_string_equal(answer.metadata, "{\"count\":7,\"unchanged\":3}");
    assert_int_equal(answer.operation, OPERATION_STATUS_CHANGE);
    assert_int_equal(answer.aggregate.id.low, 1); /* the smallest */
    assert_int_equal(answer.further, 7);
    assert_int_equal(core->tables[PLACE_TICKET_HISTORY].count, 7);
    for (int i = 1; i <= 10; i++)
        assert_int_equal(core_ticket(core, i)->version.value, i <= 3 ? 1 : 2);
    answer = core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[1,2],\"status\":\"OPEN\"}");
    assert_unchanged(answer);
    assert_string_equal(answer.metadata, "{\"count\":0,\"unchanged\":2}");
}

static void one_ticket_that_may_not_rejects_the_whole_bulk(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_NEW);
    core_put_ticket(core, 2, TICKET_CLOSED);
    struct answer answer = core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[1,2],\"status\":\"OPEN\"}");
    assert_refused(answer, REASON_INVALID_TRANSITION);
    assert_string_equal(answer.metadata, "{\"from\":\"CLOSED\",\"to\":\"OPEN\",\"ticket_id\":2}");
    answer = core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[1,3],\"status\":\"OPEN\"}");
    assert_refused(answer, REASON_NOT_FOUND);
    assert_string_equal(answer.metadata, "{\"ticket_id\":3}");
    assert_int_equal(core_ticket(core, 1)->status, TICKET_NEW);
    assert_int_equal(core->tables[PLACE_TICKET_HISTORY].count, 0);
}

static void a_bulk_update_may_change_anything_but_the_status(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_RESOLVED);
    struct answer answer = core_run(core, "ticket.bulk_update",
                                    "{\"ticket_ids\":[1],\"priority\":\"HIGH\",\"assigned_person_id\":9,"
                                    "\"comments\":\"c\"}");
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_ASSIGNMENT_CHANGE);
    assert_int_equal(core_ticket(core, 1)->priority, PRIORITY_HIGH);
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 9);
    assert_text(core_ticket(core, 1)->comments, "c");
    answer = core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[1],\"assigned_person_id\":null}");
    assert_applied(answer);
    assert_false(core_ticket(core, 1)->assigned_person_id.set);
}

static void a_closed_or_cancelled_ticket_is_assigned_to_nobody_and_not_escalated(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_CLOSED);
    core_put_ticket(core, 2, TICKET_CANCELLED);
    core_put_ticket(core, 3, TICKET_RESOLVED);
    struct answer answer = core_run(core, "ticket.escalate", "{\"ticket_id\":1}");
    assert_refused(answer, REASON_INVALID_TRANSITION);
    assert_string_equal(answer.metadata, "{\"status\":\"CLOSED\"}");
    answer = core_run(core, "ticket.assign", "{\"ticket_id\":2,\"assigned_person_id\":7}");
    assert_refused(answer, REASON_INVALID_TRANSITION);
    assert_string_equal(answer.metadata, "{\"status\":\"CANCELLED\"}");
    assert_refused(core_run(core, "ticket.assign", "{\"ticket_id\":2,\"assigned_person_id\":null}"),
                   REASON_INVALID_TRANSITION); /* though it is assigned to nobody already */
    answer = core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[3,1],\"assigned_group_id\":7}");
    assert_refused(answer, REASON_INVALID_TRANSITION);
    assert_string_equal(answer.metadata, "{\"status\":\"CLOSED\",\"ticket_id\":1}");
    assert_applied(core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[3,1],\"priority\":\"HIGH\"}"));
    assert_applied(
        core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[3],\"status\":\"CLOSED\",\"assigned_group_id\":7}"));
    assert_applied(core_run(core, "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"action\":\"note\"}}"));
    assert_int_equal(core_ticket(core, 1)->level.value, 0);
}

static void an_explicit_null_or_1_clears_an_assignment_and_says_nothing_to_an_escalation(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_OPEN);
    assert_applied(
        core_run(core, "ticket.assign", "{\"ticket_id\":1,\"assigned_person_id\":7,\"assigned_group_id\":8}"));
    assert_applied(
        core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"assigned_person_id\":9,\"assigned_group_id\":null}"));
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 9);
    assert_int_equal(core_ticket(core, 1)->assigned_group_id.value, 8);
    assert_applied(
        core_run(core, "ticket.escalate", "{\"ticket_id\":1,\"assigned_person_id\":null,\"assigned_group_id\":1}"));
    assert_int_equal(core_ticket(core, 1)->assigned_person_id.value, 9);
    assert_applied(core_run(core, "ticket.assign", "{\"ticket_id\":1,\"assigned_person_id\":null}"));
    assert_false(core_ticket(core, 1)->assigned_person_id.set);
    assert_int_equal(core_ticket(core, 1)->assigned_group_id.value, 8);
    assert_applied(core_run(core, "ticket.assign", "{\"ticket_id\":1,\"assigned_group_id\":1}"));
    assert_false(core_ticket(core, 1)->assigned_group_id.set);
    assert_unchanged(
        core_run(core, "ticket.assign", "{\"ticket_id\":1,\"assigned_person_id\":1,\"assigned_group_id\":null}"));
    assert_applied(
        core_run(core, "ticket.append_history", "{\"ticket_id\":1,\"entry\":{\"action\":\"note\",\"people_id\":1}}"));
    assert_false(history(core, 1, 6)->people_id.set);
}

static void a_refusal_in_a_batch_leaves_no_trace_in_what_follows(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_NEW);
    core_put_ticket(core, 2, TICKET_NEW);
    const struct order orders[] = {
        { "ticket.transition", "{\"ticket_id\":1,\"status\":\"OPEN\"}" },
        { "ticket.transition", "{\"ticket_id\":1,\"status\":\"CLOSED\"}" },
        { "ticket.bulk_update", "{\"ticket_ids\":[1,2],\"status\":\"RESOLVED\"}" },
        { "ticket.transition", "{\"ticket_id\":1,\"status\":\"RESOLVED\"}" },
    };
    struct answer answers[4];
    core_run_batch(core, orders, 4, answers);
    assert_applied(answers[0]);
    assert_refused(answers[1], REASON_INVALID_TRANSITION);
    assert_refused(answers[2], REASON_INVALID_TRANSITION);
    assert_applied(answers[3]);
    assert_int_equal(answers[3].version_from, 2);
    assert_int_equal(core_ticket(core, 1)->history_count.value, 2);
    assert_int_equal(core_ticket(core, 2)->version.value, 1);
    assert_int_equal(core->tables[PLACE_TICKET_HISTORY].count, 2);
}

static void a_busy_ticket_is_never_taken_for_a_missing_one(void **state)
{
    struct core *core = *state;
    core_put_ticket(core, 1, TICKET_NEW);
    core_put_ticket(core, 2, TICKET_NEW);
    core->busy_entity = &entity_ticket;
    core->busy = id_of(2);
    assert_true(core_run(core, "ticket.bulk_update", "{\"ticket_ids\":[1,2],\"status\":\"OPEN\"}").busy);
    assert_true(core_run(core, "ticket.create", "{\"ticket_id\":2,\"priority\":\"LOW\"}").busy);
    assert_int_equal(core_ticket(core, 1)->version.value, 1);
    assert_false(core_run(core, "ticket.transition", "{\"ticket_id\":1,\"status\":\"OPEN\"}").busy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CORE_TEST(every_pair_of_statuses_passes_or_is_refused_as_the_domain_says),
        CORE_TEST(an_unknown_or_null_present_status_never_passes),
        CORE_TEST(a_transition_sets_comments_and_leaves_the_row_before_it_in_the_history),
        CORE_TEST(to_the_same_status_nothing_changes_even_with_comments),
        CORE_TEST(a_ticket_that_is_not_there_is_not_found_by_any_command),
        CORE_TEST(a_created_ticket_is_new_at_level_0_under_the_named_id),
        CORE_TEST(a_ticket_without_an_id_is_created_under_a_drawn_one),
        CORE_TEST(an_id_in_use_already_exists),
        CORE_TEST(of_two_creators_of_one_id_in_one_batch_the_second_is_refused),
        CORE_TEST(data_that_does_not_fit_is_refused_before_any_row),
        CORE_TEST(assigning_sets_what_is_given_and_keeps_what_is_absent),
        CORE_TEST(null_and_1_both_take_the_assignment_away),
        CORE_TEST(an_escalation_raises_the_level_by_one_and_keeps_the_assignment),
        CORE_TEST(an_escalation_goes_to_whom_the_matrix_names_for_the_new_level),
        CORE_TEST(the_commands_own_assignment_goes_before_the_matrix),
        CORE_TEST(escalations_in_one_batch_each_meet_the_matrix_row_of_their_level),
        CORE_TEST(a_named_level_is_taken_and_the_same_one_again_changes_nothing),
        CORE_TEST(a_hundred_escalations_in_any_batches_all_count),
        CORE_TEST(history_is_appended_in_order_as_given),
        CORE_TEST(a_bulk_update_changes_those_that_differ_and_counts_them),
        CORE_TEST(one_ticket_that_may_not_rejects_the_whole_bulk),
        CORE_TEST(a_bulk_update_may_change_anything_but_the_status),
        CORE_TEST(a_closed_or_cancelled_ticket_is_assigned_to_nobody_and_not_escalated),
        CORE_TEST(an_explicit_null_or_1_clears_an_assignment_and_says_nothing_to_an_escalation),
        CORE_TEST(a_refusal_in_a_batch_leaves_no_trace_in_what_follows),
        CORE_TEST(a_busy_ticket_is_never_taken_for_a_missing_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
