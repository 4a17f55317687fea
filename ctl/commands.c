#include "ctl/commands.h"

#include <string.h>

static const struct table_column ring_columns[] = {
	{ "etcd", "etcd", TABLE_TEXT },
	{ "in step", "in_step", TABLE_TEXT },
	{ "problem", "problem", TABLE_TEXT },
	{ "lost for", "lost_seconds", TABLE_SECONDS },
	{ "serial", "serial", TABLE_TEXT },
	{ "agreed", "agreed", TABLE_TEXT },
	{ "same config", "same_config", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column node_columns[] = {
	{ "NODE", "node", TABLE_TEXT },
	{ "PROCESS", "process", TABLE_TEXT },
	{ "STATE", "state", TABLE_TEXT },
	{ "VERSION", "version", TABLE_TEXT },
	{ "DONE", "done", TABLE_TEXT },
	{ "LAG", "lag", TABLE_TEXT },
	{ "LEADS", "leads", TABLE_YES },
	{ "SELF", "self", TABLE_YES },
	{ "OTHER CONFIG", "other_config", TABLE_YES },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column status_columns[] = {
	{ "version", "version", TABLE_TEXT },
	{ "instance", "instance", TABLE_TEXT },
	{ "hostname", "hostname", TABLE_TEXT },
	{ "state", "state", TABLE_TEXT },
	{ "pid", "pid", TABLE_TEXT },
	{ "worker pid", "worker_pid", TABLE_TEXT },
	{ "other workers", "other_workers", TABLE_TEXT },
	{ "threads", "threads", TABLE_TEXT },
	{ "uptime", "uptime_seconds", TABLE_SECONDS },
	{ "sessions", "sessions", TABLE_TEXT },
	{ "sessions max", "sessions_max", TABLE_TEXT },
	{ "deliveries", "deliveries", TABLE_TEXT },
	{ "deliveries max", "deliveries_max", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column session_columns[] = {
	{ "SESSION", "id", TABLE_TEXT },
	{ "CLIENT", "client", TABLE_TEXT },
	{ "HELO", "helo", TABLE_TEXT },
	{ "TLS", "tls", TABLE_YES },
	{ "STATE", "state", TABLE_TEXT },
	{ "AGE", "age_seconds", TABLE_SECONDS },
	{ "MAIL", "transaction.age_seconds", TABLE_SECONDS },
	{ "RCPTS", "transaction.recipients", TABLE_COUNT },
	{ "FROM", "transaction.from", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column pool_columns[] = {
	{ "BACKEND", "backend", TABLE_TEXT },
	{ "IDLE", "idle", TABLE_TEXT },
	{ "BUSY", "busy", TABLE_TEXT },
	{ "WAITING", "waiting", TABLE_TEXT },
	{ "MESSAGES", "transactions", TABLE_TEXT },
	{ "CONNECTIONS", "connections", TABLE_TEXT },
	{ "FAILED", "failed_connections", TABLE_TEXT },
	{ "REUSED", "reuse_ratio", TABLE_PERCENT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column cache_columns[] = {
	{ "enabled", "enabled", TABLE_TEXT },
	{ "entries", "entries", TABLE_TEXT },
	{ "bytes", "bytes", TABLE_TEXT },
	{ "size", "size_bytes", TABLE_TEXT },
	{ "hits", "hits", TABLE_TEXT },
	{ "stale hits", "stale_hits", TABLE_TEXT },
	{ "misses", "misses", TABLE_TEXT },
	{ "evicted", "evicted", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column line_columns[] = {
	{ "TIME", "time", TABLE_TEXT },
	{ "LEVEL", "level", TABLE_TEXT },
	{ "LINE", "text", TABLE_PLAIN },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column rawlog_columns[] = {
	{ "PATTERN", "pattern", TABLE_TEXT },
	{ "DIRECTORY", "dir", TABLE_TEXT },
	{ "LEFT", "left_seconds", TABLE_SECONDS },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column backend_columns[] = {
	{ "SERVER", "ip", TABLE_TEXT },
	{ "NAME", "name", TABLE_TEXT },
	{ "TAG", "tag", TABLE_TEXT },
	{ "ADMIN", "admin", TABLE_TEXT },
	{ "HEALTH", "health", TABLE_TEXT },
	{ "WEIGHT", "weight", TABLE_TEXT },
	{ "USERS", "users", TABLE_TEXT },
	{ "DELIVERIES", "deliveries", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column user_columns[] = {
	{ "user", "user", TABLE_TEXT },
	{ "current", "current", TABLE_TEXT },
	{ "deliveries", "deliveries", TABLE_TEXT },
	{ "expires in", "expires_seconds", TABLE_SECONDS },
	{ "hashed", "hashed", TABLE_TEXT },
	{ "moved to", "moved", TABLE_TEXT },
	{ "moved by", "moved_by", TABLE_TEXT },
	{ "moved for", "moved_seconds", TABLE_SECONDS },
	{ "next", "goes", TABLE_TEXT },
	{ "why", "why", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column map_columns[] = {
	{ "USER", "key", TABLE_TEXT },
	{ "SERVER", "ip", TABLE_TEXT },
	{ "DELIVERIES", "deliveries", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column file_columns[] = {
	{ "USER", "user", TABLE_TEXT },
	{ "SERVER", "ip", TABLE_TEXT },
	{ "NEXT", "next", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column plan_columns[] = {
	{ "FROM", "from", TABLE_TEXT },
	{ "TO", "to", TABLE_TEXT },
	{ "SHARE", "share", TABLE_PERCENT },
	{ "USERS", "users", TABLE_TEXT },
	{ "PINNED", "pinned", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

static const struct table_column plan_sums[] = {
	{ "share", "moved_share", TABLE_PERCENT },
	{ "users", "moved_users", TABLE_TEXT },
	{ "pinned", "moved_pinned", TABLE_TEXT },
	{ "pinned who stay", "kept_pinned", TABLE_TEXT },
	{ NULL, NULL, TABLE_TEXT },
};

const struct command commands[] = {
	{ .words = "status", .method = "GET", .path = "/v1/status",
	  .columns = status_columns, .help = "how it is" },
	{ .words = "health", .method = "GET", .path = "/healthz",
	  .is_text = true, .help = "whether all threads answer" },
	{ .words = "ready", .method = "GET", .path = "/readyz",
	  .is_text = true, .help = "whether it is ready for mail" },
	{ .words = "stats", .path = "/v1/stats", .is_live = true,
	  .params = { { "count", "SECONDS", false, NULL } },
	  .help = "what happens, each second" },
	{ .words = "who", .method = "GET", .path = "/v1/sessions",
	  .params = { { "pattern", "PATTERN", false, NULL },
		      { "limit", "LIMIT", false, NULL } },
	  .list = "sessions", .columns = session_columns,
	  .help = "sessions of clients" },
	{ .words = "kick", .method = "POST", .path = "/v1/sessions/kick",
	  .params = { { "pattern", "PATTERN", true, NULL } },
	  .done = "sessions kicked: %", .help = "send clients away" },
	{ .words = "pool", .method = "GET", .path = "/v1/pool",
	  .list = "backends", .columns = pool_columns,
	  .help = "connections to backends" },
	{ .words = "auth lookup", .method = "GET", .path = "/v1/auth/lookup",
	  .params = { { "user", "USER [KEY=VALUE ...]", true, NULL } }, .rest = "x",
	  .is_report = true, .help = "where a recipient goes, and why" },
	{ .words = "auth cache status", .method = "GET",
	  .path = "/v1/auth/cache", .columns = cache_columns,
	  .help = "answers of passdbs that are kept" },
	{ .words = "auth cache flush", .method = "POST",
	  .path = "/v1/auth/cache/flush", .done = "cache flushed",
	  .help = "forget them" },
	{ .words = "director status", .method = "GET", .path = "/v1/director",
	  .list = "backends", .columns = backend_columns,
	  .help = "the servers that users are spread over" },
	{ .words = "director status", .method = "GET",
	  .path = "/v1/director/user",
	  .params = { { "user", "USER", true, NULL }, { "tag", "TAG", false, NULL } },
	  .columns = user_columns, .help = "where a user is, and why" },
	{ .words = "director map", .method = "GET", .path = "/v1/director/map",
	  .params = { { "host", "HOST", false, NULL } },
	  .list = "users", .columns = map_columns,
	  .help = "the users who are at a server now" },
	{ .words = "director map -f", .of_file = true,
	  .params = { { "file", "FILE", true, NULL }, { "host", "HOST", false, NULL } },
	  .list = "users", .columns = file_columns,
	  .help = "where the users of a file are" },
	{ .words = "director plan", .method = "GET",
	  .path = "/v1/director/plan",
	  .params = { { "change", "add|remove|update|up|drain|down", true, NULL },
		      { "host", "HOST", true, NULL },
		      { "weight", "WEIGHT", false, NULL } },
	  .list = "moves", .columns = plan_columns, .sums = plan_sums,
	  .help = "the users whom a change would move" },
	{ .words = "director add", .method = "POST",
	  .path = "/v1/director/add", .signs = true,
	  .params = { { "host", "HOST[*WEIGHT][@TAG]", true, NULL },
		      { "weight", "WEIGHT", false, NULL } },
	  .done = "server added",
	  .help = "take a server in" },
	{ .words = "director remove", .method = "POST",
	  .path = "/v1/director/remove", .signs = true,
	  .params = { { "host", "HOST", true, NULL } },
	  .done = "server removed",
	  .help = "take it out" },
	{ .words = "director update", .method = "POST",
	  .path = "/v1/director/update", .signs = true,
	  .params = { { "host", "HOST", true, NULL },
		      { "weight", "WEIGHT", true, NULL } },
	  .done = "weight set",
	  .help = "how many users it gets" },
	{ .words = "director up", .method = "POST",
	  .path = "/v1/director/up", .signs = true,
	  .params = { { "host", "HOST", true, NULL } },
	  .done = "server is up",
	  .help = "users may go there" },
	{ .words = "director drain", .method = "POST",
	  .path = "/v1/director/drain", .signs = true,
	  .params = { { "host", "HOST", true, NULL } },
	  .done = "server gets no new users",
	  .help = "no new users; the others leave as they go idle" },
	{ .words = "director down", .method = "POST",
	  .path = "/v1/director/down", .signs = true,
	  .params = { { "host", "HOST", true, NULL } },
	  .done = "server is down",
	  .help = "no more deliveries but those under way" },
	{ .words = "director flush", .method = "POST",
	  .path = "/v1/director/flush", .signs = true,
	  .params = { { "host", "HOST|all", true, NULL } },
	  .done = "users flushed",
	  .help = "its users go where the hash says" },
	{ .words = "director move", .method = "POST",
	  .path = "/v1/director/move", .signs = true,
	  .params = { { "user", "USER", true, NULL }, { "host", "HOST", true, NULL },
		      { "for", "TIME", false, "--for" },
		      { "tag", "TAG", false, NULL } },
	  .done = "user moved",
	  .help = "have a user at that server" },
	{ .words = "director kick", .method = "POST",
	  .path = "/v1/sessions/kick",
	  .params = { { "pattern", "USER", true, NULL } },
	  .done = "sessions kicked: %",
	  .help = "end the sessions with mail for a user" },
	{ .words = "director unmove", .method = "POST",
	  .path = "/v1/director/unmove",
	  .params = { { "user", "USER", true, NULL }, { "tag", "TAG", false, NULL } },
	  .done = "user goes where the hash says",
	  .help = "take that back" },
	{ .words = "director dump", .method = "GET",
	  .path = "/v1/director/dump", .is_text = true,
	  .help = "what was changed, as commands that would do the same" },
	{ .words = "director ring", .method = "GET",
	  .path = "/v1/director/ring", .columns = ring_columns,
	  .help = "how the cluster is, as this node sees it" },
	{ .words = "director ring status", .method = "GET",
	  .path = "/v1/director/ring", .list = "nodes",
	  .columns = node_columns, .help = "its nodes" },
	{ .words = "director ring remove", .method = "POST",
	  .path = "/v1/director/ring/remove",
	  .params = { { "node", "NODE", true, NULL } },
	  .done = "node is not waited for any more",
	  .help = "a node that is away will not come back" },
	{ .words = "director ring adopt", .method = "POST",
	  .path = "/v1/director/ring/adopt",
	  .done = "the servers of this node's configuration are the cluster's",
	  .help = "have all nodes use this node's configured servers" },
	{ .words = "drain", .method = "POST", .path = "/v1/drain",
	  .waits = true,
	  .done = "draining: % sessions left",
	  .help = "refuse new clients, and wait until all have left" },
	{ .words = "undrain", .method = "POST", .path = "/v1/undrain",
	  .done = "serving",
	  .help = "take clients again" },
	{ .words = "reload", .method = "POST", .path = "/v1/reload",
	  .done = "configuration reloaded",
	  .help = "read the configuration again" },
	{ .words = "stop", .method = "POST", .path = "/v1/stop",
	  .done = "stopping",
	  .help = "end, when the transactions have" },
	{ .words = "stop now", .method = "POST", .path = "/v1/stop?now=1",
	  .done = "stopping at once",
	  .help = "end" },
	{ .words = "log reopen", .method = "POST", .path = "/v1/log/reopen",
	  .done = "log files are opened again",
	  .help = "open log files again" },
	{ .words = "log errors", .method = "GET", .path = "/v1/log/errors",
	  .list = "lines", .columns = line_columns,
	  .help = "the last thousand errors and warnings" },
	{ .words = "log level", .method = "POST", .path = "/v1/log/level",
	  .params = { { "level", "debug|default", true, NULL } },
	  .done = "log level set",
	  .help = "debug: as mail_debug and auth_debug, at once" },
	{ .words = "rawlog list", .method = "GET", .path = "/v1/rawlog",
	  .list = "rawlogs", .columns = rawlog_columns,
	  .help = "whose rawlogs are written" },
	{ .words = "rawlog on", .method = "POST", .path = "/v1/rawlog/on",
	  .params = { { "pattern", "USER|PEER", true, NULL },
		      { "dir", "DIRECTORY", true, NULL },
		      { "seconds", "SECONDS", false, NULL } },
	  .done = "written from now on",
	  .help = "log all that is said" },
	{ .words = "rawlog off", .method = "POST", .path = "/v1/rawlog/off",
	  .params = { { "pattern", "USER|PEER", false, NULL } },
	  .done = "no more for new sessions",
	  .help = "for new sessions no more" },
	{ .words = "config", .method = "GET", .path = "/v1/config",
	  .params = { { "show", "changed|set|all|origins", false, NULL } },
	  .is_text = true, .help = "the configuration in force" },
	{ .words = NULL },
};

/* Whether that many words may follow the command's. */
static bool takes(const struct command *command, int count)
{
	int max = 0;

	while (max < COMMAND_PARAMS && command->params[max].name != NULL)
		max++;
	return count <= max || command->rest != NULL;
}

/* How many of argv's words are those of the command; 0: others. */
static int words_fit(const char *words, int argc, char **argv)
{
	int used = 0;

	while (used < argc) {
		size_t len = strlen(argv[used]);

		if (strncmp(words, argv[used], len) != 0)
			return 0;
		used++;
		if (words[len] == '\0')
			return used;
		if (words[len] != ' ')
			return 0;
		words += len + 1;
	}
	return 0;
}

const struct command *command_find(int argc, char **argv, int *used_r)
{
	const struct command *command, *best = NULL;
	int used;

	*used_r = 0;
	for (command = commands; command->words != NULL; command++) {
		used = words_fit(command->words, argc, argv);
		if (used > *used_r ||
		    (used > 0 && used == *used_r &&
		     !takes(best, argc - used))) {
			*used_r = used;
			best = command;
		}
	}
	return best;
}
