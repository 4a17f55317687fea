/* One delivery, by the process that is its user: the mail is saved within the user's
 * quota, and what is to be run when that is nearly used up is run. */
#ifndef BACKENDS_LOCAL_DELIVERY_H
#define BACKENDS_LOCAL_DELIVERY_H

#include "backends/local/deliver.h"
#include "backends/local/mail/location.h"
#include "backends/local/quota/quota.h"
#include "lib/arena.h"

struct delivery {
	const struct local_policy *policy;
	const struct local_request *request;
	struct arena *arena;
	struct mail_location location;
	struct quota *quota;
	pid_t commands[QUOTA_MAX_ROOTS]; /* that run */
	unsigned command_count;
	uint64_t start_ms;   /* of CLOCK_MONOTONIC */
	const char *mailbox; /* where the mail was last tried to be saved */
};

/* Finds out where the mail is and what its quota is, unless that is a command's matter;
 * all of it has to stay. Returns 0; or -1 with the result filled, and then there is
 * nothing to close. */
int delivery_open(struct delivery *delivery, const struct local_policy *policy,
		  const struct local_request *request,
		  struct local_result *result);

/* Saves the first request->size bytes of message in the mailbox, or in INBOX when that
 * one is not there or may take no more. A mail that nobody knows the quota for is
 * saved; result->text then says why. Starts the commands of warnings that are due.
 * With lda_command, that saves the mail (lda/lda.h). Makes result->log. */
void delivery_save(struct delivery *delivery, int message,
		   struct local_result *result);

/* Says LOCAL_SAVED if INBOX has room for any mail at all, or that cannot be known, as
 * with a command. */
void delivery_check(struct delivery *delivery, struct local_result *result);

/* Waits until what was started has ended. */
void delivery_close(struct delivery *delivery);

#endif
