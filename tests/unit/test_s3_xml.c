/* SPDX-License-Identifier: Apache-2.0
 *
 * S3's XML: what is read, what is refused, what is written, and S3's errors.
 */
#include "base/base.h"

#include <stdlib.h>

#include "s3/error.h"
#include "s3/xml.h"
#include "torture.h"

static struct s3_xml *
parsed(const char *text)
{
	struct err e = ERR_NONE;
	struct s3_xml *x = s3_xml_parse(text, strlen(text), &e);

	if (x == NULL)
		fprintf(stderr, "%s\n of: %s\n", e.text, text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(x);
	return x;
}

static void
check_refused(const char *text, size_t n, const char *want)
{
	struct err e = ERR_NONE;
	struct s3_xml *x = s3_xml_parse(text, n, &e);

	if (x != NULL || strstr(e.text, want) == NULL)
		fprintf(stderr, "of: %.60s\n", text);
	CHECK(x == NULL);
	CHECK(strstr(e.text, want) != NULL);
	s3_xml_free(x);
}

/* ---- reading ------------------------------------------------------------------ */

static void
elements_texts_and_references_are_read(void)
{
	struct s3_xml *x = parsed("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
				  "<A xmlns=\"" S3_XML_NAMESPACE "\">\n  <B>x &amp; &lt;y&gt; &#233;&#x41;</B>\n"
				  "  <C><![CDATA[<]]> z </C><!-- no -->\n  <D><E/></D><B>second</B><F> </F></A>\n");

	CHECK_STR(x->name, "A");
	CHECK_STR(x->text, "");
	CHECK_STR(s3_xml_text(x, "B"), "x & <y> \xc3\xa9"
				       "A");
	CHECK_STR(s3_xml_text(x, "C"), "< z ");
	CHECK_STR(s3_xml_text(s3_xml_child(x, "D"), "E"), "");
	CHECK_STR(s3_xml_text(x, "F"), " ");
	CHECK(s3_xml_text(x, "G") == NULL);
	CHECK(s3_xml_text(s3_xml_child(x, "G"), "H") == NULL);
	CHECK_STR(s3_xml_child(x, "B")->next->next->next->text, "second");
	CHECK(!s3_xml_has_more(x));
	s3_xml_free(x);
}

static void
what_is_not_shown_is_marked(void)
{
	static const char *const more[] = { "<a b=\"c\"/>", "<a><b c=\"d\"/></a>", "<a>text<b/></a>", "<a><b/>text</a>",
		"<a><b/>text<c/></a>", "<a><b xmlns=\"x\"/></a>", "<a xmlns=\"x\"><b xmlns=\"\"/></a>",
		"<a><x:b xmlns:x=\"y\"/></a>" };
	static const char *const none[] = { "<a/>", "<a xmlns=\"x\"><b/></a>", "<x:a xmlns:x=\"y\"><x:b/></x:a>",
		"<a xmlns:x=\"y\"/>", "<a> <b/>\n\t\r</a>", "<?p?><a><!-- t --><b/><?p?></a>" };
	struct s3_xml *x;

	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		x = parsed(more[i]);
		if (!s3_xml_has_more(x))
			fprintf(stderr, "of: %s\n", more[i]);
		CHECK(s3_xml_has_more(x));
		s3_xml_free(x);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		x = parsed(none[i]);
		CHECK(!s3_xml_has_more(x));
		s3_xml_free(x);
	}
}

static void
what_is_no_xml_is_refused(void)
{
	static const char *const bad[] = { " ", "a", "<a>", "<a><b></a></b>", "<a/><b/>", "<a/>x", "<a b=c/>", "<a>&b;</a>",
		"<a>&#0;</a>", "<a>&#1;</a>", "<a>\x01</a>", "<a>]]></a>", "<a><![CDATA[</a>", "{\"a\": 1}", "<a", "<:/>", "<x:a/>" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_refused(bad[i], strlen(bad[i]), "the document is no XML");
	check_refused("", 0, "the document is empty");
}

/* Every piece of a document but the whole. */
static void
a_document_that_is_cut_is_refused(void)
{
	static const char text[] = "<?xml version=\"1.0\"?><a xmlns=\"x\"><b>y</b><c/></a>";

	for (size_t n = 1; n < sizeof(text) - 1; n++)
		check_refused(text, n, "the document is no XML");
}

static void
a_document_type_ends_it(void)
{
	static const char *const bad[] = { "<!DOCTYPE a><a/>", "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
		"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
		"<!DOCTYPE a PUBLIC \"-//x\" \"http://127.0.0.1:1/x\"><a/>",
		"<!DOCTYPE a [<!ENTITY b \"cccccccccc\"><!ENTITY d \"&b;&b;&b;&b;&b;&b;\">]><a>&d;&d;&d;</a>",
		"<!DOCTYPE a [<!ATTLIST a b CDATA 'c'>]><a/>" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		check_refused(bad[i], strlen(bad[i]), "the document has a document type");
}

static void
only_utf_8_is_read(void)
{
	static const char latin[] = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>";
	static const char utf16[] = "\xff\xfe<\0a\0/\0>";	/* and the NUL of the literal */
	static const char named[] = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xc3\xa9</a>";
	static const char bom[] = "\xef\xbb\xbf<a>b</a>";
	struct s3_xml *x;

	check_refused(latin, sizeof(latin) - 1, "not in UTF-8");
	check_refused(utf16, sizeof(utf16), "not in UTF-8");
	check_refused("<a>\0</a>", 8, "not in UTF-8");
	x = parsed(named);	/* what it is, not what it says */
	CHECK_STR(x->text, "\xc3\xa9");
	s3_xml_free(x);
	x = parsed(bom);
	CHECK_STR(x->text, "b");
	s3_xml_free(x);
}

static void
repeat(struct buf *out, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)buf_adds(out, s);
}

static void
size_depth_and_number_are_bounded(void)
{
	struct buf text = BUF_INIT(2 * S3_XML_MAX);
	struct s3_xml *x;

	repeat(&text, "<a>", S3_XML_DEPTH_MAX);
	repeat(&text, "</a>", S3_XML_DEPTH_MAX);
	x = parsed(buf_str(&text));
	s3_xml_free(x);
	buf_clear(&text);
	repeat(&text, "<a>", S3_XML_DEPTH_MAX + 1);
	repeat(&text, "</a>", S3_XML_DEPTH_MAX + 1);
	check_refused(text.data, text.len, "is nested too deep");
	buf_clear(&text);
	repeat(&text, "<a>", 100000);	/* never closed: no stack is used up */
	check_refused(text.data, text.len, "is nested too deep");
	buf_clear(&text);
	(void)buf_adds(&text, "<a>");
	repeat(&text, "<b/>", S3_XML_ELEMENTS_MAX);
	(void)buf_adds(&text, "</a>");
	check_refused(text.data, text.len, "has too many elements");
	buf_clear(&text);
	(void)buf_adds(&text, "<a>");
	repeat(&text, "x", S3_XML_MAX - 7);
	(void)buf_adds(&text, "</a>");
	x = parsed(buf_str(&text));
	CHECK_INT(strlen(x->text), S3_XML_MAX - 7);
	s3_xml_free(x);
	(void)buf_addc(&text, ' ');
	check_refused(text.data, text.len, "is too long");
	buf_release(&text);
}

/* ---- writing ------------------------------------------------------------------ */

static void
what_is_written_is_read_again(void)
{
	struct s3_xml *x = s3_xml_new("A", NULL), *b, *again;
	struct buf out = BUF_INIT(4096);

	s3_xml_add(x, s3_xml_new("T", " <&>\"'\t\n\r \xc3\xa9]]> "));
	b = s3_xml_add(x, s3_xml_new("B", NULL));
	s3_xml_add(b, s3_xml_new("C", "1"));
	s3_xml_write(&out, x);
	CHECK_STR(buf_str(&out), "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
				 "<A xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
				 "<T> &lt;&amp;&gt;\"'&#9;&#10;&#13; \xc3\xa9]]&gt; </T><B><C>1</C></B></A>\n");
	again = parsed(buf_str(&out));
	CHECK_STR(s3_xml_text(again, "T"), s3_xml_text(x, "T"));
	CHECK_STR(s3_xml_text(s3_xml_child(again, "B"), "C"), "1");
	s3_xml_free(again);
	again = s3_xml_copy(x);
	s3_xml_free(x);
	buf_clear(&out);
	s3_xml_write_element(&out, again->child->next);
	CHECK_STR(buf_str(&out), "<B><C>1</C></B>");
	s3_xml_free(again);
	buf_release(&out);
}

/* ---- errors ------------------------------------------------------------------- */

static void
errors_are_read_without_what_was_signed(void)
{
	static const char aws[] =
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AuthorizationQueryParametersError</Code>"
	    "<Message>Error parsing the X-Amz-Credential parameter; the region 'us-east-1' is wrong; expecting "
	    "'eu-central-1'</Message><Region>eu-central-1</Region><AWSAccessKeyId>AKIACANARY</AWSAccessKeyId>"
	    "<StringToSign>canary</StringToSign></Error>";
	static const char ceph[] = "<Error><Code>NoSuchBucket</Code><BucketName>b</BucketName></Error>";
	struct s3_error x;

	CHECK_INT(s3_error_read(&x, aws, sizeof(aws) - 1), 0);
	CHECK_STR(x.code, "AuthorizationQueryParametersError");
	CHECK(strncmp(x.message, "Error parsing", 13) == 0);
	CHECK_STR(x.region, "eu-central-1");
	CHECK_INT(s3_error_read(&x, ceph, sizeof(ceph) - 1), 0);
	CHECK_STR(x.code, "NoSuchBucket");
	CHECK_STR(x.message, "");
	CHECK_STR(x.region, "");
	CHECK(x.object_size == UINT64_MAX);
}

/* Nor by a message, whoever made it up. */
static void
a_message_with_a_signature_a_token_or_a_secret_is_dropped(void)
{
	static const char *const word[] = {
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
		"https://s3/a?X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404;b",
		"FwoGZXIvYXdzEPT//////////wEaDFKSdavW-_UmVFOM7SxbQ==",
	};
	char text[600], before[200];
	struct s3_error x;

	memset(before, '.', sizeof(before));
	for (size_t i = 0; i < ARRAY_LEN(word); i++) {
		for (int n = 0; n < 200; n += 190) {	/* also behind what is shown */
			(void)snprintf(text, sizeof(text), "<Error><Code>Bad</Code><Message>%.*s got '%s', no</Message></Error>", n,
			    before, word[i]);
			CHECK_INT(s3_error_read(&x, text, strlen(text)), 0);
			CHECK_STR(x.code, "Bad");
			CHECK_STR(x.message, "");
		}
	}
}

static void
the_size_of_an_object_is_read_where_it_is_one(void)
{
	static const struct { const char *text; uint64_t size; } said[] = {
		{ "0", 0 }, { "5368709120", 5368709120 }, { "", UINT64_MAX }, { "-1", UINT64_MAX }, { "1x", UINT64_MAX },
		{ "99999999999999999999999999", UINT64_MAX },
	};
	char text[200];
	struct s3_error x;
	int n;

	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		n = snprintf(text, sizeof(text), "<Error><Code>InvalidRange</Code><ActualObjectSize>%s</ActualObjectSize></Error>",
		    said[i].text);
		CHECK_INT(s3_error_read(&x, text, (size_t)n), 0);
		CHECK(x.object_size == said[i].size);
	}
}

static void
what_is_no_error_is_none(void)
{
	static const char *const bad[] = { "", "<Error/>", "<Error><Code/></Error>", "<Error><Code>a b</Code></Error>",
		"<Fault><Code>A</Code></Fault>", "<html><body>403</body></html>", "Forbidden",
		"<Error><Code>A123456789012345678901234567890123456789012345678901234567890123</Code></Error>" };
	struct s3_error x = { .code = "before" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CHECK_INT(s3_error_read(&x, bad[i], strlen(bad[i])), -1);
	CHECK_STR(x.code, "before");
}

static void
a_long_message_is_cut_between_characters(void)
{
	struct buf text = BUF_INIT(4096);
	struct s3_error x;

	(void)buf_adds(&text, "<Error><Code>A</Code><Message>x");
	repeat(&text, "\xc3\xa9", 150);
	(void)buf_adds(&text, "</Message><Region>eu west</Region></Error>");
	CHECK_INT(s3_error_read(&x, text.data, text.len), 0);
	CHECK_INT(strlen(x.message), 199);
	CHECK_STR(x.region, "");
	buf_release(&text);
}

/* ---- memory ------------------------------------------------------------------- */

static const char tortured[] = "<?xml version=\"1.0\"?><a xmlns=\"n\"><b>x &amp; y</b><c><d>&#233;</d><e/></c></a>";
static const char tortured_again[] = "<a><b>x &amp; y</b><c><d>\xc3\xa9</d><e></e></c></a>";

static int
read_and_write(void)
{
	struct buf out = BUF_INIT(4096);
	struct s3_xml *x = s3_xml_parse(tortured, sizeof(tortured) - 1, NULL);
	int r;

	if (x == NULL)
		return REFUSED;
	s3_xml_write_element(&out, x);
	r = !buf_ok(&out) ? REFUSED : strcmp(buf_str(&out), tortured_again) == 0 && !s3_xml_has_more(x) ? WHOLE : WRONG;
	buf_release(&out);
	s3_xml_free(x);
	return r;
}

static void
f9_without_memory_nothing_is_half_read(void)
{
	torture("S3's XML", read_and_write);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(elements_texts_and_references_are_read),
		UNIT(what_is_not_shown_is_marked),
		UNIT(what_is_no_xml_is_refused),
		UNIT(a_document_that_is_cut_is_refused),
		UNIT(a_document_type_ends_it),
		UNIT(only_utf_8_is_read),
		UNIT(size_depth_and_number_are_bounded),
		UNIT(what_is_written_is_read_again),
		UNIT(errors_are_read_without_what_was_signed),
		UNIT(a_message_with_a_signature_a_token_or_a_secret_is_dropped),
		UNIT(the_size_of_an_object_is_read_where_it_is_one),
		UNIT(what_is_no_error_is_none),
		UNIT(a_long_message_is_cut_between_characters),
		UNIT(f9_without_memory_nothing_is_half_read),
	};

	return unit_run("s3_xml", t, ARRAY_LEN(t));
}
