#include "consumers/kafka/login.h"

#include <string.h>

static bool get(const rd_kafka_conf_t *conf, const char *name, char *into, size_t size)
{
    into[0] = '\0';
    return rd_kafka_conf_get(conf, name, into, &size) == RD_KAFKA_CONF_OK;
}

/* The mechanism, where there is a login at all. */
static bool get_mechanism(const rd_kafka_conf_t *conf, char *into, size_t size)
{
    char protocol[32];

    return get(conf, "security.protocol", protocol, sizeof(protocol)) && strncmp(protocol, "sasl", 4) == 0 &&
           get(conf, "sasl.mechanisms", into, size);
}

/* Tokens come by OIDC, or from a callback that a program brings and we do not: without any, librdkafka waits for ever.
 */
bool login_is_possible(const rd_kafka_conf_t *conf, struct buffer *reterr)
{
    char mechanism[64], method[32], unsecured[16], features[512];

    if (!get_mechanism(conf, mechanism, sizeof(mechanism)) || strcmp(mechanism, "OAUTHBEARER") != 0)
        return true;
    bool oidc = get(conf, "sasl.oauthbearer.method", method, sizeof(method)) && strcmp(method, "oidc") == 0;
    bool built = get(conf, "builtin.features", features, sizeof(features)) && strstr(features, "oidc") != NULL;
    if (oidc ? built
             : get(conf, "enable.sasl.oauthbearer.unsecure.jwt", unsecured, sizeof(unsecured)) &&
                   strcmp(unsecured, "true") == 0)
        return true;
    buffer_add_text(reterr, "sasl.mechanisms = OAUTHBEARER takes its tokens by OIDC");
    if (built)
        buffer_add_text(reterr, ": set sasl.oauthbearer.method = oidc");
    else
    {
        buffer_add_text(reterr, ", which librdkafka ");
        buffer_add_text(reterr, rd_kafka_version_str());
        buffer_add_text(reterr, " was built without here: use PLAIN over TLS, or certificates, or another librdkafka");
    }
    return false;
}

/* confluentinc/librdkafka 4895: its nonce is sent twice, which Kafka 4 compares and Kafka 3 did not. */
bool login_is_doubtful(const rd_kafka_conf_t *conf)
{
    char mechanism[64];

    return rd_kafka_version() < LOGIN_SCRAM_CURED && get_mechanism(conf, mechanism, sizeof(mechanism)) &&
           strncmp(mechanism, "SCRAM-", 6) == 0;
}

const char *login_find_bare(const rd_kafka_conf_t *conf)
{
    char text[64];

    if (!get(conf, "security.protocol", text, sizeof(text)) || strcmp(text, "plaintext") == 0)
        return "not encrypted, the brokers not verified";
    if (strcmp(text, "sasl_plaintext") == 0)
        return "not encrypted, the password included (sasl_plaintext), the brokers not verified";
    if (get(conf, "enable.ssl.certificate.verification", text, sizeof(text)) && strcmp(text, "false") == 0)
        return "encrypted, the brokers not verified (enable.ssl.certificate.verification = false)";
    if (get(conf, "ssl.endpoint.identification.algorithm", text, sizeof(text)) && strcmp(text, "none") == 0)
        return "encrypted, but any server of that authority passes for a broker "
               "(ssl.endpoint.identification.algorithm = none)";
    return NULL;
}
