/* wrap: rd_kafka_version_str */
#include "tests/fixtures/cmocka.h"

#include <librdkafka/rdkafka.h>

#include "consumers/kafka/library.h"

__typeof__(rd_kafka_version_str) __wrap_rd_kafka_version_str;

const char *__wrap_rd_kafka_version_str(void)
{
    return "9.8.7";
}

static void the_version_is_asked_of_the_library_that_runs(void **state)
{
    (void)state;
    assert_string_equal(library_version(), "9.8.7");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_version_is_asked_of_the_library_that_runs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
