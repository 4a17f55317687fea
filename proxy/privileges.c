#include "proxy/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/nss.h"
#include "proxy/settings/check.h"

#define USER_SETTING "service lmtp { user }"
#define GROUP_SETTING "service lmtp { group }"
#define GROUPS_SETTING "service lmtp { extra_groups }"

/* Nobody knows whether there is such a user or group: another time, somebody may. */
#define UNANSWERED (-2)

static int find(enum nss_what what, const char *name, const char *setting,
		struct nss_entry *entry_r, struct err *err)
{
	const char *noun = what == NSS_USER ? "user" : "group";
	int status = nss_find(what, name, entry_r);

	if (entry_r->found)
		return 0;
	if (status == 0)
		return err_set(err, "%s: %s '%s' does not exist: create it, or "
			       "name another one", setting, noun, name);
	err_put(err, "%s: cannot look up %s '%s': %s", setting, noun, name,
		strerror(status));
	return UNANSWERED;
}

static int find_group(const char *name, const char *setting, gid_t *gid_r,
		      struct err *err)
{
	struct nss_entry group;
	int status = find(NSS_GROUP, name, setting, &group, err);

	*gid_r = group.gid;
	nss_entry_free(&group);
	return status;
}

static int add_group(struct privileges *privileges, const char *name,
		     struct err *err)
{
	if (privileges->group_count == PRIVILEGES_MAX_GROUPS)
		return err_set(err, GROUPS_SETTING ": more than %d groups",
			       PRIVILEGES_MAX_GROUPS);
	return find_group(name, GROUPS_SETTING,
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

/* Whom the settings name. */
struct identity {
	const char *user, *user_setting;
	const char *group, *group_setting;
};

static struct identity find_identity(const struct settings *settings)
{
	struct identity who = {
		settings->service.user, USER_SETTING,
		settings->service.group, GROUP_SETTING,
	};

	if (who.user[0] != '\0')
		return who;
	who.user = settings->default_internal_user;
	who.user_setting = "default_internal_user";
	if (who.group[0] == '\0') {
		who.group = settings->default_internal_group;
		who.group_setting = "default_internal_group";
	}
	return who;
}

static int set_user(struct privileges *privileges, const struct identity *who,
		    struct err *err)
{
	struct nss_entry user;
	int status = find(NSS_USER, who->user, who->user_setting, &user, err);

	privileges->uid = user.uid;
	privileges->gid = user.gid;
	nss_entry_free(&user);
	if (status == 0 && privileges->uid == 0)
		return err_set(err, "%s: '%s' is root, and what speaks to the "
			       "network does not run as root",
			       who->user_setting, who->user);
	return status;
}

static int set_group(struct privileges *privileges, const struct identity *who,
		     struct err *err)
{
	if (who->group[0] == '\0')
		return 0;
	return find_group(who->group, who->group_setting, &privileges->gid,
			  err);
}

static int add_user_groups(struct privileges *privileges,
			   const struct identity *who, struct err *err)
{
	privileges->group_count = PRIVILEGES_MAX_GROUPS;
	if (getgrouplist(who->user, privileges->gid, privileges->groups,
			 &privileges->group_count) >= 0)
		return 0;
	return err_set(err, "%s: '%s' is in more than %d groups",
		       who->user_setting, who->user, PRIVILEGES_MAX_GROUPS);
}

int privileges_resolve(struct privileges *privileges,
		       const struct settings *settings, struct err *err)
{
	const struct identity who = find_identity(settings);

	*privileges = (struct privileges){ .change = geteuid() == 0 };
	if (!privileges->change)
		return 0;
	if (set_user(privileges, &who, err) < 0 ||
	    set_group(privileges, &who, err) < 0 ||
	    add_user_groups(privileges, &who, err) < 0)
		return -1;
	return add_extra_groups(privileges, settings->service.extra_groups,
				err);
}

/* Reports a problem where the setting stands: "name" at the top, or
 * "service lmtp { name }". What nobody knows now does not make it wrong. */
static void report(const struct conf_node *root, const char *setting,
		   int status, const struct err *why,
		   struct conf_errors *errors)
{
	const struct conf_node *section =
		conf_node_section(root, "service", "lmtp");
	const char *name;

	if (strcmp(setting, USER_SETTING) == 0) {
		name = "user";
	} else if (strcmp(setting, GROUP_SETTING) == 0) {
		name = "group";
	} else if (strcmp(setting, GROUPS_SETTING) == 0) {
		name = "extra_groups";
	} else {
		section = root;
		name = setting;
	}
	if (status == UNANSWERED)
		settings_warning(errors, section, name, why->text);
	else if (status < 0)
		settings_error(errors, section, name, why->text);
}

static void warn_of_other_user(const char *name, const struct conf_node *root,
			       struct conf_errors *errors)
{
	const struct conf_node *node;
	struct passwd *pw;

	if (name[0] == '\0')
		return;
	pw = getpwnam(name);
	if (pw != NULL && pw->pw_uid == geteuid())
		return;
	node = conf_node_setting(conf_node_section(root, "service", "lmtp"),
				 "user");
	conf_warning(errors, node->file, node->line, USER_SETTING " = %s has "
		     "no effect: not started by root", name);
}

void privileges_check(const struct settings *settings,
		      const struct conf_node *root, struct conf_errors *errors)
{
	const struct identity who = find_identity(settings);
	struct privileges found = { .change = true };
	struct err why;
	int status;

	if (geteuid() != 0) {
		warn_of_other_user(settings->service.user, root, errors);
		return;
	}
	status = set_user(&found, &who, &why);
	if (status == 0)
		status = add_user_groups(&found, &who, &why);
	report(root, who.user_setting, status, &why, errors);
	status = set_group(&found, &who, &why);
	report(root, who.group_setting, status, &why, errors);
	status = add_extra_groups(&found, settings->service.extra_groups, &why);
	report(root, GROUPS_SETTING, status, &why, errors);
}

char *privileges_account(void)
{
	const struct passwd *entry = getpwuid(geteuid());

	return entry != NULL ? mem_strdup(entry->pw_name)
			     : mem_printf("%ld", (long)geteuid());
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
