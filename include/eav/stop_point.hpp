// Named places in the code where a test can stop a session, to let others do something in between:
// test/stop_points. Only in a build of its own (make STOP_POINTS=1); in any other there is no trace
// of them, which test/suites/isolation.sh checks.
//
// A session stops at the points that its setting eav.stop_at names, separated by commas, as long as
// somebody else holds the advisory lock pg_advisory_lock(hashtext(name)).
#pragma once

#ifdef EAV_STOP_POINTS

namespace eav::stop_points {

void define_setting();

// Waits for the lock, so that pg_blocking_pids() shows it, without a time limit. May raise an
// error, as any wait for a lock.
void stop(const char* name);
// For callbacks of commit, where nothing may be waited for in that way and nothing may be raised:
// looks at the lock again and again. In pg_stat_activity its wait_event is Extension.
void stop_in_commit(const char* name);

}  // namespace eav::stop_points

#define EAV_STOP_POINT(name) ::eav::stop_points::stop(name)
#define EAV_STOP_POINT_IN_COMMIT(name) ::eav::stop_points::stop_in_commit(name)

#else

#define EAV_STOP_POINT(name) static_cast<void>(0)
#define EAV_STOP_POINT_IN_COMMIT(name) static_cast<void>(0)

#endif
