#include "base/interval.h"

#include <assert.h>

#include "base/timestamp.h"

static const int64_t DAY_US = INT64_C(24) * 3600 * 1000000;

/* 1970-01-01 was a Thursday. */
static const int64_t FIRST_MONDAY = 4;

static const char *const names[] = {
    [INTERVAL_DAY] = "day",
    [INTERVAL_WEEK] = "week",
    [INTERVAL_MONTH] = "month",
};

bool interval_parse(struct text name, enum interval *ret_interval)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (text_is(name, names[i])) {
            *ret_interval = (enum interval)i;
            return true;
        }
    }
    return false;
}

const char *interval_name(enum interval interval)
{
    return names[interval];
}

static int64_t month_begin_us(int64_t us)
{
    char text[TIMESTAMP_TEXT_LENGTH + 1];
    int64_t begin_us;

    timestamp_format(us, text);
    memcpy(text + 8, "01T00:00:00.000000Z", sizeof("01T00:00:00.000000Z"));
    bool parsed = timestamp_parse(text_of(text), &begin_us);
    assert(parsed);
    return begin_us;
}

int64_t interval_begin_us(enum interval interval, int64_t us)
{
    int64_t day = us / DAY_US;

    assert(us >= 0);
    switch (interval) {
    case INTERVAL_DAY:
        break;
    case INTERVAL_WEEK:
        /* Before the first Monday: the one of 1969. */
        day -= (day - FIRST_MONDAY + 7) % 7;
        break;
    case INTERVAL_MONTH:
        return month_begin_us(us);
    }
    return day * DAY_US;
}

int64_t interval_end_us(enum interval interval, int64_t us)
{
    int64_t begin_us = interval_begin_us(interval, us);

    switch (interval) {
    case INTERVAL_DAY:
        return begin_us + DAY_US;
    case INTERVAL_WEEK:
        return begin_us + 7 * DAY_US;
    case INTERVAL_MONTH:
        break;
    }
    /* No month has more than 31 days, and none less than 28. */
    return month_begin_us(begin_us + 31 * DAY_US);
}
