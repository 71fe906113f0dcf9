/* SPDX-License-Identifier: Apache-2.0
 *
 * Values with units.  The master reads them; every process that takes the
 * configuration from its memfd reads what the writers here wrote.
 */
#include "base/base.h"

#include "config/units.h"

#include <inttypes.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first, so that the writer finds the shortest number. */
static const struct unit size_units[] = {
	{ "PiB", 1ULL << 50 },
	{ "PB", 1000000000000000ULL },
	{ "TiB", 1ULL << 40 },
	{ "TB", 1000000000000ULL },
	{ "GiB", 1ULL << 30 },
	{ "GB", 1000000000ULL },
	{ "MiB", 1ULL << 20 },
	{ "MB", 1000000ULL },
	{ "KiB", 1ULL << 10 },
	{ "KB", 1000ULL },
	{ "kB", 1000ULL },
	{ "B", 1ULL },
};

static const struct unit duration_units[] = {
	{ "d", 86400000ULL },
	{ "h", 3600000ULL },
	{ "m", 60000ULL },
	{ "s", 1000ULL },
	{ "ms", 1ULL },
};

static const struct unit lifetime_units[] = {
	{ "y", 365 },
	{ "w", 7 },
	{ "d", 1 },
};

static const char *const window_word[WINDOWS] = { "second", "minute", "hour", "day", "month" };

struct number {
	uint64_t whole;
	uint64_t thousandths; /* 0 to 999 */
	bool plain;	      /* had no point */
};

/* "12", "1.5": at most 63 bits and 3 decimals.  Returns what follows, or NULL. */
static const char *
read_number(const char *s, struct number *ret)
{
	size_t digits = strspn(s, "0123456789"), decimals;
	uint64_t n = 0;

	if (digits == 0 || digits > 19 || (digits > 1 && s[0] == '0'))
		return NULL;
	for (size_t i = 0; i < digits; i++) {
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(s[i] - '0'), &n))
			return NULL;
	}
	if (n > INT64_MAX)
		return NULL;
	*ret = (struct number){ n, 0, s[digits] != '.' };
	s += digits;
	if (ret->plain)
		return s;
	s++;
	decimals = strspn(s, "0123456789");
	if (decimals == 0 || decimals > 3)
		return NULL;
	for (size_t i = 0, scale = 100; i < decimals; i++, scale /= 10)
		ret->thousandths += (uint64_t)(s[i] - '0') * scale;
	return s + decimals;
}

static const char *
skip_spaces(const char *s)
{
	while (*s == ' ')
		s++;
	return s;
}

/* 0, or -1 when it does not come out even or does not fit. */
static int
times(const struct number *n, uint64_t factor, uint64_t *ret)
{
	uint64_t product, part = n->thousandths * factor; /* factors are below 2^51: fits */

	if (part % 1000 != 0 || __builtin_mul_overflow(n->whole, factor, &product) ||
	    __builtin_add_overflow(product, part / 1000, &product) || product > INT64_MAX)
		return -1;
	*ret = product;
	return 0;
}

/* A number and one of the units; what follows the unit, or NULL. */
static const char *
read_with_unit(const char *s, const struct unit *units, size_t count, uint64_t *ret)
{
	struct number n;
	size_t len;

	s = read_number(s, &n);
	if (s == NULL)
		return NULL;
	if (n.whole == 0 && n.plain && (*s == '\0' || strncmp(s, " per ", 5) == 0)) {
		*ret = 0;
		return s;
	}
	s = skip_spaces(s);
	len = strcspn(s, " ");
	for (size_t i = 0; i < count; i++) {
		if (strlen(units[i].name) == len && strncmp(units[i].name, s, len) == 0)
			return times(&n, units[i].factor, ret) < 0 ? NULL : s + len;
	}
	return NULL;
}

int
units_size(const char *text, uint64_t *ret_bytes)
{
	uint64_t n;
	const char *rest = read_with_unit(text, size_units, ARRAY_LEN(size_units), &n);

	if (rest == NULL || *rest != '\0')
		return -1;
	*ret_bytes = n;
	return 0;
}

int
units_rate(const char *text, uint64_t *ret_bytes)
{
	uint64_t n;
	const char *rest = read_with_unit(text, size_units, ARRAY_LEN(size_units), &n);

	if (rest == NULL)
		return -1;
	rest = skip_spaces(rest);
	if (*rest != '\0' && strcmp(rest, "per second") != 0)
		return -1;
	*ret_bytes = n;
	return 0;
}

int
units_duration(const char *text, uint64_t *ret_ms)
{
	uint64_t n;
	const char *rest = read_with_unit(text, duration_units, ARRAY_LEN(duration_units), &n);

	if (rest == NULL || *rest != '\0')
		return -1;
	*ret_ms = n;
	return 0;
}

int
units_lifetime(const char *text, uint32_t *ret_days)
{
	uint64_t n = 0;
	const char *rest;

	if (strcmp(text, "never") != 0) {
		rest = read_with_unit(text, lifetime_units, ARRAY_LEN(lifetime_units), &n);
		if (rest == NULL || *rest != '\0' || n == 0 || n > RETENTION_DAYS_MAX)
			return -1;
	}
	*ret_days = (uint32_t)n;
	return 0;
}

int
units_percent(const char *text, uint64_t *ret)
{
	struct number n;
	const char *rest = read_number(text, &n);

	if (rest == NULL || !n.plain || n.whole > 100 || strcmp(skip_spaces(rest), "%") != 0)
		return -1;
	*ret = n.whole;
	return 0;
}

int
units_limit(const char *text, bool bytes, uint64_t *ret_n, enum quota_window *ret_window)
{
	struct number number;
	const char *rest;
	uint64_t n = 0;

	if (bytes) {
		rest = read_with_unit(text, size_units, ARRAY_LEN(size_units), &n);
	} else {
		rest = read_number(text, &number);
		if (rest != NULL && number.plain)
			n = number.whole;
	}
	if (rest == NULL || n == 0 || *rest != ' ')
		return -1;
	rest = skip_spaces(rest);
	if (strncmp(rest, "per ", 4) != 0)
		return -1;
	rest = skip_spaces(rest + 4);
	for (size_t i = 0; i < WINDOWS; i++) {
		if (strcmp(rest, window_word[i]) == 0) {
			*ret_n = n;
			*ret_window = (enum quota_window)i;
			return 0;
		}
	}
	return -1;
}

/* The unit that gives the smallest whole number. */
static void
put_with_unit(struct buf *out, uint64_t n, const struct unit *units, size_t count, const char *gap)
{
	const struct unit *best = &units[count - 1];

	if (n == 0) {
		(void)buf_addc(out, '0'); /* the buffer remembers its failure */
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (n % units[i].factor == 0 && units[i].factor > best->factor)
			best = &units[i];
	}
	(void)buf_addf(out, "%" PRIu64 "%s%s", n / best->factor, gap, best->name);
}

void
units_put_size(struct buf *out, uint64_t bytes)
{
	put_with_unit(out, bytes, size_units, ARRAY_LEN(size_units), " ");
}

void
units_put_duration(struct buf *out, uint64_t ms)
{
	put_with_unit(out, ms, duration_units, ARRAY_LEN(duration_units), "");
}

void
units_put_lifetime(struct buf *out, uint32_t days)
{
	if (days == 0)
		(void)buf_adds(out, "never");
	else
		put_with_unit(out, days, lifetime_units, ARRAY_LEN(lifetime_units), "");
}

void
units_put_limit(struct buf *out, bool bytes, uint64_t n, enum quota_window window)
{
	if (bytes)
		units_put_size(out, n);
	else
		(void)buf_addf(out, "%" PRIu64, n);
	(void)buf_addf(out, " per %s", window_word[window]);
}
