/* SPDX-License-Identifier: Apache-2.0
 *
 * Response headers of a provider, and header values that we write.
 * Everything here parses outside bytes: pure, bounded, fuzzed.
 */
#ifndef WIRE_HEADER_H
#define WIRE_HEADER_H

#include "base/buf.h"
#include "base/err.h"

enum {
	HEADER_LINE_MAX = 16384,
	HEADER_TOTAL_MAX = 131072,	/* bytes of one response's header block */
	HEADER_COUNT_MAX = 256,
};

/* One line without its CRLF into name and value (both into line, trimmed). */
struct header_line {
	const char *name, *value;
	size_t name_len, value_len;
};
/* -1: no colon, bad token, CR, LF, NUL or other control byte inside, folded line. */
int header_line_parse(const char *line, size_t len, struct header_line *ret, struct err *e);
bool header_is(const struct header_line *h, const char *name);	/* case-insensitive */

/* Digits only, no sign, fits uint64: 0 or -1.  A list of equal values ("5, 5") is accepted (RFC 9110 8.6). */
int header_length_parse(const char *v, size_t len, uint64_t *ret);
/* Retry-After, in seconds from now (a date is compared with now_s); -1 when malformed; capped at a day. */
int64_t header_retry_after(const char *v, size_t len, int64_t now_s);
/* media type "type/subtype" lower-cased and with valid parameters kept; -1 when malformed.  out is cleared first. */
int header_media_type(const char *v, size_t len, struct buf *out);
/* Is this media type an HTML or XHTML page? (parameters ignored) */
bool media_type_is_html(const char *v);
/*
 * Does the body's beginning look like an HTML page? (BOM and white space skipped, case-insensitive:
 * "<!doctype html", "<html")
 */
bool body_looks_html(const char *body, size_t len);
/* Filename out of a provider's Content-Disposition (filename*, filename; RFC 6266), sanitized; -1 when none. */
int disposition_filename(const char *v, size_t len, struct buf *out);
/* `attachment; filename="x"; filename*=UTF-8''x` for any name: basename only, controls and quotes gone. */
void disposition_write(struct buf *out, const char *filename);
/*
 * Type by the name's extension (.tif .jp2 .json .nc .zip .xml .png .jpg .h5 .parquet ...);
 * "application/octet-stream" else.
 */
const char *media_type_of_name(const char *name);

#endif
