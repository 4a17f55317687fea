/* What a user's answer from the userdbs means for saving mail. */
#ifndef PROXY_MAIL_USER_H
#define PROXY_MAIL_USER_H

#include <stdbool.h>

#include "backends/local/request.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "passdb/userdb/userdb.h"
#include "proxy/settings/settings.h"

/* Fills in who the user is and where the mail goes: all of a request but mailbox
 * and mail. What the userdbs do not say, the settings do; variables in these are
 * expanded. Strings live in arena, or as long as user and settings. as_root:
 * waypost was started by root. -1 when something is missing, or is not valid:
 * *err says what, and which setting it depends on. */
int mail_user_find(struct arena *arena, const struct settings *settings,
		   bool as_root, const struct userdb_user *user,
		   struct local_request *request_r, struct err *err);

#endif
