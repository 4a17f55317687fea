/* The variables in settings of local delivery. */
#ifndef DELIVER_MAIL_VARS_H
#define DELIVER_MAIL_VARS_H

#include "backends/local/deliver.h"
#include "backends/local/mail/facts.h"
#include "backends/local/request.h"
#include "lib/arena.h"
#include "lib/err.h"

/* Expands the variables in a setting of that name, for a request of which who it is
 * and, perhaps, the home are known: a local_expand_fn (backends/local/deliver.h).
 * Returns the value, in arena; or NULL when a variable is not known, or would become
 * several arguments of a quota_warning. Only deliver_log_format and lda_command have
 * variables for the mail; colons in a value are doubled for mail_location. */
const char *mail_vars_expand(struct arena *arena,
			     const struct local_request *request,
			     const struct mail_facts *facts, const char *name,
			     const char *text, struct err *err);

/* Loads what the settings of a policy need for that: a process that has become a user may
 * not find it any more. */
void mail_vars_prepare(const struct local_policy *policy);

/* Whether the setting of that name, which is deliver_log_format or lda_command, can be
 * expanded: syntax and names. -1: no, and why. */
int mail_vars_check(const char *name, const char *text, struct err *err);

#endif
