/* SPDX-License-Identifier: Apache-2.0
 *
 * lib/net/address.c: cases E1 and E3.
 */
#include "base/base.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/address.h"

static char loopback_v4[] = "127.0.0.1", loopback_v6[] = "::1", lan_v4[] = "10.1.0.0/16", lan_v6[] = "fd00:1::/32";
static char *loopback[] = { loopback_v4, loopback_v6 };
static char *lan[] = { lan_v4, lan_v6 };
static const struct config open_to_none = { .redirects_max = 0 };
static const struct config open_to_loopback = { .allow_private = { loopback, 2 } };
static const struct config open_to_lan = { .allow_private = { lan, 2 } };

static bool
allowed(const struct config *c, const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return address_allowed(c, (struct sockaddr *)&in);
	MUST(inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
	return address_allowed(c, (struct sockaddr *)&in6);
}

static void
check_all(const struct config *c, const char *const *text, size_t n, bool want)
{
	for (size_t i = 0; i < n; i++) {
		if (allowed(c, text[i]) != want)
			fprintf(stderr, "%s: got %d, want %d\n", text[i], !want, want);
		CHECK(allowed(c, text[i]) == want);
	}
}

static void
e1_addresses_that_are_not_public_are_refused(void)
{
	static const char *const text[] = {
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
		"127.255.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1",
		"192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.1.2.3",
		"240.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fdff::1", "ff02::1",
		"2001:db8::1", "2001:2::1", "2001:10::1", "2001:20::1", "3fff::1", "100::1", "64:ff9b:1::1", "4000::1",
	};

	check_all(&open_to_none, text, ARRAY_LEN(text), false);
}

static void
public_addresses_are_allowed(void)
{
	static const char *const text[] = {
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.1.1.1", "128.0.0.1",
		"169.253.1.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.1.1", "198.17.1.1", "198.20.0.1",
		"223.255.255.255", "2606:4700::1111", "2001:200::1", "2a00:1450::1", "3ffe::1",
	};

	check_all(&open_to_none, text, ARRAY_LEN(text), true);
}

static void
e1_an_ipv4_inside_an_ipv6_is_judged(void)
{
	static const char *const bad[] = {
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::a00:1",
		"2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:101::1",
		/* Teredo: the client 127.0.0.1 and 10.0.0.1, turned over */
		"2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
	};
	static const char *const good[] = {
		"::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1", "2001:0:4136:e378:8000:63bf:fefe:fefe",
	};
	static const char *const opened[] = { "::ffff:127.0.0.1", "64:ff9b::7f00:1" };

	check_all(&open_to_none, bad, ARRAY_LEN(bad), false);
	check_all(&open_to_none, good, ARRAY_LEN(good), true);
	check_all(&open_to_loopback, opened, ARRAY_LEN(opened), true);
}

static void
only_what_is_configured_is_opened(void)
{
	static const char *const yes[] = { "127.0.0.1", "::1" };
	static const char *const no[] = { "127.0.0.2", "10.0.0.1", "169.254.169.254", "::2" };
	static const char *const lan_yes[] = { "10.1.0.1", "10.1.255.255", "fd00:1::5" };
	static const char *const lan_no[] = { "10.2.0.1", "10.0.255.255", "127.0.0.1", "fd00:2::5", "::1" };

	check_all(&open_to_loopback, yes, ARRAY_LEN(yes), true);
	check_all(&open_to_loopback, no, ARRAY_LEN(no), false);
	check_all(&open_to_lan, lan_yes, ARRAY_LEN(lan_yes), true);
	check_all(&open_to_lan, lan_no, ARRAY_LEN(lan_no), false);
}

static void
other_families_are_refused(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/x" };
	struct sockaddr unspec = { .sa_family = AF_UNSPEC };

	CHECK(!address_allowed(&open_to_loopback, (struct sockaddr *)&un));
	CHECK(!address_allowed(&open_to_loopback, &unspec));
}

int
main(void)
{
	static const struct unit_test t[] = {
		UNIT(e1_addresses_that_are_not_public_are_refused),
		UNIT(public_addresses_are_allowed),
		UNIT(e1_an_ipv4_inside_an_ipv6_is_judged),
		UNIT(only_what_is_configured_is_opened),
		UNIT(other_families_are_refused),
	};

	return unit_run("net_address", t, ARRAY_LEN(t));
}
