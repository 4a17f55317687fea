#include "proxy/mail_user.h"

#include <string.h>
#include <unistd.h>

#include "backends/local/become.h"
#include "deliver/mail_vars.h"

/* --- who --- */

/* What the userdb does not say, mail_uid and mail_gid do; then service lmtp { user },
 * which is whom Dovecot's LMTP is; or who we are, where nobody can be anybody else. */
static int find_ids(const struct local_settings *local, bool as_root,
		    const struct userdb_user *user,
		    struct local_request *request, struct err *err)
{
	request->uid = as_root ? local->owner_uid : geteuid();
	request->gid = as_root ? local->owner_gid : getegid();
	if (local->has_uid)
		request->uid = local->uid;
	if (local->has_gid)
		request->gid = local->gid;
	if (user->has_uid)
		request->uid = user->uid;
	if (user->has_gid)
		request->gid = user->gid;
	if (!as_root || local->has_owner)
		return 0;
	if (!user->has_uid && !local->has_uid)
		return err_set(err, "user %s: the userdb names no uid, and "
			       "mail_uid is not set", user->name);
	if (!user->has_gid && !local->has_gid)
		return err_set(err, "user %s: the userdb names no gid, and "
			       "mail_gid is not set", user->name);
	return 0;
}

/* It becomes part of paths. */
static int check_name(const char *name, struct err *err)
{
	if (strchr(name, '/') != NULL || name[0] == '.' ||
	    strstr(name, "@.") != NULL)
		return err_set(err, "user %s: the name could lead out of a "
			       "directory", name);
	if (name[0] == '@')
		return err_set(err, "user %s: without a name in front of the @ "
			       "it could lead to the directory of a domain", name);
	return 0;
}

/* --- where --- */

static int find_home(struct arena *arena, const struct settings *settings,
		     const struct userdb_user *user,
		     struct local_request *request, struct err *err)
{
	const char *mail_home = settings->local.mail_home;

	request->home = user->home != NULL ? user->home : "";
	if (user->home == NULL && *mail_home != '\0')
		request->home = mail_vars_expand(arena, request, NULL,
						 "mail_home", mail_home, err);
	if (request->home == NULL)
		return -1;
	if (*request->home != '\0' && *request->home != '/')
		return err_set(err, "user %s: the home %s is no absolute path",
			       user->name, request->home);
	return 0;
}

/* As in Dovecot, "/chroot/./home" says both, if there are valid chroots. */
static void find_chroot(struct arena *arena, const struct settings *settings,
			const struct userdb_user *user,
			struct local_request *request)
{
	const char *dot = strstr(request->home, "/./");
	size_t len;

	request->chroot = user->chroot != NULL ? user->chroot : "";
	if (dot == NULL)
		return;
	len = (size_t)(dot - request->home);
	if (*request->chroot == '\0' &&
	    *settings->local.valid_chroot_dirs != '\0') {
		request->chroot = arena_strndup(arena, request->home, len);
		request->home = dot + 2;
	} else {
		request->home = arena_concat(
			arena, arena_strndup(arena, request->home, len),
			dot + 2, "");
	}
}

/* What the namespace of INBOX says comes first, as in Dovecot. */
static int find_location(struct arena *arena, const struct local_settings *local,
			 const struct userdb_user *user,
			 struct local_request *request, struct err *err)
{
	const char *location = *local->inbox.location != '\0'
				       ? local->inbox.location
				       : local->mail_location;

	request->location = user->mail;
	if (user->mail == NULL || *local->inbox.location != '\0')
		request->location = mail_vars_expand(arena, request, NULL,
						     "mail_location", location,
						     err);
	return request->location != NULL ? 0 : -1;
}

/* --- how much --- */

static int find_rules(const struct userdb_user *user,
		      struct local_request *request, struct err *err)
{
	const struct passdb_fields *rules = &user->quota_rules;
	unsigned i;

	if (rules->count > LOCAL_REQUEST_RULES)
		return err_set(err, "user %s: the userdb has %u quota rules, "
			       "which is more than %d", user->name, rules->count,
			       LOCAL_REQUEST_RULES);
	for (i = 0; i < rules->count; i++) {
		request->rules[i].name = rules->list[i].key;
		request->rules[i].value = rules->list[i].value;
	}
	request->rule_count = rules->count;
	return 0;
}

int mail_user_find(struct arena *arena, const struct settings *settings,
		   bool as_root, const struct userdb_user *user,
		   struct local_request *request, struct err *err)
{
	const struct local_settings *local = &settings->local;
	struct local_policy policy;

	memset(request, 0, sizeof(*request));
	request->user = user->name;
	request->home = "";
	request->head = request->copy = "";
	request->mail_from = request->rcpt_to = "";
	request->orcpt = request->detail = "";
	request->groups_user = user->system_groups_user != NULL
				       ? user->system_groups_user
				       : "";
	request->groups = user->mail_access_groups != NULL
				  ? user->mail_access_groups
				  : local->mail_access_groups;
	if (check_name(user->name, err) < 0 ||
	    find_ids(local, as_root, user, request, err) < 0 ||
	    find_home(arena, settings, user, request, err) < 0 ||
	    find_rules(user, request, err) < 0)
		return -1;
	find_chroot(arena, settings, user, request);
	if (find_location(arena, local, user, request, err) < 0)
		return -1;
	settings_local_policy(settings, as_root, &policy);
	return local_become_check(&policy, request, err);
}
