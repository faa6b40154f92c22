/* Where a reply of Redis ends, and which bytes are not a reply (PROTOCOL L2). */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/redis/reply.h"

static void replies_that_were_asked_for_are_measured(void **state)
{
    static const char *const texts[] = { "+PONG\r\n",  ":7\r\n",  ":-1\r\n",     "$4\r\n1011\r\n",
                                         "$0\r\n\r\n", "$-1\r\n", "-ERR no\r\n", "$3\r\n\r\n*\r\n" };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    {
        char text[64];
        size_t size = strlen(texts[i]), measured;
        const char *why;
        snprintf(text, sizeof(text), "%s+MORE\r\n", texts[i]);
        assert_int_equal(redis_reply_measure(span_of(text), &measured, &why), LOCK_REPLY_WHOLE);
        assert_int_equal(measured, size);
        for (size_t part = 0; part < size; part++)
            assert_int_equal(redis_reply_measure((struct span){ text, part }, &measured, &why), LOCK_REPLY_PART);
    }
}

static void a_reply_that_nobody_asked_for_is_refused_at_its_first_bytes(void **state)
{
    static const char *const texts[] = {
        "*",
        "*1\r\n",
        "HTTP/1.0 200 OK\r\n",
        "%1\r\n",
        "\r\n",
        "$65530\r\n",
        "$70000\r\n",
        "$999999999999999999999\r\n",
        "$-2\r\n",
        "$x\r\n",
        "$\r\n",
        ":\r\n",
        ":1x\r\n",
        "+OK\n",
        "$1\r\nxyz",
        "+O\rK\r\n",
        ":9999999999999999999999\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    {
        size_t measured;
        const char *why = NULL;
        if (redis_reply_measure(span_of(texts[i]), &measured, &why) != LOCK_REPLY_REFUSED || !why)
            fail_msg("%s", texts[i]);
    }
}

static void there_is_room_as_long_as_more_has_to_come(void **state)
{
    static const char *const heads[] = { "+", "-", ":1", "$65", "$60000\r\n" };
    char *text = malloc(LOCK_REPLY_MAX);
    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
    {
        size_t measured;
        const char *why;
        memset(text, 'x', LOCK_REPLY_MAX);
        memcpy(text, heads[i], strlen(heads[i]));
        assert_int_equal(redis_reply_measure((struct span){ text, LOCK_REPLY_MAX }, &measured, &why),
                         LOCK_REPLY_REFUSED);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_that_were_asked_for_are_measured),
        cmocka_unit_test(a_reply_that_nobody_asked_for_is_refused_at_its_first_bytes),
        cmocka_unit_test(there_is_room_as_long_as_more_has_to_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
