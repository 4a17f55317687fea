/* What the settings in Dovecot's plugin { } say of quota: its roots, each with a backend
 * and rules. No I/O. */
#ifndef BACKENDS_LOCAL_QUOTA_CONFIG_H
#define BACKENDS_LOCAL_QUOTA_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/local/quota/rules.h"
#include "lib/arena.h"
#include "lib/err.h"

#define QUOTA_MAX_ROOTS 8
#define QUOTA_EXCEEDED_MESSAGE "Quota exceeded (mailbox for user is full)"

/* One setting, whose variables are expanded. */
struct quota_setting {
	const char *name, *value;
};

enum quota_backend {
	QUOTA_MAILDIR, /* maildirsize */
	QUOTA_FS,      /* the file system's */
};

/* One of the settings quota, quota2, ... */
struct quota_root {
	const char *name; /* may be "" */
	enum quota_backend backend;
	bool noenforcing;   /* counted, but nothing is refused */
	bool no_unlimited;  /* ignoreunlimited: not counted without limits */
	bool user, group;   /* fs: of which the quota may be */
	const char *mount;  /* fs: a path on the file system; NULL: that of the mail */
	struct quota_rules rules;
};

struct quota_config {
	struct quota_root roots[QUOTA_MAX_ROOTS];
	unsigned root_count;
	uint64_t max_mail_size;	      /* bytes; 0: any */
	const char *exceeded_message; /* never NULL */
};

/* Reads settings, of which the last one with a name counts: so those of the userdb
 * follow those of plugin { }. Those that are not about quota are passed over. The rules
 * of the root "quota" are quota_rule, quota_rule2, and so on until one is missing;
 * quota_warning and quota_grace are like that; those of "quota2" start with
 * quota2_. prefix is that of the namespace of INBOX: roots with another one in "ns=" are
 * passed over. Everything lives in arena. Returns -1 with an error that names the
 * setting. */
int quota_config_read(const struct quota_setting *settings, size_t count,
		      const char *prefix, struct arena *arena,
		      struct quota_config *config_r, struct err *err);

/* What a setting is, by its name. */
enum quota_setting_kind {
	QUOTA_NOT, /* none of ours */
	QUOTA_ROOT,
	QUOTA_RULE,
	QUOTA_WARNING,
	QUOTA_GRACE,
	QUOTA_MAX_MAIL_SIZE,
	QUOTA_MESSAGE,
};

/* number_r is what counts the rules, warnings or roots: 1 where the name has none. */
enum quota_setting_kind quota_setting_kind(const char *name, unsigned *number_r);

/* Checks a value by itself: for settings without a user, where they hold no variables.
 * maildir: whether the backend is; prefix: see quota_config_read(). Returns 0; 1 when err
 * says what should be written otherwise, or has no effect; or -1. */
int quota_setting_check(enum quota_setting_kind kind, const char *value,
			bool maildir, const char *prefix, struct err *err);

#endif
