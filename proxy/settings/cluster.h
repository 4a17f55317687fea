/* The settings of a cluster: several nodes that share the director's state
 * through etcd. */
#ifndef PROXY_SETTINGS_CLUSTER_H
#define PROXY_SETTINGS_CLUSTER_H

#include "lib/conf/schema.h"
#include "lib/http/url.h"

struct cluster_settings {
	const char *etcd_urls; /* "": there is no cluster */
	const char *name, *node;
	const char *user, *password;
	const char *ca, *cert, *key; /* PEM */
	unsigned lease_time;	     /* ms */
	unsigned etcd_timeout;	     /* ms */

	const struct http_url *const *urls; /* of etcd_urls */
	unsigned url_count;
};

/* Over struct cluster_settings. */
extern const struct conf_table settings_cluster_table;

/* Fills in what follows from the others, node by hostname where it is empty, and
 * reports what cannot work. All lives in arena. root is the merged tree that
 * cluster was bound from. */
void settings_cluster_finish(struct cluster_settings *cluster,
			     const char *hostname, struct arena *arena,
			     const struct conf_node *root,
			     struct conf_errors *errors);

#endif
