/* waypost -l and waypostctl auth lookup: looks one recipient up as a RCPT does,
 * with the same code, and says what happens. */
#ifndef PROXY_LOOKUP_LOOKUP_H
#define PROXY_LOOKUP_LOOKUP_H

#include <stdio.h>

#include "lib/dns.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/smtp/reply.h"
#include "passdb/passdb.h"
#include "proxy/route.h"
#include "proxy/settings/settings.h"
#include "proxy/tls_set.h"

/* As in sysexits.h. */
enum lookup_status {
	LOOKUP_OK = 0,	     /* there is a route, or another answer */
	LOOKUP_USAGE = 64,   /* RCPT would not take the address */
	LOOKUP_NO_USER = 67, /* 550 5.1.1 */
	LOOKUP_TEMPFAIL = 75, /* 451 */
	LOOKUP_CONFIG = 78,  /* waypost cannot work so, or mail loops */
};

struct lookup;

/* A lookup of address (without < and >) for a client that texts ("key=value",
 * see proxy/lookup/client.h) tell of; all of that outlives the result. NULL when
 * one of them is wrong. */
struct lookup *lookup_new(const char *address, const char *const *texts,
			  unsigned count, struct err *err);

/* What a lookup works with; outlives it. */
struct lookup_env {
	struct loop *loop;
	struct dns *dns;
	struct tls_set *tls;
	struct passdb *passdb;
	struct settings *settings;
	const struct director *director; /* NULL: none */
	struct director_users *users; /* NULL: nobody is anywhere yet */
	const char *account; /* privileges_account() */
};

/* Starts it, once, and writes what happens to out; done(arg) is called from the
 * loop and not inside this call, unless the lookup is freed before. It may free
 * it. */
void lookup_start(struct lookup *lookup, const struct lookup_env *env,
		  FILE *out, void (*done)(void *arg, enum lookup_status status),
		  void *arg);

/* Does all of it in a process that has no loop, as the user of the worker
 * process; what goes wrong is said on stderr. Frees the lookup. Returns the exit
 * status of the process. */
enum lookup_status lookup_run(struct lookup **lookup, struct settings *settings,
			      FILE *out);

/* What came of it, for programs; from done() on, as long as the lookup. */
struct lookup_result {
	const struct route *route; /* its kind says what else it has */
	const char *user; /* whom the passdbs know; NULL: it was no address */
	bool local;	  /* not passed on: a route of kind ROUTE_LOCAL, or one
			     that leads to ourself */
	const struct smtp_reply *reply; /* RCPT's own; NULL: the backend's,
					or 2xx for one who is here */
};

struct lookup_result lookup_result(const struct lookup *lookup);

/* Clears the pointer; NULL is fine. */
void lookup_free(struct lookup **lookup);

#endif
