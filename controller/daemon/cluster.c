/* The cluster in the settings: see cluster.h. */
#include "daemon/cluster.h"

#include "base/banned.h"

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

static bool is_member(const struct cluster *c, uint64_t id)
{
	for (size_t i = 0; i < c->n_members; i++)
		if (c->members[i].id == id)
			return true;
	return false;
}

static enum code check(const struct cluster *c, const struct settings *s,
		       struct err *err)
{
	uint64_t id = settings_u64(s, SETTING_cluster_node_id);

	if (c->is_alone && (c->n_members || c->joins || c->has_tls)) {
		err_set(err, E_USAGE, "cluster.raft_listen is not set");
		return err_hint(err, "--raft-listen ADDRESS:PORT is where the "
				     "other nodes reach this one");
	}
	if (c->joins && c->n_members == 0) {
		err_set(err, E_USAGE, "cluster.peers is not set");
		return err_hint(err, "a node that joins names the members of "
				     "the cluster");
	}
	if (c->n_members && !c->joins && !is_member(c, id)) {
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
	return rc ? rc : check(c, s, err);
}

void cluster_fini(struct cluster *c)
{
	arena_free(&c->arena);
}
