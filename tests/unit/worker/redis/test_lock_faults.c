/* fake: redis. The Redis lock (PROTOCOL L2) under errors, lies and silence, played by a scripted
 * server. */
#include "tests/fixtures/lock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/redis.h"
#include "worker/base/clock.h"

#define HELLO \
    { \
        "PING", NULL, FAKE_REPLY, "+PONG\r\n" \
    }
#define TAKES_ONE \
    { \
        "EVALSHA", NULL, FAKE_REPLY, "$1\r\n1\r\n" \
    }
#define END \
    { \
        NULL, NULL, FAKE_REPLY, NULL \
    }

static void a_script_that_redis_forgot_is_sent_again_with_its_text(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        HELLO,
        { "EVALSHA", NULL, FAKE_REPLY, "-NOSCRIPT No matching script. Please use EVAL.\r\n" },
        { "EVAL", NULL, FAKE_REPLY, "$1\r\n1\r\n" },
        TAKES_ONE,
        END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_TAKEN);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_TAKEN);
    assert_string_equal(lock_reason(lock), "");
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void a_forgotten_release_is_sent_again_before_the_next_call(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        HELLO,
        TAKES_ONE,
        { "EVALSHA", NULL, FAKE_REPLY, "-NOSCRIPT No matching script.\r\n" },
        { "EVAL", NULL, FAKE_REPLY, ":1\r\n" },
        TAKES_ONE,
        END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, PATIENCE_US);
    struct lock_name name = name_of("ticket/1");
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
    lock_release_send(lock, &name, 1);
    assert_int_equal(acquire_one(lock, "ticket/2"), LOCK_TAKEN);
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

/* One reply that is no answer: the batch goes on without, the connection is dropped, a new one serves. */
static void check_refusal(const char *reply, const char *reason)
{
    const struct fake_redis_step steps[] = { HELLO, { "EVALSHA", NULL, FAKE_REPLY, reply }, HELLO, TAKES_ONE, END };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, PATIENCE_US);
    struct lock_name name = name_of("ticket/1");
    int64_t valid_until_us = 1;
    assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_DEGRADED);
    assert_false(name.taken);
    assert_false(name.refused);
    assert_int_equal(valid_until_us, 0);
    assert_reason_has(lock, reason);
    assert_reason_has(lock, "127.0.0.1:");
    await_taken(lock, "ticket/1");
    assert_string_equal(lock_reason(lock), "");
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void a_busy_redis_degrades(void **state)
{
    (void)state;
    check_refusal("-BUSY Redis is busy running a script.\r\n", "BUSY Redis is busy");
}

static void a_replica_degrades(void **state)
{
    (void)state;
    check_refusal("-READONLY You can't write against a read only replica.\r\n", "READONLY");
}

static void a_redis_that_asks_for_a_password_degrades(void **state)
{
    (void)state;
    check_refusal("-NOAUTH Authentication required.\r\n", "NOAUTH");
}

static void a_full_redis_degrades(void **state)
{
    (void)state;
    check_refusal("-OOM command not allowed when used memory > 'maxmemory'.\r\n", "OOM");
}

static void garbage_degrades(void **state)
{
    (void)state;
    check_refusal("HTTP/1.1 400 Bad Request\r\n\r\n", "not from Redis");
}

static void an_answer_of_another_length_degrades(void **state)
{
    (void)state;
    check_refusal("$2\r\n11\r\n", "unexpected answer");
}

static void an_answer_of_other_letters_degrades(void **state)
{
    (void)state;
    check_refusal("$1\r\nx\r\n", "unexpected answer");
}

static void an_answer_of_another_type_degrades(void **state)
{
    (void)state;
    check_refusal(":1\r\n", "unexpected answer");
}

/* hiredis would take memory for what the first line promises, before it has come. */
static void an_answer_without_an_end_degrades_at_its_first_bytes(void **state)
{
    (void)state;
    check_refusal("*1\r\n:1\r\n", "an array");
    check_refusal("*1000000000\r\n", "an array");
    check_refusal("$512000000\r\n1", "larger than any");
    check_refusal("$65530\r\n1", "larger than any");
}

static void more_than_was_asked_for_degrades(void **state)
{
    (void)state;
    check_refusal("$1\r\n1\r\n$1\r\n1\r\n", "more bytes than were asked for");
    check_refusal("$1\r\n1\r\n+", "more bytes than were asked for");
}

static void a_null_answer_degrades(void **state)
{
    (void)state;
    check_refusal("$-1\r\n", "unexpected answer");
}

static void control_bytes_of_an_error_do_not_reach_the_reason(void **state)
{
    (void)state;
    check_refusal("-ERR \033[31mred\r\n", "ERR  [31mred");
}

static void an_endless_error_text_is_cut(void **state)
{
    (void)state;
    char reply[1200];
    memset(reply, 'x', sizeof(reply));
    memcpy(reply, "-ERR ", 5);
    memcpy(reply + sizeof(reply) - 3, "\r\n", 3);
    check_refusal(reply, "ERR xxxx");
}

static void a_connection_that_closes_in_an_answer_degrades(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        HELLO, { "EVALSHA", NULL, FAKE_CLOSE, "$1\r" }, HELLO, TAKES_ONE, END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_reason_has(lock, "Server closed the connection");
    await_taken(lock, "ticket/1");
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void a_silent_redis_is_waited_for_once_and_again_after_every_reconnect(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        HELLO, { "EVALSHA", NULL, FAKE_SILENT, NULL }, HELLO, { "EVALSHA", NULL, FAKE_SILENT, NULL }, HELLO, TAKES_ONE,
        END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, TIMEOUT_US);
    for (int connection = 1; connection <= 2; connection++)
    {
        int64_t deadline_us = monotonic_us() + PATIENCE_US, took_us = 0;
        while (took_us < TIMEOUT_US) /* the calls between are answered at once */
        {
            int64_t begun_us = monotonic_us();
            assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
            took_us = monotonic_us() - begun_us;
            assert_true(monotonic_us() < deadline_us);
            poll(NULL, 0, 1);
        }
        assert_reason_has(lock, "no answer within 40 ms");
    }
    await_taken(lock, "ticket/1");
    assert_int_equal(fake_redis_connections(fake), 3);
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void credentials_and_database_come_first_and_the_password_never_shows(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        { "AUTH", "s3cret", FAKE_REPLY, "+OK\r\n" }, { "SELECT", "5", FAKE_REPLY, "+OK\r\n" }, HELLO, TAKES_ONE, END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    char url[96];
    snprintf(url, sizeof(url), "redis://:s3cret@%s/5", fake_redis_url(fake) + strlen("redis://"));
    struct lock *lock = new_lock(url, OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_TAKEN);
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void a_refused_password_never_shows_even_where_redis_repeats_it(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        { "AUTH", "worker", FAKE_CLOSE,
          "-ERR unknown command 'AUTH', with args beginning with: 'worker' 's3cret'\r\n" },
        END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    char url[96];
    snprintf(url, sizeof(url), "redis://worker:s3cret@%s", fake_redis_url(fake) + strlen("redis://"));
    struct lock *lock = new_lock(url, OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_reason_has(lock, "AUTH: ERR");
    assert_null(strstr(lock_reason(lock), "s3cret"));
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void a_database_that_is_not_there_degrades(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        { "SELECT", "99", FAKE_CLOSE, "-ERR DB index is out of range\r\n" },
        END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    char url[96];
    snprintf(url, sizeof(url), "%s/99", fake_redis_url(fake));
    struct lock *lock = new_lock(url, OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_reason_has(lock, "SELECT: ERR DB index is out of range");
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void a_redis_that_is_not_there_costs_a_batch_nothing(void **state)
{
    (void)state;
    /* A port that nobody listens on: bound, never listened. */
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int holder = socket(AF_INET, SOCK_STREAM, 0);
    assert_return_code(bind(holder, (struct sockaddr *)&address, size), 0);
    assert_return_code(getsockname(holder, (struct sockaddr *)&address, &size), 0);
    char url[64];
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", ntohs(address.sin_port));
    struct lock *lock = new_lock(url, OWNER, PATIENCE_US);
    int64_t begun_us = monotonic_us();
    for (int i = 0; i < 10000; i++)
        assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_true(monotonic_us() - begun_us < QUICK_US);
    assert_reason_has(lock, "Connection refused");
    lock_free(lock);
    close(holder);
}

static void a_listener_that_never_answers_costs_one_wait_and_then_nothing(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = { { "PING", NULL, FAKE_SILENT, NULL }, END };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, TIMEOUT_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_reason_has(lock, "no answer within 40 ms");
    int64_t begun_us = monotonic_us();
    for (int i = 0; i < 10000; i++)
        assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_true(monotonic_us() - begun_us < QUICK_US);
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

static void without_a_url_or_with_a_wrong_one_it_is_always_degraded_and_says_why(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { NULL, "Redis is not set" },
        { "", "Redis is not set" },
        { "redis://:pw@h:x", "redis.url: no host:port" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
    {
        struct lock *lock = new_lock(pairs[i][0], OWNER, PATIENCE_US);
        assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
        assert_string_equal(lock_reason(lock), pairs[i][1]);
        struct lock_name name = name_of("ticket/1");
        lock_release_send(lock, &name, 1);
        lock_free(lock);
    }
}

static void a_lie_about_a_release_ends_the_connection_and_nothing_else(void **state)
{
    (void)state;
    static const struct fake_redis_step steps[] = {
        HELLO, TAKES_ONE, { "EVALSHA", NULL, FAKE_REPLY, ":7\r\n" }, HELLO, TAKES_ONE, END,
    };
    struct fake_redis *fake = fake_redis_begin(steps);
    struct lock *lock = new_lock(fake_redis_url(fake), OWNER, PATIENCE_US);
    struct lock_name name = name_of("ticket/1");
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
    lock_release_send(lock, &name, 1);
    assert_int_equal(acquire_one(lock, "ticket/2"), LOCK_DEGRADED);
    await_taken(lock, "ticket/2");
    lock_free(lock);
    assert_true(fake_redis_end(fake));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_script_that_redis_forgot_is_sent_again_with_its_text),
        cmocka_unit_test(a_forgotten_release_is_sent_again_before_the_next_call),
        cmocka_unit_test(a_busy_redis_degrades),
        cmocka_unit_test(a_replica_degrades),
        cmocka_unit_test(a_redis_that_asks_for_a_password_degrades),
        cmocka_unit_test(a_full_redis_degrades),
        cmocka_unit_test(garbage_degrades),
        cmocka_unit_test(an_answer_of_another_length_degrades),
        cmocka_unit_test(an_answer_of_other_letters_degrades),
        cmocka_unit_test(an_answer_of_another_type_degrades),
        cmocka_unit_test(an_answer_without_an_end_degrades_at_its_first_bytes),
        cmocka_unit_test(more_than_was_asked_for_degrades),
        cmocka_unit_test(a_null_answer_degrades),
        cmocka_unit_test(control_bytes_of_an_error_do_not_reach_the_reason),
        cmocka_unit_test(an_endless_error_text_is_cut),
        cmocka_unit_test(a_connection_that_closes_in_an_answer_degrades),
        cmocka_unit_test(a_silent_redis_is_waited_for_once_and_again_after_every_reconnect),
        cmocka_unit_test(credentials_and_database_come_first_and_the_password_never_shows),
        cmocka_unit_test(a_refused_password_never_shows_even_where_redis_repeats_it),
        cmocka_unit_test(a_database_that_is_not_there_degrades),
        cmocka_unit_test(a_redis_that_is_not_there_costs_a_batch_nothing),
        cmocka_unit_test(a_listener_that_never_answers_costs_one_wait_and_then_nothing),
        cmocka_unit_test(without_a_url_or_with_a_wrong_one_it_is_always_degraded_and_says_why),
        cmocka_unit_test(a_lie_about_a_release_ends_the_connection_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
