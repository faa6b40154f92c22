#include "bench/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const struct option_row *rows, const char *program, const char *what)
{
    fprintf(stderr, "%s: %s; options, each with a value:", program, what);
    for (; rows->name; rows++)
        fprintf(stderr, " %s", rows->name);
    fputc('\n', stderr);
    exit(2);
}

void options_read(const struct option_row *rows, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2)
    {
        const struct option_row *row = rows;
        while (row->name && strcmp(row->name, argv[i]) != 0)
            row++;
        if (row->name == NULL || i + 1 >= argc)
            refuse(rows, argv[0], argv[i]);
        char *end = argv[i + 1] + strlen(argv[i + 1]);
        errno = 0;
        if (row->text)
            *row->text = argv[i + 1];
        else if (row->integer)
            *row->integer = strtoll(argv[i + 1], &end, 10);
        else
            *row->share = strtod(argv[i + 1], &end);
        if (errno || *end || end == argv[i + 1])
            refuse(rows, argv[0], argv[i + 1]);
    }
}
