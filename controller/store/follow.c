/* Who is woken when something new is visible: see store.h. */
#include "store/own.h"

#include "base/banned.h"

static void wake_home(struct msg *msg)
{
	struct follower *f = container_of(msg, struct follower, wake_);

	atomic_store(&f->posted_, false);
	f->wake(f, atomic_load(&f->rev_));
}

void followers_tell(struct store *s, uint64_t rev)
{
	struct follower *f;

	list_each(&s->followers, f, at_) {
		atomic_store(&f->rev_, rev);
		if (!atomic_load(&f->rests_) && !atomic_exchange(&f->posted_, true))
			loop_post_sure(f->home, &f->wake_);
	}
}

static void follow_here(struct msg *msg)
{
	struct follower *f = container_of(msg, struct follower, follow_);

	list_append(&f->store_->followers, &f->at_);
}

void store_follow(struct store *s, struct follower *f)
{
	f->store_ = s;
	list_init(&f->at_);
	f->wake_.run = wake_home;
	f->follow_.run = follow_here;
	atomic_store(&f->posted_, false);
	atomic_store(&f->rests_, false);
	loop_post_sure(s->core, &f->follow_);
}

/* Either what was published is seen by who looks behind this, or it finds the word
 * (followers_tell): all of it is in one order, so neither misses the other. */
void follower_rests(struct follower *f, bool rests)
{
	if (atomic_load_explicit(&f->rests_, memory_order_relaxed) != rests)
		atomic_store(&f->rests_, rests);
}

static void stopped_home(struct msg *msg)
{
	struct follower *f = container_of(msg, struct follower, unfollow_);

	f->stopped_(f);
}

/* Wake-ups that were posted before run on the home loop before this. */
static void unfollow_here(struct msg *msg)
{
	struct follower *f = container_of(msg, struct follower, unfollow_);

	list_remove(&f->at_);
	f->unfollow_.run = stopped_home;
	loop_post_sure(f->home, &f->unfollow_);
}

void store_unfollow(struct store *s, struct follower *f,
		    void (*stopped)(struct follower *f))
{
	f->stopped_ = stopped;
	f->unfollow_.run = unfollow_here;
	loop_post_sure(s->core, &f->unfollow_);
}
