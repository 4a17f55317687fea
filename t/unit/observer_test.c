/* What an observer is told of a lookup. */
#include "passdb/observer.h"
#include "t/unit/passdb_helper.h"

struct watcher {
	struct passdb_observer observer;
	struct str heard;
};

static struct watcher watcher;

/* One line an event. */
static void hear(struct passdb_observer *observer,
		 const struct passdb_event *event)
{
	static const char *const types[] = {
		[PASSDB_EVENT_STEP] = "step",
		[PASSDB_EVENT_ASKED] = "asked",
		[PASSDB_EVENT_SOURCE] = "source",
		[PASSDB_EVENT_FIELD] = "field",
		[PASSDB_EVENT_NOTE] = "note",
		[PASSDB_EVENT_ANSWER] = "answer",
	};
	struct str *heard = &watcher.heard;

	cr_assert_eq(observer, &watcher.observer);
	str_puts(heard, types[event->type]);
	if (event->type == PASSDB_EVENT_STEP)
		str_printf(heard, " %u %s %s", event->block->line,
			   event->block->driver, event->request->username);
	if (event->name != NULL)
		str_printf(heard, " %s", event->name);
	if (event->text != NULL)
		str_printf(heard, ": %s", event->text);
	str_putc(heard, '\n');
}

static void watch(struct helper *helper)
{
	watcher = (struct watcher){ .observer.tell = hear };
	helper->request.observer = &watcher.observer;
}

/* What is heard of the lookup of user, and that nothing of it is logged. */
static void assert_heard(struct helper *helper, const char *user,
			 const char *heard)
{
	helper->settings.debug = false;
	watch(helper);
	helper_open(helper);
	helper_lookup(helper, user);
	cr_expect_str_eq(str_c(&watcher.heard), heard);
	cr_expect_eq(helper_log_count(helper, ": user "), 0);
	str_free(&watcher.heard);
	helper_close(helper);
}

Test(observer, one_step)
{
	struct passdb_block *block;
	struct helper helper;

	helper_init(&helper);
	block = helper_add(&helper, "static", "host=h pass=%u nopassword");
	block->default_fields = "port=24";
	block->override_fields = "proxy:protected=y user=jim";
	assert_heard(&helper, "Joe",
		     "step 1 static joe\n"
		     "source default_fields\n"
		     "field port: 24\n"
		     "source\n"
		     "field host: h\n"
		     "field pass: joe\n"
		     "field nopassword: \n"
		     "source override_fields\n"
		     "field proxy:protected: y\n"
		     "field user: jim\n"
		     "answer result_success=return-ok: found\n");
}

Test(observer, chain)
{
	struct passdb_block *block;
	struct helper helper;

	helper_init(&helper);
	block = helper_add(&helper, "static", "host=h");
	block->result_success = PASSDB_CONTINUE;
	block = helper_add(&helper, "static", "x=1");
	block->skip = 1;
	block = helper_add(&helper, "static", "x=2");
	block->username_filter = "*@example.org";
	block = helper_add(&helper, "static", "allow_nets=192.0.2.0/24");
	block->result_failure = PASSDB_CONTINUE_OK;
	block = helper_add(&helper, "static", "noauthenticate");
	block = helper_add(&helper, "static", "fail");
	block->deny = true;
	block = helper_add(&helper, "static", "port=x delay_until=x");
	block->result_internalfail = PASSDB_RETURN_FAIL;
	assert_heard(&helper, "joe",
		     "step 1 static joe\n"
		     "source default_fields\nsource\nfield host: h\n"
		     "source override_fields\n"
		     "answer result_success=continue: found\n"
		     "step 2 static joe: skip=authenticated\n"
		     "step 3 static joe: username_filter\n"
		     "step 4 static joe\n"
		     "source default_fields\nsource\n"
		     "field allow_nets: 192.0.2.0/24\n"
		     "note: refused: the client is in none of allow_nets\n"
		     "source override_fields\n"
		     "answer result_failure=continue-ok: not found\n"
		     "step 5 static joe\n"
		     "source default_fields\nsource\nfield noauthenticate: \n"
		     "source override_fields\n"
		     "answer noauthenticate: found\n"
		     "step 6 static joe\n"
		     "source default_fields\nsource\nfield fail: \n"
		     "source override_fields\n"
		     "answer deny=yes: found\n"
		     "note: found in a deny passdb\n");
}

Test(observer, failure)
{
	struct passdb_block *block;
	struct helper helper;

	helper_init(&helper);
	block = helper_add(&helper, "static", "delay_until=x host=h");
	block->result_internalfail = PASSDB_RETURN_FAIL;
	assert_heard(&helper, "joe",
		     "step 1 static joe\n"
		     "source default_fields\nsource\n"
		     "field delay_until: x\n"
		     "note: args: field delay_until: 'x' is not a time\n"
		     "source override_fields\n"
		     "answer result_internalfail=return-fail: failed\n");
}

Test(observer, name_that_nobody_has)
{
	struct helper helper;

	helper_init(&helper);
	helper_add(&helper, "static", "host=h");
	assert_heard(&helper, "jo#e",
		     "note: character 0x23 is not in auth_username_chars\n");
}

Test(observer, passwd_file)
{
	struct helper helper;
	struct str heard = STR_INIT;

	helper_init(&helper);
	helper_write(&helper, "users", "joe:::::::host=h x=%u\n");
	helper_add(&helper, "passwd-file",
		   arena_printf(helper.arena, "username_format=%%n %s",
				helper_path(&helper, "users")));
	str_printf(&heard, "step 1 passwd-file joe@d\n"
		   "source default_fields\nsource\n"
		   "asked file: %s/users\nasked user: joe\n"
		   "field host: h\nfield x: joe@d\n"
		   "source override_fields\n"
		   "answer result_success=return-ok: found\n", helper.dir);
	assert_heard(&helper, "joe@d", str_c(&heard));
	str_free(&heard);
}
