#include "proxy/settings/local.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/local/lda/args.h"
#include "backends/local/time_limit.h"
#include "deliver/mail_vars.h"
#include "passdb/userdb/ids.h"
#include "proxy/settings/check.h"
#include "proxy/settings/settings.h"

static const struct conf_word fsync_words[] = {
	{ "optimized", FSYNC_OPTIMIZED },
	{ "always", FSYNC_ALWAYS },
	{ "never", FSYNC_NEVER },
	{ NULL, 0 },
};

#define S struct local_settings
static const struct conf_def local_defs[] = {
	CONF_DEF_STRING(S, mail_location, "mail_location", "",
		"where mail is that no userdb names another place for"),
	CONF_DEF_STRING(S, mail_home, "mail_home", "",
		"home of users for whom no userdb names one"),
	CONF_DEF_STRING(S, mail_uid, "mail_uid", "",
		"user who owns the mail if no userdb names one"),
	CONF_DEF_STRING(S, mail_gid, "mail_gid", "",
		"its group if no userdb names one"),
	CONF_DEF_STRING(S, mail_access_groups, "mail_access_groups", "",
		"more groups of the process that saves mail"),
	CONF_DEF_STRING(S, mail_privileged_group, "mail_privileged_group", "",
		"group that may make files where mboxes are"),
	CONF_DEF_STRING(S, valid_chroot_dirs, "valid_chroot_dirs", "",
		"directories that a user's chroot may be in"),
	CONF_DEF_UINT(S, first_valid_uid, "first_valid_uid", "500",
		"lowest uid that mail is saved for"),
	CONF_DEF_UINT(S, last_valid_uid, "last_valid_uid", "0",
		"highest uid that mail is saved for; 0: any"),
	CONF_DEF_UINT(S, first_valid_gid, "first_valid_gid", "1",
		"lowest gid that mail is saved with"),
	CONF_DEF_UINT(S, last_valid_gid, "last_valid_gid", "0",
		"highest gid that mail is saved with; 0: any"),
	CONF_DEF_ENUM(S, mail_fsync, fsync_words, "mail_fsync", "optimized",
		"whether mail is on the disk before the client is told so"),
	CONF_DEF_BOOL(S, lda_mailbox_autocreate, "lda_mailbox_autocreate",
		"no", "make a mailbox that is not there"),
	CONF_DEF_BOOL(S, lda_mailbox_autosubscribe,
		"lda_mailbox_autosubscribe", "no",
		"subscribe the user to a mailbox that was made"),
	CONF_DEF_BOOL(S, maildir_copy_with_hardlinks,
		"maildir_copy_with_hardlinks", "yes",
		"have recipients of one message share a file"),
	CONF_DEF_BOOL(S, lmtp_save_to_detail_mailbox,
		"lmtp_save_to_detail_mailbox", "no",
		"save into the mailbox that an address's detail names"),
	CONF_DEF_BOOL(S, lmtp_rcpt_check_quota, "lmtp_rcpt_check_quota", "no",
		"refuse recipients who are over quota at once"),
	CONF_DEF_BOOL(S, quota_full_tempfail, "quota_full_tempfail", "no",
		"have mail over quota sent again later"),
	CONF_DEF_STRING(S, deliver_log_format, "deliver_log_format",
		"msgid=%m: %$", "the line of the log for each mail saved here"),
	CONF_DEF_STRING(S, lda_original_recipient_header,
		"lda_original_recipient_header", "",
		"header that names the original recipient"),
	CONF_DEF_STRING(S, lda_command, "lda_command", "",
		"program that saves mail in our place"),
	CONF_DEF_UINT(S, lda_command_processes, "lda_command_processes", "200",
		"processes that the user of lda_command may have; 0: any "
		"number"),
	CONF_DEF_UINT(S, lmtp_user_concurrency_limit,
		"lmtp_user_concurrency_limit", "0",
		"recipients of one user that are under way; 0: any number"),
	CONF_DEF_UINT(S, lmtp_max_deliveries, "lmtp_max_deliveries", "20",
		"processes that save mail at a time"),
	CONF_DEF_TIME(S, lmtp_delivery_timeout, "lmtp_delivery_timeout",
		"2 mins", "how long saving one mail may take"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_local_table = {
	local_defs, CONF_TABLE_GLOBAL,
};

/* A proxy that loads a tree of Dovecot's need not have the user. */
static bool find_id(enum nss_what what, const char *name, const char *text,
		    const struct conf_node *root, struct conf_errors *errors,
		    uint32_t *id_r)
{
	const struct conf_node *node = conf_node_setting(root, name);
	struct err err;

	if (*text == '\0')
		return false;
	if (userdb_id_find(what, text, id_r, &err) == 0) {
		if (*id_r != 0)
			return true;
		err_put(&err, "%s is root's, and nothing is saved as root",
			text);
	}
	conf_warning(errors, node != NULL ? node->file : NULL,
		     node != NULL ? node->line : 0, "%s: %s", name, err.text);
	return false;
}

void settings_local_add_quota(struct settings *settings,
			      const struct conf_node *section,
			      struct conf_errors *errors)
{
	struct local_settings *local = &settings->local;
	size_t i = local->quota.count;
	unsigned number;

	/* What a command saves is not ours to count. */
	if (!local->enabled || *local->lda_command != '\0')
		return;
	settings_quota_collect(settings->arena, section, &local->quota);
	settings_quota_check(section, local->inbox.prefix, errors);
	for (; i < local->quota.count; i++)
		local->quota_warnings |=
			quota_setting_kind(local->quota.list[i].name,
					   &number) == QUOTA_WARNING;
}

/* Whom Dovecot's LMTP would be, and save mail as. What is wrong with it, others say. */
static bool find_owner(const struct service_settings *service,
		       struct local_settings *local)
{
	struct nss_entry user = { .found = false }, group = { .found = false };
	bool found = *service->user != '\0' &&
		     nss_find(NSS_USER, service->user, &user) == 0 &&
		     user.found && user.uid != 0;

	local->owner_uid = user.uid;
	local->owner_gid = user.gid;
	if (found && *service->group != '\0') {
		found = nss_find(NSS_GROUP, service->group, &group) == 0 &&
			group.found;
		local->owner_gid = group.gid;
	}
	nss_entry_free(&user);
	nss_entry_free(&group);
	return found;
}

void settings_local_derive(struct settings *settings,
			   const struct conf_node *root,
			   struct conf_errors *errors)
{
	struct local_settings *local = &settings->local;

	settings_namespace_bind(settings->arena, root, &local->inbox);
	local->enabled = (*local->mail_location != '\0' ||
			  *local->inbox.location != '\0' ||
			  *local->lda_command != '\0') &&
			 settings->passdb.userdb_count > 0;
	if (!local->enabled)
		return;
	local->has_uid = find_id(NSS_USER, "mail_uid", local->mail_uid, root,
				 errors, &local->uid);
	local->has_gid = find_id(NSS_GROUP, "mail_gid", local->mail_gid, root,
				 errors, &local->gid);
	local->has_owner = find_owner(&settings->service, local);
}

static void check_command(const struct local_settings *local,
			  const struct conf_node *root,
			  struct conf_errors *errors)
{
	const struct conf_node *node = conf_node_setting(root, "lda_command");
	const char *text = local->lda_command;
	struct err err, why;
	char *program;

	if (*text == '\0')
		return;
	if (lda_args_check(text, &err) < 0 ||
	    mail_vars_check("lda_command", text, &err) < 0) {
		err_put(&why, "lda_command: %.490s", err.text);
		settings_error(errors, root, "lda_command", why.text);
		return;
	}
	text += strspn(text, " \t\n");
	program = strndup(text, strcspn(text, " \t\n"));
	if (program != NULL && access(program, X_OK) < 0 && node != NULL)
		conf_warning(errors, node->file, node->line,
			     "lda_command: %s: %s", program, strerror(errno));
	free(program);
}

static void check_log_format(const struct local_settings *local,
			     const struct conf_node *root,
			     struct conf_errors *errors)
{
	static const char name[] = "deliver_log_format";
	struct err err, why;

	if (mail_vars_check(name, local->deliver_log_format, &err) == 0)
		return;
	err_put(&why, "%s: %.490s", name, err.text);
	settings_error(errors, root, name, why.text);
}

static void check_header(const struct local_settings *local,
			 const struct conf_node *root,
			 struct conf_errors *errors)
{
	const char *at = local->lda_original_recipient_header;

	while (*at > ' ' && *at < 0x7f && *at != ':')
		at++;
	if (*at != '\0')
		settings_error(errors, root, "lda_original_recipient_header",
			       "lda_original_recipient_header is the name of a "
			       "header, without its colon");
}

void settings_local_check(const struct settings *settings,
			  const struct conf_node *root,
			  struct conf_errors *errors)
{
	const struct local_settings *local = &settings->local;

	if (local->lmtp_max_deliveries == 0)
		settings_error(errors, root, "lmtp_max_deliveries",
			       "lmtp_max_deliveries cannot be 0");
	if (local->lmtp_delivery_timeout < 1000)
		settings_error(errors, root, "lmtp_delivery_timeout",
			       "lmtp_delivery_timeout cannot be less than a "
			       "second");
	if (local->enabled)
		settings_namespace_check(root, &local->inbox, errors);
	check_command(local, root, errors);
	check_log_format(local, root, errors);
	check_header(local, root, errors);
}

/* Whose all mail is. Dovecot's LMTP could not become anybody but its user either. */
static bool has_one_user(const struct local_settings *local)
{
	return (local->has_uid || local->has_owner) &&
	       (local->has_gid || local->has_owner);
}

void settings_local_policy(const struct settings *settings, bool as_root,
			   struct local_policy *policy_r)
{
	const struct local_settings *local = &settings->local;
	bool command = *local->lda_command != '\0';
	uid_t uid = local->has_uid ? local->uid : local->owner_uid;
	gid_t gid = local->has_gid ? local->gid : local->owner_gid;

	*policy_r = (struct local_policy){
		.first_uid = local->first_valid_uid,
		.last_uid = local->last_valid_uid,
		.first_gid = local->first_valid_gid,
		.last_gid = local->last_valid_gid,
		.chroot_dirs = local->valid_chroot_dirs,
		.privileged_group = local->mail_privileged_group,
		.maildir = {
			.fsync = local->mail_fsync != FSYNC_NEVER,
			.autocreate = local->lda_mailbox_autocreate,
			.autosubscribe = local->lda_mailbox_autosubscribe,
			.hostname = settings->lmtp.hostname,
			.naming = { *local->inbox.separator,
				    local->inbox.prefix },
		},
		.quota = local->quota.list,
		.quota_count = local->quota.count,
		.timeout = (local->lmtp_delivery_timeout + 999) / 1000,
		.lda_command = command ? local->lda_command : NULL,
		.lda_processes = local->lda_command_processes,
		.log_format = local->deliver_log_format,
		.original_header = local->lda_original_recipient_header,
		.grace = TIME_LIMIT_GRACE_S,
		.sockets = local->quota_warnings || command,
		.fixed = !as_root || has_one_user(local),
		.uid = as_root ? uid : geteuid(),
		.gid = as_root ? gid : getegid(),
	};
}
