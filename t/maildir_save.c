/* Saves the file that is its standard input into a Maildir or mbox, for end-to-end
 * tests:
 *
 *   maildir_save [-ansl] [-S SEPARATOR] [-c COUNT] LOCATION HOME MAILBOX
 *
 * -a autocreate, -s autosubscribe, -n no fsync, -l all after the first are links.
 * Prints "STATUS ERRNO TEXT" for each; ends with 0 when all were saved. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backends/local/mail/head.h"
#include "backends/local/mail/save.h"

static struct maildir_settings settings = { .fsync = true, .hostname = "mx" };
static bool with_links;
static long count = 1;

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "anslS:c:")) != -1) {
		settings.autocreate |= option == 'a';
		settings.autosubscribe |= option == 's';
		settings.fsync &= option != 'n';
		with_links |= option == 'l';
		if (option == 'S')
			settings.naming.separator = optarg[0];
		if (option == 'c')
			count = strtol(optarg, NULL, 10);
		if (option == '?')
			exit(2);
	}
	if (argc - optind != 3) {
		fprintf(stderr, "usage: maildir_save LOCATION HOME MAILBOX\n");
		exit(2);
	}
}

static int save_all(const struct mail_location *location, const char *mailbox,
		    const struct local_mail *mail)
{
	struct local_mail next = *mail;
	char copy[sizeof(((struct local_result *)NULL)->path)] = "";
	struct local_result result;
	int status = 0;

	next.copy = copy;
	for (; count > 0; count--) {
		if (mail_save(location, mailbox, &settings, &next, &result) < 0)
			status = 1;
		else if (with_links)
			memcpy(copy, result.path, sizeof(copy));
		printf("%d %d %s\n", (int)result.status, result.error,
		       result.text);
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct mail_head lines = { "sender@example.net", NULL, NULL };
	struct local_mail mail = { .fd = STDIN_FILENO };
	struct mail_location location;
	struct str head = STR_INIT;
	struct stat st;
	struct err err;
	int status;

	read_options(argc, argv);
	if (mail_location_parse(&location, argv[optind], argv[optind + 1], &err) <
		    0 || fstat(STDIN_FILENO, &st) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	mail_head_write(&head, &lines);
	mail.head = str_c(&head);
	mail.head_len = head.len;
	mail.size = (uint64_t)st.st_size;
	clock_gettime(CLOCK_REALTIME, &mail.received);
	status = save_all(&location, argv[optind + 2], &mail);
	str_free(&head);
	mail_location_free(&location);
	return status;
}
