/* Who an address names, and where the answer to the lookup leads: what a RCPT
 * and waypost -l have in common. No I/O. */
#ifndef PROXY_ADDRESSEE_H
#define PROXY_ADDRESSEE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/arena.h"
#include "lib/dns.h"
#include "lib/err.h"
#include "lib/smtp/address.h"
#include "lib/smtp/params.h"
#include "passdb/passdb.h"
#include "proxy/route.h"

/* Reads the path at the start of text as RCPT does; workarounds are enum
 * smtp_path_flag of lmtp_client_workarounds. See smtp_path_parse(). */
int addressee_parse(struct arena *arena, const char *text, size_t len,
		    unsigned workarounds, struct smtp_address *address_r,
		    size_t *rest_r, struct err *err);

/* The user whom passdbs are asked for: address without detail, which begins
 * with one of delimiters. *user_len_r is how much of its local part that is. The
 * result lives in arena, or as long as address. */
const char *addressee_user(struct arena *arena,
			   const struct smtp_address *address,
			   const char *delimiters, size_t *user_len_r);

/* The director (NULL: none), who is asked for a host when an answer has none, and
 * the server where the user is (NULL: as the director says); and where other
 * recipients of the same client went (NULL: none), to whom this one is added: lookup
 * and *route_r outlive that. */
struct addressee_director {
	const struct director *director;
	const uint32_t *stay;
	struct routes_before *before;
};

/* Sets *route_r to what follows from lookup, which is done: also when it failed
 * or found nobody, which makes a refusal. The target's tls_context is not set, or as before.
 * params gets the forward_* fields. Returns -1 when a field is malformed or there is no
 * host, which is a refusal as well: *err names field and value, for the log. */
int addressee_route(struct arena *arena,
		    const struct addressee_director *director,
		    const struct passdb_request *lookup,
		    const struct smtp_address *address, size_t user_len,
		    struct route *route_r, struct smtp_rcpt_params *params,
		    struct err *err);

/* Whether mail that takes the route comes back for the same recipient: the
 * target is the address that the client connected to, or is said to have. */
bool addressee_goes_round(const struct route *route,
			  const struct passdb_client *client);

/* Whether a route that is maybe_self leads to ourself, once its host is
 * resolved. */
bool addressee_is_here(const struct route *route,
		       const struct passdb_client *client,
		       const struct dns_answer *answer);

#endif
