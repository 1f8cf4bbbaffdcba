/*
 * What the tests of the reconciler share: a folder of their own with real Git
 * repositories in it, made by the git command.
 */
#ifndef TEST_SOURCE_LAB_H
#define TEST_SOURCE_LAB_H

#include <check.h>
#include <sys/types.h>

#include "base/arena.h"
#include "source/git.h"
#include "source/source.h"
#include "unit.h"

struct lab {
	char dir[64];                    /* of everything */
	char repo[80];                   /* <dir>/repo: a work tree, branch main */
	char url[100];                   /* file://<repo> */
	char clones[80];
	struct arena *arena;
};

void lab_open(struct lab *lab);
void lab_close(struct lab *lab);
/* Runs git in the repository; 'in' is its input.  Answers what it printed,
 * without the line break.  A failure fails the test. */
struct str lab_git_in(struct lab *lab, struct str in, const char *const *argv);
#define lab_git(lab, ...) \
	lab_git_in((lab), STR_NONE, (const char *const[]){ "git", __VA_ARGS__, NULL })
/* Writes a file of the work tree with the folders above it. */
void lab_write(struct lab *lab, const char *path, const char *content);
void lab_write_bytes(struct lab *lab, const char *path, struct str content);
void lab_remove(struct lab *lab, const char *path);
/* Commits all there is; answers the commit. */
struct oid lab_commit(struct lab *lab, const char *message);
struct oid lab_oid(struct lab *lab, const char *rev);
/* The tree of a revision. */
struct oid lab_tree(struct lab *lab, const char *rev);
/* Opens the repository's own .git. */
struct repo *lab_repo(struct lab *lab);

/* Serves what is below lab->dir over https to who sends the token "s3cret". */
struct lab_server {
	pid_t pid;
	int to, from;
	char url[64], host[32];          /* https://<host> */
	char cert[120], key[120];
};
/* 'pushes' is the status that answers who asks to push; "200": he may. */
void lab_serve(struct lab *lab, struct lab_server *server, const char *pushes);
void lab_serve_end(struct lab_server *server);

/* UNIT_MAIN of a test that is its own fetching child, as the daemon is. */
#define FETCHING_UNIT_MAIN(suite_fn)                                           \
	static int unit_main(void);                                            \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		if (argc > 1 && strcmp(argv[1], SOURCE_FETCH_ARG) == 0)        \
			return source_fetch_child_main(argc, argv);            \
		return unit_main();                                            \
	}                                                                      \
	UNIT_MAIN_AS(static, unit_main, suite_fn)

#endif
