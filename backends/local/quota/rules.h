/* The rules of a quota: the values of Dovecot's quota_rule, quota_warning and
 * quota_grace. From text to limits; no I/O. */
#ifndef BACKENDS_LOCAL_QUOTA_RULES_H
#define BACKENDS_LOCAL_QUOTA_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/local/quota/amount.h"
#include "lib/arena.h"
#include "lib/err.h"

#define QUOTA_MAX_RULES 1000 /* of each kind */

/* A number, or that many percent of the base limit. */
struct quota_part {
	int64_t number;
	bool percent;
};

/* What a mailbox may have beside the base limit. */
struct quota_rule {
	struct quota_rule *next;
	const char *mailbox; /* pattern; NULL: the base itself */
	bool ignore;	     /* mail there does not count */
	struct quota_part bytes, messages;
};

struct quota_warning {
	struct quota_warning *next;
	bool falling; /* fires when the limit is left, not when it is reached */
	struct quota_part bytes, messages;
	const char *command;
};

struct quota_rules {
	struct arena *arena;
	bool maildir;		/* its own rules are known: "*:backend=10S,1C" */
	struct quota_rule base; /* of "*" or "?" */
	bool forced;		/* by "*": whatever limit is stored elsewhere */
	struct quota_rule *first, *last;
	struct quota_warning *first_warning, *last_warning;
	unsigned count, warning_count;
	struct quota_part grace;
};

/* No rules, no warnings, and a grace of 10 percent. Everything that is added
 * lives in arena. */
void quota_rules_init(struct quota_rules *rules, struct arena *arena,
		      bool maildir);

/* Adds the value of a quota_rule: MAILBOX:LIMITS. Limits are storage=N (KiB),
 * bytes=N and messages=N, separated by colons; a number may have the unit B, K, M,
 * G or T, or %. A mailbox "*" or "?" stands for the base, which takes no sign and
 * no %; other mailboxes have + or - there, or "ignore" for all limits. A second
 * rule with the same mailbox changes the first one. Returns 0; 1 when err says
 * what should be written otherwise although it counts; -1 when it is wrong: then
 * the rules are of no use any more. */
int quota_rules_add(struct quota_rules *rules, const char *text,
		    struct err *err);

/* Adds the value of a quota_warning: [+|-]LIMITS COMMAND. Returns 0 or -1. */
int quota_rules_add_warning(struct quota_rules *rules, const char *text,
			    struct err *err);

/* Takes the value of quota_grace: bytes, with a unit or %. Returns 0 or -1. */
int quota_rules_set_grace(struct quota_rules *rules, const char *text,
			  struct err *err);

/* The base limit that the rules name. Where forced is not set, the one that is
 * stored with the mail takes its place below. */
struct quota_amount quota_rules_base(const struct quota_rules *rules);

/* Whether mail in this mailbox does not count. The name is UTF-8; patterns are
 * compared byte by byte, in the order in which they came, the first one counts. */
bool quota_rules_ignore(const struct quota_rules *rules, const char *mailbox);

/* How much there may be, in all mailboxes, for this mailbox to take more. Without
 * any base limit there is none at all. A rule that takes away as much as there is
 * leaves no limit either, as in Dovecot. */
struct quota_amount quota_rules_limit(const struct quota_rules *rules,
				      const struct quota_amount *base,
				      const char *mailbox);

/* By how many bytes one last mail may go past the limit. */
uint64_t quota_rules_grace(const struct quota_rules *rules,
			   const struct quota_amount *base);

/* The command of the first warning that fires when the usage changes from before
 * to after; NULL: none does. */
const char *quota_rules_warning(const struct quota_rules *rules,
				const struct quota_amount *base,
				const struct quota_amount *before,
				const struct quota_amount *after);

/* Parses the limits of Maildir++, such as "1000S,10C", as far as they can be read;
 * a missing one is 0. Returns -1 when some of it is no such limit. */
int quota_maildir_limit(const char *text, struct quota_amount *limit_r);

#endif
