/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of lib/net share beside the server.
 */
#include "base/base.h"

#include "unit.h"

#include "net_case.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

static char loopback_v4[] = "127.0.0.1";
static char *loopback[] = { loopback_v4 };
static char site[] = "site-1";
struct config conf;
struct server *s;

static int
got_response(void *arg, const struct fetch_response *r)
{
	struct got *g = arg;

	CHECK(!g->inside);
	g->responses++;
	g->r = *r;
	g->r.media_type = mem_strdup(r->media_type);
	g->r.etag = mem_strdup(r->etag);
	g->r.disposition = mem_strdup(r->disposition);
	g->r.content_encoding = mem_strdup(r->content_encoding);
	g->r.bucket_region = mem_strdup(r->bucket_region);
	for (size_t i = 0; i < r->n_amz; i++)
		MUST(buf_addf(&g->amz, "%s=%s\n", r->amz[i].name, r->amz[i].value) == 0);
	g->r.amz = NULL;
	g->r.n_amz = 0;
	return g->stop_at_response ? -1 : 0;
}

static int
got_data(void *arg, const char *data, size_t n)
{
	struct got *g = arg;

	CHECK(!g->inside && !g->paused && g->responses == 1 && g->ends == 0);
	g->calls++;
	for (size_t i = 0; i < g->n_cancels; i++) {
		fetch_cancel(g->cancels[i]);
		g->cancels[i] = NULL;
	}
	if (g->stop_at_data)
		return -1;
	if (g->pause_every > 0 && g->calls % g->pause_every == 0) {
		g->pauses++;
		g->paused = true;
		return 1;
	}
	for (size_t i = 0; g->discard && i < n; i++)
		g->bad_fill = g->bad_fill || data[i] != fill_byte(g->n_body + i);
	if (!g->discard)
		MUST(buf_add(&g->body, data, n) == 0);
	g->n_body += n;
	return 0;
}

static void
got_done(void *arg, enum fetch_error x, const char *reason)
{
	struct got *g = arg;

	CHECK(!g->inside && !g->paused);
	g->ends++;
	g->error = x;
	g->r.excess = fetch_response(g->f) != NULL && fetch_response(g->f)->excess;
	g->sent = fetch_sent(g->f);
	(void)snprintf(g->reason, sizeof(g->reason), "%s", reason);
	g->f = NULL;
}

const struct fetch_ops got_ops = { got_response, got_data, got_done };

void
got_init(struct got *g)
{
	*g = (struct got){ .ends = 0 };
	buf_init(&g->body, 64 << 20);
	buf_init(&g->amz, 1 << 20);
}

void
got_release(struct got *g)
{
	free(g->r.media_type);
	free(g->r.etag);
	free(g->r.disposition);
	free(g->r.content_encoding);
	free(g->r.bucket_region);
	buf_release(&g->amz);
	buf_release(&g->body);
}

void
begin(void)
{
	conf = (struct config){
		.allow_http = true, .allow_private = { loopback, 1 }, .site_id = site,
		.connect_timeout_ms = 15000, .first_byte_timeout_ms = 10000, .low_speed_time_ms = 8000,
		.low_speed_bytes = 1000, .upstream_max_size = 1 << 30, .redirects_max = 3,
	};
	loop_start(&conf);
	s = server_start();
}

void
end(void)
{
	server_stop(s);
	loop_stop();
}

const char *
url(const char *host, const char *path)
{
	static char text[300];

	(void)snprintf(text, sizeof(text), "http://%s:%d%s", host, server_port(s), path);
	return text;
}

struct fetch_request
request(const char *path)
{
	return (struct fetch_request){ .id = "r1", .url = url("127.0.0.1", path), .method = "GET", .tls_verify = true };
}

void
start(const struct fetch_request *r, struct got *g)
{
	struct err e = ERR_NONE;

	g->inside = true;
	g->f = fetch_start(loop_net(), r, &got_ops, g, &e);
	g->inside = false;
	CHECK(g->f != NULL);
	CHECK_STR(e.text, "");
}

/* To its end, resuming whenever it pauses. */
void
run(const struct fetch_request *r, struct got *g)
{
	start(r, g);
	while (g->f != NULL && g->ends == 0) {
		UNTIL(g->ends == 1 || g->paused);
		if (g->ends == 0 && !g->paused)
			return;	/* it hangs, and UNTIL has said so */
		if (g->paused) {
			g->paused = false;
			g->inside = true;
			fetch_resume(g->f);
			g->inside = false;
		}
	}
	CHECK_INT(g->ends, 1);
}

/* The path fetched to its end by an owner that takes all. */
struct got
fetched(const char *path)
{
	struct got g;
	struct fetch_request r = request(path);

	got_init(&g);
	run(&r, &g);
	return g;
}

void
ends_with(const char *path, enum fetch_error want)
{
	struct got g = fetched(path);

	if (g.error != want)
		fprintf(stderr, "%s: %s\n", path, g.reason);
	CHECK_STR(fetch_error_name(g.error), fetch_error_name(want));
	CHECK((g.error == FETCH_OK) == (g.reason[0] == '\0'));
	got_release(&g);
}

/* -- names ---------------------------------------------------------------- */

typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* libcurl's threads call this one: the program comes before libc. */
__attribute__((visibility("default"))) int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	static const struct { const char *name, *address[2]; } known[] = {
		{ "one.test", { "127.0.0.1", NULL } }, { "s3.us-east-1.test", { "127.0.0.1", NULL } },
		{ "s3.eu-west-3.test", { "127.0.0.1", NULL } }, { "private.test", { "10.0.0.1", NULL } },
		{ "meta.test", { "169.254.169.254", NULL } }, { "mixed.test", { "10.0.0.1", "127.0.0.1" } },
	};
	static unsigned turns;
	resolve_fn *real = (resolve_fn *)dlsym(RTLD_NEXT, "getaddrinfo");
	struct addrinfo numeric = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM }, *first, *second;

	if (name != NULL && strcmp(name, "hang.test") == 0) {
		for (;;)
			(void)pause();	/* no signal comes */
	}
	if (hints != NULL)
		numeric.ai_socktype = hints->ai_socktype;
	if (name != NULL && strcmp(name, "turns.test") == 0)
		name = __atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED) == 0 ? "127.0.0.1" : "127.0.0.2";
	for (size_t i = 0; name != NULL && i < ARRAY_LEN(known); i++) {
		if (strcmp(name, known[i].name) != 0)
			continue;
		if (real(known[i].address[0], service, &numeric, &first) != 0)
			return EAI_FAIL;
		if (known[i].address[1] != NULL) {
			if (real(known[i].address[1], service, &numeric, &second) != 0)
				return EAI_FAIL;
			first->ai_next = second;	/* freeaddrinfo takes them one by one */
		}
		*ret = first;
		return 0;
	}
	return real(name, service, &numeric, ret);
}
