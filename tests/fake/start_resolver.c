/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for the master, so that a test can drive eodata-proxy-resolver
 * over its sockets alone:
 *
 *	start_resolver PROGRAM CONFIG CONTROL_FD MOVER_FD...
 *
 * puts the checked configuration, a scoreboard and the given sockets where
 * ipc/fds.h says, and becomes PROGRAM.  So the test is its parent, which is
 * what it takes for the master.
 *
 *	start_resolver --sealed CONFIG
 *
 * writes to standard output what the master would pass in a reload.
 */
#include "base/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "config/config.h"
#include "ipc/fds.h"
#include "stat/scoreboard.h"

enum { HIGH = 200 };

/* Away from the numbers that are to be filled. */
static int
high(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);

	if (moved == -1)
		die("no descriptor %d", fd);
	return moved;
}

static int
print_sealed(struct config *c)
{
	struct buf text = BUF_INIT(16 << 20);
	struct err e = ERR_NONE;
	int fd = config_to_memfd(c, &e);

	if (fd == -1 || lseek(fd, 0, SEEK_SET) < 0 || fd_read_rest(fd, &text, &e) < 0)
		die("%s", e.text);
	if (fd_write_all(STDOUT_FILENO, text.data, text.len) < 0)
		die("cannot write");
	buf_release(&text);
	config_free(c);
	(void)close(fd);
	return 0;
}

int
main(int argc, char **argv)
{
	struct buf faults = BUF_INIT(65536);
	struct err e = ERR_NONE;
	struct config *c;
	struct scoreboard *sb;
	int config, board, control, mover[MOVERS_MAX];
	unsigned movers = argc > 4 ? (unsigned)argc - 4 : 0;
	bool sealed = argc == 3 && strcmp(argv[1], "--sealed") == 0;
	char slot[16];

	log_init("start", LOG_INFO);
	if (!sealed && (movers < 1 || movers > MOVERS_MAX))
		die("usage: start_resolver PROGRAM CONFIG CONTROL_FD MOVER_FD...");
	c = config_load(argv[2], true, &faults);
	if (c == NULL)
		die("configuration:\n%s", buf_str(&faults));
	buf_release(&faults);
	if (sealed)
		return print_sealed(c);
	config = config_to_memfd(c, &e);
	sb = config == -1 ? NULL : scoreboard_create(&board, &e);
	if (sb == NULL)
		die("%s", e.text);
	sb->movers = movers;
	config = high(config);
	board = high(board);
	control = high(atoi(argv[3]));
	for (unsigned i = 0; i < movers; i++)
		mover[i] = high(atoi(argv[4 + i]));
	if (dup2(control, FD_CONTROL) < 0 || dup2(config, FD_CONFIG) < 0 || dup2(board, FD_SCOREBOARD) < 0)
		die("cannot place descriptors");
	for (unsigned i = 0; i < movers; i++) {
		if (dup2(mover[i], FD_FIRST + (int)i) < 0)
			die("cannot place descriptors");
	}
	config_free(c);
	(void)snprintf(slot, sizeof(slot), "%d", SLOT_BROKER);
	(void)execl(argv[1], "eodata-proxy-resolver", "--role", "broker", "--slot", slot, "--index", "0", (char *)NULL);
	die("cannot execute the program");
}
