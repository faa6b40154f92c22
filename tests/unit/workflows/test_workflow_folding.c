#include "tests/fixtures/core.h"

#include <stdio.h>
#include <string.h>

/* PROTOCOL B3: however a stream of commands is cut into batches, rows and answers are the same. Random streams over few
 * rows, so that commands meet each other; ids are named, because drawn ones depend on the cut. */

enum
{
    STREAMS = 60,
    COMMANDS = 400,
    DATA_SIZE = 400,
};

static uint64_t seed;

static int random_below(int limit) /* xorshift: the same streams in every run */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int)(seed % (uint64_t)limit);
}

static const char *word_of(const struct names *names)
{
    return names->names[1 + random_below(names->count - 1)];
}

/* "," and a member, or nothing. */
static void add_some(char *data, const char *before, int value, const char *behind)
{
    size_t size = strlen(data);
    if (random_below(3) == 0)
        snprintf(data + size, DATA_SIZE - size, ",%s%d%s", before, value, behind);
}

static const char *make_ticket(char *data)
{
    int id = 1 + random_below(4);
    switch (random_below(8))
    {
    case 0:
        snprintf(data, DATA_SIZE, "\"ticket_id\":%d,\"priority\":\"%s\"", id, word_of(&names_ticket_priority));
        add_some(data,
                 "\"site_id\":3,\"client_id\":4,\"category\":\"lift\",\"assigned_group_id\":", 1 + random_below(3), "");
        return "ticket.create";
    case 1:
    case 2:
        snprintf(data, DATA_SIZE, "\"ticket_id\":%d,\"status\":\"%s\"", id, word_of(&names_ticket_status));
        add_some(data, "\"comments\":\"c", random_below(3), "\"");
        return "ticket.transition";
    case 3:
        snprintf(data, DATA_SIZE, "\"ticket_id\":%d,\"assigned_person_id\":%d", id, 1 + random_below(3));
        add_some(data, "\"assigned_group_id\":", 1 + random_below(3), "");
        return "ticket.assign";
    case 4:
        snprintf(data, DATA_SIZE, "\"ticket_ids\":[%d,%d],\"priority\":\"%s\"", id, id % 4 + 1,
                 word_of(&names_ticket_priority));
        if (random_below(2))
            snprintf(data + strlen(data), DATA_SIZE - strlen(data), ",\"status\":\"%s\"",
                     word_of(&names_ticket_status));
        add_some(data, "\"assigned_person_id\":", 1 + random_below(3), "");
        return "ticket.bulk_update";
    case 5:
        snprintf(data, DATA_SIZE, "\"ticket_id\":%d,\"entry\":{\"action\":\"A%d\"}", id, random_below(3));
        return "ticket.append_history";
    default:
        snprintf(data, DATA_SIZE, "\"ticket_id\":%d", id);
        add_some(data, "\"level\":", random_below(4), "");
        add_some(data, "\"assigned_person_id\":", 1 + random_below(3), "");
        return "ticket.escalate";
    }
}

static const char *make_job(char *data)
{
    int id = 1 + random_below(3), child = 10 * id + random_below(3);
    switch (random_below(8))
    {
    case 0:
        snprintf(data, DATA_SIZE,
                 "\"jobneed_id\":%d,\"identifier\":\"INTERNALTOUR\",\"type\":\"ADHOC\",\"starts_at\":\"2026-11-24T09:"
                 "00:00Z\","
                 "\"checkpoints\":[{\"jobneed_id\":%d,\"asset_id\":1,\"question_set_id\":1,\"seq\":1},"
                 "{\"jobneed_id\":%d,\"asset_id\":2,\"question_set_id\":1,\"seq\":2}]",
                 id, 10 * id, 10 * id + 1);
        return "job.create";
    case 1:
        snprintf(data, DATA_SIZE,
                 "\"parent_id\":%d,\"jobneed_id\":%d,\"identifier\":\"%s\",\"type\":\"ADHOC\","
                 "\"starts_at\":\"2026-11-24T09:00:00Z\"",
                 id, child, word_of(&names_jobneed_identifier));
        return "job.create";
    case 2:
    case 3:
        snprintf(data, DATA_SIZE, "\"jobneed_id\":%d,\"status\":\"%s\"", id, word_of(&names_jobneed_status));
        return "job.transition";
    case 4:
        snprintf(data, DATA_SIZE, "\"jobneed_id\":%d,\"notify\":%s", id,
                 random_below(2) ? "null" : "\"AUTOCLOSENOTIFY\"");
        return random_below(3) ? "job.transition" : "job.autoclose"; /* the first is invalid data, on purpose */
    case 5:
        snprintf(data, DATA_SIZE, "\"jobneed_id\":%d", id);
        return random_below(4) ? "job.update_checkpoint" : "job.autoclose_checkpoints";
    default:
        snprintf(data, DATA_SIZE, "\"jobneed_id\":%d,\"parent_id\":%d", child,
                 random_below(5) ? id : 1 + random_below(3));
        add_some(data, "\"seq\":", random_below(3), "");
        if (random_below(2))
            snprintf(data + strlen(data), DATA_SIZE - strlen(data), ",\"status\":\"%s\"",
                     word_of(&names_jobneed_status));
        return "job.update_checkpoint";
    }
}

static const char *make_json(char *data)
{
    static const char *const values[] = {
        "1", "1.0", "1e2", "100", "\"x\"", "[1,2]", "[1, 2.0]", "null", "{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"
    };
    const char *value = values[random_below(10)];
    int id = 1 + random_below(3);
    if (random_below(2))
    {
        snprintf(data, DATA_SIZE, "\"aggregate\":\"jobneed/%d\",\"field\":\"other_info\",\"value\":{\"k%d\":%s}", id,
                 random_below(2), value);
        return "json.merge";
    }
    snprintf(data, DATA_SIZE,
             "\"aggregate\":\"jobneed/%d\",\"field\":\"other_info\",\"key\":\"k%d\",\"value\":%s,\"max_length\":%d", id,
             random_below(2), value, 1 + random_below(4));
    return "json.append";
}

static const char *make_face(char *data)
{
    snprintf(data, DATA_SIZE, "\"verification_id\":%d,\"model_id\":%d,\"user_id\":3,\"result\":\"%s\"",
             1 + random_below(60), 1 + random_below(3), word_of(&names_verification_result));
    add_some(data, "\"embedding_id\":", 7, "");
    return "face.record_verification";
}

static void fill(struct core *core)
{
    for (int level = 1; level <= 3; level++)
        core_put(core, &entity_escalation_matrix,
                 &(struct escalation_matrix_row){ .site_id = int_of(3),
                                                  .category = SPAN_LITERAL("lift"),
                                                  .client_id = int_of(4),
                                                  .level = int_of(level),
                                                  .assigned_person_id = int_of(70 + level) });
    for (int id = 1; id <= 2; id++)
        core_put(core, &entity_face_model_counter,
                 &(struct face_counter_row){
                     .id = int_of(id), .verification_count = int_of(0), .successful_verifications = int_of(0) });
    core_put(core, &entity_face_embedding,
             &(struct face_embedding_row){ .id = int_of(7), .user_id = int_of(3), .model_id = int_of(1) });
    core_put_ticket(core, 1, TICKET_NEW);
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
    core_put_jobneed(core, 10, 1, JOBNEED_ASSIGNED, IDENTIFIER_INTERNALTOUR);
}

static void expect_same_tables(struct core *a, const struct core *b)
{
    for (int e = 0; entities[e]; e++)
    {
        const struct entity *entity = entities[e];
        assert_int_equal(a->tables[e].count, b->tables[e].count);
        for (size_t i = 0; i < a->tables[e].count; i++)
        {
            const void *row = a->tables[e].rows[i], *other = core_find(b, entity, row);
            assert_non_null(other);
            uint64_t mask = entity_difference(entity, row, other);
            for (int c = 0; c < entity->column_count; c++)
                if (mask >> c & 1)
                    fail_msg("%s.%s differs", entity->table, entity->columns[c].name);
        }
    }
}

static void expect_same_answers(const struct answer *a, const struct answer *b, const struct order *order)
{
    if (a->outcome != b->outcome || a->reason != b->reason || strcmp(a->metadata, b->metadata) != 0)
        fail_msg("%s %s: %s %s or %s %s", order->type, order->data, outcome_name(a->outcome), a->metadata,
                 outcome_name(b->outcome), b->metadata);
    assert_int_equal(a->version_from, b->version_from);
    assert_int_equal(a->version_to, b->version_to);
    assert_int_equal(a->operation, b->operation);
    assert_int_equal(a->further, b->further);
}

static void run_stream(const struct order *orders, int outcomes[OUTCOME__COUNT])
{
    static struct answer singly[COMMANDS], batched[COMMANDS];
    struct core single, cut;
    core_init(&single);
    core_init(&cut);
    fill(&single);
    fill(&cut);
    for (int i = 0; i < COMMANDS; i++)
    {
        core_run_batch(&single, orders + i, 1, singly + i);
        outcomes[singly[i].outcome]++;
    }
    for (int i = 0, size; i < COMMANDS; i += size)
    {
        size = 1 + random_below(random_below(2) ? 8 : COMMANDS);
        size = size < COMMANDS - i ? size : COMMANDS - i;
        core_run_batch(&cut, orders + i, (size_t)size, batched + i);
    }
    for (int i = 0; i < COMMANDS; i++)
        expect_same_answers(&singly[i], &batched[i], &orders[i]);
    expect_same_tables(&single, &cut);
    core_done(&single);
    core_done(&cut);
}

static void batches_of_one_and_of_many_give_the_same_rows_and_answers(void **state)
{
    (void)state;
    static char data[COMMANDS][DATA_SIZE + 3]; /* two braces and a NUL */
    static struct order orders[COMMANDS];
    static const char *(*const makers[])(
        char *) = { make_ticket, make_ticket, make_job, make_job, make_json, make_face };
    int outcomes[OUTCOME__COUNT] = { 0 };
    for (int stream = 0; stream < STREAMS; stream++)
    {
        seed = (uint64_t)stream * 7919 + 1;
        for (int i = 0; i < COMMANDS; i++)
        {
            char text[DATA_SIZE];
            orders[i].type = makers[random_below(6)](text);
            snprintf(data[i], sizeof(data[i]), "{%s}", text);
            orders[i].data = data[i];
        }
        run_stream(orders, outcomes);
    }
    /* a stream in which little happens would prove little */
    for (int outcome = 0; outcome < OUTCOME__COUNT; outcome++)
        assert_true(outcomes[outcome] > STREAMS * COMMANDS / 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_of_one_and_of_many_give_the_same_rows_and_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
