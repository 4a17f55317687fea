/* The text of a reply 550 5.2.900. */
#include <string.h>

#include "lib/domain.h"
#include "lib/panic.h"
#include "lib/smtp/referral.h"
#include "lib/utf8.h"
#include "t/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	struct smtp_reply reply = {
		.code = 550,
		.enhanced = { 5, 2, 900 },
		.text = arena_strndup(arena, (const char *)data, size),
	};
	struct smtp_referral referral;
	struct err err = { "" };
	int ret = smtp_referral_parse(arena, &reply, &referral, &err);
	const char *c;

	ASSERT(ret == 1 || ret == -1);
	if (ret < 0) {
		for (c = err.text; *c != '\0'; c++)
			ASSERT((unsigned char)*c >= ' ' && *c != 0x7f);
	} else {
		ASSERT(strchr(referral.host, ':') != NULL ||
		       domain_is_valid(referral.host, strlen(referral.host)));
		for (c = referral.user; c != NULL && *c != '\0'; c++)
			ASSERT((unsigned char)*c >= ' ' && *c != 0x7f);
		ASSERT(referral.user == NULL ||
		       utf8_is_valid(referral.user, strlen(referral.user)));
	}
	arena_free(&arena);
	return 0;
}
