#include "proxy/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"

#define USER_SETTING "service lmtp { user }"

static int find_user(const char *name, const char *setting,
		     struct passwd **pw_r, struct err *err)
{
	errno = 0;
	*pw_r = getpwnam(name);
	if (*pw_r != NULL)
		return 0;
	if (errno != 0 && errno != ENOENT)
		return err_set(err, "%s: cannot look up user '%s': %s", setting,
			       name, strerror(errno));
	return err_set(err, "%s: user '%s' does not exist: create it, or name "
		       "another one", setting, name);
}

static int find_group(const char *name, const char *setting, gid_t *gid_r,
		      struct err *err)
{
	struct group *group = getgrnam(name);

	if (group == NULL)
		return err_set(err, "%s: group '%s' does not exist", setting,
			       name);
	*gid_r = group->gr_gid;
	return 0;
}

static int add_group(struct privileges *privileges, const char *name,
		     struct err *err)
{
	if (privileges->group_count == PRIVILEGES_MAX_GROUPS)
		return err_set(err, "service lmtp { extra_groups }: more than "
			       "%d groups", PRIVILEGES_MAX_GROUPS);
	return find_group(name, "service lmtp { extra_groups }",
			  &privileges->groups[privileges->group_count++], err);
}

static int add_extra_groups(struct privileges *privileges, const char *names,
			    struct err *err)
{
	char *copy = mem_strdup(names), *rest = copy, *name;
	int status = 0;

	while (status == 0 && (name = strsep(&rest, " \t,")) != NULL) {
		if (name[0] != '\0')
			status = add_group(privileges, name, err);
	}
	mem_free(&copy);
	return status;
}

static void warn_of_other_user(const char *name)
{
	struct passwd *pw;

	if (name[0] == '\0')
		return;
	pw = getpwnam(name);
	if (pw == NULL || pw->pw_uid != geteuid())
		log_warning(NULL, USER_SETTING " = %s has no effect: not "
			    "started by root", name);
}

int privileges_resolve(struct privileges *privileges,
		       const struct settings *settings, struct err *err)
{
	const struct service_settings *service = &settings->service;
	const char *user = service->user, *setting = USER_SETTING;
	const char *group = service->group;
	const char *group_setting = "service lmtp { group }";
	struct passwd *pw;

	*privileges = (struct privileges){ .change = geteuid() == 0 };
	if (!privileges->change) {
		warn_of_other_user(user);
		return 0;
	}
	if (user[0] == '\0') {
		user = settings->default_internal_user;
		setting = "default_internal_user";
		if (group[0] == '\0') {
			group = settings->default_internal_group;
			group_setting = "default_internal_group";
		}
	}
	if (find_user(user, setting, &pw, err) < 0)
		return -1;
	if (pw->pw_uid == 0)
		return err_set(err, "%s: '%s' is root, and what speaks to the "
			       "network does not run as root", setting, user);
	privileges->uid = pw->pw_uid;
	privileges->gid = pw->pw_gid;
	if (group[0] != '\0' &&
	    find_group(group, group_setting, &privileges->gid, err) < 0)
		return -1;
	privileges->group_count = PRIVILEGES_MAX_GROUPS;
	if (getgrouplist(user, privileges->gid, privileges->groups,
			 &privileges->group_count) < 0)
		return err_set(err, "%s: '%s' is in more than %d groups",
			       setting, user, PRIVILEGES_MAX_GROUPS);
	return add_extra_groups(privileges, service->extra_groups, err);
}

static int become(const struct privileges *privileges)
{
	if (setgroups((size_t)privileges->group_count,
		      privileges->groups) < 0)
		return -1;
	if (setresgid(privileges->gid, privileges->gid, privileges->gid) < 0)
		return -1;
	return setresuid(privileges->uid, privileges->uid, privileges->uid);
}

/* The kernel has made the process undumpable by then, and that stays: other
 * processes of the same user do not get at keys in its memory. */
int privileges_drop(const struct privileges *privileges, struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	if (!privileges->change)
		return 0;
	if (become(privileges) < 0)
		return err_set(err, "cannot become user %u, group %u: %s",
			       (unsigned)privileges->uid,
			       (unsigned)privileges->gid, strerror(errno));
	if (setuid(0) == 0 || geteuid() == 0)
		return err_set(err, "still root after giving it up");
	return 0;
}
