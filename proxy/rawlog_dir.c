#include "proxy/rawlog_dir.h"

#include <unistd.h>

#include "passdb/var/var.h"

enum { VAR_LIP, VAR_RIP, VAR_LPORT, VAR_RPORT, VAR_SESSION, VAR_PID };

static const struct var_entry rawlog_dir_table[] = {
	{ 'u', "user", "", 0 },
	{ 'n', "username", "", 0 },
	{ 'd', "domain", "", 0 },
	{ 'h', "home", "", 0 },
	{ 's', "service", "lmtp", 0 },
	{ 'l', "lip", NULL, VAR_LIP },
	{ 'r', "rip", NULL, VAR_RIP },
	{ 'a', "lport", NULL, VAR_LPORT },
	{ 'b', "rport", NULL, VAR_RPORT },
	{ 'p', "pid", NULL, VAR_PID },
	{ 0, "local_ip", NULL, VAR_LIP },
	{ 0, "remote_ip", NULL, VAR_RIP },
	{ 0, "local_port", NULL, VAR_LPORT },
	{ 0, "remote_port", NULL, VAR_RPORT },
	{ 0, "session", NULL, VAR_SESSION },
	{ 0, NULL, NULL, 0 },
};

/* Session ids may come from a proxy before us. */
static int make_name(struct str *out, size_t from, struct err *err)
{
	size_t i;

	(void)err;
	for (i = from; i < out->len; i++)
		if (out->data[i] == '/' || (i == from && out->data[i] == '.'))
			out->data[i] = '_';
	return 0;
}

static void put_value(const struct var_source *source,
		      const struct var_entry *entry, struct str *out)
{
	const struct passdb_client *client = source->context;

	switch (entry->id) {
	case VAR_LIP:
		addr_write_ip(out, &client->local);
		break;
	case VAR_RIP:
		addr_write_ip(out, &client->remote);
		break;
	case VAR_LPORT:
		str_put_number(out, addr_port(&client->local));
		break;
	case VAR_RPORT:
		str_put_number(out, addr_port(&client->remote));
		break;
	case VAR_SESSION:
		str_puts(out, client->session);
		break;
	case VAR_PID:
		str_put_number(out, (uint64_t)getpid());
		break;
	}
}

int rawlog_dir_expand(struct str *out, const char *text,
		      const struct passdb_client *client, const char *hostname,
		      struct err *err)
{
	const struct var_source source = {
		.table = rawlog_dir_table,
		.value = put_value,
		.escape = make_name,
		.hostname = hostname,
		.context = client,
	};

	return var_expand(out, text, &source, err) < 0 ? -1 : 0;
}

int rawlog_dir_check(const char *text, struct err *err)
{
	const struct var_source source = { .table = rawlog_dir_table };

	return var_check(text, &source, err);
}
