/* SPDX-License-Identifier: Apache-2.0
 *
 * File names in headers, and what a name or a body's beginning says about its
 * media type (wire/header.h).  Worker and mover.
 */
#include "base/base.h"

#include "wire/header.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

enum { FILENAME_MAX_BYTES = 255 };

bool
media_type_is_html(const char *v)
{
	static const char *const html[] = { "text/html", "application/xhtml+xml" };
	size_t n;

	v += strspn(v, " \t");
	n = strcspn(v, "; \t");
	for (size_t i = 0; i < ARRAY_LEN(html); i++) {
		if (n == strlen(html[i]) && strncasecmp(v, html[i], n) == 0)
			return true;
	}
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* s begins with the word, and the word ends there. */
static bool
has_word(const char *s, size_t len, const char *word)
{
	size_t n = strlen(word);

	if (len < n || strncasecmp(s, word, n) != 0)
		return false;
	return len == n || is_space(s[n]) || s[n] == '>';
}

/* Behind what begins with open and ends with close; all of it when close is missing. */
static bool
skip_bracket(const char **s, size_t *len, const char *open, const char *close)
{
	size_t n = strlen(open);
	const char *at;

	if (*len < n || memcmp(*s, open, n) != 0)
		return false;
	at = memmem(*s, *len, close, strlen(close));
	n = at == NULL ? *len : (size_t)(at - *s) + strlen(close);
	*s += n;
	*len -= n;
	return true;
}

bool
body_looks_html(const char *body, size_t len)
{
	if (len >= 3 && memcmp(body, "\xef\xbb\xbf", 3) == 0) {
		body += 3;
		len -= 3;
	}
	/* an XML declaration and comments may stand before an XHTML page */
	do {
		while (len > 0 && is_space(*body)) {
			body++;
			len--;
		}
	} while (skip_bracket(&body, &len, "<?", "?>") || skip_bracket(&body, &len, "<!--", "-->"));
	return has_word(body, len, "<!doctype html") || has_word(body, len, "<html");
}

/* Bytes of the character at s; 1 for what is not UTF-8. */
static size_t
char_len(const char *s, size_t n)
{
	uint8_t c = (uint8_t)s[0];
	size_t len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return len <= n && text_is_utf8(s, len) ? len : 1;
}

/*
 * Append what is safe of a file name: the part behind the last slash of
 * either kind, without control characters and quotes, "_" for a byte that is
 * not UTF-8, at most FILENAME_MAX_BYTES.  -1: nothing is left.
 */
static int
sanitize(struct buf *out, const char *s, size_t n)
{
	size_t start = out->len, len, slash = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '/' || s[i] == '\\')
			slash = i + 1;
	}
	for (size_t i = slash; i < n; i += len) {
		len = char_len(s + i, n - i);
		if (out->len - start + len > FILENAME_MAX_BYTES)
			break;
		if (len == 1 && (uint8_t)s[i] >= 0x80)
			(void)buf_addc(out, '_');
		else if (len == 1 && ((uint8_t)s[i] < 0x20 || s[i] == 0x7f || s[i] == '"'))
			continue;
		else if (len == 2 && (uint8_t)s[i] == 0xc2 && (uint8_t)s[i + 1] < 0xa0)
			continue;	/* C1 control */
		else
			(void)buf_add(out, s + i, len);
	}
	n = out->len - start;
	if (!buf_ok(out) || n == 0 || strcmp(buf_str(out) + start, ".") == 0 || strcmp(buf_str(out) + start, "..") == 0)
		return -1;
	return 0;
}

/* ext-value of RFC 8187: charset'language'percent-encoded; UTF-8 only. */
static int
extended(struct buf *out, const char *v, size_t len)
{
	char raw[4 * FILENAME_MAX_BYTES];
	size_t n = 0, at = 0;

	if (len < 7 || strncasecmp(v, "UTF-8'", 6) != 0)
		return -1;
	for (at = 6; at < len && v[at] != '\''; at++)
		;
	for (at++; at < len; at++) {
		if (n == sizeof(raw))
			return -1;
		if (v[at] != '%') {
			raw[n++] = v[at];
			continue;
		}
		if (len - at < 3 || text_hex_value(v[at + 1]) < 0 || text_hex_value(v[at + 2]) < 0)
			return -1;
		raw[n++] = (char)(text_hex_value(v[at + 1]) << 4 | text_hex_value(v[at + 2]));
		at += 2;
	}
	if (!text_is_utf8(raw, n))
		return -1;
	return sanitize(out, raw, n);
}

/* A parameter's value: a quoted-string without its quotes and escapes, or up to ';'.  Returns where it ends. */
static size_t
value_of(const char *v, size_t len, struct buf *out)
{
	size_t i = 0;

	buf_clear(out);
	if (len == 0 || v[0] != '"') {
		while (i < len && v[i] != ';')
			i++;
		for (len = i; len > 0 && (v[len - 1] == ' ' || v[len - 1] == '\t'); len--)
			;
		(void)buf_add(out, v, len);
		return i;
	}
	for (i = 1; i < len && v[i] != '"'; i++) {
		if (v[i] == '\\' && i + 1 < len)
			i++;
		(void)buf_addc(out, v[i]);
	}
	return i < len ? i + 1 : len;
}

int
disposition_filename(const char *v, size_t len, struct buf *out)
{
	struct buf value = BUF_INIT(HEADER_LINE_MAX), plain = BUF_INIT(FILENAME_MAX_BYTES * 2);
	size_t at = 0, name, name_len;
	bool starved = false;		/* a name that is not there for want of memory is no name less good */
	int rc = -1;

	buf_clear(out);
	while (at < len && rc == -1) {
		while (at < len && v[at] != ';')	/* disposition type, or what we did not take */
			at++;
		for (; at < len && (v[at] == ';' || v[at] == ' ' || v[at] == '\t'); at++)
			;
		name = at;
		while (at < len && v[at] != '=' && v[at] != ';')
			at++;
		if (at >= len || v[at] == ';')
			continue;
		for (name_len = at - name; name_len > 0 && v[name + name_len - 1] == ' '; name_len--)
			;
		for (at++; at < len && (v[at] == ' ' || v[at] == '\t'); at++)
			;
		at += value_of(v + at, len - at, &value);
		if (name_len == 9 && strncasecmp(v + name, "filename*", 9) == 0) {
			rc = extended(out, buf_str(&value), value.len);
			starved = starved || out->no_memory;
			if (rc == -1)
				buf_clear(out);
		} else if (name_len == 8 && strncasecmp(v + name, "filename", 8) == 0 && plain.len == 0) {
			if (sanitize(&plain, buf_str(&value), value.len) == -1) {
				starved = starved || plain.no_memory;
				buf_clear(&plain);
			}
		}
		starved = starved || value.no_memory;
	}
	/* filename* wins wherever it stands (RFC 6266 section 4.3) */
	if (rc == -1 && plain.len > 0)
		rc = buf_add(out, plain.data, plain.len);
	if (starved) {
		out->failed = out->no_memory = true;
		rc = -1;
	}
	buf_release(&value);
	buf_release(&plain);
	return rc;
}

void
disposition_write(struct buf *out, const char *filename)
{
	struct buf name = BUF_INIT(FILENAME_MAX_BYTES * 2);

	if (sanitize(&name, filename, strlen(filename)) == -1 && !name.no_memory) {
		buf_clear(&name);
		(void)buf_adds(&name, "data");
	}
	(void)buf_adds(out, "attachment; filename=\"");
	for (size_t i = 0; i < name.len; i++) {
		/* one "_" for each character that is not ASCII; '%' confuses old browsers */
		if ((uint8_t)name.data[i] >= 0xc0 || name.data[i] == '%')
			(void)buf_addc(out, '_');
		else if ((uint8_t)name.data[i] < 0x80)
			(void)buf_addc(out, name.data[i]);
	}
	(void)buf_adds(out, "\"; filename*=UTF-8''");
	text_percent(out, name.data, name.len);
	buf_inherit(out, &name);
	buf_release(&name);
}

const char *
media_type_of_name(const char *name)
{
	static const struct { const char *ext, *type; } known[] = {
		{ "tif", "image/tiff" }, { "tiff", "image/tiff" }, { "jp2", "image/jp2" },
		{ "j2k", "image/jp2" }, { "png", "image/png" }, { "jpg", "image/jpeg" },
		{ "jpeg", "image/jpeg" }, { "gif", "image/gif" }, { "webp", "image/webp" },
		{ "json", "application/json" }, { "geojson", "application/geo+json" },
		{ "nc", "application/netcdf" }, { "nc4", "application/netcdf" },
		{ "h5", "application/x-hdf5" }, { "hdf5", "application/x-hdf5" },
		{ "he5", "application/x-hdf5" }, { "hdf", "application/x-hdf" },
		{ "grib", "application/x-grib" }, { "grib2", "application/x-grib" },
		{ "grb", "application/x-grib" }, { "zip", "application/zip" },
		{ "safe", "application/xml" }, { "xml", "application/xml" },
		{ "kml", "application/vnd.google-earth.kml+xml" },
		{ "parquet", "application/vnd.apache.parquet" }, { "gz", "application/gzip" },
		{ "tgz", "application/gzip" }, { "tar", "application/x-tar" }, { "bz2", "application/x-bzip2" },
		{ "zst", "application/zstd" }, { "7z", "application/x-7z-compressed" },
		{ "csv", "text/csv" }, { "txt", "text/plain" }, { "md", "text/markdown" },
		{ "pdf", "application/pdf" }, { "gpkg", "application/geopackage+sqlite3" },
		{ "laz", "application/vnd.laszip" }, { "zarray", "application/json" },
		{ "zattrs", "application/json" }, { "zgroup", "application/json" },
		{ "zmetadata", "application/json" },
	};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < ARRAY_LEN(known); i++) {
		if (strcasecmp(dot + 1, known[i].ext) == 0)
			return known[i].type;
	}
	return "application/octet-stream";
}
