#include "worker/base/shell_word.h"

#include <string.h>

void shell_word_add(struct buffer *into, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@+%";

    if (*word && word[strspn(word, plain)] == '\0')
    {
        buffer_add_text(into, word);
        return;
    }
    buffer_add_byte(into, '\'');
    for (; *word; word++)
        if (*word == '\'')
            buffer_add_text(into, "'\\''");
        else
            buffer_add_byte(into, *word);
    buffer_add_byte(into, '\'');
}
