/* SPDX-License-Identifier: Apache-2.0
 *
 * ipc/control.h: both ends take one datagram of anything and stay sane.
 */
#include "fuzz.h"

#include <sys/socket.h>

#include "base/fd.h"
#include "ipc/control.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int pair[2], fd = -1;
	enum control_type type;
	uint64_t generation;
	struct err e;

	if (n == 0 || n > 4096)		/* an empty datagram is the end */
		return 0;
	MUST(fd_socketpair(SOCK_SEQPACKET, true, pair, &e) == 0);
	MUST(fd_send(pair[0], data, n, NULL, 0) == 0);
	type = control_read(pair[1], &fd);
	MUST(type == CONTROL_NONE || type == CONTROL_DRAIN || type == CONTROL_FINISH || type == CONTROL_RELOAD);
	MUST(fd == -1);
	MUST(fd_send(pair[1], data, n, NULL, 0) == 0);
	type = control_read_child(pair[0], &generation);
	MUST(type == CONTROL_NONE || type == CONTROL_READY);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	return 0;
}
