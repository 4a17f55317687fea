/* Local delivery's part of the settings. */
#ifndef PROXY_SETTINGS_LOCAL_H
#define PROXY_SETTINGS_LOCAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "backends/local/deliver.h"
#include "lib/conf/schema.h"
#include "proxy/settings/namespace.h"
#include "proxy/settings/quota.h"

struct settings;

enum settings_fsync { FSYNC_OPTIMIZED, FSYNC_ALWAYS, FSYNC_NEVER };

/* Times are in ms. */
struct local_settings {
	const char *mail_location, *mail_home; /* variables */
	const char *mail_uid, *mail_gid, *mail_access_groups;
	const char *mail_privileged_group;
	const char *valid_chroot_dirs;
	const char *deliver_log_format, *lda_original_recipient_header;
	unsigned first_valid_uid, last_valid_uid; /* last: 0: no limit */
	unsigned first_valid_gid, last_valid_gid;
	int mail_fsync; /* enum settings_fsync */
	bool lda_mailbox_autocreate, lda_mailbox_autosubscribe;
	bool maildir_copy_with_hardlinks;
	bool lmtp_save_to_detail_mailbox, quota_full_tempfail;
	bool lmtp_rcpt_check_quota;
	unsigned lmtp_user_concurrency_limit; /* 0: none; of all recipients */

	/* waypost's own: */
	unsigned lmtp_max_deliveries;	/* 20: processes at a time */
	unsigned lmtp_delivery_timeout; /* 2 min */
	const char *lda_command;	/* variables; "": none */
	unsigned lda_command_processes; /* 200: of its user; 0: no limit */

	/* What follows from these: */
	struct namespace_settings inbox; /* its namespace */
	bool enabled; /* there is a mail_location, of the namespace of INBOX perhaps, or
		       * lda_command, and a userdb */
	bool has_uid, has_gid; /* mail_uid, mail_gid are set, to: */
	uid_t uid;
	gid_t gid;
	bool has_owner; /* service lmtp { user } is set, and is: */
	uid_t owner_uid;
	gid_t owner_gid;
	struct settings_quota quota; /* of plugin { } */
	bool quota_warnings;	     /* it has commands */
};

extern const struct conf_table settings_local_table;

/* Takes the quota of root and of the filters that hold for all of LMTP, and reports what
 * is wrong with it if there is local delivery. */
void settings_local_add_quota(struct settings *settings,
			      const struct conf_node *section,
			      struct conf_errors *errors);

/* Fills in what follows from others, of which passdb is bound. Asks NSS for
 * mail_uid, mail_gid and the user of service lmtp, if there is local delivery. */
void settings_local_derive(struct settings *settings,
			   const struct conf_node *root,
			   struct conf_errors *errors);

/* Reports what cannot be. */
void settings_local_check(const struct settings *settings,
			  const struct conf_node *root,
			  struct conf_errors *errors);

/* What processes that deliver have to keep to; as_root: waypost was started by
 * root. Lives as long as settings. */
void settings_local_policy(const struct settings *settings, bool as_root,
			   struct local_policy *policy_r);

#endif
