#include "backends/remote/identity.h"

#include <string.h>

void remote_identity_set(struct remote_identity *identity,
			 const struct smtp_xclient *xclient)
{
	arena_free(&identity->arena);
	identity->arena = arena_new(256);
	smtp_xclient_copy(identity->arena, &identity->told, xclient);
	identity->told.set = smtp_xclient_to_send(xclient, identity->listed);
}

void remote_identity_offered(struct remote_identity *identity, unsigned listed)
{
	identity->spent = (identity->listed & ~listed) != 0;
}

enum remote_fit remote_identity_fit(const struct remote_identity *identity,
				    const struct smtp_xclient *xclient,
				    bool refused)
{
	static const struct smtp_xclient nobody;
	const struct smtp_xclient *told = &identity->told;
	struct smtp_xclient next;

	if (identity->listed == 0)
		return REMOTE_FIT_AS_IS;
	next = xclient != NULL ? *xclient : nobody;
	next.set = smtp_xclient_to_send(&next, identity->listed);
	if (smtp_xclient_equal(&next, told, identity->listed))
		return REMOTE_FIT_AS_IS;
	if (told->set != 0 && (refused || identity->spent))
		return REMOTE_FIT_NOT;
	return smtp_xclient_replaces(&next, told, identity->listed)
		       ? REMOTE_FIT_RENAME
		       : REMOTE_FIT_NOT;
}

void remote_identity_free(struct remote_identity *identity)
{
	arena_free(&identity->arena);
	memset(identity, 0, sizeof(*identity));
}
