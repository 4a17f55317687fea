#include "proxy/rawlog_dir.h"

#include <criterion/criterion.h>

static struct passdb_client client = { .session = "../a/b" };
static struct str out;

static void setup(void)
{
	addr_parse_ip(&client.local, "192.0.2.1", 24);
	addr_parse_ip(&client.remote, "2001:db8::1", 4711);
	out = (struct str)STR_INIT;
}

static void teardown(void)
{
	str_free(&out);
}

TestSuite(rawlog_dir, .init = setup, .fini = teardown);

Test(rawlog_dir, variables)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "/x", "/x" },
		{ "/x/%s/%r/%l", "/x/lmtp/2001:db8::1/192.0.2.1" },
		{ "/x/%a-%b", "/x/24-4711" },
		{ "/x/%{remote_ip}.%{local_port}", "/x/2001:db8::1.24" },
		{ "/x/%{session}", "/x/_._a_b" },
		{ "/x/%{hostname}%%", "/x/me%" },
		{ "/x/%u%n%d%h%{user}%{domain}", "/x/" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { "" };

		str_clear(&out);
		cr_expect_eq(rawlog_dir_expand(&out, rows[i].text, &client,
					       "me", &err), 0, "%s: %s",
			     rows[i].text, err.text);
		cr_expect_str_eq(str_c(&out), rows[i].want);
		cr_expect_eq(rawlog_dir_check(rows[i].text, &err), 0);
	}
}

Test(rawlog_dir, unknown_variables)
{
	static const char *const rows[] = { "/%x", "/%{mech}", "/%{", "/%{}" };
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err;

		cr_expect_lt(rawlog_dir_check(rows[i], &err), 0, "%s", rows[i]);
		cr_expect_lt(rawlog_dir_expand(&out, rows[i], &client, "me",
					       &err), 0, "%s", rows[i]);
	}
}
