#include "workflows/base/utf8.h"

#include <string.h>

size_t utf8_measure(const unsigned char *at, size_t size)
{
    static const struct
    {
        unsigned char first_min, first_max, second_min, second_max;
        size_t size;
    } forms[] = {
        { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 }, { 0xE1, 0xEC, 0x80, 0xBF, 3 },
        { 0xED, 0xED, 0x80, 0x9F, 3 }, { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
        { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
    {
        if (at[0] < forms[i].first_min || at[0] > forms[i].first_max)
            continue;
        if (size < forms[i].size || at[1] < forms[i].second_min || at[1] > forms[i].second_max)
            return 0;
        for (size_t k = 2; k < forms[i].size; k++)
            if (at[k] < 0x80 || at[k] > 0xBF)
                return 0;
        return forms[i].size;
    }
    return 0;
}

bool utf8_is_valid(const char *text, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    while (size > 0)
    {
        size_t step = *at < 0x80 ? 1 : utf8_measure(at, size);
        if (step == 0)
            return false;
        at += step;
        size -= step;
    }
    return true;
}

void utf8_copy_line(char *into, size_t into_size, const char *text)
{
    size_t at = 0, left = text ? strlen(text) : 0;

    while (left > 0)
    {
        bool plain = (unsigned char)*text < 0x80;
        size_t step = plain ? 1 : utf8_measure((const unsigned char *)text, left);
        size_t taken = step ? step : 1;
        if (at + taken >= into_size)
            break;
        if (step > 1)
            memcpy(into + at, text, step);
        else
            into[at] = !plain ? '?' : (unsigned char)*text < ' ' ? ' ' : *text;
        at += taken;
        text += taken;
        left -= taken;
    }
    into[at] = '\0';
}
