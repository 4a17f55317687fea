#include "t/unit/passdb_helper.h"

Test(passwd_file, finds_users)
{
	struct helper helper;

	helper_init(&helper);
	helper_write(&helper, "users",
		     "# comment\n"
		     "jane:{PLAIN}secret:1000:1000::/home/jane::proxy=y "
		     "host=2001:db8::1 destuser=%n+x\n"
		     "joe:x\r\n"
		     "\n"
		     "jim:x:::::::host=ignored\n");
	helper_add(&helper, "passwd-file",
		   arena_printf(helper.arena, "scheme=CRYPT "
				"username_format=%%n %s/users", helper.dir));
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "jane@example.org"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "proxy=y host=2001:db8::1 "
			 "destuser=jane+x");
	cr_assert_eq(helper_lookup(&helper, "joe"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "");
	cr_assert_eq(helper_lookup(&helper, "jim"), PASSDB_OK);
	cr_assert_str_eq(helper_fields(&helper), "");
	cr_assert_eq(helper_lookup(&helper, "nobody"), PASSDB_NOT_FOUND);
	helper_close(&helper);
}
