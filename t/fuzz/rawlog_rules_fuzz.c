/* Rawlogs as the supervisor hands them on, and orders about them. What is accepted
 * must be written back as it came. */
#include <string.h>

#include "lib/panic.h"
#include "proxy/rawlog_rules.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rawlog_rules rules;
	struct str again = STR_INIT;

	rawlog_rules_init(&rules);
	if (rawlog_rules_decode(&rules, data, size) == 0) {
		rawlog_rules_encode(&again, &rules);
		ASSERT(again.len == size && rules.size == size);
		ASSERT(memcmp(str_c(&again), data, size) == 0);
	}
	(void)rawlog_rules_obey(&rules, data, size);
	ASSERT(rules.count <= RAWLOG_RULES_MAX);
	ASSERT(rules.size <= RAWLOG_RULES_MAX_SIZE);
	rawlog_rules_free(&rules);
	str_free(&again);
	return 0;
}
