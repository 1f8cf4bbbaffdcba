/*
 * What a publish costs in apply, without log, network and HTTP: each node of a
 * cluster does this for each.
 *
 *	apply [PUBLISHES [BATCH]]
 *
 * 256 bytes, each time of a new content, to one configuration, BATCH commands a
 * transaction.  A line of JSON: microseconds of the processor a publish, and the rows
 * and bytes that one writes.  The first of them, in which versions and Releases come to
 * their limits, are not counted: for instructions (valgrind --tool=callgrind) compare
 * two numbers of PUBLISHES.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "state/state.h"

#include "base/banned.h"

#define FIRST 1100u                      /* more than limits.releases_max */
#define TIME_MS 1700000000000

static struct rc_machine machine;
static struct arena *arena;
static uint64_t at;
static double us;                        /* of the processor, in the machine */

static void on_outcome(void *data, uint64_t id, const struct outcome *o)
{
	if (o->code) {
		fprintf(stderr, "apply: %s\n", o->text);
		exit(1);
	}
}

static struct command *begin(void)
{
	struct command *c = ANEW(arena, struct command);

	c->type = COMMAND_OPS;
	c->time_ms = TIME_MS + at;
	c->subject = (struct subject){ .name = STR("token:root"), .role = ROLE_ROOT };
	c->credential = STR("token root (3f2a6c1d)");
	c->origin = STR("127.0.0.1:51120");
	return c;
}

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void apply(struct command *const *commands, size_t n)
{
	struct rc_entry *e = arena_zero(arena, n * sizeof(*e));
	struct err err = { 0 };

	for (size_t i = 0; i < n; i++) {
		AUTO_BUF b = BUF_NONE;

		command_encode(&b, commands[i]);
		e[i] = (struct rc_entry){ .index = ++at, .term = 1, .id = at,
					  .is_command = true,
					  .data = arena_str(arena, buf_view(&b)) };
	}
	us -= cpu_us();
	if (rc_machine_apply(&machine, e, n, &err)) {
		fprintf(stderr, "apply: %s\n", err.text);
		exit(1);
	}
	us += cpu_us();
	arena_reset(arena);
}

static struct op *put(struct command *c, enum kind_id kind, struct str name)
{
	struct op *op = command_op(arena, c, OP_OBJECT_PUT);

	op->kind = kind;
	op->name = name;
	op->uid = uuid_new();
	op->labels = op->meta = op->spec = STR("{}");
	return op;
}

static void make_config(void)
{
	struct command *v = begin(), *t = begin(), *c = begin();
	struct op *op;

	v->type = COMMAND_VERSION;
	v->version = CLUSTER_VERSION;
	put(t, KIND_TENANT, STR("acme"));
	op = put(c, KIND_CONFIG, STR("shop.prod.c.txt"));
	op->tenant = STR("acme");
	op->application = STR("shop");
	op->environment = STR("prod");
	op->config_name = STR("c.txt");
	op->format = STR("text");
	apply((struct command *[]){ v, t, c }, 3);
}

static struct command *publish(unsigned i)
{
	struct command *c = begin();
	struct content_part *part = command_content(arena, c);
	struct op *op = command_op(arena, c, OP_VERSION_ADD);

	part->tenant = op->tenant = STR("acme");
	part->bytes = arena_printf(arena, "%0256u", i);
	part->sha = op->sha = sha256_of(part->bytes);
	op->kind = KIND_CONFIG;
	op->name = STR("shop.prod.c.txt");
	op->size = part->bytes.n;
	op->release = true;
	return c;
}

static void publish_all(unsigned from, unsigned to, unsigned batch)
{
	while (from < to) {
		unsigned n = MIN(batch, to - from);
		struct command **c = arena_zero(arena, n * sizeof(struct command *));

		for (unsigned i = 0; i < n; i++)
			c[i] = publish(from++);
		apply(c, n);
	}
}

static void written(struct state *s, uint64_t *rows, uint64_t *bytes)
{
	struct kv *kv = state_kv(s);

	kv_written(kv, rows, bytes);
	kv_close(&kv);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
	unsigned batch = argc > 2 ? (unsigned)atoi(argv[2]) : 16;
	uint64_t rows[2], bytes[2];
	char dir[] = "bench-apply-XXXXXX";
	struct rc_applied applied = { 0 };
	struct state *s = state_new(&(struct state_config){
		.map_bytes = 1ull << 34, .boot_id = "b", .on_outcome = on_outcome });
	struct err err = { 0 };

	arena = arena_new(1 << 20);
	machine = state_machine(s);
	if (n == 0 || batch == 0 || kinds_load(&err) || !mkdtemp(dir) ||
	    machine.open(machine.data, dir, NULL, &applied, &err)) {
		fprintf(stderr, "apply: %s\n", err.text);
		return 1;
	}
	make_config();
	publish_all(0, FIRST, batch);
	written(s, &rows[0], &bytes[0]);
	us = 0;
	publish_all(FIRST, FIRST + n, batch);
	written(s, &rows[1], &bytes[1]);
	printf("{\"us\":%.2f,\"rows\":%.2f,\"bytes\":%.0f}\n", us / n,
	       (double)(rows[1] - rows[0]) / n, (double)(bytes[1] - bytes[0]) / n);
	machine.close(machine.data);
	state_free(&s);
	arena_free(&arena);
	return 0;
}
