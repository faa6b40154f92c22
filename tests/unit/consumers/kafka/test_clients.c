/* wrap: rd_kafka_conf_set */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

enum
{
    KINDS = CLIENT_ADMIN + 1
};

static struct settings settings;
static struct buffer fault;

/* The names that only newer libraries know are set as the library at hand takes them, or as an older or a newer one. */
static enum
{
    LIBRARY_AT_HAND,
    LIBRARY_OLDER,
    LIBRARY_NEWER
} library;
static char newer_set[512]; /* "name=value " of those that only LIBRARY_NEWER knows */

__typeof__(rd_kafka_conf_set) __real_rd_kafka_conf_set;
__typeof__(rd_kafka_conf_set) __wrap_rd_kafka_conf_set;

rd_kafka_conf_res_t __wrap_rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, char *problem,
                                             size_t size)
{
    static const char *const names[] = { "enable.metrics.push", "retry.backoff.max.ms", "fetch.queue.backoff.ms" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names) && library != LIBRARY_AT_HAND; i++)
        if (strcmp(name, names[i]) == 0)
        {
            size_t used = strlen(newer_set);
            snprintf(problem, size, "No such configuration property: \"%s\"", name);
            if (library == LIBRARY_NEWER)
                snprintf(newer_set + used, sizeof(newer_set) - used, "%s=%s ", name, value);
            return library == LIBRARY_NEWER ? RD_KAFKA_CONF_OK : RD_KAFKA_CONF_UNKNOWN;
        }
    return __real_rd_kafka_conf_set(conf, name, value, problem, size);
}

static int set_up(void **state)
{
    (void)state;
    return settings_load(&settings, NULL, &fault) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    settings_done(&settings);
    buffer_done(&fault);
    return 0;
}

static rd_kafka_conf_t *conf_of(int kind)
{
    rd_kafka_conf_t *conf = clients_conf(&settings, (enum client_kind)kind, &fault);
    assert_non_null(conf);
    return conf;
}

static void a_broker_that_is_gone_is_given_up_by_every_client_within_seconds(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
    {
        rd_kafka_conf_t *conf = conf_of(kind);
        assert_in_range(clients_number(conf, "socket.connection.setup.timeout.ms", -1), 1000, 5000);
        assert_in_range(clients_number(conf, "socket.timeout.ms", -1), 1000, 10000);
        assert_in_range(clients_number(conf, "reconnect.backoff.max.ms", -1), 100, 1000);
        rd_kafka_conf_destroy(conf);
    }
}

static void a_transaction_s_requests_are_given_up_before_the_broker_ends_it(void **state)
{
    (void)state;
    int64_t kept_us = settings.consumers.transaction_timeout_us;
    settings.consumers.transaction_timeout_us = 4000000;
    rd_kafka_conf_t *conf = conf_of(CLIENT_TRANSACTIONAL);
    assert_int_equal(clients_number(conf, "transaction.timeout.ms", -1), 4000);
    assert_int_equal(clients_number(conf, "socket.timeout.ms", -1), 2000);
    rd_kafka_conf_destroy(conf);
    settings.consumers.transaction_timeout_us = kept_us;
}

static void the_operator_s_pairs_count_but_not_against_the_protocol(void **state)
{
    (void)state;
    char setup[] = "socket.connection.setup.timeout.ms", longer[] = "20000", level[] = "isolation.level";
    char dirty[] = "read_uncommitted", read[32] = "";
    size_t size = sizeof(read);
    struct settings_pair pairs[] = { { .name = setup, .value = longer }, { .name = level, .value = dirty } };
    struct settings_pairs kept = settings.kafka.consumer;

    settings.kafka.consumer = (struct settings_pairs){ .at = pairs, .count = 2 };
    rd_kafka_conf_t *conf = conf_of(CLIENT_CONSUMER);
    assert_int_equal(clients_number(conf, setup, -1), 20000);
    assert_int_equal(rd_kafka_conf_get(conf, level, read, &size), RD_KAFKA_CONF_OK);
    assert_string_equal(read, "read_committed");
    rd_kafka_conf_destroy(conf);
    settings.kafka.consumer = kept;
}

static void settings_that_only_newer_libraries_know_are_set_where_they_are_known(void **state)
{
    static const char *const expected[KINDS] = {
        [CLIENT_CONSUMER] = "fetch.queue.backoff.ms=50 enable.metrics.push=false ",
        [CLIENT_TRANSACTIONAL] = "retry.backoff.max.ms=8 enable.metrics.push=false ",
        [CLIENT_IDEMPOTENT] = "retry.backoff.max.ms=8 enable.metrics.push=false ",
        [CLIENT_READER] = "fetch.queue.backoff.ms=50 enable.metrics.push=false ",
        [CLIENT_ADMIN] = "enable.metrics.push=false ",
    };
    (void)state;

    for (int kind = 0; kind < KINDS; kind++)
    {
        library = LIBRARY_OLDER;
        rd_kafka_conf_destroy(conf_of(kind));
        library = LIBRARY_NEWER;
        newer_set[0] = '\0';
        rd_kafka_conf_destroy(conf_of(kind));
        assert_string_equal(newer_set, expected[kind]);
    }
    library = LIBRARY_AT_HAND;
}

static int64_t end_of_a_client(enum client_kind kind)
{
    rd_kafka_conf_t *conf = conf_of((int)kind);
    if (kind == CLIENT_TRANSACTIONAL)
        assert_true(clients_set(conf, "transactional.id", "test", &fault));
    rd_kafka_t *client = clients_new(kind, conf, &fault);
    assert_non_null(client);
    int64_t begun_us = monotonic_us();
    assert_true(clients_destroy(client, 30000000));
    return monotonic_us() - begun_us;
}

/* A worker has half a dozen of them, and K3 rebuilds them one after another. A library that waits for its telemetry
 * takes a second each time; a machine that is busy may take as long, but not five times in a row. */
static void a_client_ends_within_half_a_second(void **state)
{
    static char nowhere[] = "127.0.0.1:1";
    char *kept = settings.kafka.bootstrap;
    (void)state;

    settings.kafka.bootstrap = nowhere;
    for (int kind = 0; kind < KINDS; kind++)
    {
        int64_t shortest_us = INT64_MAX;
        for (int round = 0; round < 5 && shortest_us >= 500000; round++)
        {
            int64_t took_us = end_of_a_client((enum client_kind)kind);
            shortest_us = took_us < shortest_us ? took_us : shortest_us;
        }
        assert_true(shortest_us < 500000);
    }
    settings.kafka.bootstrap = kept;
}

/* PROTOCOL O7. */
static void a_lost_answer_of_the_group_costs_no_more_than_a_drain_and_ten_seconds(void **state)
{
    static const int fetchers[] = { CLIENT_CONSUMER, CLIENT_READER };
    (void)state;

    for (size_t i = 0; i < sizeof(fetchers) / sizeof(*fetchers); i++)
    {
        rd_kafka_conf_t *conf = conf_of(fetchers[i]);
        assert_int_equal(clients_number(conf, "max.poll.interval.ms", -1), 20000);
        assert_int_equal(clients_number(conf, "session.timeout.ms", -1), 10000);
        rd_kafka_conf_destroy(conf);
    }
    int64_t kept_us = settings.consumers.session_timeout_us;
    settings.consumers.session_timeout_us = 45000000;
    for (size_t i = 0; i < sizeof(fetchers) / sizeof(*fetchers); i++)
    {
        rd_kafka_t *client = clients_new((enum client_kind)fetchers[i], conf_of(fetchers[i]), &fault);
        assert_non_null(client); /* librdkafka wants no session longer than that */
        assert_true(clients_destroy(client, 5000000));
    }
    settings.consumers.session_timeout_us = kept_us;
}

/* --- what the library says ---------------------------------------------------------------------------------------- */

/* A producer that reaches nobody ends with a message in its queue: *into is what standard error got. */
static void end_a_producer_that_reaches_nobody(char *into, size_t size)
{
    int real_stderr = dup(STDERR_FILENO), ends[2];
    const struct span bootstrap = SPAN_LITERAL("127.0.0.1:1");
    rd_kafka_conf_t *conf = conf_of(CLIENT_IDEMPOTENT);

    assert_true(clients_set(conf, "bootstrap.servers", bootstrap.at, &fault));
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    rd_kafka_t *client = clients_new(CLIENT_IDEMPOTENT, conf, &fault);
    assert_non_null(client);
    rd_kafka_producev(client, RD_KAFKA_V_TOPIC("t"), RD_KAFKA_V_VALUE(clients_copied("x"), 1),
                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    char why[CONTACT_TEXT_MAX] = "";
    for (int64_t until_us = monotonic_us() + 10000000; monotonic_us() < until_us && why[0] == '\0';)
    {
        rd_kafka_poll(client, 10);
        contact_problem(client, why, sizeof(why));
    }
    rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(ends[1]);
    ssize_t got = read(ends[0], into, size - 1);
    into[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    assert_string_not_equal(why, "");
}

static void a_verb_that_tells_its_failure_is_not_interrupted_by_the_library_s_lines(void **state)
{
    char said[4096];

    (void)state;
    int64_t until_us = monotonic_us() + 10000000;
    do /* of such lines one a second is written */
        end_a_producer_that_reaches_nobody(said, sizeof(said));
    while (strstr(said, "kafka: ") == NULL && monotonic_us() < until_us);
    assert_non_null(strstr(said, "kafka: "));
    clients_log_news(false);
    for (until_us = monotonic_us() + 1500000; monotonic_us() < until_us;)
    {
        end_a_producer_that_reaches_nobody(said, sizeof(said));
        assert_string_equal(said, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_is_gone_is_given_up_by_every_client_within_seconds),
        cmocka_unit_test(a_transaction_s_requests_are_given_up_before_the_broker_ends_it),
        cmocka_unit_test(the_operator_s_pairs_count_but_not_against_the_protocol),
        cmocka_unit_test(settings_that_only_newer_libraries_know_are_set_where_they_are_known),
        cmocka_unit_test(a_client_ends_within_half_a_second),
        cmocka_unit_test(a_lost_answer_of_the_group_costs_no_more_than_a_drain_and_ten_seconds),
        cmocka_unit_test(a_verb_that_tells_its_failure_is_not_interrupted_by_the_library_s_lines),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
