/* SPDX-License-Identifier: Apache-2.0
 *
 * What must fit together: values that follow from others, then every check
 * that needs more than one row of the table, and the files of secrets.  Runs
 * in the master; the children repeat all but the files over what it wrote.
 */
#include "base/base.h"

#include "config/params.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/fd.h"
#include "base/text.h"
#include "config/scan.h"
#include "config/units.h"
#include "s3/credentials.h"
#include "s3/place.h"
#include "wire/ipblock.h"

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

enum { SHOWN = 160 };

bool
check_token(const char *s)
{
	return s[0] != '\0' && s[0] != '.' && s[0] != '-' && s[strspn(s, ALNUM "._-")] == '\0';
}

/* ---- what follows ---------------------------------------------------------- */

/* The host (and port) of a URL that was or will be checked. */
static char *
authority_of(const char *url)
{
	const char *start = strstr(url, "://");

	start = start == NULL ? url : start + 3;
	return mem_strndup(start, strcspn(start, "/?#"));
}

static void
derive_site_id(struct config *c)
{
	if (c->site_id[0] != '\0')
		return;
	free(c->site_id);
	c->site_id =
	    c->public_urls.n > 0 ? authority_of(c->public_urls.v[0]) : mem_strdup("eodata-proxy");
}

static void
derive_backends(struct config *c)
{
	for (size_t i = 0; i < c->n_backends; i++) {
		if (strcmp(c->backends[i].name, "*") == 0)
			return;
	}
	c->backends = mem_realloc(c->backends, (c->n_backends + 1) * sizeof(*c->backends));
	c->backends[c->n_backends++] = (struct backend_limits){ mem_strdup("*"), 4, 256 };
}

/* "30d" says it by itself; "keep", and every other name that is no lifetime, is for ever. */
static void
derive_lifetimes(struct config *c)
{
	struct retention *r;

	for (size_t i = 0; i < c->n_retentions; i++) {
		r = &c->retentions[i];
		if (r->days == LIFETIME_BY_NAME && units_lifetime(r->name, &r->days) < 0)
			r->days = 0;
	}
}

void
check_derive(struct config *c)
{
	derive_site_id(c);
	derive_backends(c);
	derive_lifetimes(c);
	if (c->dir_spool[0] == '\0') {
		free(c->dir_spool);
		c->dir_spool = mem_printf("%s/spool", c->cache_path);
	}
	for (size_t i = 0; i < c->n_rules; i++) {
		if (c->rules[i].name == NULL)
			c->rules[i].name = mem_printf("rules[%zu]", i);
	}
}

/* ---- URLs and paths ---------------------------------------------------------- */

/*
 * What is wrong with an http(s) URL's beginning; NULL and *ret_rest (behind host and port) when
 * nothing is.
 */
static const char *
url_start_fault(const char *url, const char **ret_rest)
{
	size_t len;

	if (strncmp(url, "https://", 8) == 0)
		url += 8;
	else if (strncmp(url, "http://", 7) == 0)
		url += 7;
	else
		return "must begin with https:// or http://";
	len = strcspn(url, "/?#");
	if (len == 0 || strspn(url, ALNUM "._-:[]") != len)
		return "the host is not one (names are written in ASCII, without user and "
		       "password)";
	if (len > CONFIG_HOST_MAX)
		return "the host is too long";
	*ret_rest = url + len;
	return NULL;
}

static const char *
text_fault(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == ' ' || *s == '"' || *s == '<' || *s == '>' || *s == '\\' ||
		    (uint8_t)*s >= 0x80)
			return "has a character that must be percent-encoded";
	}
	return NULL;
}

static const char *
placeholders_fault(const char *s)
{
	static const char *const known[] = { "{backend}", "{collection}", "{item}" };
	bool item = false, hit;

	while (s[strcspn(s, "{}")] != '\0') {
		s += strcspn(s, "{}");
		hit = false;
		for (size_t i = 0; i < ARRAY_LEN(known) && !hit; i++) {
			hit = strncmp(s, known[i], strlen(known[i])) == 0;
			if (hit)
				s += strlen(known[i]);
			item = item || (hit && i == 2);
		}
		if (!hit)
			return "unknown placeholder, one of {backend}, {collection}, {item}";
	}
	return item ? NULL : "must hold {item}";
}

static void
check_item_url(const struct config *c, struct faults *f)
{
	const char *rest = NULL, *fault;

	if (c->stac_item_url == NULL)
		return;
	fault = url_start_fault(c->stac_item_url, &rest);
	if (fault == NULL)
		fault = text_fault(rest);
	if (fault == NULL)
		fault = placeholders_fault(rest);
	if (fault == NULL && strchr(rest, '#') != NULL)
		fault = "must not hold '#'";
	if (fault != NULL)
		faults_add_path(f, "stac.item_url", "%s", fault);
	else if (!c->allow_http && strncmp(c->stac_item_url, "http://", 7) == 0)
		faults_add_path(f, "stac.item_url", "is http, which upstream.allow_http refuses");
}

static void
check_public_urls(const struct config *c, struct faults *f)
{
	struct at front = { NULL, "front", 0 }, list = { &front, "public_urls", 0 };
	const char *url, *rest, *fault;

	for (size_t i = 0; i < c->public_urls.n; i++) {
		struct at here = { &list, NULL, i };

		url = c->public_urls.v[i];
		rest = "";
		fault = url_start_fault(url, &rest);
		if (fault == NULL)
			fault = text_fault(rest);
		if (fault == NULL && rest[strcspn(rest, "?#{}")] != '\0')
			fault = "must not hold '?', '#' or braces";
		if (fault == NULL && url[strlen(url) - 1] == '/')
			fault = "must not end with '/'";
		if (fault != NULL)
			faults_add(f, &here, "%s", fault);
	}
}

/*
 * Segments between slashes: none empty, none "." or "..", nothing that a URL would have to encode
 * twice.
 */
static const char *
segments_fault(const char *s)
{
	size_t len;

	if (s[0] != '/')
		return "must begin with '/'";
	if (s[strcspn(s, "?#%")] != '\0')
		return "must not hold '?', '#' or '%'";
	for (; *s != '\0'; s += len) {
		s++;
		len = strcspn(s, "/");
		if (len == 0)
			return "has an empty segment, or ends with '/'";
		if ((len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.'))
			return "has a segment '.' or '..'";
	}
	return NULL;
}

/* A location of the front's own. */
static void
check_internal(const struct config *c, struct faults *f, const char *param, const char *location)
{
	const char *fault = segments_fault(location);
	size_t base = strlen(c->base_path);

	if (fault == NULL && strncmp(location, c->base_path, base) == 0 &&
	    (location[base] == '/' || location[base] == '\0'))
		fault = "must not be below base_path";
	if (fault != NULL)
		faults_add_path(f, param, "%s", fault);
}

static void
check_front_paths(const struct config *c, struct faults *f)
{
	const char *fault = segments_fault(c->base_path);
	size_t len = strlen(c->internal_prefix);
	char *cut;

	if (fault != NULL)
		faults_add_path(f, "front.base_path", "%s", fault);
	if (c->internal_s3[0] != '\0' || c->hits == HITS_X_ACCEL)
		check_internal(c, f, "front.internal_s3", c->internal_s3);
	if (len == 0 && c->hits != HITS_X_ACCEL)
		return;
	if (len < 2 || c->internal_prefix[0] != '/' || c->internal_prefix[len - 1] != '/') {
		faults_add_path(f, "front.internal_prefix", "must begin and end with '/'%s",
		    c->hits == HITS_X_ACCEL ? " (hits \"x-accel\" wants it)" : "");
		return;
	}
	cut = mem_strndup(c->internal_prefix, len - 1);
	check_internal(c, f, "front.internal_prefix", cut);
	free(cut);
}

static void
check_front(const struct config *c, struct faults *f)
{
	bool nginx = strcmp(c->front_server, "nginx") == 0;

	check_front_paths(c, f);
	check_public_urls(c, f);
	if (c->hits == HITS_X_ACCEL && !nginx)
		faults_add_path(
		    f, "front.hits", "'x-accel' is nginx's; %s has 'x-sendfile'", c->front_server);
	if (c->hits == HITS_X_SENDFILE && nginx)
		faults_add_path(f, "front.hits", "nginx has no 'x-sendfile'; it has 'x-accel'");
	if (c->answer_deadline_ms >= c->front_timeout_ms)
		faults_add_path(f, "front.deadline",
		    "must be shorter than front.timeout, or the front answers before us");
	if (c->site_id[strspn(c->site_id, ALNUM "!#$%&'*+-.^_`|~:[]")] != '\0')
		faults_add_path(f, "front.site_id", "must be a token, or a host and port");
}

/* ---- who --------------------------------------------------------------------- */

/* What is wrong with the name of a parameter that carries an identity. */
static const char *
param_name_fault(const struct config *c, const char *name)
{
	static const char *const cgi[] = { "AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE",
		"DOCUMENT_ROOT", "DOCUMENT_URI", "EODATA_AGAIN", "GATEWAY_INTERFACE", "HTTPS",
		"PATH_INFO", "PATH_TRANSLATED", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_HOST",
		"REMOTE_IDENT", "REMOTE_PORT", "REQUEST_METHOD", "REQUEST_SCHEME", "REQUEST_URI",
		"SCRIPT_FILENAME", "SCRIPT_NAME", "SERVER_ADDR", "SERVER_NAME", "SERVER_PORT",
		"SERVER_PROTOCOL", "SERVER_SOFTWARE" };

	if (name[strspn(name, ALNUM "_")] != '\0')
		return "has letters, digits and '_' only";
	if (strncasecmp(name, "HTTP_", 5) == 0)
		return "HTTP_* is filled by clients";
	if (strcasecmp(name, "REMOTE_USER") == 0 && strcmp(c->front_server, "nginx") == 0)
		return "without auth_basic, nginx fills REMOTE_USER with whatever the client "
		       "claims";
	for (size_t i = 0; i < ARRAY_LEN(cgi); i++) {
		if (strcasecmp(name, cgi[i]) == 0)
			return "is a parameter with another meaning";
	}
	return NULL;
}

static void
check_identity(const struct config *c, struct faults *f)
{
	const char *fault = param_name_fault(c, c->user_param);

	if (fault != NULL)
		faults_add_path(f, "identity.user_param", "%s", fault);
	fault = param_name_fault(c, c->groups_param);
	if (fault != NULL)
		faults_add_path(f, "identity.groups_param", "%s", fault);
	else if (strcmp(c->user_param, c->groups_param) == 0)
		faults_add_path(f, "identity.groups_param", "is user_param");
}

static bool
has_resource(const struct rule *r)
{
	return r->backends.n > 0 || r->collections.n > 0 || r->items.n > 0 || r->assets.n > 0;
}

/* Does the pattern match one of the n texts? */
static bool
matches_one(const char *glob, const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text_glob(glob, texts[i]))
			return true;
	}
	return false;
}

/* One that matches none would make a rule that never applies: what it forbids would be allowed. */
static void
check_methods(const struct rule *r, const struct at *at, struct faults *f)
{
	/* nobody is asked for at OPTIONS, which may be named all the same */
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS" };
	struct at list = { at, "methods", 0 };

	for (size_t i = 0; i < r->methods.n; i++) {
		struct at here = { &list, NULL, i };

		if (!matches_one(r->methods.v[i], methods, ARRAY_LEN(methods)))
			faults_add(f, &here, "there is no such method; there are GET, HEAD and OPTIONS");
	}
}

static void
check_routes(const struct rule *r, const struct at *at, struct faults *f)
{
	/* health and ready ask for nobody, and may be named all the same */
	static const char *const routes[] = { "-/health", "-/ready", "-/status", "-/metrics" };
	struct at list = { at, "routes", 0 };

	if (r->routes.n > 0 && has_resource(r))
		faults_add(f, at,
		    "routes and backends, collections, items or assets cannot be in one rule");
	for (size_t i = 0; i < r->routes.n; i++) {
		struct at here = { &list, NULL, i };

		if (strncmp(r->routes.v[i], "-/", 2) != 0 && strcmp(r->routes.v[i], "*") != 0)
			faults_add(f, &here, "a route begins with '-/'");
		else if (!matches_one(r->routes.v[i], routes, ARRAY_LEN(routes)))
			faults_add(f, &here, "there is no such route; there are -/health, -/ready, -/status and -/metrics");
	}
}

/* A rule about data behind those that match everything of anyone, or of who is logged in: either may be NULL. */
static void
check_reached(const struct rule *r, const struct rule *anyone, const struct rule *known, const struct at *at,
    struct faults *f)
{
	if (r->routes.n > 0)
		return;
	if (anyone != NULL)
		faults_add(f, at, "is never reached: '%s' matches everything", anyone->name);
	else if (known != NULL && r->who != WHO_ANYONE)
		faults_add(f, at, "is never reached: '%s' matches everything of those who are logged in", known->name);
}

static void
check_rules(const struct config *c, struct faults *f)
{
	struct at list = { NULL, "rules", 0 };
	const struct rule *r, *anyone = NULL, *known = NULL;
	bool listed;

	for (size_t i = 0; i < c->n_rules; i++) {
		struct at at = { &list, NULL, i }, name = { &at, "name", 0 },
			  quotas = { &at, "quotas", 0 };

		r = &c->rules[i];
		listed = r->users.n > 0 || r->groups.n > 0 || r->scopes.n > 0;
		if (r->who == WHO_LISTED && !listed)
			faults_add(f, &at,
			    "matches nobody: users, groups, scopes or who must say whom it is "
			    "about");
		if (r->who != WHO_LISTED && listed)
			faults_add(f, &at, "who and users, groups or scopes cannot be in one rule");
		if (r->n_quotas > 0 && c->memcached.n == 0)
			faults_add(f, &quotas, "cannot be counted: memcached names no server");
		check_methods(r, &at, f);
		check_routes(r, &at, f);
		check_reached(r, anyone, known, &at, f);
		if (r->methods.n == 0 && r->routes.n == 0 && !has_resource(r)) {
			if (anyone == NULL && r->who == WHO_ANYONE)
				anyone = r;
			if (known == NULL && r->who == WHO_AUTHENTICATED)
				known = r;
		}
		for (size_t j = 0; j < i; j++) {
			if (strcmp(c->rules[j].name, r->name) == 0) {
				faults_add(f, &name, "is the name of rules[%zu], too", j);
				break;
			}
		}
	}
}

/* ---- the rest ------------------------------------------------------------------ */

static void
check_datasets(const struct config *c, struct faults *f)
{
	struct at list = { NULL, "datasets", 0 };
	size_t all = c->n_datasets;	/* the first that matches everything */
	char shown[SHOWN];

	for (size_t i = 0; i < c->n_datasets; i++) {
		struct at at = { &list, NULL, i }, retention = { &at, "retention", 0 },
			  control = { &at, "cache_control", 0 };
		const struct dataset *d = &c->datasets[i];

		if (config_retention(c, d->retention) == NULL)
			faults_add(f, &retention, "no such member of cache.retentions: '%s'",
			    text_esc_to(shown, sizeof(shown), d->retention));
		if (d->cache_control != NULL &&
		    d->cache_control[strspn(d->cache_control, ALNUM " ,=-_\"")] != '\0')
			faults_add(f, &control, "is not a Cache-Control value");
		if (i > all)
			faults_add(f, &at, "is never reached: datasets[%zu] matches everything", all);
		if (i < all && d->backends.n == 0 && d->collections.n == 0 && d->assets.n == 0)
			all = i;
	}
}

static void
check_quotas(const struct config *c, struct faults *f)
{
	struct at map = { NULL, "quotas", 0 };

	for (size_t i = 0; i < c->n_quotas; i++) {
		struct at at = { &map, c->quotas[i].name, 0 };

		if (c->quotas[i].n_limits == 0)
			faults_add(f, &at, "limits nothing");
	}
}

static bool
is_host_port(const char *s)
{
	const char *colon = strrchr(s, ':');
	size_t host, digits;

	if (colon == NULL || colon == s)
		return false;
	host = (size_t)(colon - s);
	digits = strspn(colon + 1, "0123456789");
	if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' || colon[1] == '0' ||
	    atoi(colon + 1) > 65535)
		return false;
	if (s[0] == '[')
		return strspn(s + 1, "0123456789abcdefABCDEF:.") == host - 2 && s[host - 1] == ']';
	return strspn(s, ALNUM ".-") == host;
}

static void
check_addresses(const struct config *c, struct faults *f)
{
	struct at memcached = { NULL, "memcached", 0 }, upstream = { NULL, "upstream", 0 },
		  private = { &upstream, "allow_private", 0 }, front = { NULL, "front", 0 },
		  peers = { &front, "peers", 0 };
	struct sockaddr_un socket_address;
	struct ipblock block;
	const char *s;

	for (size_t i = 0; i < c->memcached.n; i++) {
		struct at here = { &memcached, NULL, i };

		if (c->memcached.v[i][0] != '/' && !is_host_port(c->memcached.v[i]))
			faults_add(f, &here, "is neither a socket's path nor HOST:PORT");
		else if (c->memcached.v[i][0] == '/' && strlen(c->memcached.v[i]) >= sizeof(socket_address.sun_path))
			faults_add(f, &here, "is too long for a socket's path");
	}
	for (size_t i = 0; i < c->allow_private.n; i++) {
		struct at here = { &private, NULL, i };

		if (ipblock_parse(c->allow_private.v[i], &block) < 0)
			faults_add(f, &here, "is no address and no block such as \"10.0.0.0/8\"");
	}
	for (size_t i = 0; i < c->peers.n; i++) {
		struct at here = { &peers, NULL, i };

		s = c->peers.v[i];
		if (s[strcspn(s, ":/")] != '\0' ||
		    (strchr(s, '.') != NULL && s[strspn(s, "0123456789.")] == '\0')) {
			if (ipblock_parse(s, &block) < 0)
				faults_add(
				    f, &here, "is no address and no block such as \"10.0.0.0/8\"");
		} else if (s[strspn(s, ALNUM "._-@$")] != '\0') {
			faults_add(f, &here, "is neither an address nor a user");
		}
	}
}

static void
check_sizes(const struct config *c, struct faults *f)
{
	char *path;

	if (c->spool_transfer_max > c->spool_max)
		faults_add_path(f, "spool.max_transfer", "is more than spool.max");
	if (c->spool_memory_max > c->spool_max)
		faults_add_path(f, "spool.memory", "is more than spool.max");
	if (c->stac_item_max > c->stac_keep_max)
		faults_add_path(f, "stac.keep_max", "is less than stac.item_max");
	for (size_t i = 0; i < c->n_retentions; i++) {
		path = mem_printf("%s/%s", c->cache_path, c->retentions[i].name);
		if (strcmp(path, c->dir_spool) == 0)
			faults_add_path(f, "dirs.spool", "is the directory of the retention '%s'",
			    c->retentions[i].name);
		free(path);
	}
}

static void
check_s3(const struct config *c, struct faults *f)
{
	struct s3_place_words words = { c->s3_endpoint, c->s3_region, c->s3_bucket, c->s3_prefix,
		c->s3_addressing == S3_ADDRESSING_VIRTUAL ? "virtual" : "path" };
	struct err e = ERR_NONE;
	struct s3_place place;

	/* it stands in the ids of lifecycle rules, too, and is not to look like a retention there */
	if (c->s3_prefix[strspn(c->s3_prefix, ALNUM "._-/")] != '\0')
		faults_add_path(f, "cache.s3.prefix", "has letters, digits, '.', '_', '-' and '/' only");
	else if (c->s3_prefix[0] != '\0' && c->s3_prefix[strlen(c->s3_prefix) - 1] != '/')
		faults_add_path(f, "cache.s3.prefix", "must end with '/'");
	if (c->s3_endpoint[0] == '\0') {
		if (c->cache_store == CACHE_STORE_S3)
			faults_add_path(f, "cache.s3.endpoint", "must be given: cache.store is \"s3\"");
		else if (c->s3_bucket[0] != '\0')
			faults_add_path(f, "cache.s3.endpoint", "must be given where there is a bucket");
		return;
	}
	if (s3_place_init(&place, &words, &e) < 0)
		faults_add_path(f, "cache.s3", "%s", e.text);
	else
		s3_place_release(&place);
	if (c->s3_public_endpoint[0] == '\0')
		return;
	words.endpoint = c->s3_public_endpoint;
	if (s3_place_init(&place, &words, &e) < 0)
		faults_add_path(f, "cache.s3.public_endpoint", "%s", e.text);
	else
		s3_place_release(&place);
}

void
check_all(const struct config *c, struct faults *f)
{
	check_item_url(c, f);
	check_identity(c, f);
	check_quotas(c, f);
	check_datasets(c, f);
	check_rules(c, f);
	check_front(c, f);
	check_addresses(c, f);
	check_sizes(c, f);
	check_s3(c, f);
}

/* ---- files of secrets -------------------------------------------------------- */

static const char *
header_fault(const char *line)
{
	static const char *const ours[] = { "Connection", "Content-Length", "Host", "Range", "TE",
		"Trailer", "Transfer-Encoding", "Upgrade", "CDN-Loop", "Accept-Encoding" };
	size_t name = strspn(line, ALNUM "!#$%&'*+-.^_`|~");

	if (name == 0 || line[name] != ':')
		return "is not \"Name: value\"";
	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (strlen(ours[i]) == name && strncasecmp(line, ours[i], name) == 0)
			return "has a header that is ours to set";
	}
	for (const char *s = line; *s != '\0'; s++) {
		if ((uint8_t)*s < 0x20 || *s == 0x7f)
			return "has a control byte";
	}
	return line[name + 1 + strspn(line + name + 1, " ")] == '\0' ? "has no value" : NULL;
}

/*
 * "Name: value", with one space and none at the end.  The line itself is never told: it is a
 * secret.
 */
static void
take_header(struct config *c, char *line, unsigned number, struct faults *f)
{
	const char *fault;
	char *value, *whole;
	size_t len = strlen(line);

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r' || line[len - 1] == '\t'))
		line[--len] = '\0';
	if (len == 0 || line[0] == '#')
		return;
	fault = header_fault(line);
	if (fault == NULL && !text_is_utf8(line, len))
		fault = "is not UTF-8";
	if (fault != NULL) {
		faults_add_path(f, "stac.headers_file", "line %u of '%s' %s", number,
		    c->stac_headers_file, fault);
		return;
	}
	value = strchr(line, ':');
	*value++ = '\0';
	value += strspn(value, " ");
	whole = mem_printf("%s: %s", line, value);
	strs_add(&c->stac_headers, whole);
	explicit_bzero(whole, strlen(whole));
	free(whole);
}

static void
read_headers(struct config *c, struct faults *f)
{
	struct buf text = BUF_INIT(CONFIG_HEADERS_MAX);
	struct err e = ERR_NONE;
	int fd = fd_open_secret(c->stac_headers_file, &e);
	unsigned number = 0;
	char *line, *next;

	if (fd == -1 || fd_read_rest(fd, &text, &e) < 0) {
		faults_add_path(f, "stac.headers_file", "%s", e.text);
	} else if (memchr(buf_str(&text), '\0', text.len) != NULL) {
		faults_add_path(f, "stac.headers_file", "'%s' has a NUL", c->stac_headers_file);
	} else {
		for (line = text.data; line != NULL; line = next) {
			next = strchr(line, '\n');
			if (next != NULL)
				*next++ = '\0';
			number++;
			take_header(c, line, number, f);
		}
		if (c->stac_headers.n > CONFIG_HEADER_LINES_MAX)
			faults_add_path(f, "stac.headers_file", "'%s' has more than %d headers",
			    c->stac_headers_file, CONFIG_HEADER_LINES_MAX);
	}
	if (text.data != NULL)
		explicit_bzero(text.data, text.cap);
	buf_release(&text);
	fd_close(&fd);
}

/* Of any bytes: its digest is the secret. */
static void
read_memory_key(struct config *c, struct faults *f)
{
	struct buf text = BUF_INIT(CONFIG_HEADERS_MAX);
	struct err e = ERR_NONE;
	int fd = fd_open_secret(c->s3_memory_key, &e);
	char hex[65];

	if (fd == -1 || fd_read_rest(fd, &text, &e) < 0) {
		faults_add_path(f, "cache.s3.memory_key", "%s", e.text);
	} else {
		if (text.len > 0 && text.data[text.len - 1] == '\n')
			text.len--;
		if (text.len < CONFIG_MEMORY_KEY_MIN)
			faults_add_path(f, "cache.s3.memory_key", "'%s' has %zu bytes, want %d or more",
			    c->s3_memory_key, text.len, CONFIG_MEMORY_KEY_MIN);
		digest_sha256_hex(buf_str(&text), text.len, hex);
		strs_add(&c->s3_memory_secret, hex);
		explicit_bzero(hex, sizeof(hex));
	}
	if (text.data != NULL)
		explicit_bzero(text.data, text.cap);
	buf_release(&text);
	fd_close(&fd);
}

/* The roles have an empty environment, so what is in ours travels with the configuration. */
static void
read_environment_keys(struct config *c, struct faults *f)
{
	struct s3_credentials keys = { NULL, NULL, NULL };
	struct err e = ERR_NONE;

	if (s3_credentials_environment(&keys, &e) != 0) {
		faults_add_path(f, "cache.s3.credentials", "is empty, and %s", e.text);
		return;
	}
	strs_add(&c->s3_keys, keys.id);
	strs_add(&c->s3_keys, keys.secret);
	if (keys.token != NULL)
		strs_add(&c->s3_keys, keys.token);
	s3_credentials_release(&keys);
}

/* One that only another role's user can read, or that comes later, is that role's to report. */
static void
check_later(const char *path, const char *member, struct faults *f)
{
	struct err e = ERR_NONE;
	int fd;

	if (path[0] == '\0')
		return;
	fd = fd_open_secret(path, &e);
	if (fd == -1 && e.sys != ENOENT && e.sys != EACCES)
		faults_add_path(f, member, "%s", e.text);
	fd_close(&fd);
}

int
config_peer_uid(const char *peer, uid_t *ret)
{
	const struct passwd *pw;
	unsigned long v;
	char *end;

	if (peer[0] >= '0' && peer[0] <= '9') {
		errno = 0;
		v = strtoul(peer, &end, 10);
		if (errno != 0 || *end != '\0' || v >= (uid_t)-1)
			return -1;
		*ret = (uid_t)v;
		return 0;
	}
	pw = getpwnam(peer);
	if (pw == NULL)
		return -1;
	*ret = pw->pw_uid;
	return 0;
}

static void
check_users(const struct config *c, struct faults *f)
{
	struct at front = { NULL, "front", 0 }, peers = { &front, "peers", 0 };
	struct ipblock block;
	uid_t uid;

	if (c->user != NULL && getpwnam(c->user) == NULL)
		faults_add_path(f, "user", "'%.100s' is no user of this system", c->user);
	for (size_t i = 0; i < c->peers.n; i++) {
		struct at here = { &peers, NULL, i };

		if (ipblock_parse(c->peers.v[i], &block) < 0 && config_peer_uid(c->peers.v[i], &uid) < 0)
			faults_add(f, &here, "'%.100s' is no address and no user of this system", c->peers.v[i]);
	}
}

void
check_secrets(struct config *c, struct faults *f)
{
	if (c->stac_headers_file[0] != '\0')
		read_headers(c, f);
	if (c->s3_memory_key[0] != '\0')
		read_memory_key(c, f);
	if (c->cache_store == CACHE_STORE_S3 && c->s3_credentials[0] == '\0')
		read_environment_keys(c, f);
	/* here, since children that are confined take a configuration without looking at users */
	check_users(c, f);
	check_later(c->eodag_config_file, "eodag.config_file", f);
	check_later(c->s3_credentials, "cache.s3.credentials", f);
}
