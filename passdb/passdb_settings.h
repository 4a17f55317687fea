/* What the configuration says about passdbs and userdbs (Dovecot's auth
 * settings). All strings belong to the settings' arena; none is NULL. */
#ifndef PASSDB_PASSDB_SETTINGS_H
#define PASSDB_PASSDB_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct conf_tree;

enum passdb_next {
	PASSDB_RETURN_OK,
	PASSDB_RETURN,
	PASSDB_RETURN_FAIL,
	PASSDB_CONTINUE,
	PASSDB_CONTINUE_OK,
	PASSDB_CONTINUE_FAIL,
};

/* Who is asked: where the user's mail is, and who the user is on this
 * machine. */
enum passdb_kind { PASSDB_KIND_PASS, PASSDB_KIND_USER };
#define PASSDB_KINDS 2

/* One passdb { } or userdb { } block, in order. */
struct passdb_block {
	const char *driver, *args, *name;
	const char *default_fields, *override_fields;
	const char *mechanisms, *username_filter;
	int skip; /* 0 never, 1 authenticated or found, 2 unauthenticated or
		     notfound */
	int result_success, result_failure, result_internalfail;
	bool deny, master, pass;
	int auth_verbose;
	const char *file; /* where the block stands */
	unsigned line;
};

struct passdb_settings {
	const struct passdb_block *blocks;
	unsigned count;
	const struct passdb_block *userdb_blocks; /* what a userdb does not
						     have is as by default */
	unsigned userdb_count;
	const char *username_chars;	  /* auth_username_chars */
	const char *username_translation; /* auth_username_translation */
	const char *username_format;	  /* auth_username_format */
	const char *default_realm;	  /* auth_default_realm */
	const char *proxy_self;		  /* auth_proxy_self */
	const char *hostname;		  /* %{hostname} */
	unsigned lookup_timeout_ms;	  /* auth_lookup_timeout */
	uint64_t cache_size;		  /* auth_cache_size; 0: no cache */
	unsigned cache_ttl_ms, cache_negative_ttl_ms;
	bool debug;			  /* auth_debug */
	struct conf_tree *tree; /* the configuration, for conf_tree_file() */
};

#endif
