/* The quota of a delivery, by itself:
 *
 *   quota_tool [NAME=VALUE]... MAILDIR get
 *   quota_tool [NAME=VALUE]... MAILDIR recalculate
 *   quota_tool [NAME=VALUE]... MAILDIR allows MAILBOX SIZE
 *   quota_tool [NAME=VALUE]... MAILDIR save SIZE...
 *
 * NAME=VALUE are settings of plugin { }. get and recalculate print bytes and messages, and
 * the limits; allows prints yes, or why not; save puts a mail of each size in INBOX and
 * prints the warnings that are due. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backends/local/quota/maildirsize.h"
#include "backends/local/quota/quota.h"
#include "lib/mem.h"
#include "lib/panic.h"

#define MAX_SETTINGS 32

static struct quota_setting list[MAX_SETTINGS];
static struct quota_settings settings = { .list = list };
static struct mail_location location;

static int fail(const char *text)
{
	fprintf(stderr, "%s\n", text);
	return 1;
}

static bool ignore(const void *context, const char *mailbox)
{
	return quota_rules_ignore(context, mailbox);
}

static int get(bool anew)
{
	struct arena *arena = arena_new(1024);
	struct quota_amount limit, used;
	const struct quota_rules *rules;
	struct maildirsize *size;
	struct quota_config config;
	struct err err;
	int status;

	if (quota_config_read(list, settings.count, "", arena, &config, &err) < 0)
		return fail(err.text);
	rules = &config.roots[0].rules;
	limit = quota_rules_base(rules);
	size = maildirsize_new(&settings.tree, &limit, rules->forced, ignore,
			       rules);
	status = anew ? maildirsize_recalculate(size, &used, &err)
		      : maildirsize_get(size, &used, &err);
	limit = maildirsize_limit(size);
	maildirsize_free(&size);
	arena_free(&arena);
	if (status < 0)
		return fail(err.text);
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", used.bytes,
	       used.messages, limit.bytes, limit.messages);
	return 0;
}

static int allows(const char *mailbox, const char *bytes)
{
	struct local_result result = { .text = "" };
	struct quota *quota;
	struct err err;
	int status;

	if (quota_open(&settings, &quota, &err) < 0)
		return fail(err.text);
	status = quota_allows(quota, mailbox, strtoull(bytes, NULL, 10), &result);
	quota_close(&quota);
	if (status < 0)
		return fail(result.text);
	printf("%s\n", status > 0 ? "yes" : result.text);
	return 0;
}

static void write_mail(const char *path, size_t bytes)
{
	char *text = mem_alloc(bytes);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	if (bytes > 0)
		memset(text, 'x', bytes);
	ASSERT(fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes);
	ASSERT(close(fd) == 0);
	mem_free(&text);
}

/* As a delivery does it. */
static int save(uint64_t bytes, unsigned number)
{
	struct local_result result;
	struct quota_warnings warnings;
	struct quota *quota;
	char *name = mem_printf("%lld.P%dQ%u.tool,S=%" PRIu64,
				(long long)time(NULL), (int)getpid(), number,
				bytes);
	char *from = mem_printf("%s/tmp/%s", location.root, name);
	char *to = mem_printf("%s/new/%s", location.root, name);
	struct err err;
	unsigned i;

	if (quota_open(&settings, &quota, &err) < 0)
		return fail(err.text);
	if (quota_allows(quota, "INBOX", bytes, &result) <= 0)
		return fail(result.text);
	write_mail(from, bytes);
	quota_saving(quota, "INBOX");
	ASSERT(rename(from, to) == 0);
	if (quota_saved(quota, "INBOX", bytes, 1, &warnings, &err) < 0)
		return fail(err.text);
	for (i = 0; i < warnings.count; i++)
		printf("%s\n", warnings.commands[i]);
	quota_close(&quota);
	mem_free(&name);
	mem_free(&from);
	mem_free(&to);
	return 0;
}

static int save_all(char **sizes, int count)
{
	int i, status = 0;

	for (i = 0; i < count && status == 0; i++)
		status = save(strtoull(sizes[i], NULL, 10), (unsigned)i);
	return status;
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && strchr(argv[i], '=') != NULL; i++) {
		char *value = strchr(argv[i], '=');

		ASSERT(settings.count < MAX_SETTINGS);
		*value++ = '\0';
		list[settings.count].name = argv[i];
		list[settings.count++].value = value;
	}
	argv += i;
	argc -= i;
	if (argc < 2)
		return fail("what is to be done?");
	location.root = location.inbox = location.control = argv[0];
	settings.tree.location = &location;
	if (strcmp(argv[1], "get") == 0)
		return get(false);
	if (strcmp(argv[1], "recalculate") == 0)
		return get(true);
	if (strcmp(argv[1], "allows") == 0 && argc == 4)
		return allows(argv[2], argv[3]);
	if (strcmp(argv[1], "save") == 0)
		return save_all(argv + 2, argc - 2);
	return fail("unknown command");
}
