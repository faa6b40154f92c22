/* The record of a handle that cannot reach its brokers. */
#include "tests/fixtures/cmocka.h"

#include "consumers/kafka/contact.h"

/* Handles are only looked at by their address. */
static char one, another;
#define ONE ((const rd_kafka_t *)(const void *)&one)
#define ANOTHER ((const rd_kafka_t *)(const void *)&another)

static int forget(void **state)
{
    (void)state;
    contact_forget(ONE);
    contact_forget(ANOTHER);
    return 0;
}

static void an_error_of_no_contact_is_told_by_its_reason(void **state)
{
    struct buffer says = BUFFER_EMPTY;

    (void)state;
    contact_note(ONE, "[thrd:ssl://a:1/bootstrap]: ssl://a:1/bootstrap: Connect to a:1 failed: refused (after 3ms in "
                      "state CONNECT, 2 identical error(s) suppressed)");
    contact_explain(ONE, RD_KAFKA_RESP_ERR__TRANSPORT, &says);
    buffer_add_byte(&says, '\0');
    assert_string_equal(says.at, "ssl://a:1/bootstrap: Connect to a:1 failed: refused");
    buffer_done(&says);
}

static void an_error_that_a_broker_answered_stays_what_it_is(void **state)
{
    struct buffer says = BUFFER_EMPTY;

    (void)state;
    contact_note(ONE, "a:1: Connect failed");
    contact_explain(ONE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, &says);
    buffer_add_byte(&says, '\0');
    assert_string_equal(says.at, rd_kafka_err2str(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION));
    buffer_done(&says);
}

static void a_handle_knows_its_own_reason_only(void **state)
{
    char text[CONTACT_TEXT_MAX];

    (void)state;
    contact_note(ONE, "a:1: Connect failed");
    assert_false(contact_problem(ANOTHER, text, sizeof(text)));
    assert_string_equal(text, "");
    contact_forget(ONE);
    assert_false(contact_problem(ONE, text, sizeof(text)));
}

static void a_refused_connection_asks_whether_somebody_is_there(void **state)
{
    char text[CONTACT_TEXT_MAX];

    (void)state;
    contact_note(
        ONE, "[thrd:a:1/bootstrap]: a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms "
             "in state CONNECT)");
    assert_true(contact_problem(ONE, text, sizeof(text)));
    assert_string_equal(
        text, "a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused; is Kafka running there?");
}

static void only_what_settings_must_change_is_a_refusal(void **state)
{
    (void)state;
    contact_note(ONE, "a:1: Connect to a:1 failed: Connection refused");
    assert_false(contact_is_refused(ONE));
    contact_note(ONE, "sasl_ssl://a:1: SASL authentication error: Invalid username or password");
    assert_true(contact_is_refused(ONE));
    contact_note(ONE, "ssl://a:1: SSL handshake failed: certificate verify failed");
    assert_true(contact_is_refused(ONE));
    contact_note(ONE, "sasl_ssl://a:1: SASL PLAIN mechanism handshake failed: Local: Broker transport failure");
    assert_false(contact_is_refused(ONE));
}

static void a_single_break_by_a_broker_that_goes_away_is_not_a_refusal(void **state)
{
    static const char text[] = "a:1: Disconnected while requesting ApiVersion: incorrect security.protocol?";

    (void)state;
    contact_note(ONE, text);
    assert_false(contact_is_refused(ONE));
    contact_note(ONE, text);
    assert_true(contact_is_refused(ONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_error_of_no_contact_is_told_by_its_reason, forget),
        cmocka_unit_test_teardown(an_error_that_a_broker_answered_stays_what_it_is, forget),
        cmocka_unit_test_teardown(a_handle_knows_its_own_reason_only, forget),
        cmocka_unit_test_teardown(a_single_break_by_a_broker_that_goes_away_is_not_a_refusal, forget),
        cmocka_unit_test_teardown(a_refused_connection_asks_whether_somebody_is_there, forget),
        cmocka_unit_test_teardown(only_what_settings_must_change_is_a_refusal, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
