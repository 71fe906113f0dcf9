/* SPDX-License-Identifier: Apache-2.0
 *
 * Who we are to an S3 endpoint: an access key, its secret, and the token that
 * comes with temporary ones.  From a file in the format of AWS's own tools
 * (~/.aws/credentials), read again when it changes, or from the environment.
 * Memory that held a secret is wiped before it is given back, and no error
 * shows one.
 */
#ifndef S3_CREDENTIALS_H
#define S3_CREDENTIALS_H

#include "base/base.h"
#include "base/err.h"

enum {
	S3_CREDENTIALS_FILE_MAX = 64 * 1024,	/* bytes of a file */
	S3_ID_MAX = 128,			/* bytes of an access key's id */
	S3_SECRET_MAX = 1024,
	S3_TOKEN_MAX = 8192,
};

/* Printable ASCII without spaces.  Never log one of them. */
struct s3_credentials {
	char *id, *secret;	/* not empty */
	char *token;		/* NULL: they are not temporary */
};

/* Wipes and frees what it holds; NULL and a zeroed one are allowed.  It is a zeroed one after. */
void s3_credentials_release(struct s3_credentials *c);

/*
 * The n bytes of a shared credentials file; profile NULL is "default".  As the
 * AWS tools read it: "[name]" begins a profile; "name = value", spaces around
 * both do not count; lines that begin with '#' or ';', and what follows " #"
 * or " ;" behind a value, are comments; names in any case; LF or CRLF; members
 * that we do not know, and lines that are indented (they belong to the one
 * before), are skipped.  Of a profile that stands there twice the members are
 * joined, and of a member the last counts.  0 and *ret (to be released by the
 * caller), or -1 and e, with the line where there is one: a line of another
 * form, a byte that no secret has, no such profile, a key without its other
 * half.
 */
int s3_credentials_parse(struct s3_credentials *ret, const char *text, size_t n, const char *profile, struct err *e);

/* AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where it is not empty.  0, or -1 and e. */
int s3_credentials_environment(struct s3_credentials *ret, struct err *e);

/* A file that is looked at again.  Others may not read it, only its owner may write it. */
struct s3_credentials_file;

enum s3_reload {
	S3_RELOAD_SAME,		/* nothing new, or nothing new about what was broken before */
	S3_RELOAD_NEW,		/* there are others now */
	S3_RELOAD_BROKEN,	/* e says why; the old ones stay.  Once for each change of the file */
};

/* Opens nothing yet.  Both texts are copied; profile NULL is "default". */
struct s3_credentials_file *s3_credentials_file_new(const char *path, const char *profile);
/*
 * Read the file if it is not what was read last (device, inode, size, times).
 * One stat(2) when it is; may be called before each use.
 */
enum s3_reload s3_credentials_file_reload(struct s3_credentials_file *f, struct err *e);
/* NULL until a reload gave S3_RELOAD_NEW.  Borrowed until the next reload. */
const struct s3_credentials *s3_credentials_file_get(const struct s3_credentials_file *f);
void s3_credentials_file_free(struct s3_credentials_file *f);

#endif
