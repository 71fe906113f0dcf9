/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request says.  Worker.
 *
 * libfcgi's own getter gives the first of two parameters with one name, so
 * all of them are walked here, and two are a fault (case F2), except where
 * HTTP lets a header come in several lines and order does not matter.
 */
#include "base/base.h"

#include "worker/request.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/text.h"

enum { PARAMS_MAX = 4096, VALUE_MAX = 8000 };	/* a value must fit into a hand-over */
enum { AGAIN_MAX_MS = 3600000 };

enum name {
	NAME_METHOD, NAME_URI, NAME_AGAIN, NAME_RANGE, NAME_ORIGIN, NAME_HOST, NAME_AUTHORIZATION, NAME_TRACE,
	NAME_IF_MATCH, NAME_IF_NONE_MATCH, NAME_IF_MODIFIED_SINCE, NAME_IF_UNMODIFIED_SINCE, NAME_IF_RANGE, NAME_LOOP,
	NAME_PROTOCOL, NAMES,
};

#define NAME(s) { (s), sizeof(s) - 1 }

static const struct {
	const char *text;
	size_t len;
} names[NAMES] = {
	[NAME_METHOD] = NAME("REQUEST_METHOD"),
	[NAME_URI] = NAME("REQUEST_URI"),
	[NAME_AGAIN] = NAME("EODATA_AGAIN"),
	[NAME_RANGE] = NAME("HTTP_RANGE"),
	[NAME_ORIGIN] = NAME("HTTP_ORIGIN"),
	[NAME_HOST] = NAME("HTTP_HOST"),
	[NAME_AUTHORIZATION] = NAME("HTTP_AUTHORIZATION"),
	[NAME_TRACE] = NAME("HTTP_TRACEPARENT"),
	[NAME_IF_MATCH] = NAME("HTTP_IF_MATCH"),
	[NAME_IF_NONE_MATCH] = NAME("HTTP_IF_NONE_MATCH"),
	[NAME_IF_MODIFIED_SINCE] = NAME("HTTP_IF_MODIFIED_SINCE"),
	[NAME_IF_UNMODIFIED_SINCE] = NAME("HTTP_IF_UNMODIFIED_SINCE"),
	[NAME_IF_RANGE] = NAME("HTTP_IF_RANGE"),
	[NAME_LOOP] = NAME("HTTP_CDN_LOOP"),
	[NAME_PROTOCOL] = NAME("SERVER_PROTOCOL"),
};

/* Which of the names a parameter has; NAMES when none.  n: bytes before its first '='. */
static int
name_of(const char *param, size_t n)
{
	for (int k = 0; k < NAMES; k++) {
		if (names[k].len == n && memcmp(param, names[k].text, n) == 0)
			return k;
	}
	return NAMES;
}

/* Is id one of a CDN-Loop list (RFC 8586: cdn-id *( OWS ";" OWS parameter ))? */
static bool
loop_names(const char *list, const char *id)
{
	size_t n = strlen(id), len;

	for (const char *p = list; *p != '\0'; p += strcspn(p, ","), p += *p == ',') {
		p += strspn(p, " \t");
		len = strcspn(p, " \t;,");
		if (len == n && strncasecmp(p, id, n) == 0)
			return true;
	}
	return false;
}

void
request_token(struct buf *out, const struct charge *ch)
{
	(void)buf_join(out, ch->id, "-", NULL);
	(void)buf_addu(out, ch->reserved[QUOTA_BYTES]);
	(void)buf_addc(out, '-');
	(void)buf_addu(out, (uint64_t)ch->at_ms);
}

/* Up to 18 digits from *s on, and what must follow them.  -1 when it is not so. */
static int64_t
token_number(const char **s, char behind)
{
	size_t n = strspn(*s, "0123456789");
	int64_t v = 0;

	if (n == 0 || n > 18 || (*s)[n] != behind)
		return -1;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + ((*s)[i] - '0');
	*s += n + (behind == '\0' ? 0 : 1);
	return v;
}

/* Is this a token of ours?  Then the request goes on under its charge. */
static void
take_again(struct request *r, const char *s)
{
	int64_t bytes, at_ms;

	if (strcmp(s, "unknown") == 0) {
		r->vanished = true;
		return;
	}
	if (strspn(s, "0123456789abcdef") != CHARGE_ID_MAX)
		return;
	memcpy(r->id, s, CHARGE_ID_MAX);
	s += CHARGE_ID_MAX;
	if (*s == '-') {
		s++;
		bytes = token_number(&s, '-');
		at_ms = bytes == -1 ? -1 : token_number(&s, '\0');
		if (at_ms == -1)
			return;
		/* a clock that was set, or a front that is lying: then its windows are not known */
		if (at_ms <= r->at_ms && r->at_ms - at_ms <= AGAIN_MAX_MS) {
			r->at_ms = at_ms;
			r->again_bytes = (uint64_t)bytes;
		}
	} else if (*s != '\0') {
		return;
	}
	r->again = true;
}

void
request_read(struct request *ret, char *const *envp, const char *site_id)
{
	const char *value[NAMES] = { NULL }, *v;
	int k;

	memset(ret, 0, sizeof(*ret));
	for (int i = 0; envp[i] != NULL && i < PARAMS_MAX; i++) {
		v = strchr(envp[i], '=');
		k = v == NULL ? NAMES : name_of(envp[i], (size_t)(v - envp[i]));
		if (k == NAMES)
			continue;
		v++;
		if (k == NAME_LOOP) {
			/* it may come in several lines */
			if (site_id != NULL && site_id[0] != '\0' && loop_names(v, site_id))
				ret->loop = true;
			continue;
		}
		if (k == NAME_PROTOCOL) {
			/* a site may have it in two of its files */
			ret->http_1_0 = ret->http_1_0 || strcmp(v, "HTTP/1.0") == 0;
			continue;
		}
		if (value[k] != NULL)
			ret->fault = "a header or parameter arrived twice";
		if (k != NAME_URI && k != NAME_AUTHORIZATION && strlen(v) > VALUE_MAX)
			ret->fault = "a header is too long";
		value[k] = v;
	}
	ret->method = value[NAME_METHOD] == NULL ? "" : value[NAME_METHOD];
	ret->uri = value[NAME_URI] == NULL ? "" : value[NAME_URI];
	ret->range = value[NAME_RANGE];
	ret->origin = value[NAME_ORIGIN];
	ret->host = value[NAME_HOST];
	ret->authorized = value[NAME_AUTHORIZATION] != NULL;
	ret->cond = (struct conditions){
		.if_match = value[NAME_IF_MATCH],
		.if_none_match = value[NAME_IF_NONE_MATCH],
		.if_modified_since = value[NAME_IF_MODIFIED_SINCE],
		.if_unmodified_since = value[NAME_IF_UNMODIFIED_SINCE],
		.if_range = value[NAME_IF_RANGE],
	};
	ret->at_ms = clock_wall_ms();
	if (value[NAME_AGAIN] != NULL)
		take_again(ret, value[NAME_AGAIN]);
	if (!ret->again)
		text_random_hex(ret->id, CHARGE_ID_MAX);
	trace_keep_or_make(value[NAME_TRACE], ret->trace);
}
