#include "passdb/userdb_ids.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"

/* What an entry of NSS may take: a group has all its members in it. */
#define BUFFER_MIN 1024
#define BUFFER_MAX (1 << 22)

static const char *const nouns[] = {
	[USERDB_UID] = "user",
	[USERDB_GID] = "group",
};

static bool is_number(const char *text)
{
	return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

int userdb_id_parse(enum userdb_id which, const char *text, uint32_t *id_r,
		    struct err *err)
{
	unsigned long long number;

	if (!is_number(text))
		return err_set(err, "'%.100s' is not the number of a %s", text,
			       nouns[which]);
	errno = 0;
	number = strtoull(text, NULL, 10);
	/* The highest one means "none" to system calls. */
	if (errno != 0 || number >= UINT32_MAX)
		return err_set(err, "%.100s is too large", text);
	*id_r = (uint32_t)number;
	return 0;
}

/* One question to NSS. Returns what getpwnam_r() returns; *found_r only then
 * counts when that is 0. */
static int ask_once(enum userdb_id which, const char *name, char *buffer,
		    size_t size, bool *found_r, uint32_t *id_r)
{
	struct passwd user, *user_found = NULL;
	struct group group, *group_found = NULL;
	int status;

	if (which == USERDB_UID) {
		status = getpwnam_r(name, &user, buffer, size, &user_found);
		*found_r = user_found != NULL;
		*id_r = *found_r ? user.pw_uid : 0;
		return status;
	}
	status = getgrnam_r(name, &group, buffer, size, &group_found);
	*found_r = group_found != NULL;
	*id_r = *found_r ? group.gr_gid : 0;
	return status;
}

static int ask(enum userdb_id which, const char *name, bool *found_r,
	       uint32_t *id_r)
{
	size_t size = BUFFER_MIN;
	char *buffer = NULL;
	int status;

	do {
		buffer = mem_realloc(buffer, size);
		status = ask_once(which, name, buffer, size, found_r, id_r);
		if (status == ERANGE)
			size *= 2;
	} while (status == EINTR || (status == ERANGE && size <= BUFFER_MAX));
	mem_free(&buffer);
	return status;
}

int userdb_id_resolve(enum userdb_id which, const char *text, uint32_t *id_r,
		      struct err *err)
{
	bool found = false;
	int status;

	if (is_number(text))
		return userdb_id_parse(which, text, id_r, err);
	status = *text != '\0' ? ask(which, text, &found, id_r) : 0;
	if (status != 0)
		return err_set(err, "cannot look up %s '%.100s': %s",
			       nouns[which], text, strerror(status));
	if (!found)
		return err_set(err, "there is no %s '%.100s'", nouns[which],
			       text);
	return 0;
}

static int settle(struct passdb_template_field *field, enum userdb_id which,
		  struct arena *arena, struct err *err)
{
	struct err why;
	uint32_t id;

	if (userdb_id_resolve(which, field->value, &id, &why) < 0)
		return err_set(err, "%s: %s", field->key.text, why.text);
	field->value = arena_printf(arena, "%lu", (unsigned long)id);
	return 0;
}

int userdb_template_settle(struct passdb_template *template,
			   struct arena *arena, struct err *err)
{
	unsigned i;

	for (i = 0; i < template->count; i++) {
		struct passdb_template_field *field = &template->fields[i];
		bool uid = strcmp(field->key.name, "uid") == 0;
		bool gid = strcmp(field->key.name, "gid") == 0;

		if ((!uid && !gid) || field->has_vars ||
		    field->key.suffix == PASSDB_SUFFIX_REMOVE)
			continue;
		if (settle(field, uid ? USERDB_UID : USERDB_GID, arena,
			   err) < 0)
			return -1;
	}
	return 0;
}
