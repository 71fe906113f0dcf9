/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of parameters, inside lib/config only.  One row per member of the
 * file; parser, checks, dump and manual page walk over it.
 */
#ifndef CONFIG_PARAMS_H
#define CONFIG_PARAMS_H

#include "config/config.h"

enum param_type {
	PARAM_STRING,		/* char *; at most max bytes; "" is allowed unless PARAM_FILLED */
	PARAM_OPTIONAL,		/* char *; "" is NULL */
	PARAM_PATH,		/* char *; absolute or "" */
	PARAM_PATH_LIST,	/* struct strs with 0 or 1 members; a string in the file */
	PARAM_SIZE,		/* uint64_t; "64 MiB" */
	PARAM_RATE,		/* uint64_t; "10 MB", a second */
	PARAM_DURATION,		/* uint32_t in ms; "30s" */
	PARAM_INTEGER,		/* uint32_t; a JSON number */
	PARAM_PERCENT,		/* uint32_t; "25 %" */
	PARAM_BOOL,		/* bool */
	PARAM_WORD,		/* an enum; the place in words is its value */
	PARAM_WORD_BOOL,	/* bool; words[0] is false, words[1] true */
	PARAM_WORD_STRING,	/* char *; one of words */
	PARAM_STRINGS,		/* struct strs; at most max strings of at most length bytes */
	PARAM_LIFETIME,		/* uint32_t days; "30d", "1y"; 0 for "never", LIFETIME_BY_NAME for "" */
	PARAM_LIMITS,		/* of a struct quota_set; kind says which */
	PARAM_QUOTAS,		/* of a struct rule; names of config.quotas */
	PARAM_ROWS,		/* an array of objects: rows */
	PARAM_MAP,		/* an object of named objects: rows */
};

enum param_flags {
	PARAM_RESTART = 1 << 0,	/* a reload does not take it */
	PARAM_FILLED = 1 << 1,	/* not "" */
	PARAM_ITSELF = 1 << 2,	/* the only row of a map whose values are not objects */
};

struct param_rows;

struct param {
	const char *path;	/* "eodag.timeout", "cache.s3.bucket"; in rows: the member's name */
	enum param_type type;
	size_t offset;		/* in struct config or the row's struct */
	uint64_t min, max;
	const char *fallback;	/* as it would stand in the file; NULL: must be given */
	unsigned flags;
	const char *const *words;	/* NULL-terminated */
	const struct param_rows *rows;
	enum quota_kind kind;
	size_t length;
	const char *text;	/* for an operator, in whole sentences */
};

struct param_rows {
	const struct param *param;
	size_t n;
	size_t size;		/* of the row's struct; its pointer is at param.offset */
	size_t count_offset;	/* of the size_t in struct config */
	size_t max;
	const char *key;	/* PARAM_MAP: what the names are ("backend"); char * at offset 0 */
	size_t key_max;
	bool key_token;		/* letters, digits, '.', '_', '-', not first '.' or '-' */
};

extern const struct param config_params[];
extern const size_t config_params_n;

/* What a section is for: its name and text, in the order of the table. */
struct param_section {
	const char *name, *text;
};
extern const struct param_section config_sections[];
extern const size_t config_sections_n;

/* Until check_derive has looked at the retention's name. */
#define LIFETIME_BY_NAME	UINT32_MAX

enum {
	CONFIG_SECTIONS_MAX = 2,		/* dots in a path */
	CONFIG_TEXT_MAX = 10 * 1024 * 1024,	/* bytes of the file */
	CONFIG_SEALED_MAX = 32 * 1024 * 1024,	/* bytes of the memfd */
	CONFIG_VALUES_MAX = 200000,		/* in the file */
	CONFIG_SEALED_VALUES_MAX = 500000,
	CONFIG_FAULTS_MAX = 100,		/* that are told */
	CONFIG_HEADERS_MAX = 64 * 1024,		/* bytes of stac.headers_file, and of cache.s3.memory_key */
	CONFIG_HEADER_LINES_MAX = 1000,		/* in the former */
	CONFIG_MEMORY_KEY_MIN = 32,		/* bytes of the latter */
	CONFIG_HOST_MAX = 260,			/* bytes of a host and port: a name has 253 */
};

/* faults.c, parse.c, check.c and dump.c to each other. */
struct faults {
	struct buf *out;
	unsigned n;
	const struct scan *scan;	/* NULL: no lines */
	const char *name;	/* of the file, for what has no path in it; or NULL */
};
struct at;
void faults_add(struct faults *f, const struct at *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same for a path that is written out, such as "front.deadline". */
void faults_add_path(struct faults *f, const char *path, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The name of a member that is unknown, and the known one that is nearest, within two edits. */
enum { NEAR_MAX = 40 };
struct near {
	const char *name;
	const char *best;		/* NULL: none is near */
	size_t best_distance;
	char store[NEAR_MAX + 1];
};
#define NEAR_INIT(unknown) { (unknown), NULL, 3, "" }
void near_offer(struct near *n, const char *candidate, size_t len);
void faults_unknown(struct faults *f, const struct at *at, const struct near *n);

/* All values of text into a new configuration; faults are counted.  Never NULL unless the syntax is wrong. */
struct config *params_parse(const char *text, size_t len, bool sealed, struct faults *f);
void params_release(const struct param *p, size_t n, void *base);
/* Of one row without rows or limits: its value in from replaces that in to. */
void params_copy(const struct param *p, const void *from, void *to);
/* What follows from other members, then what must fit together. */
void check_derive(struct config *c);
void check_all(const struct config *c, struct faults *f);
bool check_token(const char *s);
/* The files it names: modes, and the headers' lines into c. */
void check_secrets(struct config *c, struct faults *f);
/* The whole configuration; sealed: with generation and secrets. */
void dump_write(const struct config *c, bool sealed, struct buf *out);
/* A size, rate, duration, percentage or number, as one writes it in the file but for the quotes. */
void param_put_quantity(struct buf *out, const struct param *p, uint64_t n);
/* One value as JSON, on one line. */
void dump_value(const struct config *c, const struct param *p, const void *base, struct buf *out);


/* whole.c: has this tree (json-c's) all that the scanned text has? Without memory it may not. */
struct json_object;
struct scan;
bool params_are_whole(struct json_object *root, const struct scan *scan);

#endif
