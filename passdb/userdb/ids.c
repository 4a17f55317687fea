#include "passdb/userdb/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const nouns[] = {
	[NSS_USER] = "user",
	[NSS_GROUP] = "group",
};

bool userdb_id_is_name(const char *text)
{
	return text[0] == '\0' || text[strspn(text, "0123456789")] != '\0';
}

int userdb_id_parse(enum nss_what what, const char *text, uint32_t *id_r,
		    struct err *err)
{
	unsigned long long number;

	if (userdb_id_is_name(text))
		return err_set(err, "'%.100s' is not the number of a %s", text,
			       nouns[what]);
	errno = 0;
	number = strtoull(text, NULL, 10);
	/* The highest one means "none" to system calls. */
	if (errno != 0 || number >= UINT32_MAX)
		return err_set(err, "%.100s is too large", text);
	*id_r = (uint32_t)number;
	return 0;
}

int userdb_id_of(enum nss_what what, const char *name, int status,
		 const struct nss_entry *entry, uint32_t *id_r,
		 struct err *err)
{
	if (status != 0)
		return err_set(err, "cannot look up %s '%.100s': %s",
			       nouns[what], name, strerror(status));
	if (!entry->found)
		return err_set(err, "there is no %s '%.100s'", nouns[what],
			       name);
	*id_r = what == NSS_USER ? entry->uid : entry->gid;
	return 0;
}

int userdb_id_find(enum nss_what what, const char *text, uint32_t *id_r,
		   struct err *err)
{
	struct nss_entry entry;
	int status, ret;

	if (!userdb_id_is_name(text))
		return userdb_id_parse(what, text, id_r, err);
	status = nss_find(what, text, &entry);
	ret = userdb_id_of(what, text, status, &entry, id_r, err);
	nss_entry_free(&entry);
	return ret;
}

static int settle(struct passdb_template_field *field, enum nss_what what,
		  struct arena *arena, struct err *err)
{
	struct err why;
	uint32_t id;

	if (userdb_id_find(what, field->value, &id, &why) < 0)
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
		if (settle(field, uid ? NSS_USER : NSS_GROUP, arena, err) < 0)
			return -1;
	}
	return 0;
}
