/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl object warm: a client like others, through the front.  So
 * rules, quotas, a provider's slots, and the one fetch for all who ask hold for
 * it, too, and it needs to be told what it may do as everybody else.
 *
 * Each of some slots takes the next path, asks, waits where it is told to, asks
 * again, and drops what comes.
 */
#include "base/base.h"

#include "ctl/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "ctl/asset.h"
#include "ctl/ctl.h"
#include "ctl/documents.h"
#include "net/wait.h"
#include "wire/header.h"

enum {
	TRIES = 5,
	PAUSE_S = 2,			/* where it is not said */
	PAUSE_MAX_S = 300,		/* nobody waits here for a day's quota */
	SHOW_MS = 200,
	LOOK_MS = 500,			/* so often interrupts are looked at */
	ITEM_MS = 60000,
	FRONT_EXTRA_MS = 5000,		/* so that it is the front who says that it was too long */
	HEADERS_MAX = 65536,
	HEADER_LINES_MAX = 64,
	LINE_SHOWN = 4 * 1024 + 1,
};

struct warm;

struct slot {
	struct warm *w;
	const char *path;		/* NULL: free */
	struct fetch *fetch;
	int64_t at_ms;			/* mono: to be asked (again) then; 0: it is being asked */
	unsigned tries;
	int status;
	uint64_t bytes;
	struct buf body;		/* of an error */
};

struct warm {
	struct config config;		/* a copy for the time that the front may take; what it points to is borrowed */
	const struct warm_options *o;
	const char *base;
	char *origin;			/* the header that a page of it would send: to such, "auto" never redirects */
	struct strs paths, failed, headers;
	struct wait *wait;
	struct slot slot[WARM_JOBS_MAX];
	size_t next, done, total;	/* next: of paths.  Those that are refused at once are done */
	uint64_t bytes;
	bool is_terminal;
	int64_t shown_ms;
};

/* ---- what is asked for -------------------------------------------------------- */

/* Of a path in whichever form: as the proxy writes it. */
static int
add_path(struct warm *w, const char *arg, struct err *e)
{
	const struct dataset *d;
	struct asset a;
	char *key;

	if (asset_parse(&a, arg, w->config.base_path, e) != 0)
		return -1;
	key = asset_key(&a, &w->config, &d, e);
	if (key != NULL)
		strs_add(&w->paths, a.text);
	asset_release(&a);
	free(key);
	return key == NULL ? -1 : 0;
}

/* One that cannot be asked for, or would not be stored, has failed already. */
static void
add_paths(struct warm *w, char *const *paths, size_t n)
{
	char shown[LINE_SHOWN], *failure;
	struct err e;

	for (size_t i = 0; i < n; i++) {
		e = (struct err)ERR_NONE;
		w->total++;
		if (add_path(w, paths[i], &e) == 0)
			continue;
		failure = mem_printf("%s: %s", readable(shown, sizeof(shown), paths[i]), e.text);
		strs_add(&w->failed, failure);
		free(failure);
		w->done++;
	}
}

/* A whole file; "-": standard input. */
static int
read_text(const char *path, struct buf *out, struct err *e)
{
	return strcmp(path, "-") == 0 ? fd_read_rest(STDIN_FILENO, out, e) : fd_read_file(path, out, e);
}

/* A path a line; empty ones, and those that begin with '#', say nothing. */
static int
add_file(struct warm *w, const char *path, struct err *e)
{
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct strs lines = { NULL, 0 };
	char *line, *next;
	int rc = read_text(path, &text, e);

	if (rc == 0 && text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
		rc = err_set(e, "'%.200s' holds a NUL: it is no list of paths", path);
	for (line = rc == 0 ? text.data : NULL; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		if (line[0] != '\0' && line[0] != '#')
			strs_add(&lines, line);
	}
	if (rc == 0)
		add_paths(w, lines.v, lines.n);
	strs_release(&lines);
	buf_release(&text);
	return rc;
}

static int
on_item(void *arg UNUSED, const struct fetch_response *r)
{
	return r->status == 200 ? 0 : -1;
}

static int
on_item_data(void *arg, const char *data, size_t n)
{
	return buf_add(arg, data, n) == 0 ? 0 : -1;
}

static int
fetch_item(struct warm *w, const char *url, struct buf *out, struct err *e)
{
	static const struct fetch_ops ops = { on_item, on_item_data, NULL };
	const struct fetch_request r = {
		.id = "ctl", .url = url, .method = "GET", .trusted = true, .tls_verify = true, .max_size = DOCUMENT_MAX,
		.end_mono_ms = clock_mono_ms() + ITEM_MS,
	};

	if (wait_fetch(w->wait, &r, &ops, out, e) == FETCH_OK)
		return 0;
	err_prefix(e, "cannot get the item");
	return -1;
}

/* Where an href may say that the proxy is. */
static void
add_prefixes(const struct warm *w, struct strs *prefixes)
{
	const struct config *c = &w->config;
	char *text = mem_printf("%s/", w->base);

	strs_add(prefixes, text);
	free(text);
	for (size_t i = 0; i < c->public_urls.n; i++) {
		text = mem_printf("%.*s/", (int)strcspn(c->public_urls.v[i], "?#"), c->public_urls.v[i]);
		strs_add(prefixes, text);
		free(text);
	}
	text = mem_printf("%s/", strcmp(c->base_path, "/") == 0 ? "" : c->base_path);
	strs_add(prefixes, text);
	free(text);
}

static int
add_item(struct warm *w, const char *item, const char *assets, struct err *e)
{
	bool is_url = strncmp(item, "http://", 7) == 0 || strncmp(item, "https://", 8) == 0;
	struct strs prefixes = { NULL, 0 }, names = { NULL, 0 }, found = { NULL, 0 };
	struct buf text = BUF_INIT(DOCUMENT_MAX);
	char *copy = mem_strdup(assets), *save = NULL;
	bool more = false;
	int rc;

	for (char *name = copy == NULL ? NULL : strtok_r(copy, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save))
		strs_add(&names, name);
	add_prefixes(w, &prefixes);
	rc = is_url ? fetch_item(w, item, &text, e) : read_text(item, &text, e);
	if (rc == 0 && assets != NULL && names.n == 0)
		rc = err_set(e, "--assets names none");
	if (rc == 0)
		rc = document_assets(buf_str(&text), text.len, &prefixes, assets == NULL ? NULL : &names, &found, &more, e);
	if (rc == 0 && more)
		(void)complain("warning: the collection has further pages, which are not asked for");
	if (rc == 0 && found.n == 0)
		rc = err_set(e, "no asset of the item points to '%.200s': name them with --assets", w->base);
	if (rc == 0)
		add_paths(w, found.v, found.n);
	strs_release(&found);
	strs_release(&names);
	strs_release(&prefixes);
	buf_release(&text);
	free(copy);
	return rc;
}

static int
read_headers(struct warm *w, const char *path, struct err *e)
{
	struct buf text = BUF_INIT(HEADERS_MAX);
	struct header_line h;
	int fd = fd_open_secret(path, e), rc = fd == -1 ? -1 : fd_read_rest(fd, &text, e);
	char *line, *next;

	for (line = rc == 0 ? text.data : NULL; line != NULL && rc == 0; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		if (line[0] == '\0')
			continue;
		if (w->headers.n == HEADER_LINES_MAX || header_line_parse(line, strlen(line), &h, e) != 0)
			rc = err_set(e, "'%.200s' is no list of headers", path);	/* what is in it is secret */
		else
			strs_add(&w->headers, line);
	}
	if (text.data != NULL)
		explicit_bzero(text.data, text.cap);
	buf_release(&text);
	fd_close(&fd);
	return rc;
}

/* ---- what is shown -------------------------------------------------------------- */

static void
show_all(struct warm *w, bool last)
{
	int64_t now_ms = clock_mono_ms();

	if (!w->is_terminal || (!last && now_ms < w->shown_ms + SHOW_MS))
		return;
	w->shown_ms = now_ms;
	fprintf(stderr, "\r%zu/%zu done, %zu failed, %" PRIu64 " bytes\033[K%s", w->done, w->total, w->failed.n, w->bytes,
	    last ? "\n" : "");
}

static void
show_end(struct warm *w)
{
	show_all(w, true);
	fprintf(stderr, "%zu of %zu assets are warm, %" PRIu64 " bytes\n", w->done - w->failed.n, w->total, w->bytes);
	if (w->done < w->total)
		(void)complain("interrupted: %zu are not done", w->total - w->done);
	for (size_t i = 0; i < w->failed.n; i++)
		(void)complain("failed: %s", w->failed.v[i]);
}

/* ---- one asset -------------------------------------------------------------------- */

static void
slot_end(struct slot *s, const char *failure)
{
	struct warm *w = s->w;
	char *line;

	w->done++;
	if (failure != NULL) {
		line = mem_printf("%s: %s", s->path, failure);
		strs_add(&w->failed, line);
		free(line);
	}
	if (!w->is_terminal)
		fprintf(stderr, "%zu/%zu %s: %s%s%" PRIu64 " bytes\n", w->done, w->total, s->path,
		    failure == NULL ? "" : failure, failure == NULL ? "" : ", ", s->bytes);
	buf_release(&s->body);
	s->path = NULL;
}

static int
on_response(void *arg, const struct fetch_response *r)
{
	((struct slot *)arg)->status = r->status;
	return 0;
}

/* "eodata-proxy; fwd=miss; stored" (RFC 9211), of which the first is the proxy's own.  Where a front hides it: nobody knows. */
static bool
is_unstored(const char *cache_status)
{
	size_t n = cache_status == NULL ? 0 : strcspn(cache_status, ",");
	char *text = cache_status == NULL ? NULL : mem_strndup(cache_status, n), *save = NULL, *word;
	bool ours = false, kept = false;

	for (word = text == NULL ? NULL : strtok_r(text, "; ", &save); word != NULL; word = strtok_r(NULL, "; ", &save)) {
		ours = ours || strcmp(word, "eodata-proxy") == 0;
		kept = kept || strcmp(word, "hit") == 0 || strcmp(word, "stored") == 0;
	}
	free(text);
	return ours && !kept;
}

static int
on_data(void *arg, const char *data, size_t n)
{
	struct slot *s = arg;

	if (s->status == 200) {
		s->w->bytes += n;
		s->bytes += n;
	} else {
		(void)buf_add(&s->body, data, n);	/* cut where it is too long: it is no JSON then */
	}
	show_all(s->w, false);
	return 0;
}

/* "503: the provider's detail" */
static void
refused(struct slot *s)
{
	struct buf detail = BUF_INIT(FETCH_ERROR_BODY_MAX);
	char shown[LINE_SHOWN], *text;

	document_detail(buf_str(&s->body), s->body.len, &detail);
	if (s->status >= 300 && s->status < 400)
		text = mem_printf("%d: the rules send clients elsewhere", s->status);
	else if (detail.len == 0)
		text = mem_printf("%d", s->status);
	else
		text = mem_printf("%d: %.1000s", s->status, readable(shown, sizeof(shown), buf_str(&detail)));
	slot_end(s, text);
	free(text);
	buf_release(&detail);
}

static void
on_done(void *arg, enum fetch_error x, const char *reason)
{
	struct slot *s = arg;
	int64_t pause_s = x == FETCH_OK ? fetch_response(s->fetch)->retry_after_s : -1;
	bool unstored = x == FETCH_OK && is_unstored(fetch_response(s->fetch)->cache_status);
	char *text;

	s->fetch = NULL;
	if (x != FETCH_OK) {
		text = mem_printf("%s: %s", fetch_error_name(x), reason);
		slot_end(s, text);
		free(text);
	} else if (s->status == 200) {
		slot_end(s, unstored ? "200: delivered, and not stored" : NULL);
	} else if ((s->status == 429 || s->status == 503) && s->tries < TRIES && pause_s <= PAUSE_MAX_S) {
		s->at_ms = clock_mono_ms() + (pause_s < 0 ? PAUSE_S : pause_s == 0 ? 1 : pause_s) * 1000;
	} else {
		refused(s);
	}
}

static void
slot_ask(struct slot *s)
{
	static const struct fetch_ops ops = { on_response, on_data, on_done };
	struct warm *w = s->w;
	char *url = mem_printf("%s/%s", w->base, s->path);
	const struct fetch_request r = {
		.id = "ctl", .url = url, .method = "GET", .trusted = true, .tls_verify = true, .max_size = UINT64_MAX,
		.headers = &w->origin, .n_headers = 1,
		.credentials = (const char *const *)w->headers.v, .n_credentials = w->headers.n,
	};
	struct err e = ERR_NONE;

	buf_release(&s->body);
	buf_init(&s->body, FETCH_ERROR_BODY_MAX);
	s->tries++;
	s->at_ms = 0;
	s->status = 0;
	s->bytes = 0;
	s->fetch = fetch_start(wait_net(w->wait), &r, &ops, s, &e);
	free(url);
	if (s->fetch == NULL)
		slot_end(s, e.text);
}

/* ---- all of them ------------------------------------------------------------------ */

/* The next path, or the same again: what there is to do now.  How long until there is more; -1: nobody knows. */
static int
drive(struct warm *w)
{
	int64_t now_ms = clock_mono_ms(), next_ms = INT64_MAX;

	for (unsigned i = 0; i < w->o->jobs; i++) {
		struct slot *s = &w->slot[i];

		if (s->path == NULL && w->next < w->paths.n) {
			*s = (struct slot){ .w = w, .path = w->paths.v[w->next++], .at_ms = now_ms };
			buf_init(&s->body, FETCH_ERROR_BODY_MAX);
		}
		if (s->path != NULL && s->at_ms != 0 && s->at_ms <= now_ms)
			slot_ask(s);
		if (s->path != NULL && s->at_ms != 0 && s->at_ms < next_ms)
			next_ms = s->at_ms;
		if (s->path == NULL && w->next < w->paths.n)
			next_ms = now_ms;
	}
	if (next_ms == INT64_MAX)
		return -1;
	return next_ms <= now_ms ? 0 : (int)(next_ms - now_ms);
}

/* Of "https://host:port/data": all before the path. */
static char *
origin_of(const char *base)
{
	const char *host = strstr(base, "://");
	size_t n = host == NULL ? strlen(base) : (size_t)(host + 3 - base) + strcspn(host + 3, "/?#");

	return mem_printf("Origin: %.*s", (int)n, base);
}

static int
prepare(struct warm *w, char *const *paths, size_t n, struct err *e)
{
	const struct warm_options *o = w->o;

	if (w->base == NULL)
		return err_set(e, "which front?  --url, or front.public_urls in the configuration");
	w->origin = origin_of(w->base);
	w->wait = wait_new(&w->config, e);
	if (w->wait == NULL || (o->header_file != NULL && read_headers(w, o->header_file, e) != 0) ||
	    (o->from != NULL && add_file(w, o->from, e) != 0) ||
	    (o->item != NULL && add_item(w, o->item, o->assets, e) != 0))
		return -1;
	add_paths(w, paths, n);
	return 0;
}

int
object_warm(const struct config *c, char *const *paths, size_t n, const struct warm_options *o)
{
	struct warm *w = mem_alloc(sizeof(*w));
	struct err e = ERR_NONE;
	char *base = NULL;
	int rc = 1;

	(void)signal(SIGPIPE, SIG_IGN);	/* of a connection that has gone */
	w->config = *c;
	w->config.first_byte_timeout_ms = c->front_timeout_ms + FRONT_EXTRA_MS;	/* the front's, not a provider's */
	w->o = o;
	w->is_terminal = isatty(STDERR_FILENO) == 1;
	if (o->url != NULL || c->public_urls.n > 0)
		base = mem_strdup(o->url != NULL ? o->url : c->public_urls.v[0]);
	for (size_t len = base == NULL ? 0 : strlen(base); len > 0 && base[len - 1] == '/'; len--)
		base[len - 1] = '\0';
	w->base = base;
	if (prepare(w, paths, n, &e) != 0) {
		(void)complain("%s", e.text);
	} else {
		catch_interrupts();
		while (w->done < w->total && !was_interrupted()) {
			int pause_ms = drive(w);

			if (w->done < w->total)		/* not for ever: an interrupt may have come just before */
				wait_turn(w->wait, pause_ms < 0 || pause_ms > LOOK_MS ? LOOK_MS : pause_ms);
		}
		show_end(w);
		rc = w->failed.n > 0 || w->done < w->total;
	}
	wait_free(w->wait);
	for (size_t i = 0; i < WARM_JOBS_MAX; i++)
		buf_release(&w->slot[i].body);		/* of those that were interrupted */
	strs_release(&w->paths);
	strs_release(&w->failed);
	for (size_t i = 0; i < w->headers.n; i++)
		explicit_bzero(w->headers.v[i], strlen(w->headers.v[i]));
	strs_release(&w->headers);
	free(w->origin);
	free(base);
	free(w);
	return rc;
}
