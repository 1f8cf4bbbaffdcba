/* See processors.h. */
#include "daemon/processors.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/buf.h"

#include "base/banned.h"

#define TEXT_MAX 8192u
#define CGROUP "sys/fs/cgroup"

static unsigned by_affinity(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return MAX((unsigned)CPU_COUNT(&set), 1u);
	/* More processors than a set of this size can name. */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (unsigned)online : 1;
}

/* The begin of a file, which may be one of /proc and /sys that tells no size; false:
 * there is none. */
static bool slurp(const char *root, const char *dir, struct str path,
		  const char *name, struct buf *out)
{
	AUTO_BUF full = BUF_NONE;
	ssize_t n;
	int fd;

	buf_printf(&full, "%s/%s/%.*s/%s", root, dir, STR_ARG(path), name);
	fd = open(full.p, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	buf_reset(out);
	n = read(fd, buf_extend(out, TEXT_MAX), TEXT_MAX);
	buf_cut(out, n > 0 ? (size_t)n : 0);
	close(fd);
	return n > 0;
}

static unsigned whole(uint64_t quota, uint64_t period)
{
	uint64_t n = period ? (quota + period - 1) / period : UINT32_MAX;

	return (unsigned)MIN(MAX(n, 1u), (uint64_t)UINT32_MAX);
}

/* "max 100000" or "150000 100000" of this group and those above it. */
static unsigned by_cpu_max(const char *root, struct str path)
{
	unsigned least = UINT32_MAX;
	AUTO_BUF text = BUF_NONE;

	for (;;) {
		size_t slash = path.n;
		uint64_t quota, period;

		if (slurp(root, CGROUP, path, "cpu.max", &text)) {
			struct str period_text = str_trim(buf_view(&text));
			struct str quota_text = str_cut(&period_text, ' ');

			if (str_u64(quota_text, &quota) &&
			    str_u64(period_text, &period))
				least = MIN(least, whole(quota, period));
		}
		if (path.n == 0)
			return least;
		while (slash > 0 && path.p[slash - 1] != '/')
			slash--;
		path = str_first(path, slash ? slash - 1 : 0);
	}
}

static unsigned by_cfs_quota(const char *root, struct str path)
{
	static const char *const dirs[] = { CGROUP "/cpu", CGROUP "/cpu,cpuacct" };
	AUTO_BUF quota_text = BUF_NONE;
	AUTO_BUF period_text = BUF_NONE;
	uint64_t quota, period;

	/* "-1" is no number: there is no quota. */
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (slurp(root, dirs[i], path, "cpu.cfs_quota_us", &quota_text) &&
		    slurp(root, dirs[i], path, "cpu.cfs_period_us",
			  &period_text) &&
		    str_u64(str_trim(buf_view(&quota_text)), &quota) &&
		    str_u64(str_trim(buf_view(&period_text)), &period))
			return whole(quota, period);
	return UINT32_MAX;
}

static bool names_cpu(struct str controllers)
{
	while (controllers.n)
		if (str_is(str_cut(&controllers, ','), "cpu"))
			return true;
	return false;
}

/* Lines "0::/path" (version 2) and "4:cpu,cpuacct:/path" (version 1). */
static unsigned by_groups(const char *root)
{
	unsigned least = UINT32_MAX;
	AUTO_BUF text = BUF_NONE;
	struct str rest;

	if (!slurp(root, "proc/self", STR(""), "cgroup", &text))
		return least;
	rest = buf_view(&text);
	while (rest.n) {
		struct str path = str_cut(&rest, '\n');
		struct str id = str_cut(&path, ':');
		struct str controllers = str_cut(&path, ':');

		if (path.n && path.p[0] == '/')
			path = str_from(path, 1);
		if (str_is(id, "0") && controllers.n == 0)
			least = MIN(least, by_cpu_max(root, path));
		else if (names_cpu(controllers))
			/* A container may see its own group as the topmost. */
			least = MIN(least, MIN(by_cfs_quota(root, path),
					       by_cfs_quota(root, STR(""))));
	}
	return least;
}

unsigned processors_usable(const char *root)
{
	return MIN(by_affinity(), by_groups(root));
}
