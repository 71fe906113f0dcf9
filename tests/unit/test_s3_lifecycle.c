/* SPDX-License-Identifier: Apache-2.0
 *
 * Lifecycle rules: ours among those of others, as AWS, Ceph and MinIO write
 * them.
 */
#include "base/base.h"

#include <stdlib.h>

#include "s3/lifecycle.h"
#include "torture.h"

enum { OUT_MAX = 1 << 20 };

#define DOC(rules) "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration xmlns=\"" S3_XML_NAMESPACE "\">" \
		   rules "</LifecycleConfiguration>"
#define OURS_7D "<Rule><ID>eodata-proxy-7d</ID><Filter><Prefix>7d/</Prefix></Filter><Status>Enabled</Status>" \
		"<Expiration><Days>7</Days></Expiration><AbortIncompleteMultipartUpload>" \
		"<DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
#define OURS_KEEP "<Rule><ID>eodata-proxy-keep</ID><Filter><Prefix>keep/</Prefix></Filter><Status>Enabled</Status>" \
		  "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>" \
		  "</AbortIncompleteMultipartUpload></Rule>"
#define FOREIGN "<Rule><ID>to the glacier</ID><Filter><And><Prefix>raw/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag>" \
		"<Tag><Key>c</Key><Value></Value></Tag><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></And></Filter>" \
		"<Status>Enabled</Status><Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>" \
		"<Transition><Days>90</Days><StorageClass>DEEP_ARCHIVE</StorageClass></Transition>" \
		"<NoncurrentVersionTransition><NoncurrentDays>3</NoncurrentDays><StorageClass>GLACIER</StorageClass>" \
		"<NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionTransition></Rule>"

static const struct s3_class classes[] = { { "7d", 7 }, { "keep", 0 } };
static const struct s3_lifecycle_want plain = { "", classes, 2 };
static const struct s3_lifecycle_want site = { "site-a/", classes, 2 };

static struct s3_xml *
read_rules(const char *text)
{
	struct err e = ERR_NONE;
	struct s3_xml *x = s3_lifecycle_read(text, strlen(text), &e);

	if (x == NULL)
		fprintf(stderr, "%s\n of: %s\n", e.text, text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(x);
	return x;
}

/* What comes of a bucket's document, as it is sent. */
static const char *
merged(const char *text, const struct s3_lifecycle_want *want)
{
	static struct buf out = BUF_INIT(OUT_MAX);
	struct s3_xml *have = read_rules(text), *x;
	struct err e = ERR_NONE;

	buf_clear(&out);
	x = s3_lifecycle_merge(have, want, &e);
	if (x != NULL)
		s3_xml_write(&out, x);
	else
		(void)buf_adds(&out, e.text);
	s3_xml_free(have);
	s3_xml_free(x);
	return buf_str(&out);
}

static const char *
diff_of(const char *text, const struct s3_lifecycle_want *want)
{
	static struct buf out = BUF_INIT(OUT_MAX);
	struct s3_xml *have = read_rules(text), *x = s3_lifecycle_merge(have, want, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(x);
	buf_clear(&out);
	s3_lifecycle_diff(&out, have, x);
	s3_xml_free(have);
	s3_xml_free(x);
	return buf_str(&out);
}

static const char *
warnings_of(const char *text, const struct s3_lifecycle_want *want, bool versions)
{
	static struct buf out = BUF_INIT(OUT_MAX);
	struct s3_xml *have = read_rules(text);

	buf_clear(&out);
	s3_lifecycle_warn(&out, have, want, versions);
	s3_xml_free(have);
	return buf_str(&out);
}

/* ---- merging ------------------------------------------------------------------ */

static void
an_empty_bucket_gets_a_rule_for_each_class(void)
{
	CHECK_STR(merged(DOC(""), &plain), DOC(OURS_7D OURS_KEEP) "\n");
}

static void
rules_of_others_stay_as_and_where_they_are(void)
{
	CHECK_STR(merged(DOC(OURS_7D FOREIGN "<Rule><ID>b</ID></Rule>"), &plain),
	    DOC(FOREIGN "<Rule><ID>b</ID></Rule>" OURS_7D OURS_KEEP) "\n");
	/* blanks between elements are nobody's */
	CHECK_STR(merged("<LifecycleConfiguration>\n  <Rule>\n <ID>a</ID> </Rule>\n</LifecycleConfiguration>", &plain),
	    DOC("<Rule><ID>a</ID></Rule>" OURS_7D OURS_KEEP) "\n");
}

static void
ours_of_a_class_that_was_goes(void)
{
	CHECK_STR(merged(DOC("<Rule><ID>eodata-proxy-14d</ID><Filter><Prefix>14d/</Prefix></Filter></Rule>"
			     "<Rule><ID>eodata-proxy-30d</ID><Prefix>30d/</Prefix></Rule>"
			     "<Rule><ID>eodata-proxy-7d</ID><Prefix>elsewhere/</Prefix></Rule>"),
		      &plain),
	    DOC(OURS_7D OURS_KEEP) "\n");
}

static void
what_only_looks_like_ours_stays(void)
{
#define OTHERS "<Rule><ID>eodata-proxy-logs</ID><Prefix>logs-of-nginx/</Prefix></Rule>"	\
	       "<Rule><ID>eodata-proxy-</ID><Prefix>/</Prefix></Rule>"				\
	       "<Rule><ID>Eodata-proxy-7d</ID><Prefix>7d/</Prefix></Rule>"			\
	       "<Rule><ID>eodata-proxy-a b</ID><Prefix>a b/</Prefix></Rule>"
	CHECK_STR(merged(DOC(OTHERS), &plain), DOC(OTHERS OURS_7D OURS_KEEP) "\n");
#undef OTHERS
}

static void
two_sites_share_a_bucket(void)
{
	struct s3_xml *none = s3_lifecycle_none(), *a = s3_lifecycle_merge(none, &site, NULL), *both, *again;
	struct s3_lifecycle_want no_more = { "site-a/", NULL, 0 };
	struct buf out = BUF_INIT(OUT_MAX);

	both = s3_lifecycle_merge(a, &plain, NULL);
	s3_lifecycle_show(&out, both);
	CHECK_STR(buf_str(&out), "eodata-proxy-site-a/7d: site-a/7d/: objects go after 7 days, unfinished uploads go after 2 days\n"
				 "eodata-proxy-site-a/keep: site-a/keep/: unfinished uploads go after 2 days\n"
				 "eodata-proxy-7d: 7d/: objects go after 7 days, unfinished uploads go after 2 days\n"
				 "eodata-proxy-keep: keep/: unfinished uploads go after 2 days\n");
	again = s3_lifecycle_merge(both, &no_more, NULL);
	buf_clear(&out);
	s3_lifecycle_show(&out, again);
	CHECK(strncmp(buf_str(&out), "eodata-proxy-7d: ", 17) == 0);
	CHECK(strstr(buf_str(&out), "site-a") == NULL);
	buf_release(&out);
	s3_xml_free(none);
	s3_xml_free(a);
	s3_xml_free(both);
	s3_xml_free(again);
}

static void
limits_of_s3_are_kept(void)
{
	struct buf text = BUF_INIT(OUT_MAX);
	char *name = mem_alloc(S3_RULE_ID_MAX + 1);
	struct s3_class long_one = { name, 1 };
	struct s3_lifecycle_want want = { "", &long_one, 1 };

	for (unsigned n = 998; n <= 999; n++) {
		buf_clear(&text);
		(void)buf_adds(&text, "<LifecycleConfiguration>");
		for (unsigned i = 0; i < n; i++)
			(void)buf_addf(&text, "<Rule><ID>r%u</ID></Rule>", i);
		(void)buf_adds(&text, "</LifecycleConfiguration>");
		if (n == 998)
			CHECK(strstr(merged(buf_str(&text), &plain), "eodata-proxy-keep") != NULL);
		else
			CHECK_STR(merged(buf_str(&text), &plain), "with ours the bucket would have 1001 rules, and S3 takes 1000");
	}
	memset(name, 'a', S3_RULE_ID_MAX - strlen("eodata-proxy-"));
	CHECK(strstr(merged(DOC(""), &want), "eodata-proxy-aaa") != NULL);
	name[strlen(name)] = 'a';
	CHECK(strstr(merged(DOC(""), &want), "is longer than 255 bytes") != NULL);
	free(name);
	buf_release(&text);
}

static void
what_cannot_be_kept_is_not_touched(void)
{
	CHECK(strncmp(merged(DOC("<Rule a=\"b\"/>"), &plain), "the bucket's rules hold something that cannot be kept", 53) == 0);
	CHECK(strncmp(merged(DOC("<Rule>x<ID/></Rule>"), &plain), "the bucket's rules hold", 23) == 0);
	CHECK(strncmp(merged(DOC("<Rule><x:ID xmlns:x=\"y\"/></Rule>"), &plain), "the bucket's rules hold", 23) == 0);
}

static void
what_is_no_lifecycle_is_refused(void)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{ "<Error><Code>A</Code></Error>", "the document is no LifecycleConfiguration" },
		{ DOC("<Rules/>"), "the document has something else than rules" },
		{ "hello", "the document is no XML" },
	};
	struct buf text = BUF_INIT(OUT_MAX);
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = (struct err)ERR_NONE;
		CHECK(s3_lifecycle_read(bad[i].text, strlen(bad[i].text), &e) == NULL);
		CHECK(strncmp(e.text, bad[i].want, strlen(bad[i].want)) == 0);
	}
	(void)buf_adds(&text, "<LifecycleConfiguration>");
	for (unsigned i = 0; i <= S3_RULES_MAX; i++)
		(void)buf_adds(&text, "<Rule/>");
	(void)buf_adds(&text, "</LifecycleConfiguration>");
	CHECK(s3_lifecycle_read(text.data, text.len, &e) == NULL);
	CHECK_STR(e.text, "the document has more than 1000 rules");
	buf_release(&text);
}

/* ---- as others write them ------------------------------------------------------- */

static bool
means_the_same(const char *a, const char *b)
{
	struct s3_xml *x = read_rules(a), *y = read_rules(b);
	bool same = s3_lifecycle_equal(x, y);

	s3_xml_free(x);
	s3_xml_free(y);
	return same;
}

static void
a_rule_is_the_same_however_it_is_written(void)
{
	/* Ceph: a prefix of old, other order of the elements and of the rules */
	CHECK(means_the_same(DOC(OURS_7D OURS_KEEP),
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><LifecycleConfiguration xmlns=\"" S3_XML_NAMESPACE "\"><Rule>"
	    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
	    "<ID>eodata-proxy-keep</ID><Prefix>keep/</Prefix><Status>Enabled</Status></Rule><Rule>"
	    "<ID>eodata-proxy-7d</ID><Prefix>7d/</Prefix><Status>Enabled</Status><Expiration><Days>7</Days></Expiration>"
	    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
	    "</Rule></LifecycleConfiguration>"));
	/* MinIO: no namespace, a note of its own */
	CHECK(means_the_same(DOC("<Rule><ID>a</ID><Filter><Prefix>x/</Prefix></Filter></Rule>"),
	    "<LifecycleConfiguration><ExpiryUpdatedAt>2026-11-22T00:00:00Z</ExpiryUpdatedAt><Rule><ID>a</ID>"
	    "<Filter><And><Prefix>x/</Prefix></And></Filter></Rule></LifecycleConfiguration>"));
	/* AWS: the whole bucket in four ways */
	CHECK(means_the_same(DOC("<Rule><ID>a</ID></Rule>"), DOC("<Rule><ID>a</ID><Prefix/></Rule>")));
	CHECK(means_the_same(DOC("<Rule><ID>a</ID><Filter/></Rule>"), DOC("<Rule><ID>a</ID><Filter><Prefix></Prefix></Filter></Rule>")));
	CHECK(means_the_same(DOC("<Rule><ID>a</ID><Filter/></Rule>"), DOC("<Rule><ID>a</ID></Rule>")));
	CHECK(means_the_same(DOC(FOREIGN), DOC(FOREIGN)));
}

static void
a_rule_that_differs_is_another(void)
{
	CHECK(!means_the_same(DOC(OURS_7D), DOC("")));
	CHECK(!means_the_same(DOC(OURS_7D), DOC(OURS_7D OURS_7D)));
	CHECK(!means_the_same(DOC("<Rule><ID>a</ID></Rule>"), DOC("<Rule><ID>b</ID></Rule>")));
	CHECK(!means_the_same(DOC("<Rule><Status>Enabled</Status></Rule>"), DOC("<Rule><Status>Disabled</Status></Rule>")));
	CHECK(!means_the_same(DOC("<Rule><Prefix>a</Prefix></Rule>"), DOC("<Rule><Prefix>a/</Prefix></Rule>")));
	CHECK(!means_the_same(DOC("<Rule><Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter></Rule>"),
	    DOC("<Rule><Filter><Tag><Key>b</Key><Value>a</Value></Tag></Filter></Rule>")));
	CHECK(!means_the_same(DOC("<Rule><Expiration><Days>7</Days></Expiration></Rule>"),
	    DOC("<Rule><Expiration><Days>7</Days><Date>x</Date></Expiration></Rule>")));
	CHECK(!means_the_same(DOC("<Rule><A>x 1 y</A></Rule>"), DOC("<Rule><A><B>y</B></A></Rule>")));
}

/* ---- what people see -------------------------------------------------------------- */

static void
a_difference_shows_each_rule_once(void)
{
	CHECK_STR(diff_of(DOC(FOREIGN "<Rule><ID>eodata-proxy-7d</ID><Prefix>7d/</Prefix><Status>Enabled</Status>"
				      "<Expiration><Days>1</Days></Expiration></Rule>" OURS_KEEP),
		      &plain),
	    "  to\\x20the\\x20glacier: raw/, with certain tags or sizes: objects move to GLACIER after 30 days, "
	    "objects move to DEEP_ARCHIVE after 90 days, old versions move to GLACIER after 3 days\n"
	    "- eodata-proxy-7d: 7d/: objects go after 1 day\n"
	    "  eodata-proxy-keep: keep/: unfinished uploads go after 2 days\n"
	    "+ eodata-proxy-7d: 7d/: objects go after 7 days, unfinished uploads go after 2 days\n");
	CHECK_STR(diff_of(DOC("<Rule><ID>x</ID><Status>Disabled</Status><Expiration><Date>2027-01-01T00:00:00Z</Date>"
			      "</Expiration></Rule><Rule/><Rule><ID>m</ID><Status>Enabled</Status><Expiration>"
			      "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
			      "<DelMarkerExpiration><Days>5</Days></DelMarkerExpiration></Rule>"),
		      &(struct s3_lifecycle_want){ "", NULL, 0 }),
	    "  x: the whole bucket: objects go on 2027-01-01T00:00:00Z (not enabled)\n"
	    "  -: the whole bucket: nothing (not enabled)\n"
	    "  m: the whole bucket: delete markers without versions go, DelMarkerExpiration after 5 days\n");
}

static void
what_is_shown_is_escaped(void)
{
	CHECK_STR(diff_of(DOC("<Rule><ID>a\nb&#x9b;c</ID><Prefix>&#9;</Prefix><Status>Enabled</Status></Rule>"),
		      &(struct s3_lifecycle_want){ "", NULL, 0 }),
	    "  a\\x0ab\\xc2\\x9bc: \\x09: nothing\n");
}

static void
rules_are_json_for_programs(void)
{
	struct s3_xml *none = s3_lifecycle_none(), *x = s3_lifecycle_merge(none, &site, NULL);
	struct buf out = BUF_INIT(OUT_MAX);

	s3_lifecycle_json(&out, x);
	CHECK_STR(buf_str(&out), "{ \"rules\": [\n"
				 "    { \"id\": \"eodata-proxy-site-a/7d\", \"prefix\": \"site-a/7d/\", \"expire_days\": 7, \"abort_days\": 2 },\n"
				 "    { \"id\": \"eodata-proxy-site-a/keep\", \"prefix\": \"site-a/keep/\", \"expire_days\": null, \"abort_days\": 2 }\n"
				 "] }\n");
	s3_xml_free(none);
	s3_xml_free(x);
	buf_release(&out);
}

/* ---- conflicts -------------------------------------------------------------------- */

#define RULE(prefix, rest) DOC("<Rule><ID>other</ID><Filter><Prefix>" prefix "</Prefix></Filter><Status>Enabled</Status>" rest "</Rule>")
#define DAYS(n) "<Expiration><Days>" n "</Days></Expiration>"

static void
a_rule_of_others_that_takes_our_objects_is_told(void)
{
	CHECK_STR(warnings_of(RULE("", DAYS("30")), &plain, false),
	    "the rule other is not ours, and by it objects go after 30 days, of keep\n");
	CHECK_STR(warnings_of(RULE("", DAYS("3")), &plain, false),
	    "the rule other is not ours, and by it objects go after 3 days, of 7d, keep\n");
	/* above, the same, below, beside, and a start that is no folder */
	CHECK_STR(warnings_of(RULE("7d/", DAYS("3")), &plain, false),
	    "the rule other is not ours, and by it objects go after 3 days, of 7d\n");
	CHECK_STR(warnings_of(RULE("keep/peps/", DAYS("3")), &plain, false),
	    "the rule other is not ours, and by it objects go after 3 days, of keep\n");
	CHECK_STR(warnings_of(RULE("k", DAYS("3")), &plain, false),
	    "the rule other is not ours, and by it objects go after 3 days, of keep\n");
	CHECK_STR(warnings_of(RULE("keeper/", DAYS("3")), &plain, false), "");
	CHECK_STR(warnings_of(RULE("keep/", DAYS("3")), &site, false), "");
	CHECK_STR(warnings_of(RULE("site-a/", DAYS("1")), &site, false),
	    "the rule other is not ours, and by it objects go after 1 day, of 7d, keep\n");
	CHECK_STR(warnings_of(RULE("7d/", "<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>"), &plain, false),
	    "the rule other is not ours, and by it objects go on 2027-01-01T00:00:00Z, of 7d\n");
	CHECK_STR(warnings_of(RULE("7d/", DAYS("x")), &plain, false),
	    "the rule other is not ours, and by it objects go after x days, of 7d\n");
	CHECK_STR(warnings_of(RULE("7d/", "<Transition><Days>0</Days><StorageClass>GLACIER</StorageClass></Transition>"), &plain, false),
	    "the rule other is not ours, and by it objects move to GLACIER after 0 days, of 7d\n");
	CHECK_STR(warnings_of(DOC("<Rule><Filter><Tag><Key>k</Key><Value>v</Value></Tag></Filter><Status>Enabled</Status>" DAYS("1") "</Rule>"),
		      &plain, false),
	    "the rule - is not ours, and by it objects go after 1 day, those with certain tags or sizes, of 7d, keep\n");
}

static void
what_does_us_no_harm_is_not_told(void)
{
	static const char *const fine[] = { RULE("7d/", DAYS("7")), RULE("7d/", DAYS("365")), RULE("raw/", DAYS("1")), DOC(FOREIGN),
		DOC(OURS_7D OURS_KEEP), DOC("<Rule><ID>o</ID><Prefix/><Status>Disabled</Status>" DAYS("1") "</Rule>"),
		RULE("", "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"),
		RULE("", "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"),
		RULE("", "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>") };

	for (size_t i = 0; i < ARRAY_LEN(fine); i++)
		CHECK_STR(warnings_of(fine[i], &plain, false), "");
}

static void
versions_that_nobody_clears_are_told(void)
{
#define CLEARS "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"
	CHECK_STR(warnings_of(DOC(""), &plain, true),
	    "the bucket keeps versions, and no rule lets old ones go of 7d, keep: what goes there takes up room for ever\n");
	CHECK_STR(warnings_of(RULE("7d/", CLEARS), &plain, true),
	    "the bucket keeps versions, and no rule lets old ones go of keep: what goes there takes up room for ever\n");
	CHECK_STR(warnings_of(RULE("", CLEARS), &plain, true), "");
	/* only a part of the class */
	CHECK(strstr(warnings_of(RULE("7d/peps/", CLEARS), &plain, true), "of 7d, keep") != NULL);
	CHECK(strstr(warnings_of(DOC("<Rule><Status>Disabled</Status>" CLEARS "</Rule>"), &plain, true), "of 7d, keep") != NULL);
#undef CLEARS
}

/* ---- what goes along ---------------------------------------------------------------- */

static void
versioning_is_read(void)
{
	static const char enabled[] = "<VersioningConfiguration xmlns=\"" S3_XML_NAMESPACE "\"><Status>Enabled</Status>"
				      "<MfaDelete>Disabled</MfaDelete></VersioningConfiguration>";
	static const char suspended[] = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
	static const char never[] = "<VersioningConfiguration/>";
	bool versions = false;

	CHECK_INT(s3_versioning_read(&versions, enabled, strlen(enabled), NULL), 0);
	CHECK(versions);
	CHECK_INT(s3_versioning_read(&versions, suspended, strlen(suspended), NULL), 0);
	CHECK(!versions);
	versions = true;
	CHECK_INT(s3_versioning_read(&versions, never, strlen(never), NULL), 0);
	CHECK(!versions);
	CHECK_INT(s3_versioning_read(&versions, "<a/>", 4, NULL), -1);
	CHECK_INT(s3_versioning_read(&versions, "", 0, NULL), -1);
}

static void
the_md5_of_a_body_is_base64(void)
{
	char got[25];

	CHECK_INT(s3_content_md5(got, "", 0), 0);
	CHECK_STR(got, "1B2M2Y8AsgTpgAmY7PhCfg==");
	CHECK_INT(s3_content_md5(got, "Check Integrity!", 16), 0);
	CHECK_STR(got, "nwqq6b6ua/tTDk7B5M184w==");
}

/* ---- memory ----------------------------------------------------------------------- */

static int
merge_and_show(void)
{
	static const char text[] = DOC(FOREIGN OURS_7D);
	struct s3_xml *have = s3_lifecycle_read(text, sizeof(text) - 1, NULL), *x;
	struct buf out = BUF_INIT(OUT_MAX);
	int r = REFUSED;

	if (have == NULL)
		return REFUSED;
	x = s3_lifecycle_merge(have, &plain, NULL);
	if (x == NULL)
		goto out;
	if (s3_lifecycle_equal(have, x)) {
		r = WRONG;
		goto out;
	}
	s3_xml_write(&out, x);
	r = !buf_ok(&out) ? REFUSED : strcmp(buf_str(&out), DOC(FOREIGN OURS_7D OURS_KEEP) "\n") == 0 ? WHOLE : WRONG;
out:
	s3_xml_free(have);
	s3_xml_free(x);
	buf_release(&out);
	return r;
}

static void
f9_without_memory_no_rule_is_lost(void)
{
	torture("lifecycle rules", merge_and_show);
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(an_empty_bucket_gets_a_rule_for_each_class),
		UNIT(rules_of_others_stay_as_and_where_they_are),
		UNIT(ours_of_a_class_that_was_goes),
		UNIT(what_only_looks_like_ours_stays),
		UNIT(two_sites_share_a_bucket),
		UNIT(limits_of_s3_are_kept),
		UNIT(what_cannot_be_kept_is_not_touched),
		UNIT(what_is_no_lifecycle_is_refused),
		UNIT(a_rule_is_the_same_however_it_is_written),
		UNIT(a_rule_that_differs_is_another),
		UNIT(a_difference_shows_each_rule_once),
		UNIT(what_is_shown_is_escaped),
		UNIT(rules_are_json_for_programs),
		UNIT(a_rule_of_others_that_takes_our_objects_is_told),
		UNIT(what_does_us_no_harm_is_not_told),
		UNIT(versions_that_nobody_clears_are_told),
		UNIT(versioning_is_read),
		UNIT(the_md5_of_a_body_is_base64),
		UNIT(f9_without_memory_no_rule_is_lost),
	};

	return unit_run("s3_lifecycle", t, ARRAY_LEN(t));
}
