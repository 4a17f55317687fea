/* The reply with which a Dovecot 2.4 backend sends a proxy elsewhere:
 * "550 5.2.900 <path> [user@]host[:port] Referral", with or without path. */
#ifndef LIB_SMTP_REFERRAL_H
#define LIB_SMTP_REFERRAL_H

#include <stdint.h>

#include "lib/arena.h"
#include "lib/err.h"
#include "lib/smtp/reply.h"

struct smtp_referral {
	const char *user; /* decoded; not checked to be an address. NULL: the
			     recipient stays the same */
	const char *host; /* a name or an address, without brackets */
	uint16_t port;	  /* 0: none given */
};

/* Returns 1 for a referral, whose strings are put into arena, 0 for any other
 * reply. -1: it wants to be one (550 with 5.2.900), but there is no telling
 * where to: *err says why, quoting escaped. Whatever the user holds is UTF-8
 * without control bytes. Only the first line counts. */
int smtp_referral_parse(struct arena *arena, const struct smtp_reply *reply,
			struct smtp_referral *referral_r, struct err *err);

#endif
