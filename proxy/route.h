/* Where a lookup result leads: the one place where passdb fields meet
 * backends. Pure: no I/O, no state. */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <stdbool.h>

#include "backends/remote/target.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/networks.h"
#include "lib/smtp/address.h"
#include "passdb/fields.h"
#include "proxy/director/director.h"
#include "proxy/reply_map.h"

enum route_kind {
	ROUTE_REMOTE,
	ROUTE_LOCAL,  /* not proxied */
	ROUTE_REFUSE, /* by the passdb's word: reply with cause and reason */
};

struct route {
	enum route_kind kind;
	struct remote_target target; /* its tls_context is not set */
	/* whose choice the host was; its server is NULL: the passdb's */
	struct director_choice choice;
	/* "proxy_maybe" and a host name: local if it resolves to ourself */
	bool maybe_self;
	const char *address; /* for RCPT, between < and > */
	bool utf8;	     /* the address needs SMTPUTF8 */
	bool address_changed;
	unsigned timeout_ms; /* proxy_timeout; 0: not given */
	bool common; /* all but the address follows from the fields alone */
	enum reply_cause cause;
	const char *reason; /* NULL: the table's text */
};

/* The fields that a route depends on, by number from 0; NULL behind the last. */
const char *route_field_name(unsigned number);

/* Routes of others for whom all below but fields and user is the same: of those
 * with different fields, the last ones. */
#define ROUTES_BEFORE 8
struct routes_before {
	struct {
		const struct passdb_fields *fields;
		const struct route *route;
	} list[ROUTES_BEFORE];
	unsigned count; /* so far */
};

/* What the route depends on besides the fields. */
struct route_input {
	const struct passdb_fields *fields;
	const char *user;		  /* as the passdb was asked */
	const char *username;		  /* as it knows the user */
	const struct smtp_address *rcpt;  /* as the client wrote it */
	size_t user_len;     /* of the local part without detail */
	const struct addr *local; /* where the client connected to */
	const struct addr *real_local; /* where its proxy did; NULL: none */
	const struct networks *self; /* addresses of ours; NULL: none more */
	const struct director *director; /* for users without host; or NULL */
	const uint32_t *stay; /* the server that they are at; NULL: none */
	struct routes_before *before; /* may save the work; NULL: none */
};

/* Whether what is at addr is ourself, as proxy_maybe sees it. */
bool route_is_self(const struct route_input *input, const struct addr *addr);

/* Returns 0, or -1 when a field is malformed, or there is no server for the
 * user: *err names field and value, or says so. Of a common route before with the
 * same fields, the tls_context comes along. A new one is noted there: fields and
 * *route_r outlive that. */
int route_find(struct arena *arena, const struct route_input *input,
	       struct route *route_r, struct err *err);

/* Makes user, from the field of that name, the one whom the backend shall see;
 * the detail is put back. input needs no more than rcpt, user and user_len.
 * Returns 0, or -1 when user is no address. */
int route_set_user(struct arena *arena, const struct route_input *input,
		   const char *field, const char *user, struct route *route,
		   struct err *err);

#endif
