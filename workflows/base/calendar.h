/* Calendar: days, dates and Unix microseconds in UTC, by arithmetic alone: no time zone files, no libc state.
 *
 * Threads    pure functions.
 * Failure    none: callers check ranges first.
 */
#ifndef WORKFLOWS_BASE_CALENDAR_H
#define WORKFLOWS_BASE_CALENDAR_H

#include <stdint.h>

struct calendar_time
{
    int64_t year;
    int month, day, hour, minute, second, microsecond;
};

struct calendar_time calendar_of_unix_us(int64_t unix_us);

/* Days from 1970-01-01 to the date (proleptic Gregorian). */
int64_t calendar_days(int64_t year, int month, int day);

int calendar_month_length(int64_t year, int month);

#endif
