/* Where to: everything that two recipients must have in common to share an
 * upstream connection. */
#ifndef BACKENDS_REMOTE_TARGET_H
#define BACKENDS_REMOTE_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/str.h"
#include "lib/tls/context.h"

enum remote_protocol { REMOTE_LMTP, REMOTE_SMTP };
enum remote_tls { REMOTE_TLS_NONE, REMOTE_TLS_IMMEDIATE, REMOTE_TLS_STARTTLS };

struct remote_target {
	enum remote_protocol protocol;
	const char *host;   /* name or literal, for people and for TLS */
	struct addr addr;   /* where to connect; len 0: resolve host */
	uint16_t port;
	struct addr source; /* bind to it; len 0: any */
	enum remote_tls tls;
	bool any_cert; /* with TLS: whatever certificate it shows */
	struct tls_context *tls_context; /* with TLS: ours (of a client) */
};

/* "no", "immediate" or "starttls". */
const char *remote_tls_name(enum remote_tls tls);

bool remote_target_equal(const struct remote_target *a,
			 const struct remote_target *b);
uint64_t remote_target_hash(const struct remote_target *target);

/* Appends a text that equal targets share, and others only when they differ in
 * tls_context (which is another one after a reload). */
void remote_target_write_key(struct str *out,
			     const struct remote_target *target);

/* Appends "host:port". */
void remote_target_write(struct str *out, const struct remote_target *target);

#endif
