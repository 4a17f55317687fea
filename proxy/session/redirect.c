#include "proxy/session/redirect.h"

#include <strings.h>

#include "lib/smtp/referral.h"
#include "proxy/session/private.h"
#include "proxy/session/recipient.h"
#include "proxy/session/transaction.h"
#include "proxy/session/xclient.h"

/* Whatever TTL a client has given. */
#define REDIRECTS_MAX 16

struct redirect {
	struct redirect *next;
	const char *host;
	uint16_t port;
};

static bool redirect_was_at(const struct recipient *rcpt,
			    const struct remote_target *target)
{
	const struct redirect *at;

	for (at = rcpt->redirects; at != NULL; at = at->next)
		if (at->port == target->port &&
		    strcasecmp(at->host, target->host) == 0)
			return true;
	return false;
}

static void redirect_note(struct recipient *rcpt)
{
	struct redirect *at =
		arena_new_struct(rcpt->trans->arena, struct redirect);

	at->host = rcpt->route.target.host;
	at->port = rcpt->route.target.port;
	at->next = rcpt->redirects;
	rcpt->redirects = at;
}

static bool redirect_is_too_far(const struct recipient *rcpt)
{
	return rcpt->hops >= REDIRECTS_MAX ||
	       rcpt->hops >= session_xclient_ttl(rcpt->trans->session);
}

/* What the present route says of TLS and the like holds there, too; so does the
 * port. */
static int redirect_route(struct recipient *rcpt,
			  const struct smtp_referral *referral,
			  struct route *route, struct err *err)
{
	const struct route_input input = {
		.user = rcpt->lookup.user,
		.rcpt = &rcpt->address,
		.user_len = rcpt->user_len,
	};

	*route = rcpt->route;
	route->common = false;
	route->target.host = referral->host;
	if (referral->port != 0)
		route->target.port = referral->port;
	if (addr_parse_ip(&route->target.addr, referral->host,
			  route->target.port) < 0)
		route->target.addr.len = 0;
	if (referral->user == NULL)
		return 0;
	return route_set_user(rcpt->trans->arena, &input, "user",
			      referral->user, route, err);
}

static void redirect_follow(struct recipient *rcpt, const struct route *route)
{
	struct str from = STR_INIT, to = STR_INIT;

	remote_target_write(&from, &rcpt->route.target);
	remote_target_write(&to, &route->target);
	log_info(&rcpt->log, "<%s> is referred from %s to %s",
		 rcpt->address.raw, str_c(&from), str_c(&to));
	str_free(&from);
	str_free(&to);
	rcpt->route = *route;
	rcpt->hops++;
	/* Once more it needs a remote. */
	rcpt->state = RECIPIENT_RESOLVE;
	rcpt->trans->routing++;
	recipient_connect(rcpt);
}

bool redirect_take(struct recipient *rcpt, const struct smtp_reply *reply)
{
	struct smtp_referral referral;
	struct route route;
	struct err err;
	int ret;

	if (rcpt->state != RECIPIENT_RCPT)
		return false;
	ret = smtp_referral_parse(rcpt->trans->arena, reply, &referral, &err);
	if (ret == 0)
		return false;
	redirect_note(rcpt);
	if (ret < 0 || redirect_route(rcpt, &referral, &route, &err) < 0) {
		log_error(&rcpt->log, "referral from %s: %s",
			  rcpt->route.target.host, err.text);
		recipient_fail(rcpt, REPLY_BAD_ROUTE);
	} else if (redirect_was_at(rcpt, &route.target)) {
		recipient_fail(rcpt, REPLY_LOOP);
	} else if (redirect_is_too_far(rcpt)) {
		recipient_fail(rcpt, REPLY_TTL);
	} else {
		redirect_follow(rcpt, &route);
	}
	return true;
}
