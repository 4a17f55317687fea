#include "backends/local/quota/quota.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "backends/local/mailbox_name.h"
#include "backends/local/quota/fs.h"
#include "backends/local/quota/maildirsize.h"
#include "lib/arena.h"
#include "lib/mem.h"

struct quota {
	struct arena *arena;
	struct quota_config config;
	struct maildir_tree tree;
	struct maildirsize *size; /* of the root with that backend; NULL: none */
	const char *doubt;
};

/* --- opening --- */

static bool ignore(const void *context, const char *mailbox)
{
	const struct quota_rules *rules = context;

	return quota_rules_ignore(rules, mailbox);
}

static bool is_maildir(const struct mail_location *location)
{
	return location != NULL && location->format == MAIL_FORMAT_MAILDIR;
}

/* As in Dovecot, it counts nothing then. */
static void drop_root(struct quota *quota, unsigned i)
{
	struct quota_config *config = &quota->config;

	quota->doubt = arena_printf(quota->arena, "quota \"%.100s\" counts "
				    "nothing: the backend maildir is for mail "
				    "in a Maildir, see fs",
				    config->roots[i].name);
	config->root_count--;
	memmove(&config->roots[i], &config->roots[i + 1],
		(config->root_count - i) * sizeof(config->roots[0]));
}

/* There is one root with that backend at most. */
static void open_maildirsize(struct quota *quota)
{
	unsigned i;

	for (i = 0; i < quota->config.root_count; i++) {
		const struct quota_root *root = &quota->config.roots[i];
		struct quota_amount base = quota_rules_base(&root->rules);

		if (root->backend != QUOTA_MAILDIR)
			continue;
		if (!is_maildir(quota->tree.location)) {
			drop_root(quota, i);
			return;
		}
		quota->size = maildirsize_new(&quota->tree, &base,
					      root->rules.forced, ignore,
					      &root->rules);
	}
}

int quota_open(const struct quota_settings *settings, struct quota **quota_r,
	       struct err *err)
{
	const char *prefix = settings->tree.naming.prefix;
	struct quota *quota = mem_new(struct quota);

	quota->arena = arena_new(1024);
	quota->tree = settings->tree;
	if (quota_config_read(settings->list, settings->count,
			      prefix != NULL ? prefix : "", quota->arena,
			      &quota->config, err) < 0) {
		quota_close(&quota);
		return -1;
	}
	quota->doubt = "";
	open_maildirsize(quota);
	/* Values of the settings need not outlive this call. */
	quota->config.exceeded_message =
		arena_strdup(quota->arena, quota->config.exceeded_message);
	*quota_r = quota;
	return 0;
}

void quota_close(struct quota **quota)
{
	if (*quota == NULL)
		return;
	maildirsize_free(&(*quota)->size);
	arena_free(&(*quota)->arena);
	mem_free(quota);
}

const char *quota_doubt(const struct quota *quota)
{
	return quota->doubt;
}

const char *quota_exceeded_message(const struct quota *quota)
{
	return quota->config.exceeded_message;
}

/* --- what there is --- */

/* The limits of the file system take the place of those that a rule names: only that
 * it names some has a meaning, as in Dovecot. */
static int use_fs(const struct quota *quota, const struct quota_root *root,
		  struct quota_amount *used_r, struct quota_amount *base_r,
		  struct err *err)
{
	const char *path = root->mount;

	if (path == NULL && quota->tree.location != NULL)
		path = quota->tree.location->root;
	if (path == NULL)
		return err_set(err, "quota \"%.100s\": mount= has to say which "
			       "file system this is for", root->name);
	return quota_fs_get(path, root->user, root->group, used_r, base_r, err);
}

static bool is_none(const struct quota_amount *limit)
{
	return limit->bytes == 0 && limit->messages == 0;
}

/* How full a root is, for a mailbox. */
struct level {
	struct quota_amount used, limit;
	uint64_t grace;
};

/* Returns 1, 0 when there is no limit, or -1. */
static int find_level(struct quota *quota, const struct quota_root *root,
		      const char *mailbox, struct level *level_r,
		      struct err *err)
{
	struct quota_amount base = quota_rules_base(&root->rules);
	int status = 1;

	*level_r = (struct level){ .grace = 0 };
	level_r->limit = quota_rules_limit(&root->rules, &base, mailbox);
	if (is_none(&level_r->limit) &&
	    (root->rules.forced || root->backend == QUOTA_FS))
		return 0;
	if (root->backend == QUOTA_FS) {
		status = use_fs(quota, root, &level_r->used, &base, err);
	} else {
		if (maildirsize_get(quota->size, &level_r->used, err) < 0)
			return -1;
		base = maildirsize_limit(quota->size);
	}
	level_r->limit = quota_rules_limit(&root->rules, &base, mailbox);
	level_r->grace = quota_rules_grace(&root->rules, &base);
	return status > 0 ? !is_none(&level_r->limit) : status;
}

/* --- may it be saved --- */

/* The name that rules may have for it. */
static const char *listed(const struct quota *quota, const char *mailbox)
{
	const struct maildir_tree *tree = &quota->tree;

	if (tree->location == NULL)
		return mailbox;
	mailbox = mailbox_name_listed(tree->location, &tree->naming, mailbox,
				      quota->arena);
	if (tree->naming.prefix == NULL || strcmp(mailbox, "INBOX") == 0)
		return mailbox;
	return arena_concat(quota->arena, tree->naming.prefix, mailbox, "");
}

static bool fits(const struct level *level, uint64_t size)
{
	uint64_t used = level->used.bytes, limit = level->limit.bytes;

	if (level->limit.messages > 0 &&
	    level->used.messages >= level->limit.messages)
		return false;
	if (limit == 0)
		return true;
	if (used >= limit)
		return size == 0 && used == limit;
	return size <= limit - used || size - (limit - used) <= level->grace;
}

static int refuse(struct local_result *result, enum local_status status)
{
	result->status = status;
	result->error = 0;
	return 0;
}

/* As quota_allows(). */
static int root_allows(struct quota *quota, const struct quota_root *root,
		       const char *mailbox, uint64_t size,
		       struct local_result *result)
{
	struct level level;
	struct err err;
	int status = find_level(quota, root, mailbox, &level, &err);

	if (status < 0) {
		*result = (struct local_result){ .status = LOCAL_FAILED };
		snprintf(result->text, sizeof(result->text), "%s", err.text);
		return -1;
	}
	if (status == 0 || fits(&level, size))
		return 1;
	snprintf(result->text, sizeof(result->text), "quota \"%.100s\" is "
		 "exceeded: %" PRIu64 " of %" PRIu64 " bytes and %" PRIu64
		 " of %" PRIu64 " messages are used (0: no limit), %" PRIu64
		 " bytes were to be saved", root->name, level.used.bytes,
		 level.limit.bytes, level.used.messages, level.limit.messages,
		 size);
	return refuse(result, LOCAL_OVER_QUOTA);
}

int quota_allows(struct quota *quota, const char *mailbox, uint64_t size,
		 struct local_result *result)
{
	const struct quota_config *config = &quota->config;
	int status = 1;
	unsigned i;

	mailbox = listed(quota, mailbox);
	if (config->max_mail_size > 0 && size > config->max_mail_size) {
		snprintf(result->text, sizeof(result->text), "the mail has %"
			 PRIu64 " bytes, quota_max_mail_size is %" PRIu64, size,
			 config->max_mail_size);
		return refuse(result, LOCAL_TOO_BIG);
	}
	for (i = 0; i < config->root_count && status != 0; i++) {
		int one;

		if (config->roots[i].noenforcing)
			continue;
		one = root_allows(quota, &config->roots[i], mailbox, size, result);
		if (one <= 0)
			status = one;
	}
	return status;
}

/* --- it is saved --- */

void quota_saving(struct quota *quota, const char *mailbox)
{
	unsigned i;

	mailbox = listed(quota, mailbox);
	for (i = 0; i < quota->config.root_count; i++) {
		const struct quota_root *root = &quota->config.roots[i];

		if (root->backend == QUOTA_MAILDIR &&
		    !quota_rules_ignore(&root->rules, mailbox))
			maildirsize_begin(quota->size);
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static int add_to_root(struct quota *quota, const struct quota_root *root,
		       const struct quota_amount *more,
		       struct quota_warnings *warnings_r, struct err *err)
{
	struct quota_amount before, after, base;
	const char *command;
	int status;

	if (root->backend == QUOTA_MAILDIR) {
		if (maildirsize_add(quota->size, more, &after, err) < 0)
			return -1;
		base = maildirsize_limit(quota->size);
	} else {
		if (root->rules.first_warning == NULL)
			return 0;
		status = use_fs(quota, root, &after, &base, err);
		if (status <= 0)
			return status;
	}
	before.bytes = less(after.bytes, more->bytes);
	before.messages = less(after.messages, more->messages);
	command = quota_rules_warning(&root->rules, &base, &before, &after);
	if (command != NULL)
		warnings_r->commands[warnings_r->count++] = command;
	return 0;
}

int quota_saved(struct quota *quota, const char *mailbox, uint64_t bytes,
		uint64_t messages, struct quota_warnings *warnings_r,
		struct err *err)
{
	const struct quota_amount more = { bytes, messages };
	int status = 0;
	struct err why;
	unsigned i;

	mailbox = listed(quota, mailbox);
	warnings_r->count = 0;
	for (i = 0; i < quota->config.root_count; i++) {
		const struct quota_root *root = &quota->config.roots[i];

		if (quota_rules_ignore(&root->rules, mailbox))
			continue;
		if (add_to_root(quota, root, &more, warnings_r, &why) == 0)
			continue;
		if (status == 0)
			*err = why;
		status = -1;
	}
	return status;
}
