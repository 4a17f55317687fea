#include "backends/local/delivery.h"

#include <stdio.h>
#include <string.h>

#include "backends/local/lda/lda.h"
#include "backends/local/quota/command.h"
#include "backends/local/time_limit.h"
#include "lib/clock.h"

/* --- opening --- */

static int fail(struct local_result *result, const char *text)
{
	*result = (struct local_result){ .status = LOCAL_FAILED };
	snprintf(result->text, sizeof(result->text), "%s", text);
	return -1;
}

/* What the administrator says, then what the userdb says. */
static int gather(const struct delivery *delivery, struct quota_setting *list,
		  struct err *err)
{
	const struct local_policy *policy = delivery->policy;
	const struct local_request *request = delivery->request;
	size_t i;

	for (i = 0; i < policy->quota_count; i++) {
		list[i] = policy->quota[i];
		if (policy->expand != NULL)
			list[i].value = policy->expand(delivery->arena, request,
						       NULL, list[i].name,
						       list[i].value, err);
		if (list[i].value == NULL)
			return -1;
	}
	for (i = 0; i < request->rule_count; i++)
		list[policy->quota_count + i] = request->rules[i];
	return 0;
}

static int open_quota(struct delivery *delivery, struct err *err)
{
	size_t count = delivery->policy->quota_count +
		       delivery->request->rule_count;
	struct quota_setting *list =
		arena_alloc(delivery->arena, (count + 1) * sizeof(*list));
	const struct quota_settings settings = {
		.list = list,
		.count = count,
		.tree = {
			.location = &delivery->location,
			.naming = delivery->policy->maildir.naming,
		},
	};

	if (gather(delivery, list, err) < 0)
		return -1;
	return quota_open(&settings, &delivery->quota, err);
}

int delivery_open(struct delivery *delivery, const struct local_policy *policy,
		  const struct local_request *request,
		  struct local_result *result)
{
	const char *home = *request->home != '\0' ? request->home : NULL;
	struct err err;

	*delivery = (struct delivery){
		.policy = policy,
		.request = request,
		.start_ms = clock_now_ms(),
		.mailbox = request->mailbox,
	};
	if (policy->lda_command == NULL &&
	    mail_location_parse(&delivery->location, request->location, home,
				&err) < 0)
		return fail(result, err.text);
	delivery->arena = arena_new(1024);
	if (policy->lda_command != NULL || open_quota(delivery, &err) == 0)
		return 0;
	delivery_close(delivery);
	return fail(result, err.text);
}

void delivery_close(struct delivery *delivery)
{
	unsigned i;

	/* Others may count again meanwhile. */
	quota_close(&delivery->quota);
	for (i = 0; i < delivery->command_count; i++)
		quota_command_wait(delivery->commands[i]);
	arena_free(&delivery->arena);
	mail_location_free(&delivery->location);
}

/* --- quota --- */

/* One more thing that did not go well although the mail is there. */
static void note(struct local_result *result, const char *text)
{
	size_t len = strlen(result->text);

	snprintf(result->text + len, sizeof(result->text) - len, "%s%s",
		 len > 0 ? "; " : "", text);
}

/* Nothing in it may end a line. */
static void put_reply(const struct quota *quota, struct local_result *result)
{
	char *at = result->reply;

	if (result->status != LOCAL_OVER_QUOTA)
		return;
	snprintf(result->reply, sizeof(result->reply), "%s",
		 quota_exceeded_message(quota));
	for (; *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = ' ';
	}
}

static void warn(struct delivery *delivery,
		 const struct quota_warnings *warnings,
		 struct local_result *result)
{
	const struct local_request *request = delivery->request;
	struct err err, why;
	unsigned i;

	for (i = 0; i < warnings->count; i++) {
		pid_t pid = quota_command_start(warnings->commands[i],
						request->user, request->home,
						time_limit_left(), &err);

		if (pid > 0) {
			delivery->commands[delivery->command_count++] = pid;
			continue;
		}
		err_put(&why, "quota_warning: %.400s", err.text);
		note(result, why.text);
	}
}

/* --- saving --- */

/* Where a mail is going to. */
struct target {
	struct delivery *delivery;
	const char *mailbox;
};

static void appears(void *context)
{
	const struct target *target = context;

	quota_saving(target->delivery->quota, target->mailbox);
	/* From here on, not to answer would be to have it sent again. */
	time_limit_extend(target->delivery->policy->grace);
}

static int save_in(struct delivery *delivery, const char *mailbox,
		   struct local_mail *mail, struct local_result *result)
{
	struct target target = { .delivery = delivery, .mailbox = mailbox };
	uint64_t size = mail->head_len + mail->size;
	struct local_result doubt = { .text = "" };
	struct quota_warnings warnings = { .count = 0 };
	struct err err;
	int allowed = quota_allows(delivery->quota, mailbox, size, &doubt);

	if (allowed == 0) {
		*result = doubt;
		return -1;
	}
	delivery->mailbox = mailbox;
	mail->appears = appears;
	mail->context = &target;
	if (mail_save(&delivery->location, mailbox, &delivery->policy->maildir,
		      mail, result) < 0)
		return -1;
	if (allowed < 0)
		note(result, doubt.text);
	if (*quota_doubt(delivery->quota) != '\0')
		note(result, quota_doubt(delivery->quota));
	if (quota_saved(delivery->quota, mailbox, size, 1, &warnings, &err) < 0 &&
	    allowed > 0)
		note(result, err.text);
	warn(delivery, &warnings, result);
	return 0;
}

static void save(struct delivery *delivery, int message,
		 struct local_result *result)
{
	const struct local_request *request = delivery->request;
	struct local_mail mail = {
		.head = request->head,
		.head_len = request->head_len,
		.fd = message,
		.size = request->size,
		.received = request->received,
		.copy = request->copy,
	};

	if (save_in(delivery, request->mailbox, &mail, result) < 0 &&
	    strcmp(request->mailbox, "INBOX") != 0 &&
	    (result->status == LOCAL_NO_MAILBOX ||
	     result->status == LOCAL_OVER_QUOTA))
		save_in(delivery, "INBOX", &mail, result);
	put_reply(delivery->quota, result);
}

/* --- the log --- */

/* The words are Dovecot's, which others look for in logs. */
static char *describe(const struct delivery *delivery,
		      const struct local_result *result)
{
	bool saved = result->status == LOCAL_SAVED;
	const char *prefix = mail_facts_prefix(
		delivery->policy->maildir.naming.prefix, delivery->mailbox);
	const char *command = delivery->policy->lda_command;

	if (command == NULL && saved)
		return arena_printf(delivery->arena, "saved mail to %s%s",
				    prefix, delivery->mailbox);
	if (command == NULL)
		return arena_printf(delivery->arena, "save failed to %s%s: %s",
				    prefix, delivery->mailbox, result->text);
	if (saved)
		return arena_printf(delivery->arena, "saved mail with %.*s",
				    (int)strcspn(command, " "), command);
	return arena_printf(delivery->arena, "save failed: %s", result->text);
}

static void log_result(const struct delivery *delivery,
		       const struct mail_facts *facts,
		       struct local_result *result)
{
	const struct local_policy *policy = delivery->policy;
	const char *line;
	struct err err;

	if (policy->log_format == NULL || *policy->log_format == '\0' ||
	    policy->expand == NULL)
		return;
	line = policy->expand(delivery->arena, delivery->request, facts,
			      "deliver_log_format", policy->log_format, &err);
	if (line != NULL)
		snprintf(result->log, sizeof(result->log), "%s", line);
	else
		note(result, err.text);
}

void delivery_save(struct delivery *delivery, int message,
		   struct local_result *result)
{
	const struct local_policy *policy = delivery->policy;
	struct mail_facts facts = {
		.request = delivery->request,
		.message = message,
		.original_header = policy->original_header != NULL
					   ? policy->original_header : "",
		.prefix = policy->maildir.naming.prefix,
		.start_ms = delivery->start_ms,
		.status = "",
		.storage_id = "",
	};

	if (policy->lda_command != NULL)
		lda_deliver(policy, &facts, delivery->arena, result);
	else
		save(delivery, message, result);
	/* What is saved by now must be said, or it comes a second time. */
	time_limit_end();
	facts.status = describe(delivery, result);
	facts.storage_id = result->id;
	log_result(delivery, &facts, result);
}

void delivery_check(struct delivery *delivery, struct local_result *result)
{
	*result = (struct local_result){ .status = LOCAL_SAVED };
	if (delivery->quota == NULL)
		return;
	if (quota_allows(delivery->quota, "INBOX", 0, result) < 0)
		result->status = LOCAL_SAVED;
	put_reply(delivery->quota, result);
}
