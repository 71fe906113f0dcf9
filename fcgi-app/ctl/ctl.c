/* SPDX-License-Identifier: Apache-2.0
 *
 * Between eodata-proxyctl and the terminal: what it says, and interrupts.
 */
#include "base/base.h"

#include "ctl/ctl.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static volatile sig_atomic_t interrupted;

int
complain(const char *fmt, ...)
{
	va_list ap;

	fputs("eodata-proxyctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

int
finish_output(void)
{
	return fflush(stdout) == 0 && ferror(stdout) == 0 ? 0 : complain("cannot write to standard output");
}

const char *
readable(char *dst, size_t cap, const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n < cap && text_is_utf8(text, n) && !text_has_control(text, n) ? text : text_esc_to(dst, cap, text);
}

static void
on_signal(int signo UNUSED)
{
	interrupted = 1;
}

void
catch_interrupts(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction a = { .sa_handler = on_signal }, before;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &a, NULL);
	}
}

bool
was_interrupted(void)
{
	return interrupted != 0;
}
