/*
 * A disk of some KiB that gets full in earnest: a tmpfs in a namespace of mounts that
 * ends with the process.  Who writes a hole of it through a map while it is full gets the
 * signal (SIGBUS) that a disk without room gives; who reads one there gets it too.
 *
 * It takes the right to mount (root, or namespaces of users); a test without it is
 * skipped (tiny_disk_main).  One thread.
 */
#ifndef TESTS_TINY_DISK_H
#define TESTS_TINY_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where it is mounted, in the process that did; made by tiny_disk_main. */
static char tiny_disk[64];

static inline void tiny_disk_say(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static inline bool tiny_disk_own_mounts(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[32];

	if (unshare(CLONE_NEWNS) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	tiny_disk_say("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	tiny_disk_say("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	tiny_disk_say("/proc/self/gid_map", map);
	return true;
}

static inline bool tiny_disk_mount(unsigned kib)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%uk", kib);
	return tiny_disk_own_mounts() &&
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		mount("none", tiny_disk, "tmpfs", 0, options) == 0;
}

static inline const char *tiny_disk_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", tiny_disk, name);
	return path;
}

/* Somebody else takes what is left; and gives it back. */
static inline void tiny_disk_fill(void)
{
	static char block[4096];
	int fd = open(tiny_disk_path("other"),
		      O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
}

static inline void tiny_disk_empty(void)
{
	unlink(tiny_disk_path("other"));
}

/* What has nothing in it but zeros loses its blocks, behind the file's end as well. */
static inline void tiny_disk_punch(int fd)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	static const char none[4096];
	char block[4096];
	off_t at = 0;

	for (; pread(fd, block, sizeof(block), at) == sizeof(block); at += sizeof(block))
		if (memcmp(block, none, sizeof(block)) == 0)
			(void)!fallocate(fd, mode, at, sizeof(block));
	(void)!fallocate(fd, mode, at, 64 << 20);
}

/* Exit code 77 where it cannot be mounted. */
static inline int tiny_disk_main(int (*run)(void))
{
	int rc = 0;
	pid_t child;

	snprintf(tiny_disk, sizeof(tiny_disk), "/tmp/conflux-disk-XXXXXX");
	if (!mkdtemp(tiny_disk))
		return 1;
	child = fork();
	if (child == 0)
		_exit(!tiny_disk_mount(64));
	if (child < 0 || waitpid(child, &rc, 0) != child || rc) {
		printf("needs the right to mount\n");
		rc = 77;
	} else {
		rc = run();
	}
	rmdir(tiny_disk);
	return rc;
}

#endif
