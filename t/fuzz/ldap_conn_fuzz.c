/* What an LDAP server may say after a bind, StartTLS and two searches. The
 * first byte cuts the rest into pieces, which must make no difference. */
#include <string.h>

#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/ldap/conn.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 8192

struct talk {
	struct arena *arena;
	struct str out, log;
};

static struct arena *on_wants(void *owner, int id)
{
	struct talk *talk = owner;

	return id == 3 ? talk->arena : NULL;
}

static void on_entry(void *owner, int id, const struct ldap_entry *entry)
{
	struct talk *talk = owner;
	size_t bytes = 0;
	unsigned i, j;

	ASSERT(id == 3 && entry->dn != NULL);
	str_printf(&talk->log, "%s %u;", entry->dn, entry->count);
	for (i = 0; i < entry->count; i++) {
		const struct ldap_attribute *attribute = &entry->attributes[i];

		ASSERT(attribute->values[0] != NULL);
		for (j = 0; attribute->values[j] != NULL; j++)
			bytes += strlen(attribute->values[j]);
	}
	ASSERT(bytes <= LDAP_ENTRY_MAX_BYTES);
}

static void on_done(void *owner, int id, const struct ldap_outcome *outcome)
{
	struct talk *talk = owner;

	ASSERT(id >= 1 && id <= 4);
	str_printf(&talk->log, "%d %s %s;", id, outcome->text,
		   outcome->matched);
}

static const struct ldap_conn_events events = { on_wants, on_entry, on_done };

static void run(struct talk *talk, const uint8_t *data, size_t size,
		size_t piece)
{
	static const char *const attributes[] = { "uid", NULL };
	const struct ldap_search_params params = {
		.base = "", .filter = "(uid=a)", .attributes = attributes,
	};
	struct ldap_conn *conn;
	struct err err;
	int ret = 0;

	talk->arena = arena_new(256);
	conn = ldap_conn_new(0, &talk->out, &events, talk);
	ASSERT(ldap_conn_start_tls(conn, &err) == 1);
	ASSERT(ldap_conn_bind(conn, "", "", &err) == 2);
	ASSERT(ldap_conn_search(conn, &params, &err) == 3);
	ASSERT(ldap_conn_search(conn, &params, &err) == 4);
	while (size > 0 && ret == 0) {
		size_t len = size < piece ? size : piece;

		ret = ldap_conn_input(conn, data, len, &err);
		data += len;
		size -= len;
	}
	if (ret < 0)
		str_printf(&talk->log, "%s", err.text);
	ldap_conn_free(&conn);
	arena_free(&talk->arena);
	str_free(&talk->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk whole = { .arena = NULL }, cut = { .arena = NULL };

	if (size < 1 || size > MAX_SIZE)
		return 0;
	run(&whole, data + 1, size - 1, size);
	run(&cut, data + 1, size - 1, data[0] + 1u);
	ASSERT(strcmp(str_c(&whole.log), str_c(&cut.log)) == 0);
	str_free(&whole.log);
	str_free(&cut.log);
	return 0;
}
