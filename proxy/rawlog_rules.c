#include "proxy/rawlog_rules.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/wildcard.h"

void rawlog_rules_init(struct rawlog_rules *rules)
{
	list_init(&rules->list);
	rules->count = 0;
}

static void rule_free(struct rawlog_rules *rules, struct rawlog_rule *rule)
{
	rules->count--;
	list_remove(&rule->node);
	mem_free(&rule->pattern);
	mem_free(&rule->dir);
	mem_free(&rule);
}

void rawlog_rules_drop(struct rawlog_rules *rules, const char *pattern)
{
	struct list *node, *tmp;

	list_each(&rules->list, node, tmp) {
		struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		if (pattern == NULL || strcasecmp(rule->pattern, pattern) == 0)
			rule_free(rules, rule);
	}
}

void rawlog_rules_free(struct rawlog_rules *rules)
{
	rawlog_rules_drop(rules, NULL);
}

void rawlog_rules_expire(struct rawlog_rules *rules, uint64_t now_us)
{
	struct list *node, *tmp;

	list_each(&rules->list, node, tmp) {
		struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		if (rule->until_us <= now_us)
			rule_free(rules, rule);
	}
}

bool rawlog_rules_set(struct rawlog_rules *rules, const char *pattern,
		      const char *dir, uint64_t until_us)
{
	struct rawlog_rule *rule;

	rawlog_rules_drop(rules, pattern);
	if (rules->count == RAWLOG_RULES_MAX)
		return false;
	rule = mem_new(struct rawlog_rule);
	rule->pattern = mem_strdup(pattern);
	rule->dir = mem_strdup(dir);
	rule->until_us = until_us;
	list_append(&rules->list, &rule->node);
	rules->count++;
	return true;
}

const char *rawlog_rules_find(struct rawlog_rules *rules, uint64_t now_us,
			      const char *text)
{
	struct list *node, *tmp;

	rawlog_rules_expire(rules, now_us);
	list_each(&rules->list, node, tmp) {
		const struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		if (wildcard_match_any_case(text, rule->pattern))
			return rule->dir;
	}
	return NULL;
}
