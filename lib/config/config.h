/* SPDX-License-Identifier: Apache-2.0
 *
 * The configuration: one JSON file, read and checked once by the master,
 * handed to the children as a sealed memfd.  Every member is one row of the
 * table in params.c.  Immutable after load; owned by whoever loaded it.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

struct strs {			/* a list of strings */
	char **v;
	size_t n;
};

enum quota_kind { QUOTA_REQUESTS, QUOTA_MISSES, QUOTA_BYTES, QUOTA_UPSTREAM_BYTES, QUOTA_KINDS };
enum quota_window { WINDOW_SECOND, WINDOW_MINUTE, WINDOW_HOUR, WINDOW_DAY, WINDOW_MONTH, WINDOWS };

struct quota_limit {
	enum quota_kind kind;
	enum quota_window window;
	uint64_t n;		/* requests or bytes per window */
};

enum { QUOTA_LIMITS_MAX = 20, RULE_QUOTAS_MAX = 8 };
/* The scoreboard has room for them, and for the workers twice: a reload runs old and new ones for a moment. */
enum { CONFIG_WORKERS_MAX = 64, CONFIG_MOVERS_MAX = 16, CONFIG_RESOLVERS_MAX = 64 };

struct quota_set {
	char *name;
	bool per_group;			/* else per user */
	bool refuse_when_unavailable;	/* else allow */
	struct quota_limit limit[QUOTA_LIMITS_MAX];
	size_t n_limits;
};

enum fill_mode { FILL_ANY_READ, FILL_WHOLE_ONLY, FILL_NEVER };

struct dataset {
	struct strs backends, collections, assets;	/* globs; empty = all */
	char *retention;		/* a member of cache.retentions */
	enum fill_mode fill;
	uint32_t fill_after_percent;
	uint64_t max_size;		/* bytes; larger is delivered, never stored */
	bool deliver_on_mismatch;	/* else cut */
	char *cache_control;		/* NULL: "private" */
};

enum rule_who { WHO_LISTED, WHO_AUTHENTICATED, WHO_ANYONE };
enum delivery { DELIVERY_STREAM, DELIVERY_REDIRECT, DELIVERY_AUTO };

struct rule {
	char *name;			/* for the log; "rules[3]" when not given */
	enum rule_who who;
	struct strs users, groups, scopes;
	/* globs; empty = all (routes: empty = data only) */
	struct strs methods, routes, backends, collections, items, assets;
	bool allow;
	enum delivery delivery;
	size_t quota[RULE_QUOTAS_MAX];	/* indices into config.quotas */
	size_t n_quotas;
	uint64_t rate;			/* bytes per second and connection, 0 = unlimited */
};

enum hits_mode { HITS_X_ACCEL, HITS_X_SENDFILE, HITS_STREAM };

struct retention {
	char *name;			/* a class, the first segment of its objects' keys */
	uint32_t days;			/* that they are kept; 0: for ever */
};
enum { RETENTION_DAYS_MAX = 36500 };

enum cache_store { CACHE_STORE_DIRECTORY, CACHE_STORE_S3 };
enum s3_addressing { S3_ADDRESSING_PATH, S3_ADDRESSING_VIRTUAL };

struct group_members { char *name; struct strs users; };
struct backend_limits { char *name; uint32_t slots, queue; };	/* "*" is the default */

struct config {
	/* stac */
	char *stac_item_url;		/* template with {collection} {item} {backend}; NULL: search */
	char *stac_headers_file;
	struct strs stac_headers;	/* "Name: value" lines of that file: secret */
	uint64_t stac_item_max;		/* bytes */
	uint32_t stac_keep_ms;		/* an item is kept so long */
	uint64_t stac_keep_max;		/* bytes of all items of one mover */
	/* eodag */
	char *eodag_python;		/* the environment's directory; "" = the system's */
	char *eodag_config_file;	/* user credentials for EODAG, read by the resolver's parent */
	char *eodag_providers_dir;	/* EODAG_PROVIDERS_CFG_DIR, or "" */
	char *eodag_collections_file;	/* EODAG_COLLECTIONS_CFG_FILE, or "" */
	uint32_t eodag_resolvers;	/* at most so many backends at once */
	uint32_t eodag_timeout_ms;	/* one resolve */
	uint32_t eodag_idle_ms;		/* an idle resolver ends */
	uint32_t eodag_cooldown_ms;	/* after a crash or timeout */
	uint64_t eodag_memory_max;	/* bytes of address space of one resolver */
	uint32_t eodag_queue;		/* jobs of one backend at one mover */
	/* identity */
	char *user_param, *groups_param, *groups_separator;
	struct group_members *groups;
	size_t n_groups;
	/* memcached */
	struct strs memcached;		/* socket paths or HOST:PORT */
	uint32_t memcached_timeout_ms;	/* one round trip */
	struct quota_set *quotas;
	size_t n_quotas;
	struct dataset *datasets;
	size_t n_datasets;
	struct rule *rules;
	size_t n_rules;
	/* cache */
	enum cache_store cache_store;
	char *cache_path;		/* store "directory" */
	struct retention *retentions;
	size_t n_retentions;
	uint32_t cache_min_free_percent;
	/* the S3 service, checked: none of it counts while s3_endpoint is "" */
	char *s3_endpoint;		/* "https://host:port", nothing behind it */
	char *s3_region, *s3_bucket;
	char *s3_prefix;		/* of every key: "" or ends with '/' */
	enum s3_addressing s3_addressing;
	char *s3_credentials;		/* a file in AWS's format; "": the environment */
	char *s3_profile;		/* its section */
	/* of the environment: id, secret, perhaps a token; none where there is a file.  Secret */
	struct strs s3_keys;
	char *s3_public_endpoint;	/* "": s3_endpoint */
	uint32_t s3_url_life_ms;	/* of a URL for clients */
	uint64_t s3_redirect_above;	/* bytes: less than that "auto" streams */
	char *s3_memory_key;		/* a file; "": none */
	struct strs s3_memory_secret;	/* 0 or 1: 64 hex digits, of what is in it: secret */
	uint32_t s3_remember_ms;	/* an object is believed to be there, at most */
	uint32_t s3_follow_wait_ms;	/* for an object that another host fetches */
	uint64_t s3_part_size;		/* bytes, of an upload in parts */
	uint32_t s3_parts;		/* of one upload at a time */
	/* front */
	char *front_server;		/* "nginx", "apache", "lighttpd" */
	char *base_path;
	enum hits_mode hits;
	char *internal_prefix;		/* X-Accel-Redirect: ends with '/' */
	char *internal_s3;		/* the same, of objects in S3 */
	struct strs public_urls;
	uint32_t front_timeout_ms;
	uint32_t answer_deadline_ms;	/* queue, item, resolve and first byte together; < front_timeout */
	char *site_id;			/* CDN-Loop */
	/*
	 * TCP peers that may connect, no address: loopback; Unix: checked by SO_PEERCRED
	 * (uids/names), no user: any that the socket's mode lets in
	 */
	struct strs peers;
	/* dirs */
	char *dir_run, *dir_state, *dir_spool;
	/* pool */
	uint32_t workers, movers;
	uint32_t drain_ms;		/* SIGTERM: running transfers get so long */
	uint32_t upgrade_drain_ms;	/* SIGUSR2: the same, while another master serves */
	uint32_t start_ms;		/* a role that is not ready by then is killed */
	uint32_t clients_max;		/* of one mover */
	/* upstream (net) */
	/* "127.0.0.1", "10.0.0.0/8", "::1": private addresses that may be connected to */
	struct strs allow_private;
	bool allow_http;		/* else https only */
	struct strs ca_file;		/* 0 or 1 */
	uint32_t connect_timeout_ms, first_byte_timeout_ms, low_speed_time_ms;
	uint64_t low_speed_bytes;	/* per second */
	uint64_t upstream_max_size;	/* bytes of one body */
	uint32_t redirects_max;
	struct backend_limits *backends;
	size_t n_backends;
	/* spool */
	uint64_t spool_max, spool_transfer_max, spool_memory_max;	/* bytes */
	uint32_t clients_per_transfer_max, transfers_max;
	/* log */
	enum log_level log_level;
	uint32_t log_burst;		/* lines of one code in LOG_BURST_MS; 0: all */
	char *user;			/* that children of a root master run as; NULL: as it */

	uint64_t generation;		/* set by the master, +1 per reload */
	char *text;			/* canonical JSON with secrets: what the memfd holds */
};

/*
 * Parse and check text (JSON with comments).  name is for messages.  Every
 * fault found is appended to faults as "path: what is wrong" lines.  NULL when
 * there was one.  Reads the secret files it names (mode checked: not readable
 * by others) only when read_secrets.  Single-threaded callers only.
 */
struct config *config_parse(const char *name, const char *text, size_t len, bool read_secrets, struct buf *faults);
struct config *config_load(const char *path, bool read_secrets, struct buf *faults);
void config_free(struct config *c);

/* Master: the checked configuration as a sealed memfd, secrets inside. */
int config_to_memfd(const struct config *c, struct err *e);
/* Children. */
struct config *config_from_memfd(int fd, struct err *e);

/*
 * Appends the paths, joined by ", ", of those parameters that differ and that
 * a reload does not take: for a warning.
 */
void config_restart_needed(const struct config *old, const struct config *new, struct buf *ret_paths);
/*
 * Gives these their old values in new, with the secrets that belong to them, so that all processes agree.
 * 0, or -1 and faults as of config_parse: what stays and what is new do not fit together.
 */
int config_keep(const struct config *old, struct config *new, struct buf *faults);

/* --dump-config: every member with its value in force, secrets left out. */
void config_dump(const struct config *c, struct buf *out);
/* eodata-proxy.conf(5), from the table, as mdoc. */
void config_manual(struct buf *out);

/* First match wins; NULL: delivered, never stored. */
const struct dataset *config_dataset(const struct config *c, const char *backend, const char *collection,
    const char *asset);
const struct backend_limits *config_backend(const struct config *c, const char *backend);	/* never NULL */
const struct retention *config_retention(const struct config *c, const char *name);	/* NULL when unknown */
const struct quota_set *config_quota(const struct config *c, const char *name);		/* NULL when unknown */
/* Of front.peers: "www-data" or "33".  0, or -1 where this system has no such user. */
int config_peer_uid(const char *peer, uid_t *ret);
bool strs_has_glob(const struct strs *globs, const char *text);	/* any pattern matches */
bool strs_has(const struct strs *s, const char *text);
bool strs_same(const struct strs *a, const struct strs *b);	/* in the same order */
struct strs strs_copy(const struct strs *s);
void strs_add(struct strs *s, const char *text);	/* a copy, at its end */
void strs_release(struct strs *s);	/* empty after it */

#endif
