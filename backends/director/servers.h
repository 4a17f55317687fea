/* The servers that users are spread over: Dovecot's director_mail_servers. No
 * I/O of its own. */
#ifndef BACKENDS_DIRECTOR_SERVERS_H
#define BACKENDS_DIRECTOR_SERVERS_H

#include "backends/remote/target.h"
#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/err.h"

enum {
	DIRECTOR_MAX_SERVERS = 4096,
	/* With those that were added to fewer, and stay. */
	DIRECTOR_MOST_SERVERS = 2 * DIRECTOR_MAX_SERVERS,
	DIRECTOR_WEIGHT = 100, /* of a server that names none, as in Dovecot */
	DIRECTOR_MAX_WEIGHT = 1000,
};

/* How a server is spoken to, unless the passdb says it. */
struct director_way {
	uint16_t port; /* 0: not said here */
	bool has_protocol, has_tls;
	enum remote_protocol protocol;
	enum remote_tls tls;
	bool any_cert;
};

struct director_server {
	struct addr addr; /* port 0 */
	const char *ip;	  /* the same as text */
	const char *name; /* the host name it was found by; NULL: none */
	const char *tag;  /* "": none */
	unsigned weight;  /* Dovecot's vhost count; 0: no users */
	struct director_way way;
	uint32_t id;	  /* in a director_state; its place, in a list */
};

/* Sorted by address, then tag; each pair of these is there once. */
struct director_servers {
	const struct director_server *list;
	unsigned count;
};

/* Their order in a list: by address, then tag. As strcmp(). */
int director_server_order(const struct director_server *a,
			  const struct director_server *b);

/* Fills addrs with at most max addresses that the hosts file has for the name;
 * returns how many. In place of such a function NULL: names are errors. */
typedef unsigned director_resolve_fn(const char *name, struct addr *addrs,
				     unsigned max);

/* Servers that are alike. */
struct director_group {
	const char *text;     /* as for director_servers_parse() */
	unsigned weight;      /* of those that name none */
	const char *tag;      /* the same */
	struct director_way way;
};

/* Reads the servers of all groups. A server that is in two of them has to be
 * spoken to in the same way. Otherwise as director_servers_parse(), but that a
 * group may have none, if another has some. *bad_r: which group err is about. */
int director_servers_read(struct arena *arena,
			  const struct director_group *groups, unsigned count,
			  director_resolve_fn *resolve,
			  struct director_servers *servers_r, unsigned *bad_r,
			  struct err *err);

/* Reads servers separated by blanks: addresses, names, of which each address is
 * a server, and ranges "192.0.2.1-192.0.2.9", whose ends differ in their last 8
 * bits (IPv6: 16); behind that "*WEIGHT", which Dovecot has not, and "@TAG". What
 * is there twice counts once, with the larger weight. All lives in arena.
 * Returns 0, or -1 when text is malformed or has no server. */
int director_servers_parse(struct arena *arena, const char *text,
			   director_resolve_fn *resolve,
			   struct director_servers *servers_r, struct err *err);

#endif
