/* Postfix asks where mail for a recipient goes: transport_maps. The answer is
 * transport(5): the recipient's own server, as RCPT would find it. Whoever has no
 * entry goes where Postfix sends all others, which should be us: so nothing that
 * we say makes mail bounce. */
#include <string.h>

#include "proxy/control/private.h"

#define MAP "director"

/* Of a transport's name: what nexthop cannot say is in master.cf. */
static const char *const tls_suffixes[] = {
	[REMOTE_TLS_NONE] = "",
	[REMOTE_TLS_IMMEDIATE] = "-tls",
	[REMOTE_TLS_STARTTLS] = "-starttls",
};

static void put_transport(struct str *out, const struct route *route,
			  const struct addr *addr)
{
	const struct remote_target *target = &route->target;

	str_puts(out, target->protocol == REMOTE_SMTP ? "smtp" : "lmtp");
	str_puts(out, tls_suffixes[target->tls]);
	str_puts(out, addr->sa.sa_family == AF_INET6 ? ":[ipv6:" : ":[");
	addr_write_ip(out, addr);
	str_printf(out, "]:%u", target->port);
}

static void answer_remote(struct mapd_request **request,
			  const struct answer *answer)
{
	const struct route *route = answer->result.route;
	enum map_result result = MAP_TEMP;
	struct str text = STR_INIT;

	if (answer->addr.len == 0) {
		str_printf(&text, "%s: %s", route->target.host,
			   answer->dns_error);
	} else if (route->address_changed) {
		str_printf(&text, "known as %s to the server, which a "
			   "transport cannot say", route->address);
	} else {
		result = MAP_OK;
		put_transport(&text, route, &answer->addr);
	}
	mapd_reply(request, result, str_c(&text));
	str_free(&text);
}

static void done(void *arg, const struct answer *answer)
{
	struct mapd_request *request = arg;

	if (answer->kind == ANSWER_REMOTE)
		answer_remote(&request, answer);
	else if (answer->kind == ANSWER_TEMPFAIL)
		mapd_reply(&request, MAP_TEMP, answer->result.reply->text);
	else
		mapd_reply(&request, MAP_NOTFOUND, "");
}

/* Postfix also asks for "*", and postmap(1) for anything. */
static bool is_address(const char *key)
{
	const char *at = strrchr(key, '@');

	return at != NULL && at > key && at[1] != '\0';
}

void control_socketmap(void *arg, struct mapd_request *request)
{
	struct control *control = arg;
	const struct map_request *wire = &request->wire;
	struct str ip = STR_INIT;
	struct err err;

	if (request->peer.sa.sa_family != AF_UNIX)
		addr_write_ip(&ip, &request->peer);
	if (*wire->map != '\0' && strcmp(wire->map, MAP) != 0)
		mapd_reply(&request, MAP_PERM, "the only map is " MAP);
	else if (!is_address(wire->key))
		mapd_reply(&request, MAP_NOTFOUND, "");
	else if (answers_ask(control->answers, wire->key,
			     ip.len > 0 ? str_c(&ip) : NULL, done, request,
			     &err) == NULL)
		mapd_reply(&request, MAP_TEMP, err.text);
	str_free(&ip);
}
