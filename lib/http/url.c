#include "lib/http/url.h"

#include <ctype.h>
#include <string.h>

static const char path_bytes[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	"/!$&'()*+,;=:@%";

static int parse_scheme(struct http_url *url, const char **text,
			struct err *err)
{
	if (strncmp(*text, "http://", 7) == 0) {
		*text += 7;
		url->port = 80;
		return 0;
	}
	if (strncmp(*text, "https://", 8) != 0)
		return err_set(err, "a URL has to start with http:// or "
			       "https://");
	*text += 8;
	url->tls = true;
	url->port = 443;
	return 0;
}

static int parse_port(struct http_url *url, const char *text, size_t len,
		      struct err *err)
{
	size_t i;

	url->port = 0;
	for (i = 0; i < len && isdigit((unsigned char)text[i]) && i < 5; i++)
		url->port = url->port * 10 + (unsigned)(text[i] - '0');
	if (i < len || url->port == 0 || url->port > 65535)
		return err_set(err, "the URL's port is no number from 1 to "
			       "65535");
	return 0;
}

static bool is_name(const char *host)
{
	size_t len = strlen(host);

	return len > 0 && len < 254 && host[0] != '-' &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-._"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

/* authority: host[:port], len bytes. */
static int parse_authority(struct http_url *url, struct arena *arena,
			   const char *authority, size_t len, struct err *err)
{
	const char *close = memchr(authority, ']', len);
	const char *from = close != NULL ? close : authority;
	const char *colon = memchr(from, ':',
				   len - (size_t)(from - authority));
	size_t host_len = colon != NULL ? (size_t)(colon - authority) : len;
	bool brackets = authority[0] == '[';

	if (memchr(authority, '@', len) != NULL)
		return err_set(err, "a user or a password cannot stand in the "
			       "URL");
	if (colon != NULL &&
	    parse_port(url, colon + 1, len - host_len - 1, err) < 0)
		return -1;
	url->host = arena_strndup(arena, authority, host_len);
	url->literal = addr_parse_ip(&url->addr, url->host,
				     (uint16_t)url->port) == 0;
	if (brackets != (url->literal &&
			 url->addr.sa.sa_family == AF_INET6) ||
	    (!url->literal && !is_name(url->host)))
		return err_set(err, "the URL's host is neither a name nor an "
			       "address");
	if (brackets)
		url->host = arena_strndup(arena, authority + 1, host_len - 2);
	return 0;
}

int http_url_parse(struct http_url *url, struct arena *arena, const char *text,
		   struct err *err)
{
	const char *rest = text;
	size_t len = strlen(text), authority;

	*url = (struct http_url){ .text = text };
	if (parse_scheme(url, &rest, err) < 0)
		return -1;
	authority = strcspn(rest, "/?#");
	if (parse_authority(url, arena, rest, authority, err) < 0)
		return -1;
	rest += authority;
	if (strspn(rest, path_bytes) != strlen(rest))
		return err_set(err, "the URL has a query, a fragment, or a "
			       "byte that may not stand in its path");
	while (text[len - 1] == '/')
		len--;
	url->text = arena_strndup(arena, text, len);
	return 0;
}
