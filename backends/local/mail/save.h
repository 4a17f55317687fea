/* Saving in whatever format the user's mail has. */
#ifndef BACKENDS_LOCAL_MAIL_SAVE_H
#define BACKENDS_LOCAL_MAIL_SAVE_H

#include "backends/local/maildir/maildir.h"

/* maildir_save(), or mbox_save() with the same settings: for an mbox, the sender is
 * taken from the Return-Path: that mail->head begins with (mail_head_write()), and its
 * lock is waited for 30 seconds at most. */
int mail_save(const struct mail_location *location, const char *mailbox,
	      const struct maildir_settings *settings,
	      const struct local_mail *mail, struct local_result *result);

#endif
