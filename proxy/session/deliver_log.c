#include "proxy/session/deliver_log.h"

#include "backends/local/message.h"
#include "deliver/mail_vars.h"
#include "proxy/session/private.h"
#include "proxy/session/transaction.h"

static const char *status_of(struct arena *arena,
			     const struct local_settings *local,
			     const struct local_request *request,
			     const struct local_result *result)
{
	if (*local->lda_command != '\0')
		return arena_printf(arena, "save failed: %s", result->text);
	return arena_printf(arena, "save failed to %s%s: %s",
			    mail_facts_prefix(local->inbox.prefix,
					      request->mailbox),
			    request->mailbox, result->text);
}

/* Of a mail that no process has said anything of. */
static const char *failure_line(const struct recipient *rcpt,
				const struct local_request *request,
				const struct local_result *result)
{
	const struct transaction *trans = rcpt->trans;
	const struct local_settings *local =
		&trans->session->view->settings->local;
	const struct mail_facts facts = {
		.request = request,
		.message = trans->local->fd,
		.original_header = local->lda_original_recipient_header,
		.prefix = local->inbox.prefix,
		.start_ms = request->deadline_ms - local->lmtp_delivery_timeout,
		.status = status_of(trans->arena, local, request, result),
		.storage_id = "",
	};
	const char *line;
	struct err err;

	if (*local->deliver_log_format == '\0' || result->status == LOCAL_SAVED)
		return "";
	line = mail_vars_expand(trans->arena, request, &facts,
				"deliver_log_format", local->deliver_log_format,
				&err);
	return line != NULL ? line : "";
}

void deliver_log(const struct recipient *rcpt, const struct local_request *request,
		 const struct local_result *result)
{
	const char *line = result->log;

	if (*line == '\0')
		line = failure_line(rcpt, request, result);
	if (*line == '\0')
		return;
	str_puts(log_begin(LOG_LEVEL_INFO, &rcpt->log), line);
	if (log_begin_fields("delivery")) {
		log_field("session", rcpt->trans->session->id);
		log_field("transaction", rcpt->trans->id);
		log_field("to", rcpt->address.raw);
	}
	log_end();
}
