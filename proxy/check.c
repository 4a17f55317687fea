#include "proxy/check.h"

#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "passdb/passdb.h"
#include "proxy/listener.h"
#include "proxy/privileges.h"

static int check_user(const struct settings *settings, struct err *err)
{
	struct privileges privileges;

	return privileges_resolve(&privileges, settings, err);
}

static int check_passdb(const struct settings *settings, struct err *err)
{
	struct loop *loop = loop_new();
	struct passdb_shared *shared =
		passdb_shared_new(loop, &settings->passdb, err);
	int status = shared != NULL ? 0 : -1;

	passdb_shared_unref(&shared);
	loop_free(&loop);
	return status;
}

unsigned check_settings(const struct settings *settings, const char *path,
			struct str *problems)
{
	unsigned count = 0;
	struct err err;

	if (log_check_facility(settings->syslog_facility, &err) < 0) {
		str_printf(problems, "%s: %s\n", path, err.text);
		count++;
	}
	if (check_user(settings, &err) < 0) {
		str_printf(problems, "%s: %s\n", path, err.text);
		count++;
	}
	/* These say where it stands. */
	if (listener_check(settings, &err) < 0) {
		str_printf(problems, "%s\n", err.text);
		count++;
	}
	if (check_passdb(settings, &err) < 0) {
		str_printf(problems, "%s\n", err.text);
		count++;
	}
	return count;
}
