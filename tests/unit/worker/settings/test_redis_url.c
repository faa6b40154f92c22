/* Redis URLs: what is taken, what is refused, and that a password never shows. */
#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/settings/redis_url.h"

static const struct
{
    const char *text, *host, *path, *user, *password;
    int port, database;
} good[] = {
    { "redis://127.0.0.1:7000", "127.0.0.1", NULL, NULL, NULL, 7000, 0 },
    { "redis://localhost", "localhost", NULL, NULL, NULL, 6379, 0 },
    { "redis://localhost/", "localhost", NULL, NULL, NULL, 6379, 0 },
    { "redis://127.0.0.1:7000/3", "127.0.0.1", NULL, NULL, NULL, 7000, 3 },
    { "redis://:secret@h:1/0", "h", NULL, NULL, "secret", 1, 0 },
    { "redis://worker:secret@h", "h", NULL, "worker", "secret", 6379, 0 },
    { "redis://:a%40b%2fc%25@h", "h", NULL, NULL, "a@b/c%", 6379, 0 },
    { "redis://:p@ss@h:2", "h", NULL, NULL, "p@ss", 2, 0 },
    { "redis://:@h", "h", NULL, NULL, "", 6379, 0 },
    { "redis://[::1]:7000", "::1", NULL, NULL, NULL, 7000, 0 },
    { "redis://[::1]", "::1", NULL, NULL, NULL, 6379, 0 },
    { "unix:/run/redis.sock", NULL, "/run/redis.sock", NULL, NULL, 6379, 0 },
};

static const char *const bad[] = {
    "",
    "redis",
    "http://h:1",
    "redis://",
    "redis://:1",
    "redis://h:",
    "redis://h:0",
    "redis://h:65536",
    "redis://h:123456",
    "redis://h:-1",
    "redis://h:1x",
    "redis://h:1/x",
    "redis://h:1/10000",
    "redis://h:1/0/1",
    "redis://[::1",
    "redis://[::1]7",
    "redis://secret@h",
    "redis://:sec%ret@h",
    "redis://:sec%0@h",
    "redis://:sec%00ret@h",
    "unix:",
};

static void assert_text(const char *is, const char *expected)
{
    if (expected)
        assert_string_equal(is, expected);
    else
        assert_null(is);
}

static void every_documented_form_is_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
    {
        struct redis_url url;
        const char *problem;
        assert_true(redis_url_parse(good[i].text, &url, &problem));
        assert_text(url.host, good[i].host);
        assert_text(url.path, good[i].path);
        assert_text(url.user, good[i].user);
        assert_text(url.password, good[i].password);
        assert_int_equal(url.port, good[i].port);
        assert_int_equal(url.database, good[i].database);
        redis_url_done(&url);
    }
}

static void a_text_that_is_not_a_url_is_refused_with_a_reason_that_does_not_quote_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    {
        struct redis_url url;
        const char *problem;
        assert_false(redis_url_parse(bad[i], &url, &problem));
        assert_true(strlen(problem) > 0);
        assert_null(strstr(problem, "sec"));
        assert_null(url.host);
        assert_null(url.password);
    }
}

static void the_place_is_printed_without_credentials(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "redis://worker:secret@h:1/2", "h:1" },
        { "redis://[::1]:7", "[::1]:7" },
        { "unix:/run/redis.sock", "unix:/run/redis.sock" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
    {
        struct redis_url url;
        const char *problem;
        char where[64];
        assert_true(redis_url_parse(pairs[i][0], &url, &problem));
        redis_url_print_where(&url, where, sizeof(where));
        assert_string_equal(where, pairs[i][1]);
        redis_url_done(&url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_documented_form_is_taken_apart),
        cmocka_unit_test(a_text_that_is_not_a_url_is_refused_with_a_reason_that_does_not_quote_it),
        cmocka_unit_test(the_place_is_printed_without_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
