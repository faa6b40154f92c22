/* Options: --name value, of the measuring programs. One table a program; a wrong word ends it with the list.
 *
 * Threads    none: read once at the start.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdint.h>

struct option_row
{
    const char *name;  /* with its dashes; NULL ends the table */
    const char **text; /* exactly one of the three is not NULL */
    int64_t *integer;
    double *share;
};

void options_read(const struct option_row *rows, int argc, char **argv);

#endif
