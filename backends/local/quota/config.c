#include "backends/local/quota/config.h"

#include <ctype.h>
#include <string.h>

#include "lib/conf/value.h"

struct reader {
	const struct quota_setting *settings;
	size_t count;
	const char *prefix; /* of the namespace of INBOX */
	struct arena *arena;
	struct err *err;
};

/* --- names --- */

/* Skips a number that counts settings: 2 or more, without a leading 0. */
static const char *skip_number(const char *name, unsigned *number_r)
{
	*number_r = 1;
	if (*name < '1' || *name > '9' ||
	    (*name == '1' && !isdigit((unsigned char)name[1])))
		return name;
	for (*number_r = 0; isdigit((unsigned char)*name) && *number_r < 100000;
	     name++)
		*number_r = *number_r * 10 + (unsigned)(*name - '0');
	return name;
}

enum quota_setting_kind quota_setting_kind(const char *name, unsigned *number_r)
{
	static const struct {
		const char *name;
		enum quota_setting_kind kind;
	} numbered[] = {
		{ "_rule", QUOTA_RULE }, { "_warning", QUOTA_WARNING },
	};
	unsigned root;
	size_t i, len;

	*number_r = 1;
	if (strcmp(name, "quota_max_mail_size") == 0)
		return QUOTA_MAX_MAIL_SIZE;
	if (strcmp(name, "quota_exceeded_message") == 0)
		return QUOTA_MESSAGE;
	if (strncmp(name, "quota", 5) != 0)
		return QUOTA_NOT;
	name = skip_number(name + 5, &root);
	if (*name == '\0') {
		*number_r = root;
		return QUOTA_ROOT;
	}
	if (strcmp(name, "_grace") == 0)
		return QUOTA_GRACE;
	for (i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++) {
		len = strlen(numbered[i].name);
		if (strncmp(name, numbered[i].name, len) == 0 &&
		    *skip_number(name + len, number_r) == '\0')
			return numbered[i].kind;
	}
	return QUOTA_NOT;
}

static const char *value_of(const struct reader *reader, const char *name)
{
	size_t i = reader->count;

	while (i > 0 && strcmp(reader->settings[i - 1].name, name) != 0)
		i--;
	return i > 0 ? reader->settings[i - 1].value : NULL;
}

/* "quota_rule", then "quota_rule2". */
static const char *numbered_name(const struct reader *reader, const char *name,
				 unsigned number)
{
	return number == 1 ? name :
		arena_printf(reader->arena, "%s%u", name, number);
}

static int wrong(const struct reader *reader, const char *name,
		 const struct err *why)
{
	return err_set(reader->err, "%.50s: %.400s", name, why->text);
}

/* --- roots --- */

static int parse_backend(const char *name, struct quota_root *root,
			 struct err *err)
{
	static const char *const others[] = { "count", "dict", "dirsize", "imapc" };
	size_t i;

	if (strcmp(name, "maildir") == 0 || strcmp(name, "fs") == 0) {
		root->backend = *name == 'f' ? QUOTA_FS : QUOTA_MAILDIR;
		return 0;
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strcmp(name, others[i]) == 0)
			return err_set(err, "the backend %s needs Dovecot's own "
				       "delivery: use maildir, or fs, or have "
				       "lda_command call dovecot-lda", name);
	}
	return err_set(err, "unknown backend \"%.50s\": there are maildir and fs",
		       name);
}

static int parse_parameter(const char *parameter, struct quota_root *root,
			   struct err *err)
{
	bool fs = root->backend == QUOTA_FS;

	if (strcmp(parameter, "noenforcing") == 0)
		root->noenforcing = true;
	else if (strcmp(parameter, "ignoreunlimited") == 0 && !fs)
		root->no_unlimited = true;
	else if (strcmp(parameter, "user") == 0 && fs)
		root->group = false;
	else if (strcmp(parameter, "group") == 0 && fs)
		root->user = false;
	else if (strncmp(parameter, "mount=", 6) == 0 && fs)
		root->mount = parameter + 6;
	else if (strcmp(parameter, "hidden") != 0 && *parameter != '\0' &&
		 strncmp(parameter, "ns=", 3) != 0 &&
		 (strcmp(parameter, "inode_per_mail") != 0 || !fs))
		return err_set(err, "unknown parameter \"%.100s\"", parameter);
	return 0;
}

/* Whether a root counts the mail of another namespace: ns=PREFIX is behind its name. */
static bool is_elsewhere(const char *value, const char *prefix)
{
	const char *at = strchr(value, ':');
	size_t len = strlen(prefix);

	while (at != NULL && (at = strchr(at + 1, ':')) != NULL) {
		if (strncmp(at, ":ns=", 4) == 0)
			return strcspn(at + 4, ":") != len ||
			       memcmp(at + 4, prefix, len) != 0;
	}
	return false;
}

/* BACKEND[:NAME[:PARAMETER]...] */
static int parse_root(const char *value, struct arena *arena,
		      struct quota_root *root, struct err *err)
{
	char *rest = arena_strdup(arena, value);
	char *backend = strsep(&rest, ":");

	*root = (struct quota_root){ .name = "", .user = true, .group = true };
	if (parse_backend(backend, root, err) < 0)
		return -1;
	quota_rules_init(&root->rules, arena, root->backend == QUOTA_MAILDIR);
	if (rest != NULL)
		root->name = strsep(&rest, ":");
	while (rest != NULL) {
		if (parse_parameter(strsep(&rest, ":"), root, err) < 0)
			return -1;
	}
	return 0;
}

typedef int add_fn(struct quota_rules *rules, const char *value,
		   struct err *err);

/* Adds the values of NAME, NAME2, ..., NAME being the root's with suffix behind it,
 * up to the first one that is not there. */
static int read_list(const struct reader *reader, const char *root_name,
		     const char *suffix, add_fn *add,
		     struct quota_rules *rules)
{
	const char *list = arena_concat(reader->arena, root_name, suffix, "");
	const char *name, *value;
	unsigned number;
	struct err why;

	for (number = 1;; number++) {
		name = numbered_name(reader, list, number);
		value = value_of(reader, name);
		if (value == NULL)
			return 0;
		if (add(rules, value, &why) < 0)
			return wrong(reader, name, &why);
	}
}

static int read_root(const struct reader *reader, const char *name,
		     const char *value, struct quota_root *root)
{
	const char *grace_name = arena_concat(reader->arena, name, "_grace", "");
	const char *grace = value_of(reader, grace_name);
	struct err why;

	if (parse_root(value, reader->arena, root, &why) < 0)
		return wrong(reader, name, &why);
	if (read_list(reader, name, "_rule", quota_rules_add,
		      &root->rules) < 0 ||
	    read_list(reader, name, "_warning", quota_rules_add_warning,
		      &root->rules) < 0)
		return -1;
	if (grace != NULL &&
	    quota_rules_set_grace(&root->rules, grace, &why) < 0)
		return wrong(reader, grace_name, &why);
	return 0;
}

static bool is_unlimited(const struct quota_root *root)
{
	struct quota_amount base = quota_rules_base(&root->rules);

	return base.bytes == 0 && base.messages == 0;
}

/* There is one maildirsize, in which two roots would count the same mail. */
static int check_other(const struct reader *reader, const char *name,
		       const struct quota_config *config,
		       const struct quota_root *root)
{
	unsigned i;

	for (i = 0; i < config->root_count; i++) {
		if (root->backend == QUOTA_MAILDIR &&
		    config->roots[i].backend == QUOTA_MAILDIR)
			return err_set(reader->err, "%s: there is another root "
				       "with the backend maildir", name);
	}
	return 0;
}

static int read_roots(const struct reader *reader, struct quota_config *config)
{
	const char *name, *value;
	unsigned number;

	for (number = 1;; number++) {
		struct quota_root root;

		name = numbered_name(reader, "quota", number);
		value = value_of(reader, name);
		if (value == NULL || *value == '\0')
			return 0;
		if (is_elsewhere(value, reader->prefix))
			continue;
		if (config->root_count == QUOTA_MAX_ROOTS)
			return err_set(reader->err, "%s: there are more than %d "
				       "roots", name, QUOTA_MAX_ROOTS);
		if (read_root(reader, name, value, &root) < 0)
			return -1;
		if (root.no_unlimited && is_unlimited(&root))
			continue;
		if (check_other(reader, name, config, &root) < 0)
			return -1;
		config->roots[config->root_count++] = root;
	}
}

int quota_config_read(const struct quota_setting *settings, size_t count,
		      const char *prefix, struct arena *arena,
		      struct quota_config *config_r, struct err *err)
{
	const struct reader reader = {
		.settings = settings, .count = count, .prefix = prefix,
		.arena = arena, .err = err,
	};
	const char *max = value_of(&reader, "quota_max_mail_size");
	const char *message = value_of(&reader, "quota_exceeded_message");
	struct err why;

	*config_r = (struct quota_config){ .exceeded_message = message };
	if (message == NULL)
		config_r->exceeded_message = QUOTA_EXCEEDED_MESSAGE;
	if (max != NULL &&
	    conf_value_parse(CONF_SIZE, NULL, arena, max,
			     &config_r->max_mail_size, &why) < 0)
		return wrong(&reader, "quota_max_mail_size", &why);
	return read_roots(&reader, config_r);
}

static int check_root(const char *value, const char *prefix,
		      struct arena *arena, struct err *err)
{
	struct quota_root root;

	if (*value == '\0')
		return 0;
	if (!is_elsewhere(value, prefix))
		return parse_root(value, arena, &root, err);
	err_put(err, "has no effect: mail is saved in the namespace of INBOX "
		"alone, whose prefix is \"%.100s\"", prefix);
	return 1;
}

int quota_setting_check(enum quota_setting_kind kind, const char *value,
			bool maildir, const char *prefix, struct err *err)
{
	struct arena *arena = arena_new(256);
	struct quota_rules rules;
	uint64_t size;
	int status = 0;

	quota_rules_init(&rules, arena, maildir);
	switch (kind) {
	case QUOTA_ROOT:
		status = check_root(value, prefix, arena, err);
		break;
	case QUOTA_RULE:
		status = quota_rules_add(&rules, value, err);
		break;
	case QUOTA_WARNING:
		status = quota_rules_add_warning(&rules, value, err);
		break;
	case QUOTA_GRACE:
		status = quota_rules_set_grace(&rules, value, err);
		break;
	case QUOTA_MAX_MAIL_SIZE:
		status = conf_value_parse(CONF_SIZE, NULL, arena, value, &size,
					  err);
		break;
	case QUOTA_NOT:
	case QUOTA_MESSAGE:
		break;
	}
	arena_free(&arena);
	return status;
}
