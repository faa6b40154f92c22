#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/kafka/login.h"

/* The settings of a handle, judged before it connects. */

static struct
{
    rd_kafka_conf_t *conf;
    struct buffer why;
} scene;

static int set_up(void **state)
{
    (void)state;
    scene.conf = rd_kafka_conf_new();
    scene.why = BUFFER_EMPTY;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rd_kafka_conf_destroy(scene.conf);
    buffer_done(&scene.why);
    return 0;
}

static void set(const char *name, const char *value)
{
    char problem[256];
    if (rd_kafka_conf_set(scene.conf, name, value, problem, sizeof(problem)) != RD_KAFKA_CONF_OK)
        fail_msg("%s = %s: %s", name, value, problem);
}

static bool has(const char *feature)
{
    char features[512];
    size_t size = sizeof(features);
    return rd_kafka_conf_get(scene.conf, "builtin.features", features, &size) == RD_KAFKA_CONF_OK &&
           strstr(features, feature) != NULL;
}

static void assert_bare(const char *part)
{
    const char *bare = login_find_bare(scene.conf);
    if (part == NULL)
        assert_null(bare);
    else if (bare == NULL || strstr(bare, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", bare ? bare : "", part);
}

static void plain_text_is_bare(void **state)
{
    (void)state;
    assert_bare("not encrypted, the brokers not verified");
    set("security.protocol", "sasl_plaintext");
    assert_bare("the password included");
}

static void encryption_with_verified_brokers_is_not_bare(void **state)
{
    (void)state;
    set("security.protocol", "ssl");
    set("ssl.endpoint.identification.algorithm", "https");
    assert_bare(NULL);
    set("security.protocol", "sasl_ssl");
    assert_bare(NULL);
}

static void encryption_without_verification_is_bare(void **state)
{
    (void)state;
    set("security.protocol", "ssl");
    set("ssl.endpoint.identification.algorithm", "none");
    assert_bare("any server of that authority");
    set("enable.ssl.certificate.verification", "false");
    assert_bare("the brokers not verified (enable.ssl.certificate.verification");
}

static void a_login_by_password_is_possible(void **state)
{
    (void)state;
    assert_true(login_is_possible(scene.conf, &scene.why));
    set("security.protocol", "sasl_ssl");
    set("sasl.mechanisms", "PLAIN");
    assert_true(login_is_possible(scene.conf, &scene.why));
    assert_int_equal(scene.why.size, 0);
}

static void a_token_that_nobody_brings_is_refused_with_the_way_out(void **state)
{
    (void)state;
    set("security.protocol", "sasl_ssl");
    set("sasl.mechanisms", "OAUTHBEARER");
    assert_false(login_is_possible(scene.conf, &scene.why));
    buffer_add_byte(&scene.why, '\0');
    assert_non_null(strstr(scene.why.at, "OAUTHBEARER takes its tokens by OIDC"));
    assert_non_null(strstr(scene.why.at, has("oidc") ? "set sasl.oauthbearer.method = oidc" : "another librdkafka"));
    if (!has("oidc"))
        return; /* librdkafka does not let it be set either */
    set("sasl.oauthbearer.method", "oidc");
    assert_true(login_is_possible(scene.conf, &scene.why));
}

static void a_mechanism_without_a_login_does_not_count(void **state)
{
    (void)state;
    set("sasl.mechanisms", "OAUTHBEARER"); /* security.protocol is plaintext */
    assert_true(login_is_possible(scene.conf, &scene.why));
    set("sasl.mechanisms", "SCRAM-SHA-256");
    assert_false(login_is_doubtful(scene.conf));
}

static void unsecured_tokens_are_made_by_librdkafka_itself(void **state)
{
    (void)state;
    set("security.protocol", "sasl_plaintext");
    set("sasl.mechanisms", "OAUTHBEARER");
    set("enable.sasl.oauthbearer.unsecure.jwt", "true");
    assert_true(login_is_possible(scene.conf, &scene.why));
}

static void scram_is_doubtful_before_librdkafka_was_cured(void **state)
{
    (void)state;
    set("security.protocol", "sasl_ssl");
    set("sasl.mechanisms", "PLAIN");
    assert_false(login_is_doubtful(scene.conf));
    set("sasl.mechanisms", "SCRAM-SHA-512");
    assert_int_equal(login_is_doubtful(scene.conf), rd_kafka_version() < LOGIN_SCRAM_CURED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_text_is_bare, set_up, tear_down),
        cmocka_unit_test_setup_teardown(encryption_with_verified_brokers_is_not_bare, set_up, tear_down),
        cmocka_unit_test_setup_teardown(encryption_without_verification_is_bare, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_login_by_password_is_possible, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_that_nobody_brings_is_refused_with_the_way_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mechanism_without_a_login_does_not_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unsecured_tokens_are_made_by_librdkafka_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scram_is_doubtful_before_librdkafka_was_cured, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
