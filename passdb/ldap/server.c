#include "passdb/ldap/server.h"

#include <string.h>
#include <strings.h>

#include "lib/digits.h"
#include "lib/domain.h"

#define PORT_LDAP 389
#define PORT_LDAPS 636
#define LDAPI_PATH "/var/run/slapd/ldapi"

/* Decodes %HH in place; -1 for what is none, and for NUL. */
static int decode(char *text)
{
	char *to = text;

	for (; *text != '\0'; text++) {
		int high, low;

		if (*text != '%') {
			*to++ = *text;
			continue;
		}
		high = hex_digit(text[1]);
		low = high < 0 ? -1 : hex_digit(text[2]);
		if (low < 0 || (high == 0 && low == 0))
			return -1;
		*to++ = (char)(high << 4 | low);
		text += 2;
	}
	*to = '\0';
	return 0;
}

static int parse_port(const char *text, uint16_t *port_r)
{
	unsigned port = 0;

	for (; *text >= '0' && *text <= '9' && port <= 65535; text++)
		port = port * 10 + (unsigned)(*text - '0');
	if (*text != '\0' || port == 0 || port > 65535)
		return -1;
	*port_r = (uint16_t)port;
	return 0;
}

/* "host", "host:port", "[::1]", "[::1]:port"; cut up in place. */
static int parse_host(struct ldap_server *server, char *text, struct err *err)
{
	char *end = *text == '[' ? strchr(text, ']') : text;
	char *colon = end != NULL ? strchr(end, ':') : NULL;

	if (colon != NULL) {
		if (parse_port(colon + 1, &server->port) < 0)
			return err_set(err, "%s: bad port", server->text);
		*colon = '\0';
	}
	server->host = *text != '\0' ? text : "localhost";
	if (addr_parse_ip(&server->addr, server->host, server->port) == 0) {
		if (*text == '[') {
			*end = '\0';
			server->host = text + 1;
		}
		return 0;
	}
	if (!domain_is_valid(server->host, strlen(server->host)))
		return err_set(err, "%s: bad host name", server->text);
	return 0;
}

static int parse_path(struct ldap_server *server, char *text, struct err *err)
{
	if (decode(text) < 0)
		return err_set(err, "%s: bad %% encoding", server->text);
	if (addr_set_unix(&server->addr,
			  *text != '\0' ? text : LDAPI_PATH) < 0)
		return err_set(err, "%s: the path is too long", server->text);
	return 0;
}

/* Moves *text behind the prefix, if it begins with that, in any case. */
static bool take(char **text, const char *prefix)
{
	size_t len = strlen(prefix);

	if (strncasecmp(*text, prefix, len) != 0)
		return false;
	*text += len;
	return true;
}

static int parse_uri(struct ldap_server *server, char *text, struct err *err)
{
	bool is_socket = take(&text, "ldapi://");
	char *slash;

	server->tls = !is_socket && take(&text, "ldaps://");
	if (!is_socket && !server->tls && !take(&text, "ldap://"))
		return err_set(err, "%s: not an ldap://, ldaps:// or ldapi:// "
			       "URL", server->text);
	slash = strchr(text, '/');
	if (slash != NULL && slash[1] != '\0')
		return err_set(err, "%s: only host and port may be in it "
			       "(the path of an ldapi:// socket has %%2F for "
			       "/)", server->text);
	if (slash != NULL)
		*slash = '\0';
	server->port = server->tls ? PORT_LDAPS : PORT_LDAP;
	return is_socket ? parse_path(server, text, err) :
			   parse_host(server, text, err);
}

static int parse_plain(struct ldap_server *server, char *text, struct err *err)
{
	server->port = PORT_LDAP;
	return parse_host(server, text, err);
}

static int parse_list(struct ldap_servers *servers, struct arena *arena,
		      const char *text,
		      int (*parse)(struct ldap_server *server, char *text,
				   struct err *err), struct err *err)
{
	struct ldap_server *server;
	size_t len;

	/* A server takes two characters, the last one one. */
	servers->list = arena_alloc(arena, (strlen(text) / 2 + 1) *
					   sizeof(*servers->list));
	servers->count = 0;
	for (text += strspn(text, " \t"); *text != '\0';
	     text += strspn(text, " \t")) {
		len = strcspn(text, " \t");
		server = &servers->list[servers->count++];
		server->text = arena_strndup(arena, text, len);
		if (parse(server, arena_strndup(arena, text, len), err) < 0)
			return -1;
		text += len;
	}
	return servers->count > 0 ? 0 : err_set(err, "no server is named");
}

int ldap_servers_parse_uris(struct ldap_servers *servers, struct arena *arena,
			    const char *uris, struct err *err)
{
	return parse_list(servers, arena, uris, parse_uri, err);
}

int ldap_servers_parse_hosts(struct ldap_servers *servers, struct arena *arena,
			     const char *hosts, struct err *err)
{
	return parse_list(servers, arena, hosts, parse_plain, err);
}

struct tls_peer *ldap_server_peer(const struct ldap_server *server,
				  const struct ldap_settings *settings,
				  struct tls_context *context, struct err *err)
{
	return tls_peer_new(context, server->host,
			    settings->tls_require_cert == LDAP_CERT_VERIFY ?
			    TLS_VERIFY : TLS_ANY_CERT, err);
}
