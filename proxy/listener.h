/* The sockets that waypost listens on, opened by the supervisor. A socket that
 * a new configuration keeps is shared by the old set and the new one. */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/str.h"
#include "proxy/settings/settings.h"

#define LISTENER_MAX 256 /* sockets of one configuration */

/* What its clients speak before, or instead of, LMTP. */
enum listener_flag {
	LISTENER_TLS = 1 << 0,	   /* inet_listener { ssl = yes } */
	LISTENER_HAPROXY = 1 << 1, /* inet_listener { haproxy = yes } */
	/* not LMTP at all: services ctl, http and socketmap */
	LISTENER_CONTROL = 1 << 2,
	LISTENER_SOCKETMAP = 1 << 3, /* with LISTENER_CONTROL */
	LISTENER_FLAGS = LISTENER_TLS | LISTENER_HAPROXY | LISTENER_CONTROL |
			 LISTENER_SOCKETMAP,
};

struct listener {
	unsigned refs;
	int fd; /* its number is also the socket's name in messages */
	struct addr addr;
	unsigned flags; /* enum listener_flag */
	/* A UNIX socket's file, to know it again; 0: it is not ours (any
	 * more). */
	dev_t dev;
	ino_t ino;
	bool foreign; /* who opened it (systemd) removes the file, too */
	struct listener *origin; /* on the same socket, with other flags: the
				    file is its to remove; NULL: there is none */
};

struct listener_set {
	struct listener *items[LISTENER_MAX];
	unsigned count;
};

/* Appends the addresses in text, which are separated by blanks or commas:
 * literals, "*" (all of IPv4), "::" or "[::]" (all of IPv6), host names (all
 * their addresses). -1 for anything else, and when there would be more than
 * max. */
int listener_addresses(const char *text, uint16_t port, struct addr *addrs,
		       unsigned max, unsigned *count, struct err *err);

/* Opens what the services lmtp, ctl, http and socketmap { inet_listener,
 * unix_listener } name; what old (or NULL) has open already is shared, unless it
 * is a UNIX socket whose file somebody removed. With other flags than before it
 * is another listener, on the same socket, so that the clients who wait in it are
 * not lost. The same path twice is an error. A UNIX socket's file is replaced when
 * nobody listens on it, and gets its mode, user and group. Nothing of service lmtp
 * for `protocols` without lmtp. Returns NULL when one cannot be opened. */
struct listener_set *listener_set_open(const struct settings *settings,
				       const struct listener_set *old,
				       struct err *err);

/* Reports all that listener_set_open() would find wrong with the settings
 * themselves: addresses, paths, users, groups, the same address with other flags,
 * and the same path twice. Opens nothing. root is the tree that the settings are from. */
void listener_check(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors);

/* Closes what no other set shares, and removes the files of UNIX sockets.
 * Clears the pointer; NULL is fine. */
void listener_set_close(struct listener_set **set);

/* The same in a forked child: leaves the files alone. */
void listener_set_forget(struct listener_set **set);

bool listener_set_has(const struct listener_set *set,
		      const struct listener *listener);

#endif
