#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "worker/base/shell_word.h"

static const char *const words[] = {
    "ticket/42",   "2026-12-01T08:00:00.123Z",
    "a b",         "",
    "it's",        "'",
    "''' '",       "$HOME `id`",
    "a;b|c&d>e<f", "*?[a]",
    "new\nline",   "back\\slash",
    "\"quoted\"",  "#not a comment",
};

/* Read back by a shell. */
static void a_shell_reads_every_word_as_it_was(void **state)
{
    char line[256], read[64];
    (void)state;

    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
    {
        struct buffer word = BUFFER_EMPTY;
        shell_word_add(&word, words[i]);
        snprintf(line, sizeof(line), "printf '%%s.' %.*s", (int)word.size, word.at);
        FILE *shell = popen(line, "r");
        assert_non_null(shell);
        size_t size = fread(read, 1, sizeof(read) - 1, shell);
        read[size] = '\0';
        assert_int_equal(pclose(shell), 0);
        assert_int_equal(size, strlen(words[i]) + 1);
        assert_memory_equal(read, words[i], size - 1);
        buffer_done(&word);
    }
}

static void a_plain_word_has_no_quotes(void **state)
{
    struct buffer word = BUFFER_EMPTY;
    (void)state;

    shell_word_add(&word, words[0]);
    assert_int_equal(word.size, strlen(words[0]));
    buffer_done(&word);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shell_reads_every_word_as_it_was),
        cmocka_unit_test(a_plain_word_has_no_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
