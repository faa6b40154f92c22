/* Log: lines that terminals and JSON readers survive, one write each. */
#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "worker/base/clock.h"
#include "worker/base/log.h"

enum
{
    LINES_MAX = 64 * 1024,
};

static int pipe_ends[2];
static int real_stderr;
static char text[LINES_MAX];

static int catch_stderr(void **state)
{
    (void)state;
    real_stderr = dup(STDERR_FILENO);
    return pipe(pipe_ends) != 0 || dup2(pipe_ends[1], STDERR_FILENO) < 0;
}

/* The bytes written since catch_stderr. */
static const char *release_stderr(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(pipe_ends[1]);
    size_t size = 0;
    for (ssize_t part; (part = read(pipe_ends[0], text + size, sizeof(text) - 1 - size)) > 0;)
        size += (size_t)part;
    close(pipe_ends[0]);
    text[size] = '\0';
    return text;
}

static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s: %s", error.text, line);
    return root;
}

static void a_line_has_time_level_thread_and_message(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, false);
    pthread_setname_np(pthread_self(), "lane-3");
    log_warning("partition %d of %s", 7, "t");
    const char *line = release_stderr();
    assert_int_equal(line[4], '-');
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    assert_string_equal(line + 24, " warning [lane-3] partition 7 of t\n");
}

static void levels_above_the_limit_are_left_out(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_WARNING, false);
    assert_true(log_is_on(LOG_LEVEL_ERROR) && log_is_on(LOG_LEVEL_WARNING));
    assert_false(log_is_on(LOG_LEVEL_INFO) || log_is_on(LOG_LEVEL_DEBUG));
    log_info("not this");
    log_debug("nor this");
    assert_string_equal(release_stderr(), "");
}

static void control_bytes_are_escaped_in_text(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, false);
    log_info("a\nb\x1b[31m\x7f \xc3\xa9 \xff");
    assert_non_null(strstr(release_stderr(), "a\\u000ab\\u001b[31m\\u007f \xc3\xa9 \\ufffd\n"));
}

static void json_lines_are_json_whatever_the_message(void **state)
{
    (void)state;
    log_setup(LOG_LEVEL_INFO, true);
    log_error("\"q\" \\ \n\t\x01 \xc3\xa9 \xed\xa0\x80 \xf0\x9f\x98\x80 \xff");
    json_t *root = parse(release_stderr());
    assert_string_equal(json_string_value(json_object_get(root, "level")), "error");
    assert_non_null(json_object_get(root, "time"));
    assert_non_null(json_object_get(root, "thread"));
    assert_string_equal(
        json_string_value(json_object_get(root, "message")),
        "\"q\" \\ \n\t\x01 \xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80 \xef\xbf\xbd");
    json_decref(root);
}

static void a_message_that_is_too_long_is_cut_and_stays_one_line(void **state)
{
    (void)state;
    char message[8192];
    log_setup(LOG_LEVEL_INFO, true);
    memset(message, 1, sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    log_info("%s", message);
    const char *line = release_stderr();
    assert_int_equal(line[strlen(line) - 1], '\n');
    json_t *root = parse(line);
    assert_in_range(json_string_length(json_object_get(root, "message")), 2000, 2048);
    json_decref(root);
}

static void a_rate_lets_one_line_through_and_counts_the_others(void **state)
{
    (void)state;
    struct log_rate rate = { 0 };
    log_setup(LOG_LEVEL_INFO, false);
    assert_true(log_allowed(&rate, 60000000));
    assert_false(log_allowed(&rate, 60000000));
    assert_false(log_allowed(&rate, 60000000));
    assert_true(log_allowed(&rate, 0));
    assert_true(log_allowed(&rate, 0));
    const char *lines = release_stderr();
    assert_non_null(strstr(lines, "2 lines like the next one were left out"));
    assert_int_equal(strchr(lines, '\n')[1], '\0');
}

static void *write_lines(void *owner)
{
    (void)owner;
    for (int i = 0; i < 100; i++)
        log_info("line %d of a thread, with a tail long enough to be torn apart", i);
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[4];
    int lines = 0;
    log_setup(LOG_LEVEL_INFO, true);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
    /* 400 lines of about 140 bytes fit into a pipe. */
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    release_stderr();
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), lines++)
        json_decref(parse(line));
    assert_int_equal(lines, 400);
}

#define TEST(function) cmocka_unit_test_setup(function, catch_stderr)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_thread_and_message),
        TEST(levels_above_the_limit_are_left_out),
        TEST(control_bytes_are_escaped_in_text),
        TEST(json_lines_are_json_whatever_the_message),
        TEST(a_message_that_is_too_long_is_cut_and_stays_one_line),
        TEST(a_rate_lets_one_line_through_and_counts_the_others),
        TEST(lines_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
