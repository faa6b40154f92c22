/* Commands: the stream that the measurements apply. Command `number` of a mix is always the same bytes, so a stream can
 * be repeated, and a duplicate is the same number again.
 *
 * Threads    pure functions.
 */
#ifndef BENCH_COMMANDS_H
#define BENCH_COMMANDS_H

#include <stddef.h>
#include <stdint.h>

struct commands_mix
{
    uint64_t seed;
    int64_t tickets;                          /* ids 1 to this exist */
    int64_t hot_keys;                         /* > 0: only so many of them are used */
    double duplicates, refusals, undecodable; /* shares, 0 to 1 */
};

enum
{
    COMMAND_TEXT_MAX = 1024,
    DUPLICATE_REACH = 1000, /* a duplicate repeats one of the so many commands before it */
};

struct command_text
{
    char key[32];
    char value[COMMAND_TEXT_MAX];
    size_t key_size, value_size;
};

/* Message `place` of the stream: a command, or one of those before it again. Returns the command's number. */
uint64_t commands_make(const struct commands_mix *mix, uint64_t place, struct command_text *ret);

/* The number in a command id that commands_make printed; UINT64_MAX: it is another's. */
uint64_t commands_number_of(const struct commands_mix *mix, const char *id, size_t size);

#endif
