/* Decimal: a JSON number held exactly, as a 64-bit integer and up to 18 places after the point. A double would make
 * 0.30000000000000004 of 0.1 + 0.2, and lose the last digits of a large id.
 *
 * Whether a number fits depends on its value alone, not on how it is written: 1e2, 100 and 100.0 are one decimal, so it
 * does not matter whether PostgreSQL printed the text or a command did (PROTOCOL B3).
 *
 * Threads    values; no state.
 * Failure    false: no number, or none that can be held exactly.
 */
#ifndef WORKFLOWS_DOCUMENT_DECIMAL_H
#define WORKFLOWS_DOCUMENT_DECIMAL_H

#include "workflows/base/buffer.h"

enum
{
    DECIMAL_PLACES_MAX = 18,
};

struct decimal
{
    int64_t digits; /* the value is digits / 10^places */
    int places;     /* as few as the value needs */
};

bool decimal_parse(struct span text, struct decimal *ret);

/* Both are brought to the larger number of places; they and their sum must fit 64 bits there. */
bool decimal_add(struct decimal a, struct decimal b, struct decimal *ret);

/* As JSON: -1.05, without an exponent. */
void decimal_print(struct decimal decimal, struct buffer *into);

#endif
