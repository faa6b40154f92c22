/* Due: the command that a due row becomes is one that the worker reads as meant. The statements are tried against
 * PostgreSQL in tests/system/test_sweep.py. */
#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/message/envelope.h"
#include "worker/admin/due.h"

static const int64_t now_us = 1795000000123456;

static struct due_command command_of(const char *due_rule, int64_t id, int64_t version)
{
    const struct due_rule *found = due_find(due_rule);
    assert_non_null(found);
    return (struct due_command){
        .due_rule = found,
        .version = version,
        .due_at = "2026-11-24T09:00:00.000000Z",
        .aggregate = { found->kind, id_of(id) },
    };
}

static void assert_buffer(struct buffer *buffer, const char *text)
{
    buffer_add_byte(buffer, '\0');
    assert_false(buffer_failed(buffer));
    assert_string_equal(buffer->at, text);
    buffer_done(buffer);
}

/* The event as the worker's envelope reads it. */
static void decode(struct arena *arena, const struct due_command *command, const char *notify, struct buffer *text,
                   struct command *ret)
{
    const char *dead = NULL;
    char message[160];
    due_add_event(command, notify, now_us, text);
    assert_false(buffer_failed(text));
    struct envelope_source source = { .key = SPAN_NULL, .value = buffer_span(text) };
    assert_int_equal(envelope_decode(&source, arena, ret, &dead, message, sizeof(message)), DECODE_COMMAND);
    assert_int_equal(ret->refusal, REASON_NONE);
    assert_true(ret->has_expected_version);
}

static void an_id_names_type_aggregate_and_version(void **state)
{
    (void)state;
    struct buffer text = BUFFER_EMPTY;
    struct due_command command = command_of("jobs", 7, 3);
    due_add_id(&command, &text);
    assert_buffer(&text, "sweep:job.autoclose:jobneed/7:v3");
    text = BUFFER_EMPTY;
    command = command_of("tickets", INT64_MAX, INT64_MAX);
    due_add_id(&command, &text);
    assert_true(text.size <= COMMAND_ID_MAX);
    assert_buffer(&text, "sweep:ticket.escalate:ticket/9223372036854775807:v9223372036854775807");
}

static void the_worker_reads_the_event_as_meant(void **state)
{
    (void)state;
    static const struct
    {
        const char *due_rule, *type;
        enum aggregate_kind kind;
    } cases[] = { { "jobs", "job.autoclose", AGGREGATE_JOBNEED }, { "tickets", "ticket.escalate", AGGREGATE_TICKET } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        struct arena arena;
        struct buffer text = BUFFER_EMPTY;
        struct command read;
        struct due_command command = command_of(cases[i].due_rule, 42, 5);
        arena_init(&arena);
        decode(&arena, &command, NULL, &text, &read);
        assert_true(span_is(read.type, cases[i].type));
        assert_true(span_is(read.source, due_source));
        assert_true(span_is(read.actor, "sweep"));
        assert_int_equal(read.expected_version, 5);
        assert_int_equal(read.aggregate.kind, cases[i].kind);
        assert_int_equal(read.aggregate.id.low, 42);
        arena_done(&arena);
        buffer_done(&text);
    }
}

static void the_same_command_is_the_same_body_at_any_time(void **state)
{
    (void)state;
    struct arena arena;
    struct buffer first = BUFFER_EMPTY, second = BUFFER_EMPTY;
    struct command a, b;
    struct due_command command = command_of("jobs", 7, 3);
    arena_init(&arena);
    decode(&arena, &command, "RAISETICKETNOTIFY", &first, &a);
    due_add_event(&command, "RAISETICKETNOTIFY", now_us + 60000000, &second);
    struct envelope_source source = { .key = SPAN_NULL, .value = buffer_span(&second) };
    const char *dead = NULL;
    char message[160];
    assert_int_equal(envelope_decode(&source, &arena, &b, &dead, message, sizeof(message)), DECODE_COMMAND);
    assert_memory_equal(a.identity, b.identity, DIGEST_SIZE);
    assert_memory_equal(a.body_digest, b.body_digest, DIGEST_SIZE);
    arena_done(&arena);
    buffer_done(&first);
    buffer_done(&second);
}

static void an_escalation_names_no_level(void **state)
{
    (void)state;
    struct buffer text = BUFFER_EMPTY;
    struct due_command command = command_of("tickets", 9, 1);
    due_add_event(&command, "AUTOCLOSENOTIFY", now_us, &text); /* which tickets do not have */
    buffer_add_byte(&text, '\0');
    assert_null(strstr(text.at, "level"));
    assert_null(strstr(text.at, "notify"));
    assert_non_null(strstr(text.at, "\"data\":{\"ticket_id\":9}}"));
    buffer_done(&text);
}

static void there_are_two_sweeps(void **state)
{
    (void)state;
    assert_null(due_find("job"));
    assert_null(due_find(""));
    assert_ptr_equal(due_find("jobs"), &due_rules[0]);
    assert_ptr_equal(due_find("tickets"), &due_rules[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_names_type_aggregate_and_version),
        cmocka_unit_test(the_worker_reads_the_event_as_meant),
        cmocka_unit_test(the_same_command_is_the_same_body_at_any_time),
        cmocka_unit_test(an_escalation_names_no_level),
        cmocka_unit_test(there_are_two_sweeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
