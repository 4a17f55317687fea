/* A connection to one LDAP server, from its name to the searches on it:
 * DNS, connect, TLS, bind. */
#ifndef PASSDB_LDAP_LINK_H
#define PASSDB_LDAP_LINK_H

#include <stdbool.h>

#include "lib/log/log.h"
#include "lib/tls/peer.h"
#include "passdb/driver.h"
#include "passdb/ldap/search.h"
#include "passdb/ldap/server.h"
#include "passdb/ldap/settings.h"

struct ldap_link;

struct ldap_link_events {
	/* Searches can be sent from now on. */
	void (*ready)(void *owner, struct ldap_link *link);
	/* It is of no use any more: take its searches and close it. */
	void (*lost)(void *owner, struct ldap_link *link, const char *why);
	/* The search is over; it is on no list any more. */
	void (*answered)(void *owner, struct ldap_link *link,
			 struct ldap_search *search);
};

struct ldap_link_params {
	const struct ldap_server *server;
	const struct ldap_settings *settings;
	struct tls_peer *peer; /* NULL: no TLS */
	unsigned silence_ms;   /* a server that answers no search in time for
				  that long, when there are some, is lost */
	const struct ldap_link_events *events;
	void *owner;
};

/* Starts; params->server and settings outlive it. Events come from the loop. */
struct ldap_link *ldap_link_open(const struct passdb_env *env,
				 const struct ldap_link_params *params);

/* Immediate; its searches must have been taken. Clears the pointer, NULL is
 * fine. Memory goes at the end of the pass. */
void ldap_link_close(struct ldap_link **link);

bool ldap_link_is_ready(const struct ldap_link *link);

/* Whether it has had so many requests that it should be replaced. */
bool ldap_link_is_worn(const struct ldap_link *link);

/* Requests that the server owes an answer, also to forgotten ones. */
unsigned ldap_link_outstanding(const struct ldap_link *link);

/* Whether it was ever of use. */
bool ldap_link_has_answered(const struct ldap_link *link);

/* Whether it has ended after a time without searches, before any of those since
 * was answered: it may have been of no use already when they were sent. */
bool ldap_link_was_stale(const struct ldap_link *link);

/* When something last happened (loop_now_us()). */
uint64_t ldap_link_used_us(const struct ldap_link *link);

/* Sends a search; -1: it makes no sense. */
int ldap_link_send(struct ldap_link *link, struct ldap_search *search,
		   struct err *err);

/* Takes back a search that was not answered; NULL: there is none left. */
struct ldap_search *ldap_link_take(struct ldap_link *link);

/* Forgets a search; the answer will be ignored. */
void ldap_link_forget(struct ldap_link *link, struct ldap_search *search);

#endif
