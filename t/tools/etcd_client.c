/* Says on stdout what lib/etcd/mirror.h and lib/etcd/lease.h tell, and does what
 * lines on stdin want:
 *
 *	etcd_client [-u user] [-a ca.pem] [-c cert.pem -k key.pem]
 *		[-t timeout_ms] prefix url...
 *
 * The password is in ETCD_PASSWORD. It ends with its input. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/etcd/lease.h"
#include "lib/etcd/lines.h"
#include "lib/etcd/mirror.h"
#include "lib/file.h"
#include "lib/log/log.h"

#define MAX_FILE 65536
#define MAX_URLS 8

struct client {
	struct loop *loop;
	struct dns *dns;
	struct arena *arena;
	struct etcd_settings settings;
	struct http_url urls[MAX_URLS];
	const struct http_url *url_list[MAX_URLS];
	struct etcd *etcd;
	struct etcd_mirror *mirror;
	struct etcd_lease *lease;
	int64_t lease_id;
	struct loop_io input;
	struct etcd_lines lines;
};

/* --- what is told --- */

static void say(const char *what, const char *data, size_t len)
{
	struct str text = STR_INIT;

	str_put_escaped(&text, data, len);
	printf("%s %s\n", what, str_c(&text));
	str_free(&text);
}

static void begins(void *arg)
{
	(void)arg;
	puts("begins");
}

static void put(void *arg, const struct etcd_kv *kv)
{
	struct str text = STR_INIT;

	(void)arg;
	str_append(&text, kv->key.data, kv->key.len);
	str_putc(&text, '=');
	str_append(&text, kv->value.data, kv->value.len);
	say("put", str_c(&text), text.len);
	str_free(&text);
}

static void gone(void *arg, struct etcd_bytes key, int64_t revision)
{
	(void)arg;
	(void)revision;
	say("gone", key.data, key.len);
}

static void settled(void *arg, int64_t revision)
{
	(void)arg;
	printf("settled %lld\n", (long long)revision);
}

static void lost(void *arg, const char *why)
{
	(void)arg;
	say("lost", why, strlen(why));
}

static void granted(void *arg, int64_t id)
{
	((struct client *)arg)->lease_id = id;
	puts("granted");
}

static void lease_lost(void *arg, const char *why)
{
	(void)arg;
	say("lease-lost", why, strlen(why));
}

static void revoked(void *arg)
{
	etcd_lease_free(&((struct client *)arg)->lease);
	puts("revoked");
}

static void txn_done(void *arg, const struct etcd_txn_answer *answer,
		     const char *error)
{
	(void)arg;
	if (answer == NULL)
		say("error", error, strlen(error));
	else
		puts(answer->succeeded ? "done" : "not-done");
}

/* --- what is wanted --- */

/* Only where there is no such key yet. */
static void create(struct client *client, char *words, int64_t lease)
{
	const char *key = strsep(&words, " ");
	const struct etcd_bytes name = { key, strlen(key) };
	const struct etcd_compare compare = {
		.target = ETCD_COMPARE_VERSION, .key = name,
	};
	const struct etcd_op op = {
		.key = name, .lease = lease,
		.value = { words != NULL ? words : "",
			   words != NULL ? strlen(words) : 0 },
	};
	const struct etcd_txn txn = { &compare, 1, &op, 1 };

	etcd_txn(client->etcd, &txn, txn_done, client);
}

static void command(struct client *client, char *words)
{
	static const struct etcd_lease_events events = { granted, lease_lost };
	const char *verb = strsep(&words, " ");

	if (strcmp(verb, "member") == 0)
		printf("member %s\n", etcd_member(client->etcd));
	else if (words != NULL && strcmp(verb, "create") == 0)
		create(client, words, 0);
	else if (words != NULL && strcmp(verb, "create-leased") == 0)
		create(client, words, client->lease_id);
	else if (words != NULL && strcmp(verb, "lease") == 0)
		client->lease = etcd_lease_new(client->etcd,
					       (unsigned)atoi(words), &events,
					       client);
	else if (strcmp(verb, "revoke") == 0)
		etcd_lease_revoke(client->lease, revoked);
	else
		errx(1, "no such command: %s", verb);
}

static void input_event(struct loop_io *io, unsigned events)
{
	struct client *client = container_of(io, struct client, input);
	char data[4096], *text;
	ssize_t got = read(io->fd, data, sizeof(data));
	const char *line;
	size_t len;

	(void)events;
	if (got <= 0) {
		loop_stop(client->loop);
		return;
	}
	etcd_lines_add(&client->lines, data, (size_t)got);
	while (etcd_lines_next(&client->lines, &line, &len) > 0) {
		text = mem_strndup(line, len);
		command(client, text);
		mem_free(&text);
	}
}

/* --- the program --- */

static const char *read_file(struct client *client, const char *path)
{
	struct str text = STR_INIT;
	struct err err = { "not found" };
	const char *copy;

	if (file_read(path, MAX_FILE, &text, &err) <= 0)
		errx(1, "%s: %s", path, err.text);
	copy = arena_strdup(client->arena, str_c(&text));
	str_free(&text);
	return copy;
}

static void read_options(struct client *client, int argc, char **argv)
{
	struct etcd_settings *settings = &client->settings;
	struct err err;
	int option;

	while ((option = getopt(argc, argv, "u:a:c:k:t:")) != -1) {
		if (option == 'u')
			settings->user = optarg;
		else if (option == 'a')
			settings->trust = tls_trust_new(
				read_file(client, optarg), NULL, &err);
		else if (option == 'c')
			settings->cert = read_file(client, optarg);
		else if (option == 'k')
			settings->key = read_file(client, optarg);
		else if (option == 't')
			settings->timeout_ms = (unsigned)atoi(optarg);
		else
			exit(1);
	}
	settings->password = getenv("ETCD_PASSWORD");
}

static void read_urls(struct client *client, char **argv)
{
	struct etcd_settings *settings = &client->settings;
	struct err err;

	for (; *argv != NULL && settings->url_count < MAX_URLS; argv++) {
		struct http_url *url = &client->urls[settings->url_count];

		if (http_url_parse(url, client->arena, *argv, &err) < 0)
			errx(1, "%s", err.text);
		client->url_list[settings->url_count++] = url;
	}
	settings->urls = client->url_list;
	if (settings->url_count == 0)
		errx(1, "no URL");
}

static void run(struct client *client, const char *prefix)
{
	static const struct etcd_mirror_events events = {
		begins, put, gone, settled, lost,
	};
	struct err err;

	client->dns = dns_new(client->loop, NULL, 1000, &err);
	if (client->dns == NULL)
		errx(1, "%s", err.text);
	loop_set_pass_hook(client->loop, log_flush_lazily);
	client->etcd = etcd_new(client->loop, client->dns, &client->settings);
	client->mirror = etcd_mirror_new(client->etcd, prefix, &events, client);
	etcd_lines_init(&client->lines, MAX_FILE);
	loop_io_open(&client->input, client->loop, STDIN_FILENO, input_event);
	loop_io_want(&client->input, LOOP_READ);
	loop_run(client->loop);
	loop_io_close(&client->input);
	etcd_lines_free(&client->lines);
	etcd_lease_free(&client->lease);
	etcd_mirror_free(&client->mirror);
	etcd_free(&client->etcd);
	dns_free(&client->dns);
}

int main(int argc, char **argv)
{
	struct client client = {
		.settings = { .verify = true, .timeout_ms = 5000 },
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	client.loop = loop_new();
	client.arena = arena_new(4096);
	read_options(&client, argc, argv);
	if (optind == argc)
		errx(1, "no prefix");
	read_urls(&client, argv + optind + 1);
	run(&client, argv[optind]);
	tls_trust_free(&client.settings.trust);
	loop_free(&client.loop);
	arena_free(&client.arena);
	return 0;
}
