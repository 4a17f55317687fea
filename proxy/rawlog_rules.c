#include "proxy/rawlog_rules.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/wildcard.h"

#define UNTIL_SIZE 8

/* As bytes; little-endian, and each text ends with a NUL. */
static size_t size_of(const char *pattern, const char *dir)
{
	return UNTIL_SIZE + strlen(pattern) + 1 + strlen(dir) + 1;
}

void rawlog_rules_init(struct rawlog_rules *rules)
{
	list_init(&rules->list);
	rules->count = 0;
	rules->size = 0;
}

static void rule_free(struct rawlog_rules *rules, struct rawlog_rule *rule)
{
	rules->count--;
	rules->size -= size_of(rule->pattern, rule->dir);
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

static struct rawlog_rule *rule_with(const struct rawlog_rules *rules,
				     const char *pattern)
{
	struct list *node, *tmp;

	list_each(&rules->list, node, tmp) {
		struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		if (strcasecmp(rule->pattern, pattern) == 0)
			return rule;
	}
	return NULL;
}

/* old: what makes room for it; NULL: nothing. */
static bool is_room(const struct rawlog_rules *rules,
		    const struct rawlog_rule *old, size_t size)
{
	if (old == NULL)
		return rules->count < RAWLOG_RULES_MAX &&
		       rules->size + size <= RAWLOG_RULES_MAX_SIZE;
	return rules->size - size_of(old->pattern, old->dir) + size <=
	       RAWLOG_RULES_MAX_SIZE;
}

bool rawlog_rules_set(struct rawlog_rules *rules, const char *pattern,
		      const char *dir, uint64_t until_us)
{
	struct rawlog_rule *rule, *old = rule_with(rules, pattern);

	if (!is_room(rules, old, size_of(pattern, dir)))
		return false;
	if (old != NULL)
		rule_free(rules, old);
	rule = mem_new(struct rawlog_rule);
	rule->pattern = mem_strdup(pattern);
	rule->dir = mem_strdup(dir);
	rule->until_us = until_us;
	list_append(&rules->list, &rule->node);
	rules->count++;
	rules->size += size_of(pattern, dir);
	return true;
}

void rawlog_rules_copy(struct rawlog_rules *rules,
		       const struct rawlog_rules *other)
{
	const struct list *node = other->list.next;

	rawlog_rules_free(rules);
	for (; node != &other->list; node = node->next) {
		const struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		(void)rawlog_rules_set(rules, rule->pattern, rule->dir,
				       rule->until_us);
	}
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

/* --- as bytes --- */

void rawlog_order_encode(struct str *out, const char *pattern, const char *dir,
			 uint64_t until_us)
{
	int i;

	for (i = 0; i < UNTIL_SIZE; i++)
		str_putc(out, (char)(until_us >> (8 * i) & 0xff));
	str_append(out, pattern, strlen(pattern) + 1);
	str_append(out, dir, strlen(dir) + 1);
}

/* What is left to read. */
struct cursor {
	const char *data;
	size_t len;
};

static bool get_until(struct cursor *in, uint64_t *until_us_r)
{
	int i;

	if (in->len < UNTIL_SIZE)
		return false;
	*until_us_r = 0;
	for (i = 0; i < UNTIL_SIZE; i++)
		*until_us_r |= (uint64_t)(unsigned char)in->data[i] << (8 * i);
	in->data += UNTIL_SIZE;
	in->len -= UNTIL_SIZE;
	return true;
}

static bool get_text(struct cursor *in, const char **text_r)
{
	size_t len = strnlen(in->data, in->len);

	if (len == in->len)
		return false;
	*text_r = in->data;
	in->data += len + 1;
	in->len -= len + 1;
	return true;
}

/* A rule, or an order, whose texts may be empty. */
struct order {
	uint64_t until_us;
	const char *pattern, *dir;
};

static bool get_order(struct cursor *in, struct order *order)
{
	return get_until(in, &order->until_us) &&
	       get_text(in, &order->pattern) && get_text(in, &order->dir);
}

static bool obey(struct rawlog_rules *rules, const struct order *order)
{
	return rawlog_rules_set(rules, order->pattern, order->dir,
				order->until_us);
}

int rawlog_rules_obey(struct rawlog_rules *rules, const void *data, size_t len)
{
	struct cursor in = { data, len };
	struct order order;

	if (!get_order(&in, &order) || in.len > 0 ||
	    (order.pattern[0] == '\0' && order.dir[0] != '\0'))
		return -1;
	if (order.dir[0] != '\0')
		return obey(rules, &order);
	rawlog_rules_drop(rules, order.pattern[0] != '\0' ? order.pattern
							  : NULL);
	return 1;
}

void rawlog_rules_encode(struct str *out, const struct rawlog_rules *rules)
{
	const struct list *node = rules->list.next;

	for (; node != &rules->list; node = node->next) {
		const struct rawlog_rule *rule =
			container_of(node, struct rawlog_rule, node);

		rawlog_order_encode(out, rule->pattern, rule->dir,
				    rule->until_us);
	}
}

/* None comes twice, which would leave one less. */
static bool add(struct rawlog_rules *rules, const struct order *order)
{
	unsigned count = rules->count;

	return order->pattern[0] != '\0' && order->dir[0] != '\0' &&
	       obey(rules, order) && rules->count == count + 1;
}

int rawlog_rules_decode(struct rawlog_rules *rules, const void *data,
			size_t len)
{
	struct cursor in = { data, len };
	struct order order;

	rawlog_rules_free(rules);
	while (in.len > 0) {
		if (get_order(&in, &order) && add(rules, &order))
			continue;
		rawlog_rules_free(rules);
		return -1;
	}
	return 0;
}
