#include "t/unit/passdb_helper.h"

Test(passdb, static_fields_with_variables)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "nopassword=y proxy=y host=%d.example "
		   "port=24 empty destuser=%Un@x");
	helper_open(&helper);
	cr_assert_eq(helper_lookup(&helper, "Jane@Example.Org"), PASSDB_OK);
	cr_assert_str_eq(helper.request.username, "jane@example.org");
	cr_assert_str_eq(helper_fields(&helper), "proxy=y "
			 "host=example.org.example port=24 empty= "
			 "destuser=JANE@x");
	helper_close(&helper);
}
