#include "workflows/base/utf8.h"

#include <string.h>

bool utf8_is_valid(const char *text, size_t size)
{
    while (size > 0)
    {
        size_t step = (unsigned char)*text < 0x80 ? 1 : utf8_measure(text, size);
        if (step == 0)
            return false;
        text += step;
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
        size_t step = plain ? 1 : utf8_measure(text, left);
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
