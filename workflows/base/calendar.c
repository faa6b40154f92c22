#include "workflows/base/calendar.h"

#include <stdbool.h>

/* The arithmetic counts years from March, so that the leap day is the last of its year, and in eras of 400 years
 * (146,097 days), in which the calendar repeats. 719,468 is the number of days from 0000-03-01 to 1970-01-01. */

static const int64_t days_per_era = 146097;
static const int64_t days_to_epoch = 719468;
static const int64_t us_per_day = INT64_C(86400000000);

int64_t calendar_days(int64_t year, int month, int day)
{
    int64_t from_march = month > 2 ? month - 3 : month + 9;
    int64_t march_year = month > 2 ? year : year - 1;
    int64_t era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    int64_t year_of_era = march_year - era * 400;
    int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * days_per_era + day_of_era - days_to_epoch;
}

static void set_date(struct calendar_time *time, int64_t days)
{
    int64_t shifted = days + days_to_epoch;
    int64_t era = (shifted >= 0 ? shifted : shifted - (days_per_era - 1)) / days_per_era;
    int64_t day_of_era = shifted - era * days_per_era;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;
    time->day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1);
    time->month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    time->year = year_of_era + era * 400 + (time->month <= 2 ? 1 : 0);
}

struct calendar_time calendar_of_unix_us(int64_t unix_us)
{
    struct calendar_time time = { .year = 0 };
    int64_t days = unix_us / us_per_day;
    int64_t rest = unix_us % us_per_day;
    if (rest < 0)
    {
        rest += us_per_day;
        days--;
    }
    set_date(&time, days);
    time.microsecond = (int)(rest % 1000000);
    int seconds = (int)(rest / 1000000);
    time.hour = seconds / 3600;
    time.minute = seconds / 60 % 60;
    time.second = seconds % 60;
    return time;
}

int calendar_month_length(int64_t year, int month)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : lengths[month - 1];
}
