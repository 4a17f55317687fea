#include "t/unit/settings_helper.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* TLS of Dovecot's other services is not our business; nor is its key. */
Test(settings_dovecot, others_of_dovecot)
{
	struct settings *set = load(BASE PASSDB
		"userdb {\n driver = prefetch\n}\n"
		"namespace inbox {\n inbox = yes\n mailbox \"Sent x\" {\n"
		" auto = subscribe\n }\n}\n"
		"plugin {\n sieve = file:~/sieve\n quota_rule2 = a/b\n}\n"
		"dict {\n quota = mysql:/x\n}\n"
		"service imap-login {\n inet_listener imaps {\n ssl = yes\n"
		" haproxy = yes\n }\n fifo_listener x {\n }\n}\n"
		"service stats {\n unix_listener x/y {\n mode = 0660\n }\n"
		"}\n"
		"metric x {\n filter = event=foo\n}\n"
		"event_exporter log {\n format = json\n}\n"
		"protocol imap {\n mail_plugins = imap_quota\n"
		" ssl = required\n ssl_cert = </nope\n ssl_key = </nope\n}\n");

	settings_unref(&set);
}

static void copy_tree(const char *from, const char *to)
{
	char *command[] = { "cp", "-r", (char *)from, (char *)to, NULL };
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(command[0], command);
		_exit(127);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "cannot copy %s: the package dovecot-core is "
		     "needed here", from);
}

/* Replaces the line in a file. */
static void edit(struct files *files, const char *name, const char *line,
		 const char *by)
{
	struct str text = STR_INIT, edited = STR_INIT;
	const char *at;

	files_read(files_path(files, name), &text);
	at = strstr(str_c(&text), line);
	cr_assert_not_null(at, "%s", name);
	str_append(&edited, text.data, (size_t)(at - text.data));
	str_puts(&edited, by);
	str_puts(&edited, at + strlen(line));
	files_write(files, name, str_c(&edited));
	str_free(&text);
	str_free(&edited);
}

/* Debian's own example tree of Dovecot 2.3, with one line uncommented and a
 * passdb added. */
Test(settings_dovecot, debian_tree_of_dovecot)
{
	struct conf_errors errors = { .errors = 0 };
	struct settings *set;
	struct files files;
	struct conf_tree *tree;

	files_init(&files);
	copy_tree("/usr/share/dovecot/dovecot.conf", files.dir);
	copy_tree("/usr/share/dovecot/conf.d", files.dir);
	edit(&files, "conf.d/20-lmtp.conf", "#lmtp_proxy = no",
	     "lmtp_proxy = yes");
	/* These only root may read. */
	edit(&files, "conf.d/10-ssl.conf", "</etc/dovecot/private/dovecot.pem",
	     "<../c");
	edit(&files, "conf.d/10-ssl.conf", "</etc/dovecot/private/dovecot.key",
	     "<../k");
	files_write(&files, "c", CERT);
	files_write(&files, "k", KEY);
	files_write(&files, "local.conf",
		    "passdb {\n driver = static\n"
		    " args = proxy=y host=127.0.0.1 nopassword=y\n}\n");
	tree = settings_read(files_path(&files, "dovecot.conf"), &errors);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	set = settings_new(tree, &errors);
	cr_assert(set != NULL, "%s", str_c(&errors.text));
	cr_expect_eq(errors.warnings, 1, "%s", str_c(&errors.text));
	cr_expect(strstr(str_c(&errors.text), "passdb driver pam") != NULL);
	cr_expect(set->lmtp_enabled && set->lmtp.lmtp_proxy);
	cr_assert_eq(set->passdb.count, 2);
	cr_expect_str_eq(set->passdb.blocks[0].driver, "pam");
	cr_expect_str_eq(set->passdb.blocks[1].driver, "static");
	cr_expect_str_eq(set->service.unix_listeners[0].path, "lmtp");
	cr_expect_str_eq(set->lmtp.tls.ssl_key, KEY);
	cr_expect_str_eq(set->lmtp.tls.ssl_client_ca_dir, "/etc/ssl/certs");
	settings_unref(&set);
	files_done(&files);
	conf_errors_free(&errors);
}

/* Whatever the installed Dovecot knows is accepted: its own list of defaults
 * loads. */
Test(settings_dovecot, every_setting_of_dovecot)
{
	struct conf_errors errors = { .errors = 0 };
	struct conf_tree *tree;
	struct files files;
	struct settings *set;
	struct str text = STR_INIT;
	FILE *pipe = popen("doveconf -d -x 2>/dev/null", "r");
	size_t got;

	cr_assert_not_null(pipe);
	do {
		got = fread(str_reserve(&text, 4096), 1, 4096, pipe);
		str_grown(&text, got);
	} while (got > 0);
	cr_assert_eq(pclose(pipe), 0, "doveconf of dovecot-core is needed");
	str_puts(&text, "\n" BASE PASSDB);
	files_init(&files);
	tree = settings_read(files_write(&files, "f", str_c(&text)), &errors);
	cr_assert(tree != NULL, "%s", str_c(&errors.text));
	set = settings_new(tree, &errors);
	cr_assert(set != NULL, "%s", str_c(&errors.text));
	settings_unref(&set);
	files_done(&files);
	str_free(&text);
	conf_errors_free(&errors);
}

#define HERE "userdb {\n driver = static\n args = uid=1000 gid=1000 home=/h\n}\n"

#define SPACE(lines) BASE PASSDB HERE "mail_location = maildir:~/M\n" \
	"namespace {\n inbox = yes\n" lines "}\n"

static void expect_prefixes(void)
{
	struct settings *set;

	expect_errors(SPACE(" prefix = inbox/\n separator = /\n"), 1,
		      "namespace { prefix } has to have INBOX in capital "
		      "letters, unlike \"inbox/\"");
	expect_errors(SPACE(" prefix = InBox.\n"), 1, "capital letters");
	expect_errors(SPACE(" prefix = inbox/x/\n separator = /\n"), 1,
		      "capital letters");
	expect_errors(SPACE(" prefix = INBOX.\n separator = /\n"), 1,
		      "namespace { prefix } has to end with the separator, "
		      "unlike \"INBOX.\"");
	expect_errors(SPACE(" prefix = mail\n"), 1, "end with the separator");
	set = load(SPACE(" prefix = INBOX/\n"));
	settings_unref(&set);
	set = load(SPACE(" prefix = inboxes/\n separator = /\n")
		   "namespace old {\n prefix = inbox/\n}\n");
	settings_unref(&set);
}

/* Of several, the one of INBOX counts; and may be all that says where mail is. */
Test(settings_dovecot, the_namespace_of_inbox)
{
	struct settings *set = load(BASE PASSDB HERE
		"namespace {\n prefix = Old/\n location = mbox:/old\n}\n"
		"namespace inbox {\n inbox = yes\n separator = /\n"
		" prefix = INBOX/\n location = maildir:~/M\n}\n"
		"namespace more {\n separator = //\n}\n");
	struct local_policy policy;

	cr_expect(set->local.enabled);
	cr_expect_str_eq(set->local.inbox.location, "maildir:~/M");
	settings_local_policy(set, true, &policy);
	cr_expect_eq(policy.maildir.naming.separator, '/');
	cr_expect_str_eq(policy.maildir.naming.prefix, "INBOX/");
	settings_unref(&set);
	expect_errors(BASE PASSDB HERE "mail_location = maildir:~/M\n"
		      "namespace inbox {\n inbox = yes\n separator = //\n}\n", 1,
		      "namespace { separator } has to be one character, not "
		      "\"//\"");
	expect_prefixes();
	/* Where nothing is delivered, it is none of our business. */
	set = load(BASE PASSDB
		   "namespace inbox {\n inbox = yes\n separator = //\n}\n");
	cr_expect_not(set->local.enabled);
	settings_unref(&set);
}
