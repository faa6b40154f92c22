#include "workflows/document/decimal.h"

enum
{
    EXPONENT_LIMIT = 1000 * 1000, /* as good as infinite for a text of 64 KiB */
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* value * 10^power, false beyond 64 bits. Zero is zero whatever the power. */
static bool raise_to(int64_t *value, long power)
{
    if (*value == 0)
        return true;
    for (; power > 0; power--)
        if (__builtin_mul_overflow(*value, INT64_C(10), value))
            return false;
    return true;
}

struct reading
{
    const char *at, *end;
    int64_t digits;      /* with its sign, up to the last digit that is not 0 */
    long pending;        /* zeros since then */
    long fraction;       /* digits behind the point */
    bool negative, fits; /* fits: `digits` holds what was read */
    bool any;
};

/* A zero is held back until a digit after it shows that it counts: 100 has one digit and a power of ten. */
static void read_digits(struct reading *reading, bool fraction)
{
    for (; reading->at < reading->end && is_digit(*reading->at); reading->at++)
    {
        int64_t digit = *reading->at - '0';
        reading->any = true;
        reading->fraction += fraction;
        reading->pending++;
        if (digit == 0)
            continue;
        reading->fits = reading->fits && raise_to(&reading->digits, reading->pending) &&
                        !__builtin_add_overflow(reading->digits, reading->negative ? -digit : digit, &reading->digits);
        reading->pending = 0;
    }
}

/* "e-7", or nothing. */
static bool read_exponent(struct reading *reading, long *ret)
{
    *ret = 0;
    if (reading->at == reading->end)
        return true;
    if (*reading->at != 'e' && *reading->at != 'E')
        return false;
    reading->at++;
    bool negative = reading->at < reading->end && *reading->at == '-';
    reading->at += reading->at < reading->end && (*reading->at == '-' || *reading->at == '+');
    if (reading->at == reading->end)
        return false;
    for (; reading->at < reading->end && is_digit(*reading->at); reading->at++)
        if (*ret < EXPONENT_LIMIT)
            *ret = *ret * 10 + (*reading->at - '0');
    *ret = negative ? -*ret : *ret;
    return reading->at == reading->end;
}

bool decimal_parse(struct span text, struct decimal *ret)
{
    struct reading reading = { .at = text.at, .end = text.at + text.size, .fits = true };
    reading.negative = text.size && text.at[0] == '-';
    reading.at += reading.negative;
    read_digits(&reading, false);
    if (!reading.any)
        return false;
    if (reading.at < reading.end && *reading.at == '.')
    {
        reading.at++;
        read_digits(&reading, true);
    }
    long power;
    if (!read_exponent(&reading, &power) || !reading.fits)
        return false;
    *ret = (struct decimal){ reading.digits, 0 };
    if (reading.digits == 0)
        return true;
    power += reading.pending - reading.fraction;
    if (power >= 0)
        return raise_to(&ret->digits, power);
    ret->places = power >= -DECIMAL_PLACES_MAX ? (int)-power : 0;
    return power >= -DECIMAL_PLACES_MAX;
}

bool decimal_add(struct decimal a, struct decimal b, struct decimal *ret)
{
    int places = a.places > b.places ? a.places : b.places;
    if (!raise_to(&a.digits, places - a.places) || !raise_to(&b.digits, places - b.places) ||
        __builtin_add_overflow(a.digits, b.digits, &ret->digits))
        return false;
    for (ret->places = places; ret->places > 0 && ret->digits % 10 == 0; ret->places--)
        ret->digits /= 10;
    return true;
}

void decimal_print(struct decimal decimal, struct buffer *into)
{
    uint64_t scale = 1;
    for (int i = 0; i < decimal.places; i++)
        scale *= 10;
    uint64_t size = decimal.digits < 0 ? 0 - (uint64_t)decimal.digits : (uint64_t)decimal.digits;
    if (decimal.places == 0)
    {
        buffer_add_int64(into, decimal.digits);
        return;
    }
    if (decimal.digits < 0)
        buffer_add_byte(into, '-');
    buffer_add_int64(into, (int64_t)(size / scale)); /* scale is at least 10: it fits */
    buffer_add_byte(into, '.');
    for (uint64_t rest = size % scale; scale > 1; rest %= scale)
    {
        scale /= 10;
        buffer_add_byte(into, (char)('0' + rest / scale));
    }
}
