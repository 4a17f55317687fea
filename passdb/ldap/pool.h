/* The connections of one worker to the LDAP servers of one configuration, and
 * the searches that wait for them.
 *
 * The first server of the list that works is used; those before it are tried
 * again and again, at growing intervals up to 2 seconds, first with a
 * connection, then with one search at a time, and taken back into use when they
 * answer one. A search whose connection is lost is sent again, three times at
 * most, the last time alone on its connection; a connection that had ended before
 * it was used again does not count. While no server works searches wait; once
 * that has lasted for patience_ms they fail at once. */
#ifndef PASSDB_LDAP_POOL_H
#define PASSDB_LDAP_POOL_H

#include "lib/tls/context.h"
#include "passdb/driver.h"
#include "passdb/ldap/search.h"
#include "passdb/ldap/server.h"
#include "passdb/ldap/settings.h"

struct ldap_pool;

/* All of it outlives the pool. */
struct ldap_pool_params {
	const struct ldap_settings *settings;
	const struct ldap_servers *servers;
	struct tls_context *tls; /* NULL: no server has TLS */
	unsigned silence_ms;	 /* see struct ldap_link_params */
	unsigned patience_ms;
};

/* Connects when there is something to ask. */
struct ldap_pool *ldap_pool_new(const struct passdb_env *env,
				const struct ldap_pool_params *params);

/* No search may be under way. Clears the pointer; NULL is fine. */
void ldap_pool_free(struct ldap_pool **pool);

/* search->done() comes later, from the loop. */
void ldap_pool_search(struct ldap_pool *pool, struct ldap_search *search);

/* How many searches wait for a connection. */
unsigned ldap_pool_waiting(const struct ldap_pool *pool);

/* Forgets a search that is under way. */
void ldap_pool_cancel(struct ldap_pool *pool, struct ldap_search *search);

#endif
