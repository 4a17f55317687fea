#include "backends/local/mail/save.h"

#include "backends/local/mail/head.h"
#include "backends/local/mbox/mbox.h"

#define MBOX_PATIENCE_MS 30000

static int save_in_mbox(const struct mail_location *location,
			const char *mailbox,
			const struct maildir_settings *settings,
			const struct local_mail *mail,
			struct local_result *result)
{
	struct mbox_settings mbox = {
		.fsync = settings->fsync,
		.autocreate = settings->autocreate,
		.autosubscribe = settings->autosubscribe,
		.patience_ms = MBOX_PATIENCE_MS,
		.naming = settings->naming,
	};
	struct str sender = STR_INIT;
	int status;

	mail_head_sender(&sender, mail->head, mail->head_len);
	mbox.sender = str_c(&sender);
	status = mbox_save(location, mailbox, &mbox, mail, result);
	str_free(&sender);
	return status;
}

int mail_save(const struct mail_location *location, const char *mailbox,
	      const struct maildir_settings *settings,
	      const struct local_mail *mail, struct local_result *result)
{
	if (location->format == MAIL_FORMAT_MBOX)
		return save_in_mbox(location, mailbox, settings, mail, result);
	return maildir_save(location, mailbox, settings, mail, result);
}
