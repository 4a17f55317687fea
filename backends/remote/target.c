#include "backends/remote/target.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

const char *remote_tls_name(enum remote_tls tls)
{
	static const char *const names[] = {
		[REMOTE_TLS_NONE] = "no",
		[REMOTE_TLS_IMMEDIATE] = "immediate",
		[REMOTE_TLS_STARTTLS] = "starttls",
	};

	return names[tls];
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->len == 0 || b->len == 0 ? a->len == b->len
					  : addr_equal(a, b);
}

bool remote_target_equal(const struct remote_target *a,
			 const struct remote_target *b)
{
	return a->port == b->port && a->protocol == b->protocol &&
	       a->tls == b->tls && a->any_cert == b->any_cert &&
	       a->tls_context == b->tls_context &&
	       strcasecmp(a->host, b->host) == 0 &&
	       same_addr(&a->addr, &b->addr) &&
	       same_addr(&a->source, &b->source);
}

/* FNV-1a over host and port; the rest rarely differs. */
uint64_t remote_target_hash(const struct remote_target *target)
{
	uint64_t hash = 0xcbf29ce484222325u;
	const char *p;

	for (p = target->host; *p != '\0'; p++)
		hash = (hash ^ ((unsigned char)*p | 0x20)) * 0x100000001b3u;
	hash = (hash ^ target->port) * 0x100000001b3u;
	return hash ^ hash >> 32;
}

void remote_target_write_key(struct str *out,
			     const struct remote_target *target)
{
	const char *p;

	str_printf(out, "%d %d %d ", (int)target->protocol, (int)target->tls,
		   (int)target->any_cert);
	for (p = target->host; *p != '\0'; p++)
		str_putc(out, (char)tolower((unsigned char)*p));
	str_printf(out, " %u ", (unsigned)target->port);
	if (target->addr.len > 0)
		addr_write(out, &target->addr);
	str_putc(out, ' ');
	if (target->source.len > 0)
		addr_write(out, &target->source);
}

void remote_target_write(struct str *out, const struct remote_target *target)
{
	bool colon = strchr(target->host, ':') != NULL;

	if (colon)
		str_putc(out, '[');
	str_puts(out, target->host);
	if (colon)
		str_putc(out, ']');
	str_putc(out, ':');
	str_put_number(out, target->port);
}
