/* Tells systemd how we are, see sd_notify(3): one datagram to a UNIX socket.
 * libsystemd is not used for that: the process that would load it may be
 * root, and the protocol is all that is wanted of it. */
#ifndef LIB_SD_NOTIFY_H
#define LIB_SD_NOTIFY_H

#include <stdint.h>

#include "lib/err.h"

/* Sends assignments, one a line ("READY=1\nSTATUS=Fine"), to $NOTIFY_SOCKET. 0
 * also when there is none, as nobody wants to know then. */
int sd_notify_send(const char *text, struct err *err);

/* How often at least "WATCHDOG=1" has to come; 0: it has not to. */
uint64_t sd_notify_watchdog_us(void);

#endif
