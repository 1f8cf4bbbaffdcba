/*
 * cluster recover: a cluster that has lost its majority for good goes on from one
 * survivor's data directory, offline, when the operator says that he knows what
 * may be lost.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <unistd.h>

#include "restore/restore.h"
#include "seal/keyring.h"

#include "base/banned.h"

#define ULL(x) ((unsigned long long)(x))

/* ---- what a folder holds ---- */

static void print_survey(FILE *to, const char *dir, const struct rc_survey *s)
{
	char cluster[37];

	uuid_text(cluster, s->cluster);
	fprintf(to, "%s: node %llu of cluster %s\n"
		"  log: ends at entry %llu of term %llu (newest term heard of: "
		"%llu)\n  checkpoint: ", dir, ULL(s->node_id), cluster,
		ULL(s->last_index), ULL(s->last_term), ULL(s->vote_term));
	if (s->checkpoint_index)
		fprintf(to, "up to entry %llu\n  members:",
			ULL(s->checkpoint_index));
	else
		fprintf(to, "none\n  members:");
	for (size_t i = 0; i < s->n_members; i++)
		fprintf(to, " %llu=%s%s", ULL(s->members[i].id),
			s->members[i].address,
			s->members[i].votes ? "" : " (learner)");
	fprintf(to, "\n");
	if (s->is_fenced)
		fprintf(to, "  fenced: the others found its state to be another "
			"than theirs\n");
}

/* Only what a checkpoint has is known to have been agreed upon. */
static void print_risk(FILE *to, const struct rc_survey *s)
{
	fprintf(to, "lost is what is not in this log, also where it was "
		"acknowledged: entries above %llu", ULL(s->last_index));
	if (s->last_index > s->checkpoint_index)
		fprintf(to, "\nentries %llu to %llu are taken as committed; those at "
			"the end may be writes that nobody was told of",
			ULL(s->checkpoint_index + 1), ULL(s->last_index));
	fprintf(to, "\n");
}

/* ---- the others ---- */

static enum code compare_one(FILE *to, const char *dir, const char *other_dir,
			     const struct rc_survey *is,
			     const struct seal_provider *seal, struct err *err)
{
	struct rc_survey other;
	enum code rc = rc_survey(other_dir, seal, &other, err);

	if (rc)
		return rc;
	print_survey(to, other_dir, &other);
	if (memcmp(&other.cluster, &is->cluster, sizeof(is->cluster)))
		return err_set(err, E_CONFLICT, "%s is of another cluster",
			       other_dir);
	if (rc_survey_cmp(&other, is) <= 0)
		return OK;
	err_set(err, E_CONFLICT, "%s is the better survivor", other_dir);
	if (other.is_fenced != is->is_fenced)
		return err_hint(err, "--data-dir %s: %s is fenced", other_dir,
				dir);
	return err_hint(err, "--data-dir %s: its log ends at entry %llu of term "
			"%llu, that of %s at %llu of %llu", other_dir,
			ULL(other.last_index), ULL(other.last_term), dir,
			ULL(is->last_index), ULL(is->last_term));
}

static enum code compare(struct cli *cli, FILE *to, const char *dir,
			 const struct rc_survey *is,
			 const struct seal_provider *seal, struct err *err)
{
	const struct given *others = &cli->given[FLAG_COMPARE];
	enum code rc = OK;

	for (size_t i = 0; i < others->n && rc == OK; i++)
		rc = compare_one(to, dir, others->v[i], is, seal, err);
	if (rc == OK && others->n)
		fprintf(to, "none of them has more than %s\n", dir);
	return rc;
}

/* ---- doing it ---- */

static enum code refuse(const char *dir, struct err *err)
{
	err_set(err, E_PRECONDITION, "%s is as it was: nothing was recovered", dir);
	return err_hint(err, "look at each other survivor with --compare DIR; "
			"then --accept-data-loss does it.  The old members must "
			"not come back with their data");
}

static const char *own_address(const struct rc_survey *s)
{
	for (size_t i = 0; i < s->n_members; i++)
		if (s->members[i].id == s->node_id)
			return s->members[i].address;
	return "";
}

static void tell_how(const char *dir, const char *address, const char *keys,
		     const struct recover_result *r)
{
	const char *flag = keys ? " --storage-encryption-key-file " : "";
	char cluster[37];

	keys = keys ? keys : "";
	uuid_text(cluster, r->cluster);
	fprintf(stderr, "conflux: %s is the data directory of a new cluster of one "
		"node; what was there is in\n  %s/before-restore-%.8s\n"
		"  Alone:         confluxd --data-dir %s --node-id %llu%s%s\n",
		dir, dir, cluster, dir, ULL(r->was.node_id), flag, keys);
	if (address[0])
		fprintf(stderr, "  For others to join:\n    confluxd --data-dir %s "
			"--node-id %llu --raft-listen %s --peers %llu=%s "
			"--cluster-join %s%s%s\n  They start with empty folders, "
			"and the same --peers and --cluster-join.\n", dir,
			ULL(r->was.node_id), address, ULL(r->was.node_id),
			address, cluster, flag, keys);
	else
		fprintf(stderr, "  Others can join it only if --address was said "
			"(host:port for other nodes).\n");
	fprintf(stderr, "  Tokens are those of before, the root token too.\n");
}

static enum code print_result(struct cli *cli, const struct recover_result *r,
			      struct err *err)
{
	struct value *v = value_object(cli->arena);
	char cluster[37];

	uuid_text(cluster, r->cluster);
	value_setz(cli->arena, v, "cluster_id",
		   value_str(cli->arena, arena_str(cli->arena, str_of(cluster))));
	value_setz(cli->arena, v, "revision", value_u64(cli->arena, r->rev));
	value_setz(cli->arena, v, "node_id",
		   value_u64(cli->arena, r->was.node_id));
	value_setz(cli->arena, v, "last_index",
		   value_u64(cli->arena, r->was.last_index));
	value_setz(cli->arena, v, "last_term",
		   value_u64(cli->arena, r->was.last_term));
	return out_members(cli, v, err);
}

static enum code accept(struct cli *cli, const char *dir,
			const struct rc_survey *is,
			const struct seal_provider *seal, struct err *err)
{
	const char *address = cli_text(cli, FLAG_ADDRESS);
	struct recover_config c = { .dir = dir, .seal = seal,
				    .accepts_loss = cli_has(cli, FLAG_ACCEPT_DATA_LOSS),
				    .address = address ? address :
							 own_address(is) };
	struct recover_result r;
	AUTO_BUF who = BUF_NONE;
	enum code rc;

	buf_printf(&who, "conflux cluster recover, user %u", (unsigned)getuid());
	c.who = who.p;
	rc = recover_run(&c, &r, err);
	if (rc)
		return rc;
	rc = print_result(cli, &r, err);
	tell_how(dir, c.address, cli_text(cli, FLAG_ENCRYPTION_KEY), &r);
	return rc;
}

static enum code recover(struct cli *cli, const char *dir,
			 const struct seal_provider *seal, struct err *err)
{
	bool is_accepted = cli_has(cli, FLAG_ACCEPT_DATA_LOSS);
	FILE *to = is_accepted ? stderr : stdout;
	struct rc_survey is;
	enum code rc = rc_survey(dir, seal, &is, err);

	if (rc)
		return rc;
	print_survey(to, dir, &is);
	print_risk(to, &is);
	rc = compare(cli, to, dir, &is, seal, err);
	if (rc)
		return rc;
	return is_accepted ? accept(cli, dir, &is, seal, err) :
			     refuse(dir, err);
}

enum code cli_cluster_recover(struct cli *cli, struct err *err)
{
	const char *dir = cli_text(cli, FLAG_DATA_DIR);
	const char *keys = cli_text(cli, FLAG_ENCRYPTION_KEY);
	struct keyring *k = NULL;
	enum code rc = OK;

	if (!dir || cli->n_args != 1) {
		err_set(err, E_USAGE, "cluster recover: --data-dir is missing");
		return err_hint(err, "conflux cluster recover --data-dir DIR "
				     "[--compare DIR] [--accept-data-loss]");
	}
	if (keys)
		rc = keyring_load(keys, &k, err);
	if (rc == OK)
		rc = recover(cli, dir, k ? keyring_provider(k) : NULL, err);
	keyring_free(&k);
	return rc;
}
