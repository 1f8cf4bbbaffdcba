/*
 * Frames of shipping: refused, or encoded again to equal bytes; and a peer that
 * sends whatever it likes to a ship that sends one file and would receive
 * another, frame by frame (two bytes with the length before each): no crash, no
 * file that was not verified, no memory over the bound.
 */
#include <stdint.h>

#include "io/sim/disk.h"
#include "ship/frame.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ship *ship;
static struct ship_job *jobs;
static unsigned sends;

static void one_frame(struct str in)
{
	AUTO_BUF once = BUF_NONE;
	AUTO_BUF twice = BUF_NONE;
	struct ship_frame f, back;

	if (ship_frame_decode(in, &f, NULL))
		return;
	ship_frame_encode(&once, &f);
	must(ship_frame_decode(buf_view(&once), &back, NULL) == OK);
	ship_frame_encode(&twice, &back);
	must(str_eq(buf_view(&once), buf_view(&twice)));
}

static bool take(void *unused, uint64_t peer, struct str frame)
{
	struct ship_frame f;

	must(ship_frame_decode(frame, &f, NULL) == OK);
	return ++sends % 5 != 0;
}

static void queue(void *unused, struct ship_job *job)
{
	job->next = jobs;
	jobs = job;
}

static void run_jobs(uint64_t now)
{
	while (jobs) {
		struct ship_job *job = jobs;

		jobs = job->next;
		ship_job_run(job);
		ship_job_done(ship, now, job);
	}
}

static void received(void *unused, uint64_t peer, const struct ship_offer *o,
		     const char *path)
{
	must(o->shape.size <= 1 << 20);
}

static void start(struct fs *fs)
{
	struct ship_config c;

	ship_config_defaults(&c);
	c.host = (struct ship_host){ .send = take, .work = queue,
				     .received = received };
	c.fs = fs;
	c.dir = "in";
	c.chunk_bytes = c.chunk_bytes_max = SHIP_CHUNK_MIN;
	c.file_bytes_max = 1 << 20;
	c.page_log = 1;
	ship = ship_new(&c);
	must(ship_peer_up(ship, 1000, 7, NULL) == OK);
}

static void one_peer(struct str in, struct fs *fs)
{
	struct ship_file file = { .id = STR("out"), .path = "in/source",
				  .dir = "in", .tree_path = "in/tree" };
	char bytes[5000] = "a file";
	uint64_t now = 1000;

	must(fs->ops->make_dir(fs, "in", NULL) == OK);
	must(fs_put(fs, "in", "in/source", str_n(bytes, sizeof(bytes)), NULL) ==
	     OK);
	start(fs);
	must(ship_send(ship, now, 7, &file, NULL) == OK);
	run_jobs(now);
	while (in.n > 2) {
		size_t n = (unsigned char)in.p[0] +
			   256u * (unsigned char)in.p[1];
		struct str frame = str_first(str_from(in, 2), n);

		if (ship_receive(ship, now, 7, frame, NULL))
			break;
		in = str_from(in, 2 + frame.n);
		/* A while later each time, and sometimes much later. */
		now += frame.n % 16 ? 1 : 50000;
		run_jobs(now);
		ship_timeout(ship, now);
		ship_writable(ship, now, 7);
		run_jobs(now);
	}
	ship_peer_down(ship, 7);
	run_jobs(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk *disk = disk_new(1);
	struct ship_view v;

	one_frame(str_n(data, size));
	sends = 0;
	one_peer(str_n(data, size), disk_fs(disk));
	ship_view(ship, &v);
	must(v.jobs == 0);
	ship_stop(ship);
	ship_free(&ship);
	disk_free(&disk);
	return 0;
}
