#include "proxy/session/greeting.h"

#include "passdb/var/var.h"

enum { VAR_LIP, VAR_RIP, VAR_SESSION };

static const struct var_entry greeting_table[] = {
	{ 's', "service", "lmtp", 0 },
	{ 'l', "lip", NULL, VAR_LIP },
	{ 'r', "rip", NULL, VAR_RIP },
	{ 0, "session", NULL, VAR_SESSION },
	{ 0, NULL, NULL, 0 },
};

static void put_value(const struct var_source *source,
		      const struct var_entry *entry, struct str *out)
{
	const struct greeting_values *values = source->context;

	switch (entry->id) {
	case VAR_LIP:
		addr_write_ip(out, values->local);
		break;
	case VAR_RIP:
		addr_write_ip(out, values->remote);
		break;
	case VAR_SESSION:
		str_puts(out, values->session);
		break;
	}
}

int greeting_expand(struct str *out, const char *text,
		    const struct greeting_values *values, struct err *err)
{
	const struct var_source source = {
		.table = greeting_table,
		.value = put_value,
		.hostname = values->hostname,
		.context = values,
	};

	return var_expand(out, text, &source, err);
}

int greeting_check(const char *text, struct err *err)
{
	const struct var_source source = { .table = greeting_table };

	return var_check(text, &source, err);
}
