/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of parameters: what the file may hold, and everything that is
 * known about it.  No code.  Rows of a section stand together.
 */
#include "base/base.h"

#include "config/params.h"

#include "base/log.h"

#define AT(member) offsetof(struct config, member)
#define ROW(type, member) offsetof(struct type, member)
#define KIB 1024ULL
#define MIB (1024 * KIB)
#define KB 1000ULL
#define MB (1000 * KB)
#define GB (1000 * MB)
#define TB (1000 * GB)
#define SECOND 1000ULL
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define WORDS(...) .words = (const char *const[]){ __VA_ARGS__, NULL }

/* Bytes of one string of a kind. */
enum {
	LEN_NAME = 256, LEN_GROUP = 128, LEN_SET = 64, LEN_GLOB = 1024, LEN_URL = 2048,
	LEN_PATH = 4000, LEN_CACHE_PATH = LEN_PATH - 6,	/* "/spool" may follow it */
};

static const struct param group_params[] = {
	{ "", PARAM_STRINGS, ROW(group_members, users), 0, 10000, NULL, PARAM_ITSELF,
	  .length = LEN_NAME,
	  .text = "The names of the users that belong to the group, each exactly as the front "
		  "gives it. They are added to the groups that the front names itself." },
};
static const struct param_rows group_rows = {
	group_params, ARRAY_LEN(group_params), sizeof(struct group_members), AT(n_groups), 1000,
	"group", LEN_GROUP, false,
};

static const struct param quota_params[] = {
	{ "per", PARAM_WORD_BOOL, ROW(quota_set, per_group), .fallback = "\"user\"",
	  WORDS("user", "group"),
	  .text = "Who shares one account: each user has one of their own, or all members of a "
		  "group have one together. With \"group\" the first group of the rule that "
		  "matched, in the rule's order, that the user belongs to is charged; where a "
		  "rule does not go by groups, the user is." },
	{ "requests", PARAM_LIMITS, .max = 5, .fallback = "[]", .kind = QUOTA_REQUESTS,
	  .text = "How many requests may be made, for instance \"20 per second\". Every request "
		  "that passes counts, hits and HEAD too." },
	{ "misses", PARAM_LIMITS, .max = 5, .fallback = "[]", .kind = QUOTA_MISSES,
	  .text = "How many requests may go to a provider because the cache did not have the "
		  "object." },
	{ "bytes", PARAM_LIMITS, .max = 5, .fallback = "[]", .kind = QUOTA_BYTES,
	  .text = "How many bytes may be delivered, for instance \"1 TB per month\". A range "
		  "counts what it carries, not the whole object; HEAD and errors carry nothing." },
	{ "upstream_bytes", PARAM_LIMITS, .max = 5, .fallback = "[]", .kind = QUOTA_UPSTREAM_BYTES,
	  .text = "How many bytes may be fetched from providers. They are charged once, to the "
		  "request that started the transfer, however many share it." },
	{ "when_unavailable", PARAM_WORD_BOOL, ROW(quota_set, refuse_when_unavailable),
	  .fallback = "\"allow\"",
	  WORDS("allow", "refuse"),
	  .text = "What happens while memcached cannot be asked, is slower than "
		  "memcached_timeout (or the accountant than 100 ms), or has lost its counters and "
		  "they are made again from the ledger: requests pass unchecked, and are counted "
		  "when they end or when it is back; or they are answered 503 at once." },
};
static const struct param_rows quota_rows = {
	quota_params, ARRAY_LEN(quota_params), sizeof(struct quota_set), AT(n_quotas), 1000, "set",
	LEN_SET, true,
};

static const struct param dataset_params[] = {
	{ "backends", PARAM_STRINGS, ROW(dataset, backends), 0, 1000, "[]", .length = LEN_GLOB,
	  .text = "Patterns of backend names. Empty means all." },
	{ "collections", PARAM_STRINGS, ROW(dataset, collections), 0, 1000, "[]",
	  .length = LEN_GLOB,
	  .text = "Patterns of collection names. Empty means all." },
	{ "assets", PARAM_STRINGS, ROW(dataset, assets), 0, 1000, "[]", .length = LEN_GLOB,
	  .text = "Patterns of asset names. Empty means all." },
	{ "retention", PARAM_STRING, ROW(dataset, retention), 1, LEN_SET, NULL, PARAM_FILLED,
	  .text = "The lifetime class of these objects, a member of cache.retentions. It is the "
		  "first segment of the object's key, so that the storage's own rules can "
		  "delete by it." },
	{ "fill", PARAM_WORD, ROW(dataset, fill), .fallback = "\"any-read\"",
	  WORDS("any-read", "whole-only", "never"),
	  .text = "What makes the cache fetch the whole object: any read, ranges included (see "
		  "fill_after); only a request for the whole object; or nothing, so that the "
		  "cache holds what others put there." },
	{ "fill_after", PARAM_PERCENT, ROW(dataset, fill_after_percent), 0, 100, "\"25 %\"",
	  .text = "With fill \"any-read\": how much of an object ranges must have asked for "
		  "before it is fetched whole. With 0 % the first range does it." },
	{ "max_size", PARAM_SIZE, ROW(dataset, max_size), 1, INT64_MAX, "\"20 GB\"",
	  .text = "Larger objects are delivered and never stored." },
	{ "on_mismatch", PARAM_WORD_BOOL, ROW(dataset, deliver_on_mismatch), .fallback = "\"cut\"",
	  WORDS("cut", "deliver"),
	  .text = "What to do when the bytes do not have the checksum that the catalogue gives: "
		  "cut the answer so that the client sees the failure, or deliver it, log it "
		  "and store nothing, where the catalogue is known to be wrong." },
	{ "cache_control", PARAM_OPTIONAL, ROW(dataset, cache_control), 0, LEN_NAME, "\"\"",
	  .text = "The Cache-Control of the answers, for instance \"public, max-age=86400\" for "
		  "open data. Empty means \"private\": no shared cache on the way keeps it." },
};
static const struct param_rows dataset_rows = {
	dataset_params, ARRAY_LEN(dataset_params), sizeof(struct dataset), AT(n_datasets), 2000,
	NULL, 0, false,
};

static const struct param retention_params[] = {
	{ "lifetime", PARAM_LIFETIME, ROW(retention, days), .fallback = "\"\"",
	  .text = "How long objects of this class are kept after they were stored. Empty means "
		  "what the name says where it is a lifetime (\"30d\", \"1y\"), and never to "
		  "delete with every other name (\"keep\")." },
};
static const struct param_rows retention_rows = {
	retention_params, ARRAY_LEN(retention_params), sizeof(struct retention), AT(n_retentions),
	100, "retention", LEN_SET, true,
};

static const struct param rule_params[] = {
	{ "name", PARAM_OPTIONAL, ROW(rule, name), 0, LEN_SET, "\"\"",
	  .text = "The name of the rule in the log. Empty means its place, such as \"rules[3]\"." },
	{ "who", PARAM_WORD, ROW(rule, who), .fallback = "\"listed\"",
	  WORDS("listed", "authenticated", "anyone"),
	  .text = "Whom the rule is about: those whom users, groups or scopes list (one of them "
		  "must then list somebody), everybody who is logged in, or anyone, anonymous "
		  "people included." },
	{ "users", PARAM_STRINGS, ROW(rule, users), 0, 10000, "[]", .length = LEN_NAME,
	  .text = "Names of users, compared exactly." },
	{ "groups", PARAM_STRINGS, ROW(rule, groups), 0, 1000, "[]", .length = LEN_GROUP,
	  .text = "Names of groups, compared exactly. A rule is about whoever is in users or in "
		  "one of the groups." },
	{ "scopes", PARAM_STRINGS, ROW(rule, scopes), 0, 1000, "[]", .length = LEN_NAME,
	  .text = "Scopes of a verified token, one of which is wanted besides. Identities that "
		  "come from the front carry none, so such a rule never applies to them." },
	{ "methods", PARAM_STRINGS, ROW(rule, methods), 0, 10, "[]", .length = LEN_SET,
	  .text = "Patterns of HTTP methods (GET, HEAD). Empty means all. OPTIONS is answered to "
		  "everybody, before the rules." },
	{ "routes", PARAM_STRINGS, ROW(rule, routes), 0, 100, "[]", .length = LEN_GLOB,
	  .text = "Patterns of the proxy's own routes, such as \"-/status\" or \"-/metrics\". A "
		  "rule with routes is about them alone; a rule without is about data alone." },
	{ "backends", PARAM_STRINGS, ROW(rule, backends), 0, 1000, "[]", .length = LEN_GLOB,
	  .text = "Patterns of backend names, the first segment of the path. Empty means all." },
	{ "collections", PARAM_STRINGS, ROW(rule, collections), 0, 1000, "[]", .length = LEN_GLOB,
	  .text = "Patterns of collection names. Empty means all." },
	{ "items", PARAM_STRINGS, ROW(rule, items), 0, 1000, "[]", .length = LEN_GLOB,
	  .text = "Patterns of item names. Empty means all." },
	{ "assets", PARAM_STRINGS, ROW(rule, assets), 0, 1000, "[]", .length = LEN_GLOB,
	  .text = "Patterns of asset names. Empty means all." },
	{ "allow", PARAM_BOOL, ROW(rule, allow),
	  .text = "The verdict. The first rule that matches gives it, and where none matches "
		  "the answer is no." },
	{ "delivery", PARAM_WORD, ROW(rule, delivery), .fallback = "\"stream\"",
	  WORDS("stream", "redirect", "auto"),
	  .text = "How the bytes reach the client: through the proxy; by redirect to a "
		  "presigned URL of the cached object in S3, or else of the provider where it "
		  "offers one; or by redirect where that is sure to work and worth it (auto). "
		  "X-Eodata-Delivery in the answer says which it was." },
	{ "quotas", PARAM_QUOTAS, ROW(rule, quota), 0, RULE_QUOTAS_MAX, "[]",
	  .text = "Names of the quota sets that requests under this rule are charged to. All "
		  "must agree." },
	{ "rate", PARAM_RATE, ROW(rule, rate), 0, INT64_MAX, "\"0\"",
	  .text = "The bytes per second that one connection gets at most, for instance \"10 "
		  "MB\". 0 is unlimited. What a redirect leads to has no such limit." },
};
static const struct param_rows rule_rows = {
	rule_params, ARRAY_LEN(rule_params), sizeof(struct rule), AT(n_rules), 2000, NULL, 0, false,
};

static const struct param backend_params[] = {
	{ "slots", PARAM_INTEGER, ROW(backend_limits, slots), 1, 1024, "4",
	  .text = "How many requests to the provider run at once, over all processes of the "
		  "host. Providers often count connections per account: stay below what yours "
		  "allows." },
	{ "queue", PARAM_INTEGER, ROW(backend_limits, queue), 0, 65536, "256",
	  .text = "How many requests may wait for a slot. More are answered 503 at once." },
};
static const struct param_rows backend_rows = {
	backend_params, ARRAY_LEN(backend_params), sizeof(struct backend_limits), AT(n_backends),
	1000, "backend", LEN_NAME, false,
};

const struct param config_params[] = {
	{ "user", PARAM_OPTIONAL, AT(user), 0, LEN_NAME, "\"\"", PARAM_RESTART,
	  .text = "The user of this system that does the work when the program is started by "
		  "root: all processes but the first run as it, with its groups. It must own "
		  "the directories of dirs and cache, or have them made by the program. Empty "
		  "means whoever starts the program." },

	/* stac */
	{ "stac.item_url", PARAM_OPTIONAL, AT(stac_item_url), 0, LEN_URL, "\"\"",
	  .text = "Where the STAC item of a request is: a URL in which {collection}, {item} and "
		  "{backend} stand for the segments of the path. Empty means that EODAG "
		  "searches the item at the provider." },
	{ "stac.headers_file", PARAM_PATH, AT(stac_headers_file), 0, LEN_PATH, "\"\"",
	  .text = "A file of lines \"Name: value\" that are sent to the catalogue, for one that "
		  "wants a login. It holds secrets: others may not read it, only its owner may "
		  "write it. Empty lines and lines that begin with '#' are skipped." },
	{ "stac.item_max", PARAM_SIZE, AT(stac_item_max), 64 * KIB, 16 * MIB, "\"16 MB\"",
	  .text = "A larger item is refused." },
	{ "stac.keep", PARAM_DURATION, AT(stac_keep_ms), 0, HOUR, "\"60s\"",
	  .text = "How long a fetched item is used again before the catalogue is asked anew." },
	{ "stac.keep_max", PARAM_SIZE, AT(stac_keep_max), MIB, 64 * GB, "\"64 MB\"",
	  .text = "What the items of one mover may take, those that are kept and those that "
		  "come. Beyond it the oldest that nobody waits for goes; a request whose item "
		  "finds no room even so is answered 503." },

	/* eodag */
	{ "eodag.python", PARAM_PATH, AT(eodag_python), 0, LEN_PATH, "\"\"",
	  .text = "The directory of the Python environment that has EODAG. Empty means the "
		  "system's own python3-eodag." },
	{ "eodag.config_file", PARAM_PATH, AT(eodag_config_file), 0, LEN_PATH, "\"\"",
	  .text = "EODAG's own configuration file (YAML) with the providers' credentials. Only "
		  "the resolvers read it. Others may not read it, only its owner may write it. "
		  "Empty means no credentials." },
	{ "eodag.providers_dir", PARAM_PATH, AT(eodag_providers_dir), 0, LEN_PATH, "\"\"",
	  .text = "A directory with provider definitions instead of EODAG's own "
		  "(EODAG_PROVIDERS_CFG_DIR)." },
	{ "eodag.collections_file", PARAM_PATH, AT(eodag_collections_file), 0, LEN_PATH, "\"\"",
	  .text = "A file with collection definitions instead of EODAG's own "
		  "(EODAG_COLLECTIONS_CFG_FILE)." },
	{ "eodag.resolvers", PARAM_INTEGER, AT(eodag_resolvers), 1, CONFIG_RESOLVERS_MAX, "8",
	  .text = "How many backends can be in use at once: each has a resolver process of its "
		  "own, of some 150 MB, started when it is needed." },
	{ "eodag.timeout", PARAM_DURATION, AT(eodag_timeout_ms), SECOND, 10 * MINUTE, "\"40s\"",
	  .text = "How long one resolve may take. Then the resolver is killed and the request "
		  "answered 504." },
	{ "eodag.idle", PARAM_DURATION, AT(eodag_idle_ms), SECOND, DAY, "\"10m\"",
	  .text = "A resolver that had nothing to do for so long ends." },
	{ "eodag.cooldown", PARAM_DURATION, AT(eodag_cooldown_ms), 0, HOUR, "\"30s\"",
	  .text = "After a timeout or a crash of its resolver a backend is left alone for so "
		  "long, and requests for it are answered 504 at once." },
	{ "eodag.memory_max", PARAM_SIZE, AT(eodag_memory_max), 256 * MIB, 1024 * GB, "\"2 GB\"",
	  .text = "The address space of one resolver. One that wants more fails, and nobody "
		  "else does." },

	{ "eodag.queue", PARAM_INTEGER, AT(eodag_queue), 1, 65536, "4096",
	  .text = "How many assets of one backend may wait for their resolve, in one mover; users "
		  "take turns. More are answered 503." },

	/* identity */
	{ "identity.user_param", PARAM_STRING, AT(user_param), 1, LEN_SET, "\"EODATA_USER\"",
	  PARAM_FILLED,
	  .text = "The FastCGI parameter in which the front names the user that it has "
		  "authenticated. Empty or absent means anonymous. A name that clients can fill "
		  "(HTTP_*, or REMOTE_USER on nginx) is refused." },
	{ "identity.groups_param", PARAM_STRING, AT(groups_param), 0, LEN_SET, "\"EODATA_GROUPS\"",
	  .text = "The FastCGI parameter with the user's groups. Empty means that the front "
		  "names none. A user has 64 at most, those of identity.groups included: a request "
		  "with more is answered 400." },
	{ "identity.groups_separator", PARAM_STRING, AT(groups_separator), 0, 1, "\",\"",
	  .text = "The character between two groups. Empty means that the parameter holds one "
		  "group." },
	{ "identity.groups", PARAM_MAP, AT(groups), .fallback = "{}", .rows = &group_rows,
	  .text = "Groups whose members are listed here: name of the group to list of users." },

	{ "memcached", PARAM_STRINGS, AT(memcached), 0, 64, "[\"/run/memcached/memcached.sock\"]",
	  .length = LEN_NAME,
	  .text = "Where the counters of the quotas are, and what is known of objects in S3: "
		  "socket paths or HOST:PORT. Several "
		  "share them by consistent hashing; all hosts of a site must name the "
		  "same ones in the same words. Counters that are lost (a restart) are made again "
		  "from the ledger. A socket that only the proxy may open is "
		  "safest: memcached asks nobody who they are. A host that is a name belongs in "
		  "/etc/hosts: requests wait while it is looked up." },
	{ "memcached_timeout", PARAM_DURATION, AT(memcached_timeout_ms), 1, 5 * SECOND, "\"30ms\"",
	  .text = "How long one round trip may take before memcached counts as away (see "
		  "when_unavailable) for a second. Where hosts share a bucket "
		  "(cache.s3.memory_key) a mover stands still for it, too: keep it short. Answers "
		  "that come, but each after more than a tenth of it, cost a mover five times "
		  "this long in a second; then it does without them for a second." },
	{ "quotas", PARAM_MAP, AT(quotas), .fallback = "{}", .rows = &quota_rows,
	  .text = "Named sets of limits that rules refer to. Windows are fixed and in UTC: a "
		  "day begins at midnight." },
	{ "datasets", PARAM_ROWS, AT(datasets), .fallback = "[]", .rows = &dataset_rows,
	  .text = "What is kept in the cache, and how. The first row that matches backend, "
		  "collection and asset applies; what no row matches is delivered and never "
		  "stored. Who asks plays no part." },
	{ "rules", PARAM_ROWS, AT(rules), .fallback = "[]", .rows = &rule_rows,
	  .text = "Who may fetch what. The first rule that matches decides; where none does the "
		  "answer is no." },

	/* cache */
	{ "cache.store", PARAM_WORD, AT(cache_store), .fallback = "\"directory\"", .flags = PARAM_RESTART,
	  WORDS("directory", "s3"),
	  .text = "The kind of store: the directory cache.path, or the bucket cache.s3." },
	{ "cache.path", PARAM_PATH, AT(cache_path), 1, LEN_CACHE_PATH, "\"/var/cache/eodata-proxy\"",
	  PARAM_RESTART | PARAM_FILLED,
	  .text = "The directory of the objects. The front must be able to read it. Several "
		  "hosts may share it." },
	{ "cache.retentions", PARAM_MAP, AT(retentions), .fallback = "{}", .rows = &retention_rows,
	  .text = "The lifetime classes that datasets name. The proxy deletes nothing by age: "
		  "rules of the storage do, systemd-tmpfiles on these directories or the bucket's "
		  "lifecycle, and eodata-proxyctl retention writes them: run it after a change." },
	{ "cache.min_free", PARAM_PERCENT, AT(cache_min_free_percent), 0, 90, "\"5 %\"",
	  .text = "While the file system has less than this free, nothing new is stored; "
		  "everything is delivered still." },
	{ "cache.s3.endpoint", PARAM_STRING, AT(s3_endpoint), 0, LEN_NAME, "\"\"", PARAM_RESTART,
	  .text = "The S3 service, for instance \"https://s3.example.org\", with the port where it "
		  "is another than the scheme's. Empty means that there is none. It may be http, "
		  "and at a private address, whatever upstream says of others." },
	{ "cache.s3.region", PARAM_STRING, AT(s3_region), 1, LEN_SET, "\"us-east-1\"",
	  PARAM_RESTART | PARAM_FILLED,
	  .text = "Its region, which is part of every signature." },
	{ "cache.s3.bucket", PARAM_STRING, AT(s3_bucket), 0, LEN_SET, "\"\"", PARAM_RESTART,
	  .text = "The bucket, which must be there. Must be given where there is an endpoint." },
	{ "cache.s3.prefix", PARAM_STRING, AT(s3_prefix), 0, LEN_GROUP, "\"\"", PARAM_RESTART,
	  .text = "What every key begins with, for instance \"site-a/\", so that several can share "
		  "a bucket. Each of them keeps its own lifecycle rules. It ends with a slash." },
	{ "cache.s3.addressing", PARAM_WORD, AT(s3_addressing), .fallback = "\"path\"",
	  .flags = PARAM_RESTART, WORDS("path", "virtual"),
	  .text = "Where the bucket stands in a URL: first in the path, or before the host "
		  "(\"bucket.s3.example.org\"), as AWS wants it." },
	{ "cache.s3.credentials", PARAM_PATH, AT(s3_credentials), 0, LEN_PATH, "\"\"", PARAM_RESTART,
	  .text = "A file with the keys, in the format of AWS's shared credentials. Others may "
		  "not read it, only its owner may write it. What is in it is read "
		  "again when it changes. Empty means the environment: AWS_ACCESS_KEY_ID, "
		  "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN." },
	{ "cache.s3.profile", PARAM_STRING, AT(s3_profile), 1, LEN_SET, "\"default\"",
	  PARAM_RESTART | PARAM_FILLED,
	  .text = "The section of that file." },
	{ "cache.s3.public_endpoint", PARAM_STRING, AT(s3_public_endpoint), 0, LEN_NAME, "\"\"", PARAM_RESTART,
	  .text = "The endpoint as clients reach it, for the URLs that they are redirected to, where "
		  "it is another than the proxy's own. Empty means that it is the same." },
	{ "cache.s3.url_life", PARAM_DURATION, AT(s3_url_life_ms), 2 * MINUTE, 12 * HOUR, "\"15m\"",
	  .text = "How long a client may begin to use a URL that it was redirected to. Its "
		  "max-age is a minute less." },
	{ "cache.s3.redirect_above", PARAM_SIZE, AT(s3_redirect_above), 0, INT64_MAX, "\"1 MiB\"",
	  .text = "Of rules with delivery \"auto\": objects that are smaller are streamed, for "
		  "another round trip would cost more." },
	{ "cache.s3.memory_key", PARAM_PATH, AT(s3_memory_key), 0, LEN_PATH, "\"\"", PARAM_RESTART,
	  .text = "A file with a secret of 32 bytes or more, the same on all hosts. What memcached "
		  "keeps of objects in the bucket is named and sealed with it, so that nobody "
		  "else who can write there is believed. A newline at its end does not count. "
		  "Others may not read it, only its owner may write it. Empty means that "
		  "memcached keeps nothing of them." },
	{ "cache.s3.remember", PARAM_DURATION, AT(s3_remember_ms), SECOND, 7 * DAY, "\"1h\"",
	  .text = "How long memcached says that an object is in the bucket, at most, and never "
		  "beyond its retention. One that is gone earlier, or was written over, is "
		  "noticed when it is read." },
	{ "cache.s3.follow_wait", PARAM_DURATION, AT(s3_follow_wait_ms), 0, HOUR, "\"10s\"",
	  .text = "How long a request waits for an object that another host is fetching; then "
		  "it is fetched here, too, and not stored. Never more than half of what is "
		  "left of front.deadline. Hosts know of each other by memory_key; without it "
		  "each fetches for itself." },
	{ "cache.s3.part_size", PARAM_SIZE, AT(s3_part_size), 5 * MIB, 1024 * MIB, "\"16 MiB\"",
	  .text = "An object that is larger is uploaded in parts of this size while it still "
		  "comes in (larger ones where it would have more than 10000)." },
	{ "cache.s3.parts", PARAM_INTEGER, AT(s3_parts), 1, 16, "2",
	  .text = "How many parts of one object may be on their way to S3 at once; one while a "
		  "client of it lacks more than 1 MiB of what is here." },

	/* front */
	{ "front.server", PARAM_WORD_STRING, AT(front_server), .fallback = "\"nginx\"",
	  WORDS("nginx", "apache", "lighttpd"),
	  .text = "The web server in front." },
	{ "front.base_path", PARAM_STRING, AT(base_path), 1, LEN_NAME, "\"/data\"", PARAM_FILLED,
	  .text = "The path below which the proxy is mounted, as clients see it, without a "
		  "slash at the end." },
	{ "front.hits", PARAM_WORD, AT(hits), .fallback = "\"x-accel\"",
	  WORDS("x-accel", "x-sendfile", "stream"),
	  .text = "How cached objects are sent: the front sends the file itself by "
		  "X-Accel-Redirect (nginx) or by X-Sendfile (Apache, lighttpd), or the proxy "
		  "streams it. From cache.store \"s3\": nginx fetches it from the bucket, and "
		  "behind the others the proxy streams it." },
	{ "front.internal_prefix", PARAM_STRING, AT(internal_prefix), 0, LEN_NAME,
	  "\"/_eodata_cache/\"",
	  .text = "With hits \"x-accel\": the internal location of the front that maps to "
		  "cache.path. It begins and ends with a slash." },
	{ "front.internal_s3", PARAM_STRING, AT(internal_s3), 0, LEN_NAME, "\"/_eodata_s3\"",
	  .text = "With hits \"x-accel\" and cache.store \"s3\": the internal location of the front "
		  "that fetches an object from the bucket. It begins with a slash." },
	{ "front.public_urls", PARAM_STRINGS, AT(public_urls), 0, 64, "[]", .length = LEN_URL,
	  .text = "The URLs under which clients see base_path, without a slash at the end. An "
		  "item's asset that points to one of them is ours, and its true place is "
		  "looked up elsewhere in the item." },
	{ "front.timeout", PARAM_DURATION, AT(front_timeout_ms), 2 * SECOND, DAY, "\"60s\"",
	  .text = "How long the front waits for the first byte (fastcgi_read_timeout of nginx, "
		  "ProxyTimeout of Apache). Only compared with deadline: set it to what the "
		  "front has." },
	{ "front.deadline", PARAM_DURATION, AT(answer_deadline_ms), SECOND, DAY, "\"50s\"",
	  .text = "Queue, item, resolve and the provider's first byte share this time; then the "
		  "proxy answers 504. Must be shorter than timeout." },
	{ "front.site_id", PARAM_STRING, AT(site_id), 0, CONFIG_HOST_MAX, "\"\"",
	  .text = "The name of this site in the CDN-Loop header, by which a request that comes "
		  "round is found. Empty means the host of the first of public_urls, or "
		  "\"eodata-proxy\"." },
	{ "front.peers", PARAM_STRINGS, AT(peers), 0, 1000, "[]", .length = LEN_GROUP,
	  .text = "Who may connect: on a TCP socket addresses or blocks (\"10.1.0.0/16\"), on a "
		  "Unix socket user names or numbers. Without any user, whoever the Unix "
		  "socket's mode lets in may; without any address, on TCP, this host alone. "
		  "Whoever can connect can claim to be any user." },

	/* dirs */
	{ "dirs.run", PARAM_PATH, AT(dir_run), 1, LEN_PATH, "\"/run/eodata-proxy\"",
	  PARAM_RESTART | PARAM_FILLED,
	  .text = "For what lives as long as the host runs: sockets and the file of provider "
		  "slots." },
	{ "dirs.state", PARAM_PATH, AT(dir_state), 1, LEN_PATH, "\"/var/lib/eodata-proxy\"",
	  PARAM_RESTART | PARAM_FILLED,
	  .text = "For what must be kept: the ledger." },
	{ "dirs.spool", PARAM_PATH, AT(dir_spool), 0, LEN_PATH, "\"\"", PARAM_RESTART,
	  .text = "Where bodies are kept while they come. It must be on the file system of "
		  "cache.path. Empty means \"spool\" in cache.path." },

	/* pool */
	{ "pool.workers", PARAM_INTEGER, AT(workers), 1, CONFIG_WORKERS_MAX, "8",
	  .text = "Processes that decide. Each decides one request at a time in well under a "
		  "millisecond; two per processor are plenty." },
	{ "pool.movers", PARAM_INTEGER, AT(movers), 1, CONFIG_MOVERS_MAX, "1", PARAM_RESTART,
	  .text = "Processes that move bytes. One fills a fast network card; more help where "
		  "TLS to providers is the limit." },
	{ "pool.drain", PARAM_DURATION, AT(drain_ms), 0, DAY, "\"30s\"",
	  .text = "How long running transfers get to finish when the proxy is stopped. Then "
		  "they are cut, visibly." },
	{ "pool.upgrade_drain", PARAM_DURATION, AT(upgrade_drain_ms), 0, DAY, "\"24h\"",
	  .text = "The same after an upgrade (SIGUSR2), while the new program serves already. "
		  "A SIGTERM to the old one makes it pool.drain." },
	{ "pool.start", PARAM_DURATION, AT(start_ms), SECOND, HOUR, "\"60s\"",
	  .text = "How long a process may take until it is ready; EODAG's import is slow. One that "
		  "takes longer is killed. The new program of an upgrade gets twice that, then the "
		  "old one goes on without it." },

	{ "pool.clients", PARAM_INTEGER, AT(clients_max), 1, 1000000, "65536",
	  .text = "How many clients one mover serves at once; fewer where the limit on open files "
		  "does not give each of them three. More wait in the queue to the mover, and "
		  "are answered 503 when it is full." },

	/* upstream */
	{ "upstream.allow_private", PARAM_STRINGS, AT(allow_private), 0, 1000, "[]",
	  .length = LEN_GROUP,
	  .text = "Private, loopback and link-local addresses or blocks that may be connected "
		  "to all the same (\"10.0.0.0/8\", \"::1\"). Without this a catalogue cannot "
		  "make the proxy talk to the site's own machines." },
	{ "upstream.allow_http", PARAM_BOOL, AT(allow_http), .fallback = "false",
	  .text = "Whether providers and the catalogue may be asked without TLS." },
	{ "upstream.ca_file", PARAM_PATH_LIST, AT(ca_file), 0, LEN_PATH, "\"\"", PARAM_RESTART,
	  .text = "A file with certificates of authorities (PEM) that is used instead of the "
		  "system's. What is in its directory can be read by the processes that "
		  "speak with providers." },
	{ "upstream.connect_timeout", PARAM_DURATION, AT(connect_timeout_ms), 100, 5 * MINUTE,
	  "\"10s\"",
	  .text = "How long making a connection, TLS included, may take." },
	{ "upstream.first_byte_timeout", PARAM_DURATION, AT(first_byte_timeout_ms), 100, HOUR,
	  "\"30s\"",
	  .text = "How long a provider may take to begin its answer." },
	{ "upstream.low_speed", PARAM_RATE, AT(low_speed_bytes), 0, GB, "\"1 KB\"",
	  .text = "A body slower than so many bytes per second, over low_speed_time, is given "
		  "up. 0 never gives up." },
	{ "upstream.low_speed_time", PARAM_DURATION, AT(low_speed_time_ms), SECOND, HOUR, "\"30s\"",
	  .text = "The time over which low_speed is measured." },
	{ "upstream.max_size", PARAM_SIZE, AT(upstream_max_size), 1, INT64_MAX, "\"1 TB\"",
	  .text = "A larger body is refused, or cut where its length was not announced." },
	{ "upstream.max_redirects", PARAM_INTEGER, AT(redirects_max), 0, 10, "3",
	  .text = "How many redirects are followed. Each goes through the same checks, and "
		  "credentials only to the scheme, host and port that they are for." },
	{ "backends", PARAM_MAP, AT(backends), .fallback = "{ \"*\": {} }", .rows = &backend_rows,
	  .text = "Limits per backend. \"*\" stands for all that are not named; it is there "
		  "even when it is not given." },

	/* spool */
	{ "spool.max", PARAM_SIZE, AT(spool_max), MIB, INT64_MAX, "\"50 GB\"",
	  .text = "What the bodies of all running transfers of one mover may take." },
	{ "spool.max_transfer", PARAM_SIZE, AT(spool_transfer_max), MIB, INT64_MAX, "\"20 GB\"",
	  .text = "What one of them may take. A larger one goes on without the spool, for one "
		  "client." },
	{ "spool.memory", PARAM_SIZE, AT(spool_memory_max), 512 * KIB, GB, "\"1 MiB\"",
	  .text = "What one transfer may keep in memory where its file cannot be made or cannot "
		  "grow, as on a full disk. It goes on unstored, and its slowest client paces "
		  "the provider." },
	{ "spool.clients_per_transfer", PARAM_INTEGER, AT(clients_per_transfer_max), 1, 65536,
	  "4096",
	  .text = "How many clients may share one transfer. More are answered 503." },
	{ "spool.transfers", PARAM_INTEGER, AT(transfers_max), 1, 65536, "4096",
	  .text = "How many transfers one mover runs at once. More are answered 503." },

	/* log */
	{ "log.level", PARAM_WORD, AT(log_level), .fallback = "\"info\"",
	  WORDS("error", "warn", "info", "debug"),
	  .text = "The least important lines that are written. \"info\" is one line per request." },
	{ "log.burst", PARAM_INTEGER, AT(log_burst), 0, 1000000, "100",
	  .text = "How many lines of one warning or error, by its code, a process writes in 10 "
		  "seconds. The others are counted, and told in one line. 0 writes all." },
};
const size_t config_params_n = ARRAY_LEN(config_params);

const struct param_section config_sections[] = {
	{ "user", "Who does the work." },
	{ "stac", "The catalogue from which the mover fetches the item of a request." },
	{ "eodag",
	  "The resolvers, which turn an item's asset into a place at the provider and the "
	  "credentials for it." },
	{ "identity",
	  "Who asks. The front authenticates people and tells the proxy in FastCGI parameters." },
	{ "memcached", "What hosts share: the counters of the quotas, and what is known of objects in S3." },
	{ "memcached_timeout", "How long to wait for them." },
	{ "quotas", "How much of it." },
	{ "datasets", "What is kept." },
	{ "rules", "Who may have what." },
	{ "cache", "Where verified copies are kept." },
	{ "front", "The web server before the proxy." },
	{ "dirs", "Directories. Each may belong to an ordinary user." },
	{ "pool", "How many processes of each kind." },
	{ "upstream", "Connections to providers and to the catalogue." },
	{ "backends", "How hard a provider may be worked." },
	{ "spool",
	  "Bodies on their way. They wait in files, so that each client can read at its own "
	  "speed." },
	{ "log", "Lines on standard error." },
};
const size_t config_sections_n = ARRAY_LEN(config_sections);

_Static_assert(sizeof(enum log_level) == sizeof(unsigned), "words are stored as unsigned");
