/* The table of time limits in waypost.conf(5) has every setting that is a time,
 * and what it is by default. */
#include <criterion/criterion.h>

#include <string.h>

#include "lib/conf/line.h"
#include "proxy/settings/health.h"
#include "proxy/settings/local.h"
#include "proxy/settings/tables.h"
#include "t/files.h"

static unsigned check_table(const struct conf_table *table, const char *rows)
{
	const struct conf_def *def;
	struct str want = STR_INIT;
	const char *row, *cell;
	unsigned count = 0;

	for (def = table->defs; def->name != NULL; def++) {
		if (def->type != CONF_TIME)
			continue;
		count++;
		str_clear(&want);
		str_printf(&want, "T{\n%s:\n", def->name);
		row = strstr(rows, str_c(&want));
		cr_assert_not_null(row, "%s is missing", def->name);
		cell = strstr(row, "\nT}\tT{\n");
		cr_assert_not_null(cell, "%s", def->name);
		str_clear(&want);
		str_puts(&want, "\nT}\tT{\n");
		conf_line_write_value(&want, def->value);
		str_puts(&want, "\nT}");
		cr_expect(strncmp(cell, want.data, want.len) == 0,
			  "%s: its default is not %s", def->name, def->value);
	}
	str_free(&want);
	return count;
}

Test(time_limits, manual_has_them_all)
{
	struct str page = STR_INIT;
	struct files files;
	const char *rows;
	unsigned count;

	files_read(files_source(&files, "man/waypost.conf.5"), &page);
	rows = strstr(str_c(&page), "\n.SH TIME LIMITS\n");
	cr_assert_not_null(rows);
	count = check_table(&settings_global_table, rows) +
		check_table(&settings_lmtp_table, rows) +
		check_table(&settings_auth_table, rows) +
		check_table(&settings_health_table, rows) +
		check_table(&settings_local_table, rows);
	cr_expect_gt(count, 0);
	str_free(&page);
}
