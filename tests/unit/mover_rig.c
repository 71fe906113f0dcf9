/* SPDX-License-Identifier: Apache-2.0
 *
 * A mover as a process, and everyone it talks to.
 */
#include "base/base.h"

#include "mover_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "cache/key.h"
#include "cache/store.h"
#include "ipc/control.h"
#include "ipc/fds.h"
#include "role.h"
#include "unit.h"
#include "wire/fcgi.h"

enum { SLOT = SLOT_MOVERS, CONN_OUT_MAX = 1 << 20, PIECE = 65536 };

int64_t
rig_ms(void)
{
	return clock_mono_ms();
}

#define BEARER	"Authorization: Bearer hush"	/* and which job it came with */

/* -- birth and death ------------------------------------------------------------------- */

static struct config *
config_of(const struct rig *r, const char *extra)
{
	struct buf faults = BUF_INIT(65536);
	size_t n = strcspn(extra, "@");
	char *more = extra[n] == '\0' ? mem_strdup(extra) : mem_printf("%.*s%u%s", (int)n, extra, r->port, extra + n + 1);
	char *text = mem_printf("{ \"datasets\": ["
	    " { \"assets\": [\"unstored*\"], \"retention\": \"30d\", \"fill\": \"never\" },"
	    " { \"assets\": [\"lenient*\"], \"retention\": \"30d\", \"on_mismatch\": \"deliver\" },"
	    " { \"assets\": [\"small*\"], \"retention\": \"30d\", \"max_size\": \"1 MiB\" },"
	    " { \"assets\": [\"whole*\"], \"retention\": \"30d\", \"fill\": \"whole-only\" },"
	    " { \"retention\": \"30d\" } ],"
	    "\"rules\": [ { \"name\": \"all\", \"who\": \"anyone\", \"allow\": true } ],"
	    "\"memcached\": [ \"%s/m\" ],"
	    "\"quotas\": { \"q\": { \"per\": \"user\", \"bytes\": [\"1 TB per day\"], \"when_unavailable\": \"allow\" },"
	    " \"strict\": { \"per\": \"user\", \"bytes\": [\"1 TB per day\"], \"when_unavailable\": \"refuse\" } },"
	    "\"cache\": { \"path\": \"%s/cache\", \"min_free\": \"0 %%\", \"retentions\": { \"30d\": {} } },"
	    "\"upstream\": { \"allow_http\": true, \"allow_private\": [\"127.0.0.0/8\"] },"
	    "\"front\": { \"public_urls\": [\"https://here.example/data\"] } %s }", r->dir, r->dir, more);
	struct config *c = config_parse("test", text, strlen(text), false, &faults);

	if (c == NULL)
		fprintf(stderr, "%s", buf_str(&faults));
	MUST(c != NULL);
	free(text);
	free(more);
	buf_release(&faults);
	return c;
}

void
rig_reload(struct rig *r, const char *extra)
{
	struct config *c = config_of(r, extra);
	struct pollfd p = { .fd = r->control, .events = POLLIN };
	uint64_t generation = 0;
	int fd;

	c->generation = r->config->generation + 1;
	fd = config_to_memfd(c, NULL);
	MUST(fd != -1);
	r->scoreboard->generation = c->generation;
	CHECK_INT(control_send(r->control, CONTROL_RELOAD, fd), 0);
	fd_close(&fd);
	CHECK_INT(poll(&p, 1, RIG_WAIT_MS), 1);
	CHECK_INT(control_read_child(r->control, &generation), CONTROL_READY);
	config_free(r->config);
	r->config = c;
}

NORETURN static void
be_mover(struct rig *r, int control, int handover, int broker, int account)
{
	struct role_env env = { r->config, r->scoreboard, ROLE_MOVER, SLOT, 0 };
	const int want[] = { FD_CONTROL, FD_HANDOVER, FD_BROKER, FD_ACCOUNT };
	int have[] = { control, handover, broker, account }, log;

	for (size_t i = 0; i < ARRAY_LEN(have); i++)
		have[i] = fcntl(have[i], F_DUPFD_CLOEXEC, 200);
	for (size_t i = 0; i < ARRAY_LEN(have); i++)
		MUST(dup2(have[i], want[i]) == want[i]);
	(void)close_range(FD_FIRST, ~0u, 0);
	for (int fd = 3; fd < FD_FIRST; fd++) {
		if (fd != FD_CONTROL && fd != FD_HANDOVER && fd != FD_BROKER && fd != FD_ACCOUNT)
			(void)close(fd);
	}
	log = open(r->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	MUST(dup2(log, STDERR_FILENO) == STDERR_FILENO);
	fd_close(&log);
	log_init("mover", LOG_INFO);
	stat_init(r->scoreboard, SLOT);
	stat_claim(ROLE_MOVER, 0);
	exit(mover_run(&env));
}

static void
listen_here(struct rig *r)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	r->listen = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(r->listen >= 0 && bind(r->listen, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(r->listen, 64) == 0);
	MUST(getsockname(r->listen, (struct sockaddr *)&sa, &len) == 0);
	r->port = ntohs(sa.sin_port);
}

void
rig_start(struct rig *r, const char *extra)
{
	int control[2], handover[2], broker[2], account[2];
	struct pollfd p;
	uint64_t generation;

	memset(r, 0, sizeof(*r));
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/eo-mover-XXXXXX");
	MUST(mkdtemp(r->dir) != NULL);
	(void)snprintf(r->log, sizeof(r->log), "%s/log", r->dir);
	listen_here(r);
	r->config = config_of(r, extra);
	r->scoreboard_fd = r->resolver = -1;
	for (size_t i = 0; i < RIG_CONNS; i++)
		r->conn[i].fd = -1;
	r->scoreboard = scoreboard_create(&r->scoreboard_fd, NULL);
	MUST(r->scoreboard != NULL);
	buf_init(&r->jobs, 1 << 20);
	MUST(mkdir(r->config->cache_path, 0700) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, false, control, NULL) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, false, handover, NULL) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, true, broker, NULL) == 0);
	MUST(fd_socketpair(SOCK_SEQPACKET, false, account, NULL) == 0);
	(void)fflush(NULL);
	r->pid = fork();
	MUST(r->pid >= 0);
	if (r->pid == 0)
		be_mover(r, control[1], handover[1], broker[1], account[1]);
	fd_close(&control[1]);
	fd_close(&handover[1]);
	fd_close(&broker[1]);
	fd_close(&account[1]);
	r->control = control[0];
	r->handover = handover[0];
	r->broker = broker[0];
	r->account = account[0];
	p = (struct pollfd){ .fd = r->control, .events = POLLIN };
	CHECK_INT(poll(&p, 1, RIG_WAIT_MS), 1);
	CHECK_INT(control_read_child(r->control, &generation), CONTROL_READY);
}

int
rig_wait(struct rig *r)
{
	int status, rc = -1;

	for (int64_t until = rig_ms() + RIG_WAIT_MS; rig_ms() < until;) {
		if (waitpid(r->pid, &status, WNOHANG) == r->pid) {
			rc = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
			r->pid = 0;
			break;
		}
		rig_turn(r);
	}
	rig_turn(r);
	return rc;
}

static int
remove_one(const char *path, const struct stat *st UNUSED, int flag UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void
show_log(const struct rig *r)
{
	struct buf b = BUF_INIT(1 << 20);

	(void)fd_read_file(r->log, &b, NULL);
	fprintf(stderr, "the mover's log:\n%s", buf_str(&b));
	buf_release(&b);
}

static void
conn_close(struct conn *c)
{
	fd_close(&c->fd);
	buf_release(&c->in);
	buf_release(&c->out);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

void
rig_stop(struct rig *r)
{
	int rc = 0;

	if (r->pid != 0) {
		fd_close(&r->control);
		rc = rig_wait(r);
		CHECK_INT(rc, 0);
		if (r->pid != 0) {
			(void)kill(r->pid, SIGKILL);
			(void)waitpid(r->pid, NULL, 0);
		}
	}
	if (rc != 0)
		show_log(r);
	for (size_t i = 0; i < r->n_fronts; i++)
		rig_close(&r->front[i]);
	for (size_t i = 0; i < RIG_CONNS; i++)
		conn_close(&r->conn[i]);
	fd_close(&r->control);
	fd_close(&r->handover);
	fd_close(&r->account);
	fd_close(&r->broker);
	fd_close(&r->resolver);
	fd_close(&r->listen);
	buf_release(&r->jobs);
	fd_close(&r->scoreboard_fd);
	scoreboard_detach(r->scoreboard);
	config_free(r->config);
	CHECK_INT(nftw(r->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

struct script *
rig_script(struct rig *r, struct script s)
{
	MUST(r->n_scripts < RIG_SCRIPTS);
	r->script[r->n_scripts] = s;
	return &r->script[r->n_scripts++];
}

static struct script *
script_of(struct rig *r, const char *asset, size_t n)
{
	for (size_t i = 0; i < r->n_scripts; i++) {
		if (strlen(r->script[i].asset) == n && memcmp(r->script[i].asset, asset, n) == 0)
			return &r->script[i];
	}
	return NULL;
}

/* -- the worker and the front -------------------------------------------------------------- */

struct front *
rig_ask(struct rig *r, const struct asking *a)
{
	struct front *f = &r->front[r->n_fronts++];
	struct handover h = {
		.fcgi_id = 1, .head = a->head, .backend = a->backend == NULL ? "b" : a->backend, .collection = "c",
		.item = "i", .asset = a->asset, .subpath = a->subpath, .range = a->range, .rule = "all", .delivery = a->delivery,
		.rate = a->rate, .accepted_mono_us = clock_mono_us(),
		.deadline_mono_ms = rig_ms() + (a->deadline_ms == 0 ? 15000 : a->deadline_ms), .hit_key = a->hit_key,
		.cond = { .if_range = a->if_range, .if_none_match = a->if_none_match },
	};
	int pair[2];

	MUST(r->n_fronts <= RIG_CLIENTS);
	(void)snprintf(h.id, sizeof(h.id), "r%u", ++r->ids);
	trace_keep_or_make(NULL, h.trace);
	memcpy(h.charge.id, h.id, sizeof(h.charge.id));
	(void)snprintf(h.charge.realm, sizeof(h.charge.realm), "front");
	(void)snprintf(h.charge.user, sizeof(h.charge.user), "%s", a->user == NULL ? "alice" : a->user);
	h.charge.at_ms = clock_wall_ms();
	if (a->quota) {
		h.charge.n = 1;
		(void)snprintf(h.charge.entry[0].set, sizeof(h.charge.entry[0].set), "%s",
		    strcmp(h.charge.user, "strict") == 0 ? "strict" : "q");
		(void)snprintf(h.charge.entry[0].subject, sizeof(h.charge.entry[0].subject), "ab");
		h.charge.reserved[QUOTA_BYTES] = a->held;
		r->granted[QUOTA_BYTES] += a->held;
	}
	MUST(fd_socketpair(SOCK_STREAM, false, pair, NULL) == 0);
	MUST(handover_send(r->handover, &h, pair[1], a->file_fd, 1000) == 0);
	fd_close(&pair[1]);
	f->fd = pair[0];
	MUST(fd_set_nonblock(f->fd, true) == 0);
	buf_init(&f->raw, 1 << 20);
	f->stop_at = a->stop_at == 0 ? UINT64_MAX : a->stop_at;
	return f;
}

void
rig_close(struct front *f)
{
	fd_close(&f->fd);
	buf_release(&f->raw);
}

static void
front_body(struct front *f, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && !f->text; i++)
		f->wrong = f->wrong || (char)p[i] != rig_byte(f->first + f->got + i);
	f->got += n;
}

/* The head ends somewhere in these bytes. */
static void
front_head(struct front *f, const uint8_t *p, size_t n)
{
	size_t take = n < sizeof(f->head) - 1 - f->head_len ? n : sizeof(f->head) - 1 - f->head_len, end;
	const char *blank, *range;

	memcpy(f->head + f->head_len, p, take);
	blank = memmem(f->head, f->head_len + take, "\r\n\r\n", 4);
	if (blank == NULL) {
		f->head_len += take;
		return;
	}
	end = (size_t)(blank + 4 - f->head);
	f->headed = true;
	f->text = memmem(f->head, end, "problem+json", 12) != NULL;
	range = memmem(f->head, end, "Content-Range: bytes ", 21);
	if (range != NULL && range[21] != '*')
		f->first = strtoull(range + 21, NULL, 10);
	if (f->text) {
		f->head_len += take;
		f->got = 0;
		return;
	}
	front_body(f, p + (end - f->head_len), n - (end - f->head_len));
	f->head[end] = '\0';
	f->head_len = end;
}

static void
front_take(struct front *f)
{
	static const uint8_t bogus[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct fcgi_record rec;
	size_t at = 0;
	ssize_t n;

	while (!f->bogus && !f->ended) {
		n = fcgi_parse(f->raw.data + at, f->raw.len - at, &rec);
		if (n < 0)
			f->bogus = f->raw.len - at == sizeof(bogus) && memcmp(f->raw.data + at, bogus, sizeof(bogus)) == 0;
		if (n <= 0)
			break;
		at += (size_t)n;
		if (rec.type == FCGI_STDOUT && !f->headed)
			front_head(f, rec.content, rec.content_len);
		else if (rec.type == FCGI_STDOUT)
			front_body(f, rec.content, rec.content_len);
		f->ended = rec.type == FCGI_END;
	}
	buf_consume(&f->raw, at);
}

static void
front_read(struct front *f)
{
	char *to;
	ssize_t n;

	while (f->fd != -1 && !f->eof && f->got < f->stop_at) {
		to = buf_reserve(&f->raw, PIECE);
		MUST(to != NULL);
		n = read(f->fd, to, PIECE);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		f->eof = n <= 0;
		f->raw.len += n > 0 ? (size_t)n : 0;
		front_take(f);
		if (f->ended && !f->keeps)	/* as a front does */
			(void)shutdown(f->fd, SHUT_RDWR);
	}
}

/* -- broker and resolver --------------------------------------------------------------------- */

static void
answer(struct rig *r, const struct resolve_answer *a)
{
	struct buf msg = BUF_INIT(65536), out = BUF_INIT(65540);

	resolve_answer_put(&msg, a);
	msg_frame(&out, &msg);
	MUST(buf_ok(&msg) && buf_ok(&out));
	(void)fd_write_all(r->resolver, out.data, out.len);
	buf_release(&msg);
	buf_release(&out);
}

static void
answer_job(struct rig *r, uint64_t job, const struct script *s)
{
	struct resolve_answer a = {
		.job = job, .kind = s == NULL ? RESOLVE_FAILED : s->kind, .backend = "b", .method = "GET",
		.size = UINT64_MAX, .tls_verify = true, .status = 404, .who = "client", .reason = "no such asset",
	};
	char url[128], bearer[64], endpoint[40], id[16];

	if (s != NULL) {
		(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/%s?secret=hush", r->port, s->asset);
		a.source = s->source;
		a.url = url;
		a.checksum = s->checksum;
		a.expires_ms = s->life_ms == 0 ? 0 : clock_wall_ms() + s->life_ms;
		a.status = s->kind == RESOLVE_PENDING ? 503 : s->status;
		a.retry_after_s = s->retry_after_s;
	}
	if (a.source == SOURCE_S3) {
		(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", r->port);
		(void)snprintf(id, sizeof(id), "k%u", s->jobs);
		a.bucket = "bucket";
		a.s3_key = s->key == NULL ? s->asset : s->key;
		a.s3_endpoint = s->endpoint == NULL ? endpoint : s->endpoint;
		a.s3_region = s->region;
		a.s3_access = s->anonymous ? NULL : id;
		a.s3_secret = s->anonymous ? NULL : "hush";
		a.s3_token = s->anonymous ? NULL : "hush/token";
		a.s3_anonymous = s->anonymous;
		a.s3_requester_pays = s->requester_pays;
	} else if (a.kind == RESOLVE_SOURCE) {
		(void)snprintf(bearer, sizeof(bearer), BEARER "%u", s->jobs);
		a.headers[0] = bearer;
		a.n_headers = 1;
	}
	answer(r, &a);
}

static void
take_job(struct rig *r, const struct resolve_job *j)
{
	struct script *s = script_of(r, j->asset, strlen(j->asset));

	if (s != NULL) {
		s->jobs++;
		s->item_len = j->item_json == NULL ? 0 : j->item_json_len;
		s->fresh += j->fresh;
	}
	if (r->collect && r->n_open < ARRAY_LEN(r->open_jobs)) {
		r->open_assets[r->n_open] = s == NULL ? "" : s->asset;
		r->open_jobs[r->n_open++] = j->job;
	} else if (s == NULL || !s->mute) {
		answer_job(r, j->job, s);
	}
}

void
rig_answer_jobs(struct rig *r)
{
	for (size_t i = 0; i < r->n_open; i++)
		answer_job(r, r->open_jobs[i], script_of(r, r->open_assets[i], strlen(r->open_assets[i])));
	r->n_open = 0;
	r->collect = false;
}

void
rig_kill_resolver(struct rig *r)
{
	fd_close(&r->resolver);
	buf_clear(&r->jobs);
	r->n_open = 0;
	r->retiring = false;
}

void
rig_retire_resolver(struct rig *r)
{
	MUST(shutdown(r->resolver, SHUT_RD) == 0);
	r->retiring = true;
}

void
rig_say_bye(struct rig *r)
{
	answer(r, &(struct resolve_answer){ .job = RESOLVE_JOB_BYE, .kind = RESOLVE_FAILED, .status = 503, .who = "resolver" });
	rig_kill_resolver(r);
}

static void
resolver_read(struct rig *r)
{
	struct resolve_job j;
	const void *msg;
	size_t len;
	ssize_t n;

	while (r->resolver != -1 && !r->retiring) {
		n = recv(r->resolver, buf_reserve(&r->jobs, PIECE), PIECE, MSG_DONTWAIT);
		if (n < 0)
			return;
		if (n == 0) {
			rig_kill_resolver(r);
			return;
		}
		r->jobs.len += (size_t)n;
		while (msg_unframe(&r->jobs, RESOLVE_FRAME_MAX, &msg, &len) == 1) {
			MUST(resolve_job_get(msg, len, &j) == 0);
			take_job(r, &j);
			buf_consume(&r->jobs, 4 + len);
		}
	}
}

static void
broker_read(struct rig *r)
{
	struct resolve_connect c;
	struct resolve_connected say = { .ok = !r->refuse_backend, .status = r->refuse_backend ? 404 : 0 };
	struct buf msg = BUF_INIT(4096);
	char data[4096];
	size_t nfds = 0;
	ssize_t n = fd_recv(r->broker, data, sizeof(data), NULL, 0, &nfds);
	int pair[2];

	if (n <= 0 || resolve_connect_get(data, (size_t)n, &c) < 0)
		return;
	r->connects++;
	say.backend = c.backend;
	resolve_connected_put(&msg, &say);
	MUST(buf_ok(&msg));
	if (r->refuse_backend) {
		(void)fd_send(r->broker, msg.data, msg.len, NULL, 0);
	} else {
		rig_kill_resolver(r);
		MUST(fd_socketpair(SOCK_STREAM, false, pair, NULL) == 0);
		(void)fd_send(r->broker, msg.data, msg.len, &pair[1], 1);
		fd_close(&pair[1]);
		r->resolver = pair[0];
	}
	buf_release(&msg);
}

/* -- the accountant ------------------------------------------------------------------------------ */

static void
account_one(struct rig *r, const void *data, size_t n)
{
	struct account_reserve q;
	struct account_reserved a = { 0 };
	struct account_settle s;
	struct buf msg = BUF_INIT(ACCOUNT_MAX);

	switch (account_type(data, n)) {
	case ACCOUNT_RESERVE:
		MUST(account_reserve_get(data, n, &q) == 0);
		r->reserves++;
		if (r->deaf)
			break;
		a.seq = q.seq;
		if (r->poor != NULL && strcmp(q.charge.user, r->poor) == 0 && r->granted[QUOTA_BYTES] >= r->poor_from) {
			a.answer = (struct quota_answer){ .verdict = QUOTA_OVER, .kind = QUOTA_BYTES, .limit = 10,
				.used = 10, .frees_in_s = 77 };
			(void)snprintf(a.answer.set, sizeof(a.answer.set), "q");
		}
		for (size_t k = 0; k < QUOTA_KINDS && a.answer.verdict == QUOTA_OK; k++)
			r->granted[k] += q.add[k];
		account_reserved_put(&msg, &a);
		MUST(buf_ok(&msg));
		(void)fd_send(r->account, msg.data, msg.len, NULL, 0);
		break;
	case ACCOUNT_SETTLE:
		MUST(account_settle_get(data, n, &s) == 0);
		r->settles++;
		for (size_t k = 0; k < QUOTA_KINDS; k++) {
			r->returned[k] += s.charge.reserved[k];
			r->actual[k] += s.actual[k];
		}
		if (strcmp(s.charge.realm, "site") == 0)
			r->site_upstream += s.actual[QUOTA_UPSTREAM_BYTES];
		break;
	default:
		MUST(false);
	}
	buf_release(&msg);
}

static void
account_read(struct rig *r)
{
	static char data[ACCOUNT_MAX];
	ssize_t n;

	while (rig_ms() >= r->next_ms) {
		n = recv(r->account, data, sizeof(data), MSG_DONTWAIT);
		if (n <= 0)
			return;
		account_one(r, data, (size_t)n);
		if (r->one_in_ms > 0)
			r->next_ms = rig_ms() + r->one_in_ms;
	}
}

/* -- the provider -------------------------------------------------------------------------------- */

static void
provider_accept(struct rig *r)
{
	int fd = accept4(r->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	for (size_t i = 0; fd != -1 && i < RIG_CONNS; i++) {
		if (r->conn[i].fd == -1) {
			r->conn[i].fd = fd;
			buf_init(&r->conn[i].in, 65536);
			buf_init(&r->conn[i].out, CONN_OUT_MAX);
			return;
		}
	}
	fd_close(&fd);
}

static void
provider_error(struct conn *c, int status)
{
	(void)buf_addf(&c->out, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", status);
	c->at = c->end = 0;
}

static void
s3_error(struct conn *c, const struct script *s, int status, const char *code, const char *region)
{
	struct buf b = BUF_INIT(1024);

	(void)buf_addf(&b, "<Error><Code>%s</Code><Message>hush</Message>%s%s%s</Error>", code,
	    region == NULL ? "" : "<Region>", region == NULL ? "" : region, region == NULL ? "" : "</Region>");
	(void)buf_addf(&c->out, "HTTP/1.1 %d No\r\nContent-Type: application/xml\r\nContent-Length: %zu\r\n\r\n%s", status,
	    b.len + (s->stutters ? 1000 : 0), buf_str(&b));
	c->at = c->end = 0;
	buf_release(&b);
}

/* What S3 has against the request: true, and it has said so. */
static bool
s3_refuses(struct conn *c, const struct script *s)
{
	const char *id = strstr(s->last_target, "X-Amz-Credential=k"), *at;
	char home[100];

	(void)snprintf(home, sizeof(home), "%%2F%s%%2Fs3%%2F", s->home == NULL ? "" : s->home);
	at = s->home == NULL ? home : strstr(s->last_target, home);
	if (at == NULL)
		s3_error(c, s, 400, "AuthorizationHeaderMalformed", s->home);
	else if (s->refuse > 0 && id != NULL && strtoul(id + strlen("X-Amz-Credential=k"), NULL, 10) <= s->refuse)
		s3_error(c, s, 403, s->code, NULL);
	else if (s->refuse == 0 && s->http_status != 0)
		s3_error(c, s, s->http_status, s->code, NULL);
	else
		return false;
	return true;
}

/* The head of the answer, and what its body will be. */
static void
provider_answer(struct conn *c, struct script *s, const char *head)
{
	const char *range = strcasestr(head, "\r\nRange: bytes="), *bearer = strstr(head, BEARER);
	const char *if_range = strcasestr(head, "\r\nIf-Range: ");
	uint64_t first = 0, last = s->size == 0 ? 0 : s->size - 1;
	bool part = range != NULL && !s->no_ranges && s->size > 0;
	char *after;

	s->gets++;
	s->last_range[0] = '\0';
	if (range != NULL)
		(void)snprintf(s->last_range, sizeof(s->last_range), "%.*s", (int)strcspn(range + 9, "\r"), range + 9);
	s->last_if_range[0] = '\0';
	if (if_range != NULL)
		(void)snprintf(s->last_if_range, sizeof(s->last_if_range), "%.*s", (int)strcspn(if_range + 12, "\r"), if_range + 12);
	(void)snprintf(s->last_target, sizeof(s->last_target), "%.*s", (int)strcspn(head, "\r"), head);
	c->s = s;
	c->busy = true;
	if (s->source == SOURCE_S3 && s3_refuses(c, s))
		return;
	if (s->refuse > 0 && bearer != NULL && strtoul(bearer + strlen(BEARER), NULL, 10) <= s->refuse) {
		provider_error(c, 401);
		return;
	}
	if (s->http_status != 0) {
		provider_error(c, s->http_status);
		return;
	}
	if (part) {
		first = strtoull(range + 15, &after, 10);
		if (after[0] == '-' && after[1] >= '0' && after[1] <= '9')
			last = strtoull(after + 1, NULL, 10);
		if (first >= s->size) {
			provider_error(c, 416);
			return;
		}
		if (last >= s->size)
			last = s->size - 1;
	}
	c->at = c->from = first;
	c->end = s->size == 0 ? 0 : last + 1;
	(void)buf_addf(&c->out, "HTTP/1.1 %s\r\nContent-Type: %s\r\n", part ? "206 Part" : "200 OK", s->media_type);
	if (s->etag != NULL)
		(void)buf_addf(&c->out, "ETag: %s\r\n", s->etag);
	if (s->more != NULL)
		(void)buf_adds(&c->out, s->more);
	if (part)
		(void)buf_addf(&c->out, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", first, last, s->size);
	c->chunked = (s->framing == BY_CHUNKS && !part) || (s->parts_off != 0 && part);
	if (part)
		c->end += (uint64_t)(int64_t)s->parts_off;
	c->close_after = s->framing == BY_CLOSE && !part;
	if (c->chunked)
		(void)buf_adds(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
	else if (c->close_after)
		(void)buf_adds(&c->out, "Connection: close\r\n\r\n");
	else
		(void)buf_addf(&c->out, "Content-Length: %" PRIu64 "\r\n\r\n", c->end - first);
}

static void
provider_request(struct rig *r, struct conn *c)
{
	const char *end = c->in.len == 0 ? NULL : memmem(c->in.data, c->in.len, "\r\n\r\n", 4), *path;
	struct script *s;

	if (c->busy || end == NULL)
		return;
	path = strchr(c->in.data, '/');
	if (path != NULL)
		(void)snprintf(r->last_path, sizeof(r->last_path), "%.*s", (int)strcspn(path, "? "), path);
	if (path != NULL && strncmp(path, "/bucket/", 8) == 0)
		path += 7;
	s = path == NULL ? NULL : script_of(r, path + 1, strcspn(path + 1, "? /"));
	if (s == NULL) {
		c->busy = true;
		provider_error(c, 404);
	} else if (s->silent) {
		s->gets += c->s != s;
		c->s = s;
		return;		/* looked at again: the test may end the silence */
	} else {
		s->gets -= c->s == s;
		provider_answer(c, s, c->in.data);
	}
	buf_consume(&c->in, (size_t)(end + 4 - c->in.data));
}

/* Some more of the body goes to out. */
static void
provider_fill(struct conn *c)
{
	uint64_t upto = c->end, n;
	char *to;

	if (c->s != NULL && c->s->hold_at < upto)
		upto = c->s->hold_at;
	if (c->s != NULL && c->s->cut_at < upto)
		upto = c->s->cut_at;
	while (c->out.len < CONN_OUT_MAX / 2 && c->at < upto) {
		n = upto - c->at < PIECE ? upto - c->at : PIECE;
		if (c->chunked)
			(void)buf_addf(&c->out, "%zx\r\n", (size_t)n);
		to = buf_reserve(&c->out, n);
		MUST(to != NULL);
		for (uint64_t i = 0; i < n; i++)
			to[i] = rig_byte(c->at + i);
		c->out.len += n;
		c->at += n;
		if (c->chunked)
			(void)buf_adds(&c->out, "\r\n");
	}
}

static void
provider_write(struct conn *c)
{
	ssize_t n;

	do {
		provider_fill(c);
		n = c->out.len == 0 ? 0 : send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			buf_consume(&c->out, (size_t)n);
	} while (n > 0);
	if (n < 0 && errno != EAGAIN) {
		conn_close(c);
		return;
	}
	if (c->out.len > 0 || !c->busy)
		return;
	if (c->s != NULL && c->at >= c->s->cut_at) {
		if (c->s->cut_once)
			c->s->cut_at = WITHOUT_END;
		conn_close(c);
	} else if (c->at >= c->end) {
		if (c->chunked)
			(void)fd_write_all(c->fd, "0\r\n\r\n", 5);
		c->busy = c->chunked = false;
		c->s = NULL;
		if (c->close_after)
			conn_close(c);
	}
}

static void
provider_turn(struct rig *r, struct conn *c)
{
	ssize_t n;

	if (c->fd == -1)
		return;
	n = recv(c->fd, buf_reserve(&c->in, 8192), 8192, MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		conn_close(c);
		return;
	}
	c->in.len += n > 0 ? (size_t)n : 0;
	c->in.data[c->in.len] = '\0';	/* headers are looked for as in a text */
	provider_request(r, c);
	if (c->fd != -1)
		provider_write(c);
}

/* -- the loop ---------------------------------------------------------------------------------------- */

void
rig_turn(struct rig *r)
{
	struct pollfd p[5 + RIG_CONNS + RIG_CLIENTS];
	size_t n = 0;

	p[n++] = (struct pollfd){ .fd = r->broker, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = r->account, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = r->listen, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = r->retiring ? -1 : r->resolver, .events = POLLIN };
	for (size_t i = 0; i < RIG_CONNS; i++)
		p[n++] = (struct pollfd){ .fd = r->conn[i].fd, .events = (short)(POLLIN | (r->conn[i].out.len > 0 ? POLLOUT : 0)) };
	for (size_t i = 0; i < r->n_fronts; i++) {
		struct front *f = &r->front[i];

		p[n++] = (struct pollfd){ .fd = f->eof || f->got >= f->stop_at ? -1 : f->fd, .events = POLLIN };
	}
	(void)poll(p, n, 5);
	broker_read(r);
	account_read(r);
	provider_accept(r);
	resolver_read(r);
	for (size_t i = 0; i < RIG_CONNS; i++)
		provider_turn(r, &r->conn[i]);
	for (size_t i = 0; i < r->n_fronts; i++)
		front_read(&r->front[i]);
}

/* -- what can be seen ------------------------------------------------------------------------------------ */

uint64_t
rig_gauge(const struct rig *r, enum gauge g)
{
	return __atomic_load_n(&r->scoreboard->slot[SLOT].gauge[g], __ATOMIC_RELAXED);
}

unsigned
rig_log_count(const struct rig *r, const char *text)
{
	struct buf b = BUF_INIT(16 << 20);
	unsigned n = 0;

	(void)fd_read_file(r->log, &b, NULL);
	for (const char *p = strstr(buf_str(&b), text); p != NULL; p = strstr(p + 1, text))
		n++;
	buf_release(&b);
	return n;
}

bool
rig_logged(const struct rig *r, const char *text)
{
	return rig_log_count(r, text) > 0;
}

const char *
rig_key(const char *asset)
{
	static char text[KEY_MAX + 1];
	struct buf key = BUF_INIT(KEY_MAX);

	MUST(key_make(&key, "30d", "b", "c", "i", asset, NULL) == 0);
	(void)snprintf(text, sizeof(text), "%s", buf_str(&key));
	buf_release(&key);
	return text;
}

static int
look_up(const struct rig *r, const char *asset, uint64_t *ret_n)
{
	struct store *s = store_open(r->config, false, NULL);
	struct store_object o;
	int fd = -1;

	MUST(s != NULL);
	if (s->ops->lookup(s, rig_key(asset), &o, NULL) == STORE_HIT) {
		fd = s->ops->open(s, &o, NULL);
		*ret_n = o.meta.length;
		store_object_release(&o);
	}
	s->ops->free(s);
	return fd;
}

bool
rig_absent(const struct rig *r, const char *asset)
{
	uint64_t n;
	int fd = look_up(r, asset, &n);
	bool absent = fd == -1;

	fd_close(&fd);
	return absent;
}

bool
rig_published(const struct rig *r, const char *asset, uint64_t size)
{
	uint64_t len = 0, at = 0;
	int fd = look_up(r, asset, &len);
	bool ok = fd != -1 && len == size;
	char piece[PIECE];
	ssize_t n = 0;

	while (ok && at < size) {
		n = pread(fd, piece, sizeof(piece), (off_t)at);
		ok = n > 0;
		for (ssize_t i = 0; i < n && ok; i++)
			ok = piece[i] == rig_byte(at + (uint64_t)i);
		at += n > 0 ? (uint64_t)n : 0;
	}
	fd_close(&fd);
	return ok;
}
