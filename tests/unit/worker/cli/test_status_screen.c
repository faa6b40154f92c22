#include "tests/fixtures/cmocka.h"

#include <jansson.h>

#include "worker/cli/status_screen.h"

static void where_is(const char *document_text, const char *expected)
{
    json_t *document = json_loads(document_text, 0, NULL);
    struct buffer line = BUFFER_EMPTY;

    assert_non_null(document);
    status_screen_print_where(document, &line);
    buffer_add_byte(&line, '\0');
    assert_string_equal(line.at, expected);
    buffer_done(&line);
    json_decref(document);
}

static void numbers_of_the_group_that_are_old_say_so(void **state)
{
    (void)state;
    where_is(
        "{\"group\":\"a\",\"delivery\":\"exactly_once\",\"up_s\":7,\"of_group\":{\"workers\":{\"ready\":1,\"seen\":2}},"
        "\"of_group_age_s\":4}",
        "group a, 1 of 2 workers ready, exactly once, up 7 s");
    where_is(
        "{\"group\":\"a\",\"delivery\":\"exactly_once\",\"up_s\":7,\"of_group\":{\"workers\":{\"ready\":1,\"seen\":2}},"
        "\"of_group_age_s\":8}",
        "group a, 1 of 2 workers ready 8 s ago, exactly once, up 7 s");
    where_is("{\"group\":\"a\",\"delivery\":\"at_least_once\",\"up_s\":7,\"of_group\":null,\"of_group_age_s\":null}",
             "group a, at least once, up 7 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_the_group_that_are_old_say_so),
    };
    return cmocka_run_group_tests_name("status_screen", tests, NULL, NULL);
}
