/* Becoming the user whose mail it is, and no more than that. */
#ifndef BACKENDS_LOCAL_BECOME_H
#define BACKENDS_LOCAL_BECOME_H

#include "backends/local/deliver.h"
#include "backends/local/request.h"

/* Whether the policy lets us be whom the request names. -1: no, and why. */
int local_become_check(const struct local_policy *policy,
		       const struct local_request *request, struct err *err);

/* Becomes that user for good, with the groups and in the root directory that the
 * request names as far as the policy lets it. -1: the process must end. */
int local_become(const struct local_policy *policy,
		 const struct local_request *request, struct err *err);

/* The same for uid and gid alone. */
int local_become_user(uid_t uid, gid_t gid, const gid_t *groups, size_t count,
		      struct err *err);

#endif
