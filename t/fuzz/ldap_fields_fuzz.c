/* From what an LDAP server says to the fields of a lookup. */
#include <string.h>

#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "passdb/ldap/attrs.h"
#include "passdb/ldap/conn.h"
#include "passdb/shared.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 8192
#define PASS_ATTRS \
	"uid=user, userPassword=password, host, a=x=<%$>, =dn=%{ldap_dn}, " \
	"=port=%{ldap:port:24}, =m=%{ldap_multi:mail:;:none}, !p, " \
	"=q=%{ldap_ptr:p:none}, =n=%n-%L{ldap:a}-%8.3N{ldap:b}-%M{ldap:b}, " \
	"nets=allow_nets, b=x:protected, a=y:remove, c=userdb_c"

/* What is the same for all inputs. */
static struct passdb *passdb;
static struct arena *static_arena;
static struct ldap_attrs attrs;

static void setup(void)
{
	static struct passdb_block block = {
		.driver = "static", .args = "nopassword=y", .name = "",
		.default_fields = "", .override_fields = "",
		.mechanisms = "", .username_filter = "", .file = "fuzz",
	};
	static struct passdb_settings settings = {
		.blocks = &block, .count = 1, .username_chars = "",
		.username_translation = "", .username_format = "%u",
		.default_realm = "", .proxy_self = "", .hostname = "h",
	};
	const struct log_settings log = {
		.path = "/dev/null", .info_path = "", .debug_path = "",
		.timestamp = "", .syslog_facility = "mail", .prefix = "",
	};
	const struct var_source vars = passdb_request_vars(NULL, NULL);
	struct loop *loop = loop_new();
	struct passdb_shared *shared;
	struct err err;

	ASSERT(log_open(&log, &err) == 0);
	shared = passdb_shared_new(loop, &settings, &err);
	ASSERT(shared != NULL);
	passdb = passdb_new(loop, NULL, shared);
	static_arena = arena_new(1024);
	ASSERT(ldap_attrs_parse(&attrs, static_arena, PASS_ATTRS, &vars,
				&err) == 0);
}

static struct arena *on_wants(void *owner, int id)
{
	struct passdb_request *request = owner;

	return id == 1 ? request->arena : NULL;
}

static void check_fields(const struct passdb_request *request,
			 const struct ldap_entry *entry)
{
	const char *const *hosts = ldap_entry_values(entry, "host", 4);
	const char *host = passdb_fields_get(&request->fields, "host");
	size_t bytes = 0;
	unsigned i;

	ASSERT(hosts == NULL ? host == NULL :
	       host != NULL && strcmp(host, hosts[0]) == 0);
	ASSERT(passdb_fields_get(&request->fields, "password") == NULL);
	for (i = 0; i < request->fields.count; i++)
		bytes += strlen(request->fields.list[i].value);
	ASSERT(bytes < 32 * MAX_SIZE && request->username != NULL);
}

static void on_entry(void *owner, int id, const struct ldap_entry *entry)
{
	struct passdb_request *request = owner;
	const struct ldap_found found = {
		.attrs = &attrs, .entries = { entry },
	};
	struct str text = STR_INIT;
	struct err err;

	ASSERT(id == 1);
	if (entry->problem != NULL)
		return;
	(void)ldap_attrs_put_key(&attrs, request, &text);
	str_clear(&text);
	if (ldap_attrs_put(&attrs, &found, request, &err) == 0)
		check_fields(request, entry);
	passdb_request_describe(request, &text);
	str_free(&text);
	request->fields.count = 0;
	request->username = "joe@example.org";
}

static void on_done(void *owner, int id, const struct ldap_outcome *outcome)
{
	(void)owner;
	ASSERT(id == 1 && outcome->text != NULL && outcome->matched != NULL);
}

static const struct ldap_conn_events events = { on_wants, on_entry, on_done };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const wanted[] = { "uid", NULL };
	const struct ldap_search_params params = {
		.base = "", .filter = "(uid=a)", .attributes = wanted,
	};
	struct passdb_client client = { .session = "s" };
	struct log_ctx log = { NULL, "fuzz" };
	struct passdb_request request = {
		.user = "joe@example.org", .username = "joe@example.org",
		.vars_user = "joe@example.org", .client = &client,
		.log = &log,
	};
	struct ldap_conn *conn;
	struct str out = STR_INIT;
	struct err err;

	if (passdb == NULL)
		setup();
	if (size > MAX_SIZE)
		return 0;
	request.arena = arena_new(1024);
	request.passdb = passdb;
	conn = ldap_conn_new(0, &out, &events, &request);
	ASSERT(ldap_conn_search(conn, &params, &err) == 1);
	(void)ldap_conn_input(conn, data, size, &err);
	ldap_conn_free(&conn);
	arena_free(&request.arena);
	str_free(&out);
	return 0;
}
