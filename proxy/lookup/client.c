#include "proxy/lookup/client.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/smtp/forward.h"
#include "proxy/forward.h"

#define FORWARD "forward_"
#define FORWARD_LEN (sizeof(FORWARD) - 1)
#define LOOPBACK "127.0.0.1"
#define LOOPBACK6 "::1"

const char *const lookup_client_keys[] = {
	"lip", "lport", "rip", "rport", "real_lip", "real_lport", "real_rip",
	"real_rport", "session", "secured", "cert", "local_name", "service",
	"forward_NAME", NULL,
};

/* What is wrong with the text of one option. */
static int refuse(const char *text, const char *why, struct err *err)
{
	return err_set(err, "-x %.200s: %s", text, why);
}

/* --- both ends --- */

/* The end that "lip", "real_rport" and so on speak of; *what_r is what stands
 * behind: "ip" or "port". NULL: it is none of these. */
static struct lookup_end *find_end(struct lookup_client *client,
				   const char *key, const char **what_r)
{
	int end = LOOKUP_LOCAL;

	if (strncmp(key, "real_", 5) == 0) {
		end = LOOKUP_REAL_LOCAL;
		key += 5;
	}
	if (*key != 'l' && *key != 'r')
		return NULL;
	*what_r = key + 1;
	if (strcmp(*what_r, "ip") != 0 && strcmp(*what_r, "port") != 0)
		return NULL;
	return &client->ends[end + (*key == 'r')];
}

static int set_end(struct lookup_end *end, const char *what, const char *text,
		   const char *value, struct err *err)
{
	unsigned long port;
	char *rest;

	if (strcmp(what, "ip") == 0)
		return addr_parse_ip(&end->ip, value, 0) == 0
			       ? 0
			       : refuse(text, "not an IP address", err);
	port = strtoul(value, &rest, 10);
	if (*value < '0' || *value > '9' || *rest != '\0' || port > 65535)
		return refuse(text, "not a port", err);
	end->has_port = true;
	end->port = (uint16_t)port;
	return 0;
}

/* --- options --- */

static int set_flag(bool *flag, const char *text, const char *value,
		    struct err *err)
{
	*flag = strcmp(value, "yes") == 0;
	return *flag || strcmp(value, "no") == 0
		       ? 0
		       : refuse(text, "neither yes nor no", err);
}

static int set_secured(struct lookup_client *client, const char *text,
		       const char *value, struct err *err)
{
	client->has_secured = true;
	return set_flag(&client->client.secured, text, value, err);
}

/* What the options say, while they are read. */
struct reader {
	struct lookup_client *client;
	struct smtp_forward forward;
};

static int unknown(const char *text, struct err *err)
{
	struct str keys = STR_INIT;
	const char *const *key;
	int ret;

	for (key = lookup_client_keys; *key != NULL; key++)
		str_printf(&keys, " %s", *key);
	ret = err_set(err, "-x %.200s: no such key; there are%s", text,
		      str_c(&keys));
	str_free(&keys);
	return ret;
}

static int read_option(struct reader *reader, struct arena *arena,
		       const char *text, struct err *err)
{
	const char *value = strchr(text, '='), *what;
	struct lookup_client *client = reader->client;
	struct lookup_end *end;
	const char *key;

	if (value == NULL)
		return refuse(text, "not key=value", err);
	key = arena_strndup(arena, text, (size_t)(value++ - text));
	end = find_end(client, key, &what);
	if (end != NULL)
		return set_end(end, what, text, value, err);
	if (strncmp(key, FORWARD, FORWARD_LEN) == 0)
		reader->forward.fields[reader->forward.count++] =
			(struct smtp_forward_field){ key + FORWARD_LEN, value };
	else if (strcmp(key, "session") == 0)
		client->client.session = value;
	else if (strcmp(key, "local_name") == 0)
		client->client.local_name = value;
	else if (strcmp(key, "secured") == 0)
		return set_secured(client, text, value, err);
	else if (strcmp(key, "cert") == 0)
		return set_flag(&client->client.cert_valid, text, value, err);
	else if (strcmp(key, "service") != 0)
		return unknown(text, err);
	else if (strcmp(value, "lmtp") != 0)
		return refuse(text, "waypost looks up for lmtp only", err);
	return 0;
}

/* The way that they come from a proxy: what it cannot send is refused. */
static int take_forward(struct reader *reader, struct arena *arena,
			struct err *err)
{
	struct smtp_rcpt_params params = { .xrcptforward = NULL };
	struct str text = STR_INIT;
	struct err why;
	int ret;

	if (reader->forward.count == 0)
		return 0;
	ret = smtp_forward_write(&text, &reader->forward, &why);
	params.xrcptforward = str_c(&text);
	if (ret == 0)
		ret = forward_read(arena, &params, &reader->client->given,
				   &why);
	str_free(&text);
	return ret == 0 ? 0 : err_set(err, "-x forward_*: %.200s", why.text);
}

int lookup_client_parse(struct lookup_client *client_r, struct arena *arena,
			const char *const *texts, unsigned count,
			struct err *err)
{
	struct reader reader = { .client = client_r };
	unsigned i;

	*client_r = (struct lookup_client){ .has_secured = false };
	session_id_make(client_r->id);
	client_r->client.session = client_r->id;
	reader.forward.fields = arena_alloc(
		arena, count * sizeof(*reader.forward.fields));
	for (i = 0; i < count; i++) {
		if (read_option(&reader, arena, texts[i], err) < 0)
			return -1;
	}
	return take_forward(&reader, arena, err);
}

/* --- what was not given --- */

static const struct inet_listener_settings *
first_listener(const struct service_settings *service)
{
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		if (service->inet_listeners[i].port != 0)
			return &service->inet_listeners[i];
	}
	return NULL;
}

/* The address that a client on this machine connects to when addresses (of a
 * listener) stand in text. */
static void listener_ip(const char *text, struct addr *addr)
{
	size_t len = strcspn(text += strspn(text, " \t,"), " \t,");
	char word[64] = "";

	if (len < sizeof(word))
		memcpy(word, text, len);
	if (strcmp(word, "::") == 0 || strcmp(word, "[::]") == 0)
		addr_parse_ip(addr, LOOPBACK6, 0);
	else if (addr_parse_ip(addr, word, 0) < 0)
		addr_parse_ip(addr, LOOPBACK, 0); /* *, or a name */
}

static void complete_local(struct lookup_end *local,
			   const struct settings *settings)
{
	const struct inet_listener_settings *listener =
		first_listener(&settings->service);

	if (listener != NULL) {
		if (local->ip.len == 0)
			listener_ip(listener->address[0] != '\0'
					    ? listener->address
					    : settings->listen,
				    &local->ip);
		if (!local->has_port)
			local->port = (uint16_t)listener->port;
	} else if (local->ip.len == 0 && local->has_port) {
		addr_parse_ip(&local->ip, LOOPBACK, 0);
	}
}

static struct addr end_addr(const struct lookup_end *end)
{
	struct addr addr = end->ip;

	if (addr.len == 0) {
		addr.sa.sa_family = AF_UNIX;
		addr.len = offsetof(struct sockaddr_un, sun_path);
	}
	addr_set_port(&addr, end->port);
	return addr;
}

/* The connection's own end is the one that was given, unless another was. */
static struct addr real_addr(const struct lookup_end *real,
			     const struct lookup_end *end)
{
	struct lookup_end both = *real;

	if (both.ip.len == 0)
		both.ip = end->ip;
	if (!both.has_port)
		both.port = end->port;
	return end_addr(&both);
}

void lookup_client_complete(struct lookup_client *client,
			    const struct settings *settings)
{
	struct lookup_end *local = &client->ends[LOOKUP_LOCAL];
	struct lookup_end *remote = &client->ends[LOOKUP_REMOTE];
	struct passdb_client *made = &client->client;

	made->self = &settings->proxy_self;
	complete_local(local, settings);
	if (remote->ip.len == 0 && local->ip.len > 0)
		addr_parse_ip(&remote->ip,
			      local->ip.sa.sa_family == AF_INET6 ? LOOPBACK6
								 : LOOPBACK,
			      0);
	made->local = end_addr(local);
	made->remote = end_addr(remote);
	made->real_local = real_addr(&client->ends[LOOKUP_REAL_LOCAL], local);
	made->real_remote =
		real_addr(&client->ends[LOOKUP_REAL_REMOTE], remote);
	if (!client->has_secured) /* as session_transport_update() has it */
		made->secured = addr_same_host(&made->real_local,
					       &made->real_remote);
}
