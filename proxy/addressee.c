#include "proxy/addressee.h"

#include "proxy/forward.h"

int addressee_parse(struct arena *arena, const char *text, size_t len,
		    unsigned workarounds, struct smtp_address *address_r,
		    size_t *rest_r, struct err *err)
{
	return smtp_path_parse(arena, text, len,
			       SMTP_PATH_DOMAIN_OPTIONAL |
				       SMTP_PATH_ALLOW_DOTS | workarounds,
			       address_r, rest_r, err);
}

const char *addressee_user(struct arena *arena,
			   const struct smtp_address *address,
			   const char *delimiters, size_t *user_len_r)
{
	const char *detail, *user;
	size_t len = smtp_address_split_detail(address->localpart, delimiters,
					       &detail);

	*user_len_r = len;
	/* Without quotes and detail it is what the client wrote. */
	if (address->raw[0] != '"' && address->localpart[len] == '\0')
		return address->raw;
	user = arena_strndup(arena, address->localpart, len);
	return address->domain == NULL
		       ? user
		       : arena_concat(arena, user, "@", address->domain);
}

/* --- where the answer leads --- */

static void refuse(struct route *route, enum reply_cause cause,
		   const char *reason)
{
	*route = (struct route){
		.kind = ROUTE_REFUSE,
		.cause = cause,
		.reason = reason,
	};
}

static enum reply_cause failure_cause(const struct passdb_request *lookup)
{
	if (lookup->malformed)
		return REPLY_BAD_ROUTE;
	return lookup->timed_out ? REPLY_LOOKUP_TIMED_OUT
				 : REPLY_LOOKUP_FAILED;
}

static int route_found(struct arena *arena,
		       const struct addressee_director *director,
		       const struct passdb_request *lookup,
		       const struct smtp_address *address, size_t user_len,
		       struct route *route_r, struct smtp_rcpt_params *params,
		       struct err *err)
{
	const struct route_input input = {
		.fields = &lookup->fields,
		.user = lookup->user,
		.username = lookup->username,
		.rcpt = address,
		.user_len = user_len,
		.local = &lookup->client->local,
		.real_local = &lookup->client->real_local,
		.self = lookup->client->self,
		.director = director->director,
		.stay = director->stay,
		.before = director->before,
	};

	if (route_find(arena, &input, route_r, err) == 0 &&
	    forward_write(arena, &lookup->fields, params, err) == 0)
		return 0;
	refuse(route_r, REPLY_BAD_ROUTE, NULL);
	return -1;
}

int addressee_route(struct arena *arena,
		    const struct addressee_director *director,
		    const struct passdb_request *lookup,
		    const struct smtp_address *address, size_t user_len,
		    struct route *route_r, struct smtp_rcpt_params *params,
		    struct err *err)
{
	switch (lookup->result) {
	case PASSDB_OK:
		return route_found(arena, director, lookup, address, user_len,
				   route_r, params, err);
	case PASSDB_NOT_FOUND:
		refuse(route_r, REPLY_USER_UNKNOWN, lookup->user);
		break;
	case PASSDB_FAIL:
		refuse(route_r, failure_cause(lookup), lookup->reason);
		break;
	}
	return 0;
}

/* --- ourself --- */

bool addressee_goes_round(const struct route *route,
			  const struct passdb_client *client)
{
	const struct addr *addr = &route->target.addr;

	return !route->address_changed && addr->len > 0 &&
	       (addr_equal(addr, &client->local) ||
		addr_equal(addr, &client->real_local));
}

bool addressee_is_here(const struct route *route,
		       const struct passdb_client *client,
		       const struct dns_answer *answer)
{
	const struct route_input input = {
		.local = &client->local,
		.real_local = &client->real_local,
		.self = client->self,
	};
	unsigned i;

	for (i = 0; i < answer->count; i++) {
		struct addr addr = answer->addrs[i];

		addr_set_port(&addr, route->target.port);
		if (route_is_self(&input, &addr))
			return true;
	}
	return false;
}
