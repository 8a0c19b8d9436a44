#include "base/timestamp.h"

#include <assert.h>

static const int64_t SECOND_US = 1000000;

/* Days since 1970-01-01 of a proleptic Gregorian date, counted in 400-year eras that begin on
 * 1 March so that the leap day is the last day of a year. */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = month <= 2 ? year - 1 : year;
    int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
    int64_t year_of_era = shifted - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;

    *ret_day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *ret_month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

struct cursor {
    const char *at;
    const char *end;
};

static bool take_digits(struct cursor *cursor, int count, int64_t *ret_value)
{
    int64_t value = 0;

    if (cursor->end - cursor->at < count)
        return false;
    for (int i = 0; i < count; i++) {
        char digit = cursor->at[i];
        if (digit < '0' || digit > '9')
            return false;
        value = value * 10 + (digit - '0');
    }
    cursor->at += count;
    *ret_value = value;
    return true;
}

static bool take_any(struct cursor *cursor, const char *choices)
{
    if (cursor->at == cursor->end || *cursor->at == '\0' || strchr(choices, *cursor->at) == NULL)
        return false;
    cursor->at++;
    return true;
}

static bool take_fraction(struct cursor *cursor, int64_t *ret_us)
{
    int64_t us = 0;
    int64_t unit = SECOND_US / 10;
    const char *first = cursor->at;

    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        us += unit * (*cursor->at - '0');
        unit /= 10; /* 0 behind the sixth digit: truncation */
        cursor->at++;
    }
    *ret_us = us;
    return cursor->at > first;
}

static bool take_offset(struct cursor *cursor, int64_t *ret_seconds)
{
    int64_t hours;
    int64_t minutes;

    *ret_seconds = 0;
    if (take_any(cursor, "Zz"))
        return true;
    if (cursor->at == cursor->end || (*cursor->at != '+' && *cursor->at != '-'))
        return false;
    int64_t sign = *cursor->at++ == '-' ? -1 : 1;
    if (!take_digits(cursor, 2, &hours) || !take_any(cursor, ":") ||
        !take_digits(cursor, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

enum timestamp_verdict timestamp_read(struct text text, int64_t *ret_us)
{
    struct cursor cursor = {text.data, text.data + text.length};
    int64_t year;
    int64_t month;
    int64_t day;
    int64_t hour;
    int64_t minute;
    int64_t second;
    int64_t fraction_us = 0;
    int64_t offset;

    if (text.data == NULL || !take_digits(&cursor, 4, &year) || !take_any(&cursor, "-") ||
        !take_digits(&cursor, 2, &month) || !take_any(&cursor, "-") ||
        !take_digits(&cursor, 2, &day) || !take_any(&cursor, "Tt ") ||
        !take_digits(&cursor, 2, &hour) || !take_any(&cursor, ":") ||
        !take_digits(&cursor, 2, &minute) || !take_any(&cursor, ":") ||
        !take_digits(&cursor, 2, &second))
        return TIMESTAMP_NOT_RFC_3339;
    if (take_any(&cursor, ".") && !take_fraction(&cursor, &fraction_us))
        return TIMESTAMP_NOT_RFC_3339;
    if (!take_offset(&cursor, &offset) || cursor.at != cursor.end)
        return TIMESTAMP_NOT_RFC_3339;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 60)
        return TIMESTAMP_NOT_RFC_3339;

    int64_t seconds =
        days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    if (second == 60 && seconds % 86400 != 0)
        return TIMESTAMP_NOT_RFC_3339;
    int64_t us = seconds * SECOND_US + fraction_us;
    if (us < TIMESTAMP_MIN_US || us > TIMESTAMP_MAX_US)
        return TIMESTAMP_OUT_OF_RANGE;
    *ret_us = us;
    return TIMESTAMP_OK;
}

static char *put_digits(char *at, int64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + count;
}

void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_LENGTH + 1])
{
    assert(us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US);

    int64_t seconds = us / SECOND_US;
    int64_t fraction_us = us % SECOND_US;
    if (fraction_us < 0) {
        fraction_us += SECOND_US;
        seconds--;
    }
    int64_t days = seconds / 86400;
    int64_t second_of_day = seconds % 86400;
    if (second_of_day < 0) {
        second_of_day += 86400;
        days--;
    }
    int64_t year;
    int64_t month;
    int64_t day;
    civil_from_days(days, &year, &month, &day);

    char *at = put_digits(ret_text, year, 4);
    *at++ = '-';
    at = put_digits(at, month, 2);
    *at++ = '-';
    at = put_digits(at, day, 2);
    *at++ = 'T';
    at = put_digits(at, second_of_day / 3600, 2);
    *at++ = ':';
    at = put_digits(at, second_of_day / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, second_of_day % 60, 2);
    *at++ = '.';
    at = put_digits(at, fraction_us, 6);
    *at++ = 'Z';
    *at = '\0';
}
