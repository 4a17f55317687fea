/* Where an LDAP server is: what hosts and uris say. */
#ifndef PASSDB_LDAP_SERVER_H
#define PASSDB_LDAP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/tls/peer.h"
#include "passdb/ldap/settings.h"

struct ldap_server {
	const char *text; /* as it was written, for log lines */
	const char *host; /* name or literal (no brackets); NULL: ldapi */
	struct addr addr; /* of a literal or a socket; len 0: ask DNS */
	uint16_t port;
	bool tls; /* ldaps:// */
};

struct ldap_servers {
	struct ldap_server *list;
	unsigned count;
};

/* Reads URLs, separated by blanks: ldap://host[:port], ldaps:// (port 636) and
 * ldapi://%2Fpath, an empty one being localhost or /var/run/slapd/ldapi.
 * Strings live in arena. */
int ldap_servers_parse_uris(struct ldap_servers *servers, struct arena *arena,
			    const char *uris, struct err *err);

/* The same for host, host:port, [IPv6] and [IPv6]:port. */
int ldap_servers_parse_hosts(struct ldap_servers *servers, struct arena *arena,
			     const char *hosts, struct err *err);

/* What the server has to prove for TLS; NULL: that cannot be checked. context
 * is a client's. */
struct tls_peer *ldap_server_peer(const struct ldap_server *server,
				  const struct ldap_settings *settings,
				  struct tls_context *context,
				  struct err *err);

#endif
