#include "backends/local/quota/rules.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "lib/wildcard.h"

#define MAX_PERCENT UINT32_MAX

enum sign { SIGN_NONE, SIGN_PLUS, SIGN_MINUS };

void quota_rules_init(struct quota_rules *rules, struct arena *arena,
		      bool maildir)
{
	*rules = (struct quota_rules){
		.arena = arena,
		.maildir = maildir,
		.grace = { .number = 10, .percent = true },
	};
}

/* --- numbers and units --- */

/* Reads digits, saturating far above what anybody may use. Returns what is behind
 * them; NULL: there are none, or they are too large a number. */
static const char *read_number(const char *text, int64_t *number_r)
{
	int64_t number = 0;

	if (!isdigit((unsigned char)*text))
		return NULL;
	for (; isdigit((unsigned char)*text); text++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *text - '0', &number))
			return NULL;
	}
	*number_r = number;
	return text;
}

/* Bits to shift by; -1: no such unit. "10MB" and "10MiB" are 10 M. */
static int unit_shift(const char *unit, int usual)
{
	static const char letters[] = "BKMGT";
	const char *at;

	if (*unit == '\0')
		return usual;
	at = strchr(letters, toupper((unsigned char)*unit));
	if (at == NULL)
		return -1;
	if (unit[1] != '\0' && (at == letters || (strcasecmp(unit + 1, "B") != 0 &&
						  strcasecmp(unit + 1, "iB") != 0)))
		return -1;
	return (int)(at - letters) * 10;
}

/* A doubled % is what the configuration has, where variables start with one. */
static bool is_percent(const char *unit)
{
	return strcmp(unit, "%") == 0 || strcmp(unit, "%%") == 0;
}

static int parse_part(const char *text, enum sign sign, int usual_shift,
		      struct quota_part *part, struct err *err)
{
	int64_t number;
	const char *unit = read_number(text, &number);
	int shift;

	if (unit == NULL)
		return err_set(err, "\"%.100s\" is no number, or too large", text);
	part->percent = is_percent(unit);
	shift = part->percent ? 0 : unit_shift(unit, usual_shift);
	if (shift < 0)
		return err_set(err, "unknown unit \"%.100s\": it may be B, K, M, "
			       "G, T or %%", unit);
	if (part->percent &&
	    number > (sign == SIGN_MINUS ? 99 : (int64_t)MAX_PERCENT))
		return err_set(err, "%.100s is out of range", text);
	if (__builtin_mul_overflow(number, (int64_t)1 << shift, &number))
		return err_set(err, "%.100s is too large", text);
	part->number = sign == SIGN_MINUS ? -number : number;
	return 0;
}

static int64_t clamp(__int128 number)
{
	if (number > INT64_MAX)
		return INT64_MAX;
	return number < INT64_MIN ? INT64_MIN : (int64_t)number;
}

static int64_t resolve(const struct quota_part *part, uint64_t base)
{
	if (!part->percent)
		return part->number;
	return clamp((__int128)base * part->number / 100);
}

/* --- limits --- */

/* What LIMITS are for. */
struct target {
	struct quota_part *bytes, *messages;
	bool relative; /* to the base: signs are welcome */
	bool percent;  /* may be */
};

static int parse_limit(const struct target *target, const char *limit,
		       struct err *err)
{
	static const struct {
		const char *name;
		int shift;
		bool messages;
	} kinds[] = {
		{ "storage=", 10, false },
		{ "bytes=", 0, false },
		{ "messages=", 0, true },
	};
	enum sign sign = SIGN_NONE;
	struct quota_part part;
	const char *value;
	size_t i = 0, len;

	while (i < 3 && strncmp(limit, kinds[i].name, strlen(kinds[i].name)) != 0)
		i++;
	if (i == 3)
		return err_set(err, "\"%.100s\" is no limit: there are storage=, "
			       "bytes= and messages=", limit);
	value = limit + strlen(kinds[i].name);
	len = strspn(value, "+-");
	if (len > 1)
		return err_set(err, "%.100s has two signs", limit);
	if (len == 1)
		sign = *value == '+' ? SIGN_PLUS : SIGN_MINUS;
	if (sign != SIGN_NONE && !target->relative)
		return err_set(err, "%.100s: + and - are for rules of single "
			       "mailboxes", limit);
	if (parse_part(value + len, sign, kinds[i].shift, &part, err) < 0)
		return -1;
	if (part.percent && !target->percent)
		return err_set(err, "%.100s: there is nothing that this could be "
			       "a percentage of", limit);
	*(kinds[i].messages ? target->messages : target->bytes) = part;
	return target->relative && sign == SIGN_NONE;
}

/* As quota_rules_add(). */
static int parse_limits(const struct target *target, struct arena *arena,
			const char *limits, struct err *err)
{
	const char *end;
	int status = 0;

	while (*limits != '\0') {
		const char *limit;
		int one;

		end = strchrnul(limits, ':');
		limit = arena_strndup(arena, limits, (size_t)(end - limits));
		one = parse_limit(target, limit, err);
		if (one < 0)
			return -1;
		if (one > 0) {
			err_put(err, "%.100s should be written with a + in front "
				"of the number", limit);
			status = 1;
		}
		if (end[0] == ':' && end[1] == '\0')
			return err_set(err, "nothing follows the last colon");
		limits = *end == ':' ? end + 1 : end;
	}
	return status;
}

/* --- Maildir++ --- */

static int parse_maildir_limit(const char *limit, size_t len,
			       struct quota_amount *limit_r)
{
	int64_t number;
	const char *unit = read_number(limit, &number);

	if (unit == NULL || unit + 1 != limit + len ||
	    (*unit != 'S' && *unit != 'C'))
		return -1;
	if (number != 0)
		*(*unit == 'S' ? &limit_r->bytes : &limit_r->messages) =
			(uint64_t)number;
	return 0;
}

int quota_maildir_limit(const char *text, struct quota_amount *limit_r)
{
	int status = 0;

	*limit_r = (struct quota_amount){ .bytes = 0 };
	for (;;) {
		size_t len = strcspn(text, ",");

		if (parse_maildir_limit(text, len, limit_r) < 0)
			status = -1;
		if (text[len] == '\0')
			return status;
		text += len + 1;
	}
}

static int parse_backend_rule(const struct quota_rules *rules,
			      struct quota_rule *rule, const char *text,
			      struct err *err)
{
	struct quota_amount limit = { .bytes = 0 };

	if (!rules->maildir)
		return err_set(err, "backend= is for quota = maildir");
	if (strcmp(text, "NOQUOTA") != 0 && quota_maildir_limit(text, &limit) < 0)
		return err_set(err, "backend=%.100s: limits of Maildir++ are "
			       "written as 1000000S,500C", text);
	rule->bytes = (struct quota_part){ .number = (int64_t)limit.bytes };
	rule->messages = (struct quota_part){ .number = (int64_t)limit.messages };
	return 0;
}

/* --- rules --- */

static struct quota_rule *rule_with(struct quota_rules *rules,
				    const char *mailbox)
{
	struct quota_rule *rule = rules->first;

	while (rule != NULL && strcmp(rule->mailbox, mailbox) != 0)
		rule = rule->next;
	return rule;
}

static struct quota_rule *new_rule(struct quota_rules *rules,
				   const char *mailbox)
{
	struct quota_rule *rule;

	rule = arena_new_struct(rules->arena, struct quota_rule);
	rule->mailbox = strcasecmp(mailbox, "INBOX") == 0 ? "INBOX" : mailbox;
	if (rules->last != NULL)
		rules->last->next = rule;
	else
		rules->first = rule;
	rules->last = rule;
	rules->count++;
	return rule;
}

static struct quota_rule *rule_for(struct quota_rules *rules,
				   const char *mailbox)
{
	struct quota_rule *rule = rule_with(rules, mailbox);
	bool force = strcmp(mailbox, "*") == 0;

	if (force || strcmp(mailbox, "?") == 0) {
		rules->forced = rules->forced || force;
		return &rules->base;
	}
	return rule != NULL ? rule : new_rule(rules, mailbox);
}

int quota_rules_add(struct quota_rules *rules, const char *text,
		    struct err *err)
{
	const char *colon = strchr(text, ':');
	struct target target = { .bytes = NULL };
	struct quota_rule *rule;

	if (colon == NULL)
		return err_set(err, "\"%.100s\" is no rule: one is written as "
			       "MAILBOX:LIMITS, such as *:storage=1G", text);
	if (rules->count >= QUOTA_MAX_RULES)
		return err_set(err, "there are more than %d rules",
			       QUOTA_MAX_RULES);
	rule = rule_for(rules, arena_strndup(rules->arena, text,
					     (size_t)(colon - text)));
	if (strcmp(colon + 1, "ignore") == 0) {
		rule->ignore = true;
		return 0;
	}
	if (strncmp(colon + 1, "backend=", 8) == 0)
		return parse_backend_rule(rules, rule, colon + 9, err);
	target.bytes = &rule->bytes;
	target.messages = &rule->messages;
	target.relative = target.percent = rule != &rules->base;
	return parse_limits(&target, rules->arena, colon + 1, err);
}

int quota_rules_set_grace(struct quota_rules *rules, const char *text,
			  struct err *err)
{
	return parse_part(text, SIGN_NONE, 0, &rules->grace, err);
}

int quota_rules_add_warning(struct quota_rules *rules, const char *text,
			    struct err *err)
{
	const char *space = strchr(text, ' ');
	const char *limits = text + (*text == '+' || *text == '-');
	struct quota_warning *warning;
	struct target target = { .percent = true };

	if (space == NULL || space[1 + strspn(space + 1, " ")] == '\0')
		return err_set(err, "\"%.100s\" is no warning: one is written as "
			       "LIMITS COMMAND, such as storage=95%% "
			       "quota-warning 95", text);
	if (rules->warning_count++ >= QUOTA_MAX_RULES)
		return err_set(err, "there are more than %d warnings",
			       QUOTA_MAX_RULES);
	warning = arena_new_struct(rules->arena, struct quota_warning);
	warning->falling = *text == '-';
	warning->command = arena_strdup(rules->arena,
					space + strspn(space, " "));
	target.bytes = &warning->bytes;
	target.messages = &warning->messages;
	if (rules->last_warning != NULL)
		rules->last_warning->next = warning;
	else
		rules->first_warning = warning;
	rules->last_warning = warning;
	return parse_limits(&target, rules->arena,
			    arena_strndup(rules->arena, limits,
					  (size_t)(space - limits)), err);
}

/* --- what follows from them --- */

struct quota_amount quota_rules_base(const struct quota_rules *rules)
{
	return (struct quota_amount){
		.bytes = (uint64_t)rules->base.bytes.number,
		.messages = (uint64_t)rules->base.messages.number,
	};
}

static const struct quota_rule *rule_of(const struct quota_rules *rules,
					const char *mailbox)
{
	const struct quota_rule *rule = rules->first;

	while (rule != NULL && !wildcard_match(mailbox, rule->mailbox))
		rule = rule->next;
	return rule;
}

bool quota_rules_ignore(const struct quota_rules *rules, const char *mailbox)
{
	const struct quota_rule *rule = rule_of(rules, mailbox);

	return rule != NULL && rule->ignore;
}

static uint64_t limit_with(uint64_t base, const struct quota_part *part)
{
	int64_t limit = clamp((__int128)base + resolve(part, base));

	return limit > 0 ? (uint64_t)limit : 0;
}

struct quota_amount quota_rules_limit(const struct quota_rules *rules,
				      const struct quota_amount *base,
				      const char *mailbox)
{
	const struct quota_rule *rule = rule_of(rules, mailbox);

	if (rule == NULL || (base->bytes == 0 && base->messages == 0))
		return *base;
	if (rule->ignore)
		return (struct quota_amount){ .bytes = 0 };
	return (struct quota_amount){
		.bytes = limit_with(base->bytes, &rule->bytes),
		.messages = limit_with(base->messages, &rule->messages),
	};
}

uint64_t quota_rules_grace(const struct quota_rules *rules,
			   const struct quota_amount *base)
{
	return (uint64_t)resolve(&rules->grace, base->bytes);
}

static bool reaches(uint64_t from, uint64_t to, int64_t limit)
{
	return from < (uint64_t)limit && to >= (uint64_t)limit;
}

static bool fires(const struct quota_warning *warning,
		  const struct quota_amount *base,
		  const struct quota_amount *from,
		  const struct quota_amount *to)
{
	return reaches(from->bytes, to->bytes,
		       resolve(&warning->bytes, base->bytes)) ||
	       reaches(from->messages, to->messages,
		       resolve(&warning->messages, base->messages));
}

const char *quota_rules_warning(const struct quota_rules *rules,
				const struct quota_amount *base,
				const struct quota_amount *before,
				const struct quota_amount *after)
{
	const struct quota_warning *warning = rules->first_warning;

	for (; warning != NULL; warning = warning->next) {
		if (warning->falling ? fires(warning, base, after, before)
				     : fires(warning, base, before, after))
			return warning->command;
	}
	return NULL;
}
