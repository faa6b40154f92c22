/* The Redis lock on a real Redis, which the test starts and ends: what the scripts do, and outages. */
#include "tests/fixtures/lock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "worker/base/clock.h"

static struct
{
    pid_t pid;
    char url[64];
    int port;
    redisContext *context; /* the test's own eyes and hands */
} real;

static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    int holder = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(holder, (struct sockaddr *)&address, size) != 0 ||
        getsockname(holder, (struct sockaddr *)&address, &size) != 0)
        return -1;
    close(holder);
    return ntohs(address.sin_port);
}

static void start_redis(void)
{
    char port[16];
    snprintf(port, sizeof(port), "%d", real.port);
    real.pid = fork();
    if (real.pid == 0)
    {
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDOUT_FILENO);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", (char *)NULL);
        execlp("valkey-server", "valkey-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly",
               "no", (char *)NULL);
        _exit(127);
    }
}

static void stop_redis(void)
{
    if (real.pid > 0)
    {
        kill(real.pid, SIGKILL);
        waitpid(real.pid, NULL, 0);
    }
    real.pid = 0;
}

static int await_redis(void)
{
    for (int64_t deadline_us = monotonic_us() + PATIENCE_US; monotonic_us() < deadline_us; poll(NULL, 0, 5))
    {
        real.context = redisConnect("127.0.0.1", real.port);
        redisReply *reply = real.context->err ? NULL : redisCommand(real.context, "PING");
        bool answers = reply && reply->type == REDIS_REPLY_STATUS;
        if (reply)
            freeReplyObject(reply);
        if (answers)
            return 0;
        redisFree(real.context);
        real.context = NULL;
    }
    return -1;
}

static int begin_real(void **state)
{
    (void)state;
    real.port = free_port();
    snprintf(real.url, sizeof(real.url), "redis://127.0.0.1:%d", real.port);
    start_redis();
    return await_redis();
}

static int end_real(void **state)
{
    (void)state;
    if (real.context)
        redisFree(real.context);
    stop_redis();
    return 0;
}

/* An integer, or the length of a string; -1 for null. */
static long long ask(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(real.context, format, arguments);
    va_end(arguments);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    long long result = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->len;
    if (reply->type == REDIS_REPLY_NIL)
        result = -1;
    freeReplyObject(reply);
    return result;
}

static void assert_value(const char *key, const char *expected)
{
    redisReply *reply = redisCommand(real.context, "GET %s", key);
    assert_non_null(reply);
    if (expected)
        assert_string_equal(reply->str, expected);
    else
        assert_int_equal(reply->type, REDIS_REPLY_NIL);
    freeReplyObject(reply);
}

static int clear_real(void **state)
{
    (void)state;
    ask("FLUSHALL");
    return 0;
}

static void free_names_are_taken_under_the_prefix_with_owner_and_lease(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    struct lock_name names[2] = { name_of("ticket/1"), name_of("job/1") };
    int64_t before_us = monotonic_us(), valid_until_us;
    assert_int_equal(lock_acquire(lock, names, 2, &valid_until_us), LOCK_TAKEN);
    assert_true(names[0].taken && !names[0].refused && names[1].taken && !names[1].refused);
    assert_value("interlock:ticket/1", OWNER);
    assert_value("interlock:job/1", OWNER);
    assert_in_range(ask("PTTL interlock:ticket/1"), LEASE_US / 2000, LEASE_US / 1000);
    assert_in_range(valid_until_us, before_us + LEASE_US, monotonic_us() + LEASE_US);
    lock_free(lock);
}

static void each_name_has_its_own_lease_and_the_shortest_one_counts(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    struct lock_name names[3] = { name_of("a"), name_of("b"), name_of("c") };
    names[1].lease_us = 5000000;
    names[2].lease_us = 20000000;
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, names, 3, &valid_until_us), LOCK_TAKEN);
    assert_in_range(ask("PTTL interlock:a"), 9000, 10000);
    assert_in_range(ask("PTTL interlock:b"), 4000, 5000);
    assert_in_range(ask("PTTL interlock:c"), 19000, 20000);
    assert_true(valid_until_us <= monotonic_us() + 5000000);
    lock_free(lock);
}

static void a_name_of_another_is_refused_and_its_neighbours_are_taken(void **state)
{
    (void)state;
    struct lock *theirs = new_lock(real.url, "pool/1/nonce-b/0/0", PATIENCE_US);
    struct lock *ours = new_lock(real.url, OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(theirs, "ticket/2"), LOCK_TAKEN);
    struct lock_name names[3] = { name_of("ticket/1"), name_of("ticket/2"), name_of("ticket/3") };
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(ours, names, 3, &valid_until_us), LOCK_TAKEN);
    assert_true(names[0].taken && names[1].refused && names[2].taken);
    assert_true(!names[0].refused && !names[1].taken && !names[2].refused);
    assert_value("interlock:ticket/2", "pool/1/nonce-b/0/0");
    lock_release_send(ours, names, 3);
    lock_free(ours);
    assert_value("interlock:ticket/1", NULL);
    assert_value("interlock:ticket/2", "pool/1/nonce-b/0/0");
    lock_free(theirs);
}

static void a_lock_that_is_ours_already_is_taken_again_with_a_new_lease(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_TAKEN);
    ask("PEXPIRE interlock:ticket/1 1000");
    struct lock_name name = name_of("ticket/1");
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
    assert_true(name.taken);
    assert_in_range(ask("PTTL interlock:ticket/1"), 9000, 10000);
    lock_free(lock);
}

/* PROTOCOL L2: of our group and slot with another nonce. */
static void an_orphan_of_our_slot_is_taken_and_nobody_elses(void **state)
{
    (void)state;
    static const struct
    {
        const char *value;
        bool taken;
    } values[] = {
        { "pool/0/nonce-z/0/1", true },   /* a former process of our slot, the same lane */
        { "pool/0/nonce-z/3/7", true },   /* another lane of it */
        { "pool/0/nonce-a/0/2", false },  /* another lane of this process */
        { "pool/0/nonce-ab/0/1", true },  /* a nonce that ours is the beginning of */
        { "pool/1/nonce-a/0/1", false },  /* another slot */
        { "pool/00/nonce-z/0/1", false }, /* another slot that ours is the beginning of */
        { "poo/0/nonce-z/0/1", false },   /* another group */
        { "somebody", false },
        { "", false },
    };
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
    {
        ask("SET interlock:ticket/1 %s", values[i].value);
        struct lock_name name = name_of("ticket/1");
        int64_t valid_until_us;
        assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
        if (name.taken != values[i].taken || name.refused == values[i].taken)
            fail_msg("%s: taken %d, refused %d", values[i].value, name.taken, name.refused);
        assert_value("interlock:ticket/1", values[i].taken ? OWNER : values[i].value);
    }
    lock_free(lock);
}

static void an_owner_without_a_nonce_has_no_orphans(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, "me", PATIENCE_US);
    ask("SET interlock:ticket/1 you");
    struct lock_name name = name_of("ticket/1");
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
    assert_true(name.refused);
    lock_free(lock);
}

static void a_release_deletes_only_what_still_has_our_value(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    struct lock_name names[3] = { name_of("kept"), name_of("lost"), name_of("expired") };
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, names, 3, &valid_until_us), LOCK_TAKEN);
    ask("SET interlock:lost somebody");
    ask("DEL interlock:expired");
    lock_release_send(lock, names, 3);
    assert_int_equal(acquire_one(lock, "next"), LOCK_TAKEN);
    assert_value("interlock:kept", NULL);
    assert_value("interlock:lost", "somebody");
    assert_value("interlock:expired", NULL);
    lock_free(lock);
}

static void a_lease_that_ended_is_not_deleted_from_its_next_holder(void **state)
{
    (void)state;
    struct lock *slow = new_lock(real.url, OWNER, PATIENCE_US);
    struct lock *next = new_lock(real.url, "pool/1/nonce-b/0/0", PATIENCE_US);
    struct lock_name name = name_of("ticket/1");
    name.lease_us = 20000;
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(slow, &name, 1, &valid_until_us), LOCK_TAKEN);
    struct lock_name theirs = name_of("ticket/1");
    int64_t ignored_us, deadline_us = monotonic_us() + PATIENCE_US;
    do
    {
        assert_int_equal(lock_acquire(next, &theirs, 1, &ignored_us), LOCK_TAKEN);
        assert_true(monotonic_us() < deadline_us);
    } while (theirs.refused);
    assert_true(monotonic_us() >= valid_until_us - 1000); /* never before our own clock says so; Redis counts in ms */
    lock_release_send(slow, &name, 1);
    lock_free(slow);
    assert_value("interlock:ticket/1", "pool/1/nonce-b/0/0");
    lock_free(next);
}

static void an_extension_renews_what_is_ours_and_nothing_else(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    struct lock_name names[3] = { name_of("a"), name_of("b"), name_of("c") };
    int64_t valid_until_us;
    ask("SET interlock:c somebody");
    assert_int_equal(lock_acquire(lock, names, 3, &valid_until_us), LOCK_TAKEN);
    assert_true(names[2].refused);
    ask("PEXPIRE interlock:a 1000");
    int64_t extended_until_us;
    assert_int_equal(lock_extend(lock, names, 3, &extended_until_us), LOCK_TAKEN);
    assert_true(extended_until_us > valid_until_us);
    assert_in_range(ask("PTTL interlock:a"), 9000, 10000);
    assert_int_equal(ask("PERSIST interlock:c"), 0);
    /* One of them lost: that is no error, but nothing is valid any more. */
    ask("SET interlock:b somebody PX 500000");
    assert_int_equal(lock_extend(lock, names, 3, &extended_until_us), LOCK_TAKEN);
    assert_int_equal(extended_until_us, 0);
    assert_in_range(ask("PTTL interlock:b"), 400000, 500000);
    lock_free(lock);
}

static void a_call_of_more_names_than_lua_can_unpack_takes_and_releases_them_all(void **state)
{
    (void)state;
    enum
    {
        MANY = 9001,
    };
    static char texts[MANY][24];
    static struct lock_name names[MANY];
    for (int i = 0; i < MANY; i++)
    {
        snprintf(texts[i], sizeof(texts[i]), "ticket/%d", i);
        names[i] = name_of(texts[i]);
    }
    ask("SET interlock:ticket/4500 somebody");
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, names, MANY, &valid_until_us), LOCK_TAKEN);
    for (int i = 0; i < MANY; i++)
        assert_true(names[i].taken == (i != 4500) && names[i].refused == (i == 4500));
    assert_int_equal(ask("DBSIZE"), MANY);
    assert_int_equal(lock_extend(lock, names, MANY, &valid_until_us), LOCK_TAKEN);
    assert_true(valid_until_us > 0);
    lock_release_send(lock, names, MANY);
    lock_free(lock);
    assert_int_equal(ask("DBSIZE"), 1);
}

static void no_names_are_no_call(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    int64_t valid_until_us;
    assert_int_equal(lock_acquire(lock, NULL, 0, &valid_until_us), LOCK_TAKEN);
    lock_release_send(lock, NULL, 0);
    lock_free(lock);
}

static void a_flush_of_scripts_is_not_noticed(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    struct lock_name name = name_of("ticket/1");
    int64_t valid_until_us;
    for (int i = 0; i < 3; i++)
    {
        ask("SCRIPT FLUSH");
        assert_int_equal(lock_acquire(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
        assert_int_equal(lock_extend(lock, &name, 1, &valid_until_us), LOCK_TAKEN);
        lock_release_send(lock, &name, 1);
    }
    lock_free(lock);
    assert_value("interlock:ticket/1", NULL);
}

static void a_frozen_redis_costs_one_wait_and_is_used_again_when_it_thaws(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, TIMEOUT_US);
    await_taken(lock, "ticket/1");
    kill(real.pid, SIGSTOP);
    while (acquire_one(lock, "ticket/1") != LOCK_DEGRADED)
        ;
    int64_t begun_us = monotonic_us();
    for (int i = 0; i < 10000; i++)
        assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_true(monotonic_us() - begun_us < QUICK_US);
    kill(real.pid, SIGCONT);
    await_taken(lock, "ticket/1");
    lock_free(lock);
}

static void a_redis_that_was_killed_and_started_again_is_used_again(void **state)
{
    (void)state;
    struct lock *lock = new_lock(real.url, OWNER, PATIENCE_US);
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_TAKEN);
    redisFree(real.context);
    real.context = NULL;
    stop_redis();
    assert_int_equal(acquire_one(lock, "ticket/1"), LOCK_DEGRADED);
    assert_true(strlen(lock_reason(lock)) > 0);
    start_redis();
    assert_int_equal(await_redis(), 0);
    await_taken(lock, "ticket/1");
    assert_value("interlock:ticket/1", OWNER);
    lock_free(lock);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(free_names_are_taken_under_the_prefix_with_owner_and_lease, clear_real),
        cmocka_unit_test_setup(each_name_has_its_own_lease_and_the_shortest_one_counts, clear_real),
        cmocka_unit_test_setup(a_name_of_another_is_refused_and_its_neighbours_are_taken, clear_real),
        cmocka_unit_test_setup(a_lock_that_is_ours_already_is_taken_again_with_a_new_lease, clear_real),
        cmocka_unit_test_setup(an_orphan_of_our_slot_is_taken_and_nobody_elses, clear_real),
        cmocka_unit_test_setup(an_owner_without_a_nonce_has_no_orphans, clear_real),
        cmocka_unit_test_setup(a_release_deletes_only_what_still_has_our_value, clear_real),
        cmocka_unit_test_setup(a_lease_that_ended_is_not_deleted_from_its_next_holder, clear_real),
        cmocka_unit_test_setup(an_extension_renews_what_is_ours_and_nothing_else, clear_real),
        cmocka_unit_test_setup(a_call_of_more_names_than_lua_can_unpack_takes_and_releases_them_all, clear_real),
        cmocka_unit_test_setup(no_names_are_no_call, clear_real),
        cmocka_unit_test_setup(a_flush_of_scripts_is_not_noticed, clear_real),
        cmocka_unit_test_setup(a_frozen_redis_costs_one_wait_and_is_used_again_when_it_thaws, clear_real),
        cmocka_unit_test_setup(a_redis_that_was_killed_and_started_again_is_used_again, clear_real),
    };
    return cmocka_run_group_tests(tests, begin_real, end_real);
}
