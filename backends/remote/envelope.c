#include "backends/remote/envelope.h"

void remote_envelope_write_mail(const struct remote_envelope *envelope,
				bool utf8, const struct smtp_capabilities *peer,
				struct str *out)
{
	struct smtp_mail_params params = *envelope->params;

	params.smtputf8 |= utf8;
	str_puts(out, "MAIL FROM:<");
	str_puts(out, envelope->mail_from);
	str_putc(out, '>');
	smtp_mail_params_write(out, &params, peer);
	str_puts(out, "\r\n");
}

void remote_envelope_write_rcpt(const struct remote_rcpt *rcpt,
				const struct smtp_capabilities *peer,
				struct str *out)
{
	str_puts(out, "RCPT TO:<");
	str_puts(out, rcpt->address);
	str_putc(out, '>');
	smtp_rcpt_params_write(out, rcpt->params, peer, rcpt->force_orcpt);
	str_puts(out, "\r\n");
}

static bool lacks(struct remote_failure *failure, enum remote_error error,
		  const char *text)
{
	failure->error = error;
	failure->text = text;
	return false;
}

bool remote_envelope_fits(const struct remote_envelope *envelope,
			  const struct remote_rcpt *rcpt, unsigned flags,
			  bool self, struct remote_failure *failure_r)
{
	bool utf8 = envelope->params->smtputf8 || envelope->utf8;
	bool binary = envelope->params->body == SMTP_BODY_BINARYMIME;

	if (self && rcpt->refuse_self)
		return lacks(failure_r, REMOTE_ERROR_LOOP,
			     "the backend is this server itself");
	if (utf8 && !(flags & SMTP_CAP_SMTPUTF8))
		return lacks(failure_r, REMOTE_ERROR_NO_SMTPUTF8,
			     "the server does not offer SMTPUTF8");
	if (rcpt->utf8 && !(flags & SMTP_CAP_SMTPUTF8))
		return lacks(failure_r, REMOTE_ERROR_ADDRESS,
			     "the address that the passdb gives needs SMTPUTF8, "
			     "which is not in use with this server");
	if (binary && !(flags & SMTP_CAP_BINARYMIME))
		return lacks(failure_r, REMOTE_ERROR_NO_BINARYMIME,
			     "the server does not offer BINARYMIME");
	if (rcpt->params->notify != 0 && !(flags & SMTP_CAP_DSN))
		return lacks(failure_r, REMOTE_ERROR_NO_DSN,
			     "the server does not offer DSN");
	return true;
}
