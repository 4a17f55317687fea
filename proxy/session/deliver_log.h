/* The line of the log that deliver_log_format has for each mail. */
#ifndef PROXY_SESSION_DELIVER_LOG_H
#define PROXY_SESSION_DELIVER_LOG_H

#include "backends/local/request.h"
#include "proxy/session/recipient.h"

/* Logs it for a recipient whose mail was to be saved as request says. The text is that of
 * the process that has tried it, or, where nobody says anything, that it could not be
 * saved; nothing where deliver_log_format is empty. */
void deliver_log(const struct recipient *rcpt, const struct local_request *request,
		 const struct local_result *result);

#endif
