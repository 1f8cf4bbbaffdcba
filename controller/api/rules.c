/*
 * Release rules in requests and answers.
 */
#include "api/own.h"

#include "base/banned.h"

/* ---- out of a request ---- */

static bool refuse(struct request *r, const char *text)
{
	api_fail(r, E_UNPROCESSABLE, "%s", text);
	return false;
}

static bool is_known(struct str key)
{
	return str_is(key, "labels") || str_is(key, "version_id") ||
	       str_is(key, "priority") || str_is(key, "percent") ||
	       str_is(key, "nodes") || str_is(key, "salt");
}

static bool take_labels(struct request *r, struct arena *arena,
			const struct value *labels, struct rule *out)
{
	struct err err;

	if (labels && labels->type != VALUE_OBJECT)
		return refuse(r, "labels is an object of strings");
	for (size_t i = 0; i < value_count(labels); i++) {
		struct str key = arena_str(arena, labels->o.m[i].key);
		struct str val = arena_str(arena,
					   value_text(labels->o.m[i].value));

		if (labels->o.m[i].value->type != VALUE_STRING) {
			api_fail(r, E_UNPROCESSABLE, "label %.*s must be a string",
				 STR_ARG(key));
			return false;
		}
		if (label_check(key, val, &err)) {
			api_error(r, &err);
			return false;
		}
		if (!labels_set(arena, &out->labels, key, val))
			return refuse(r, "a rule has too many labels");
	}
	return true;
}

static bool take_nodes(struct request *r, struct arena *arena,
		       const struct value *nodes, struct rule *out)
{
	if (!nodes)
		return true;
	if (nodes->type != VALUE_ARRAY || nodes->a.n == 0)
		return refuse(r, "nodes is a list of names of instances");
	for (size_t i = 0; i < nodes->a.n; i++) {
		const struct value *v = nodes->a.items[i];

		if (v->type != VALUE_STRING || !ack_instance_is_valid(v->s)) {
			api_fail(r, E_UNPROCESSABLE, "nodes[%zu]: the name of an "
				 "instance has 1 to %d bytes that can be seen", i,
				 ACK_INSTANCE_MAX);
			return false;
		}
		rule_add_node(arena, out, arena_str(arena, v->s));
	}
	return true;
}

/* The same clients each time that people move it on: a configuration's own. */
static void own_salt(struct uuid uid, uint8_t salt[SALT_SIZE])
{
	char bytes[6 + sizeof(uid.b)] = "rules";
	struct sha256 sha;

	memcpy(bytes + 6, uid.b, sizeof(uid.b));
	sha = sha256_of(str_n(bytes, sizeof(bytes)));
	memcpy(salt, sha.b, SALT_SIZE);
}

static bool take_percent(struct request *r, const struct value *v,
			 struct uuid uid, struct rule *out)
{
	const struct value *percent = value_getz(v, "percent");
	const struct value *salt = value_getz(v, "salt");
	bool is_exact;

	if (!percent)
		return !salt || refuse(r, "salt goes with percent");
	if (!percent_read(percent, &out->percent_bp, &is_exact) || !is_exact)
		return refuse(r, "percent is a number from 0 to 100 with at most two "
			      "digits behind the point");
	out->has_percent = true;
	own_salt(uid, out->salt);
	if (salt && !salt_read(value_text(salt), out->salt))
		return refuse(r, "salt has 32 hex digits");
	return true;
}

static bool take_numbers(struct request *r, const struct value *v,
			 struct rule *out)
{
	const struct value *version = value_getz(v, "version_id");
	const struct value *priority = value_getz(v, "priority");
	uint64_t n = 0;

	if ((version && !value_to_u64(version, &n)) || n > UINT32_MAX ||
	    (priority && !value_to_i64(priority, &out->priority)))
		return refuse(r, "version_id and priority must be whole numbers");
	out->version = (uint32_t)n;
	return true;
}

static bool take_rule(struct request *r, struct arena *arena,
		      const struct value *v, struct uuid uid, struct rule *out)
{
	if (v->type != VALUE_OBJECT)
		return refuse(r, "a release is an object {labels, nodes, percent, "
			      "version_id, priority}");
	for (size_t i = 0; i < v->o.n; i++)
		if (!is_known(v->o.m[i].key)) {
			api_fail(r, E_UNPROCESSABLE, "a release has no member "
				 "\"%.*s\"", STR_ARG(v->o.m[i].key));
			return false;
		}
	return take_numbers(r, v, out) &&
	       take_labels(r, arena, value_getz(v, "labels"), out) &&
	       take_nodes(r, arena, value_getz(v, "nodes"), out) &&
	       take_percent(r, v, uid, out);
}

/* Old nodes cannot read it. */
static bool is_told_too_early(struct request *r, const struct rules *rules)
{
	struct store_status status;
	struct err err;

	if (!rules_are_wide(rules))
		return false;
	store_status(caller_of(r)->at->api->config.store, &status);
	if (status.version >= VERSION_GATE)
		return false;
	err_set(&err, E_NOT_YET, "percent and nodes are there from cluster version %d "
		"on, and this cluster is at %llu", VERSION_GATE,
		(unsigned long long)status.version);
	err_hint(&err, VERSION_HINT);
	api_error(r, &err);
	return true;
}

bool api_rules(struct request *r, struct arena *arena, const struct value *list,
	       struct uuid uid, struct rules *out)
{
	struct err err;

	for (size_t i = 0; i < list->a.n; i++)
		if (!take_rule(r, arena, list->a.items[i], uid,
			       rules_add(arena, out)))
			return false;
	if (rules_check(out, &err)) {
		api_error(r, &err);
		return false;
	}
	return !is_told_too_early(r, out);
}

/* ---- in an answer ---- */

static void say_why(struct buf *out, const struct rule *rule)
{
	const char *joint = "";

	if (rule->n_nodes) {
		buf_z(out, "the rule names the instance");
		joint = ", ";
	}
	if (rule->labels.n) {
		buf_z(out, joint);
		buf_z(out, "all labels of the rule match");
		joint = ", ";
	}
	if (rule->has_percent) {
		buf_z(out, joint);
		buf_z(out, "the instance is in its ");
		percent_text(out, rule->percent_bp);
		buf_z(out, " percent");
		joint = ", ";
	}
	if (!joint[0])
		buf_z(out, rule->release ? "the rule is for everybody" :
					   "the default rule");
}

static void pick_json(struct buf *out, const struct rule *rule, int at,
		      const struct client *client)
{
	char name[RELEASE_NAME_MAX];

	buf_printf(out, ",\"version_id\":%u,\"rule\":%d,\"sha256\":\"",
		   rule->version, at);
	buf_hex(out, rule->sha.b, sizeof(rule->sha.b));
	buf_z(out, "\",\"why\":\"");
	say_why(out, rule);
	buf_printf(out, ", priority %lld\"", (long long)rule->priority);
	if (rule->has_percent) {
		buf_z(out, ",\"percent\":");
		percent_text(out, rule->percent_bp);
		buf_printf(out, ",\"bucket\":%u",
			   rules_bucket(rule->salt, client->id));
	}
	if (rule->release) {
		release_name(name, rule->release);
		buf_printf(out, ",\"release\":\"%s\"", name);
	}
}

void resolve_json(struct buf *out, const struct rules *rules,
		  const struct client *client)
{
	int at = rules_pick(rules, client);

	buf_z(out, "{\"labels\":");
	labels_json(out, &client->labels);
	if (client->id.n) {
		buf_z(out, ",\"instance\":");
		buf_json(out, client->id);
	}
	if (at < 0)
		buf_z(out, ",\"version_id\":null,\"rule\":null,\"why\":\"no rule "
			   "matches this client\"");
	else
		pick_json(out, &rules->r[at], at, client);
	at = rules_pick_release(rules, client);
	if (at >= 0 && rules->r[at].version == 0) {
		char name[RELEASE_NAME_MAX];

		release_name(name, rules->r[at].release);
		buf_printf(out, ",\"kept_for\":\"%s\"", name);
	}
	buf_z(out, ",\"releases\":");
	rules_json(out, rules);
	buf_c(out, '}');
}
