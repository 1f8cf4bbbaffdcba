/*
 * What clients of Kubernetes ask before they ask for anything: groups and resources
 * (discovery), schemas (OpenAPI), and namespaces, which are the tenants.  All but these
 * follows from schemas/kinds/ and is the same for everybody who may read anything.
 */
#include "api/kube.h"

#include "base/clock.h"

#include "base/banned.h"

static void answer_json(struct request *r, const struct buf *body)
{
	answer(r, 200, "application/json", buf_view(body));
}

/* ---- discovery ---- */

static void names(struct buf *out, const struct str *all, size_t n)
{
	buf_c(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_c(out, ',');
		buf_json(out, all[i]);
	}
	buf_c(out, ']');
}

static void resource(struct buf *out, const struct kind *k)
{
	buf_z(out, "{\"name\":");
	buf_json(out, k->plural);
	buf_printf(out, ",\"singularName\":\"%.*s\",\"namespaced\":%s,\"kind\":\"%.*s\","
		   "\"verbs\":[%s\"get\",\"list\",%s\"watch\"],\"shortNames\":",
		   STR_ARG(k->singular), k->namespaced ? "true" : "false",
		   STR_ARG(k->name), k->is_system ? "" : "\"create\",\"delete\",",
		   k->is_system ? "" : "\"patch\",\"update\",");
	names(out, k->short_names, k->n_short_names);
	buf_z(out, ",\"categories\":");
	names(out, k->categories, k->n_categories);
	buf_c(out, '}');
}

void get_kube_resources(struct request *r)
{
	const struct kind *const *all;
	size_t n = kinds_all(&all);
	AUTO_BUF out = BUF_NONE;

	buf_z(&out, "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\""
		    API_GROUP_VERSION "\",\"resources\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_c(&out, ',');
		resource(&out, all[i]);
	}
	buf_z(&out, "]}");
	answer_json(r, &out);
}

#define VERSION_JSON \
	"{\"groupVersion\":\"" API_GROUP_VERSION "\",\"version\":\"" API_VERSION "\"}"
#define GROUP_MEMBERS                                                                \
	"\"name\":\"" API_GROUP "\",\"versions\":[" VERSION_JSON "],"                \
	"\"preferredVersion\":" VERSION_JSON

void get_kube_group(struct request *r)
{
	answer(r, 200, "application/json",
	       STR("{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\"," GROUP_MEMBERS "}"));
}

void get_kube_groups(struct request *r)
{
	answer(r, 200, "application/json",
	       STR("{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[{"
		   GROUP_MEMBERS "}]}"));
}

void get_kube_versions(struct request *r)
{
	answer(r, 200, "application/json",
	       STR("{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],"
		   "\"serverAddressByClientCIDRs\":[]}"));
}

void get_kube_core(struct request *r)
{
	answer(r, 200, "application/json",
	       STR("{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":"
		   "\"v1\",\"resources\":[{\"name\":\"namespaces\",\"singularName\":"
		   "\"namespace\",\"namespaced\":false,\"kind\":\"Namespace\",\"verbs\":"
		   "[\"get\",\"list\"],\"shortNames\":[\"ns\"]}]}"));
}

/* ---- namespaces ---- */

static void namespace_json(struct buf *out, const struct object_view *tenant)
{
	char uid[37], time[RFC3339_MAX];

	uuid_text(uid, tenant->row.uid);
	clock_rfc3339(time, tenant->row.created_ms, false);
	buf_z(out, "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":");
	buf_json(out, tenant->name);
	buf_printf(out, ",\"uid\":\"%s\",\"resourceVersion\":\"%llu\","
		   "\"creationTimestamp\":\"%s\"},\"spec\":{\"finalizers\":"
		   "[\"kubernetes\"]},\"status\":{\"phase\":\"Active\"}}",
		   uid, (unsigned long long)tenant->rev, time);
}

void get_kube_namespace(struct request *r)
{
	struct str name = r->in->args[0];
	AUTO_BUF out = BUF_NONE;
	struct object_view o;
	struct kv_txn *txn;
	struct err err;

	if (!api_may(r, VERB_GET, KIND_TENANT, STR_NONE, name) || !api_view(r, &txn))
		return;
	if (view_object(txn, KIND_TENANT, STR_NONE, name, &o, &err)) {
		api_fail(r, E_NOT_FOUND, "namespaces \"%.*s\" not found", STR_ARG(name));
		return;
	}
	namespace_json(&out, &o);
	answer_json(r, &out);
}

struct namespaces {
	struct buf out;
	bool has_one;
};

static bool one_namespace(void *data, const struct object_view *tenant)
{
	struct namespaces *all = data;

	if (all->has_one)
		buf_c(&all->out, ',');
	all->has_one = true;
	namespace_json(&all->out, tenant);
	return true;
}

void get_kube_namespaces(struct request *r)
{
	struct namespaces all = { 0 };
	struct kv_txn *txn;
	struct head head;
	struct err err;

	if (!api_may(r, VERB_LIST, KIND_TENANT, STR_NONE, STR_NONE) || !api_view(r, &txn))
		return;
	if (view_head(txn, &head, &err))
		goto failed;
	buf_printf(&all.out, "{\"kind\":\"NamespaceList\",\"apiVersion\":\"v1\",\"metadata\":"
		   "{\"resourceVersion\":\"%llu\"},\"items\":[",
		   (unsigned long long)head.rev);
	if (view_list(txn, KIND_TENANT, STR_NONE, STR_NONE, STR_NONE, one_namespace, &all,
		      &err))
		goto failed;
	buf_z(&all.out, "]}");
	answer_json(r, &all.out);
	buf_fini(&all.out);
	return;
failed:
	buf_fini(&all.out);
	api_error(r, &err);
}

/* ---- OpenAPI ---- */

static void gvk(struct buf *out, const struct kind *k)
{
	buf_printf(out, "{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%.*s\"}", API_GROUP,
		   API_VERSION, STR_ARG(k->name));
}

/* That the server checks fields is what `fieldValidation` says: without it kubectl
 * checks by itself, against a document that is not served. */
static void operation(struct buf *out, const char *method, const char *action,
		      const struct kind *k)
{
	buf_printf(out, "\"%s\":{\"operationId\":\"%s%.*s\",\"parameters\":[{\"name\":"
		   "\"dryRun\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}},{\"name\":"
		   "\"fieldValidation\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}}],"
		   "\"responses\":{\"200\":{\"description\":\"OK\"}},"
		   "\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":",
		   method, action, STR_ARG(k->name), action);
	gvk(out, k);
	buf_c(out, '}');
}

static void paths(struct buf *out, const struct kind *k)
{
	const char *where = k->namespaced ? "namespaces/{namespace}/" : "";

	buf_printf(out, "\"/apis/" API_GROUP_VERSION "/%s%.*s\":{", where,
		   STR_ARG(k->plural));
	operation(out, "get", "list", k);
	if (!k->is_system) {
		buf_c(out, ',');
		operation(out, "post", "post", k);
	}
	buf_printf(out, "},\"/apis/" API_GROUP_VERSION "/%s%.*s/{name}\":{", where,
		   STR_ARG(k->plural));
	operation(out, "get", "get", k);
	if (!k->is_system) {
		buf_c(out, ',');
		operation(out, "put", "put", k);
		buf_c(out, ',');
		operation(out, "patch", "patch", k);
		buf_c(out, ',');
		operation(out, "delete", "delete", k);
	}
	buf_c(out, '}');
}

#define META_REF "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

static void schema(struct buf *out, const struct kind *k)
{
	buf_printf(out, ",\"io.conflux.gitops." API_VERSION ".%.*s\":{\"type\":\"object\","
		   "\"description\":", STR_ARG(k->name));
	buf_json(out, k->description);
	buf_z(out, ",\"x-kubernetes-group-version-kind\":[");
	gvk(out, k);
	buf_z(out, "],\"properties\":{\"apiVersion\":{\"type\":\"string\",\"description\":\""
		   API_GROUP_VERSION "\"},\"kind\":{\"type\":\"string\",\"description\":\"");
	buf_str(out, k->name);
	buf_z(out, "\"},\"metadata\":{\"description\":\"Name, labels and annotations.\","
		   "\"allOf\":[{\"$ref\":\"#/components/schemas/" META_REF "\"}]}");
	if (k->spec_schema) {
		buf_z(out, ",\"spec\":");
		value_json(out, k->spec_schema);
	}
	if (k->status_schema) {
		buf_z(out, ",\"status\":");
		value_json(out, k->status_schema);
	}
	buf_z(out, "}}");
}

static void meta_schema(struct buf *out)
{
	static const char *const texts[] = {
		"name", "namespace", "uid", "resourceVersion", "creationTimestamp",
	};

	buf_z(out, "\"" META_REF "\":{\"type\":\"object\",\"description\":\"What all objects "
		   "have.\",\"properties\":{");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		buf_printf(out, "\"%s\":{\"type\":\"string\"},", texts[i]);
	buf_z(out, "\"generation\":{\"type\":\"integer\",\"format\":\"int64\"},"
		   "\"labels\":{\"type\":\"object\",\"additionalProperties\":{\"type\":"
		   "\"string\"}},\"annotations\":{\"type\":\"object\","
		   "\"additionalProperties\":{\"type\":\"string\"}}}}");
}

static void document(struct buf *out)
{
	const struct kind *const *all;
	size_t n = kinds_all(&all);

	buf_z(out, "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Conflux\",\"version\":\""
		   API_VERSION "\"},\"paths\":{");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_c(out, ',');
		paths(out, all[i]);
	}
	buf_z(out, "},\"components\":{\"schemas\":{");
	meta_schema(out);
	for (size_t i = 0; i < n; i++)
		schema(out, all[i]);
	buf_z(out, "}}}");
}

void get_openapi_v3(struct request *r)
{
	AUTO_BUF text = BUF_NONE;
	AUTO_BUF out = BUF_NONE;
	struct sha256 sha;
	char hash[65];

	document(&text);
	sha = sha256_of(buf_view(&text));
	sha256_hex(hash, &sha);
	buf_printf(&out, "{\"paths\":{\"apis/" API_GROUP_VERSION "\":{\"serverRelativeURL\":"
		   "\"/openapi/v3/apis/" API_GROUP_VERSION "?hash=%.32s\"}}}", hash);
	answer_json(r, &out);
}

void get_openapi_v3_group(struct request *r)
{
	AUTO_BUF out = BUF_NONE;

	document(&out);
	/* Its address has its digest, so it never changes there. */
	if (request_query(r, "hash"))
		answer_header(r, "Cache-Control", STR("private, max-age=31536000, immutable"));
	answer_json(r, &out);
}

/* {swagger: "2.0"} in protobuf, and nothing else: kubectl wants one to be there, and
 * since 1.27 takes what it needs from the third. */
void get_openapi_v2(struct request *r)
{
	answer(r, 200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
	       STR("\n\0032.0"));
}
