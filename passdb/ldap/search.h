/* One search for the user of a lookup, from the driver through the pool to a
 * server and back. */
#ifndef PASSDB_LDAP_SEARCH_H
#define PASSDB_LDAP_SEARCH_H

#include "lib/arena.h"
#include "lib/list.h"
#include "passdb/ldap/conn.h"
#include "passdb/ldap/entry.h"

struct ldap_link;

struct ldap_search {
	/* set by the driver; all of it lives until done() or cancel: */
	struct ldap_search_params params;
	struct arena *arena; /* for the entries */
	void (*done)(struct ldap_search *search);

	/* valid in done(): */
	enum ldap_verdict verdict;
	const char *text;    /* why it is not OK: who said what; in arena */
	const char *matched; /* NO_OBJECT: how much of the base is there */
	const char *server;  /* who said so; NULL: nobody */
	unsigned count;	     /* of entries */
	const struct ldap_entry *entries[2]; /* the first ones */

	/* the pool's and the link's own: */
	struct list node;
	struct ldap_link *link; /* NULL: it waits */
	int id;
	unsigned attempts; /* servers that did not answer */
};

#endif
