/* SPDX-License-Identifier: Apache-2.0
 *
 * The XML that S3 speaks: elements with elements or text in them.  What comes
 * is untrusted: it is bounded in bytes, elements and depth, has no document
 * type and so no entities but XML's own five, and nothing is ever loaded.
 * Pure, over libxml2's parser; without memory the process ends.
 */
#ifndef S3_XML_H
#define S3_XML_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

enum {
	S3_XML_MAX = 4 * 1024 * 1024,	/* bytes of a document */
	S3_XML_DEPTH_MAX = 16,
	S3_XML_ELEMENTS_MAX = 100000,
};
#define S3_XML_NAMESPACE	"http://s3.amazonaws.com/doc/2006-03-01/"

struct s3_xml {			/* an element; owns all below it */
	char *name;		/* without a namespace's prefix */
	char *text;		/* never NULL; "" where elements are in it */
	struct s3_xml *child;	/* the first one in it */
	struct s3_xml *next;	/* the one after it */
	/*
	 * There was more than is shown here: attributes, another namespace than the
	 * document's, or text beside elements.  Written again, it is something else.
	 */
	bool more;
};

/* The document's element, or NULL and e (nothing of the document in it). */
struct s3_xml *s3_xml_parse(const char *data, size_t n, struct err *e);
/* Frees it and all below and after it.  NULL is allowed. */
void s3_xml_free(struct s3_xml *x);
/* text NULL: "". */
struct s3_xml *s3_xml_new(const char *name, const char *text);
struct s3_xml *s3_xml_copy(const struct s3_xml *x);		/* without those after it */
/* Behind the last one in parent.  Takes child; returns it. */
struct s3_xml *s3_xml_add(struct s3_xml *parent, struct s3_xml *child);
/* The first one of that name in x, or NULL; x may be NULL. */
const struct s3_xml *s3_xml_child(const struct s3_xml *x, const char *name);
/* Its text; NULL where there is none of that name. */
const char *s3_xml_text(const struct s3_xml *x, const char *name);
/* Does x or one below it have more than it shows? */
bool s3_xml_has_more(const struct s3_xml *x);

/*
 * As a document in S3's namespace, on one line.  Names are names of XML, and
 * texts UTF-8 without other control bytes than tab, LF and CR (so is all that
 * was parsed).
 */
void s3_xml_write(struct buf *out, const struct s3_xml *x);
/* x alone, without declaration and namespace. */
void s3_xml_write_element(struct buf *out, const struct s3_xml *x);

#endif
