#include "backends/local/become.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

#define GROUPS_USUAL 64

/* --- whom --- */

static bool in_range(unsigned id, unsigned first, unsigned last)
{
	return id != 0 && id != UINT_MAX && id >= first &&
	       (last == 0 || id <= last);
}

static bool is_valid_group(const struct local_policy *policy, gid_t gid)
{
	return in_range(gid, policy->first_gid, policy->last_gid);
}

/* Whether dir is one of the directories, or below. */
static bool is_below(const char *dir, const char *dirs)
{
	const char *end;
	size_t len;

	if (strstr(dir, "/../") != NULL ||
	    (strlen(dir) > 2 && strcmp(dir + strlen(dir) - 3, "/..") == 0))
		return false;
	for (; *dirs != '\0'; dirs = end + (*end == ':')) {
		end = strchrnul(dirs, ':');
		len = (size_t)(end - dirs);
		while (len > 1 && dirs[len - 1] == '/')
			len--;
		if (len > 0 && *dirs == '/' && strncmp(dir, dirs, len) == 0 &&
		    (dir[len] == '\0' || dir[len] == '/' || len == 1))
			return true;
	}
	return false;
}

static int check_fixed(const struct local_policy *policy,
		       const struct local_request *request, struct err *err)
{
	if (request->uid != policy->uid || request->gid != policy->gid)
		return err_set(err, "user %s has uid %u and gid %u, but all "
			       "mail has uid %u and gid %u: see mail_uid, "
			       "mail_gid and service lmtp { user }",
			       request->user, (unsigned)request->uid,
			       (unsigned)request->gid, (unsigned)policy->uid,
			       (unsigned)policy->gid);
	if (*request->chroot != '\0')
		return err_set(err, "user %s has a chroot, which only root "
			       "could enter", request->user);
	return 0;
}

int local_become_check(const struct local_policy *policy,
		       const struct local_request *request, struct err *err)
{
	if (policy->fixed)
		return check_fixed(policy, request, err);
	if (!in_range(request->uid, policy->first_uid, policy->last_uid))
		return err_set(err, "user %s has uid %u, which is not valid: "
			       "see first_valid_uid and last_valid_uid",
			       request->user, (unsigned)request->uid);
	if (!is_valid_group(policy, request->gid))
		return err_set(err, "user %s has gid %u, which is not valid: "
			       "see first_valid_gid and last_valid_gid",
			       request->user, (unsigned)request->gid);
	if (*request->chroot != '\0' &&
	    !is_below(request->chroot, policy->chroot_dirs))
		return err_set(err, "user %s has the chroot %s, which is in "
			       "none of valid_chroot_dirs", request->user,
			       request->chroot);
	return 0;
}

/* --- groups --- */

struct groups {
	gid_t *list;
	size_t count, room;
};

static void put_group(struct groups *groups, gid_t gid)
{
	if (groups->count == groups->room) {
		groups->room = groups->room * 2 + GROUPS_USUAL;
		groups->list = mem_realloc(groups->list,
					   groups->room * sizeof(gid_t));
	}
	groups->list[groups->count++] = gid;
}

/* Further groups that are not valid are left out, as in Dovecot. */
static void add_group(const struct local_policy *policy, struct groups *groups,
		      gid_t gid)
{
	if (is_valid_group(policy, gid))
		put_group(groups, gid);
}

/* That one is the administrator's word, whatever first_valid_gid says. */
static int add_privileged(const char *name, struct groups *groups, struct err *err)
{
	const struct group *group;

	if (name == NULL || *name == '\0')
		return 0;
	group = getgrnam(name);
	if (group == NULL || group->gr_gid == 0)
		return err_set(err, "mail_privileged_group: %s %s", name,
			       group == NULL ? "is no group" : "is root's");
	put_group(groups, group->gr_gid);
	return 0;
}

/* As getgrouplist(), which says how many there are when that is more than *count_r
 * was. */
static gid_t *list_groups(const char *user, gid_t gid, int *count_r)
{
	gid_t *list = NULL;
	int room;

	*count_r = GROUPS_USUAL;
	do {
		room = *count_r;
		list = mem_realloc(list, (size_t)room * sizeof(*list));
		if (getgrouplist(user, gid, list, count_r) >= 0)
			return list;
	} while (*count_r > room && *count_r <= NGROUPS_MAX);
	mem_free(&list);
	return NULL;
}

static int add_groups_of(const struct local_policy *policy, const char *user,
			 gid_t gid, struct groups *groups, struct err *err)
{
	gid_t *list;
	int i, count;

	if (getpwnam(user) == NULL)
		return err_set(err, "system_groups_user: there is no user %s",
			       user);
	list = list_groups(user, gid, &count);
	if (list == NULL)
		return err_set(err, "system_groups_user: %s is in more than "
			       "%d groups", user, NGROUPS_MAX);
	for (i = 0; i < count; i++)
		add_group(policy, groups, list[i]);
	mem_free(&list);
	return 0;
}

static int add_named(const struct local_policy *policy, const char *names,
		     struct groups *groups, struct err *err)
{
	char *copy, *rest, *name;
	struct group *group;
	int status = 0;

	if (*names == '\0')
		return 0;
	copy = rest = mem_strdup(names);
	while (status == 0 && (name = strsep(&rest, " ,")) != NULL) {
		if (*name == '\0')
			continue;
		group = getgrnam(name);
		if (group == NULL)
			status = err_set(err, "mail_access_groups: there is no "
					 "group %s", name);
		else
			add_group(policy, groups, group->gr_gid);
	}
	mem_free(&copy);
	return status;
}

static int find_groups(const struct local_policy *policy,
		       const struct local_request *request,
		       struct groups *groups, struct err *err)
{
	add_group(policy, groups, request->gid);
	if (local_request_is_mbox(request) &&
	    add_privileged(policy->privileged_group, groups, err) < 0)
		return -1;
	if (*request->groups_user != '\0' &&
	    add_groups_of(policy, request->groups_user, request->gid, groups,
			  err) < 0)
		return -1;
	return add_named(policy, request->groups, groups, err);
}

/* --- becoming --- */

int local_become_user(uid_t uid, gid_t gid, const gid_t *groups, size_t count,
		      struct err *err)
{
	if (setgroups(count, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return err_set(err, "cannot become user %u, group %u: %s",
			       (unsigned)uid, (unsigned)gid, strerror(errno));
	if (setuid(0) == 0 || geteuid() != uid || getuid() != uid ||
	    getegid() != gid)
		return err_set(err, "still root after giving it up");
	return 0;
}

static int enter_chroot(const char *dir, struct err *err)
{
	if (*dir == '\0')
		return 0;
	if (chroot(dir) < 0 || chdir("/") < 0)
		return err_set(err, "chroot to %s: %s", dir, strerror(errno));
	return 0;
}

int local_become(const struct local_policy *policy,
		 const struct local_request *request, struct err *err)
{
	struct groups groups = { .count = 0 };
	int status = find_groups(policy, request, &groups, err);

	if (status == 0)
		status = enter_chroot(request->chroot, err);
	if (status == 0)
		status = local_become_user(request->uid, request->gid,
					   groups.list, groups.count, err);
	mem_free(&groups.list);
	return status;
}
