#include "deliver/mail_vars.h"

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "passdb/var/var.h"

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

/* What happens to the value of a variable in a setting of that name. */
static escape_fn *escape_for(const char *name)
{
	unsigned number;

	if (quota_setting_kind(name, &number) == QUOTA_WARNING)
		return refuse_blanks;
	return strcmp(name, "mail_location") == 0 ? double_colons : NULL;
}

const char *mail_vars_expand(struct arena *arena,
			     const struct local_request *request,
			     const struct mail_facts *facts, const char *name,
			     const char *text, struct err *err)
{
	struct mail_vars vars;
	const struct var_source user = { .table = vars.table };
	const struct var_source source = {
		.table = vars_for(name),
		.value = put_fact,
		.escape = escape_for(name),
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

int mail_vars_check(const char *name, const char *text, struct err *err)
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

static void prepare(const char *name, const char *text)
{
	struct err err;

	/* That it is right was found when it was read. */
	if (text != NULL)
		(void)mail_vars_check(name, text, &err);
}

void mail_vars_prepare(const struct local_policy *policy)
{
	size_t i;

	prepare("lda_command", policy->lda_command);
	prepare("deliver_log_format", policy->log_format);
	for (i = 0; i < policy->quota_count; i++)
		prepare(policy->quota[i].name, policy->quota[i].value);
}
