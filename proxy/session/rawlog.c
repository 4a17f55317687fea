#include "proxy/session/rawlog.h"

#include "lib/rawlog.h"
#include "proxy/rawlog_dir.h"
#include "proxy/session/private.h"
#include "proxy/session/transaction.h"

/* what: who has asked for it, if something is wrong. */
static void log_into(struct session *session, const char *what, const char *dir)
{
	struct rawlog *rawlog = NULL;
	struct err err;

	if (rawlog_open(dir, &session->worker->set->rawlogs, &rawlog, &err) < 0)
		log_error(&session->log, "%s: %s", what, err.text);
	session->has_rawlog = rawlog != NULL;
	stream_set_rawlog(session->stream, rawlog);
}

static const char *find_rule(struct session *session, const char *text)
{
	return rawlog_rules_find(&session->worker->rawlog_rules,
				 loop_now_us(session->loop), text);
}

static bool wanted_for_client(struct session *session)
{
	struct str ip = STR_INIT;
	const char *dir;

	if (session->worker->rawlog_rules.count == 0)
		return false;
	addr_write_ip(&ip, &session->client.remote);
	dir = find_rule(session, str_c(&ip));
	str_free(&ip);
	if (dir != NULL)
		log_into(session, "waypostctl rawlog", dir);
	return dir != NULL;
}

void session_rawlog_open(struct session *session)
{
	const char *text = session->set->lmtp_rawlog_dir;
	struct str dir = STR_INIT;
	struct err err;

	if (wanted_for_client(session) || *text == '\0')
		return;
	if (rawlog_dir_expand(&dir, text, &session->client,
			      session->set->hostname, &err) < 0)
		log_error(&session->log, "lmtp_rawlog_dir: %s", err.text);
	else
		log_into(session, "lmtp_rawlog_dir", str_c(&dir));
	str_free(&dir);
}

void session_rawlog_rcpt(struct transaction *trans, const char *user)
{
	struct remote_settings *remote = &trans->remote_settings;
	struct session *session = trans->session;
	const char *dir;

	if (session->worker->rawlog_rules.count == 0)
		return;
	dir = find_rule(session, user);
	if (dir == NULL)
		return;
	if (!session->has_rawlog)
		log_into(session, "waypostctl rawlog", dir);
	if (remote->rawlog_dir != NULL)
		return;
	remote->rawlog_dir = arena_strdup(trans->arena, dir);
	remote->rawlog_counter = &session->worker->set->rawlogs;
	remote->rawlog_ends = true;
}
