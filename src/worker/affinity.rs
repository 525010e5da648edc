//! Keeping a worker on one core, so that its caches stay warm (`server.pin_workers`).
//!
//! Off by default: on a machine shared with other programs a pinned worker waits for its core while
//! another is free.

/// Keeps the calling thread on the `worker`-th of the cores this process may run on, counted round
/// if there are fewer. What `taskset` or a container allows stays the limit. A system that refuses
/// costs a line in the log, nothing else.
#[cfg(target_os = "linux")]
pub(super) fn pin(worker: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let pinned = sched_getaffinity(None).and_then(|allowed| {
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|&core| allowed.is_set(core))
            .collect();
        let core = nth_round(&cores, worker).unwrap_or_default();
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).map(|()| core)
    });
    match pinned {
        Ok(core) => tracing::info!(worker, core, "worker pinned"),
        Err(error) => tracing::warn!(worker, %error, "cannot pin the worker to a core"),
    }
}

/// Says that there is no pinning here.
#[cfg(not(target_os = "linux"))]
pub(super) fn pin(worker: usize) {
    tracing::warn!(
        worker,
        "server.pin_workers needs Linux; the worker is not pinned"
    );
}

#[cfg(target_os = "linux")]
fn nth_round(cores: &[usize], n: usize) -> Option<usize> {
    cores.iter().copied().cycle().nth(n)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::sched_getaffinity;

    #[test]
    fn more_workers_than_cores_go_round() {
        let placed: Vec<_> = (0..5).map(|n| nth_round(&[2, 3], n)).collect();
        assert_eq!(placed, [Some(2), Some(3), Some(2), Some(3), Some(2)]);
        assert_eq!(nth_round(&[], 1), None);
    }

    #[test]
    fn a_pinned_thread_may_run_on_one_core_only() {
        let allowed = std::thread::spawn(|| {
            pin(1);
            sched_getaffinity(None).map(|cores| cores.count())
        });
        let count = allowed.join().ok().and_then(Result::ok);
        assert_eq!(count, Some(1));
    }
}
