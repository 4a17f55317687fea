/* Rawlogs of which there can be no more, or no longer ones. */
#include "proxy/rawlog_rules.h"

#include <criterion/criterion.h>
#include <string.h>

/* What is refused changes nothing. */
Test(rawlog_rules_full, the_rule_that_is_there_stays)
{
	char longer[RAWLOG_RULES_MAX_SIZE];
	struct rawlog_rules rules;
	const char *dir;

	memset(longer, 'd', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	rawlog_rules_init(&rules);
	cr_assert(rawlog_rules_set(&rules, "joe", "/a", 9));
	cr_expect_not(rawlog_rules_set(&rules, "Joe", longer, 9));
	cr_assert_eq(rules.count, 1);
	dir = rawlog_rules_find(&rules, 0, "joe");
	cr_expect_str_eq(dir, "/a");
	/* In its place there is room for what would be too much beside it. */
	longer[RAWLOG_RULES_MAX_SIZE / 2 + 100] = '\0';
	cr_expect(rawlog_rules_set(&rules, "joe", longer, 9));
	cr_expect(rawlog_rules_set(&rules, "joe", longer, 9));
	cr_expect_not(rawlog_rules_set(&rules, "ann", longer, 9));
	cr_expect_eq(rules.count, 1);
	rawlog_rules_free(&rules);
}
