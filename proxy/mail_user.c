#include "proxy/mail_user.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/local/become.h"
#include "lib/mem.h"
#include "passdb/var.h"

/* --- variables --- */

/* A colon in a value separates nothing. */
static int double_colons(struct str *out, size_t from, struct err *err)
{
	char *value, *at;

	(void)err;
	if (strchr(str_c(out) + from, ':') == NULL)
		return 0;
	value = mem_strdup(out->data + from);
	str_truncate(out, from);
	for (at = value; *at != '\0'; at++) {
		str_putc(out, *at);
		if (*at == ':')
			str_putc(out, ':');
	}
	mem_free(&value);
	return 0;
}

/* What follows a blank would be another argument. */
static int refuse_blanks(struct str *out, size_t from, struct err *err)
{
	size_t i;

	for (i = from; i < out->len; i++) {
		if ((unsigned char)out->data[i] <= ' ' || out->data[i] == 0x7f)
			return err_set(err, "a variable's value has a blank");
	}
	return 0;
}

/* The mail's, in deliver_log_format. */
static const struct var_entry log_vars[] = {
	{ '$', NULL, NULL, MAIL_FACT_STATUS },
	{ 'm', "msgid", NULL, MAIL_FACT_MESSAGE_ID },
	{ 's', "subject", NULL, MAIL_FACT_SUBJECT },
	{ 'f', "from", NULL, MAIL_FACT_FROM },
	{ 'e', "from_envelope", NULL, MAIL_FACT_FROM_ENVELOPE },
	{ 'p', "size", NULL, MAIL_FACT_SIZE },
	{ 'w', "vsize", NULL, MAIL_FACT_VIRTUAL_SIZE },
	{ 0, "to_envelope", NULL, MAIL_FACT_TO_ENVELOPE },
	{ 0, "delivery_time", NULL, MAIL_FACT_DELIVERY_MS },
	{ 0, "session_time", NULL, MAIL_FACT_SESSION_MS },
	{ 0, "storage_id", NULL, MAIL_FACT_STORAGE_ID },
	{ 0, NULL, NULL, 0 },
};

/* In lda_command. */
static const struct var_entry command_vars[] = {
	{ 0, "from_envelope", NULL, MAIL_FACT_FROM_ENVELOPE },
	{ 0, "to_envelope", NULL, MAIL_FACT_TO_ENVELOPE },
	{ 0, "rcpt_to", NULL, MAIL_FACT_RCPT_TO },
	{ 0, "detail", NULL, MAIL_FACT_DETAIL },
	{ 0, "mailbox", NULL, MAIL_FACT_MAILBOX },
	{ 0, NULL, NULL, 0 },
};

static const struct var_entry no_vars[] = { { 0, NULL, NULL, 0 } };

static const struct var_entry *vars_for(const char *name)
{
	if (strcmp(name, "deliver_log_format") == 0)
		return log_vars;
	return strcmp(name, "lda_command") == 0 ? command_vars : no_vars;
}

static void put_fact(const struct var_source *source,
		     const struct var_entry *entry, struct str *out)
{
	if (source->context != NULL)
		mail_facts_put(source->context, (enum mail_fact)entry->id, out);
}

typedef int escape_fn(struct str *out, size_t from, struct err *err);

struct mail_vars {
	struct var_entry table[7];
	char uid[16], gid[16];
};

/* Of the request only who it is and, perhaps, the home are known. */
static void mail_vars_init(struct mail_vars *vars, struct arena *arena,
			   const struct local_request *request)
{
	const char *domain = strchr(request->user, '@');
	size_t len = strcspn(request->user, "@");

	snprintf(vars->uid, sizeof(vars->uid), "%u", (unsigned)request->uid);
	snprintf(vars->gid, sizeof(vars->gid), "%u", (unsigned)request->gid);
	vars->table[0] = (struct var_entry){ 'u', "user", request->user, 0 };
	vars->table[1] = (struct var_entry){
		'n', "username", arena_strndup(arena, request->user, len), 0,
	};
	vars->table[2] = (struct var_entry){
		'd', "domain", domain != NULL ? domain + 1 : "", 0,
	};
	vars->table[3] = (struct var_entry){ 'h', "home", request->home, 0 };
	vars->table[4] = (struct var_entry){ 'i', "uid", vars->uid, 0 };
	vars->table[5] = (struct var_entry){ 0, "gid", vars->gid, 0 };
	vars->table[6] = (struct var_entry){ 0, NULL, NULL, 0 };
}

/* name is the setting's. */
static const char *expand(struct arena *arena, const char *name,
			  const char *text,
			  const struct local_request *request,
			  const struct mail_facts *facts, escape_fn *escape,
			  struct err *err)
{
	struct mail_vars vars;
	const struct var_source user = { .table = vars.table };
	const struct var_source source = {
		.table = vars_for(name),
		.value = put_fact,
		.escape = escape,
		.context = facts,
		.next = &user,
	};
	struct str out = STR_INIT;
	const char *value = NULL;
	struct err why;

	mail_vars_init(&vars, arena, request);
	if (var_expand(&out, text, &source, &why) == 0)
		value = arena_strdup(arena, str_c(&out));
	else
		err_put(err, "%s: %s", name, why.text);
	str_free(&out);
	return value;
}

const char *mail_user_expand(struct arena *arena,
			     const struct local_request *request,
			     const struct mail_facts *facts, const char *name,
			     const char *text, struct err *err)
{
	unsigned number;
	bool command = quota_setting_kind(name, &number) == QUOTA_WARNING;

	return expand(arena, name, text, request, facts,
		      command ? refuse_blanks : NULL, err);
}

int mail_user_check(const char *name, const char *text, struct err *err)
{
	const struct local_request nobody = { .user = "", .home = "" };
	struct arena *arena = arena_new(512);
	struct mail_vars vars;
	const struct var_source user = { .table = vars.table };
	const struct var_source source = { .table = vars_for(name),
					   .next = &user };
	int status;

	mail_vars_init(&vars, arena, &nobody);
	status = var_check(text, &source, err);
	arena_free(&arena);
	return status;
}

/* --- who --- */

static int find_ids(const struct local_settings *local, bool as_root,
		    const struct userdb_user *user,
		    struct local_request *request, struct err *err)
{
	request->uid = user->has_uid ? user->uid : local->uid;
	request->gid = user->has_gid ? user->gid : local->gid;
	if (!user->has_uid && !local->has_uid) {
		if (as_root)
			return err_set(err, "user %s: the userdb names no uid, "
				       "and mail_uid is not set", user->name);
		request->uid = geteuid();
	}
	if (!user->has_gid && !local->has_gid) {
		if (as_root)
			return err_set(err, "user %s: the userdb names no gid, "
				       "and mail_gid is not set", user->name);
		request->gid = getegid();
	}
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
		request->home = expand(arena, "mail_home", mail_home, request,
				       NULL, NULL, err);
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
	request->location = user->mail != NULL
				    ? user->mail
				    : expand(arena, "mail_location",
					     local->mail_location, request,
					     NULL, double_colons, err);
	if (request->location == NULL)
		return -1;
	settings_local_policy(settings, as_root, &policy);
	return local_become_check(&policy, request, err);
}
