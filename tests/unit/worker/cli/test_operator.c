/* wrap: isatty query_connect query_run_script PQexecParams PQfinish */
/* Operator: the common options, the dry run's command line, and who is asked before something is done. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fixtures/result.h"
#include "worker/cli/operator.h"
#include "worker/postgres/query.h"

enum
{
    WORDS_MAX = 24,
    WORD_MAX = 64,
    VALUES_MAX = 8,
    SAID_MAX = 4096,
};

static const char usage[] = "usage: of the test\n";

static struct
{
    struct settings settings;
    struct invocation invocation;
    struct intent intent;
    char words[WORDS_MAX][WORD_MAX], *argv[WORDS_MAX + 1];
    const char *key;
    bool wide;

    bool terminal;
    int streams[2], kept[2]; /* standard output and error, while they are caught */
    char out[SAID_MAX], err[SAID_MAX];

    enum session_kind kind;
    char application[64], script[256];
    char *sent[VALUES_MAX];
    int statements, finished;
    const char *answer; /* of the next statement; NULL: it fails */
} scene;

static char no_env[] = "", env[] = "production";

/* --- PostgreSQL and the terminal, replaced ----------------------------------------------------------------------- */

__typeof__(isatty) __wrap_isatty;
__typeof__(query_connect) __wrap_query_connect;
__typeof__(query_run_script) __wrap_query_run_script;
__typeof__(PQexecParams) __wrap_PQexecParams;
__typeof__(PQfinish) __wrap_PQfinish;

#define A_CONNECTION ((PGconn *)&scene)

int __wrap_isatty(int stream)
{
    (void)stream;
    return scene.terminal;
}

PGconn *__wrap_query_connect(const struct settings *settings, enum session_kind kind, const char *application,
                             struct buffer *reterr)
{
    (void)reterr;
    assert_ptr_equal(settings, &scene.settings);
    scene.kind = kind;
    snprintf(scene.application, sizeof(scene.application), "%s", application);
    return A_CONNECTION;
}

PGresult *__wrap_query_run_script(PGconn *connection, const char *script, const char *name, struct buffer *reterr)
{
    (void)name;
    assert_ptr_equal(connection, A_CONNECTION);
    snprintf(scene.script, sizeof(scene.script), "%s", script);
    if (scene.answer)
        return PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
    buffer_add_text(reterr, "the session was lost");
    return NULL;
}

PGresult *__wrap_PQexecParams(PGconn *connection, const char *statement, int count, const Oid *types,
                              const char *const *values, const int *sizes, const int *formats, int format)
{
    (void)connection, (void)statement, (void)types, (void)sizes, (void)formats, (void)format;
    scene.statements++;
    assert_in_range(count, 0, VALUES_MAX);
    for (int i = 0; i < count; i++)
    {
        free(scene.sent[i]);
        scene.sent[i] = values[i] ? strdup(values[i]) : NULL;
    }
    return result_of(1, 1, &scene.answer);
}

void __wrap_PQfinish(PGconn *connection)
{
    assert_ptr_equal(connection, A_CONNECTION);
    scene.finished++;
}

/* --- the scene --------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.settings.operators.env = no_env;
    scene.intent = INTENT_EMPTY;
    scene.answer = "42";
    setenv("INTERLOCK_OPERATOR", "anna", 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    operator_done(&scene.intent);
    for (int i = 0; i < VALUES_MAX; i++)
        free(scene.sent[i]);
    return 0;
}

static void catch_streams(void)
{
    fflush(stdout);
    for (int i = 0; i < 2; i++)
    {
        scene.kept[i] = dup(i + 1);
        scene.streams[i] = memfd_create("stream", 0);
        assert_true(dup2(scene.streams[i], i + 1) == i + 1);
    }
}

static void release_streams(void)
{
    char *const into[] = { scene.out, scene.err };

    fflush(stdout);
    for (int i = 0; i < 2; i++)
    {
        dup2(scene.kept[i], i + 1);
        ssize_t size = pread(scene.streams[i], into[i], SAID_MAX - 1, 0);
        into[i][size > 0 ? size : 0] = '\0';
        close(scene.kept[i]);
        close(scene.streams[i]);
    }
}

/* The words of a line, as a shell would split one without quotes; `_` stands for a blank within a word. */
static void say(const char *line)
{
    char copy[512], *rest = NULL;

    snprintf(copy, sizeof(copy), "%s", line);
    scene.invocation = (struct invocation){ .settings = &scene.settings, .argv = scene.argv };
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
    {
        for (char *at = word; *at; at++)
            *at = *at == '_' ? ' ' : *at;
        assert_true(scene.invocation.argc < WORDS_MAX);
        snprintf(scene.words[scene.invocation.argc], WORD_MAX, "%s", word);
        scene.argv[scene.invocation.argc] = scene.words[scene.invocation.argc];
        scene.invocation.argc++;
    }
}

static bool parse(const char *line)
{
    const struct verb_option own[] = { { "--key", &scene.key, NULL },
                                       { "--wide", NULL, &scene.wide },
                                       { NULL, NULL, NULL } };

    say(line);
    catch_streams();
    bool good = operator_parse(&scene.invocation, &scene.intent, own, usage);
    release_streams();
    return good;
}

static void assert_words(const char *expected)
{
    buffer_add_byte(&scene.intent.words, '\0');
    assert_string_equal(scene.intent.words.at, expected);
}

static void assert_filter(const char *expected)
{
    buffer_add_byte(&scene.intent.filter, '\0');
    assert_string_equal(scene.intent.filter.at, expected);
}

static void assert_said(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("without \"%s\":\n%s", part, text);
}

/* --- the command line -------------------------------------------------------------------------------------------- */

static void the_common_options_are_taken_out_and_the_rest_is_kept_for_a_shell(void **state)
{
    (void)state;
    assert_true(parse("verb first --reason no_reason --key a_b --as=bert --before 2026-11-24T09:00:00Z "
                      "--expect 7 --wide --execute second"));
    assert_words("first --key 'a b' --wide second");
    assert_true(scene.intent.execute);
    assert_false(scene.intent.all);
    assert_string_equal(scene.intent.reason, "no reason");
    assert_string_equal(scene.intent.actor, "bert");
    assert_string_equal(scene.intent.before, "2026-11-24T09:00:00.000000Z");
    assert_int_equal(scene.intent.expected, 7);
    assert_string_equal(scene.key, "a b");
    assert_true(scene.wide);
    assert_int_equal(scene.invocation.argc, 3);
}

static void all_is_kept_because_it_says_which_ones(void **state)
{
    (void)state;
    assert_true(parse("verb --all --as bert"));
    assert_words("--all");
    assert_filter("{\"all\":true}");
    assert_int_equal(scene.intent.expected, -1);
}

static void words_behind_two_dashes_are_operands(void **state)
{
    (void)state;
    assert_true(parse("verb -- --reason x"));
    assert_words("-- --reason x");
    assert_null(scene.intent.reason);
    assert_filter("{\"operands\":[\"--reason\",\"x\"]}");
}

static void the_filter_is_what_was_asked_for(void **state)
{
    (void)state;
    assert_true(parse("verb --key say_\"hi\"\n\xff --reason r --wide one two"));
    buffer_add_byte(&scene.intent.filter, '\0');
    assert_said(scene.intent.filter.at, "{\"key\":\"say \\\"hi\\\"");
    assert_said(scene.intent.filter.at, "\",\"wide\":true,\"operands\":[\"one\",\"two\"]}");
    assert_null(strchr(scene.intent.filter.at, '\n'));
    assert_null(strchr(scene.intent.filter.at, '\xff'));
}

static void a_dry_run_without_options_asks_for_nothing(void **state)
{
    (void)state;
    assert_true(parse("verb"));
    assert_words("");
    assert_filter("{}");
    assert_string_equal(scene.intent.actor, "anna");
    assert_null(scene.intent.before);
    assert_string_equal(scene.intent.before_text, "");
}

static void an_execution_without_reason_or_number_is_refused(void **state)
{
    static const struct
    {
        const char *line, *says;
    } cases[] = { { "verb --execute", "--execute needs a --reason" },
                  { "verb --all --execute --reason r", "--all --execute needs --expect" },
                  { "verb --expect many", "--expect many: accepted is the number" },
                  { "verb --expect -1", "--expect -1: accepted is the number" },
                  { "verb --before noon", "--before noon: accepted is a time" },
                  { "verb --unknown", "unknown option --unknown" } };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        assert_false(parse(cases[i].line));
        assert_said(scene.err, cases[i].says);
        operator_done(&scene.intent);
        scene.intent = INTENT_EMPTY;
    }
    assert_true(parse("verb --all --execute --reason r --expect 0"));
    assert_int_equal(scene.intent.expected, 0);
}

static void a_verb_is_told_which_ones_once(void **state)
{
    static const struct
    {
        bool filtered, all;
        const char *says;
    } cases[] = { { true, false, NULL },
                  { false, true, NULL },
                  { true, true, "--all and a filter exclude each other" },
                  { false, false, "which ones?" } };
    (void)state;

    say("verb");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        scene.intent.all = cases[i].all;
        catch_streams();
        bool good = operator_check_filter(&scene.invocation, &scene.intent, cases[i].filtered, usage);
        release_streams();
        assert_int_equal(good, cases[i].says == NULL);
        assert_said(scene.err, cases[i].says ? cases[i].says : "");
    }
}

/* --- the environment --------------------------------------------------------------------------------------------- */

/* `answer`: what somebody types; NULL: nothing can be read. */
static bool may_act(bool executes, const char *answer)
{
    int kept = dup(STDIN_FILENO), typed = memfd_create("typed", 0);

    if (answer)
        assert_int_equal(pwrite(typed, answer, strlen(answer), 0), (int)strlen(answer));
    dup2(typed, STDIN_FILENO);
    clearerr(stdin);
    say("verb");
    catch_streams();
    bool may = operator_may_act(&scene.invocation, executes);
    release_streams();
    dup2(kept, STDIN_FILENO);
    close(kept);
    close(typed);
    return may;
}

static void without_a_named_environment_nobody_is_asked(void **state)
{
    (void)state;
    scene.terminal = true;
    assert_true(may_act(true, NULL));
    assert_true(may_act(false, NULL));
    assert_string_equal(scene.err, "");
}

static void a_dry_run_says_the_environment_and_is_not_asked(void **state)
{
    (void)state;
    scene.settings.operators.env = env;
    assert_true(may_act(false, NULL));
    assert_string_equal(scene.err, "interlock verb: env = production: a dry run, nothing is changed\n");
    scene.terminal = true;
    assert_true(may_act(false, NULL));
    assert_said(scene.err, "\x1b[1;31minterlock verb: env = production");
}

static void on_a_terminal_the_word_has_to_be_typed(void **state)
{
    (void)state;
    scene.settings.operators.env = env;
    scene.terminal = true;
    assert_true(may_act(true, "production\n"));
    assert_false(may_act(true, "yes\n"));
    assert_said(scene.err, "the answer was not production: nothing was done");
    assert_false(may_act(true, "production!\n"));
    assert_false(may_act(true, NULL));
}

static void a_script_is_never_asked(void **state)
{
    (void)state;
    scene.settings.operators.env = env;
    assert_true(may_act(true, NULL));
    assert_string_equal(scene.err, "");
}

/* --- PostgreSQL -------------------------------------------------------------------------------------------------- */

static void a_session_that_only_looks_is_read_only(void **state)
{
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    say("verb");
    assert_ptr_equal(operator_connect(&scene.invocation, false, &fault), A_CONNECTION);
    assert_int_equal(scene.kind, SESSION_READS);
    assert_string_equal(scene.application, "interlock verb");
    assert_said(scene.script, "SET default_transaction_read_only = on; SET search_path = pg_catalog");
    assert_ptr_equal(operator_connect(&scene.invocation, true, &fault), A_CONNECTION);
    assert_int_equal(scene.kind, SESSION_WRITES);
    assert_null(strstr(scene.script, "read_only"));
    assert_said(scene.script, "SET search_path = pg_catalog; SET statement_timeout");
    assert_int_equal(scene.finished, 0);
}

static void a_session_that_cannot_be_set_up_is_closed(void **state)
{
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    say("verb");
    scene.answer = NULL;
    assert_null(operator_connect(&scene.invocation, true, &fault));
    assert_int_equal(scene.finished, 1);
    assert_true(fault.size > 0);
    buffer_done(&fault);
}

static void the_time_of_a_dry_run_is_postgresql_s_unless_one_is_given(void **state)
{
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    scene.answer = "2026-11-24T09:00:00.000001Z";
    assert_true(operator_note_now(&scene.intent, A_CONNECTION, &fault));
    assert_string_equal(scene.intent.before_text, scene.answer);
    scene.answer = "2026-11-24T10:00:00.000000Z";
    scene.intent.before = scene.intent.before_text;
    assert_true(operator_note_now(&scene.intent, A_CONNECTION, &fault));
    assert_string_equal(scene.intent.before_text, "2026-11-24T09:00:00.000001Z");
    assert_int_equal(scene.statements, 1);
}

static void the_command_to_type_does_the_same_and_nothing_else(void **state)
{
    struct buffer line = BUFFER_EMPTY;
    (void)state;

    assert_true(parse("verb --key a_b --reason r --before 2026-11-24T09:00:00Z one"));
    operator_add_to_do(&line, &scene.invocation, &scene.intent, 3);
    buffer_add_byte(&line, '\0');
    assert_string_equal(line.at, "interlock verb --key 'a b' one --before 2026-11-24T09:00:00.000000Z --expect 3 "
                                 "--execute --reason \"...\"");
    buffer_clear(&line);
    scene.invocation.config_file = "my file";
    operator_add_to_do(&line, &scene.invocation, &scene.intent, 3);
    buffer_add_byte(&line, '\0');
    assert_said(line.at, "interlock verb --config 'my file' --key ");
    buffer_done(&line);
}

static void another_number_than_the_expected_one_is_refused(void **state)
{
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    assert_true(operator_agrees(&scene.intent, 5, &fault));
    scene.intent.expected = 5;
    assert_true(operator_agrees(&scene.intent, 5, &fault));
    assert_int_equal(fault.size, 0);
    assert_false(operator_agrees(&scene.intent, 6, &fault));
    buffer_add_byte(&fault, '\0');
    assert_said(fault.at, "5 expected, and it would be 6 now: nothing was done");
    buffer_done(&fault);
    fault = BUFFER_EMPTY;
    scene.intent.expected = 0;
    assert_false(operator_agrees(&scene.intent, 1, &fault));
    buffer_done(&fault);
}

static void the_action_says_who_why_and_what_was_asked_for(void **state)
{
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    assert_true(parse("verb --key k --reason because --as bert --before 2026-11-24T09:00:00Z --expect 3 --execute"));
    assert_int_equal(operator_begin_act(&scene.intent, A_CONNECTION, "verb part", &fault), 42);
    assert_string_equal(scene.sent[0], "verb part");
    assert_string_equal(scene.sent[1], "bert");
    assert_string_equal(scene.sent[4], "because");
    assert_string_equal(scene.sent[5], "{\"key\":\"k\"}");
    assert_string_equal(scene.sent[6], "3");
    assert_string_equal(scene.sent[7], "2026-11-24T09:00:00.000000Z");
}

static void options_that_were_not_given_are_null_in_the_action(void **state)
{
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    assert_true(parse("verb --reason because --execute"));
    assert_int_equal(operator_begin_act(&scene.intent, A_CONNECTION, "verb", &fault), 42);
    assert_null(scene.sent[6]);
    assert_null(scene.sent[7]);
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static int end_with(bool acts, bool good, const char *result, const char *problem)
{
    struct buffer out = BUFFER_EMPTY, fault = BUFFER_EMPTY;

    buffer_add_text(&out, result);
    buffer_add_text(&fault, problem);
    say("verb");
    catch_streams();
    int code = operator_end(&scene.invocation, acts, good, &out, &fault);
    release_streams();
    assert_null(out.at);
    assert_null(fault.at);
    return code;
}

static void a_verb_ends_with_its_result_or_with_its_fault(void **state)
{
    (void)state;
    assert_int_equal(end_with(false, true, "two lines\n", ""), OPERATOR_DONE);
    assert_string_equal(scene.out, "two lines\n");
    assert_string_equal(scene.err, "");
    assert_int_equal(end_with(false, false, "half a result", "it failed"), OPERATOR_NOT_DONE);
    assert_string_equal(scene.out, "");
    assert_string_equal(scene.err, "interlock verb: it failed\n");
}

static void a_missing_right_comes_with_the_role_that_has_it(void **state)
{
    (void)state;
    end_with(false, false, "", "permission denied for table x (SQLSTATE 42501)");
    assert_said(scene.err, "; interlock_reader may do this");
    end_with(true, false, "", "permission denied for table x (SQLSTATE 42501)");
    assert_said(scene.err, "; interlock_operator may do this");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_common_options_are_taken_out_and_the_rest_is_kept_for_a_shell),
        TEST(all_is_kept_because_it_says_which_ones),
        TEST(words_behind_two_dashes_are_operands),
        TEST(the_filter_is_what_was_asked_for),
        TEST(a_dry_run_without_options_asks_for_nothing),
        TEST(an_execution_without_reason_or_number_is_refused),
        TEST(a_verb_is_told_which_ones_once),
        TEST(without_a_named_environment_nobody_is_asked),
        TEST(a_dry_run_says_the_environment_and_is_not_asked),
        TEST(on_a_terminal_the_word_has_to_be_typed),
        TEST(a_script_is_never_asked),
        TEST(a_session_that_only_looks_is_read_only),
        TEST(a_session_that_cannot_be_set_up_is_closed),
        TEST(the_time_of_a_dry_run_is_postgresql_s_unless_one_is_given),
        TEST(the_command_to_type_does_the_same_and_nothing_else),
        TEST(another_number_than_the_expected_one_is_refused),
        TEST(the_action_says_who_why_and_what_was_asked_for),
        TEST(options_that_were_not_given_are_null_in_the_action),
        TEST(a_verb_ends_with_its_result_or_with_its_fault),
        TEST(a_missing_right_comes_with_the_role_that_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
