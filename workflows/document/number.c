#include "workflows/document/number.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

/* A larger exponent makes no difference to a double, which is 0 or infinite long before; numbers that have one are
 * compared as they are written. */
static const int64_t EXPONENT_MAX = INT64_C(1000000000000000);

enum
{
    COPY_SIZE = 64,        /* longer numbers are copied to the arena for strtod */
    PLAIN_ZEROS_MAX = 18,  /* 10^18 is printed whole, as everybody writes it; 10^19 is 1e19 */
    PLAIN_PLACES_MAX = 24, /* so many places after the point are printed before an exponent is used */
};

static inline bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Powers of ten that a double holds exactly. */
static const double exact_powers[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

struct digits /* the value of the number's text */
{
    uint64_t mantissa; /* of all digits; exact up to 19 of them */
    int count;         /* digits from the first that is not 0 */
    int zeros;         /* how many of these digits are zeros at the end */
    int fraction;      /* how many of the digits are after the point */
    int64_t exponent;
    bool negative;
    bool whole; /* neither fraction nor exponent */
};

static const char *scan_digits(const char *at, const char *end, struct digits *digits)
{
    for (; at < end && is_digit(*at); at++)
    {
        digits->mantissa = digits->mantissa * 10 + (uint64_t)(*at - '0');
        digits->count += *at != '0' || digits->count > 0;
        digits->zeros = *at != '0' || digits->count == 0 ? 0 : digits->zeros + 1;
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
            if (digits->exponent <= EXPONENT_MAX)
                digits->exponent = digits->exponent * 10 + (*at - '0');
        }
        digits->exponent = negative ? -digits->exponent : digits->exponent;
        digits->whole = false;
    }
    return at;
}

/* The first `count` digits from the first that is not 0 on, whatever is between them: 19 at most. */
static uint64_t read_significant(struct span text, int count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.size && count > 0; i++)
    {
        if (!is_digit(text.at[i]))
            continue;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
        count -= value != 0;
    }
    return value;
}

/* 5.0 and 50e-1 are the integer 5: what counts is the value, not how it is written. */
static bool is_integer(const struct digits *digits, struct span text, int64_t *ret)
{
    uint64_t limit = (uint64_t)INT64_MAX + digits->negative;
    uint64_t value = digits->mantissa;
    if (!digits->whole || digits->count > 19)
    {
        int count = digits->count - digits->zeros;
        int64_t power = digits->exponent - digits->fraction + digits->zeros;
        if (count > 0 && (power < 0 || power > 18 || count > 19))
            return false;
        value = read_significant(text, count);
        for (; value > 0 && power > 0; power--)
        {
            if (__builtin_mul_overflow(value, UINT64_C(10), &value))
                return false;
        }
    }
    *ret = (int64_t)(digits->negative ? 0 - value : value);
    return value <= limit;
}

/* strtod needs an end that it stops at, and the C locale's point. glibc has that locale ready made: newlocale of "C"
 * allocates nothing. */
static bool convert_slowly(struct arena *arena, struct span text, double *ret)
{
    char small[COPY_SIZE];
    struct arena_mark mark = arena_mark(arena);
    char *copy = text.size < sizeof(small) ? small : arena_take(arena, text.size + 1);
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
    if (is_integer(&digits, (struct span){ text.at, size }, &node->integer))
    {
        node->kind = NODE_INTEGER;
        return size;
    }
    node->kind = NODE_NUMBER;
    int64_t power = digits.exponent - digits.fraction;
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
    return size;
}

/* --- canonical --------------------------------------------------------------------------------------------------- */

/* The significant digits, of which `zeros` at the end are left out, with a point before the last `places` of them. */
static void add_digits(struct span text, int count, int places, struct buffer *into)
{
    bool begun = false;
    for (size_t i = 0; i < text.size && count > 0; i++)
    {
        if (!is_digit(text.at[i]) || (text.at[i] == '0' && !begun))
            continue;
        begun = true;
        if (places > 0 && count == places)
            buffer_add_byte(into, '.');
        buffer_add_byte(into, text.at[i]);
        count--;
    }
}

static bool is_plain(struct span text)
{
    for (size_t i = 0; i < text.size; i++)
    {
        if (!is_digit(text.at[i]) && (i > 0 || text.at[i] != '-'))
            return false;
    }
    return text.size <= PLAIN_ZEROS_MAX && !(text.size == 2 && text.at[0] == '-' && text.at[1] == '0');
}

bool document_number_print(struct span text, struct buffer *into)
{
    struct digits digits = { 0 };
    if (is_plain(text)) /* nearly all that there are */
    {
        buffer_add_span(into, text);
        return true;
    }
    size_t before = into->size;
    scan_number(text.at, text.at + text.size, &digits);
    int count = digits.count - digits.zeros;
    int64_t power = digits.exponent - digits.fraction + digits.zeros;
    if (digits.count == 0)
        buffer_add_byte(into, '0');
    else if (digits.exponent > EXPONENT_MAX || digits.exponent < -EXPONENT_MAX)
        buffer_add_span(into, text);
    else
    {
        if (digits.negative)
            buffer_add_byte(into, '-');
        if (power > PLAIN_ZEROS_MAX || power < -PLAIN_PLACES_MAX)
        {
            add_digits(text, count, 0, into);
            buffer_add_byte(into, 'e');
            buffer_add_int64(into, power);
        }
        else
        {
            if (-power >= count)
                buffer_add_text(into, "0.");
            for (int64_t zeros = -power - count; zeros > 0; zeros--)
                buffer_add_byte(into, '0');
            add_digits(text, count, -power < count ? (int)-power : 0, into);
            for (int64_t zeros = power; zeros > 0; zeros--)
                buffer_add_byte(into, '0');
        }
    }
    return !buffer_failed(into) && span_equal(text, (struct span){ into->at + before, into->size - before });
}
