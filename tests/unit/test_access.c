/* SPDX-License-Identifier: Apache-2.0
 *
 * Who asks, and may they.  Hostile fronts' and clients' cases first.
 */
#include "base/base.h"

#include <stdlib.h>

#include "access/delivery.h"
#include "access/rules.h"
#include "unit.h"

enum { PARAMS_MAX = 16 };

static struct config *
parsed(const char *text)
{
	struct buf told = BUF_INIT(64 * 1024);
	struct config *c = config_parse("test", text, strlen(text), false, &told);

	if (c == NULL)
		fprintf(stderr, "refused: %s\n%s", text, buf_str(&told));
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	buf_release(&told);
	return c;
}

/* The identity that these parameters give under the configuration.  "" or what is wrong. */
static const char *
identified(struct identity *i, const char *config, const char *const *params)
{
	static struct err e;
	struct config *c = parsed(config);
	char *envp[PARAMS_MAX + 1] = { NULL };
	size_t n = 0;

	for (; params[n] != NULL; n++) {
		MUST(n < PARAMS_MAX);
		envp[n] = mem_strdup(params[n]);
	}
	memset(i, 0x5a, sizeof(*i));
	e = (struct err)ERR_NONE;
	if (identity_from_params(i, c, envp, &e) == 0)
		e.text[0] = '\0';
	else
		CHECK(e.text[0] != '\0');
	for (size_t j = 0; j < n; j++)
		free(envp[j]);
	config_free(c);
	return e.text;
}

#define PARAMS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
check_user(const char *const *params, const char *want)
{
	struct identity i;

	CHECK_STR(identified(&i, "{}", params), "");
	CHECK_STR(i.name, want);
	CHECK_STR(i.realm, want[0] == '\0' ? "" : "front");
	CHECK(identity_is_anonymous(&i) == (want[0] == '\0'));
}

static void
check_refused(const char *config, const char *const *params, const char *want)
{
	struct identity i;
	const char *got = identified(&i, config, params);

	if (strstr(got, want) == NULL)
		fprintf(stderr, "got: '%s', want: '%s'\n", got, want);
	CU_ASSERT_TRUE(got[0] != '\0' && strstr(got, want) != NULL);
}

/* ---- identity ------------------------------------------------------------------- */

static void
the_front_names_the_user(void)
{
	check_user(PARAMS("REQUEST_METHOD=GET", "EODATA_USER=alice", "SERVER_NAME=x"), "alice");
	check_user(PARAMS("EODATA_USER=https://login.example/users?id=7"),
	    "https://login.example/users?id=7");
	check_user(PARAMS("EODATA_USER=Zo\xc3\xab Q"), "Zo\xc3\xab Q");
	check_user(PARAMS("REQUEST_METHOD=GET"), "");
	check_user(PARAMS(NULL), "");
}

static void
a1_a2_a3_a5_headers_are_no_identity(void)
{
	check_user(PARAMS("HTTP_X_FORWARDED_USER=admin"), "");
	check_user(PARAMS("HTTP_EODATA_USER=admin"), "");
	check_user(PARAMS("HTTP_REMOTE_USER=root", "REMOTE_USER=root", "AUTH_USER=root"), "");
	check_user(PARAMS("HTTP_AUTHORIZATION=Basic YWRtaW46YWRtaW4="), "");
	check_user(
	    PARAMS("HTTP_X_FORWARDED_USER=admin", "EODATA_USER=alice", "HTTP_EODATA_USER=mallory"),
	    "alice");
}

static void
a_name_that_only_begins_like_ours_is_another(void)
{
	check_user(PARAMS("EODATA_USER_X=admin"), "");
	check_user(PARAMS("EODATA_USERS=admin"), "");
	check_user(PARAMS("EODATA_USE=admin"), "");
	check_user(PARAMS("eodata_user=admin"), "");
	check_user(PARAMS("XEODATA_USER=admin"), "");
	check_user(PARAMS("EODATA_USER"), "");
	check_user(PARAMS("=EODATA_USER=admin"), "");
	check_user(PARAMS("EODATA_USER_X=admin", "EODATA_USER=alice"), "alice");
}

static void
a4_two_answers_are_refused_in_every_order(void)
{
	check_refused(
	    "{}", PARAMS("EODATA_USER=alice", "EODATA_USER=mallory"), "EODATA_USER came twice");
	check_refused("{}", PARAMS("EODATA_USER=mallory", "X=y", "EODATA_USER=alice"),
	    "EODATA_USER came twice");
	check_refused(
	    "{}", PARAMS("EODATA_USER=alice", "EODATA_USER=alice"), "EODATA_USER came twice");
	check_refused("{}", PARAMS("EODATA_USER=", "EODATA_USER=alice"), "EODATA_USER came twice");
	check_refused("{}", PARAMS("EODATA_USER=alice", "EODATA_USER="), "EODATA_USER came twice");
	check_refused("{}", PARAMS("EODATA_USER=alice, mallory"), "EODATA_USER holds a comma");
	check_refused("{}", PARAMS("EODATA_USER=alice,"), "EODATA_USER holds a comma");
	check_refused("{}", PARAMS("EODATA_USER=alice", "EODATA_GROUPS=a", "EODATA_GROUPS=staff"),
	    "EODATA_GROUPS came twice");
	check_refused(
	    "{}", PARAMS("EODATA_GROUPS=a", "EODATA_GROUPS=staff"), "EODATA_GROUPS came twice");
	check_refused("{\"identity\":{\"groups_separator\":\";\"}}",
	    PARAMS("EODATA_USER=alice", "EODATA_GROUPS=a, staff"), "EODATA_GROUPS holds a comma");
	check_refused("{\"identity\":{\"groups_separator\":\"\"}}",
	    PARAMS("EODATA_USER=alice", "EODATA_GROUPS=a, staff"), "EODATA_GROUPS holds a comma");
}

static void
a6_an_empty_user_is_anonymous(void)
{
	struct identity i;

	check_user(PARAMS("EODATA_USER="), "");
	check_user(PARAMS("EODATA_USER=", "REMOTE_USER=root"), "");
	/* and belongs to no group, whatever the front says */
	CHECK_STR(identified(&i, "{}", PARAMS("EODATA_USER=", "EODATA_GROUPS=staff")), "");
	CHECK_INT(i.n_groups, 0);
	CHECK_STR(identified(&i, "{}", PARAMS("EODATA_GROUPS=staff")), "");
	CHECK_INT(i.n_groups, 0);
	CHECK(!identity_in_group(&i, "staff"));
	CHECK(!identity_in_group(&i, ""));
}

static void
a7_a12_other_headers_change_nothing(void)
{
	check_user(
	    PARAMS("HTTP_CONNECTION=close, X-Forwarded-User, EODATA_USER", "EODATA_USER=alice",
		"HTTP_X_FORWARDED_URI=/data/other", "HTTP_X_ORIGINAL_URL=/x"),
	    "alice");
}

static void
a10_a_token_beside_a_login_adds_nothing(void)
{
	struct identity i;

	CHECK_STR(identified(&i, "{\"identity\":{\"groups\":{\"staff\":[\"alice\"]}}}",
		      PARAMS("EODATA_USER=bob", "HTTP_AUTHORIZATION=Bearer alice", "AUTH_TYPE=Bearer")),
	    "");
	CHECK_STR(i.name, "bob");
	CHECK_INT(i.n_groups, 0);
	/* nor does one alone */
	check_user(PARAMS("EODATA_USER=", "HTTP_AUTHORIZATION=Bearer alice"), "");
}

static void
a9_a_name_is_whole_and_clean_or_refused(void)
{
	char *longest = mem_printf("EODATA_USER=%0*d", IDENTITY_NAME_MAX, 0),
	     *longer = mem_printf("EODATA_USER=%0*d", IDENTITY_NAME_MAX + 1, 0),
	     *huge = mem_printf("EODATA_USER=%04096d", 0);

	check_refused(
	    "{}", PARAMS("EODATA_USER=alice\r\nX: y"), "EODATA_USER holds a control byte");
	check_refused("{}", PARAMS("EODATA_USER=alice\n"), "holds a control byte");
	check_refused("{}", PARAMS("EODATA_USER=\x1b[31malice"), "holds a control byte");
	check_refused("{}", PARAMS("EODATA_USER=alice\x7f"), "holds a control byte");
	check_refused("{}", PARAMS("EODATA_USER=alice\xc2\x85"), "holds a control byte");
	check_refused("{}", PARAMS("EODATA_USER=\t"), "holds a control byte");
	check_refused("{}", PARAMS("EODATA_USER=alice\xff"), "EODATA_USER is not UTF-8");
	check_refused("{}", PARAMS("EODATA_USER=\xc0\xaf"), "is not UTF-8");
	check_refused("{}", PARAMS("EODATA_USER=\xed\xa0\x80"), "is not UTF-8");
	check_refused("{}", PARAMS(longer), "EODATA_USER is longer than 256 bytes");
	check_refused("{}", PARAMS(huge), "EODATA_USER is longer than 256 bytes");
	check_user(PARAMS(longest), longest + strlen("EODATA_USER="));
	check_user(PARAMS("EODATA_USER=../root"), "../root");
	check_user(PARAMS("EODATA_USER=user:*"), "user:*");
	check_user(PARAMS("EODATA_USER=a=b"), "a=b");
	free(longest);
	free(longer);
	free(huge);
}

static void
an_error_never_repeats_the_name(void)
{
	struct identity i;

	CHECK(strstr(identified(&i, "{}", PARAMS("EODATA_USER=canary,x")), "canary") == NULL);
	CHECK(strstr(identified(&i, "{}", PARAMS("EODATA_USER=canary\n")), "canary") == NULL);
	CHECK(strstr(identified(&i, "{}", PARAMS("EODATA_USER=canary\xff")), "canary") == NULL);
}

static void
the_names_of_the_parameters_can_be_others(void)
{
	static const char config[] =
	    "{\"identity\":{\"user_param\":\"WHO\",\"groups_param\":\"\"}}";
	struct identity i;

	CHECK_STR(identified(&i, config,
		      PARAMS("EODATA_USER=mallory", "WHO=alice", "EODATA_GROUPS=staff", "=staff")),
	    "");
	CHECK_STR(i.name, "alice");
	CHECK_INT(i.n_groups, 0);
}

static void
groups_are_a_list(void)
{
	struct identity i;

	CHECK_STR(identified(&i, "{}",
		      PARAMS("EODATA_GROUPS= s2-users ,staff,, s2-users,a b", "EODATA_USER=alice")),
	    "");
	CHECK_INT(i.n_groups, 3);
	CHECK_STR(i.group[0], "s2-users");
	CHECK_STR(i.group[1], "staff");
	CHECK_STR(i.group[2], "a b");
	CHECK(identity_in_group(&i, "staff"));
	CHECK(!identity_in_group(&i, "Staff"));
	CHECK(!identity_in_group(&i, "staf"));
	CHECK(!identity_in_group(&i, "*"));
	CHECK_STR(identified(&i, "{\"identity\":{\"groups_separator\":\":\"}}",
		      PARAMS("EODATA_USER=a", "EODATA_GROUPS=x:y")),
	    "");
	CHECK_INT(i.n_groups, 2);
	CHECK_STR(identified(&i, "{\"identity\":{\"groups_separator\":\"\"}}",
		      PARAMS("EODATA_USER=a", "EODATA_GROUPS=x:y z")),
	    "");
	CHECK_INT(i.n_groups, 1);
	CHECK_STR(i.group[0], "x:y z");
	CHECK_STR(identified(&i, "{}", PARAMS("EODATA_USER=a", "EODATA_GROUPS=")), "");
	CHECK_INT(i.n_groups, 0);
	CHECK_STR(identified(&i, "{}", PARAMS("EODATA_USER=a", "EODATA_GROUPS= , ,")), "");
	CHECK_INT(i.n_groups, 0);
}

static void
groups_have_bounds(void)
{
	struct buf b = BUF_INIT(64 * 1024);
	char *one = mem_printf("EODATA_GROUPS=%0*d", IDENTITY_GROUP_MAX + 1, 0);
	struct identity i;

	check_refused("{}", PARAMS("EODATA_USER=a", one), "EODATA_GROUPS is longer than 128 bytes");
	check_refused(
	    "{}", PARAMS("EODATA_USER=a", "EODATA_GROUPS=a,b\xff"), "EODATA_GROUPS is not UTF-8");
	check_refused("{}", PARAMS("EODATA_USER=a", "EODATA_GROUPS=a,b\n"),
	    "EODATA_GROUPS holds a control byte");
	(void)buf_adds(&b, "EODATA_GROUPS=g0");
	for (int j = 1; j < IDENTITY_GROUPS_MAX; j++)
		(void)buf_addf(&b, ",g%d", j);
	CHECK_STR(identified(&i, "{}", PARAMS("EODATA_USER=a", buf_str(&b))), "");
	CHECK_INT(i.n_groups, IDENTITY_GROUPS_MAX);
	check_refused("{\"identity\":{\"groups\":{\"more\":[\"a\"]}}}",
	    PARAMS("EODATA_USER=a", buf_str(&b)), "more than 64 groups");
	/* one that is there already is not one more */
	CHECK_STR(identified(&i, "{\"identity\":{\"groups\":{\"g7\":[\"a\"]}}}",
		      PARAMS("EODATA_USER=a", buf_str(&b))),
	    "");
	(void)buf_adds(&b, ",more");
	check_refused("{}", PARAMS("EODATA_USER=a", buf_str(&b)), "more than 64 groups");
	/* bounded also for somebody who will be nobody */
	check_refused("{}", PARAMS(buf_str(&b)), "more than 64 groups");
	buf_release(&b);
	free(one);
}

static void
the_configuration_lists_members_too(void)
{
	static const char config[] = "{\"identity\":{\"groups\":{\"staff\":[\"alice\",\"bob\"],"
				     "\"all*\":[\"*\"],\"nobody\":[]}}}";
	struct identity i;

	CHECK_STR(identified(&i, config, PARAMS("EODATA_USER=alice", "EODATA_GROUPS=x")), "");
	CHECK_INT(i.n_groups, 2);
	CHECK_STR(i.group[0], "x");
	CHECK_STR(i.group[1], "staff");
	CHECK_STR(identified(&i, config, PARAMS("EODATA_USER=Alice")), "");
	CHECK_INT(i.n_groups, 0);
	CHECK_STR(identified(&i, config, PARAMS("EODATA_USER=*")), "");
	CHECK_INT(i.n_groups, 1);
	CHECK_STR(i.group[0], "all*");
	CHECK_STR(identified(&i, config, PARAMS("X=y")), "");
	CHECK_INT(i.n_groups, 0);
}

static void
a_refused_identity_leaves_nothing_behind(void)
{
	struct config *c = parsed("{}");
	char user[] = "EODATA_USER=alice", groups[] = "EODATA_GROUPS=a\n",
	     *envp[] = { user, groups, NULL };
	struct identity i, before;

	memset(&i, 0x5a, sizeof(i));
	memcpy(&before, &i, sizeof(i));
	CHECK_INT(identity_from_params(&i, c, envp, NULL), -1);
	CHECK(memcmp(&i, &before, sizeof(i)) == 0);
	config_free(c);
}

/* ---- rules ------------------------------------------------------------------------- */

static const struct access_request asset = { "GET", NULL, "peps", "S2", "item", "B04" };

static struct identity
somebody(const char *name, const char *group)
{
	struct identity i = { .n_groups = 0 };

	(void)snprintf(i.name, sizeof(i.name), "%s", name);
	if (name[0] != '\0')
		(void)snprintf(i.realm, sizeof(i.realm), "front");
	if (group != NULL)
		(void)snprintf(i.group[i.n_groups++], sizeof(i.group[0]), "%s", group);
	return i;
}

/* "allow", "deny", or with "401" behind when a login would help; and the rule's name. */
static const char *
decided(const char *rules, const struct identity *i, const struct access_request *r)
{
	static char text[200];
	struct config *c;
	struct access_verdict v;
	char *whole = mem_printf("{\"rules\": [%s]}", rules);

	c = parsed(whole);
	memset(&v, 0x5a, sizeof(v));
	rules_decide(c, i, r, &v);
	(void)snprintf(text, sizeof(text), "%s%s %s%s%s", v.allow ? "allow" : "deny",
	    v.login_would_help ? " 401" : "", v.rule == NULL ? "-" : v.rule->name,
	    v.group[0] == '\0' ? "" : " ", v.group);
	config_free(c);
	free(whole);
	return text;
}

static const char *
decided_for(const char *rules, const char *name, const char *group, const struct access_request *r)
{
	struct identity i = somebody(name, group);

	return decided(rules, &i, r);
}

#define ALLOW_ANYONE "{\"who\":\"anyone\",\"allow\":true}"

static void
h8_nothing_matches_is_deny(void)
{
	CHECK_STR(decided_for("", "alice", "staff", &asset), "deny -");
	CHECK_STR(
	    decided_for("{\"users\":[\"bob\"],\"allow\":true}", "alice", NULL, &asset), "deny -");
	CHECK_STR(decided_for("{\"groups\":[\"staff\"],\"allow\":true}", "alice", "s2", &asset),
	    "deny -");
	CHECK_STR(decided_for("{\"who\":\"anyone\",\"collections\":[\"S1\"],\"allow\":true}",
		      "alice", NULL, &asset),
	    "deny -");
}

static void
h8_the_first_match_decides(void)
{
	CHECK_STR(
	    decided_for("{\"name\":\"no\",\"users\":[\"alice\"],\"allow\":false}," ALLOW_ANYONE,
		"alice", NULL, &asset),
	    "deny no");
	CHECK_STR(
	    decided_for("{\"name\":\"no\",\"users\":[\"alice\"],\"allow\":false}," ALLOW_ANYONE,
		"bob", NULL, &asset),
	    "allow rules[1]");
	CHECK_STR(decided_for("{\"name\":\"yes\",\"users\":[\"alice\"],\"allow\":true},{\"name\":"
			      "\"no\",\"groups\":[\"g\"],\"allow\":false}",
		      "alice", "g", &asset),
	    "allow yes");
	CHECK_STR(decided_for("{\"name\":\"no\",\"groups\":[\"g\"],\"allow\":false},{\"name\":"
			      "\"yes\",\"users\":[\"alice\"],\"allow\":true}",
		      "alice", "g", &asset),
	    "deny no g");
}

static void
who_is_listed_authenticated_or_anyone(void)
{
	CHECK_STR(decided_for(ALLOW_ANYONE, "", NULL, &asset), "allow rules[0]");
	CHECK_STR(decided_for("{\"who\":\"authenticated\",\"allow\":true}", "alice", NULL, &asset),
	    "allow rules[0]");
	CHECK_STR(decided_for("{\"who\":\"authenticated\",\"allow\":true}", "", NULL, &asset),
	    "deny 401 -");
	CHECK_STR(decided_for("{\"users\":[\"alice\"],\"groups\":[\"staff\"],\"allow\":true}",
		      "alice", NULL, &asset),
	    "allow rules[0]");
	CHECK_STR(decided_for("{\"users\":[\"alice\"],\"groups\":[\"staff\"],\"allow\":true}",
		      "bob", "staff", &asset),
	    "allow rules[0] staff");
	CHECK_STR(decided_for("{\"users\":[\"alice\"],\"groups\":[\"staff\"],\"allow\":true}",
		      "bob", "alice", &asset),
	    "deny -");
	/* a scope is wanted besides, and the front's people have none */
	CHECK_STR(decided_for("{\"scopes\":[\"read\"],\"allow\":true}", "read", "read", &asset),
	    "deny -");
	CHECK_STR(decided_for("{\"users\":[\"alice\"],\"scopes\":[\"read\"],\"allow\":true}",
		      "alice", NULL, &asset),
	    "deny -");
}

static void
a9_users_and_groups_are_no_patterns(void)
{
	CHECK_STR(
	    decided_for("{\"users\":[\"*\"],\"allow\":true}", "alice", NULL, &asset), "deny -");
	CHECK_STR(
	    decided_for("{\"users\":[\"*\"],\"allow\":true}", "*", NULL, &asset), "allow rules[0]");
	CHECK_STR(
	    decided_for("{\"users\":[\"alice\"],\"allow\":true}", "*", NULL, &asset), "deny -");
	CHECK_STR(
	    decided_for("{\"users\":[\"alice\"],\"allow\":true}", "Alice", NULL, &asset), "deny -");
	CHECK_STR(decided_for("{\"users\":[\"alice\"],\"allow\":true}", "alice2", NULL, &asset),
	    "deny -");
	CHECK_STR(decided_for("{\"groups\":[\"s*\"],\"allow\":true}", "alice", "staff", &asset),
	    "deny -");
}

static void
c5_only_the_very_collection_is_allowed(void)
{
	static const char *const others[] = { "S2-secret", "s2", "S2 ", " S2", "S2/", "/S2", "S",
		"S22", "S2\n", "" };
	struct access_request r = asset;

	CHECK_STR(decided_for(
		      "{\"who\":\"anyone\",\"collections\":[\"S2\"],\"allow\":true}", "", NULL, &r),
	    "allow rules[0]");
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		r.collection = others[i];
		CHECK_STR(
		    decided_for("{\"who\":\"anyone\",\"collections\":[\"S2\"],\"allow\":true}", "",
			NULL, &r),
		    "deny -");
	}
}

static void
c6_a_request_is_never_the_pattern(void)
{
	static const char *const hostile[] = { "*", "?", "[a-z]", "it*", "\\item", "{item,x}", "!",
		"[!x]tem" };
	struct access_request r = asset;

	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		r.item = hostile[i];
		CHECK_STR(decided_for("{\"who\":\"anyone\",\"items\":[\"item\"],\"allow\":true}",
			      "", NULL, &r),
		    "deny -");
		CHECK_STR(decided_for("{\"who\":\"anyone\",\"items\":[\"*\"],\"allow\":true}", "",
			      NULL, &r),
		    "allow rules[0]");
	}
}

static void
every_part_of_the_resource_counts(void)
{
	static const char rule[] = "{\"who\":\"anyone\",\"methods\":[\"GET\",\"HEAD\"],"
				   "\"backends\":[\"peps\"],\"collections\":[\"S[12]\"],"
				   "\"items\":[\"it*\"],\"assets\":[\"B0?\"],\"allow\":true}";
	struct access_request r = asset;

	CHECK_STR(decided_for(rule, "", NULL, &r), "allow rules[0]");
	r.method = "OPTIONS";
	CHECK_STR(decided_for(rule, "", NULL, &r), "deny -");
	r = asset;
	r.backend = "Peps";
	CHECK_STR(decided_for(rule, "", NULL, &r), "deny -");
	r = asset;
	r.collection = "S3";
	CHECK_STR(decided_for(rule, "", NULL, &r), "deny -");
	r = asset;
	r.item = "tem";
	CHECK_STR(decided_for(rule, "", NULL, &r), "deny -");
	r = asset;
	r.asset = "B11";
	CHECK_STR(decided_for(rule, "", NULL, &r), "deny -");
}

static void
routes_and_data_are_apart(void)
{
	struct access_request status = { "GET", "-/status", NULL, NULL, NULL, NULL };

	CHECK_STR(decided_for(ALLOW_ANYONE, "", NULL, &status), "deny -");
	CHECK_STR(decided_for("{\"who\":\"anyone\",\"routes\":[\"-/status\"],\"allow\":true}", "",
		      NULL, &status),
	    "allow rules[0]");
	CHECK_STR(decided_for("{\"who\":\"anyone\",\"routes\":[\"-/*\"],\"allow\":true}", "", NULL,
		      &status),
	    "allow rules[0]");
	CHECK_STR(decided_for("{\"who\":\"anyone\",\"routes\":[\"-/metrics\"],\"allow\":true}", "",
		      NULL, &status),
	    "deny -");
	CHECK_STR(
	    decided_for("{\"who\":\"anyone\",\"routes\":[\"*\"],\"allow\":true}", "", NULL, &asset),
	    "deny -");
	/* a rule for data with a pattern, and a request that has nothing to hold against it */
	CHECK_STR(
	    decided_for("{\"who\":\"anyone\",\"items\":[\"*\"],\"allow\":true}", "", NULL, &status),
	    "deny -");
}

static void
the_charged_group_is_the_first_of_the_rule(void)
{
	struct identity i = somebody("alice", "c");

	(void)snprintf(i.group[i.n_groups++], sizeof(i.group[0]), "b");
	(void)snprintf(i.group[i.n_groups++], sizeof(i.group[0]), "a");
	CHECK_STR(decided("{\"groups\":[\"x\",\"a\",\"b\",\"c\"],\"allow\":true}", &i, &asset),
	    "allow rules[0] a");
	CHECK_STR(
	    decided("{\"users\":[\"alice\"],\"groups\":[\"x\",\"c\"],\"allow\":true}", &i, &asset),
	    "allow rules[0] c");
	CHECK_STR(decided("{\"users\":[\"alice\"],\"groups\":[\"x\"],\"allow\":true}", &i, &asset),
	    "allow rules[0]");
	CHECK_STR(
	    decided("{\"who\":\"authenticated\",\"allow\":true}", &i, &asset), "allow rules[0]");
}

static void
a_login_is_asked_for_only_where_it_helps(void)
{
	/* anonymous, and somebody would be allowed */
	CHECK_STR(
	    decided_for("{\"users\":[\"alice\"],\"allow\":true}", "", NULL, &asset), "deny 401 -");
	CHECK_STR(
	    decided_for("{\"groups\":[\"g\"],\"allow\":true},{\"who\":\"anyone\",\"allow\":false}",
		"", NULL, &asset),
	    "deny 401 rules[1]");
	/* nobody would be */
	CHECK_STR(decided_for("", "", NULL, &asset), "deny -");
	CHECK_STR(
	    decided_for("{\"users\":[\"alice\"],\"allow\":false}", "", NULL, &asset), "deny -");
	CHECK_STR(decided_for("{\"users\":[\"alice\"],\"collections\":[\"S1\"],\"allow\":true}", "",
		      NULL, &asset),
	    "deny -");
	CHECK_STR(decided_for("{\"who\":\"authenticated\",\"items\":[\"*\"],\"allow\":false},{\"users\":[\"alice\"],"
			      "\"allow\":true}",
		      "", NULL, &asset),
	    "deny -");
	CHECK_STR(decided_for("{\"who\":\"anyone\",\"items\":[\"i*\"],\"allow\":false},{\"users\":["
			      "\"alice\"],\"allow\":true}",
		      "", NULL, &asset),
	    "deny rules[0]");
	/* somebody who is logged in needs no login, nor does who is allowed */
	CHECK_STR(
	    decided_for("{\"users\":[\"alice\"],\"allow\":true}", "bob", NULL, &asset), "deny -");
	CHECK_STR(
	    decided_for("{\"users\":[\"alice\"],\"allow\":true}," ALLOW_ANYONE, "", NULL, &asset),
	    "allow rules[1]");
}

static enum delivery
delivered(enum delivery rule, const struct delivery_ask *a, uint64_t size, const char **ret_why)
{
	return delivery_of_size(delivery_of_rule(rule, a, ret_why), size, 100, ret_why);
}

static void
a_redirect_is_for_who_can_follow_it(void)
{
	struct conditions none = { .if_none_match = "\"v\"" }, some[] = {
		{ .if_match = "\"v\"" }, { .if_unmodified_since = "x" }, { .if_range = "x" } };
	struct delivery_ask a = { .cond = &none };
	const char *why;

	CHECK_INT(delivered(DELIVERY_STREAM, &a, 1000, &why), DELIVERY_STREAM);
	CHECK(why == NULL);
	CHECK_INT(delivered(DELIVERY_REDIRECT, &a, 1, &why), DELIVERY_REDIRECT);
	CHECK(why == NULL);
	CHECK_INT(delivered(DELIVERY_AUTO, &a, 100, &why), DELIVERY_REDIRECT);
	CHECK_INT(delivered(DELIVERY_AUTO, &a, 99, &why), DELIVERY_STREAM);
	CHECK_STR(why, "size");
	for (size_t i = 0; i < ARRAY_LEN(some); i++) {
		a.cond = &some[i];
		CHECK_INT(delivered(DELIVERY_REDIRECT, &a, 1000, &why), DELIVERY_STREAM);
		CHECK_STR(why, "condition");
		CHECK_INT(delivered(DELIVERY_AUTO, &a, 1000, &why), DELIVERY_STREAM);
	}
	a = (struct delivery_ask){ .cond = &none, .head = true };
	CHECK_INT(delivered(DELIVERY_REDIRECT, &a, 1000, &why), DELIVERY_REDIRECT);
	CHECK_INT(delivered(DELIVERY_AUTO, &a, 1000, &why), DELIVERY_STREAM);
	CHECK_STR(why, "head");
	a = (struct delivery_ask){ .cond = &none, .scripted = true };
	CHECK_INT(delivered(DELIVERY_AUTO, &a, 1000, &why), DELIVERY_STREAM);
	CHECK_STR(why, "origin");
	a = (struct delivery_ask){ .cond = &none, .keeps_credentials = true };
	CHECK_INT(delivered(DELIVERY_AUTO, &a, 1000, &why), DELIVERY_STREAM);
	CHECK_STR(why, "credentials");
}

static void
a_url_lives_no_longer_than_its_object(void)
{
	const char *why = NULL;

	CHECK_INT(delivery_life_s(900, 0, 1000, &why), 900);
	CHECK_INT(delivery_life_s(900, 2000, 1000, &why), 900);
	CHECK_INT(delivery_life_s(900, 1899, 1000, &why), 899);
	CHECK_INT(delivery_life_s(900, 1090, 1000, &why), 90);
	CHECK(why == NULL);
	CHECK_INT(delivery_life_s(900, 1089, 1000, &why), 0);
	CHECK_STR(why, "expires");
	CHECK_INT(delivery_life_s(900, 1, 1000, &why), 0);
}

static void
hosts_are_the_same_without_ports_and_case(void)
{
	CHECK(delivery_same_host("https://Data.example.org/x", "data.example.org:8443"));
	CHECK(delivery_same_host("data.example.org:80", "data.example.org"));
	CHECK(delivery_same_host("http://[::1]:80/", "[::1]:9000"));
	CHECK(!delivery_same_host("http://[::1]:80/", "[::2]:80"));
	CHECK(!delivery_same_host("https://data.example.org", "data.example.or"));
	CHECK(!delivery_same_host("https://data.example.org.evil", "data.example.org"));
	CHECK(!delivery_same_host("https:///x", ""));
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(the_front_names_the_user),
		UNIT(a1_a2_a3_a5_headers_are_no_identity),
		UNIT(a_name_that_only_begins_like_ours_is_another),
		UNIT(a4_two_answers_are_refused_in_every_order),
		UNIT(a6_an_empty_user_is_anonymous),
		UNIT(a7_a12_other_headers_change_nothing),
		UNIT(a10_a_token_beside_a_login_adds_nothing),
		UNIT(a9_a_name_is_whole_and_clean_or_refused),
		UNIT(an_error_never_repeats_the_name),
		UNIT(the_names_of_the_parameters_can_be_others),
		UNIT(groups_are_a_list),
		UNIT(groups_have_bounds),
		UNIT(the_configuration_lists_members_too),
		UNIT(a_refused_identity_leaves_nothing_behind),
		UNIT(h8_nothing_matches_is_deny),
		UNIT(h8_the_first_match_decides),
		UNIT(who_is_listed_authenticated_or_anyone),
		UNIT(a9_users_and_groups_are_no_patterns),
		UNIT(c5_only_the_very_collection_is_allowed),
		UNIT(c6_a_request_is_never_the_pattern),
		UNIT(every_part_of_the_resource_counts),
		UNIT(routes_and_data_are_apart),
		UNIT(the_charged_group_is_the_first_of_the_rule),
		UNIT(a_login_is_asked_for_only_where_it_helps),
		UNIT(a_redirect_is_for_who_can_follow_it),
		UNIT(a_url_lives_no_longer_than_its_object),
		UNIT(hosts_are_the_same_without_ports_and_case),
	};

	return unit_run("access", t, ARRAY_LEN(t));
}
