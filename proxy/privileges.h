/* Who the worker process is: the user that a process started by root becomes
 * before it looks at the network. */
#ifndef PROXY_PRIVILEGES_H
#define PROXY_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "proxy/settings/settings.h"

#define PRIVILEGES_MAX_GROUPS 64

struct privileges {
	bool change; /* false: not started by root, stay who we are */
	uid_t uid;
	gid_t gid, groups[PRIVILEGES_MAX_GROUPS];
	int group_count;
};

/* Looks up service lmtp { user, group, extra_groups }, default_internal_user
 * and default_internal_group. Negative when there is no such user or group, the
 * system cannot look them up, or it is root. Started by an ordinary user, they have
 * no effect. */
int privileges_resolve(struct privileges *privileges,
		       const struct settings *settings, struct err *err);

/* Reports all that privileges_resolve() would find wrong, where it stands; warns of
 * what the system cannot look up now, and of a user that has no effect. root is the
 * tree that the settings are from. */
void privileges_check(const struct settings *settings,
		      const struct conf_node *root, struct conf_errors *errors);

/* What the system calls the user that the process is, or his number. Asks NSS, which
 * may take its time: not from a loop that serves anybody. To be freed. */
char *privileges_account(void);

/* Becomes that user for good. On failure the process must end. */
int privileges_drop(const struct privileges *privileges, struct err *err);

#endif
