#include "workflows/document_number.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

enum
{
    COPY_SIZE = 64, /* longer numbers are copied to the arena for strtod */
};

static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Powers of ten that a double holds exactly. */
static const double exact_powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

struct digits /* what the number's text says */
{
    uint64_t mantissa; /* of all digits; exact up to 19 of them */
    int count;         /* digits from the first that is not 0 */
    int fraction;      /* how many of the digits stand behind the point */
    int exponent;
    bool negative;
    bool whole; /* neither fraction nor exponent */
};

static const char *scan_digits(const char *at, const char *end, struct digits *digits)
{
    for (; at < end && is_digit(*at); at++)
    {
        digits->mantissa = digits->mantissa * 10 + (uint64_t)(*at - '0');
        digits->count += digits->mantissa != 0 || digits->count > 0;
    }
    return at;
}

/* Returns the end of the number, or NULL when it is not one. */
static const char *scan_number(const char *at, const char *end, struct digits *digits)
{
    digits->negative = *at == '-';
    at += digits->negative;
    if (at == end || !is_digit(*at))
        return NULL;
    digits->whole = true;
    at = *at == '0' ? at + 1 : scan_digits(at, end, digits);
    if (at < end && *at == '.')
    {
        const char *behind = scan_digits(at + 1, end, digits);
        if (behind == at + 1)
            return NULL;
        digits->fraction = (int)(behind - at - 1);
        digits->whole = false;
        at = behind;
    }
    if (at < end && (*at == 'e' || *at == 'E'))
    {
        at++;
        bool negative = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        if (at == end || !is_digit(*at))
            return NULL;
        for (; at < end && is_digit(*at); at++)
        {
            if (digits->exponent < 100000) /* beyond any that matters; strtod looks at the text itself */
                digits->exponent = digits->exponent * 10 + (*at - '0');
        }
        digits->exponent = negative ? -digits->exponent : digits->exponent;
        digits->whole = false;
    }
    return at;
}

/* strtod needs an end that it stops at, and the C locale's point. glibc has that locale ready made: newlocale of "C"
 * allocates nothing. */
static bool convert_slowly(struct arena *arena, struct span text, double *ret)
{
    char small[COPY_SIZE];
    struct arena_mark mark = arena_mark(arena);
    char *copy = text.size < sizeof small ? small : arena_take(arena, text.size + 1);
    locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    bool ready = copy && locale;
    if (ready)
    {
        memcpy(copy, text.at, text.size);
        copy[text.size] = '\0';
        *ret = strtod_l(copy, NULL, locale);
    }
    if (locale)
        freelocale(locale);
    if (copy)
        arena_rewind(arena, mark);
    return ready;
}

static size_t fail(struct document_failure *reterr, enum document_fault fault, const char *what)
{
    *reterr = (struct document_failure){ fault, 0, what };
    return 0;
}

size_t document_number_parse(struct arena *arena, struct span text, struct node *node, struct document_failure *reterr)
{
    struct digits digits = { 0 };
    const char *end = scan_number(text.at, text.at + text.size, &digits);
    if (!end)
        return fail(reterr, DOCUMENT_SYNTAX, "a number that JSON does not have");
    size_t size = (size_t)(end - text.at);
    uint64_t limit = (uint64_t)INT64_MAX + digits.negative;
    if (digits.whole && digits.count <= 19 && digits.mantissa <= limit)
    {
        node->kind = NODE_INTEGER;
        node->integer = (int64_t)(digits.negative ? 0 - digits.mantissa : digits.mantissa);
        return size;
    }
    node->kind = NODE_NUMBER;
    int power = digits.exponent - digits.fraction;
    if (digits.count <= 19 && digits.mantissa <= UINT64_C(1) << 53 && power >= -22 && power <= 22)
    {
        /* Both operands are exact, so the one rounding of the operation gives the nearest double. */
        double value = (double)digits.mantissa;
        value = power < 0 ? value / exact_powers[-power] : value * exact_powers[power];
        node->number = digits.negative ? -value : value;
        return size;
    }
    if (!convert_slowly(arena, (struct span){ text.at, size }, &node->number))
        return fail(reterr, DOCUMENT_NO_MEMORY, "no memory");
    if (!isfinite(node->number))
        return fail(reterr, DOCUMENT_SYNTAX, "a number beyond the range of a double");
    return size;
}
