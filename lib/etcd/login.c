/* The login of a client of etcd: its token goes with all calls. */
#include "lib/etcd/private.h"
#include "lib/log/log.h"

#define CODE_PRECONDITION 9 /* of gRPC */

static bool has_user(const struct etcd *etcd)
{
	const char *user = etcd->settings->user;

	return user != NULL && *user != '\0';
}

bool etcd_is_logged_in(const struct etcd *etcd)
{
	return !has_user(etcd) || etcd->login.needless ||
	       etcd->login.header.len > 0;
}

void etcd_login_cancel(struct etcd *etcd)
{
	http_cancel(&etcd->login.http);
	str_wipe(&etcd->login.body);
}

bool etcd_login_again(struct etcd *etcd, unsigned number)
{
	if (!has_user(etcd))
		return false;
	if (number != etcd->login.number)
		return true;
	str_wipe(&etcd->login.header);
	etcd->login.needless = false;
	etcd->login.number++;
	return true;
}

static void take_token(struct etcd *etcd, const struct http_answer *answer)
{
	struct arena *arena = arena_new(256);
	struct err err = { "" };
	const char *token = etcd_wire_read_token(arena, answer->body,
						 answer->len, &err);

	if (token != NULL) {
		str_puts(&etcd->login.header, "Authorization: ");
		str_puts(&etcd->login.header, token);
	} else {
		etcd_leave(etcd, err.text);
	}
	arena_wipe(&arena);
}

/* All members have the same users: another one is not asked. */
static void refused(struct etcd *etcd, const struct etcd_failure *failure)
{
	struct etcd_waiter *waiter;
	struct str why = STR_INIT;

	if (failure->code == CODE_PRECONDITION &&
	    strstr(failure->text, "authentication is not enabled") != NULL) {
		log_warning(NULL, "etcd: %s has no authentication: whoever "
			    "reaches it may change everything",
			    etcd_member(etcd));
		etcd->login.needless = true;
		return;
	}
	str_printf(&why, "%s: login as %s failed: %s", etcd_member(etcd),
		   etcd->settings->user, failure->text);
	while ((waiter = list_first(&etcd->waiting, struct etcd_waiter,
				    node)) != NULL) {
		list_remove(&waiter->node);
		waiter->fail(waiter, str_c(&why));
	}
	str_free(&why);
}

static void login_done(void *arg, const struct http_answer *answer)
{
	struct etcd *etcd = arg;
	struct arena *arena = arena_new(256);
	struct etcd_failure failure;

	etcd->login.http = NULL;
	str_wipe(&etcd->login.body);
	switch (etcd_judge(answer, arena, &failure)) {
	case ETCD_TAKE:
		take_token(etcd, answer);
		break;
	case ETCD_LEAVE:
		etcd_leave(etcd, failure.text);
		break;
	case ETCD_LOGIN:
	case ETCD_REFUSE:
		refused(etcd, &failure);
		break;
	}
	etcd_run(etcd);
	arena_free(&arena);
}

void etcd_login(struct etcd *etcd)
{
	struct http_call call = { .path = "/v3/auth/authenticate" };
	const char *password = etcd->settings->password;
	struct str none = STR_INIT;

	if (etcd->login.http != NULL)
		return;
	etcd_wire_put_login(&etcd->login.body, etcd->settings->user,
			    password != NULL ? password : "");
	call.body = str_c(&etcd->login.body);
	call.body_len = etcd->login.body.len;
	etcd->login.http = etcd_start(etcd, &call, &none, login_done, etcd);
}
