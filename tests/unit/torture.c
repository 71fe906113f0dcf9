/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions below stand in the place of malloc, calloc and realloc: for
 * what we link ourselves by the linker's word, for the libraries below (json-c,
 * libcurl, OpenSSL ...) because the program comes before them.
 */
#include "torture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define CHECKED_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_BUILD 1
#endif
#endif

/* Whose: of what we link ourselves, or of the libraries below, too. */
enum whose { OURS, ALL };
static enum whose whose;
static bool armed;
static size_t until;		/* allocations that still succeed; then one does not, or none does */
static bool only_one;
static bool refused;

static bool
refuse(void)
{
	if (!armed)
		return false;
	if (until > 0) {
		until--;
		return false;
	}
	if (only_one)
		armed = false;
	refused = true;
	return true;
}

/* The linker sends here what we link ourselves. */
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
#ifdef CHECKED_BUILD
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
#define REAL(f) __real_##f
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
#define REAL(f) __libc_##f
#endif

void *
__wrap_malloc(size_t n)
{
	void *p = NULL;

	if (refuse())
		errno = ENOMEM;
	else
		p = REAL(malloc)(n);
	return p;
}

void *
__wrap_calloc(size_t n, size_t size)
{
	void *p = NULL;

	if (refuse())
		errno = ENOMEM;
	else
		p = REAL(calloc)(n, size);
	return p;
}

void *
__wrap_realloc(void *old, size_t n)
{
	void *p = NULL;

	if (refuse())
		errno = ENOMEM;
	else
		p = REAL(realloc)(old, n);
	return p;
}

#ifndef CHECKED_BUILD
static void *
of_a_library(void *p, size_t n)
{
	bool was = armed;

	if (whose == ALL)
		return __wrap_realloc(p, n);
	armed = false;
	p = __wrap_realloc(p, n);
	armed = was;
	return p;
}

/* And the dynamic linker what shared libraries ask for: a checker has these names itself. */
__attribute__((visibility("default"))) void *
malloc(size_t n)
{
	return of_a_library(NULL, n);
}

__attribute__((visibility("default"))) void *
calloc(size_t n, size_t size)
{
	bool was = armed;
	void *p;

	armed = armed && whose == ALL;
	p = __wrap_calloc(n, size);
	if (whose == OURS)
		armed = was;
	return p;
}

__attribute__((visibility("default"))) void *
realloc(void *old, size_t n)
{
	return of_a_library(old, n);
}
#endif

enum { ROUNDS_MAX = 6000, NONE_FAILED = 16, NO_MEMORY = 71 };

/*
 * f in a process of its own, with the n-th allocation failing (and all after
 * it), until none fails.  It gives WHOLE, REFUSED or WRONG; what it compares
 * with was made before.
 */
static void
torture_one(const char *what, int (*f)(void), enum whose w)
{
	static size_t seen UNUSED;	/* allocations that failed, in all that was tortured: none would be no torture */
	size_t n, ended = 0, reported = 0, crashed = 0;
	int status = 0, r;
	pid_t pid;

	for (n = 0; n < 2 * ROUNDS_MAX; n++) {
		(void)fflush(stderr);
		pid = fork();
		MUST(pid != -1);
		if (pid == 0) {
			(void)alarm(20);
			(void)!freopen("/dev/null", "w", stderr);
			whose = w;
			until = n / 2;
			only_one = n % 2 == 0;
			refused = false;
			armed = true;
			r = f();
			armed = false;
			_exit(r | (refused ? 0 : NONE_FAILED));
		}
		MUST(waitpid(pid, &status, 0) == pid);
		r = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		if (r >= 0 && r < NO_MEMORY && (r & NONE_FAILED) != 0)
			break;
		ended += r == NO_MEMORY;
		reported += r == REFUSED;
		/* json-c does not look at all of its own: where that is what fails, its crash is an end, too */
		crashed += r == -SIGSEGV && w == ALL;
		if (r != NO_MEMORY && r != REFUSED && r != WHOLE && (r != -SIGSEGV || w != ALL)) {
			fprintf(stderr, "%s: allocation %zu (%s): %s %d\n", what, n / 2, n % 2 == 0 ? "alone" : "and all after",
			    r < 0 ? "signal" : "status", r < 0 ? -r : r);
			CU_FAIL("half a thing");
		}
	}
	CHECK_INT(r, NONE_FAILED);	/* with memory it works */
	printf("\n    %s%s: %zu allocations, ended with 71: %zu, reported: %zu, crashed in a library: %zu ", what,
	    w == ALL ? " and below" : "", n / 2, ended, reported, crashed);
#ifndef CHECKED_BUILD	/* there, only our own calls are counted, and not everything has one */
	/* one alone may ask for nothing, and whether libraries do is their business (OpenSSL 3.5 does less than 3.0) */
	if (w == ALL)
		seen += n / 2;
	CHECK(w != ALL || seen > 0);
#endif
}

void
torture_ours(const char *what, int (*f)(void))
{
	torture_one(what, f, OURS);
}

void
torture(const char *what, int (*f)(void))
{
	torture_one(what, f, OURS);
	torture_one(what, f, ALL);
}

bool
torture_pause(void)
{
	bool was = armed;

	armed = false;
	return was;
}

void
torture_go_on(bool was)
{
	armed = was;
}
