/* A tree as bytes: a magic number, then the root's children. A node is its
 * flags (a byte), its line (4 bytes, host order: both ends are this machine),
 * and its strings, each with its length in front; a section's children and
 * PACK_END follow it. Then the files, each PACK_FILE, path and text, and
 * PACK_END. */
#include "lib/conf/tree.h"

#include <stdint.h>
#include <string.h>

static const char pack_magic[4] = "WPC1";

enum pack_flag {
	PACK_SECTION = 1,
	PACK_PATH = 2,
	PACK_LOADED = 4,
	PACK_END = 8, /* of a section's children, or the files; alone */
	PACK_FILE = 16, /* alone */
};

static void put_u32(struct str *out, uint32_t value)
{
	str_append(out, &value, sizeof(value));
}

static void put_text(struct str *out, const char *text)
{
	put_u32(out, (uint32_t)strlen(text));
	str_puts(out, text);
}

static void pack_children(const struct conf_node *parent, struct str *out)
{
	const struct conf_node *node;

	for (node = parent->children; node != NULL; node = node->next) {
		str_putc(out, (char)((node->section ? PACK_SECTION : 0) |
				     (node->path != NULL ? PACK_PATH : 0) |
				     (node->loaded ? PACK_LOADED : 0)));
		put_u32(out, node->line);
		put_text(out, node->key);
		put_text(out, node->value);
		put_text(out, node->file);
		if (node->path != NULL)
			put_text(out, node->path);
		if (node->section)
			pack_children(node, out);
	}
	str_putc(out, PACK_END);
}

void conf_tree_pack(const struct conf_tree *tree, struct str *out)
{
	const struct conf_file *file;

	str_append(out, pack_magic, sizeof(pack_magic));
	pack_children(tree->root, out);
	for (file = tree->files; file != NULL; file = file->next) {
		str_putc(out, PACK_FILE);
		put_text(out, file->path);
		put_text(out, file->text);
	}
	str_putc(out, PACK_END);
}

struct unpacker {
	struct conf_tree *tree;
	const unsigned char *at, *end;
};

static int get(struct unpacker *in, void *out, size_t len)
{
	if ((size_t)(in->end - in->at) < len)
		return -1;
	memcpy(out, in->at, len);
	in->at += len;
	return 0;
}

/* NULL when it is malformed. */
static const char *get_text(struct unpacker *in)
{
	const char *text;
	uint32_t len;

	if (get(in, &len, sizeof(len)) < 0 ||
	    (size_t)(in->end - in->at) < len ||
	    memchr(in->at, '\0', len) != NULL)
		return NULL;
	text = arena_strndup(in->tree->arena, (const char *)in->at, len);
	in->at += len;
	return text;
}

static struct conf_node *unpack_node(struct unpacker *in,
				     struct conf_node *parent, unsigned flags)
{
	const char *key, *value;
	struct conf_node *node;
	uint32_t line;

	if ((flags & ~(PACK_SECTION | PACK_PATH | PACK_LOADED)) != 0 ||
	    get(in, &line, sizeof(line)) < 0)
		return NULL;
	key = get_text(in);
	value = get_text(in);
	if (key == NULL || value == NULL)
		return NULL;
	node = conf_node_add(in->tree, parent, key, value);
	if (node == NULL)
		return NULL;
	node->line = line;
	node->section = (flags & PACK_SECTION) != 0;
	node->loaded = (flags & PACK_LOADED) != 0;
	node->file = get_text(in);
	if (node->file == NULL)
		return NULL;
	if ((flags & PACK_PATH) != 0 && (node->path = get_text(in)) == NULL)
		return NULL;
	return node;
}

static int unpack_children(struct unpacker *in, struct conf_node *parent,
			   unsigned depth)
{
	struct conf_node *node;
	unsigned char flags;

	if (depth > CONF_MAX_DEPTH)
		return -1;
	for (;;) {
		if (get(in, &flags, 1) < 0)
			return -1;
		if (flags == PACK_END)
			return 0;
		node = unpack_node(in, parent, flags);
		if (node == NULL)
			return -1;
		if (node->section && unpack_children(in, node, depth + 1) < 0)
			return -1;
	}
}

static int unpack_files(struct unpacker *in)
{
	const char *path, *text;
	unsigned char flags;

	for (;;) {
		if (get(in, &flags, 1) < 0)
			return -1;
		if (flags == PACK_END)
			return 0;
		if (flags != PACK_FILE || (path = get_text(in)) == NULL ||
		    (text = get_text(in)) == NULL)
			return -1;
		conf_file_add(in->tree, path, text);
	}
}

struct conf_tree *conf_tree_unpack(const void *data, size_t len)
{
	struct unpacker in = { conf_tree_new(), data, NULL };
	char magic[sizeof(pack_magic)];

	in.end = in.at + len;
	if (get(&in, magic, sizeof(magic)) < 0 ||
	    memcmp(magic, pack_magic, sizeof(magic)) != 0 ||
	    unpack_children(&in, in.tree->root, 0) < 0 ||
	    unpack_files(&in) < 0 || in.at != in.end)
		conf_tree_free(&in.tree);
	else
		in.tree->unpacked = true;
	return in.tree;
}
