/* Lines of settings, "name=value": read as a quota's, and what follows from it. */
#include <string.h>

#include "backends/local/quota/config.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 8192
#define MAX_SETTINGS 64

static size_t split(char *text, struct quota_setting *list)
{
	size_t count = 0;
	char *line;

	while (count < MAX_SETTINGS && (line = strsep(&text, "\n")) != NULL) {
		char *value = strchr(line, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		list[count].name = line;
		list[count++].value = value;
	}
	return count;
}

static void check_limit(const struct quota_rules *rules, const char *mailbox)
{
	const struct quota_amount base = quota_rules_base(rules);
	struct quota_amount limit = quota_rules_limit(rules, &base, mailbox);

	ASSERT(limit.bytes <= INT64_MAX && limit.messages <= INT64_MAX);
	ASSERT((base.bytes != 0 || base.messages != 0) ||
	       (limit.bytes == 0 && limit.messages == 0));
	if (quota_rules_ignore(rules, mailbox))
		ASSERT(limit.bytes == 0 && limit.messages == 0);
}

/* Nothing fires where nothing changes, and never for both ways. */
static void check_warnings(const struct quota_rules *rules)
{
	const struct quota_amount base = quota_rules_base(rules);
	const struct quota_amount few = { 1, 1 };
	const struct quota_amount many = { INT64_MAX, INT64_MAX };
	const char *up = quota_rules_warning(rules, &base, &few, &many);
	const char *down = quota_rules_warning(rules, &base, &many, &few);

	ASSERT(quota_rules_warning(rules, &base, &few, &few) == NULL);
	ASSERT(quota_rules_warning(rules, &base, &many, &many) == NULL);
	ASSERT(up == NULL || up != down);
	ASSERT(up == NULL || (*up != ' ' && *up != '\0'));
}

static void check_root(const struct quota_root *root)
{
	const struct quota_rules *rules = &root->rules;
	const struct quota_amount base = quota_rules_base(rules);
	const struct quota_rule *rule;

	ASSERT(quota_rules_grace(rules, &base) <= INT64_MAX);
	check_limit(rules, "INBOX");
	check_limit(rules, "Trash");
	check_limit(rules, "");
	for (rule = rules->first; rule != NULL; rule = rule->next)
		check_limit(rules, rule->mailbox);
	check_warnings(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct quota_setting list[MAX_SETTINGS];
	struct arena *arena = arena_new(1024);
	struct quota_config config;
	struct err err;
	size_t i, count;

	if (size <= MAX_SIZE) {
		count = split(arena_strndup(arena, (const char *)data, size),
			      list);
		if (quota_config_read(list, count, "x/", arena, &config, &err) == 0) {
			ASSERT(config.root_count <= QUOTA_MAX_ROOTS);
			for (i = 0; i < config.root_count; i++)
				check_root(&config.roots[i]);
		}
	}
	arena_free(&arena);
	return 0;
}
