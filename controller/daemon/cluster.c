/* The cluster in the settings: see cluster.h. */
#include "daemon/cluster.h"

#include <unistd.h>

#include "base/banned.h"

#define DNS STR("dns:")

static enum code bad_peer(struct str peer, const char *why, struct err *err)
{
	err_set(err, E_USAGE, "cluster.peers: \"%.*s\" %s", STR_ARG(peer), why);
	return err_hint(err, "--peers 1=10.0.0.1:9001,2=10.0.0.2:9001,"
			     "3=10.0.0.3:9001, alike on each node");
}

static enum code add_peer(struct cluster *c, struct str peer, struct err *err)
{
	struct str address = peer;
	struct str id = str_trim(str_cut(&address, '='));
	struct rc_member *m = &c->members[c->n_members];

	address = str_trim(address);
	if (!str_u64(id, &m->id) || m->id == 0 || m->id > 65535)
		return bad_peer(peer, "has no id of 1 to 65535", err);
	if (str_find(address, ':') == SIZE_MAX)
		return bad_peer(peer, "has no host:port", err);
	for (size_t i = 0; i < c->n_members; i++)
		if (c->members[i].id == m->id ||
		    str_eq(str_of(c->members[i].address), address))
			return bad_peer(peer, "is there twice", err);
	m->address = arena_z(c->arena, address);
	c->n_members++;
	return OK;
}

static enum code parse_peers(struct cluster *c, struct str text,
			     struct err *err)
{
	enum code rc = OK;

	if (str_starts(text, DNS)) {
		text = str_from(text, DNS.n);
		if (str_find(text, ':') == SIZE_MAX)
			return bad_peer(text, "has no name:port", err);
		c->discover = arena_z(c->arena, text);
		return OK;
	}
	while (text.n && rc == OK) {
		if (c->n_members == CLUSTER_MEMBERS_MAX)
			return err_set(err, E_USAGE, "cluster.peers: more than "
				       "%d members", CLUSTER_MEMBERS_MAX);
		rc = add_peer(c, str_trim(str_cut(&text, ',')), err);
	}
	return rc;
}

static enum code parse_tls(struct cluster *c, const struct settings *s,
			   struct err *err)
{
	c->tls = (struct net_tls){
		.cert_file = settings_text(s, SETTING_cluster_cert_file),
		.key_file = settings_text(s, SETTING_cluster_key_file),
		.ca_file = settings_text(s, SETTING_cluster_ca_file),
	};
	c->has_tls = c->tls.cert_file[0] || c->tls.key_file[0] ||
		     c->tls.ca_file[0];
	if (!c->has_tls || (c->tls.cert_file[0] && c->tls.key_file[0] &&
			    c->tls.ca_file[0]))
		return OK;
	return err_set(err, E_USAGE, "cluster.cert_file, cluster.key_file and "
		       "cluster.ca_file are set together or not at all");
}

static const struct rc_member *member(const struct cluster *c, uint64_t id)
{
	for (size_t i = 0; i < c->n_members; i++)
		if (c->members[i].id == id)
			return &c->members[i];
	return NULL;
}

/* ---- who this node is ---- */

static const char *host_name(struct cluster *c)
{
	char name[256] = "";

	(void)!gethostname(name, sizeof(name) - 1);
	return arena_z(c->arena, str_of(name));
}

/* A StatefulSet's pods are named name-0, name-1 and so on. */
static bool ordinal_of(struct str host, uint64_t *id)
{
	struct str label = str_cut(&host, '.');
	size_t dash = str_rfind(label, '-');

	if (dash == SIZE_MAX || !str_u64(str_from(label, dash + 1), id) ||
	    *id > 65534)
		return false;
	++*id;
	return true;
}

static enum code find_id(struct cluster *c, const struct settings *s,
			 struct err *err)
{
	const char *host = host_name(c);

	c->node_id = settings_u64(s, SETTING_cluster_node_id);
	if (c->node_id)
		return OK;
	c->node_id = 1;
	if (!c->discover || ordinal_of(str_of(host), &c->node_id))
		return OK;
	err_set(err, E_USAGE, "cluster.node_id is not set, and the host name \"%s\" "
		"does not end in -NUMBER", host);
	return err_hint(err, "--node-id N, another on each node");
}

/* With dns: each pod has a name of its own below that of the service. */
static void find_address(struct cluster *c, const struct settings *s)
{
	const char *set = settings_text(s, SETTING_cluster_advertise);
	const char *listen = settings_text(s, SETTING_cluster_raft_listen);
	const struct rc_member *self = member(c, c->node_id);
	AUTO_BUF text = BUF_NONE;
	struct str host;

	c->address = set[0] ? set : self ? self->address : listen;
	if (set[0] || !c->discover)
		return;
	host = str_of(host_name(c));
	host = str_cut(&host, '.');
	buf_printf(&text, "%.*s.%s", STR_ARG(host), c->discover);
	c->address = arena_z(c->arena, buf_view(&text));
}

static enum code check(const struct cluster *c, const struct settings *s,
		       struct err *err)
{
	uint64_t id = c->node_id;

	if (c->is_alone && (c->n_members || c->joins || c->has_tls ||
			    c->discover || c->expect)) {
		err_set(err, E_USAGE, "cluster.raft_listen is not set");
		return err_hint(err, "--raft-listen ADDRESS:PORT is where the "
				     "other nodes reach this one");
	}
	if (c->expect && !c->forms) {
		err_set(err, E_USAGE, "cluster.bootstrap_expect is set, and %s",
			c->joins ? "cluster.join too" :
				   "cluster.peers is not");
		return err_hint(err, "a new cluster is formed of the nodes that "
				     "cluster.peers names");
	}
	if (c->n_members && c->expect > c->n_members)
		return err_set(err, E_USAGE, "cluster.bootstrap_expect is %u, and "
			       "cluster.peers lists %zu", c->expect,
			       c->n_members);
	if (c->joins && c->n_members == 0) {
		err_set(err, E_USAGE, "cluster.peers is not set");
		return err_hint(err, "a node that joins names the members of "
				     "the cluster");
	}
	if (c->n_members && !c->joins && !member(c, id)) {
		err_set(err, E_USAGE, "cluster.peers does not name node %llu, "
			"which is this one", (unsigned long long)id);
		return err_hint(err, "set cluster.node_id (--node-id)");
	}
	return OK;
}

enum code cluster_of_settings(const struct settings *s, struct cluster *c,
			      struct err *err)
{
	const char *join = settings_text(s, SETTING_cluster_join);
	enum code rc;

	*c = (struct cluster){ .arena = arena_new(0) };
	c->is_alone = !settings_text(s, SETTING_cluster_raft_listen)[0];
	c->joins = join[0];
	if (c->joins && !uuid_parse(str_of(join), &c->id))
		return err_set(err, E_USAGE, "cluster.join: \"%s\" is no "
			       "cluster id (conflux status shows it)", join);
	rc = parse_peers(c, str_of(settings_text(s, SETTING_cluster_peers)), err);
	if (rc == OK)
		rc = parse_tls(c, s, err);
	if (rc == OK)
		rc = find_id(c, s, err);
	if (rc)
		return rc;
	c->forms = !c->joins && (c->n_members || c->discover);
	c->expect = (unsigned)settings_u64(s, SETTING_cluster_bootstrap_expect);
	rc = check(c, s, err);
	if (rc)
		return rc;
	if (c->forms && !c->expect)
		c->expect = (unsigned)c->n_members;
	c->address = "";
	if (!c->is_alone)
		find_address(c, s);
	return OK;
}

void cluster_fini(struct cluster *c)
{
	arena_free(&c->arena);
}
