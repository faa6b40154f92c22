#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <librdkafka/rdkafka.h>

#include "consumers/clients.h"
#include "worker/settings.h"

enum
{
    KINDS = CLIENT_ADMIN + 1
};

static struct settings settings;
static struct buffer fault;

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broker_that_is_gone_is_given_up_by_every_client_within_seconds),
        cmocka_unit_test(a_transaction_s_requests_are_given_up_before_the_broker_ends_it),
        cmocka_unit_test(the_operator_s_pairs_count_but_not_against_the_protocol),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
