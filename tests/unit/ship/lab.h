/*
 * Ships that exchange frames in memory, on simulated disks that may be full or
 * go down; one thread, time moves when nothing else does.  A failure of the lab
 * itself is a must.
 */
#ifndef TESTS_SHIP_LAB_H
#define TESTS_SHIP_LAB_H

#include "base/list.h"
#include "io/sim/disk.h"
#include "ship/frame.h"
#include "ship/ship.h"

#define LAB_NODES 3

/* What comes between a ship and its disk. */
struct lab_fs {
	struct fs fs;
	struct fs *under;
	bool is_full;                    /* writes answer E_FULL */
	bool is_full_in_sync;
	uint64_t writes;                 /* that went through */
};

struct lab_node {
	struct disk *disk;
	struct lab_fs fs;
	struct ship_config config;       /* may be changed before a start */
	struct ship *ship;               /* NULL: it is down */
	struct list links[LAB_NODES];    /* frames on their way to each */
	bool is_up[LAB_NODES];
	bool is_full[LAB_NODES];         /* its links take nothing */
	struct ship_job *jobs, **last;

	unsigned n_sent, n_received, n_failed, n_wanted;
	enum code sent, failed, wants;   /* newest; what 'wanted' answers */
	struct err why;
	uint64_t chunks_sent;
};

struct lab {
	struct lab_node nodes[LAB_NODES];
	uint64_t now_ms;
	/* Sees each frame; false: it is lost, and the connection ends. */
	bool (*look)(unsigned from, unsigned to, struct buf *frame);
};

extern struct lab lab;

/* Nodes 0 to 2 with disks, not started. */
void lab_init(void);
void lab_fini(void);
void lab_start(unsigned node);
/* The process ends, or the power; not the disk of the test. */
void lab_crash(unsigned node, bool power);
void lab_connect(unsigned a, unsigned b);
void lab_cut(unsigned a, unsigned b);
/* Only one direction ends, with what was on its way; its sender hears of it at
 * once, its receiver before the next frame, and it is there again. */
void lab_half_cut(unsigned from, unsigned to);

/* One job of a node, the frame that comes next on a link; false: there is none. */
bool lab_job(unsigned node);
bool lab_deliver(unsigned from, unsigned to);
/* One thing happens: a frame arrives, a job is run.  False: nothing is there to
 * happen but time. */
bool lab_step(void);
/* Time goes to the next deadline; false: there is none. */
bool lab_wait(void);
/* Until nothing is left to happen before 'ms' from now. */
void lab_run(uint64_t ms);
bool lab_is_down(void);                  /* a disk went down */

/* A file of so many bytes, from 'seed'; and whether another one equals it. */
void lab_make(unsigned node, const char *path, uint64_t bytes, uint64_t seed);
bool lab_has(unsigned node, const char *path, uint64_t bytes, uint64_t seed);
bool lab_exists(unsigned node, const char *path);
void lab_flip(unsigned node, const char *path, uint64_t at);
enum code lab_send(unsigned from, unsigned to, const char *id);   /* "src/<id>" */

#endif
