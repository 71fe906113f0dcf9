/* SPDX-License-Identifier: Apache-2.0
 *
 * The descriptors that a child finds open when it starts.  All others are
 * closed.  The master makes the socket pairs and keeps both ends open, so
 * that what is queued for a role reaches the one that replaces it.
 */
#ifndef IPC_FDS_H
#define IPC_FDS_H

enum {
	FD_CONTROL = 3,		/* SEQPACKET to the master: ipc/control.h.  EOF: the master is gone */
	FD_CONFIG = 4,		/* sealed memfd: config_from_memfd */
	FD_SCOREBOARD = 5,	/* memfd: scoreboard_attach */
	FD_LISTEN = 6,		/* worker: the listening socket */
	FD_HANDOVER = 7,	/* mover: where connections arrive (SEQPACKET) */
	FD_BROKER = 8,		/* mover: SEQPACKET to the resolvers' broker */
	/* worker, mover: SEQPACKET to the accountant.  Workers share one; each mover has its own */
	FD_ACCOUNT = 9,
	FD_SLOTS = 10,		/* mover: the mapped file of provider slots */
	/*
	 * worker: FD_FIRST + i is the sending end to mover i; accountant: FD_FIRST is the
	 * workers' end, FD_FIRST + 1 + i mover i's; broker: FD_FIRST + i mover i's
	 */
	FD_FIRST = 16,
	MOVERS_MAX = 16,
};

#endif
