/* Delivery through a program of the administrator's (lda_command): any store that
 * has one. It reads the mail, with what delivery puts in front of it, from its standard
 * input. */
#ifndef BACKENDS_LOCAL_LDA_LDA_H
#define BACKENDS_LOCAL_LDA_LDA_H

#include "backends/local/mail/facts.h"
#include "lib/arena.h"

struct local_policy;

/* Runs policy->lda_command for one mail, and ends all that it has started: when it has
 * ended, or when time is up. result->status
 * is lda_status()'s, result->text what happened, with the end of what the program said,
 * which may hold any bytes but NUL. LOCAL_SAVED only if the program read all of the
 * mail. */
void lda_deliver(const struct local_policy *policy,
		 const struct mail_facts *facts, struct arena *arena,
		 struct local_result *result);

#endif
