/* SPDX-License-Identifier: Apache-2.0
 *
 * sd_notify(3), as far as we need it: one datagram to $NOTIFY_SOCKET.
 */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include "base/base.h"

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
void notify_init(void);
/* "READY=1" and the like, newline-separated.  Never blocks; a failure is nobody's business. */
void notify_send(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* RELOADING=1 with the time that systemd wants beside it. */
void notify_reloading(void);
/* WATCHDOG=1 where it is wanted; called each second. */
void notify_watchdog(void);

#endif
