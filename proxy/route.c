#include "proxy/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LMTP_PORT 24
#define SMTP_PORT 25

static const char *route_field(const struct route_input *input, const char *key)
{
	return passdb_fields_get(input->fields, key);
}

static int parse_number(const char *key, const char *value, unsigned long max,
			unsigned long *number_r, struct err *err)
{
	char *end;

	errno = 0;
	*number_r = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
	    *number_r == 0 || *number_r > max)
		return err_set(err, "%s=%s: not a number from 1 to %lu", key,
			       value, max);
	return 0;
}

static int parse_ip(const char *key, const char *value, uint16_t port,
		    struct addr *addr_r, struct err *err)
{
	if (addr_parse_ip(addr_r, value, port) < 0)
		return err_set(err, "%s=%s: not an IP address", key, value);
	return 0;
}

static int route_protocol(const struct route_input *input,
			  struct remote_target *target, struct err *err)
{
	const char *value = route_field(input, "protocol");

	if (value == NULL || strcmp(value, "lmtp") == 0)
		target->protocol = REMOTE_LMTP;
	else if (strcmp(value, "smtp") == 0)
		target->protocol = REMOTE_SMTP;
	else
		return err_set(err, "protocol=%s: neither lmtp nor smtp",
			       value);
	return 0;
}

/* As Dovecot: an explicit port wins, then the protocol's, then the one that
 * the client connected to. */
static int route_port(const struct route_input *input,
		      struct remote_target *target, struct err *err)
{
	const char *value = route_field(input, "port");
	unsigned long port;

	if (value != NULL) {
		if (parse_number("port", value, 65535, &port, err) < 0)
			return -1;
		target->port = (uint16_t)port;
	} else if (route_field(input, "protocol") != NULL) {
		target->port = target->protocol == REMOTE_SMTP ? SMTP_PORT
							       : LMTP_PORT;
	} else {
		target->port = addr_port(input->local);
		if (target->port == 0)
			target->port = LMTP_PORT;
	}
	return 0;
}

static int route_host(const struct route_input *input,
		      struct remote_target *target, struct err *err)
{
	const char *host = route_field(input, "host");
	const char *hostip = route_field(input, "hostip");
	const char *source = route_field(input, "source_ip");

	if (host == NULL)
		return err_set(err, "proxy is set, but host is not given");
	if (host[0] == '\0' || strlen(host) > 255 ||
	    strpbrk(host, " \t\r\n/") != NULL)
		return err_set(err, "host=%s: not a host name or an address",
			       host);
	target->host = host;
	if (hostip != NULL &&
	    parse_ip("hostip", hostip, target->port, &target->addr, err) < 0)
		return -1;
	if (hostip == NULL &&
	    addr_parse_ip(&target->addr, host, target->port) < 0)
		target->addr.len = 0;
	if (source != NULL &&
	    parse_ip("source_ip", source, 0, &target->source, err) < 0)
		return -1;
	return 0;
}

/* Never in clear what was meant to be encrypted. */
static int route_refuse_tls(const struct route_input *input, struct err *err)
{
	if (route_field(input, "ssl") != NULL)
		return err_set(err, "ssl: TLS to backends is not supported "
			       "in this version");
	if (route_field(input, "starttls") != NULL)
		return err_set(err, "starttls: TLS to backends is not "
			       "supported in this version");
	return 0;
}

static int route_timeout(const struct route_input *input, struct route *route,
			 struct err *err)
{
	const char *value = route_field(input, "proxy_timeout");
	unsigned long seconds;

	if (value == NULL)
		return 0;
	if (parse_number("proxy_timeout", value, 86400, &seconds, err) < 0)
		return -1;
	route->timeout_ms = (unsigned)seconds * 1000;
	return 0;
}

/* The user that the backend shall see; the detail is put back. */
static int route_address(struct arena *arena, const struct route_input *input,
			 struct route *route, struct err *err)
{
	const char *destuser = route_field(input, "destuser");
	const char *user = destuser != NULL ? destuser : input->username;
	const char *detail = input->rcpt->localpart + input->user_len;
	struct smtp_address address;
	struct str out = STR_INIT, local = STR_INIT;
	struct err why;

	route->address = input->rcpt->raw;
	route->utf8 = input->rcpt->utf8;
	route->address_changed = strcmp(user, input->user) != 0;
	if (!route->address_changed)
		return 0;
	if (smtp_address_parse(arena, user, &address, &why) < 0)
		return err_set(err, "%s=%s: %s",
			       destuser != NULL ? "destuser" : "user", user,
			       why.text);
	str_printf(&local, "%s%s", address.localpart, detail);
	smtp_address_write(&out, str_c(&local), address.domain);
	route->address = arena_strdup(arena, str_c(&out));
	route->utf8 = address.utf8 || input->rcpt->utf8;
	str_free(&local);
	str_free(&out);
	return 0;
}

static bool route_refused(const struct route_input *input, struct route *route)
{
	const char *reason = route_field(input, "reason");
	bool tempfail = route_field(input, "tempfail") != NULL;

	if (!tempfail && route_field(input, "nologin") == NULL)
		return false;
	route->kind = ROUTE_REFUSE;
	route->cause = tempfail ? REPLY_TEMPFAIL : REPLY_LOGIN_DISABLED;
	route->reason = reason != NULL && reason[0] != '\0' ? reason : NULL;
	return true;
}

/* Sets kind for "proxy_maybe", as far as it can be told without DNS. */
static void route_maybe(const struct route_input *input, struct route *route)
{
	if (route_field(input, "proxy") != NULL)
		return;
	if (route->target.addr.len == 0)
		route->maybe_self = true;
	else if (addr_equal(&route->target.addr, input->local))
		route->kind = ROUTE_LOCAL;
}

int route_find(struct arena *arena, const struct route_input *input,
	       struct route *route, struct err *err)
{
	memset(route, 0, sizeof(*route));
	if (route_refused(input, route))
		return 0;
	if (route_field(input, "proxy") == NULL &&
	    route_field(input, "proxy_maybe") == NULL) {
		route->kind = ROUTE_LOCAL;
		return 0;
	}
	route->kind = ROUTE_REMOTE;
	if (route_refuse_tls(input, err) < 0 ||
	    route_protocol(input, &route->target, err) < 0 ||
	    route_port(input, &route->target, err) < 0 ||
	    route_host(input, &route->target, err) < 0 ||
	    route_timeout(input, route, err) < 0)
		return -1;
	route_maybe(input, route);
	return route_address(arena, input, route, err);
}
