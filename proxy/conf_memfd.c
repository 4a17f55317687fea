#include "proxy/conf_memfd.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/str.h"

int conf_memfd_write(const struct conf_tree *tree, int *fd_r, uint32_t *size_r,
		     struct err *err)
{
	struct str bytes = STR_INIT;
	int status = 0;

	conf_tree_pack(tree, &bytes);
	*size_r = (uint32_t)bytes.len;
	*fd_r = memfd_create("waypost-conf", MFD_CLOEXEC);
	if (bytes.len > CONF_MEMFD_MAX)
		status = err_set(err, "the configuration is too large");
	else if (*fd_r < 0 || write(*fd_r, bytes.data, bytes.len) !=
				      (ssize_t)bytes.len)
		status = err_set(err, "memfd: %s", strerror(errno));
	str_wipe(&bytes);
	if (status < 0 && *fd_r >= 0)
		close(*fd_r);
	return status;
}

static struct settings *bind_tree(struct conf_tree *tree, struct err *err)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings = settings_new(tree, &errors);

	if (settings == NULL) {
		err_put(err, "%s", str_c(&errors.text));
		conf_tree_free(&tree);
	}
	conf_errors_free(&errors);
	return settings;
}

struct settings *conf_memfd_read(int fd, uint32_t size, struct err *err)
{
	struct conf_tree *tree;
	char *data = mem_alloc(size);

	if (pread(fd, data, size, 0) != (ssize_t)size) {
		mem_free(&data);
		err_put(err, "the configuration was cut short");
		return NULL;
	}
	tree = conf_tree_unpack(data, size);
	explicit_bzero(data, size);
	mem_free(&data);
	if (tree == NULL) {
		err_put(err, "the configuration was damaged on its way");
		return NULL;
	}
	return bind_tree(tree, err);
}
