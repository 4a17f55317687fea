/* XCLIENT: what a proxy says about the client that it speaks for (Postfix's
 * XCLIENT_README; the attributes of Dovecot 2.3 and 2.4). */
#ifndef LIB_SMTP_XCLIENT_H
#define LIB_SMTP_XCLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/str.h"

enum smtp_xclient_attr {
	SMTP_XCLIENT_ADDR = 1 << 0,
	SMTP_XCLIENT_PORT = 1 << 1,
	SMTP_XCLIENT_PROTO = 1 << 2,
	SMTP_XCLIENT_HELO = 1 << 3,
	SMTP_XCLIENT_LOGIN = 1 << 4,
	SMTP_XCLIENT_SESSION = 1 << 5,
	SMTP_XCLIENT_TTL = 1 << 6,
	SMTP_XCLIENT_TIMEOUT = 1 << 7,
	SMTP_XCLIENT_CLIENT_TRANSPORT = 1 << 8,
	SMTP_XCLIENT_DESTADDR = 1 << 9,
	SMTP_XCLIENT_DESTPORT = 1 << 10,
	SMTP_XCLIENT_DESTNAME = 1 << 11,
	SMTP_XCLIENT_NAME = 1 << 12,
	SMTP_XCLIENT_FORWARD = 1 << 13,
};

/* What an LMTP server has use for, and says so in its LHLO reply. NAME (a host
 * name that somebody looked up) and FORWARD (of Dovecot's submission proxies;
 * LMTP has XRCPTFORWARD) are read all the same. */
#define SMTP_XCLIENT_OFFERED \
	((SMTP_XCLIENT_NAME - 1U) & ~(unsigned)SMTP_XCLIENT_FORWARD)

enum smtp_xclient_proto {
	SMTP_XCLIENT_SMTP,
	SMTP_XCLIENT_ESMTP,
	SMTP_XCLIENT_LMTP,
};

#define SMTP_XCLIENT_TEXT_MAX 255
#define SMTP_XCLIENT_FORWARD_MAX 2048

/* set says which of the others count; a zeroed struct says nothing. Texts are
 * ASCII or (in xtext) UTF-8 without control bytes, of 1 to
 * SMTP_XCLIENT_TEXT_MAX bytes. */
struct smtp_xclient {
	unsigned set;		     /* enum smtp_xclient_attr */
	struct addr addr, dest_addr; /* IPv4 or IPv6, without port */
	uint16_t port, dest_port;    /* from 1 */
	enum smtp_xclient_proto proto;
	uint32_t ttl;		     /* hops that are left */
	uint32_t timeout;	     /* seconds that the client will wait */
	const char *helo, *login, *session;
	const char *client_transport; /* how the client came, such as "TLS" */
	const char *dest_name;	      /* SNI; domain_is_valid() */
	const char *name;
	const char *forward;	      /* as sent: base64 of forward_* fields,
					 up to SMTP_XCLIENT_FORWARD_MAX */
};

/* Says nothing. */
extern const struct smtp_xclient smtp_xclient_nothing;

/* Parses what follows "XCLIENT ", NAME=xtext and more of them, and adds it to
 * *xclient: clients split what they have to say over several commands.
 * Attribute names, PROTO's values, "[UNAVAILABLE]" and "[TEMPUNAVAIL]" (for
 * which an attribute counts as never set) match in any case; ADDR and DESTADDR
 * may start with "IPV6:". Unknown attributes are passed over, as Dovecot does.
 * Texts live in arena. On failure -1, with a text for a reply 501 5.5.4 that
 * quotes nothing, and *xclient is as before: an attribute given twice, a value
 * that is none, or no attribute at all. */
int smtp_xclient_parse(struct arena *arena, const char *args, size_t len,
		       struct smtp_xclient *xclient, struct err *err);

/* Copies it, texts and all, into arena. For each command a new arena, a copy,
 * smtp_xclient_parse() into that, and the old arena freed keep a session that
 * says XCLIENT without end from growing. */
void smtp_xclient_copy(struct arena *arena, struct smtp_xclient *dst,
		       const struct smtp_xclient *src);

/* Whether both say the same of the attributes in attrs. */
bool smtp_xclient_equal(const struct smtp_xclient *a,
			const struct smtp_xclient *b, unsigned attrs);

/* Whether a peer that was told old knows nothing but next once it is told that,
 * given the attributes that it lists: what next does not set would stay (for
 * Dovecot, even when it is said to be unavailable). */
static inline bool smtp_xclient_replaces(const struct smtp_xclient *next,
					 const struct smtp_xclient *old,
					 unsigned listed)
{
	return (old->set & listed & ~next->set) == 0;
}

/* Makes *remote and *local, the addresses of a connection, what is said of
 * them. A new address without a port has port 0. */
void smtp_xclient_apply(const struct smtp_xclient *xclient,
			struct addr *remote, struct addr *local);

/* Those of the listed attributes that are set and can be sent: a HELO that is
 * neither a domain nor an address literal stays at home, since servers refuse
 * the whole command for it. */
unsigned smtp_xclient_to_send(const struct smtp_xclient *xclient,
			      unsigned listed);

/* Appends the command lines, CRLF and all, that tell a peer what it lists, and
 * returns how many: each gets a reply. 0 when there is nothing to say. No line
 * has more than 512 bytes, unless a single text makes it. ADDR comes last,
 * since a peer may trust no more after it. To LMTP servers IPv6 addresses go
 * without "IPV6:", which Dovecot's older ones do not know. */
unsigned smtp_xclient_write(struct str *out, const struct smtp_xclient *xclient,
			    unsigned listed, bool lmtp);

/* The attributes in words[0..len), separated by blanks, as they follow XCLIENT
 * in a server's LHLO reply; unknown ones are passed over. */
unsigned smtp_xclient_parse_listed(const char *words, size_t len);

/* Appends " NAME" for each of the attributes. */
void smtp_xclient_write_listed(struct str *out, unsigned attrs);

#endif
