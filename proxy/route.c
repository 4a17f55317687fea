#include "proxy/route.h"

#include <string.h>
#include <strings.h>

/* In no name: what separates fields, names of several hosts, or a port. */
#define NOT_IN_HOST " \t\r\n/,:"
#define LMTP_PORT 24
#define SMTP_PORT 25

/* The fields that a route depends on, by the first letters of their names. */
enum route_field {
	FIELD_DESTUSER,
	FIELD_DIRECTOR_PROXY_MAYBE,
	FIELD_DIRECTOR_TAG,
	FIELD_HOST,
	FIELD_HOSTIP,
	FIELD_NOLOGIN,
	FIELD_PORT,
	FIELD_PROTOCOL,
	FIELD_PROXY,
	FIELD_PROXY_MAYBE,
	FIELD_PROXY_TIMEOUT,
	FIELD_REASON,
	FIELD_SOURCE_IP,
	FIELD_SSL,
	FIELD_STARTTLS,
	FIELD_TEMPFAIL,
	FIELDS,
};

static const char *const field_names[] = {
	[FIELD_DESTUSER] = "destuser",
	[FIELD_DIRECTOR_PROXY_MAYBE] = "director_proxy_maybe",
	[FIELD_DIRECTOR_TAG] = "director_tag",
	[FIELD_HOST] = "host",
	[FIELD_HOSTIP] = "hostip",
	[FIELD_NOLOGIN] = "nologin",
	[FIELD_PORT] = "port",
	[FIELD_PROTOCOL] = "protocol",
	[FIELD_PROXY] = "proxy",
	[FIELD_PROXY_MAYBE] = "proxy_maybe",
	[FIELD_PROXY_TIMEOUT] = "proxy_timeout",
	[FIELD_REASON] = "reason",
	[FIELD_SOURCE_IP] = "source_ip",
	[FIELD_SSL] = "ssl",
	[FIELD_STARTTLS] = "starttls",
	[FIELD_TEMPFAIL] = "tempfail",
};

const char *route_field_name(unsigned number)
{
	return number < FIELDS ? field_names[number] : NULL;
}

/* Their values; NULL: not given. */
struct route_values {
	const char *of[FIELDS];
};

/* The first of those whose name begins with that letter; 0 if none does. */
static const unsigned char field_letters[256] = {
	['d'] = FIELD_DESTUSER,	 ['h'] = FIELD_HOST,   ['n'] = FIELD_NOLOGIN,
	['p'] = FIELD_PORT,	 ['r'] = FIELD_REASON, ['s'] = FIELD_SOURCE_IP,
	['t'] = FIELD_TEMPFAIL,
};

/* FIELDS for one that does not matter. */
static enum route_field route_field_find(const char *key)
{
	unsigned i = field_letters[(unsigned char)key[0]];

	for (; i < FIELDS && field_names[i][0] == key[0]; i++)
		if (strcmp(field_names[i], key) == 0)
			return (enum route_field)i;
	return FIELDS;
}

static struct route_values route_values(const struct passdb_fields *fields)
{
	struct route_values values = { { NULL } };
	unsigned i;

	for (i = 0; i < fields->count; i++) {
		const struct passdb_field *field = &fields->list[i];
		enum route_field id = route_field_find(field->key);

		if (id < FIELDS)
			values.of[id] = field->value;
	}
	return values;
}

static int parse_number(const char *key, const char *value, unsigned long max,
			unsigned long *number_r, struct err *err)
{
	const char *at = value;

	*number_r = 0;
	while (*at >= '0' && *at <= '9' && *number_r <= max)
		*number_r = *number_r * 10 + (unsigned long)(*at++ - '0');
	if (*at != '\0' || *number_r == 0 || *number_r > max)
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

static int route_protocol(const struct route_values *values,
			  struct remote_target *target, struct err *err)
{
	const char *value = values->of[FIELD_PROTOCOL];

	if (value == NULL || strcmp(value, "lmtp") == 0)
		target->protocol = REMOTE_LMTP;
	else if (strcmp(value, "smtp") == 0)
		target->protocol = REMOTE_SMTP;
	else
		return err_set(err, "protocol=%s: neither lmtp nor smtp",
			       value);
	return 0;
}

static uint16_t protocol_port(enum remote_protocol protocol)
{
	return protocol == REMOTE_SMTP ? SMTP_PORT : LMTP_PORT;
}

/* As Dovecot: an explicit port wins, then the protocol's, then the one that
 * the client connected to. */
static int route_port(const struct route_values *values,
		      const struct route_input *input,
		      struct remote_target *target, struct err *err)
{
	const char *value = values->of[FIELD_PORT];
	unsigned long port;

	if (value != NULL) {
		if (parse_number("port", value, 65535, &port, err) < 0)
			return -1;
		target->port = (uint16_t)port;
	} else if (values->of[FIELD_PROTOCOL] != NULL) {
		target->port = protocol_port(target->protocol);
	} else {
		target->port = addr_port(input->local);
		if (target->port == 0)
			target->port = LMTP_PORT;
	}
	return 0;
}

static int bad_host(const char *host, struct err *err)
{
	return err_set(err, "host=%s: not a host name or an address (the "
		       "port is a field of its own; fields have blanks "
		       "between them)", host);
}

/* The host that the passdb names. */
static int route_named(const struct route_values *values,
		       struct remote_target *target, struct err *err)
{
	const char *host = values->of[FIELD_HOST];
	const char *hostip = values->of[FIELD_HOSTIP];
	struct addr addr;

	if (host == NULL)
		return err_set(err, "proxy is set, but host is not given");
	if (host[0] == '\0' || strlen(host) > 255 ||
	    (strpbrk(host, NOT_IN_HOST) != NULL &&
	     addr_parse_ip(&addr, host, 0) < 0))
		return bad_host(host, err);
	target->host = host;
	if (hostip != NULL &&
	    parse_ip("hostip", hostip, target->port, &target->addr, err) < 0)
		return -1;
	if (hostip == NULL &&
	    addr_parse_ip(&target->addr, host, target->port) < 0) {
		/* 010.0.0.1 is one address for some, and another one for others. */
		if (host[strspn(host, "0123456789.")] == '\0')
			return bad_host(host, err);
		target->addr.len = 0;
	}
	return 0;
}

/* What the passdb says of the way to the server counts more than what the
 * configuration does. */
static void route_way(const struct route_values *values,
		      const struct director_way *way,
		      struct remote_target *target)
{
	if (values->of[FIELD_PROTOCOL] == NULL && way->has_protocol)
		target->protocol = way->protocol;
	if (values->of[FIELD_PORT] == NULL && way->port != 0)
		target->port = way->port;
	else if (values->of[FIELD_PORT] == NULL && way->has_protocol &&
		 values->of[FIELD_PROTOCOL] == NULL)
		target->port = protocol_port(way->protocol);
	if (values->of[FIELD_SSL] == NULL &&
	    values->of[FIELD_STARTTLS] == NULL && way->has_tls) {
		target->tls = way->tls;
		target->any_cert = way->any_cert;
	}
}

/* The server that the director names. As in Dovecot, the user whom the backend
 * will see decides. */
static int route_directed(struct arena *arena, const struct route_values *values,
			  const struct route_input *input, struct route *route,
			  struct err *err)
{
	const char *user = values->of[FIELD_DESTUSER];
	const char *tag = values->of[FIELD_DIRECTOR_TAG];
	const struct director_server *server;

	if (director_choose(input->director, arena,
			    user != NULL ? user : input->username,
			    tag != NULL ? tag : "", &route->choice, err) < 0)
		return -1;
	if (input->stay != NULL)
		director_stay(input->director, *input->stay, &route->choice);
	server = route->choice.server;
	/* The director may be gone before the transaction. */
	route->target.host = arena_strdup(
		arena, server->name != NULL ? server->name : server->ip);
	route->target.addr = server->addr;
	route_way(values, &server->way, &route->target);
	addr_set_port(&route->target.addr, route->target.port);
	return 0;
}

static int route_host(struct arena *arena, const struct route_values *values,
		      const struct route_input *input, struct route *route,
		      struct err *err)
{
	const char *source = values->of[FIELD_SOURCE_IP];
	struct remote_target *target = &route->target;
	bool directed = values->of[FIELD_HOST] == NULL &&
			input->director != NULL;

	if (directed) {
		if (route_directed(arena, values, input, route, err) < 0)
			return -1;
	} else if (route_named(values, target, err) < 0) {
		return -1;
	}
	if (source != NULL &&
	    parse_ip("source_ip", source, 0, &target->source, err) < 0)
		return -1;
	return 0;
}

static bool is_any_cert(const char *value)
{
	return value != NULL && strcmp(value, "any-cert") == 0;
}

/* As Dovecot: any other value is a yes, and STARTTLS it is when both are given.
 */
static void route_tls(const struct route_values *values,
		      struct remote_target *target)
{
	if (values->of[FIELD_STARTTLS] != NULL)
		target->tls = REMOTE_TLS_STARTTLS;
	else if (values->of[FIELD_SSL] != NULL)
		target->tls = REMOTE_TLS_IMMEDIATE;
	target->any_cert = is_any_cert(values->of[FIELD_SSL]) ||
			   is_any_cert(values->of[FIELD_STARTTLS]);
}

static int route_timeout(const struct route_values *values, struct route *route,
			 struct err *err)
{
	const char *value = values->of[FIELD_PROXY_TIMEOUT];
	unsigned long seconds;

	if (value == NULL)
		return 0;
	if (parse_number("proxy_timeout", value, 86400, &seconds, err) < 0)
		return -1;
	route->timeout_ms = (unsigned)seconds * 1000;
	return 0;
}

int route_set_user(struct arena *arena, const struct route_input *input,
		   const char *field, const char *user, struct route *route,
		   struct err *err)
{
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
		return err_set(err, "%s=%s: %s", field, user, why.text);
	str_puts(&local, address.localpart);
	str_puts(&local, detail);
	smtp_address_write(&out, str_c(&local), address.domain);
	route->address = arena_strdup(arena, str_c(&out));
	route->utf8 = address.utf8 || input->rcpt->utf8;
	str_free(&local);
	str_free(&out);
	return 0;
}

static int route_address(struct arena *arena, const struct route_values *values,
			 const struct route_input *input, struct route *route,
			 struct err *err)
{
	const char *destuser = values->of[FIELD_DESTUSER];

	if (destuser != NULL)
		return route_set_user(arena, input, "destuser", destuser, route,
				      err);
	return route_set_user(arena, input, "user", input->username, route,
			      err);
}

static bool route_refused(const struct route_values *values,
			  struct route *route)
{
	const char *reason = values->of[FIELD_REASON];
	bool tempfail = values->of[FIELD_TEMPFAIL] != NULL;

	if (!tempfail && values->of[FIELD_NOLOGIN] == NULL)
		return false;
	route->kind = ROUTE_REFUSE;
	route->cause = tempfail ? REPLY_TEMPFAIL : REPLY_LOGIN_DISABLED;
	route->reason = reason != NULL && reason[0] != '\0' ? reason : NULL;
	return true;
}

bool route_is_self(const struct route_input *input, const struct addr *addr)
{
	if (addr_equal(addr, input->local) ||
	    (input->real_local != NULL && addr_equal(addr, input->real_local)))
		return true;
	return input->self != NULL && networks_contain(input->self, addr) &&
	       addr_port(addr) == addr_port(input->local);
}

/* As Dovecot: "proxy" beside "proxy_maybe" says nothing more, and of whom the
 * director chose for it says what is meant unless "director_proxy_maybe" does. */
static bool route_may_be_here(const struct route_values *values,
			      const struct route *route)
{
	if (route->choice.server == NULL)
		return values->of[FIELD_PROXY_MAYBE] != NULL;
	return values->of[FIELD_PROXY] == NULL ||
	       values->of[FIELD_DIRECTOR_PROXY_MAYBE] != NULL;
}

/* Sets kind for "proxy_maybe", and "director_proxy_maybe" of whom the director
 * chose for, as far as it can be told without DNS. */
static void route_maybe(const struct route_values *values,
			const struct route_input *input, struct route *route)
{
	if (!route_may_be_here(values, route))
		return;
	if (route->target.addr.len == 0)
		route->maybe_self = true;
	else if (route_is_self(input, &route->target.addr))
		route->kind = ROUTE_LOCAL;
}

static int route_from_fields(struct arena *arena,
			     const struct route_input *input,
			     struct route *route, struct err *err)
{
	const struct route_values values = route_values(input->fields);

	memset(route, 0, sizeof(*route));
	if (route_refused(&values, route))
		return 0;
	if (values.of[FIELD_PROXY] == NULL &&
	    values.of[FIELD_PROXY_MAYBE] == NULL) {
		route->kind = ROUTE_LOCAL;
		return 0;
	}
	route->kind = ROUTE_REMOTE;
	route_tls(&values, &route->target);
	if (route_protocol(&values, &route->target, err) < 0 ||
	    route_port(&values, input, &route->target, err) < 0 ||
	    route_host(arena, &values, input, route, err) < 0 ||
	    route_timeout(&values, route, err) < 0)
		return -1;
	route_maybe(&values, input, route);
	route->common = route->choice.server == NULL &&
			values.of[FIELD_DESTUSER] == NULL;
	return route_address(arena, &values, input, route, err);
}

/* NULL: nobody with the same fields had one that is common. */
static const struct route *route_known(const struct routes_before *before,
				       const struct passdb_fields *fields)
{
	unsigned i;

	for (i = 0; i < before->count && i < ROUTES_BEFORE; i++)
		if (before->list[i].route->common &&
		    passdb_fields_equal(fields, before->list[i].fields))
			return before->list[i].route;
	return NULL;
}

static void route_note(struct routes_before *before,
		       const struct passdb_fields *fields,
		       const struct route *route)
{
	unsigned at = before->count++ % ROUTES_BEFORE;

	before->list[at].fields = fields;
	before->list[at].route = route;
}

int route_find(struct arena *arena, const struct route_input *input,
	       struct route *route, struct err *err)
{
	struct routes_before *before = input->before;
	const struct route *known =
		before != NULL ? route_known(before, input->fields) : NULL;

	if (known != NULL) {
		*route = *known;
		return route_set_user(arena, input, "user", input->username,
				      route, err);
	}
	if (route_from_fields(arena, input, route, err) < 0)
		return -1;
	if (before != NULL && route->common)
		route_note(before, input->fields, route);
	return 0;
}
