/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a configuration, told line by line with path and place,
 * and which name somebody may have meant; lists of strings.  Runs in the
 * master; children find nothing to tell.
 */
#include "base/base.h"

#include "config/params.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/scan.h"

/* ---- faults ------------------------------------------------------------ */

PRINTF_LIKE(4, 0) static void
faults_vadd(struct faults *f, const char *path, unsigned line, const char *fmt, va_list ap)
{
	char what[ERR_TEXT_MAX * 3];

	f->n++;
	if (f->n > CONFIG_FAULTS_MAX) {
		if (f->n == CONFIG_FAULTS_MAX + 1)
			(void)buf_adds(f->out, "and more\n"); /* a full buffer has told enough */
		return;
	}
	(void)vsnprintf(what, sizeof(what), fmt, ap); /* cut is fine */
	if (path[0] == '\0' && f->name != NULL)
		path = f->name;
	(void)buf_addf(f->out, "%s%s%s", path, path[0] == '\0' ? "" : ": ", what);
	if (line != 0)
		(void)buf_addf(f->out, " (line %u)", line);
	(void)buf_addc(f->out, '\n');
}

void
faults_add(struct faults *f, const struct at *at, const char *fmt, ...)
{
	struct buf path = BUF_INIT(8 * 1024);
	va_list ap;

	at_path(at, &path);
	va_start(ap, fmt);
	faults_vadd(f, buf_str(&path), f->scan == NULL ? 0 : scan_line(f->scan, at), fmt, ap);
	va_end(ap);
	buf_release(&path);
}

void
faults_add_path(struct faults *f, const char *path, const char *fmt, ...)
{
	char copy[SCAN_NAME_MAX], *dot;
	struct at at[CONFIG_SECTIONS_MAX + 1] = { { NULL, copy, 0 } };
	size_t n = 0;
	va_list ap;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (dot = strchr(copy, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
		MUST(n < CONFIG_SECTIONS_MAX);
		*dot = '\0';
		n++;
		at[n] = (struct at){ &at[n - 1], dot + 1, 0 };
	}
	va_start(ap, fmt);
	faults_vadd(f, path, f->scan == NULL ? 0 : scan_line(f->scan, &at[n]), fmt, ap);
	va_end(ap);
}

/* ---- lists of strings -------------------------------------------------- */

void
strs_add(struct strs *s, const char *text)
{
	/* grows at powers of two, so that a long list does not copy itself n times */
	if ((s->n & (s->n - 1)) == 0)
		s->v = mem_realloc(s->v, (s->n == 0 ? 1 : s->n * 2) * sizeof(*s->v));
	s->v[s->n++] = mem_strdup(text);
}

void
strs_release(struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strs){ 0 };
}

/* ---- near names --------------------------------------------------------- */

/* Edits between two short names; more than 2 is told as 3. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NEAR_MAX + 1], la = strlen(a), lb = strlen(b), diagonal, above, best;

	if (la > NEAR_MAX || lb > NEAR_MAX)
		return 3;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			above = row[j];
			best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[lb] > 2 ? 3 : row[lb];
}

void
near_offer(struct near *n, const char *candidate, size_t len)
{
	char text[NEAR_MAX + 1];
	size_t d;

	if (len > NEAR_MAX)
		return;
	memcpy(text, candidate, len);
	text[len] = '\0';
	d = distance(n->name, text);
	if (d < n->best_distance && d < len) {
		n->best_distance = d;
		memcpy(n->store, text, len + 1);
		n->best = n->store;
	}
}

void
faults_unknown(struct faults *f, const struct at *at, const struct near *n)
{
	if (n->best != NULL)
		faults_add(f, at, "unknown member, did you mean '%s'?", n->best);
	else
		faults_add(f, at, "unknown member");
}
