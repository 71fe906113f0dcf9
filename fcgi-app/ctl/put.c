/* SPDX-License-Identifier: Apache-2.0
 *
 * eodata-proxyctl object put: a file becomes the object of an asset, through
 * the fill of the store that the mover uses.
 *
 * First all of it is copied into a spool file, while its digest is computed;
 * the file must not change meanwhile, and what was announced must hold.  Then
 * the store takes it from there, so nobody sees anything before that.  Where
 * this is killed a spool file without a name is gone; of an upload in parts to
 * S3 the bucket's rules clear what is left.
 */
#include "base/base.h"

#include "ctl/object.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "cache/shared.h"
#include "cache/store.h"
#include "ctl/asset.h"
#include "ctl/ctl.h"
#include "net/wait.h"
#include "user.h"
#include "wire/header.h"
#include "wire/httpdate.h"

enum {
	BLOCK = 1 << 20,
	LOOK_BYTES = 64 << 20,		/* the store's room is looked at each time so much has come */
	SNIFF_BYTES = 512,
	TURN_MS = 100,			/* a fill has pauses of its own, and is looked at so often */
	ABORT_MS = 2000,		/* an upload that failed is aborted in that time, or by the bucket's rules */
	NAME_BYTES = 255,
	DISPOSITION_BYTES = 4096,
};

struct put {
	const struct config *c;
	const struct dataset *dataset;
	struct asset asset;
	char *key;
	int from, spool;		/* descriptors */
	struct stat before;		/* of from; st_size counts for a file alone */
	bool is_file;
	struct checksum announced;
	uint64_t n;			/* bytes copied */
	struct object_meta meta;
	struct shared shared;
	struct wait *wait;		/* S3 */
	struct store *store;
};

/* ---- what was given --------------------------------------------------------- */

/* "Sun, 22 Nov 2026 12:00:00 GMT", "2026-11-22T12:00:00Z" */
static int
parse_date(const char *s, int64_t *ret, struct err *e)
{
	struct tm tm = { .tm_isdst = 0 };
	const char *end;
	time_t t;
	int day;

	if (httpdate_parse(s, strlen(s), ret) == 0)
		return 0;
	end = strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm);
	day = tm.tm_mday;
	t = timegm(&tm);	/* which makes the 3rd of March of the 31st of February */
	if (end == NULL || *end != '\0' || t < 0 || tm.tm_mday != day)
		return err_set(e, "--last-modified is a date like 2026-11-22T12:00:00Z");
	*ret = (int64_t)t;
	return 0;
}

static int
take_checksum(struct put *p, const struct put_options *o, struct err *e)
{
	if (o->sha256 != NULL && o->multihash != NULL)
		return err_set(e, "--sha256 and --multihash are one thing: give one of them");
	if (o->sha256 != NULL && (strlen(o->sha256) != 64 || checksum_parse(o->sha256, 64, &p->announced) != 0))
		return err_set(e, "--sha256 has 64 hex digits");
	if (o->multihash != NULL && checksum_parse(o->multihash, strlen(o->multihash), &p->announced) != 0)
		return err_set(e, "--multihash is as 'file:checksum' of STAC: 1220 and 64 hex digits, ...");
	return 0;
}

/* The last part of what it is called: the file, or the asset where it comes from a pipe. */
static const char *
name_of(const struct put *p, const char *file)
{
	const char *name = p->is_file ? file : p->asset.name, *slash = strrchr(name, '/');

	return slash == NULL ? name : slash + 1;
}

static char *
disposition_of(const char *name)
{
	struct buf out = BUF_INIT(DISPOSITION_BYTES);

	disposition_write(&out, name);
	if (buf_fits(&out))
		return buf_take(&out);
	buf_release(&out);
	return NULL;
}

static int
take_type(struct put *p, const char *type, const char *name, struct err *e)
{
	struct buf out = BUF_INIT(NAME_BYTES);
	int rc = 0;

	if (type == NULL)
		p->meta.media_type = mem_strdup(media_type_of_name(p->asset.subpath != NULL ? p->asset.subpath : name));
	else if (header_media_type(type, strlen(type), &out) == 0 && buf_fits(&out))
		p->meta.media_type = mem_strdup(buf_str(&out));
	else
		rc = err_set(e, "--type is a media type: image/tiff");
	buf_release(&out);
	return rc;
}

/* Of all that can be wrong before a byte is read.  What follows from the body comes later. */
static int
take_options(struct put *p, const char *file, const struct put_options *o, struct err *e)
{
	const char *name = name_of(p, file);

	p->meta = (struct object_meta){ .last_modified = p->is_file ? (int64_t)p->before.st_mtim.tv_sec : -1 };
	if (take_checksum(p, o, e) != 0 || take_type(p, o->type, name, e) != 0)
		return -1;
	if (o->last_modified != NULL && parse_date(o->last_modified, &p->meta.last_modified, e) != 0)
		return -1;
	if (p->meta.last_modified < 0)
		p->meta.last_modified = -1;
	if (o->etag != NULL)
		p->meta.etag = o->etag[0] == '"' ? mem_strdup(o->etag) : mem_printf("\"%s\"", o->etag);
	else
		p->meta.etag = mem_strdup("\"\"");	/* the body's, later */
	if (p->asset.subpath == NULL)
		p->meta.disposition = disposition_of(name);
	p->meta.source_backend = mem_strdup(p->asset.backend);
	p->meta.source_time = clock_wall_ms() / 1000;
	return object_meta_check(&p->meta, e);
}

static int
open_file(struct put *p, const char *file, struct err *e)
{
	p->is_file = strcmp(file, "-") != 0;
	/* O_NONBLOCK: a FIFO would hold us */
	p->from = p->is_file ? open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (p->from == -1 || fstat(p->from, &p->before) != 0)
		return err_sys(e, errno, "cannot open the file");
	if (p->is_file && !S_ISREG(p->before.st_mode))
		return err_set(e, "this is no regular file; '-' reads from a pipe");
	return 0;
}

/* ---- copying ------------------------------------------------------------------ */

/* May n more bytes come? */
static int
check_room(const struct put *p, uint64_t n, struct err *e)
{
	struct store_space space = { 0, 0 };

	if (p->n + n > p->dataset->max_size)
		return err_set(e, "it is larger than max_size of its row of 'datasets' (%" PRIu64 " bytes)", p->dataset->max_size);
	if (p->store->ops->space(p->store, &space, e) != 0)
		return -1;
	if (space.used + n > space.max)
		return err_sys(e, ENOSPC, "less than cache.min_free would be left");
	return 0;
}

/* A pipe may hold us, or be one that does not (whoever has its other end may have made it so). */
static ssize_t
read_some(int fd, char *to, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t got = -1;

	do {
		errno = EAGAIN;
		if (poll(&p, 1, TURN_MS) == 1)
			got = read(fd, to, n);
	} while (got == -1 && (errno == EINTR || errno == EAGAIN) && !was_interrupted());
	return got;
}

/* All of from into the spool and the digests (own: SHA-256; other: may be NULL); head: its beginning. */
static int
copy(struct put *p, struct digest *own, struct digest *other, char head[SNIFF_BYTES], struct err *e)
{
	char *block = mem_alloc(BLOCK);
	uint64_t look_at = LOOK_BYTES;
	ssize_t n = 1;
	int rc = -1;

	while (n > 0) {
		n = was_interrupted() ? -1 : read_some(p->from, block, BLOCK);
		if (n == -1) {
			(void)(was_interrupted() ? err_set(e, "interrupted") : err_sys(e, errno, "cannot read it"));
			goto out;
		}
		if (p->n + (uint64_t)n > p->dataset->max_size || p->n >= look_at) {
			look_at = p->n + LOOK_BYTES;
			if (check_room(p, (uint64_t)n, e) != 0)
				goto out;
		}
		if (fd_write_all(p->spool, block, (size_t)n) != 0) {
			(void)err_sys(e, errno, "cannot write in dirs.spool");
			goto out;
		}
		for (size_t i = 0; p->n + i < SNIFF_BYTES && i < (size_t)n; i++)
			head[p->n + i] = block[i];
		digest_add(own, block, (size_t)n);
		if (other != NULL)
			digest_add(other, block, (size_t)n);
		p->n += (uint64_t)n;
	}
	rc = 0;
out:
	free(block);
	return rc;
}

/* Is it still what it was, and all of it? */
static int
check_unchanged(const struct put *p, struct err *e)
{
	const struct stat *a = &p->before;
	struct stat b;

	if (!p->is_file)
		return 0;
	if (fstat(p->from, &b) != 0)
		return err_sys(e, errno, "cannot look at it again");
	if (p->n != (uint64_t)a->st_size || b.st_size != a->st_size || b.st_mtim.tv_sec != a->st_mtim.tv_sec ||
	    b.st_mtim.tv_nsec != a->st_mtim.tv_nsec || b.st_ctim.tv_sec != a->st_ctim.tv_sec ||
	    b.st_ctim.tv_nsec != a->st_ctim.tv_nsec)
		return err_set(e, "it has changed while it was read: try again when it is finished");
	return 0;
}

static int
check_body(const struct put *p, const char head[SNIFF_BYTES], const uint8_t *sum, struct err *e)
{
	size_t n = p->n < SNIFF_BYTES ? (size_t)p->n : SNIFF_BYTES;

	if (p->announced.algo != DIGEST_NONE && memcmp(sum, p->announced.value, digest_size(p->announced.algo)) != 0)
		return err_set(e, "its %s is not the announced one", digest_name(p->announced.algo));
	if (body_looks_html(head, n) && !media_type_is_html(p->meta.media_type))
		return err_set(e, "it looks like an HTML page, such as a login: '--type text/html' if that is meant");
	return 0;
}

/* The spool file, verified, and the metadata that follows from it. */
static int
spool(struct put *p, bool has_etag, struct err *e)
{
	bool same = p->announced.algo == DIGEST_SHA256 || p->announced.algo == DIGEST_NONE;
	struct digest *own = digest_new(DIGEST_SHA256), *other = same ? NULL : digest_new(p->announced.algo);
	uint8_t sum[DIGEST_SIZE_MAX], other_sum[DIGEST_SIZE_MAX];
	struct buf hex = BUF_INIT(2 * DIGEST_SIZE_MAX + 8);
	char head[SNIFF_BYTES];
	int rc = -1;

	p->spool = p->store->ops->spool_open(p->store, e);
	if (own == NULL || (!same && other == NULL))
		(void)err_set(e, "this system has not got that digest");
	else if (p->spool != -1 && check_room(p, p->is_file ? (uint64_t)p->before.st_size : 0, e) == 0)
		rc = copy(p, own, other, head, e);
	if (rc == 0) {
		digest_final(own, sum);
		if (other != NULL)
			digest_final(other, other_sum);
		rc = check_unchanged(p, e) == 0 && check_body(p, head, same ? sum : other_sum, e) == 0 ? 0 : -1;
	}
	if (rc == 0) {
		p->meta.length = p->n;
		p->meta.checksum = p->announced;
		if (!has_etag) {	/* the same body has the same one, whenever and wherever it is put */
			(void)buf_adds(&hex, "\"s-");
			text_hex(&hex, sum, 16);
			(void)buf_addc(&hex, '"');
			free(p->meta.etag);
			p->meta.etag = buf_take(&hex);
		}
	}
	buf_release(&hex);
	digest_free(own);
	digest_free(other);
	return rc;
}

/* ---- the store ------------------------------------------------------------------ */

static void
on_store(void *arg UNUSED, enum store_event x, const char *text)
{
	if (x == STORE_KEYS_BROKEN)
		(void)complain("warning: %s", text);	/* what else there is, the fill says */
}

static int
open_store(struct put *p, struct err *e)
{
	struct user user;

	if (geteuid() == 0 && user_find(&user, p->c->user, e) != 0)
		return -1;
	if (geteuid() == 0 && user_become(&user) != 0)
		return err_sys(e, errno, "cannot be the user '%s'", p->c->user);
	p->store = store_open(p->c, true, e);
	if (p->store == NULL)
		return -1;
	if (p->store->ops->attach == NULL)
		return 0;
	p->wait = wait_new(p->c, e);
	if (p->wait == NULL)
		return -1;
	if (shared_open(&p->shared, p->c, e) != 0)
		(void)complain("warning: memcached is not told: %s", e->text);
	p->store->ops->attach(p->store, wait_net(p->wait), &p->shared, on_store, NULL);
	return 0;
}

/* Some time in which the store does what it has to do. */
static void
turn(const struct put *p)
{
	wait_turn(p->wait, TURN_MS);
	p->store->ops->tick(p->store);
}

static int
publish(struct put *p, struct err *e)
{
	const struct object_meta unknown = { .last_modified = -1 };	/* its bytes are in the spool, and counted */
	struct store_fill *f = p->store->ops->fill_begin(p->store, p->key, p->spool, &unknown, e);
	enum fill_state state;
	int64_t until_ms;

	if (f == NULL)
		return -1;
	p->store->ops->fill_advance(f, p->n, false);
	p->store->ops->fill_finish(f, &p->meta);
	for (state = p->store->ops->fill_state(f, e); state == FILL_RUNNING && !was_interrupted();
	    state = p->store->ops->fill_state(f, e))
		turn(p);
	if (state == FILL_RUNNING)
		(void)err_set(e, "interrupted");
	p->store->ops->fill_free(f);
	if (state == FILL_DONE)
		return 0;
	until_ms = clock_mono_ms() + ABORT_MS;
	while (p->store->ops->busy != NULL && p->store->ops->busy(p->store) && clock_mono_ms() < until_ms)
		turn(p);
	return -1;
}

/* ---- the command ------------------------------------------------------------------ */

static void
put_release(struct put *p)
{
	fd_close(&p->from);
	if (p->store != NULL)
		p->store->ops->free(p->store);
	shared_close(&p->shared);
	wait_free(p->wait);
	fd_close(&p->spool);
	object_meta_release(&p->meta);
	asset_release(&p->asset);
	free(p->key);
}

int
object_put(const struct config *c, const char *path, const char *file, const struct put_options *o)
{
	struct put p = { .c = c, .from = -1, .spool = -1 };
	struct err e = ERR_NONE;
	char shown[4 * NAME_BYTES];
	int rc = 1;

	(void)signal(SIGPIPE, SIG_IGN);	/* of a connection that has gone */
	catch_interrupts();
	if (asset_parse(&p.asset, path, c->base_path, &e) == 0)
		p.key = asset_key(&p.asset, c, &p.dataset, &e);
	if (p.key == NULL) {
		(void)complain("'%s': %s", readable(shown, sizeof(shown), path), e.text);
	} else if (open_file(&p, file, &e) != 0 || take_options(&p, file, o, &e) != 0 || open_store(&p, &e) != 0 ||
	    spool(&p, o->etag != NULL, &e) != 0 || publish(&p, &e) != 0) {
		(void)complain("'%s' is not stored: %s", readable(shown, sizeof(shown), file), e.text);
	} else {
		printf("%s\n  stored: %s, %" PRIu64 " bytes, %s\n", p.asset.text, p.key, p.n, p.meta.etag);
		rc = finish_output();
	}
	put_release(&p);
	return rc;
}
