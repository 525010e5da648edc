//! How much memory there is and how much is used: by the container if that has a limit, else by the process.

use super::{AUTO_SHARE, MemoryUse};
use crate::config::MemoryLimit;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Where control groups are mounted, with the names that their two versions have for the same files.
const HIERARCHIES: [Hierarchy; 2] = [
    Hierarchy {
        root: "/sys/fs/cgroup",
        controller: "",
        limit: "memory.max",
        usage: "memory.current",
        prefix: "",
    },
    Hierarchy {
        root: "/sys/fs/cgroup/memory",
        controller: "memory",
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        prefix: "total_",
    },
];

/// One version of control groups (the kernel's cgroup-v2.rst and cgroup-v1/memory.rst).
#[derive(Clone, Copy, Debug)]
struct Hierarchy {
    root: &'static str,
    /// What the line of `/proc/self/cgroup` has between its colons.
    controller: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// What a figure of `memory.stat` begins with that counts the groups below too.
    prefix: &'static str,
}

/// The control group with the tightest limit that this process is in.
#[derive(Clone, Debug)]
struct Container {
    hierarchy: Hierarchy,
    directory: PathBuf,
    limit: u64,
}

impl Hierarchy {
    /// The group's own directory and all above. In a container the path may be one that only the machine outside knows:
    /// what is there then is the root, which is the container's own.
    fn directories(&self, groups: &str, root: &Path) -> Vec<PathBuf> {
        let line = groups.lines().find_map(|line| {
            let (_number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let is_ours = controllers.split(',').any(|name| name == self.controller);
            is_ours.then_some(path)
        });
        let own = line.unwrap_or("/").trim_start_matches('/');
        let below = Path::new(own).ancestors();
        below.map(|path| root.join(path)).collect()
    }

    fn tightest(self, groups: &str, root: &Path) -> Option<Container> {
        let directories = self.directories(groups, root).into_iter();
        let limited = directories.filter_map(|directory| {
            // "max" is no number and means no limit.
            let limit = read_number(&directory.join(self.limit))?;
            Some(Container {
                hierarchy: self,
                directory,
                limit,
            })
        });
        limited.min_by_key(|container| container.limit)
    }
}

impl Container {
    fn find() -> Option<Self> {
        let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
        let of = |hierarchy: Hierarchy| hierarchy.tightest(&groups, Path::new(hierarchy.root));
        let found = HIERARCHIES.into_iter().filter_map(of);
        found.min_by_key(|container| container.limit)
    }

    /// What the kernel cannot have back by forgetting files: it would do that before it ends a process.
    fn used(&self) -> Option<u64> {
        let usage = read_number(&self.directory.join(self.hierarchy.usage))?;
        let stat = read_to_string(self.directory.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            let name = name.strip_prefix(self.hierarchy.prefix)?;
            let is_cache = matches!(name, "active_file" | "inactive_file");
            is_cache.then(|| bytes.trim().parse::<u64>().ok()).flatten()
        });
        Some(usage.saturating_sub(cached.sum()))
    }
}

fn read_number(path: &Path) -> Option<u64> {
    read_to_string(path).ok()?.trim().parse().ok()
}

/// Memory of the machine.
fn machine() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

/// Memory of this process that is not swapped out; `None` where there is no `/proc`.
#[must_use]
pub fn resident() -> Option<u64> {
    kibibytes("/proc/self/status", "VmRSS:")
}

fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The smaller of the machine's memory and the container's limit; `None` where neither is told.
#[must_use]
pub fn available() -> Option<u64> {
    let container = Container::find().map(|container| container.limit);
    container.into_iter().chain(machine()).min()
}

/// Where a reading comes from, and what it is held against.
#[derive(Clone, Debug)]
pub struct MemorySource {
    limit: u64,
    /// The container, where the limit is a share of its.
    container: Option<Container>,
}

impl MemorySource {
    /// Of a setting. `"auto"` holds the container's memory against three quarters of its limit, or where it has none that
    /// is below the machine's, this process' against three quarters of that; a number of bytes is held against this process.
    #[must_use]
    pub fn new(limit: MemoryLimit) -> Self {
        let container = match limit {
            MemoryLimit::Auto => Container::find(),
            MemoryLimit::Off | MemoryLimit::Bytes(_) => None,
        };
        Self::of(limit, container, machine())
    }

    fn of(limit: MemoryLimit, container: Option<Container>, machine: Option<u64>) -> Self {
        let machine = machine.unwrap_or(u64::MAX);
        let container = container.filter(|container| container.limit < machine);
        let limit = match limit {
            MemoryLimit::Off => 0,
            MemoryLimit::Bytes(bytes) => bytes,
            MemoryLimit::Auto => {
                let of = container.as_ref().map_or(machine, |found| found.limit);
                let (share, whole) = AUTO_SHARE;
                // Where nobody tells how much there is, there is no limit.
                if of == u64::MAX {
                    0
                } else {
                    of / whole * share
                }
            }
        };
        Self { limit, container }
    }

    /// Bytes to stay under; 0 = no limit.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Is it the container's memory that counts?
    #[must_use]
    pub fn is_of_container(&self) -> bool {
        self.container.is_some()
    }

    /// What is used now. Reads two small files of the kernel's, which takes microseconds.
    #[must_use]
    pub fn read(&self) -> MemoryUse {
        let limit = self.limit;
        let used = match &self.container {
            _ if limit == 0 => None,
            Some(container) => container.used(),
            None => resident(),
        };
        MemoryUse {
            // Where nobody tells, nothing is given up.
            used: used.unwrap_or(0),
            limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: Hierarchy = HIERARCHIES[0];
    const V1: Hierarchy = HIERARCHIES[1];

    /// A directory of groups with these files.
    fn groups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_limit_above_the_process_counts_with_all_in_its_group() {
        let root = groups(&[
            ("a.slice/memory.max", "1000000\n"),
            ("a.slice/memory.current", "700000\n"),
            (
                "a.slice/memory.stat",
                "anon 5\nfile 9\nactive_file 200000\ninactive_file 100000\n",
            ),
            ("a.slice/b.service/memory.max", "max\n"),
            ("a.slice/b.service/memory.current", "5\n"),
        ]);
        let line = "1:cpu:/x\n0::/a.slice/b.service\n";
        let container = V2.tightest(line, root.path()).unwrap();
        assert_eq!(
            (container.limit, container.used()),
            (1_000_000, Some(400_000))
        );
        assert!(V1.tightest(line, root.path()).is_none());
    }

    #[test]
    fn a_path_that_only_the_machine_knows_leads_to_the_container_s_root() {
        let root = groups(&[
            ("memory.limit_in_bytes", "4096000\n"),
            ("memory.usage_in_bytes", "50000\n"),
            (
                "memory.stat",
                "active_file 1\ntotal_active_file 10000\ntotal_inactive_file 5000\n",
            ),
        ]);
        let line = "4:cpu,memory:/docker/0123\n0::/elsewhere\n";
        let container = V1.tightest(line, root.path()).unwrap();
        assert_eq!(
            (container.limit, container.used()),
            (4_096_000, Some(35_000))
        );
    }

    #[test]
    fn auto_is_three_quarters_of_the_container_or_else_of_the_machine() {
        let root = groups(&[("memory.max", "4000\n"), ("memory.current", "100\n")]);
        let container = V2.tightest("0::/\n", root.path());
        let auto = |container, machine| {
            let source = MemorySource::of(MemoryLimit::Auto, container, machine);
            (source.limit(), source.is_of_container())
        };
        assert_eq!(auto(container.clone(), Some(9_000)), (3_000, true));
        assert_eq!(auto(container.clone(), None), (3_000, true));
        // Version 1 writes "no limit" as more than there can be.
        assert_eq!(auto(container.clone(), Some(800)), (600, false));
        assert_eq!(auto(None, Some(800)), (600, false));
        assert_eq!(auto(None, None), (0, false));
        let read = MemorySource::of(MemoryLimit::Auto, container, Some(9_000)).read();
        assert_eq!((read.used, read.limit), (100, 3_000));
    }

    #[test]
    fn a_number_is_held_against_this_process_and_zero_against_nothing() {
        let read = MemorySource::new(MemoryLimit::Bytes(1 << 40)).read();
        assert_eq!(read.limit, 1 << 40);
        assert!(read.used > 1 << 20, "{read:?}");
        assert_eq!(
            MemorySource::new(MemoryLimit::Off).read(),
            MemoryUse::default()
        );
    }
}
