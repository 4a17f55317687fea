/* MAIL and RCPT as one peer takes them. Private to backends/remote. */
#ifndef BACKENDS_REMOTE_ENVELOPE_H
#define BACKENDS_REMOTE_ENVELOPE_H

#include <stdbool.h>

#include "backends/remote/transaction.h"
#include "lib/smtp/capability.h"
#include "lib/str.h"

/* Appends the command with the parameters that the peer takes. utf8: a recipient's
 * address needs SMTPUTF8, too. */
void remote_envelope_write_mail(const struct remote_envelope *envelope,
				bool utf8, const struct smtp_capabilities *peer,
				struct str *out);
void remote_envelope_write_rcpt(const struct remote_rcpt *rcpt,
				const struct smtp_capabilities *peer,
				struct str *out);

/* Whether a peer that offers flags (SMTP_CAP_*) has all that the message and
 * the recipient need, and is not ourself (self) where it must not be; if not,
 * *failure_r says why. */
bool remote_envelope_fits(const struct remote_envelope *envelope,
			  const struct remote_rcpt *rcpt, unsigned flags,
			  bool self, struct remote_failure *failure_r);

#endif
