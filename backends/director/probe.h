/* One probe of a backend: connects as a delivery would, goes as far as it is
 * told, and takes its leave, so that the backend's log has no broken
 * connections.
 *
 *	tcp	 connects, and closes
 *	greeting TLS if the target is TLS from the start; the greeting is 2xx;
 *		 QUIT
 *	lhlo	 and LHLO, with SMTP EHLO (HELO if that is unknown), is 2xx; with
 *		 STARTTLS if the target has it, and then LHLO again
 *	rcpt	 and MAIL FROM:<> is 2xx, and RCPT of a probe's user; then RSET
 *
 * To RCPT, 2xx is good, and so is 4xx that speaks of this mailbox (it is busy or
 * full): the server has found the user. That is one with the enhanced code 4.1.x
 * or 4.2.x, or without one 450. All others are bad: the server cannot look users
 * up, has no room, or says 5xx for a user that exists, and would have real mail
 * bounced.
 *
 * TLS is done in full each time, without resumption: a certificate that is no
 * longer good is noticed, and so is one of which we say that it is not. */
#ifndef BACKENDS_DIRECTOR_PROBE_H
#define BACKENDS_DIRECTOR_PROBE_H

#include "backends/director/health.h"
#include "backends/remote/target.h"
#include "lib/loop.h"

struct director_probe;

struct director_probe_params {
	const struct remote_target *target; /* with an address; copied, but for
					       its host, and its TLS context,
					       which live as long as the probe */
	enum director_probe_level level;    /* not DIRECTOR_PROBE_NO */
	const char *hostname;	/* for LHLO; lives as long as the probe */
	const char *user;	/* for RCPT, between < and >; the same */
	unsigned timeout_ms;	/* for everything up to the outcome */
};

/* Starts one. fn is called once, from the loop and not inside this call, with
 * error NULL when the backend is well; else it is one line that names the stage
 * ("LHLO: 421 4.3.2 Shutting down"), escaped as for the log and valid until fn
 * returns. The probe is over by then. It may take a second more than the
 * timeout, for QUIT. */
struct director_probe *
director_probe_start(struct loop *loop,
		     const struct director_probe_params *params,
		     void (*fn)(void *arg, const char *error), void *arg);

/* Gives up and closes the connection (before fn was called); clears the
 * pointer, NULL is fine. */
void director_probe_cancel(struct director_probe **probe);

#endif
