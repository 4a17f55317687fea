#include "proxy/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/hosts.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "passdb/userdb/ids.h"
#include "proxy/settings/check.h"

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

/* --- addresses --- */

static int add_address(const struct addr *addr, struct addr *addrs,
		       unsigned max, unsigned *count, struct err *err)
{
	if (*count == max)
		return err_set(err, "more than %u addresses", max);
	addrs[(*count)++] = *addr;
	return 0;
}

/* Names only from the hosts file: the supervisor does not speak with the
 * network. */
static int add_host(const char *name, uint16_t port, struct addr *addrs,
		    unsigned max, unsigned *count, struct err *err)
{
	struct addr found[8];
	unsigned i, n = 1;

	if (addr_parse_ip(&found[0], name, 0) < 0)
		n = hosts_addresses(HOSTS_FILE, name, found, 8);
	if (n == 0)
		return err_set(err, "'%s' is no address, and no name in "
			       HOSTS_FILE, name);
	for (i = 0; i < n; i++) {
		addr_set_port(&found[i], port);
		if (add_address(&found[i], addrs, max, count, err) < 0)
			return -1;
	}
	return 0;
}

static int add_name(const char *name, uint16_t port, struct addr *addrs,
		    unsigned max, unsigned *count, struct err *err)
{
	struct addr addr;

	if (strcmp(name, "*") == 0)
		name = "0.0.0.0";
	if (addr_parse_ip(&addr, name, port) == 0)
		return add_address(&addr, addrs, max, count, err);
	return add_host(name, port, addrs, max, count, err);
}

int listener_addresses(const char *text, uint16_t port, struct addr *addrs,
		       unsigned max, unsigned *count, struct err *err)
{
	char *copy = mem_strdup(text), *rest = copy, *name;
	int status = 0;

	while (status == 0 && (name = strsep(&rest, " \t,")) != NULL) {
		if (name[0] != '\0')
			status = add_name(name, port, addrs, max, count, err);
	}
	mem_free(&copy);
	return status;
}

/* --- sets --- */

static struct listener *find(const struct listener_set *set,
			     const struct addr *addr)
{
	unsigned i;

	for (i = 0; set != NULL && i < set->count; i++) {
		if (addr_equal(&set->items[i]->addr, addr))
			return set->items[i];
	}
	return NULL;
}

static int add_listener(struct listener_set *set, struct listener *listener,
			struct err *err)
{
	if (set->count == LISTENER_MAX)
		return err_set(err, "more than %d sockets", LISTENER_MAX);
	listener->refs++;
	set->items[set->count++] = listener;
	return 0;
}

/* Takes over fd. */
static int add_socket(struct listener_set *set, int fd, const struct addr *addr,
		      unsigned flags, struct err *err)
{
	struct listener *listener;

	if (listen(fd, SOMAXCONN) < 0) {
		err_put(err, "listen: %s", strerror(errno));
		close(fd);
		return -1;
	}
	listener = mem_new(struct listener);
	listener->fd = fd;
	listener->addr = *addr;
	listener->flags = flags;
	if (add_listener(set, listener, err) < 0) {
		close(fd);
		mem_free(&listener);
		return -1;
	}
	return 0;
}

/* Whether the path still leads to a UNIX socket of ours. */
static bool has_file(const struct listener *listener)
{
	struct stat st;

	return listener->ino != 0 &&
	       lstat(listener->addr.un.sun_path, &st) == 0 &&
	       st.st_dev == listener->dev && st.st_ino == listener->ino;
}

static void note_file(struct listener *listener)
{
	struct stat st;

	if (lstat(listener->addr.un.sun_path, &st) < 0)
		return;
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
}

/* Whose the file is. */
static struct listener *origin_of(struct listener *listener)
{
	return listener->origin != NULL ? listener->origin : listener;
}

static void unref(struct listener **listener_p, bool remove_file)
{
	struct listener *listener = *listener_p;

	*listener_p = NULL;
	if (--listener->refs > 0)
		return;
	if (listener->origin != NULL)
		unref(&listener->origin, remove_file);
	else if (remove_file && !listener->foreign && has_file(listener))
		unlink(listener->addr.un.sun_path);
	close(listener->fd);
	mem_free(&listener);
}

static void set_free(struct listener_set **set, bool remove_files)
{
	unsigned i;

	if (*set == NULL)
		return;
	for (i = 0; i < (*set)->count; i++)
		unref(&(*set)->items[i], remove_files);
	mem_free(set);
}

void listener_set_close(struct listener_set **set)
{
	set_free(set, true);
}

void listener_set_forget(struct listener_set **set)
{
	set_free(set, false);
}

bool listener_set_has(const struct listener_set *set,
		      const struct listener *listener)
{
	unsigned i;

	for (i = 0; i < set->count; i++) {
		if (set->items[i] == listener)
			return true;
	}
	return false;
}

/* --- inet --- */

static void set_option(int fd, int level, int option)
{
	const int on = 1;

	setsockopt(fd, level, option, &on, sizeof(on));
}

static int open_inet(const struct addr *addr, bool reuse_port, int *fd_r)
{
	int fd = socket(addr->sa.sa_family, SOCKET_FLAGS, 0);

	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR);
	/* Accepted sockets inherit it, which saves a call for each. */
	set_option(fd, IPPROTO_TCP, TCP_NODELAY);
	if (reuse_port)
		set_option(fd, SOL_SOCKET, SO_REUSEPORT);
	/* So that "*" and "::" stand side by side. */
	if (addr->sa.sa_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (bind(fd, &addr->sa, addr->len) < 0) {
		close(fd);
		return -1;
	}
	*fd_r = fd;
	return 0;
}

static bool is_any_ipv6(const struct addr *addr)
{
	return addr->sa.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
}

static unsigned inet_flags(const struct inet_listener_settings *inet)
{
	return (inet->ssl ? LISTENER_TLS : 0) |
	       (inet->haproxy ? LISTENER_HAPROXY : 0) |
	       (inet->control ? LISTENER_CONTROL : 0) |
	       (inet->socketmap ? LISTENER_SOCKETMAP : 0);
}

static int add_inet_addr(struct listener_set *set, const struct addr *addr,
			 const struct inet_listener_settings *inet,
			 struct err *err)
{
	struct str text = STR_INIT;
	int fd;

	if (open_inet(addr, inet->reuse_port, &fd) == 0)
		return add_socket(set, fd, addr, inet_flags(inet), err);
	/* The default, "*, ::", also has to work without IPv6. */
	if (is_any_ipv6(addr) &&
	    (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		log_warning(NULL, "not listening on [::]:%u: this machine has "
			    "no IPv6", addr_port(addr));
		return 0;
	}
	addr_write(&text, addr);
	err_put(err, "cannot listen on %s: %s", str_c(&text), strerror(errno));
	str_free(&text);
	return -1;
}

/* The worker process knows a listener by its descriptor. */
static int add_again(struct listener_set *set, const struct listener *kept,
		     unsigned flags, struct err *err)
{
	int fd = fcntl(kept->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return err_set(err, "dup: %s", strerror(errno));
	return add_socket(set, fd, &kept->addr, flags, err);
}

static int refuse_twice(const struct addr *addr, struct err *err)
{
	struct str text = STR_INIT;

	addr_write(&text, addr);
	err_put(err, "%s is there before, for another service or with other "
		"values of ssl or haproxy", str_c(&text));
	str_free(&text);
	return -1;
}

static int add_addr(struct listener_set *set, const struct listener_set *old,
		    const struct addr *addr,
		    const struct inet_listener_settings *inet, struct err *err)
{
	struct listener *kept = find(old, addr), *twice = find(set, addr);

	if (twice != NULL && twice->flags != inet_flags(inet))
		return refuse_twice(addr, err);
	if (twice != NULL)
		return 0;
	if (kept != NULL && kept->flags != inet_flags(inet))
		return add_again(set, kept, inet_flags(inet), err);
	if (kept != NULL)
		return add_listener(set, kept, err);
	return add_inet_addr(set, addr, inet, err);
}

/* Whatever addrs has room for: LISTENER_MAX. */
static int inet_addresses(const struct inet_listener_settings *inet,
			  const char *listen_on, struct addr *addrs,
			  unsigned *count, struct err *err)
{
	if (inet->address[0] != '\0')
		listen_on = inet->address;
	if (inet->port > UINT16_MAX)
		return err_set(err, "port %u: too large", inet->port);
	return listener_addresses(listen_on, (uint16_t)inet->port, addrs,
				  LISTENER_MAX, count, err);
}

static int add_inet(struct listener_set *set, const struct listener_set *old,
		    const struct inet_listener_settings *inet,
		    const char *listen_on, struct err *err)
{
	struct addr addrs[LISTENER_MAX];
	unsigned i, count = 0;

	if (inet_addresses(inet, listen_on, addrs, &count, err) < 0)
		return -1;
	for (i = 0; i < count; i++) {
		if (add_addr(set, old, &addrs[i], inet, err) < 0)
			return -1;
	}
	return 0;
}

/* --- UNIX --- */

/* A name or a number; "" leaves it as it is. */
static int find_owner(enum nss_what what, const char *name, uint32_t *id_r,
		      struct err *err)
{
	return name[0] == '\0' ? 0 : userdb_id_find(what, name, id_r, err);
}

/* -1 stands for any. A directory that nobody here may write to has sockets, too, that
 * systemd has made as they are to be. */
static bool has_permissions(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & 07777) == mode &&
	       (uid == (uid_t)-1 || st.st_uid == uid) &&
	       (gid == (gid_t)-1 || st.st_gid == gid);
}

/* Of errno; if_read_only is said where a service of systemd's may not write. */
static int fail_at(const char *what, const char *path, const char *if_read_only,
		   struct err *err)
{
	int reason = errno;

	return err_set(err, "%s %s: %s%s", what, path, strerror(reason),
		       reason == EROFS ? if_read_only : "");
}

#define FOR_SYSTEMD ": the service may not write there; have systemd open it, in a " \
	"unit of its own (systemd.socket): see UNDER SYSTEMD in waypost(8)"
#define AS_SYSTEMD ": user, group and mode have to be what SocketUser, SocketGroup " \
	"and SocketMode say in the unit that opens it (systemd.socket)"

/* Who is not named does not keep a socket that another configuration gave him;
 * whose sockets are inherited, decides that where they come from. */
static int set_permissions(const char *path, bool foreign,
			   const struct unix_listener_settings *unix_settings,
			   struct err *err)
{
	uid_t uid = foreign ? (uid_t)-1 : geteuid();
	gid_t gid = foreign ? (gid_t)-1 : getegid();

	if (find_owner(NSS_USER, unix_settings->user, &uid, err) < 0 ||
	    find_owner(NSS_GROUP, unix_settings->group, &gid, err) < 0)
		return -1;
	if (has_permissions(path, uid, gid, unix_settings->mode))
		return 0;
	if (chown(path, uid, gid) < 0) {
		if (errno != EPERM || geteuid() == 0)
			return fail_at("chown", path, AS_SYSTEMD, err);
		log_warning(NULL, "%s: user and group have no effect: not "
			    "started by root", path);
	}
	if (chmod(path, unix_settings->mode) < 0)
		return fail_at("chmod", path, AS_SYSTEMD, err);
	return 0;
}

/* Removes a socket that its process left behind; nobody's socket in use. */
static int clear_path(const struct addr *addr, struct err *err)
{
	const char *path = addr->un.sun_path;
	struct stat st;
	int fd, status, reason;

	if (lstat(path, &st) < 0)
		return 0; /* bind() knows better what is wrong */
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, "%s is in the way: not a socket", path);
	fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	status = connect(fd, &addr->sa, addr->len);
	reason = errno;
	close(fd);
	if (status == 0 || reason != ECONNREFUSED)
		return err_set(err, "%s is in use by another process", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return fail_at("unlink", path, FOR_SYSTEMD, err);
	return 0;
}

static int bind_unix(const struct addr *addr, int *fd_r, struct err *err)
{
	mode_t mask;
	int fd, status;

	if (clear_path(addr, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
	if (fd < 0)
		return err_set(err, "socket: %s", strerror(errno));
	/* Nobody gets in before the permissions are what they shall be. */
	mask = umask(0777);
	status = bind(fd, &addr->sa, addr->len);
	umask(mask);
	if (status < 0) {
		fail_at("cannot listen on", addr->un.sun_path, FOR_SYSTEMD, err);
		close(fd);
		return -1;
	}
	*fd_r = fd;
	return 0;
}

static int set_path(struct addr *addr, const char *path, struct err *err)
{
	if (addr_set_unix(addr, path) < 0)
		return err_set(err, "%s: longer than a socket's path may be",
			       path);
	return 0;
}

static int keep_unix(struct listener_set *set, struct listener *kept,
		     unsigned flags, struct err *err)
{
	struct listener *again, *origin = origin_of(kept);

	if (kept->flags == flags)
		return add_listener(set, kept, err);
	if (add_again(set, kept, flags, err) < 0)
		return -1;
	again = set->items[set->count - 1];
	again->dev = kept->dev;
	again->ino = kept->ino;
	again->foreign = kept->foreign;
	again->origin = origin;
	origin->refs++;
	return 0;
}

static int add_unix_path(struct listener_set *set,
			 const struct listener_set *old, const char *path,
			 unsigned flags, struct err *err)
{
	struct listener *kept;
	struct addr addr;
	int fd = -1;

	if (set_path(&addr, path, err) < 0)
		return -1;
	if (find(set, &addr) != NULL)
		return refuse_twice(&addr, err);
	kept = find(old, &addr);
	if (kept != NULL && has_file(kept))
		return keep_unix(set, kept, flags, err);
	/* A file that comes in its place may get the same inode. */
	if (kept != NULL)
		kept->ino = origin_of(kept)->ino = 0;
	if (bind_unix(&addr, &fd, err) < 0 ||
	    add_socket(set, fd, &addr, flags, err) < 0)
		return -1;
	note_file(set->items[set->count - 1]);
	return 0;
}

static char *unix_path(const struct unix_listener_settings *unix_settings,
		       const char *base_dir)
{
	if (unix_settings->path[0] == '/')
		return mem_strdup(unix_settings->path);
	return mem_printf("%s/%s", base_dir, unix_settings->path);
}

static unsigned unix_flags(const struct unix_listener_settings *un)
{
	return (un->control ? LISTENER_CONTROL : 0) |
	       (un->socketmap ? LISTENER_SOCKETMAP : 0);
}

static int add_unix(struct listener_set *set, const struct listener_set *old,
		    const struct unix_listener_settings *unix_settings,
		    const char *base_dir, struct err *err)
{
	char *path = unix_path(unix_settings, base_dir);
	int status;

	status = add_unix_path(set, old, path, unix_flags(unix_settings), err);
	if (status == 0)
		status = set_permissions(path,
					 set->items[set->count - 1]->foreign,
					 unix_settings, err);
	mem_free(&path);
	return status;
}

/* --- all of them --- */

static void err_prefix(struct err *err, const char *file, unsigned line,
		       const char *kind, const char *name)
{
	struct err reason = *err;

	/* The default listener stands in no file. */
	if (file[0] == '\0')
		err_put(err, "%s %s: %.300s", kind, name, reason.text);
	else
		err_put(err, "%s:%u: %s %s: %.300s", file, line, kind, name,
			reason.text);
}

static int add_all_inet(struct listener_set *set,
			const struct listener_set *old,
			const struct service_settings *service,
			const char *listen_on, struct err *err)
{
	const struct inet_listener_settings *inet;
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		inet = &service->inet_listeners[i];
		if (inet->port == 0)
			continue;
		if (add_inet(set, old, inet, listen_on, err) < 0) {
			err_prefix(err, inet->file, inet->line, "inet_listener",
				   inet->name);
			return -1;
		}
	}
	return 0;
}

static int add_all_unix(struct listener_set *set,
			const struct listener_set *old,
			const struct service_settings *service,
			const char *base_dir, struct err *err)
{
	const struct unix_listener_settings *un;
	unsigned i;

	for (i = 0; i < service->unix_listener_count; i++) {
		un = &service->unix_listeners[i];
		if (un->mode == 0)
			continue;
		if (add_unix(set, old, un, base_dir, err) < 0) {
			err_prefix(err, un->file, un->line, "unix_listener",
				   un->path);
			return -1;
		}
	}
	return 0;
}

struct listener_set *listener_set_open(const struct settings *settings,
				       const struct listener_set *old,
				       struct err *err)
{
	struct listener_set *set = mem_new(struct listener_set);
	bool lmtp = settings->lmtp_enabled;

	if (!lmtp)
		log_warning(NULL, "protocols does not name lmtp: its listeners "
			    "stay closed");
	if ((lmtp && add_all_inet(set, old, &settings->service,
				  settings->listen, err) < 0) ||
	    (lmtp && add_all_unix(set, old, &settings->service,
				  settings->base_dir, err) < 0) ||
	    add_all_unix(set, old, &settings->ctl, settings->base_dir,
			 err) < 0 ||
	    add_all_inet(set, old, &settings->http, settings->listen, err) < 0 ||
	    add_all_unix(set, old, &settings->socketmap, settings->base_dir,
			 err) < 0 ||
	    add_all_inet(set, old, &settings->socketmap, settings->listen,
			 err) < 0)
		listener_set_close(&set);
	return set;
}

/* --- checks --- */

static bool uses_listen(const struct service_settings *service)
{
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		if (service->inet_listeners[i].port != 0 &&
		    service->inet_listeners[i].address[0] == '\0')
			return true;
	}
	return false;
}

static bool check_listen(const struct settings *settings,
			 const struct conf_node *root,
			 struct conf_errors *errors)
{
	struct addr addrs[LISTENER_MAX];
	struct err why, text;
	unsigned count = 0;

	if (!((settings->lmtp_enabled && uses_listen(&settings->service)) ||
	      uses_listen(&settings->http)) ||
	    listener_addresses(settings->listen, 0, addrs, LISTENER_MAX,
			       &count, &why) == 0)
		return true;
	err_put(&text, "listen: %.400s", why.text);
	settings_error(errors, root, "listen", text.text);
	return false;
}

/* The addresses of all listeners so far. */
struct seen {
	struct addr addrs[LISTENER_MAX];
	unsigned flags[LISTENER_MAX];
	unsigned count;
};

static int see(struct seen *seen, const struct inet_listener_settings *inet,
	       const char *listen_on, struct err *err)
{
	unsigned i, j, before = seen->count;

	if (inet_addresses(inet, listen_on, seen->addrs, &seen->count, err) < 0)
		return -1;
	for (i = before; i < seen->count; i++) {
		seen->flags[i] = inet_flags(inet);
		for (j = 0; j < before; j++) {
			if (seen->flags[j] != seen->flags[i] &&
			    addr_equal(&seen->addrs[j], &seen->addrs[i]))
				return refuse_twice(&seen->addrs[i], err);
		}
	}
	return 0;
}

/* listen_on NULL: it does not work. */
static void check_inet(const struct service_settings *service,
		       const char *listen_on, struct seen *seen,
		       struct conf_errors *errors)
{
	const struct inet_listener_settings *inet;
	struct err why;
	unsigned i;

	for (i = 0; i < service->inet_listener_count; i++) {
		inet = &service->inet_listeners[i];
		if (inet->port == 0 ||
		    (inet->address[0] == '\0' && listen_on == NULL))
			continue;
		if (see(seen, inet, listen_on, &why) < 0)
			conf_error(errors, inet->file, inet->line,
				   "inet_listener %s: %s", inet->name,
				   why.text);
	}
}

static void check_all_inet(const struct settings *settings, bool listen_works,
			   struct conf_errors *errors)
{
	const char *listen_on = listen_works ? settings->listen : NULL;
	struct seen seen = { .count = 0 };

	if (settings->lmtp_enabled)
		check_inet(&settings->service, listen_on, &seen, errors);
	check_inet(&settings->http, listen_on, &seen, errors);
	check_inet(&settings->socketmap, listen_on, &seen, errors);
}

static void unix_error(const struct unix_listener_settings *un,
		       const struct err *why, struct conf_errors *errors)
{
	conf_error(errors, un->file, un->line, "unix_listener %s: %s",
		   un->path, why->text);
}

/* More of them than there may be are an error when they are opened. */
static int see_path(struct seen *seen, const struct addr *addr, struct err *err)
{
	unsigned i;

	for (i = 0; i < seen->count; i++) {
		if (addr_equal(&seen->addrs[i], addr))
			return refuse_twice(addr, err);
	}
	if (seen->count < LISTENER_MAX)
		seen->addrs[seen->count++] = *addr;
	return 0;
}

static void check_unix(const struct unix_listener_settings *un,
		       const char *base_dir, struct seen *seen,
		       struct conf_errors *errors)
{
	char *path = unix_path(un, base_dir);
	struct addr addr;
	struct err why;
	uid_t uid;
	gid_t gid;

	if (set_path(&addr, path, &why) < 0 || see_path(seen, &addr, &why) < 0)
		unix_error(un, &why, errors);
	if (find_owner(NSS_USER, un->user, &uid, &why) < 0)
		unix_error(un, &why, errors);
	if (find_owner(NSS_GROUP, un->group, &gid, &why) < 0)
		unix_error(un, &why, errors);
	mem_free(&path);
}

static void check_each_unix(const struct service_settings *service,
			    const char *base_dir, struct seen *seen,
			    struct conf_errors *errors)
{
	unsigned i;

	for (i = 0; i < service->unix_listener_count; i++) {
		if (service->unix_listeners[i].mode != 0)
			check_unix(&service->unix_listeners[i], base_dir, seen,
				   errors);
	}
}

static void check_all_unix(const struct settings *settings,
			   struct conf_errors *errors)
{
	const char *base_dir = settings->base_dir;
	struct seen seen = { .count = 0 };

	if (settings->lmtp_enabled)
		check_each_unix(&settings->service, base_dir, &seen, errors);
	check_each_unix(&settings->ctl, base_dir, &seen, errors);
	check_each_unix(&settings->socketmap, base_dir, &seen, errors);
}

void listener_check(const struct settings *settings,
		    const struct conf_node *root, struct conf_errors *errors)
{
	check_all_inet(settings, check_listen(settings, root, errors), errors);
	check_all_unix(settings, errors);
}
