/* A passwd-file. The table must find exactly the users that a slow reading of
 * the file finds. */
#include <string.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/passwd/table.h"
#include "passdb/request.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 8192

static void log_nowhere(void)
{
	const struct log_settings settings = {
		.path = "/dev/null", .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .prefix = "",
	};
	struct err err;

	ASSERT(log_open(&settings, &err) == 0);
}

/* The next line that names a user; false at the end. */
static bool next_user(const char **text, const char *end, const char **user_r,
		      size_t *len_r)
{
	while (*text < end) {
		const char *line = *text, *stop = line;

		while (stop < end && *stop != '\n')
			stop++;
		*text = stop < end ? stop + 1 : end;
		if (stop > line && stop[-1] == '\r')
			stop--;
		*user_r = line;
		while (line < stop && *line != ':')
			line++;
		*len_r = (size_t)(line - *user_r);
		if (*len_r > 0 && **user_r != '#')
			return true;
	}
	return false;
}

static void check_part(const struct passwd_part *part, const char *forbidden)
{
	size_t i;

	for (i = 0; i < part->len; i++)
		ASSERT(part->text[i] != '\0' &&
		       strchr(forbidden, part->text[i]) == NULL);
}

static void check_entry(const struct passwd_entry *entry)
{
	const char *extra = entry->extra.text;
	struct passwd_user user;
	size_t i;

	passwd_entry_user(entry, &user);
	check_part(&entry->line, "\n");
	check_part(&user.uid, ":\n");
	check_part(&user.gid, ":\n");
	check_part(&user.home, ":\n");
	check_part(&user.mail, "\n");
	ASSERT(user.is_user || user.gid.len + user.home.len == 0);
	ASSERT(user.mail.len == 0 || entry->extra.len == 0);

	for (i = 0; i < entry->extra.len; i++) {
		ASSERT(extra[i] != '\0' && extra[i] != '\n');
		ASSERT(extra[i] != '=' || (i > 0 && extra[i - 1] != ' '));
	}
}

static bool is_first(const char *data, const char *user, size_t len)
{
	const char *text = data, *other;
	size_t other_len;

	while (next_user(&text, user, &other, &other_len)) {
		if (other_len == len && memcmp(other, user, len) == 0)
			return false;
	}
	return true;
}

static void check_table(const struct passwd_table *table, const char *data,
			const char *end)
{
	const char *text = data, *user;
	struct passwd_entry entry;
	unsigned users = 0;
	size_t len;

	while (next_user(&text, end, &user, &len)) {
		ASSERT(passwd_table_find(table, user, len, &entry));
		if (!entry.broken)
			check_entry(&entry);
		users += is_first(data, user, len);
	}
	ASSERT(users == passwd_table_count(table));
	ASSERT(!passwd_table_find(table, "\x01none", 5, &entry) ||
	       memmem(data, (size_t)(end - data), "\x01none", 5) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct passwd_table *table;
	char *copy;

	if (size > MAX_SIZE || memmem(data, size, "~", 1) != NULL)
		return 0;
	log_nowhere();
	copy = mem_alloc(size);
	if (size > 0)
		memcpy(copy, data, size);
	table = passwd_table_new("fuzz", copy, size, &vars);
	check_table(table, copy, copy + size);
	passwd_table_unref(&table);
	log_close();
	return 0;
}
