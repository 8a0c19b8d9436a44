#include "base/timestamp.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

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

/* A point in time as its parts, UTC. */
struct parts {
    int64_t year; /* 0: 1 BC */
    int64_t month;
    int64_t day;
    int64_t second_of_day;
    int64_t fraction_us;
};

static struct parts parts_of(int64_t us)
{
    struct parts parts;
    int64_t seconds = us / SECOND_US;

    parts.fraction_us = us % SECOND_US;
    if (parts.fraction_us < 0) {
        parts.fraction_us += SECOND_US;
        seconds--;
    }
    int64_t days = seconds / 86400;
    parts.second_of_day = seconds % 86400;
    if (parts.second_of_day < 0) {
        parts.second_of_day += 86400;
        days--;
    }
    civil_from_days(days, &parts.year, &parts.month, &parts.day);
    return parts;
}

void timestamp_format(int64_t us, char ret_text[TIMESTAMP_TEXT_LENGTH + 1])
{
    assert(us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US);

    const struct parts parts = parts_of(us);
    char *at = put_digits(ret_text, parts.year, 4);
    *at++ = '-';
    at = put_digits(at, parts.month, 2);
    *at++ = '-';
    at = put_digits(at, parts.day, 2);
    *at++ = 'T';
    at = put_digits(at, parts.second_of_day / 3600, 2);
    *at++ = ':';
    at = put_digits(at, parts.second_of_day / 60 % 60, 2);
    *at++ = ':';
    at = put_digits(at, parts.second_of_day % 60, 2);
    *at++ = '.';
    at = put_digits(at, parts.fraction_us, 6);
    *at++ = 'Z';
    *at = '\0';
}

/* Without the zeros behind the last digit, and without the point where there is none. */
static void format_fraction(int64_t fraction_us, char ret_text[8])
{
    snprintf(ret_text, 8, ".%06" PRId64, fraction_us);
    for (size_t length = 7; length > 0 && (ret_text[length - 1] == '0' || length == 1); length--)
        ret_text[length - 1] = '\0';
}

static int format_foreign(int64_t us, char ret_text[TIMESTAMP_ANY_LENGTH + 1])
{
    const struct parts parts = parts_of(us);
    bool before_christ = parts.year <= 0;
    char fraction[8];

    format_fraction(parts.fraction_us, fraction);
    return snprintf(ret_text, TIMESTAMP_ANY_LENGTH + 1,
                    "%04" PRId64 "-%02" PRId64 "-%02" PRId64 " %02" PRId64 ":%02" PRId64
                    ":%02" PRId64 "%s+00%s",
                    before_christ ? 1 - parts.year : parts.year, parts.month, parts.day,
                    parts.second_of_day / 3600, parts.second_of_day / 60 % 60,
                    parts.second_of_day % 60, fraction, before_christ ? " BC" : "");
}

size_t timestamp_format_any(int64_t us, char ret_text[TIMESTAMP_ANY_LENGTH + 1])
{
    int length;

    assert(us != TIMESTAMP_ABSENT);
    if (us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US) {
        timestamp_format(us, ret_text);
        return TIMESTAMP_TEXT_LENGTH;
    }
    if (us == TIMESTAMP_INFINITY || us == TIMESTAMP_MINUS_INFINITY)
        length = snprintf(ret_text, TIMESTAMP_ANY_LENGTH + 1, "%sinfinity", us < 0 ? "-" : "");
    else
        length = format_foreign(us, ret_text);
    assert(length > 0 && length <= TIMESTAMP_ANY_LENGTH);
    return (size_t)length;
}
