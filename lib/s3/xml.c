/* SPDX-License-Identifier: Apache-2.0
 *
 * A tree out of libxml2's events.  Of libxml2 only the parser is used, not its
 * tree: so what is kept is ours to bound, and a document type ends it before
 * anything of it is read.  Whoever speaks to S3.
 */
#include "base/base.h"

#include "s3/xml.h"

#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char blanks[] = " \t\r\n";

struct parse {
	xmlParserCtxtPtr ctxt;
	struct s3_xml *root;
	struct s3_xml *open[S3_XML_DEPTH_MAX];	/* root first */
	struct s3_xml *last[S3_XML_DEPTH_MAX];	/* in each of them, or NULL */
	unsigned depth;
	size_t n;
	char *space;		/* the root's namespace, or NULL */
	struct buf text;	/* since the last tag */
	const char *fault;
};

/* ---- trees ------------------------------------------------------------------ */

struct s3_xml *
s3_xml_new(const char *name, const char *text)
{
	struct s3_xml *x = mem_alloc(sizeof(*x));

	x->name = mem_strdup(name);
	x->text = mem_strdup(text == NULL ? "" : text);
	return x;
}

void
s3_xml_free(struct s3_xml *x)
{
	struct s3_xml *next;

	for (; x != NULL; x = next) {
		next = x->next;
		s3_xml_free(x->child);	/* as deep as a parser lets it be */
		free(x->name);
		free(x->text);
		free(x);
	}
}

struct s3_xml *
s3_xml_copy(const struct s3_xml *x)
{
	struct s3_xml *copy = s3_xml_new(x->name, x->text), **end = &copy->child;

	copy->more = x->more;
	for (const struct s3_xml *c = x->child; c != NULL; c = c->next) {
		*end = s3_xml_copy(c);
		end = &(*end)->next;
	}
	return copy;
}

struct s3_xml *
s3_xml_add(struct s3_xml *parent, struct s3_xml *child)
{
	struct s3_xml **end = &parent->child;

	while (*end != NULL)
		end = &(*end)->next;
	*end = child;
	return child;
}

const struct s3_xml *
s3_xml_child(const struct s3_xml *x, const char *name)
{
	if (x == NULL)
		return NULL;
	for (x = x->child; x != NULL; x = x->next) {
		if (strcmp(x->name, name) == 0)
			return x;
	}
	return NULL;
}

const char *
s3_xml_text(const struct s3_xml *x, const char *name)
{
	x = s3_xml_child(x, name);
	return x == NULL ? NULL : x->text;
}

bool
s3_xml_has_more(const struct s3_xml *x)
{
	bool more = x->more;

	for (x = x->child; x != NULL && !more; x = x->next)
		more = s3_xml_has_more(x);
	return more;
}

/* ---- reading ---------------------------------------------------------------- */

static void
refuse(struct parse *p, const char *fault)
{
	if (p->fault == NULL)
		p->fault = fault;
	xmlStopParser(p->ctxt);
}

/* Text right before a tag is of the element that is open; it has others in it, too. */
static void
drop_text(struct parse *p)
{
	const char *s = buf_str(&p->text);

	if (p->depth > 0 && s[strspn(s, blanks)] != '\0')
		p->open[p->depth - 1]->more = true;
	buf_clear(&p->text);
}

static bool
is_of_the_document(const struct parse *p, const char *space)
{
	if (space == NULL || p->space == NULL)
		return space == p->space;
	return strcmp(space, p->space) == 0;
}

static void
on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *space, int n_spaces,
    const xmlChar **spaces, int n_attributes, int n_defaulted, const xmlChar **attributes)
{
	struct parse *p = arg;
	struct s3_xml *x;

	(void)prefix;	/* the namespace says it; what is declared without being used is nothing */
	(void)n_spaces;
	(void)spaces;
	(void)n_defaulted;	/* there is no document type */
	(void)attributes;
	if (p->fault != NULL)
		return;
	if (p->depth == S3_XML_DEPTH_MAX) {
		refuse(p, "is nested too deep");
		return;
	}
	if (++p->n > S3_XML_ELEMENTS_MAX) {
		refuse(p, "has too many elements");
		return;
	}
	drop_text(p);
	x = s3_xml_new((const char *)name, NULL);
	if (p->depth == 0) {
		p->root = x;
		p->space = mem_strdup((const char *)space);
	} else if (p->last[p->depth - 1] == NULL) {
		p->open[p->depth - 1]->child = x;
	} else {
		p->last[p->depth - 1]->next = x;
	}
	if (p->depth > 0)
		p->last[p->depth - 1] = x;
	x->more = n_attributes > 0 || !is_of_the_document(p, (const char *)space);
	p->open[p->depth] = x;
	p->last[p->depth] = NULL;
	p->depth++;
}

static void
on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *space)
{
	struct parse *p = arg;
	struct s3_xml *x;

	(void)name;	/* libxml2 has compared it */
	(void)prefix;
	(void)space;
	if (p->fault != NULL || p->depth == 0)
		return;
	x = p->open[p->depth - 1];
	if (x->child == NULL && p->text.len > 0) {
		free(x->text);
		x->text = mem_strdup(buf_str(&p->text));
		buf_clear(&p->text);
	}
	drop_text(p);
	p->depth--;
}

static void
on_text(void *arg, const xmlChar *text, int n)
{
	struct parse *p = arg;

	if (p->fault != NULL || n <= 0)
		return;
	(void)buf_add(&p->text, text, (size_t)n);
	buf_must(&p->text);	/* it is part of a document of at most as much */
}

static void
on_type(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name;
	(void)external;
	(void)system;
	refuse(arg, "has a document type");
}

/* The events of data into p, whole: 0, or -1 and e. */
static int
run(struct parse *p, const char *data, size_t n, struct err *e)
{
	xmlSAXHandler sax = {
		.initialized = XML_SAX2_MAGIC,
		.internalSubset = on_type,
		.startElementNs = on_start,
		.endElementNs = on_end,
		.characters = on_text,
		.ignorableWhitespace = on_text,
		.cdataBlock = on_text,
	};
	int code;

	p->ctxt = xmlCreatePushParserCtxt(&sax, p, NULL, 0, NULL);
	if (p->ctxt == NULL)
		mem_none();
	if (xmlCtxtUseOptions(p->ctxt,
	    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_IGNORE_ENC) != 0)
		MUST(false);	/* all of these are known */
	(void)xmlParseChunk(p->ctxt, data, (int)n, 1);	/* what it returns is in wellFormed and errNo, too */
	code = p->ctxt->errNo;
	if (code == XML_ERR_NO_MEMORY)
		mem_none();
	if (p->fault != NULL)
		return err_set(e, "the document %s", p->fault);
	if (p->ctxt->wellFormed != 1 || p->ctxt->nsWellFormed != 1 || p->root == NULL || p->depth != 0)
		return err_set(e, "the document is no XML (libxml2's error %d)", code);
	return 0;
}

struct s3_xml *
s3_xml_parse(const char *data, size_t n, struct err *e)
{
	struct parse p = { .text = BUF_INIT(S3_XML_MAX) };
	int rc;

	if (n == 0 || n > S3_XML_MAX) {
		(void)err_set(e, n == 0 ? "the document is empty" : "the document is too long");
		return NULL;
	}
	/* so no other encoding can be taken for it, whatever it says */
	if (memchr(data, '\0', n) != NULL || !text_is_utf8(data, n)) {
		(void)err_set(e, "the document is not in UTF-8");
		return NULL;
	}
	rc = run(&p, data, n, e);
	xmlFreeParserCtxt(p.ctxt);
	buf_release(&p.text);
	free(p.space);
	if (rc == 0)
		return p.root;
	s3_xml_free(p.root);
	return NULL;
}

/* ---- writing ---------------------------------------------------------------- */

static void
put_text(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '&':
			(void)buf_adds(out, "&amp;");	/* the buffer remembers its failure */
			break;
		case '<':
			(void)buf_adds(out, "&lt;");
			break;
		case '>':
			(void)buf_adds(out, "&gt;");
			break;
		case '\t':
		case '\n':
		case '\r':
			/* a bare CR is read as LF, and some readers strip what is blank */
			(void)buf_addf(out, "&#%d;", *s);
			break;
		default:
			MUST((uint8_t)*s >= 0x20);
			(void)buf_addc(out, *s);
		}
	}
}

static void
put_element(struct buf *out, const struct s3_xml *x, const char *space)
{
	(void)buf_join(out, "<", x->name, NULL);
	if (space != NULL)
		(void)buf_join(out, " xmlns=\"", space, "\"", NULL);
	(void)buf_addc(out, '>');
	put_text(out, x->text);
	for (const struct s3_xml *c = x->child; c != NULL; c = c->next)
		put_element(out, c, NULL);
	(void)buf_join(out, "</", x->name, ">", NULL);
}

void
s3_xml_write_element(struct buf *out, const struct s3_xml *x)
{
	put_element(out, x, NULL);
}

void
s3_xml_write(struct buf *out, const struct s3_xml *x)
{
	(void)buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	put_element(out, x, S3_XML_NAMESPACE);
	(void)buf_addc(out, '\n');
}
