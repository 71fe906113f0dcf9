/* SPDX-License-Identifier: Apache-2.0
 *
 * Values with units.  The master reads them; every process that takes the
 * configuration from its memfd reads what the writers here wrote.
 */
#include "config/units.h"

#include <inttypes.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest first, so that the writer finds the shortest number. */
static const struct unit size_units[] = {
	{ "PiB", 1ULL << 50 }, { "PB", 1000000000000000ULL },
	{ "TiB", 1ULL << 40 }, { "TB", 1000000000000ULL },
	{ "GiB", 1ULL << 30 }, { "GB", 1000000000ULL },
	{ "MiB", 1ULL << 20 }, { "MB", 1000000ULL },
	{ "KiB", 1ULL << 10 }, { "KB", 1000ULL }, { "kB", 1000ULL },
	{ "B", 1ULL },
};

static const struct unit duration_units[] = {
	{ "d", 86400000ULL }, { "h", 3600000ULL }, { "m", 60000ULL }, { "s", 1000ULL }, { "ms", 1ULL },
};

static const char *const window_word[WINDOWS] = { "second", "minute", "hour", "day", "month" };

/*
 * "12", "1.5": at most 15 digits and 3 decimals, in thousandths.  Returns
 * what follows, or NULL.
 */
static const char *
read_number(const char *s, uint64_t *ret_thousandths, bool *ret_whole)
{
	uint64_t n = 0;
	size_t digits = strspn(s, "0123456789"), decimals = 0;

	if (digits == 0 || digits > 15 || (digits > 1 && s[0] == '0'))
		return NULL;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint64_t)(s[i] - '0');
	s += digits;
	n *= 1000;
	if (s[0] == '.') {
		s++;
		decimals = strspn(s, "0123456789");
		if (decimals == 0 || decimals > 3)
			return NULL;
		for (size_t i = 0, scale = 100; i < decimals; i++, scale /= 10)
			n += (uint64_t)(s[i] - '0') * scale;
		s += decimals;
	}
	*ret_thousandths = n;
	*ret_whole = decimals == 0;
	return s;
}

static const char *
skip_spaces(const char *s)
{
	while (*s == ' ')
		s++;
	return s;
}

/* A number and one of the units; what follows the unit, or NULL. */
static const char *
read_with_unit(const char *s, const struct unit *units, size_t n, uint64_t *ret)
{
	uint64_t thousandths, product;
	bool whole;
	size_t len;

	s = read_number(s, &thousandths, &whole);
	if (s == NULL)
		return NULL;
	s = skip_spaces(s);
	len = strcspn(s, " ");
	if (thousandths == 0 && whole && (len == 0 || strncmp(s, "per", len) == 0)) {
		*ret = 0;
		return s;
	}
	for (size_t i = 0; i < n; i++) {
		if (strlen(units[i].name) != len || strncmp(units[i].name, s, len) != 0)
			continue;
		if (whole) {
			if (__builtin_mul_overflow(thousandths / 1000, units[i].factor, &product))
				return NULL;
		} else {
			if (__builtin_mul_overflow(thousandths, units[i].factor, &product) || product % 1000 != 0)
				return NULL;
			product /= 1000;
		}
		if (product > INT64_MAX)
			return NULL;
		*ret = product;
		return s + len;
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
units_percent(const char *text, uint64_t *ret)
{
	uint64_t thousandths;
	bool whole;
	const char *rest = read_number(text, &thousandths, &whole);

	if (rest == NULL || !whole || thousandths > 100000 || strcmp(skip_spaces(rest), "%") != 0)
		return -1;
	*ret = thousandths / 1000;
	return 0;
}

int
units_limit(const char *text, bool bytes, uint64_t *ret_n, enum quota_window *ret_window)
{
	const char *rest;
	uint64_t n;
	bool whole;

	if (bytes) {
		rest = read_with_unit(text, size_units, ARRAY_LEN(size_units), &n);
	} else {
		rest = read_number(text, &n, &whole);
		if (rest != NULL && !whole)
			return -1;
		n /= 1000;
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
		(void)buf_addc(out, '0');	/* the buffer remembers its failure */
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
units_put_limit(struct buf *out, bool bytes, uint64_t n, enum quota_window window)
{
	if (bytes)
		units_put_size(out, n);
	else
		(void)buf_addf(out, "%" PRIu64, n);
	(void)buf_addf(out, " per %s", window_word[window]);
}
