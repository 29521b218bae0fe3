// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who may do what, and when, as clang checks it (-Wthread-safety, scripts/annotations).
// Other compilers see nothing of it.
//
// A capability is what one has to have: a Mutex (store/mutex.h), or a Role, which is
// nothing but a name for "the thread that ..." or "whoever has the right to ...".
//
//   GUARDED_BY(c)           a member: only with c
//   REQUIRES(c), EXCLUDES   a function: the caller has c, or has not
//   ACQUIRE, TRY_ACQUIRE(true, c), RELEASE, ASSERT_CAPABILITY   it gives or takes c
//
// What clang does not see is whom a lambda is called by: one that runs with a capability
// begins with AssertHeld().
#pragma once

#ifdef __clang__
#define SCSI_PR_ANNOTATION(attribute) __attribute__((attribute))
#else
#define SCSI_PR_ANNOTATION(attribute)
#endif

#define CAPABILITY(name) SCSI_PR_ANNOTATION(capability(name))
#define SCOPED_CAPABILITY SCSI_PR_ANNOTATION(scoped_lockable)
#define GUARDED_BY(capability) SCSI_PR_ANNOTATION(guarded_by(capability))
#define REQUIRES(...) SCSI_PR_ANNOTATION(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) SCSI_PR_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) SCSI_PR_ANNOTATION(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) SCSI_PR_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) SCSI_PR_ANNOTATION(release_capability(__VA_ARGS__))
#define ASSERT_CAPABILITY(...) SCSI_PR_ANNOTATION(assert_capability(__VA_ARGS__))
// Of a function whose callers clang checks, but not what it does itself.
#define NO_THREAD_SAFETY_ANALYSIS SCSI_PR_ANNOTATION(no_thread_safety_analysis)

namespace scsi_pr {

class CAPABILITY("role") Role {
 public:
  // They say so, to clang alone.
  void AssertHeld() const ASSERT_CAPABILITY(this) {}
  void Release() const RELEASE() {}
};

// The two locks that the participants of a store share (store/sharing.h), whichever store
// that is: nobody has those of two at a time.
inline constexpr Role kRightToChange{};
inline constexpr Role kMembersLock{};

}  // namespace scsi_pr
