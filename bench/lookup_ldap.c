/* What an LDAP server can give: a client that does nothing but search, by
 * libldap and its own sockets, with many searches under way.
 *
 *	lookup_ldap [-n in flight] [-c connections] [-w count] url dn password
 *		base count users
 *
 * searches for the users of bench/lookup.c with the filter and the attributes
 * of bench/lookups; each has to be found once. Prints seconds and CPU
 * seconds. */
#include <ldap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64

struct client {
	const char *base;
	LDAP *connections[MAX_CONNECTIONS];
	struct pollfd fds[MAX_CONNECTIONS];
	unsigned count;
	unsigned users, next;
	unsigned long left, under_way, entries;
};

static void die(const char *what)
{
	fprintf(stderr, "lookup_ldap: %s\n", what);
	exit(1);
}

static void check(int code)
{
	if (code != LDAP_SUCCESS)
		die(ldap_err2string(code));
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void dial(struct client *client, const char *url, const char *dn,
		 const char *password)
{
	struct berval cred = { strlen(password), (char *)password };
	LDAP **ld = &client->connections[client->count];
	int version = LDAP_VERSION3, fd;

	check(ldap_initialize(ld, url));
	ldap_set_option(*ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	check(ldap_sasl_bind_s(*ld, dn, LDAP_SASL_SIMPLE, &cred, NULL, NULL,
			       NULL));
	ldap_get_option(*ld, LDAP_OPT_DESC, &fd);
	client->fds[client->count++] =
		(struct pollfd){ .fd = fd, .events = POLLIN };
}

static void ask(struct client *client, LDAP *ld)
{
	static char *attributes[] = { "mailHost", NULL };
	char filter[128];
	int id;

	client->left--;
	client->under_way++;
	snprintf(filter, sizeof(filter), "(&(objectClass=inetLocalMailRecipient)"
		 "(mailLocalAddress=%08uuser@example.org))", client->next + 1);
	client->next = (client->next + 1) % client->users;
	check(ldap_search_ext(ld, client->base, LDAP_SCOPE_SUBTREE, filter,
			      attributes, 0, NULL, NULL, NULL, 2, &id));
}

/* Takes all that has come, and asks as much again. */
static void take(struct client *client, LDAP *ld)
{
	struct timeval now = { 0, 0 };
	LDAPMessage *message;
	int type, code;

	while ((type = ldap_result(ld, LDAP_RES_ANY, LDAP_MSG_ONE, &now,
				   &message)) > 0) {
		if (type == LDAP_RES_SEARCH_ENTRY) {
			client->entries++;
		} else if (type == LDAP_RES_SEARCH_RESULT) {
			check(ldap_parse_result(ld, message, &code, NULL, NULL,
						NULL, NULL, 0));
			check(code);
			client->under_way--;
			if (client->left > 0)
				ask(client, ld);
		}
		ldap_msgfree(message);
	}
	if (type < 0)
		die("the connection is lost");
}

static void run(struct client *client, unsigned in_flight, unsigned long count)
{
	unsigned i;

	client->left = count;
	client->entries = 0;
	for (i = 0; i < in_flight && client->left > 0; i++)
		ask(client, client->connections[i % client->count]);
	while (client->under_way > 0) {
		if (poll(client->fds, client->count, 10000) <= 0)
			die("no answer");
		for (i = 0; i < client->count; i++) {
			if (client->fds[i].revents != 0)
				take(client, client->connections[i]);
		}
	}
	if (client->entries != count)
		die("a user was not found");
}

static int usage(void)
{
	fputs("usage: lookup_ldap [-n in flight] [-c connections] [-w count] "
	      "url dn password base count users\n", stderr);
	return 64;
}

int main(int argc, char **argv)
{
	unsigned in_flight = 1, connections = 1;
	struct client client = { .count = 0 };
	unsigned long warm_up = 0, count;
	double start, cpu;
	int c;

	while ((c = getopt(argc, argv, "n:c:w:")) != -1) {
		if (c == 'n')
			in_flight = (unsigned)atoi(optarg);
		else if (c == 'c')
			connections = (unsigned)atoi(optarg);
		else if (c == 'w')
			warm_up = strtoul(optarg, NULL, 10);
		else
			return usage();
	}
	argv += optind;
	if (argc - optind != 6 || in_flight == 0 || connections == 0 ||
	    connections > MAX_CONNECTIONS ||
	    (count = strtoul(argv[4], NULL, 10)) == 0 ||
	    (client.users = (unsigned)atoi(argv[5])) == 0)
		return usage();
	client.base = argv[3];
	while (client.count < connections)
		dial(&client, argv[0], argv[1], argv[2]);
	if (warm_up > 0)
		run(&client, in_flight, warm_up);
	start = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	run(&client, in_flight, count);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%.6f %.6f\n", seconds(CLOCK_MONOTONIC) - start, cpu);
	while (client.count > 0)
		ldap_unbind_ext(client.connections[--client.count], NULL, NULL);
	return 0;
}
