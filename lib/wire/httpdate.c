/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP dates.  Worker, mover.  Years 1 to 9999; the C library's own functions
 * would ask the locale and the zone.
 */
#include "base/base.h"

#include "wire/httpdate.h"

#include <string.h>

enum { DAY_S = 86400 };

static const char day_name[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const day_long[7] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};
static const char month_name[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar; years count from March. */
static int64_t
days_from_civil(int64_t y, int m, int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2 ? 1 : 0;
	era = y / 400;			/* y >= 0 here */
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void
civil_from_days(int64_t z, int *ret_y, int *ret_m, int *ret_d)
{
	int64_t era, doe, yoe, doy, mp;

	z += 719468;
	era = z / 146097;		/* z >= 0 here */
	doe = z - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*ret_d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*ret_y = (int)(yoe + era * 400 + (*ret_m <= 2 ? 1 : 0));
}

static void
two_digits(char *dst, int v)
{
	dst[0] = (char)('0' + v / 10 % 10);
	dst[1] = (char)('0' + v % 10);
}

void
httpdate_format(int64_t epoch_s, char ret[HTTPDATE_SIZE])
{
	const int64_t least = -62135596800, most = 253402300799;	/* years 1 and 9999 */
	int64_t days, rest;
	int y, m, d;

	if (epoch_s < least)
		epoch_s = least;
	if (epoch_s > most)
		epoch_s = most;
	days = epoch_s / DAY_S;
	rest = epoch_s % DAY_S;
	if (rest < 0) {
		rest += DAY_S;
		days--;
	}
	civil_from_days(days, &y, &m, &d);
	/* 1970-01-01 was a Thursday; the sum is positive from year 1 on */
	memcpy(ret, "Ddd, dd Mmm yyyy hh:mm:ss GMT", HTTPDATE_SIZE);
	memcpy(ret, day_name[(days + 719166 + 4) % 7], 3);
	two_digits(ret + 5, d);
	memcpy(ret + 8, month_name[m - 1], 3);
	two_digits(ret + 12, y / 100);
	two_digits(ret + 14, y);
	two_digits(ret + 17, (int)(rest / 3600));
	two_digits(ret + 20, (int)(rest / 60 % 60));
	two_digits(ret + 23, (int)(rest % 60));
}

/* What is left to read. */
struct cursor {
	const char *p, *end;
};

static bool
literal(struct cursor *c, const char *s)
{
	size_t n = strlen(s);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, s, n) != 0)
		return false;
	c->p += n;
	return true;
}

/* Exactly n digits; with space_pads the first one may be a space. */
static bool
digits(struct cursor *c, size_t n, bool space_pads, int *ret)
{
	int v = 0;

	if ((size_t)(c->end - c->p) < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (i == 0 && space_pads && c->p[0] == ' ')
			continue;
		if (c->p[i] < '0' || c->p[i] > '9')
			return false;
		v = v * 10 + (c->p[i] - '0');
	}
	c->p += n;
	*ret = v;
	return true;
}

static bool
month(struct cursor *c, int *ret)
{
	for (int i = 0; i < 12; i++) {
		if (literal(c, month_name[i])) {
			*ret = i + 1;
			return true;
		}
	}
	return false;
}

struct fields {
	int y, mon, d, h, min, s;
};

static bool
time_of_day(struct cursor *c, struct fields *f)
{
	return digits(c, 2, false, &f->h) && literal(c, ":") && digits(c, 2, false, &f->min) &&
	    literal(c, ":") && digits(c, 2, false, &f->s);
}

static bool
imf_fixdate(struct cursor c, struct fields *f)
{
	return literal(&c, ", ") && digits(&c, 2, false, &f->d) && literal(&c, " ") &&
	    month(&c, &f->mon) && literal(&c, " ") && digits(&c, 4, false, &f->y) &&
	    literal(&c, " ") && time_of_day(&c, f) && literal(&c, " GMT") && c.p == c.end;
}

static bool
rfc850(struct cursor c, struct fields *f)
{
	bool ok = literal(&c, ", ") && digits(&c, 2, false, &f->d) && literal(&c, "-") &&
	    month(&c, &f->mon) && literal(&c, "-") && digits(&c, 2, false, &f->y) &&
	    literal(&c, " ") && time_of_day(&c, f) && literal(&c, " GMT") && c.p == c.end;

	/* no clock here: a fixed century, as POSIX has it for %y */
	if (ok)
		f->y += f->y < 69 ? 2000 : 1900;
	return ok;
}

static bool
asctime_form(struct cursor c, struct fields *f)
{
	return literal(&c, " ") && month(&c, &f->mon) && literal(&c, " ") &&
	    digits(&c, 2, true, &f->d) && literal(&c, " ") && time_of_day(&c, f) &&
	    literal(&c, " ") && digits(&c, 4, false, &f->y) && c.p == c.end;
}

static bool
is_leap(int y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static bool
in_range(const struct fields *f)
{
	static const int month_days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int last;

	if (f->y < 1 || f->mon < 1 || f->h > 23 || f->min > 59 || f->s > 60)
		return false;
	last = month_days[f->mon - 1] + (f->mon == 2 && is_leap(f->y) ? 1 : 0);
	return f->d >= 1 && f->d <= last;
}

int
httpdate_parse(const char *s, size_t len, int64_t *ret_epoch_s)
{
	struct cursor c = { s, s + len }, long_name = { NULL, NULL };
	struct fields f = { 0, 0, 0, 0, 0, 0 };
	bool named = false;

	for (size_t i = 0; i < ARRAY_LEN(day_name) && !named; i++) {
		long_name = c;
		if (!literal(&long_name, day_long[i]))
			long_name.p = NULL;
		named = literal(&c, day_name[i]);
	}
	if (!named)
		return -1;
	if (!imf_fixdate(c, &f) && !asctime_form(c, &f) && (long_name.p == NULL || !rfc850(long_name, &f)))
		return -1;
	if (!in_range(&f))
		return -1;
	*ret_epoch_s = days_from_civil(f.y, f.mon, f.d) * DAY_S + f.h * 3600 + f.min * 60 + f.s;
	return 0;
}
