/* The log of a data directory, for people: see raftcore/inspect.h. */
#include "raftcore/inspect.h"

#include <unistd.h>

#include "base/mem.h"
#include "node/own.h"

#include "base/banned.h"

const char *rc_log_type_name(uint8_t type)
{
	switch (type) {
	case RC_LOG_COMMAND:
		return "command";
	case RC_LOG_BARRIER:
		return "barrier";
	case RC_LOG_MEMBERSHIP:
		return "membership";
	}
	return NULL;
}

bool rc_log_command(const struct wal_entry *entry, uint64_t *id,
		    struct str *command)
{
	struct rc_entry e;

	if (entry->type != RC_LOG_COMMAND || entry->data.n < ID_BYTES)
		return false;
	core_entry_of(entry, &e);
	*id = e.id;
	*command = e.data;
	return true;
}

size_t rc_log_members(const struct wal_entry *entry, struct rc_log_member *out,
		      size_t cap)
{
	struct engine_member *all;
	size_t n;

	if (entry->type != RC_LOG_MEMBERSHIP)
		return 0;
	all = mem_zero((cap + 1) * sizeof(*all));
	n = engine_members(entry->data, all, cap);
	for (size_t i = 0; i < MIN(n, cap); i++) {
		out[i] = (struct rc_log_member){ .id = all[i].id,
						 .votes = all[i].votes };
		memcpy(out[i].address, all[i].address, sizeof(out[i].address));
	}
	free(all);
	return n;
}

/* Whose log it is; '*has' where that is known.  '*damaged' counts. */
static enum code read_identity(const char *dir, const struct wal_visitor *v,
			       struct identity *id, bool *has, uint64_t *damaged,
			       struct err *err)
{
	struct err why = { 0 };
	enum code rc = identity_read(fs_real(), dir, id, &why);

	*has = rc == OK && !id->waits;
	*damaged = rc != OK && rc != E_NOT_FOUND;
	return *damaged && v->damage ? v->damage(v->data, &why, err) : OK;
}

enum code rc_log_inspect(const char *dir, const struct seal_provider *seal,
			 const struct wal_visitor *visitor,
			 struct wal_inspected *out, struct err *err)
{
	struct identity *id = NEW(struct identity);
	AUTO_BUF path = BUF_NONE;
	struct wal_inspect_config c = { .fs = fs_real(), .seal = seal };
	uint64_t damaged = 0;
	bool has = false;
	enum code rc;

	_Static_assert((int)RC_LOG_COMMAND == (int)ENGINE_COMMAND &&
		       (int)RC_LOG_BARRIER == (int)ENGINE_BARRIER &&
		       (int)RC_LOG_MEMBERSHIP == (int)ENGINE_CHANGE, "one table");
	*out = (struct wal_inspected){ 0 };
	buf_printf(&path, "%s/wal", dir);
	c.dir = path.p;
	if (access(path.p, F_OK)) {
		err_set(err, E_NOT_FOUND, "%s has no log", dir);
		rc = err_hint(err, "name a node's data directory, the folder that "
				   "has wal/ in it");
	} else {
		rc = read_identity(dir, visitor, id, &has, &damaged, err);
	}
	if (has) {
		c.cluster = &id->cluster;
		c.node = id->node;
	}
	if (rc == OK)
		rc = wal_inspect(&c, visitor, out, err);
	out->damaged += damaged;
	free(id);
	return rc;
}
