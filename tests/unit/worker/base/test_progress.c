/* Progress: when the line is written, and what a terminal, a pipe and a short work get of it. The clock is the test's.
 */
#include "tests/fixtures/cmocka.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/base/progress.h"

#define MS INT64_C(1000)
#define S INT64_C(1000000)

struct ends
{
    int reads, writes;
    char text[8192];
};

static void open_pipe(struct ends *ends)
{
    int both[2];

    assert_int_equal(pipe2(both, O_NONBLOCK | O_CLOEXEC), 0);
    *ends = (struct ends){ .reads = both[0], .writes = both[1] };
}

static void open_terminal(struct ends *ends)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    *ends = (struct ends){ .reads = master, .writes = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC) };
    assert_true(ends->writes >= 0);
}

static void close_both(struct ends *ends)
{
    close(ends->reads);
    close(ends->writes);
}

/* All that came since the last call. A terminal hands bytes on in its own time, in pieces: a mark goes after them. */
static const char *came(struct ends *ends)
{
    static const char mark = '\x01';
    size_t size = 0;

    assert_int_equal(write(ends->writes, &mark, 1), 1);
    while (size == 0 || ends->text[size - 1] != mark)
    {
        struct pollfd waits = { .fd = ends->reads, .events = POLLIN };
        assert_int_equal(poll(&waits, 1, 30000), 1);
        ssize_t more = read(ends->reads, ends->text + size, sizeof(ends->text) - size);
        assert_true(more > 0);
        size += (size_t)more;
    }
    ends->text[size - 1] = '\0';
    return ends->text;
}

static int count(const char *text, char byte)
{
    int found = 0;

    for (; *text; text++)
        found += *text == byte;
    return found;
}

static void begin(struct progress_line *line, struct ends *ends, int64_t now_us)
{
    progress_line_begin(line, ends->writes, "prune", now_us);
    snprintf(line->stage, sizeof(line->stage), "stretches of inbox");
}

static void work_that_ends_within_two_seconds_says_nothing(void **state)
{
    (void)state;
    void (*const kinds[])(struct ends *) = { open_pipe, open_terminal };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
    {
        struct progress_line line;
        struct ends ends;
        kinds[i](&ends);
        begin(&line, &ends, 7 * S);
        for (int64_t at = 7 * S; at < 9 * S; at += 50 * MS)
            progress_line_tick(&line, at);
        progress_line_hide(&line, 9 * S);
        assert_string_equal(came(&ends), "");
        close_both(&ends);
    }
}

static void a_pipe_gets_a_plain_line_every_ten_seconds(void **state)
{
    (void)state;
    struct progress_line line;
    struct ends ends;
    open_pipe(&ends);
    begin(&line, &ends, 0);
    line.of = 40;
    for (int64_t at = 0; at <= 31 * S; at += 100 * MS)
    {
        line.done = at / S;
        progress_line_tick(&line, at);
    }
    progress_line_hide(&line, 31 * S);
    assert_string_equal(came(&ends), "interlock prune: stretches of inbox: 10 of 40 (10 s)\n"
                                     "interlock prune: stretches of inbox: 20 of 40 (20 s)\n"
                                     "interlock prune: stretches of inbox: 30 of 40 (30 s)\n");
    close_both(&ends);
}

static void a_terminal_has_one_line_rewritten_at_most_four_times_a_second(void **state)
{
    (void)state;
    struct progress_line line;
    struct ends ends;
    open_terminal(&ends);
    begin(&line, &ends, 0);
    for (int64_t at = 0; at < 4 * S; at += 10 * MS)
        progress_line_tick(&line, at);
    const char *text = came(&ends);
    assert_int_equal(count(text, '\r'), 8);
    assert_int_equal(count(text, '\n'), 0);
    assert_int_equal(strncmp(text, "\rinterlock prune: stretches of inbox (2 s)\r", 43), 0);
    close_both(&ends);
}

static void the_line_on_the_terminal_is_gone_at_the_end(void **state)
{
    (void)state;
    struct progress_line line;
    struct ends ends;
    open_terminal(&ends);
    begin(&line, &ends, 0);
    progress_line_tick(&line, 3 * S);
    assert_string_equal(came(&ends), "\rinterlock prune: stretches of inbox (3 s)");
    snprintf(line.stage, sizeof(line.stage), "x"); /* shorter: the rest is covered */
    progress_line_tick(&line, 4 * S);
    assert_string_equal(came(&ends), "\rinterlock prune: x (4 s)                 ");
    progress_line_hide(&line, 4 * S);
    assert_string_equal(came(&ends), "\r                                         \r");
    progress_line_tick(&line, 4 * S + 100 * MS); /* nothing stands there, and it is too early for the next */
    progress_line_hide(&line, 4 * S + 100 * MS);
    assert_string_equal(came(&ends), "");
    close_both(&ends);
}

static void a_line_never_wraps(void **state)
{
    (void)state;
    struct progress_line line;
    struct ends ends;
    open_terminal(&ends);
    begin(&line, &ends, 0);
    memset(line.stage, 'x', sizeof(line.stage) - 1);
    line.stage[sizeof(line.stage) - 1] = '\0';
    line.done = INT64_MAX;
    line.of = INT64_MAX;
    progress_line_tick(&line, 3 * S);
    assert_int_equal(strlen(came(&ends)), 1 + PROGRESS_LINE_MAX);
    close_both(&ends);
}

static void without_a_beginning_nothing_is_done(void **state)
{
    (void)state;
    progress_stage("events read");
    progress_count(1, 0);
    progress_hide();
    progress_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_that_ends_within_two_seconds_says_nothing),
        cmocka_unit_test(a_pipe_gets_a_plain_line_every_ten_seconds),
        cmocka_unit_test(a_terminal_has_one_line_rewritten_at_most_four_times_a_second),
        cmocka_unit_test(the_line_on_the_terminal_is_gone_at_the_end),
        cmocka_unit_test(a_line_never_wraps),
        cmocka_unit_test(without_a_beginning_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
