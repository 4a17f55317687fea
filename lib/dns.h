/* Host names to addresses without blocking (c-ares), one resolver per loop,
 * with a cache that keeps each answer for its TTL. */
#ifndef LIB_DNS_H
#define LIB_DNS_H

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/loop.h"

struct dns;
struct dns_request;

struct dns_answer {
	const struct addr *addrs; /* port 0; IPv6 and IPv4 alternating (RFC
				     8305 4); at most 64 */
	unsigned count;		  /* 0: failed */
	const char *error;	  /* why, when count is 0 ("host not found",
				     "timeout"); constant text */
};

/* servers: addresses, for another port than 53 as "192.0.2.1:5353" or
 * "[2001:db8::1]:5353", with blanks or commas between; NULL or "" for the system's
 * (resolv.conf, with its search list, read again once it has changed). timeout_ms
 * bounds a whole lookup: retries and further servers included. NULL and err
 * when that cannot be set up. */
struct dns *dns_new(struct loop *loop, const char *servers,
		    unsigned timeout_ms, struct err *err);

/* Clears the pointer; NULL is fine. No request may be under way. */
void dns_free(struct dns **dns);

/* Others from now on, also for lookups under way, if these are not the same; what
 * is known is forgotten then. Returns 0, or -1 with err: nothing has changed. */
int dns_set(struct dns *dns, const char *servers, unsigned timeout_ms,
	    struct err *err);

/* Whether dns_new() would take them: 0, or -1 with err. */
int dns_check_servers(const char *servers, struct err *err);

/* Looks name up (A and AAAA, the hosts file too); not for literals. fn is
 * called once, from the loop and not inside this call; the request is over by
 * then, the answer is valid until fn returns. Equal lookups under way are made
 * once.
 *
 * Answers are kept for their TTL (1 second to 1 hour), failures for 5 seconds
 * (so that a dead DNS server is not asked over and over), the 4096 newest names
 * at most. */
struct dns_request *dns_lookup(struct dns *dns, const char *name,
			       void (*fn)(void *arg,
					  const struct dns_answer *answer),
			       void *arg);

/* Forgets the request (before fn was called); clears the pointer, NULL is
 * fine. */
void dns_cancel(struct dns_request **request);

#endif
