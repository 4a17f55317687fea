#include "proxy/settings/cluster.h"

#include <string.h>

#include "lib/http/http.h"
#include "proxy/settings/check.h"

#define NAME_MAX_LEN 64
#define MIN_LEASE_MS 2000 /* the least that etcd grants in practice */
#define MAX_LEASE_MS 3600000
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" \
		   "0123456789.-_"

#define S struct cluster_settings
static const struct conf_def cluster_defs[] = {
	CONF_DEF_STRING(S, etcd_urls, "cluster_etcd_urls", "",
		"members of the etcd that nodes share their state through"),
	CONF_DEF_STRING(S, name, "cluster_name", "waypost",
		"which cluster of those in that etcd"),
	CONF_DEF_STRING(S, node, "cluster_node", "",
		"this node's name in it; empty: hostname"),
	CONF_DEF_STRING(S, user, "cluster_etcd_user", "",
		"etcd's user; empty: etcd wants none"),
	CONF_DEF_SECRET(S, password, "cluster_etcd_password", "",
		"the password of cluster_etcd_user"),
	CONF_DEF_STRING(S, ca, "cluster_etcd_ca", "",
		"the CAs that https members are of (PEM; </file)"),
	CONF_DEF_STRING(S, cert, "cluster_etcd_cert", "",
		"our certificate for etcd (PEM; </file)"),
	CONF_DEF_SECRET(S, key, "cluster_etcd_key", "",
		"its key (PEM; </file)"),
	CONF_DEF_TIME(S, lease_time, "cluster_lease_time", "10 secs",
		"after how long the others miss a node"),
	CONF_DEF_TIME(S, etcd_timeout, "cluster_etcd_timeout", "3 secs",
		"how long etcd may take for an answer"),
	CONF_DEF_END
};
#undef S

const struct conf_table settings_cluster_table = {
	cluster_defs, CONF_TABLE_GLOBAL,
};

static void check_name(const char *setting, const char *name,
		       const struct conf_node *root,
		       struct conf_errors *errors)
{
	struct err text;

	if (*name != '\0' && strlen(name) <= NAME_MAX_LEN &&
	    name[strspn(name, NAME_CHARS)] == '\0')
		return;
	err_put(&text, "%s: '%.100s' is no name: up to %d letters, digits, "
		"'.', '-' and '_'", setting, name, NAME_MAX_LEN);
	settings_error(errors, root, setting, text.text);
}

static void check_time(const struct cluster_settings *cluster,
		       const struct conf_node *root,
		       struct conf_errors *errors)
{
	if (cluster->lease_time < MIN_LEASE_MS ||
	    cluster->lease_time > MAX_LEASE_MS)
		settings_error(errors, root, "cluster_lease_time",
			       "cluster_lease_time is from 2 seconds to an "
			       "hour");
	if (cluster->etcd_timeout == 0 ||
	    cluster->etcd_timeout >= cluster->lease_time)
		settings_error(errors, root, "cluster_etcd_timeout",
			       "cluster_etcd_timeout is more than 0 and less "
			       "than cluster_lease_time");
}

static void check_access(const struct cluster_settings *cluster,
			 const struct conf_node *root,
			 struct conf_errors *errors)
{
	bool tls = false;
	unsigned i;

	for (i = 0; i < cluster->url_count; i++)
		tls |= cluster->urls[i]->tls;
	if (tls && *cluster->ca == '\0')
		settings_error(errors, root, "cluster_etcd_urls",
			       "cluster_etcd_urls: https needs "
			       "cluster_etcd_ca");
	if (tls && !http_has_tls())
		settings_error(errors, root, "cluster_etcd_urls",
			       "cluster_etcd_urls: https needs a libcurl that "
			       "was built with OpenSSL");
	if ((*cluster->user == '\0') != (*cluster->password == '\0'))
		settings_error(errors, root, "cluster_etcd_user",
			       "cluster_etcd_user and cluster_etcd_password "
			       "need each other");
	if ((*cluster->cert == '\0') != (*cluster->key == '\0'))
		settings_error(errors, root, "cluster_etcd_cert",
			       "cluster_etcd_cert and cluster_etcd_key need "
			       "each other");
}

static void read_urls(struct cluster_settings *cluster, struct arena *arena,
		      const struct conf_node *root, struct conf_errors *errors)
{
	size_t most = strlen(cluster->etcd_urls) / 2 + 1;
	const struct http_url **urls = arena_alloc(arena,
						   most * sizeof(*urls));
	char *text = arena_strdup(arena, cluster->etcd_urls), *saved = NULL;
	struct err why, full;

	for (text = strtok_r(text, " \t\n", &saved); text != NULL;
	     text = strtok_r(NULL, " \t\n", &saved)) {
		struct http_url *url = arena_new_struct(arena,
							struct http_url);

		if (http_url_parse(url, arena, text, &why) == 0) {
			urls[cluster->url_count++] = url;
			continue;
		}
		err_put(&full, "cluster_etcd_urls: %.300s", why.text);
		settings_error(errors, root, "cluster_etcd_urls", full.text);
	}
	cluster->urls = urls;
}

void settings_cluster_finish(struct cluster_settings *cluster,
			     const char *hostname, struct arena *arena,
			     const struct conf_node *root,
			     struct conf_errors *errors)
{
	if (*cluster->node == '\0')
		cluster->node = hostname;
	if (*cluster->etcd_urls == '\0')
		return;
	read_urls(cluster, arena, root, errors);
	check_name("cluster_name", cluster->name, root, errors);
	check_name("cluster_node", cluster->node, root, errors);
	check_time(cluster, root, errors);
	check_access(cluster, root, errors);
}
