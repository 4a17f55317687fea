/* Doubly linked list whose links live inside the objects. A node is either on
 * exactly one list or (zeroed, or after list_remove) on none. */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/mem.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

/* Whether node is on a list. */
static inline bool list_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void list_insert_before(struct list *pos, struct list *node)
{
	node->prev = pos->prev;
	node->next = pos;
	pos->prev->next = node;
	pos->prev = node;
}

/* Adds node at the end. */
static inline void list_append(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}

/* Adds node at the start. */
static inline void list_prepend(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}

/* Takes node off its list; nothing happens when it is on none. */
static inline void list_remove(struct list *node)
{
	if (!list_linked(node))
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
}

/* First object of the list, or NULL. */
#define list_first(head, type, member) \
	(list_empty(head) ? NULL : container_of((head)->next, type, member))
#define list_last(head, type, member) \
	(list_empty(head) ? NULL : container_of((head)->prev, type, member))

/* Walks the nodes; the current one may be removed, no other. */
#define list_each(head, node, tmp) \
	for ((node) = (head)->next, (tmp) = (node)->next; (node) != (head); \
	     (node) = (tmp), (tmp) = (node)->next)

#endif
